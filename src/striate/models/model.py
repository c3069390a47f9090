"""A trained model: the network's module, its preprocessing and its classes, ready to predict."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from striate.core.calibration import UNKNOWN, Calibration, scores_of
from striate.core.calls import call_as_in
from striate.core.devices import choose_device
from striate.core.errors import RefusedFileError, UsageError
from striate.core.files import given_path
from striate.core.images import Fit, Form, ImageSpec, InputSpec
from striate.core.memory import ALWAYS_THERE, need_memory
from striate.core.refusals import refusal
from striate.core.settings import check_counts
from striate.core.tables import aligned, html_table
from striate.core.targets import TargetSpec, Task, task_of_outputs
from striate.models.answers import Answers
from striate.models.estimates import Estimates
from striate.models.forms import Forms, answered
from striate.models.inputs import as_seen, finite_outputs, given_pictures, read_pictures
from striate.models.meanings import MEANINGS, Meaning, softmax
from striate.models.restorer import Restorations
from striate.models.segmenter import SMALLER_PICTURES, Segmentations
from striate.networks.foreign import channels_of, is_own, own_network
from striate.networks.model_file import ModelFile, save_model

if TYPE_CHECKING:
    from torch import Tensor, nn

    from striate.networks.network import Network

Pictures = str | PathLike[str] | Sequence[Any] | np.ndarray | Any  # what `inputs.given_pictures` takes
MODEL_NAME = "best.safetensors"  # of a run folder
NAMES_SHOWN = 10  # classes that a model tells of itself
GROUP = 8  # images that run together on the CPU
SMALL_MACS = 120_000_000  # of an image, up to which a network is small:
SMALL_GROUP = 16  # then its groups are larger, and each is computed on one thread; not of modules of users, which may keep state
GROUP_BYTES = 2**31  # of activations that a group may have; where they are large, fewer images run together
MARGIN_LOSSES = ("hinge", "squared_hinge")  # whose outputs are scores with margins between them
OF_SCORES = "the network was trained with a hinge loss: the softmax of its scores gives no probabilities before `striate calibrate`"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One class with its probability; with its score in place of that, where a hinge loss taught the network."""

    class_name: Annotated[str, Field(serialization_alias="class")]
    probability: float | None = None
    score: float | None = None

    @property
    def sureness(self) -> float | str:
        """The probability, or the score in words."""
        return f"score {self.score:.2f}" if self.probability is None else self.probability


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The answer for one picture, with its probability or its score; `top` lists the best classes, best first."""

    path: str
    class_name: Annotated[str, Field(serialization_alias="class")]
    probability: float | None = None
    score: float | None = None
    top: tuple[Answer, ...]

    @property
    def words(self) -> str:
        """The answer in a line: the most probable classes; first "unknown" where it is that."""
        classes = ", ".join(
            f"{answer.class_name} {answer.sureness}" if answer.probability is None else f"{answer.class_name} {answer.probability:.1%}"
            for answer in self.top
        )
        known = self.class_name == self.top[0].class_name
        return classes if known else f"{self.class_name} (nearest: {classes})"


class Predictions(Answers[Prediction]):
    """The answers for several pictures, in their order."""

    def to_data(self) -> list[dict[str, Any]]:
        """Plain records: path, class, probability or score, top."""
        adapter = TypeAdapter(tuple[Prediction, ...])
        data: list[dict[str, Any]] = adapter.dump_python(self.items, mode="json", by_alias=True, exclude_none=True)
        return data

    def to_rows(self) -> list[list[object]]:
        """The records as a table with its header: path, class, probability, then class2, probability2, ... of the next best.

        Where there are scores and no probabilities, the columns are called so.
        """
        width = max((len(item.top) for item in self.items), default=1)
        value = "score" if any(item.score is not None for item in self.items) else "probability"
        header: list[object] = ["path", "class", value]
        for place in range(2, width + 1):
            header += [f"class{place}", f"{value}{place}"]
        rows = [header]
        for item in self.items:
            row: list[object] = [item.path, item.class_name, f"{getattr(item, value):.6f}"]
            for answer in item.top[1:]:
                row += [answer.class_name, f"{getattr(answer, value):.6f}"]
            rows.append(row)
        return rows


class Model:
    """A trained classifier: what `striate.load` gives.

    Attributes:
        module: Maps uint8 images (N, H, W, C), or float32 samples of another kind (N, ..., C), to logits (N, K), or to numbers in the
            user's units; in evaluation mode. A model whose `module` was never asked for answers by ONNX Runtime, where that is
            installed and the network is made of layers that it knows: several times faster, and equal but for rounding.
        network: The description that the module was built from.
        classes: The class names, in the order of the logits; or the names of the labels or numbers that the outputs are.
        images: Size, channels and normalization of the input; an ImageSpec, or the SignalSpec of what is no picture.
        info: Facts of the training: data, settings, validation accuracy.
        targets: The meaning of the outputs if they are not classes; else None.
        calibration: Its temperature, and when it answers "unknown"; what `striate calibrate` found, or 1 and never.
    """

    def __init__(self, file: ModelFile, *, device: str = "cpu") -> None:
        import torch

        module = MEANINGS[task_of_outputs(file.network.output_shape, file.targets)].module(file)
        self.device = str(choose_device(device))
        module = module.eval().to(self.device)
        if file.images.kind == "pictures":
            module = module.to(memory_format=torch.channels_last)
        self._forms = Forms(module, described=not is_own(file.network) and file.images.kind == "pictures")
        self.network: Network = file.network
        self.classes: tuple[str, ...] = file.classes
        self.images: InputSpec = file.images
        self.info: dict[str, Any] = file.info
        self.targets: TargetSpec | None = file.targets
        self.calibration = calibration_of(file.info)

    @classmethod
    def of(
        cls,
        module: nn.Module,
        *,
        input_size: int | tuple[int, int],
        classes: Sequence[str] | None = None,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        fit: Fit = "crop",
        device: str = "cpu",
    ) -> Model:
        """A model of a torch module that was trained elsewhere, such as one of torchvision with its weights.

        Args:
            module: Maps normalized pictures (N, C, H, W) to logits (N, K). It is copied and not changed.
            input_size: Pixels of a square picture, or (H, W).
            classes: The K names in the order of the logits; "0", "1", ... when left out.
            mean: Of the pixels in [0, 1], one number or one per channel: the module is given (pixel - mean) / std.
            std: As `mean`.
            fit: How a picture of another shape is fitted: crop, pad or stretch.
            device: The device to run on.

        Raises:
            ShapeError: the module cannot take such a picture, or gives no logits.
            UsageError: not as many distinct classes as logits, or a mean or std that is none.
        """
        from torch import nn

        if not isinstance(module, nn.Module):
            raise UsageError(
                f"module must be a torch module, got a {type(module).__name__}", "Read a run or a model file with striate.load."
            )
        extent = tuple(input_size) if isinstance(input_size, tuple | list) else (input_size, input_size)
        check_counts(**{f"input_size[{axis}]": size for axis, size in enumerate(extent)})
        network = own_network(module, (channels_of(module) or 3, *extent))
        channels, height, width = network.input_shape
        num_classes = network.output_shape[0]
        names = tuple(map(str, range(num_classes) if classes is None else classes))
        if len(names) != num_classes or len(set(names)) != num_classes:
            raise UsageError(
                f"classes must be {num_classes} distinct names, one per logit, got {len(names)} of which {len(set(names))} differ"
            )
        try:
            means, deviations = (
                (float(values),) * channels if isinstance(values, int | float) else tuple(map(float, values)) for values in (mean, std)
            )
        except (TypeError, ValueError):
            raise UsageError(f"mean and std must be a number, or one per channel, got {mean!r} and {std!r}") from None
        images = ImageSpec(height=height, width=width, channels=channels, mean=means, std=deviations, fit=fit)
        return cls(ModelFile(network, network.build(), names, images, {}), device=device)

    @classmethod
    def ensemble(cls, models: Sequence[Model], *, device: str = "cpu") -> Model:
        """Several trained classifiers as one, a network in which they stand side by side: its probabilities are the mean of theirs.

        Args:
            models: Two or more, of the same classes and pictures (size, fit, normalization). They are copied and not changed; what
                `calibrate` found for one of them is left out, as it is the ensemble that is to be calibrated.
            device: The device to run on.

        Raises:
            UsageError: fewer than two, or one that has other classes or pictures than the first, or gives no probabilities of classes.

        Source: Hansen and Salamon, 1990, IEEE Transactions on Pattern Analysis and Machine Intelligence 12(10).
        """
        from striate.models.ensemble import ensemble_file

        return cls(ensemble_file(list(models)), device=device)

    @property
    def module(self) -> nn.Module:
        """The torch module. Whoever takes it may change it, so from then on the answers are those of the module as it is."""
        return self._forms.given_away()

    @property
    def task(self) -> Task:
        """The task that it was trained for: classify, multilabel, regression, segment or restore."""
        return task_of_outputs(self.network.output_shape, self.targets)

    @property
    def form(self) -> Form:
        """The form of data for it."""
        return self.images.form._replace(effect=self.targets.effect if self.targets is not None else None)

    @property
    def _meaning(self) -> Meaning:
        return MEANINGS[self.task]

    def _facts(self) -> list[list[str]]:
        """Facts of the model for the user, by name."""
        more = f" and {len(self.classes) - NAMES_SHOWN:,} more" if len(self.classes) > NAMES_SHOWN else ""
        found, spec = self.calibration, self.images
        never = "no" if "calibration" not in self.info else f"temperature {found.temperature:.3g}"
        unknown = "" if found.threshold is None else f', "{UNKNOWN}" below {found.score} {found.threshold:.3g}'
        known = [
            (name, self.info.get(key)) for name, key in (("trained on", "data"), ("best epoch", "epoch"), ("val accuracy", "val_accuracy"))
        ]
        return [
            ["network", f"{self.network.name}, {self.network.params:,} parameters"],
            [self._meaning.noun, f"{len(self.classes)}: {', '.join(self.classes[:NAMES_SHOWN])}{more}"],
            [spec.kind, f"{spec.words}, {spec.fit}" if isinstance(spec, ImageSpec) else spec.words],
            *([name, f"{value:.4f}" if isinstance(value, float) else str(value)] for name, value in known if value is not None),
            ["calibrated", never + unknown],
            ["device", self.device],
        ]

    def __repr__(self) -> str:
        return aligned(("Model", ""), self._facts(), ()).rstrip("\n")

    def _repr_html_(self) -> str:
        return html_table(("Model", ""), self._facts())

    def calibrated(self, found: Calibration) -> Model:
        """The same weights with that calibration; the model itself is not changed."""
        result = copy.copy(self)
        result.info = {**self.info, "calibration": TypeAdapter(Calibration).dump_python(found, mode="json")}
        result.calibration = found
        return result

    @property
    def gives_scores(self) -> bool:
        """True if its outputs are scores: it was trained with a hinge loss, as a support vector machine, and has no temperature."""
        return self.info.get("loss") in MARGIN_LOSSES and "calibration" not in self.info

    def probabilities(self, images: np.ndarray, *, batch_size: int = 128) -> np.ndarray:
        """The class probabilities (N, K) float64 of uint8 images (N, H, W, C) of the model's own size, by its temperature.

        Those of labels that do not exclude each other, each for itself, where the model was trained so.

        Raises:
            UsageError: the model gives numbers, not classes, or scores, as a hinge loss teaches them.
        """
        if self.gives_scores:
            remedy = "Use model.outputs or model.predict, or fit its temperature: striate calibrate."
            raise UsageError("the model gives the scores of a hinge loss, which are not probabilities", remedy)
        return self.shares(images, batch_size=batch_size)

    def shares(self, images: np.ndarray, *, batch_size: int = 128) -> np.ndarray:
        """As `probabilities`, also for a network trained with a hinge loss: its rows sum to 1, but are not probabilities.

        Raises:
            UsageError: the model gives numbers, not classes.
        """
        if self._meaning.shares is None:
            raise UsageError(f"the model gives {self._meaning.noun}, which have no probabilities", "Use model.outputs, or model.predict.")
        return self._meaning.shares(self.outputs(images, batch_size=batch_size), self.calibration.temperature)

    def run(self, images: np.ndarray) -> np.ndarray:
        """The outputs (N, ...) float32 of uint8 images (N, H, W, C) of the model's own size, all at once."""
        import torch

        from striate.core.modes import evaluation_mode

        module = self._forms.module
        with torch.inference_mode(), evaluation_mode(module):
            outputs = module(torch.from_numpy(np.array(images)).to(self.device))  # of a copy: the source may be read-only, or a view
            found: np.ndarray = outputs.cpu().numpy()
        return found

    def outputs(self, images: np.ndarray, *, batch_size: int = 128, names: Sequence[str] | None = None) -> np.ndarray:
        """The logits, or the numbers in the user's units, (N, K) float64 of uint8 images (N, H, W, C) of the model's own size.

        In float32. On the CPU an image gets the same answer, bit for bit, alone and in any company. ONNX Runtime answers so by itself.
        Torch takes a sum in an order that depends on the size of a batch, so there a network always runs on groups of one size, the last
        one filled up; a small described network on several groups at once, each on one thread.
        """
        import torch

        from striate.core.modes import evaluation_mode
        from striate.models.threads import each_on_one_thread

        check_counts(batch_size=batch_size)
        images = as_seen(images, self.images)
        on_cpu = self.device.partition(":")[0] == "cpu"
        one = 0 if is_own(self.network) else self.network.inference_memory_bytes
        small = on_cpu and self.network.macs <= SMALL_MACS and one * SMALL_GROUP <= GROUP_BYTES and not is_own(self.network)
        size = SMALL_GROUP if small else min(GROUP, max(1, GROUP_BYTES // max(1, one))) if on_cpu else batch_size
        if on_cpu and one * size > ALWAYS_THERE:
            need_memory(one * size, f"{self.network.name}: {size} pictures at once", SMALLER_PICTURES)

        session = self._forms.session(images.shape[1:]) if on_cpu and len(images) else None
        if session is not None:
            groups = [answered(session, images[start : start + size]) for start in range(0, len(images), size)]
            return finite_outputs(np.concatenate(groups, dtype=np.float64), names)
        module = self._forms.evaluated()

        def of_group(start: int) -> np.ndarray:
            group = np.array(images[start : start + size])  # (n, H, W, C), a copy: the source may be read-only
            count = len(group)
            if count < size:
                group = np.concatenate([group, np.repeat(group[-1:], size - count, axis=0)])
            with torch.inference_mode():
                outputs = module(torch.from_numpy(group).to(self.device))[:count]  # (n, K)
                logits: np.ndarray = outputs.double().cpu().numpy()
            return logits

        starts = range(0, len(images), size)
        with evaluation_mode(module):
            chunks = each_on_one_thread(of_group, starts) if small else [of_group(start) for start in starts]
        return finite_outputs(np.concatenate(chunks), names) if chunks else np.zeros((0, len(self.classes)))

    @call_as_in("model.predict(['a.jpg', 'b.png'], top=3)")
    def predict(self, pictures: Pictures, *, top: int = 1, batch_size: int = 128) -> Predictions | Estimates | Segmentations | Restorations:
        """The predictions for pictures: classes, labels, numbers, masks or pictures.

        Args:
            pictures: One or several, decoded and fitted as in training: files; a uint8 array (n, h, w) or (n, h, w, c), or of one picture
                (h, w) or (h, w, c); a uint8 tensor, channels first or last; a picture of Pillow; or a list of these.
            top: The number of most probable classes to list.
            batch_size: Pictures held and run at once.

        Raises:
            DataError: a file cannot be read as a picture, or has another number of channels; names it.
            ShapeError: an array is of another shape or type, or can be understood in two ways.
            UsageError: `top` or `batch_size` is not a whole number of at least 1, or `pictures` are none of these.
            NumericError: an output is NaN or Inf: the weights are too large.
        """
        check_counts(top=top, batch_size=batch_size)
        return self._meaning.predict(self, pictures, top, batch_size)

    def classify(self, pictures: Pictures, *, top: int = 1, batch_size: int = 128) -> Predictions:
        """The classes of pictures; arguments and errors as of `predict`.

        A picture that scores below the threshold of `calibration` is "unknown"; its `top` still lists the classes. Where `gives_scores`,
        each class comes with its output as its score: the right one was to be 1 above all others.

        Raises:
            UsageError: the model gives no classes.
        """
        return Predictions(list(self.answers(pictures, top=top, batch_size=batch_size)))

    def answers(self, pictures: Pictures, *, top: int = 1, batch_size: int = 128) -> Iterator[Prediction]:
        """The same one by one, on demand: no more than `batch_size` pictures are held."""
        check_counts(top=top, batch_size=batch_size)
        if self._meaning.instead:
            raise UsageError(f"the model {self._meaning.instead}", "Use model.predict.")
        return self._answers(pictures, top, batch_size)

    def _answers(self, pictures: Pictures, top: int, batch_size: int) -> Iterator[Prediction]:
        for names, images in self._groups(pictures, batch_size):
            logits, found = self.outputs(images, batch_size=batch_size, names=names), self.calibration
            fits = scores_of(logits, found.score, found.temperature) >= (-np.inf if found.threshold is None else found.threshold)
            values = logits if self.gives_scores else softmax(logits, found.temperature)
            for name, row, known in zip(names, values, fits, strict=True):
                yield self._answer(name, row, top, known)

    def estimate(self, pictures: Pictures, *, batch_size: int = 128) -> Estimates:
        """The numbers, or the labels, of pictures; arguments and errors as of `predict`.

        Raises:
            UsageError: the model gives one class per picture.
        """
        if self.targets is None or self.task == "restore":
            given = "a picture" if self.targets is not None else "one class per picture"
            raise UsageError(f"the model gives {given}, not numbers or labels", "Use model.predict.")
        check_counts(batch_size=batch_size)
        names: list[str] = []
        rows = [np.zeros((0, len(self.classes)))]
        for group, images in self._groups(pictures, batch_size):
            names += group
            rows.append(self.outputs(images, batch_size=batch_size, names=group))
        return Estimates.of_outputs(names, np.concatenate(rows), self.classes, self.targets)

    def _groups(self, pictures: Pictures, size: int) -> Iterator[tuple[list[str], np.ndarray]]:
        """The pictures as the network sees them, so many at a time, with their names."""
        names, items = given_pictures(pictures, self.images)
        for start in range(0, len(names), size):
            yield names[start : start + size], read_pictures(items[start : start + size], self.images)

    @call_as_in("model.activations('a.jpg')['stem.conv']")
    def activations(self, pictures: Pictures) -> dict[str, np.ndarray]:
        """Path of each part of the network -> its output (N, ...) for pictures, which run all at once; they are given as to `predict`.

        The parts are in the order in which they finish; `striate show` lists the paths of layers.
        """
        import torch

        from striate.models.activations import activations_of

        images = torch.from_numpy(np.array(self.read(pictures))).to(self.device)  # (N, H, W, C)
        module = self._forms.module
        inputs: Tensor = module.normalized(images)  # type: ignore[operator]
        found = activations_of(module.get_submodule("network"), inputs)
        return {path: output.cpu().numpy() for path, output in found.items()}

    def read(self, pictures: Pictures) -> np.ndarray:
        """The pictures as the network sees them: uint8 (N, H, W, C)."""
        return read_pictures(given_pictures(pictures, self.images).items, self.images)

    def class_maps(self, picture: Any) -> np.ndarray:
        """The logits (K, h, w) for each place of one picture, which keeps its own size; see `striate.models.maps.class_maps`."""
        from striate.models.maps import class_maps

        return class_maps(self, picture)

    def fully_convolutional(self) -> Model:
        """The classifier with its dense head as convolutions, and the same weights: its network gives (K, 1, 1), a map of larger inputs.

        What it answers, and its `outputs`, are of the mean over all places.

        Raises:
            UsageError: it has that form already, or its head has none.
        """
        from striate.models.maps import convolutional_file

        return Model(convolutional_file(self), device=self.device)

    def _answer(self, name: str, values: np.ndarray, top: int, known: bool) -> Prediction:
        best = np.argsort(-values, kind="stable")[:top]
        kind = "score" if self.gives_scores else "probability"
        answers = tuple(Answer(class_name=self.classes[k], **{kind: float(values[k])}) for k in best)
        answer = answers[0].class_name if known else UNKNOWN
        return Prediction(path=name, class_name=answer, **{kind: float(values[best[0]])}, top=answers)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model file again, at `path`."""
        state = self._forms.module.get_submodule("network").state_dict()
        save_model(
            given_path(path, "path"), self.network, state, classes=self.classes, images=self.images, info=self.info, targets=self.targets
        )


def calibration_of(info: dict[str, Any]) -> Calibration:
    """The calibration in the info of a model file; 1 and never where there is none.

    Raises:
        RefusedFileError: it is none.
    """
    try:
        return TypeAdapter(Calibration).validate_python(info.get("calibration", {}))
    except ValidationError as error:
        raise RefusedFileError(f"model file: calibration: {refusal(error)}") from None
