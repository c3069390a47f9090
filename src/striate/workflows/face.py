"""The Python interface of the verbs: the same requests, written as one call."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Unpack

from striate.core.calibration import Score
from striate.core.calls import call_as_in
from striate.core.errors import UsageError
from striate.core.files import given_path
from striate.core.images import Fit
from striate.core.targets import Task
from striate.data.effects import Form
from striate.data.layout import Layout
from striate.data.reading import Role
from striate.models.estimates import Estimates
from striate.models.inputs import given_pictures
from striate.models.model import Model, Pictures, Predictions
from striate.models.restorer import Restorations
from striate.models.segmenter import Segmentations
from striate.workflows.ablation.ablate import AblateReport, AblateRequest
from striate.workflows.ablation.ablate import ablate as ablate_request
from striate.workflows.ablation.variants import EDITS
from striate.workflows.attack import DEGREES, PIXELS, USUAL, Attack, AttackReport, AttackRequest
from striate.workflows.attack import attack as attack_request
from striate.workflows.checking.check import Observer as CheckObserver
from striate.workflows.checking.check import check as check_request
from striate.workflows.checking.record import CheckReport, CheckRequest
from striate.workflows.convert import ConvertReport, ConvertRequest
from striate.workflows.convert import convert as convert_request
from striate.workflows.diagnosis.diagnose import DiagnoseReport, DiagnoseRequest
from striate.workflows.diagnosis.diagnose import diagnose as diagnose_request
from striate.workflows.evaluation.calibrate import CalibrateReport, CalibrateRequest
from striate.workflows.evaluation.calibrate import calibrate as calibrate_request
from striate.workflows.evaluation.compare import CompareReport, CompareRequest
from striate.workflows.evaluation.compare import compare as compare_request
from striate.workflows.evaluation.evaluate import EvaluateRequest
from striate.workflows.evaluation.evaluate import evaluate as evaluate_request
from striate.workflows.explanation.explain import Asked, ExplainReport, ExplainRequest
from striate.workflows.explanation.explain import explain as explain_request
from striate.workflows.explanation.filters import FilterReport, FilterRequest, filter_picture
from striate.workflows.explanation.views import View
from striate.workflows.predict import PredictRequest, answered, asked_pictures, check_outputs, refuse_drawing
from striate.workflows.predict import predict as predict_files
from striate.workflows.predicting.many import ManyReport
from striate.workflows.profiling.profile import ProfileReport, ProfileRequest
from striate.workflows.profiling.profile import profile as profile_request
from striate.workflows.recipes.checked import request_of, with_checked_fields
from striate.workflows.recipes.options import OPTIONS
from striate.workflows.recipes.words import OTHER_NAMES
from striate.workflows.reporting.report import ReportRequest, RunReport
from striate.workflows.reporting.report import report as report_request
from striate.workflows.shipping.export import ExportReport, ExportRequest
from striate.workflows.shipping.export import export as export_request
from striate.workflows.shipping.verify import VerifyReport, VerifyRequest
from striate.workflows.shipping.verify import verify as verify_request
from striate.workflows.split import ManifestReport, SplitRequest
from striate.workflows.split import split as split_request
from striate.workflows.subjects.subject import open_model
from striate.workflows.tasks.registry import SplitReport
from striate.workflows.training.preview import preview as draw_preview
from striate.workflows.training.repeat import RepeatRequest
from striate.workflows.training.repeat import repeat as repeat_request
from striate.workflows.training.repro import ReproReport, ReproRequest
from striate.workflows.training.repro import repro as repro_request
from striate.workflows.training.request import TrainingOptions, TrainReport, TrainRequest
from striate.workflows.training.running import Observer
from striate.workflows.training.spread import RepeatReport
from striate.workflows.training.train import train as train_request


@call_as_in("striate.train('photos/', network='resnet18', epochs=30)", other_names=OTHER_NAMES)
def train(data: Any, *, observer: Observer | None = None, **options: Unpack[TrainingOptions]) -> TrainReport:
    """Train a network and leave a run folder: `striate.train("photos/", network="resnet18", epochs=30)`.

    Args:
        data: A named set, a folder, a table of pictures or of numbers, shards, an `.npz` file, or a pair of arrays (X, y).
        observer: Is told of updates, epochs and messages; none by default.
        **options: See below.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.training.train.train` raises.
    """
    return train_request(with_checked_fields(TrainRequest, data=data, **with_module(options)), observer=observer)


def with_module(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of a training, in which `module`, the other verbs' name for the user's own torch module, is its network.

    Raises:
        UsageError: there is a network beside it.
    """
    if "module" not in fields:
        return fields
    if fields.get("network") is not None:
        raise UsageError("network and module are both given", "Give one of them.")
    return {name: value for name, value in fields.items() if name != "module"} | {"network": fields["module"]}


@call_as_in("striate.preview('photos/', 'seen.png', policy='trivial')", other_names=OTHER_NAMES)
def preview(data: Any, picture: str | PathLike[str], *, observer: Observer | None = None, **options: Unpack[TrainingOptions]) -> None:
    """Draw training pictures beside their augmented forms; nothing is trained: `striate.preview("photos/", "seen.png", policy="trivial")`.

    Args:
        data: As of `train`.
        picture: The PNG file.
        observer: Is told of messages; none by default.
        **options: As of `train`.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.training.preview.preview` raises.
    """
    request = with_checked_fields(TrainRequest, data=data, **with_module(options))
    draw_preview(request, given_path(picture, "picture"), observer=observer)


@call_as_in("striate.evaluate(model, 'photos/', split='test')", other_names=OTHER_NAMES)
def evaluate(
    model: Model | str | PathLike[str],
    data: Any = None,
    *,
    split: Literal["train", "val", "test"] | None = None,
    batch_size: int = 128,
    slices: Sequence[str] = (),
    columns: Mapping[Role, str] | None = None,
    root: str | PathLike[str] | None = None,
    output: str | PathLike[str] | None = None,
    device: str = "auto",
    module: Any = None,
    skip_unreadable: bool = False,
    layout: Layout = "auto",
    drop: str | PathLike[str] | None = None,
    data_dir: str | PathLike[str] | None = None,
    download: bool = False,
) -> SplitReport:
    """Measure a model on a split: `striate.evaluate(model, "photos/", split="test")`.

    Args:
        model: A Model, a run folder, or a model file.
        data: The data to measure on; the run's own by default.
        split: train, val or test; None: test where there is one, else val; all of other data without splits.
        batch_size: Pictures at once on a GPU; a processor takes few.
        slices: Columns of a table of pictures: also the accuracy, with its interval, for each value in them.
        columns: The columns of a table by what they hold, where they have other names than in the training.
        root: The folder that the paths of a table start from; as in the training, or else the table's own.
        output: Folder of pictures and tables; RUN/report/evaluate-SPLIT by default, of other data evaluate-SPLIT-on-NAME.
        device: auto, cpu, cuda, cuda:1 or mps.
        module: Your own torch module, where the run trained one: files hold its weights alone.
        skip_unreadable: Leave out pictures that cannot be decoded, and say so.
        layout: How to read the folders of the data if their names are ambiguous; auto: as in the training.
        drop: A list of pictures to leave out, which `check` wrote; of the run's own data, that of the training by default.
        data_dir: The folder of named sets; None: the cache.
        download: Fetch a named set from its publisher where it is missing.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.evaluation.evaluate.evaluate` raises.
    """
    return evaluate_request(request_of(EvaluateRequest, locals(), run=model, columns=columns or {}))


@call_as_in("striate.split('photos/', val=0.1, test=0.1)", other_names=OTHER_NAMES)
def split(
    data: Any,
    *,
    val: float = 0.1,
    test: float = 0.1,
    group: str | None = None,
    seed: int = 0,
    output: str | PathLike[str] | None = None,
    task: Literal["classify", "regression", "multilabel"] | None = None,
    layout: Layout = "auto",
    class_from: str | None = None,
    columns: Mapping[Role, str] | None = None,
    separator: str | None = None,
    root: str | PathLike[str] | None = None,
    skip_unreadable: bool = False,
) -> ManifestReport:
    """Divide pictures into train, val and test, in a table: `striate.train(striate.split("photos/", test=0.2).output)`.

    Args:
        data: A folder, a table of pictures, or what `dataset` opened. No file is moved.
        val: The share of the training pictures to validate on; 0: none.
        test: The share to test on.
        group: The column, or for a folder the rule, that tells which pictures stay in one split.
        seed: Of the choice, which else depends on the names alone.
        output: The CSV file; NAME-split.csv in the current folder by default. It must not be there yet.
        task: The task of a table's labels, which else is inferred.
        layout: How to read the folders of the data if their names are ambiguous.
        class_from: Which part of a path is the class: top, parent or regex:PATTERN.
        columns: The columns of a table by what they hold.
        separator: The text between the labels of a picture that has several.
        root: The folder that the paths of a table start from; its own by default.
        skip_unreadable: Leave out pictures that cannot be decoded.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.split.split` raises.
    """
    return split_request(request_of(SplitRequest, locals(), columns=columns or {}))


@call_as_in("striate.predict(model, 'photos/', top=3)", other_names=OTHER_NAMES)
def predict(
    model: Model | str | PathLike[str],
    pictures: Pictures | str | PathLike[str],
    *,
    top: int = 1,
    split: Literal["train", "val", "test"] | None = None,
    first: int | None = None,
    plot: str | PathLike[str] | None = None,
    maps: str | PathLike[str] | None = None,
    output: str | PathLike[str] | None = None,
    output_format: Literal["csv", "jsonl", "parquet"] = "csv",
    shard: str | None = None,
    on: str | None = None,
    module: Any = None,
    data_dir: str | PathLike[str] | None = None,
    download: bool = False,
) -> Predictions | Segmentations | Estimates | Restorations | ManyReport:
    """The classes, labels, numbers, masks or pictures, as the model gives them, of picture files, of a folder's pictures or of an array.

    With `output`, answers go into files, and what comes back counts them.

    Args:
        model: A Model, a run folder, or a model file.
        pictures: As `Model.predict` takes them, a folder, a named set or an .npz file; of signals, volumes and rows an array, or a
            .csv, .npy or .npz file.
        top: The number of most probable classes to list.
        split: Of the set, the folder or the file that is named; None: all pictures of a folder, val of a set or a file.
        first: Only so many; None: all.
        plot: A PNG file to draw the pictures with their answers into.
        maps: A PNG file to draw the probability of classes at each place of larger pictures into.
        output: A folder for files of answers, of files, a folder or a manifest of pictures: a row for each, also for one that cannot be
            read; what is there is kept. Of a model of masks or of pictures, the folder for those.
        output_format: Of the files of answers.
        shard: A part of the pictures to answer into files: 3/16 is the third of sixteen.
        on: "ray", or "ray=ADDRESS": the workers of a Ray cluster answer them into files.
        module: The user's own torch module, where the run trained one.
        data_dir: The folder of named sets; None: the cache.
        download: Fetch a named set from its publisher where it is missing.

    Raises:
        UsageError: the module is wanted and not handed in, or the other way round, or an array is asked for a split; and what
            `Model.predict` raises.
    """
    some = [pictures] if isinstance(pictures, str | PathLike) else pictures
    into_files = (output, shard, on) != (None, None, None)
    if into_files and not (isinstance(some, list | tuple) and all(isinstance(each, str | PathLike) for each in some)):
        raise UsageError("`output`, `shard`, `on`: answer picture files", "Name files, a folder or a manifest.")
    named = [Path(each) for each in some] if into_files else [Path(pictures)] if isinstance(pictures, str | PathLike) else []
    request = request_of(PredictRequest, locals(), run=model, pictures=named)
    if into_files:
        return predict_files(request)
    check_outputs(request)
    subject = open_model(model, device="cpu", module=module)
    refuse_drawing(subject.trained, request)
    if named:
        notes: list[str] = []
        pictures = asked_pictures(subject, request, notes.append)
        for note in notes:
            warnings.warn(note, UserWarning, stacklevel=3)  # at the line that calls this function, above its check
    elif split is not None or first is not None:
        raise UsageError("split, first: are of a data set, a folder or a file that is named", "Cut the pictures yourself, as in X[:4].")
    if plot is not None or maps is not None:
        return answered(subject.trained, given_pictures(pictures, subject.trained.images), request, lambda _text: None)
    return subject.trained.predict(pictures, top=top)


def other_form(name: str, value: Any) -> UsageError | None:
    """The error for an edit, or an option of the training, as an argument of `ablate`, as the command line has them."""
    verb = name.replace("_", "-")
    if verb in EDITS:
        words = verb if isinstance(value, bool) else f"{verb} {_first(value)}"
        return UsageError(f"{name}: edits are texts after the data", f"For example striate.ablate(network, data, {words!r}).")
    if name in TrainingOptions.__annotations__:
        return UsageError(f"{name}: is an argument of the training", f"Use training={{{name!r}: {value!r}}}.")
    return None


def _first(value: Any) -> str:
    """The first of what was named, as an edit writes it."""
    if isinstance(value, Mapping):
        return next((f"{name}={word}" for name, word in value.items()), "...")
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    return str(next(iter(value), "..."))


@call_as_in(
    "striate.ablate('resnet20_cifar', 'cifar10', 'without shortcut', 'swap activation=tanh')", other_names=OTHER_NAMES, misfit=other_form
)
def ablate(
    network: Any,
    data: Any,
    *edits: str,
    observer: Observer | None = None,
    pairs: bool = False,
    grid: str | PathLike[str] | None = None,
    seeds: int = 3,
    budget: Literal["epochs", "time", "macs"] = "epochs",
    jobs: int | None = None,
    hang_after: float = 600.0,
    on: str | None = None,
    training: TrainingOptions | None = None,
    output: str | PathLike[str] | None = None,
    resume: str | PathLike[str] | None = None,
    retry_failed: bool = False,
    test: bool = False,
) -> AblateReport:
    """Train a network with parts removed: `striate.ablate("resnet20_cifar", "cifar10", "without shortcut", "swap activation=tanh")`.

    Args:
        network: A name of the catalogue or a Network.
        data: A named set, a folder, an `.npz` file, or a pair of arrays (X, y), on which the trials run here, one after the other.
        *edits: Each a variant: "without norm", "swap pooling=avg", "split-kernels 3x3", "factorize", "head global-pool", "width 0.5".
        observer: Is told of updates, epochs and messages; none by default.
        pairs: Each two of the edits, too.
        grid: A YAML file with more variants.
        seeds: 0, 1, ...: the same for each variant.
        budget: The quantity that is equal for all variants.
        jobs: Trials in parallel; None: one per core.
        hang_after: Seconds without an update.
        on: "ray", or "ray=ADDRESS".
        training: Options of the training, as `train` takes them.
        output: The folder that it is written to.
        resume: The folder of an ablation to continue.
        retry_failed: Of the ablation that is resumed: train again what failed or hung.
        test: Measure the kept models on the test split too.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.ablation.ablate.ablate` raises.
    """
    return ablate_request(request_of(AblateRequest, locals(), training=training or {}), observer=observer)


@call_as_in("striate.check('photos/')", other_names=OTHER_NAMES)
def check(
    data: Any,
    *,
    deep: bool = False,
    preview: bool = False,
    image_size: int = 128,
    fit: Fit = "crop",
    fix_list: str | PathLike[str] | None = None,
    output: str | PathLike[str] | None = None,
    task: Task | None = None,
    layout: Layout = "auto",
    class_from: str | None = None,
    columns: Mapping[Role, str] | None = None,
    group: str | None = None,
    separator: str | None = None,
    root: str | PathLike[str] | None = None,
    seed: int = 0,
    data_dir: str | PathLike[str] | None = None,
    download: bool = False,
    observer: CheckObserver | None = None,
) -> CheckReport:
    """Check the pictures and labels of a data set; no file of it is changed: `striate.check("photos/").findings`.

    Args:
        data: A named set, a folder, a table, shards, an `.npz` file, or a pair of arrays (X, y).
        deep: Also compare and judge many pictures by the installed network, which takes longer.
        preview: Also show on the page what a network sees of each class.
        image_size: Input size in pixels, for the preview and for what fits cut off.
        fit: How pictures are fitted to the network that judges labels: crop, pad or stretch.
        fix_list: CSV file for what to drop, which `train` and `evaluate` obey.
        output: The page; runs/check/NAME-NNN/index.html by default.
        task: Kind of labels: classify, regression, multilabel or segment, of a folder of images/ and masks/; None: as the data tells.
        layout: How to read the folders of the data if their names are ambiguous.
        class_from: The rule that tells a picture's class by its path: top, parent or regex:PATTERN; for a folder: top.
        columns: The columns of a table by what they hold: path, label, split, group, weight.
        group: The column, or the rule for paths, that tells which pictures belong together.
        separator: The text between the labels of a picture that has several.
        root: The folder that the paths of a table start from.
        seed: Of the folds.
        data_dir: The folder of named sets; None: the cache.
        download: Fetch a named set from its publisher where it is missing.
        observer: Is told of messages and progress; none by default.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.checking.check.check` raises.
    """
    return check_request(request_of(CheckRequest, locals(), columns=columns or {}), observer=observer)


@call_as_in("striate.diagnose('runs/train/digits-001')", other_names=OTHER_NAMES)
def diagnose(
    run: str | PathLike[str],
    data: Any = None,
    *,
    batches: int = 8,
    output: str | PathLike[str] | None = None,
    device: str = "auto",
    module: Any = None,
    skip_unreadable: bool = False,
    layout: Layout = "auto",
    data_dir: str | PathLike[str] | None = None,
    download: bool = False,
) -> DiagnoseReport:
    """Diagnose a training: `striate.diagnose("runs/train/digits-001").findings`.

    Args:
        run: A run folder.
        data: The run's data, where it lies elsewhere now.
        batches: Of its training split, to compute again.
        output: RUN/report/diagnose by default.
        device: auto, cpu, cuda, cuda:1 or mps.
        module: Your own torch module, where the run trained one: files hold its weights alone.
        skip_unreadable: Leave out pictures that cannot be decoded, and say so.
        layout: How to read the folders of the data if their names are ambiguous; auto: as in the training.
        data_dir: The folder of named sets; None: the cache.
        download: Fetch a named set from its publisher where it is missing.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.diagnosis.diagnose.diagnose` raises.
    """
    return diagnose_request(request_of(DiagnoseRequest, locals(), run=given_path(run, "run")))


@call_as_in("striate.profile('resnet18')", other_names=OTHER_NAMES)
def profile(
    network: Any,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    input_size: int | tuple[int, int] | None = None,
    measure: bool = True,
    batch_size: int = 8,
    batch_sizes: Sequence[int] = (1, 8, 32),
    seconds: float = 1.0,
    output: str | PathLike[str] | None = None,
    device: str = "auto",
    module: Any = None,
) -> ProfileReport:
    """The cost of a network: `striate.profile("resnet18").measured.latencies`.

    Args:
        network: A catalogue name, a Network, a run folder, a model file, a Model, or a torch module (then with input_size=).
        num_classes: Outputs of a network of the catalogue; None: as published.
        in_channels: Channels of its input; None: as published.
        input_size: Height and width of its input; None: as published.
        measure: False: count only, run nothing.
        batch_size: Of the layers, the training step and the memory.
        batch_sizes: Of the latencies.
        seconds: That each timing of the whole network may take; each of a layer a twentieth.
        output: Folder for layers.csv and roofline.png.
        device: auto, cpu, cuda, cuda:1 or mps.
        module: Your own torch module, where the run trained one: files hold its weights alone.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.profiling.profile.profile` raises.
    """
    return profile_request(request_of(ProfileRequest, locals()))


def compare(
    *subjects: Any,
    data: Any = None,
    split: Literal["train", "val", "test"] | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    input_size: int | tuple[int, int] | None = None,
    measure: bool = False,
    batch_size: int = 128,
    output: str | PathLike[str] | None = None,
    module: Any = None,
    skip_unreadable: bool = False,
    layout: Layout = "auto",
    data_dir: str | PathLike[str] | None = None,
    download: bool = False,
) -> CompareReport:
    """Compare networks or runs: `striate.compare("runs/train/a-001", "runs/train/b-001").pairs`.

    Args:
        *subjects: Two or more of what `profile` takes, or one list of them.
        data: The run's own data by default.
        split: None: val; all of other data without splits.
        num_classes: Outputs of a network of the catalogue; None: as published.
        in_channels: Channels of its input; None: as published.
        input_size: Height and width of its input; None: as published.
        measure: Time them too, one picture at a time.
        batch_size: Pictures at once on a GPU; a processor takes few.
        output: CSV file of the pictures on which they differ.
        module: Your own torch module, where the run trained one: files hold its weights alone.
        skip_unreadable: Leave out pictures that cannot be decoded, and say so.
        layout: How to read the folders of the data if their names are ambiguous; auto: as in the training.
        data_dir: The folder of named sets; None: the cache.
        download: Fetch a named set from its publisher where it is missing.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.evaluation.compare.compare` raises.
    """
    if len(subjects) == 1 and isinstance(subjects[0], list | tuple):
        (subjects,) = subjects
    return compare_request(request_of(CompareRequest, locals(), subjects=tuple(subjects)))


@call_as_in("striate.calibrate('runs/train/digits-001', coverage=0.95)", other_names=OTHER_NAMES)
def calibrate(
    model: Model | str | PathLike[str],
    data: Any = None,
    *,
    coverage: float | None = None,
    score: Score = "energy",
    against: Any = None,
    batch_size: int = 128,
    output: str | PathLike[str] | None = None,
    device: str = "auto",
    module: Any = None,
    skip_unreadable: bool = False,
    layout: Layout = "auto",
    data_dir: str | PathLike[str] | None = None,
    download: bool = False,
) -> CalibrateReport:
    """Calibrate a model, into a separate model file: `striate.calibrate("runs/train/digits-001", coverage=0.95).output`.

    Args:
        model: A Model, a run folder, or a model file; it stays as it is.
        data: Whose val split decides; the run's own data when left out.
        coverage: Answer this share of pictures like those of val, the others "unknown".
        score: The score that detects out-of-distribution pictures: energy, confidence or max_logit.
        against: Out-of-distribution pictures, to measure how well they are detected.
        batch_size: Pictures at once on a GPU; a processor takes few.
        output: The model file; RUN/calibrated.safetensors by default.
        device: auto, cpu, cuda, cuda:1 or mps.
        module: Your own torch module, where the run trained one: files hold its weights alone.
        skip_unreadable: Leave out pictures that cannot be decoded, and say so.
        layout: How to read the folders of the data if their names are ambiguous; auto: as in the training.
        data_dir: The folder of named sets; None: the cache.
        download: Fetch a named set from its publisher where it is missing.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.evaluation.calibrate.calibrate` raises.
    """
    return calibrate_request(request_of(CalibrateRequest, locals(), run=model))


@call_as_in("striate.export('runs/train/digits-001', output='model.onnx')", other_names=OTHER_NAMES)
def export(
    model: Model | str | PathLike[str],
    data: Any = None,
    *,
    format: Literal["onnx", "torch", "openvino", "html", "bundle"] = "onnx",  # noqa: A002  # as the command has it
    precision: Literal["float32", "float16", "bfloat16", "int8", "int8_weights"] | None = None,
    input: Literal["uint8", "float32"] = "uint8",  # noqa: A002  # as the command has it
    output: str | PathLike[str] | None = None,
    images: int = 256,
    max_difference: float | None = None,
    max_loss: float = 0.01,
    sign: str | PathLike[str] | None = None,
    module: Any = None,
    skip_unreadable: bool = False,
    layout: Layout = "auto",
    data_dir: str | PathLike[str] | None = None,
    download: bool = False,
) -> ExportReport:
    """Export a model with its preprocessing to a file that other programs run: `striate.export("runs/train/digits-001").output`.

    The file is written only if its answers are the model's, on pictures of the val split and on pictures of odd sizes and kinds.

    Args:
        model: A Model, a run folder, or a model file.
        data: Whose val split is compared; the run's own data when left out.
        format: onnx; torch, a program of `torch.export`; openvino, an .xml and a .bin file; html, a page that classifies pictures
            offline; or bundle, a zip file of the ONNX file with a short program that needs no Striate.
        precision: Of the weights: float32 (onnx) or float16 (html) by default. int8 of onnx: of all that the network computes, by ranges
            found on training pictures; int8_weights: of the weights alone.
        input: uint8: pictures as they were decoded, of any size; float32, not of html: (N, C, H, W) in [0, 1], which you prepare yourself.
        output: The file; RUN/export/model.onnx, or of the ending of the format, by default.
        images: Pictures of the val split to compare, at most.
        max_difference: The largest difference of a probability; by default 1e-4 of float32, and 0.02 for html.
        max_loss: The largest loss of accuracy on val of int8 and int8_weights.
        sign: A PEM file with a private key, to sign the file with.
        module: Your own torch module, where the run trained one: files hold its weights alone.
        skip_unreadable: Leave out pictures that cannot be decoded, and say so.
        layout: How to read the folders of the data if their names are ambiguous; auto: as in the training.
        data_dir: The folder of named sets; None: the cache.
        download: Fetch a named set from its publisher where it is missing.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.shipping.export.export` raises.
    """
    return export_request(request_of(ExportRequest, locals(), run=model))


@call_as_in("striate.verify('runs/train/digits-001/export/model.onnx')", other_names=OTHER_NAMES)
def verify(
    file: str | PathLike[str],
    *,
    run: Model | str | PathLike[str] | None = None,
    key: str | PathLike[str] | None = None,
    data: Any = None,
    images: int = 256,
    module: Any = None,
    skip_unreadable: bool = False,
    layout: Layout = "auto",
    data_dir: str | PathLike[str] | None = None,
    download: bool = False,
) -> VerifyReport:
    """Check that an exported file is unchanged, and that it answers as its run on this machine.

    Args:
        file: The file that `export` wrote.
        run: The run that it comes from; the one that the report beside the file names, where it is there, when left out.
        key: A PEM file with a public key, whose owner must have signed the file.
        data: Whose val split is compared; the run's own data when left out.
        images: Pictures of the val split to compare, at most.
        module: Your own torch module, where the run trained one: files hold its weights alone.
        skip_unreadable: Leave out pictures that cannot be decoded, and say so.
        layout: How to read the folders of the data if their names are ambiguous; auto: as in the training.
        data_dir: The folder of named sets; None: the cache.
        download: Fetch a named set from its publisher where it is missing.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.shipping.verify.verify` raises.
    """
    return verify_request(request_of(VerifyRequest, locals(), file=given_path(file, "file")))


@call_as_in("striate.explain('runs/train/digits-001', 'new/', methods=('grad_cam', 'occlusion'))", other_names=OTHER_NAMES)
def explain(
    model: Model | str | PathLike[str],
    *pictures: str | PathLike[str],
    data: Any = None,
    methods: Sequence[Asked] = ("grad_cam",),
    views: Sequence[View] = (),
    layer: str | None = None,
    target: str | None = None,
    mistakes: bool = False,
    num_pictures: int = 12,
    sanity: bool = True,
    split: Literal["train", "val"] | None = None,
    seed: int = 0,
    output: str | PathLike[str] | None = None,
    device: str = "auto",
    module: Any = None,
    skip_unreadable: bool = False,
    layout: Layout = "auto",
    data_dir: str | PathLike[str] | None = None,
    download: bool = False,
) -> ExplainReport:
    """Explain a model: `striate.explain("runs/train/digits-001", "new/", methods=("grad_cam", "occlusion")).output`.

    Args:
        model: A Model, a run folder, or a model file.
        *pictures: Files, or folders of them; some of the run's val split when left out.
        data: The run's own data by default.
        methods: Heat maps, such as grad_cam, saliency and occlusion; all for all of them and all views.
        views: filters, maps, units, favourites and more, drawn too.
        layer: Of Grad-CAM and of the views; the last feature map by default.
        target: The class that is explained; the model's answer by default.
        mistakes: Only pictures of the split that the model gets wrong, the most confident first.
        num_pictures: The maximum number of pictures to explain.
        sanity: Deletion, insertion, and what remains of a map when the weights are randomised.
        split: None: val; all of other data without splits.
        seed: Of all that is random.
        output: The folder that it is written to.
        device: auto, cpu, cuda, cuda:1 or mps.
        module: Your own torch module, where the run trained one: files hold its weights alone.
        skip_unreadable: Leave out pictures that cannot be decoded, and say so.
        layout: How to read the folders of the data if their names are ambiguous; auto: as in the training.
        data_dir: The folder of named sets; None: the cache.
        download: Fetch a named set from its publisher where it is missing.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.explanation.explain.explain` raises.
    """
    return explain_request(request_of(ExplainRequest, locals(), run=model, pictures=tuple(map(Path, pictures))))


@call_as_in("striate.attack('runs/train/digits-001', attacks=('fgsm', 'pgd'))", other_names=OTHER_NAMES)
def attack(
    model: Model | str | PathLike[str],
    data: Any = None,
    *,
    attacks: Sequence[Attack] = USUAL,
    norm: Literal["linf", "l2"] = "linf",
    epsilons: Sequence[float] | None = None,
    steps: int = 20,
    restarts: int = 1,
    degrees: Sequence[float] = DEGREES,
    pixels: Sequence[int] = PIXELS,
    split: Literal["train", "val"] | None = None,
    num_images: int = 500,
    seed: int = 0,
    batch_size: int = 128,
    output: str | PathLike[str] | None = None,
    device: str = "auto",
    module: Any = None,
    skip_unreadable: bool = False,
    layout: Layout = "auto",
    data_dir: str | PathLike[str] | None = None,
    download: bool = False,
) -> AttackReport:
    """Attack a model: `striate.attack("runs/train/digits-001", attacks=("fgsm", "pgd")).results`.

    Args:
        model: A Model, a run folder, or a model file.
        data: Whose pictures are attacked; the run's own data when left out.
        attacks: fgsm, pgd, deepfool, cw, noise, rotation, shift, flip, corruptions.
        norm: Of fgsm, pgd and noise; deepfool and cw are of L2.
        epsilons: In units of a pixel's range, 0 to 1.
        steps: Steps of pgd.
        restarts: Climbs of pgd from random places, beside the one from FGSM's place.
        degrees: Rotation angles in degrees.
        pixels: Shifts in whole pixels, each to the right, left, down and up; of signals in whole places, each to later and earlier ones.
        split: None: val; all of other data without splits.
        num_images: The first so many; all where there are fewer.
        seed: Of all that is random.
        batch_size: Pictures at once on a GPU; a processor takes few.
        output: RUN/report/attack by default.
        device: auto, cpu, cuda, cuda:1 or mps.
        module: Your own torch module, where the run trained one: files hold its weights alone.
        skip_unreadable: Leave out pictures that cannot be decoded, and say so.
        layout: How to read the folders of the data if their names are ambiguous; auto: as in the training.
        data_dir: The folder of named sets; None: the cache.
        download: Fetch a named set from its publisher where it is missing.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.attack.attack` raises.
    """
    return attack_request(request_of(AttackRequest, locals(), run=model))


@call_as_in("striate.filter('cat.jpg', 'blur', 'sobel', output='edges.png')", other_names=OTHER_NAMES)
def filter(  # noqa: A001  # the verb's own name
    image: str | PathLike[str],
    *steps: str,
    form: Form = "correlate",
    output: str | PathLike[str] | None = None,
) -> FilterReport:
    """Filter a picture with kernels: `striate.filter("cat.jpg", "blur", "sobel", output="edges.png").output`.

    Args:
        image: A picture file.
        *steps: Names of kernels and effects, `exposure=1.6`, or kernels written as "[[...], ...]", in that order.
        form: correlate, as networks do, or convolve, which turns the kernel first.
        output: IMAGE-filtered.png in the working folder by default.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.explanation.filters.filter_picture` raises.
    """
    return filter_picture(request_of(FilterRequest, locals(), image=given_path(image, "image")))


@call_as_in("striate.report('runs/train/digits-001')", other_names=OTHER_NAMES)
def report(
    run: str | PathLike[str],
    data: Any = None,
    *,
    split: Literal["train", "val", "test"] = "val",
    num_explained: int = 8,
    measure: bool = True,
    output: str | PathLike[str] | None = None,
    device: str = "auto",
    module: Any = None,
    skip_unreadable: bool = False,
    layout: Layout = "auto",
    data_dir: str | PathLike[str] | None = None,
    download: bool = False,
) -> RunReport:
    """Summarize a run on one page: `striate.report("runs/train/digits-001").output`.

    Args:
        run: A run folder.
        data: The run's data, where it lies elsewhere now.
        split: That it is measured on; each opening of test is counted.
        num_explained: Pictures.
        measure: Time the network on this machine too.
        output: RUN/report/index.html by default.
        device: auto, cpu, cuda, cuda:1 or mps.
        module: Your own torch module, where the run trained one: files hold its weights alone.
        skip_unreadable: Leave out pictures that cannot be decoded, and say so.
        layout: How to read the folders of the data if their names are ambiguous; auto: as in the training.
        data_dir: The folder of named sets; None: the cache.
        download: Fetch a named set from its publisher where it is missing.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.reporting.report.report` raises.
    """
    return report_request(request_of(ReportRequest, locals(), run=given_path(run, "run")))


@call_as_in("striate.convert('runs/train/digits-001', fully_convolutional=True)", other_names=OTHER_NAMES)
def convert(
    model: Model | str | PathLike[str], *, fully_convolutional: bool = False, output: str | PathLike[str] | None = None
) -> ConvertReport:
    """Write a classifier in another form: `striate.convert("runs/train/digits-001", fully_convolutional=True).output`.

    Args:
        model: A Model, a run folder, or a model file.
        fully_convolutional: Dense layers become convolutions, with the same weights: a map of scores on larger pictures.
        output: The file; RUN/fully_convolutional.safetensors by default.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.convert.convert` raises.
    """
    return convert_request(request_of(ConvertRequest, locals(), run=model))


@call_as_in("striate.repeat('digits', seeds=5, network='lenet5')", other_names=OTHER_NAMES)
def repeat(
    data: Any,
    *,
    seeds: int | None = None,
    folds: int | None = None,
    test: bool = False,
    ensemble: bool = False,
    observer: Observer | None = None,
    **options: Unpack[TrainingOptions],
) -> RepeatReport:
    """The same training from several seeds, or on k folds: `striate.repeat("digits", seeds=5, network="lenet5").accuracy.mean`.

    Args:
        data: A named set, a folder, an `.npz` file, or a pair of arrays (X, y).
        seeds: From so many seeds, on one division into train and val; or
        folds: so many folds, of which each validates once.
        test: Measure each kept model on the test split too.
        ensemble: Of seeds: measure the models together too, and keep them as one model file.
        observer: Is told of updates, epochs and messages; none by default.
        **options: Of the training, see below; `output` is the folder of all the runs.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.training.repeat.repeat` raises.
    """
    output = options.pop("output", None)
    training = with_checked_fields(TrainRequest, data=data, **with_module(options))
    request = with_checked_fields(RepeatRequest, training=training, seeds=seeds, folds=folds, output=output, test=test, ensemble=ensemble)
    return repeat_request(request, observer=observer)


@call_as_in("striate.repro('runs/train/digits-001')", other_names=OTHER_NAMES)
def repro(
    run: str | PathLike[str],
    data: Any = None,
    *,
    observer: Observer | None = None,
    module: Any = None,
    network: Any = None,
    output: str | PathLike[str] | None = None,
    data_dir: str | PathLike[str] | None = None,
) -> ReproReport:
    """Repeat a run and compare, bit for bit: `striate.repro("runs/train/digits-001").equal`.

    Args:
        run: A run folder.
        data: The data again, where the run was trained on arrays, or where it lies elsewhere now.
        observer: Is told of updates, epochs and messages; none by default.
        module: Your own module again, with the weights that it began with, where the run trained one.
        network: The same, as `train` calls it.
        output: Keep the repeated run here; None: it is thrown away.
        data_dir: The folder of named sets; None: the cache.

    Raises:
        UsageError: an unknown or bad field; and what `striate.workflows.training.repro.repro` raises.
    """
    return repro_request(
        request_of(
            ReproRequest,
            locals(),
            run=given_path(run, "run"),
            **with_module({"network": network, **({"module": module} if module is not None else {})}),
        ),
        observer=observer,
    )


for function in (train, repeat):  # in an editor they complete by their types; here they are explained
    options = "\n".join(f"        {option.field}: {option.help}" for option in OPTIONS)
    function.__doc__ = f"{function.__doc__}\n    Options:\n{options}\n"

__all__: Sequence[str] = (
    "ablate",
    "attack",
    "calibrate",
    "check",
    "compare",
    "convert",
    "diagnose",
    "evaluate",
    "explain",
    "export",
    "filter",
    "predict",
    "preview",
    "profile",
    "repeat",
    "report",
    "repro",
    "train",
)
