"""The Python face of the verbs: the same requests, written as one call."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from striate.core.calls import call_as_in
from striate.core.errors import UsageError
from striate.core.files import given_path
from striate.models.estimates import Estimates
from striate.models.model import Model, Pictures, Predictions
from striate.models.segmenter import Segmentations, labels_pixels, segment_pictures
from striate.workflows.ablation.ablate import AblateReport, AblateRequest
from striate.workflows.ablation.ablate import ablate as ablate_request
from striate.workflows.ablation.variants import VERBS as EDITS
from striate.workflows.attack import AttackReport, AttackRequest
from striate.workflows.attack import attack as attack_request
from striate.workflows.diagnosis.diagnose import DiagnoseReport, DiagnoseRequest
from striate.workflows.diagnosis.diagnose import diagnose as diagnose_request
from striate.workflows.evaluation.calibrate import CalibrateReport, CalibrateRequest
from striate.workflows.evaluation.calibrate import calibrate as calibrate_request
from striate.workflows.evaluation.compare import CompareReport, CompareRequest
from striate.workflows.evaluation.compare import compare as compare_request
from striate.workflows.evaluation.evaluate import EvaluateReport, EvaluateRequest
from striate.workflows.evaluation.evaluate import evaluate as evaluate_request
from striate.workflows.explanation.explain import ExplainReport, ExplainRequest
from striate.workflows.explanation.explain import explain as explain_request
from striate.workflows.explanation.filters import FilterReport, FilterRequest, filter_picture
from striate.workflows.profiling.profile import ProfileReport, ProfileRequest
from striate.workflows.profiling.profile import profile as profile_request
from striate.workflows.recipes.choices import with_checked_fields
from striate.workflows.reporting.report import ReportRequest, RunReport
from striate.workflows.reporting.report import report as report_request
from striate.workflows.subjects import model_of
from striate.workflows.tasks.segment import SegmentReport
from striate.workflows.tasks.targets import TargetReport
from striate.workflows.training.repeat import RepeatReport, RepeatRequest
from striate.workflows.training.repeat import repeat as repeat_request
from striate.workflows.training.repro import ReproReport, ReproRequest
from striate.workflows.training.repro import repro as repro_request
from striate.workflows.training.request import TrainReport, TrainRequest
from striate.workflows.training.running import Watch
from striate.workflows.training.train import train as train_request


@call_as_in("striate.train('photos/', network='resnet18', epochs=30)")
def train(data: Any, *, network: Any = None, watch: Watch | None = None, **fields: Any) -> TrainReport:
    """Train a network and leave a run folder: `striate.train("photos/", network="resnet18", epochs=30)`.

    Args:
        data: A named set, a folder, an `.npz` file, or a pair of arrays (X, y).
        network: A name of the catalogue, `timm:NAME`, `torchvision:NAME`, a Network, or a torch module, which is not changed itself;
            chosen by the data when left out.
        watch: Who follows the training; nobody by default.
        **fields: The other fields of `TrainRequest`; `module`, as for the other verbs, is a torch module to train.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.training.train.train` raises.
    """
    return train_request(with_checked_fields(TrainRequest, data=data, **with_module({"network": network, **fields})), watch=watch)


def with_module(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a training, in which `module`, as the other verbs call a torch module of the user's own, is its network.

    Raises:
        UsageError: there is a network beside it.
    """
    if "module" not in fields:
        return fields
    if fields.get("network") is not None:
        raise UsageError("network and module are both given", "Give one of them.")
    return {name: value for name, value in fields.items() if name != "module"} | {"network": fields["module"]}


@call_as_in("striate.evaluate(model, 'photos/', split='test')")
def evaluate(
    model: Model | str | PathLike[str], data: Any = None, *, split: Literal["train", "val", "test"] | None = None, **fields: Any
) -> EvaluateReport | SegmentReport | TargetReport:
    """Measure a model on a split: `striate.evaluate(model, "photos/", split="test")`.

    Args:
        model: A Model, a run folder, or a model file.
        data: What to measure on; the run's own data when left out.
        split: train, val or test; None: test where there is one, else val; all of other data without splits.
        **fields: The other fields of `EvaluateRequest`.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.evaluation.evaluate.evaluate` raises.
    """
    return evaluate_request(with_checked_fields(EvaluateRequest, run=model, data=data, split=split, **fields))


@call_as_in("striate.predict(model, 'photos/', top=3)")
def predict(
    model: Model | str | PathLike[str], pictures: Pictures | str | PathLike[str], *, top: int = 1, module: Any = None
) -> Predictions | Segmentations | Estimates:
    """The classes, labels, numbers or masks, as the model gives them, of picture files, of a folder's pictures or of an array.

    Args:
        model: A Model, a run folder, or a model file.
        pictures: What `Model.predict` takes, or a folder.
        top: How many of the most probable classes to list.
        module: The user's own torch module, where the run trained one.

    Raises:
        UsageError: the module is wanted and not handed in, or the other way round; and what `Model.predict` raises.
    """
    from striate.data.folder import readable_pictures

    loaded = model_of(model, device="cpu", module=module)
    if isinstance(pictures, str | PathLike):
        pictures = readable_pictures([Path(pictures)], say=lambda text: warnings.warn(text, UserWarning, stacklevel=6))
    return segment_pictures(loaded, pictures) if labels_pixels(loaded) else loaded.predict(pictures, top=top)


@call_as_in("striate.ablate('resnet20_cifar', 'cifar10', 'without shortcut', 'swap activation=tanh')")
def ablate(network: Any, data: Any, *edits: str, watch: Watch | None = None, **fields: Any) -> AblateReport:
    """Train a network without its parts: `striate.ablate("resnet20_cifar", "cifar10", "without shortcut", "swap activation=tanh")`.

    Args:
        network: A name of the catalogue or a Network.
        data: A named set, a folder, an `.npz` file, or a pair of arrays (X, y), on which the trials run here, one after the other.
        *edits: Each a variant: "without norm", "swap pooling=avg", "split-kernels 3x3", "factorize", "head global-pool", "width 0.5".
        watch: Who follows; nobody by default.
        **fields: The other fields of `AblateRequest`; `training={"epochs": 5}` holds those of the training.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.ablation.ablate.ablate` raises.
    """
    refuse_other_forms(fields)
    return ablate_request(with_checked_fields(AblateRequest, **{"edits": edits, **fields}, network=network, data=data), watch=watch)


def refuse_other_forms(fields: Mapping[str, Any]) -> None:
    """Refuse an edit, or a field of the training, as an argument of its own, as the command line has them.

    Raises:
        UsageError: gives the form that `ablate` takes.
    """
    own = {field.name for field in dataclasses.fields(AblateRequest)}
    training = {field.name for field in dataclasses.fields(TrainRequest)} - own
    for name, value in fields.items():
        verb = name.replace("_", "-")
        if verb in EDITS:
            words = verb if isinstance(value, bool) else f"{verb} {_first(value)}"
            raise UsageError(f"{name}: edits are texts after the data", f"For example striate.ablate(network, data, {words!r}).")
        if name in training:
            raise UsageError(f"{name}: is an argument of the training", f"Use training={{{name!r}: {value!r}}}.")


def _first(value: Any) -> str:
    """The first of what was named, as an edit writes it."""
    if isinstance(value, Mapping):
        return next((f"{name}={word}" for name, word in value.items()), "...")
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    return str(next(iter(value), "..."))


@call_as_in("striate.diagnose('runs/train/digits-001')")
def diagnose(run: str | PathLike[str], data: Any = None, **fields: Any) -> DiagnoseReport:
    """What is wrong with a training: `striate.diagnose("runs/train/digits-001").findings`.

    Args:
        run: A run folder.
        data: The run's data, where it lies elsewhere now.
        **fields: The other fields of `DiagnoseRequest`.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.diagnosis.diagnose.diagnose` raises.
    """
    return diagnose_request(with_checked_fields(DiagnoseRequest, run=given_path(run, "run"), data=data, **fields))


@call_as_in("striate.profile('resnet18')")
def profile(network: Any, **fields: Any) -> ProfileReport:
    """What a network costs: `striate.profile("resnet18").measured.latencies`.

    Args:
        network: A catalogue name, a Network, a run folder, a model file, a Model, or a torch module (then with input_size=).
        **fields: The other fields of `ProfileRequest`.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.profiling.profile.profile` raises.
    """
    return profile_request(with_checked_fields(ProfileRequest, network=network, **fields))


def compare(*subjects: Any, **fields: Any) -> CompareReport:
    """Networks or runs side by side: `striate.compare("runs/train/a-001", "runs/train/b-001").pairs`.

    Args:
        *subjects: Two or more of what `profile` takes, or one list of them.
        **fields: The other fields of `CompareRequest`.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.evaluation.compare.compare` raises.
    """
    if len(subjects) == 1 and isinstance(subjects[0], list | tuple):
        (subjects,) = subjects
    return compare_request(with_checked_fields(CompareRequest, subjects=tuple(subjects), **fields))


@call_as_in("striate.calibrate('runs/train/digits-001', coverage=0.95)")
def calibrate(model: Model | str | PathLike[str], data: Any = None, **fields: Any) -> CalibrateReport:
    """An honest confidence, in a model file of its own: `striate.calibrate("runs/train/digits-001", coverage=0.95).output`.

    Args:
        model: A Model, a run folder, or a model file; it stays as it is.
        data: Whose val split decides; the run's own data when left out.
        **fields: The other fields of `CalibrateRequest`.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.evaluation.calibrate.calibrate` raises.
    """
    return calibrate_request(with_checked_fields(CalibrateRequest, run=model, data=data, **fields))


@call_as_in("striate.explain('runs/train/digits-001', 'new/', methods=('grad_cam', 'occlusion'))")
def explain(model: Model | str | PathLike[str], *pictures: str | PathLike[str], **fields: Any) -> ExplainReport:
    """What a model looks at: `striate.explain("runs/train/digits-001", "new/", methods=("grad_cam", "occlusion")).output`.

    Args:
        model: A Model, a run folder, or a model file.
        *pictures: Files, or folders of them; some of the run's val split when left out.
        **fields: The other fields of `ExplainRequest`.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.explanation.explain.explain` raises.
    """
    return explain_request(with_checked_fields(ExplainRequest, run=model, pictures=tuple(map(Path, pictures)), **fields))


@call_as_in("striate.attack('runs/train/digits-001', attacks=('fgsm', 'pgd'))")
def attack(model: Model | str | PathLike[str], data: Any = None, **fields: Any) -> AttackReport:
    """How a model is fooled: `striate.attack("runs/train/digits-001", attacks=("fgsm", "pgd")).results`.

    Args:
        model: A Model, a run folder, or a model file.
        data: Whose pictures are attacked; the run's own data when left out.
        **fields: The other fields of `AttackRequest`.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.attack.attack` raises.
    """
    return attack_request(with_checked_fields(AttackRequest, run=model, data=data, **fields))


@call_as_in("striate.filter('cat.jpg', 'blur', 'sobel', output='edges.png')")
def filter(image: str | PathLike[str], *steps: str, **fields: Any) -> FilterReport:  # noqa: A001  # the verb's own name
    """Filter a picture with kernels: `striate.filter("cat.jpg", "blur", "sobel", output="edges.png").output`.

    Args:
        image: A picture file.
        *steps: Names of kernels and effects, `exposure=1.6`, or kernels written as "[[...], ...]", in that order.
        **fields: The other fields of `FilterRequest`.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.explanation.filters.filter_picture` raises.
    """
    return filter_picture(with_checked_fields(FilterRequest, image=given_path(image, "image"), steps=steps, **fields))


@call_as_in("striate.report('runs/train/digits-001')")
def report(run: str | PathLike[str], data: Any = None, **fields: Any) -> RunReport:
    """One page that sums up a run: `striate.report("runs/train/digits-001").output`.

    Args:
        run: A run folder.
        data: The run's data, where it lies elsewhere now.
        **fields: The other fields of `ReportRequest`.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.reporting.report.report` raises.
    """
    return report_request(with_checked_fields(ReportRequest, run=given_path(run, "run"), data=data, **fields))


@call_as_in("striate.repeat('digits', seeds=5, network='lenet5')")
def repeat(data: Any, *, seeds: int | None = None, folds: int | None = None, watch: Watch | None = None, **fields: Any) -> RepeatReport:
    """The same training from several seeds, or on k folds: `striate.repeat("digits", seeds=5, network="lenet5").accuracy.mean`.

    Args:
        data: A named set, a folder, an `.npz` file, or a pair of arrays (X, y).
        seeds: From so many seeds, on one division into train and val; or
        folds: so many folds, of which each validates once.
        watch: Who follows; nobody by default.
        **fields: `output`, the folder of all the runs, and the other fields of `TrainRequest`.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.training.repeat.repeat` raises.
    """
    output = fields.pop("output", None)
    training = with_checked_fields(TrainRequest, data=data, **with_module(fields))
    return repeat_request(with_checked_fields(RepeatRequest, training=training, seeds=seeds, folds=folds, output=output), watch=watch)


@call_as_in("striate.repro('runs/train/digits-001')")
def repro(run: str | PathLike[str], data: Any = None, *, watch: Watch | None = None, **fields: Any) -> ReproReport:
    """Whether a run comes out the same again, bit for bit: `striate.repro("runs/train/digits-001").equal`.

    Args:
        run: A run folder.
        data: The data again, where the run was trained on arrays, or where it lies elsewhere now.
        watch: Who follows; nobody by default.
        **fields: The other fields of `ReproRequest`; `module`, as for the other verbs, is its `network`.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.training.repro.repro` raises.
    """
    return repro_request(with_checked_fields(ReproRequest, run=given_path(run, "run"), data=data, **with_module(fields)), watch=watch)


__all__: Sequence[str] = (
    "ablate",
    "attack",
    "calibrate",
    "compare",
    "diagnose",
    "evaluate",
    "explain",
    "filter",
    "predict",
    "profile",
    "repeat",
    "report",
    "repro",
    "train",
)
