"""The one door to what a verb looks at: a run, a model file, a Model, a catalogue name, a Network, or the user's own module."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic
from pydantic import ConfigDict

from striate.core.devices import choose_device
from striate.core.errors import UsageError
from striate.core.places import check_file, check_folder
from striate.data.reading import AS_USUAL, Reading
from striate.models.loading import load
from striate.models.model import MODEL_NAME, Model
from striate.models.runtimes import ENDINGS
from striate.networks.catalog import network as catalogue_network
from striate.networks.foreign import channels_of, needs_its_module, own_network
from striate.networks.model_file import read_model
from striate.networks.network import Network
from striate.workflows.runs.behind import run_of
from striate.workflows.subjects.labelled import LOOKED_AT, DataRequest, Labelled, open_labelled
from striate.workflows.subjects.openings import count_opening, say_opening
from striate.workflows.tasks.registry import task_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from striate.data.records import ImageSet


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class LabelledRequest(DataRequest):
    """A trained model, and the labelled pictures that it answers."""

    run: Any  # a run folder, a .safetensors file, or a Model
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network with the facts known of it."""

    name: str  # as reports have it: the path of the run or the file, or the network's name
    network: Network
    model: Model | None = None  # trained, where it came from a run, a model file or a Model, and its module is at hand
    path: Path | None = None  # of the run folder or the model file

    @property
    def run(self) -> Path | None:
        """The run folder that it comes from: the path itself, or the folder of the model file."""
        return run_of(self.path) if self.path is not None else None

    @property
    def weights(self) -> Path | None:
        """The model file: the path itself, or that of the run folder."""
        return self.path / MODEL_NAME if self.path is not None and self.path.is_dir() else self.path

    @property
    def trained(self) -> Model:
        """The model of a subject that was opened as a trained one."""
        if self.model is None:
            raise UsageError(f"{self.name}: is not trained", "Give a run folder or a model file.")
        return self.model

    def module(self) -> nn.Module:
        """The torch module, (N, C, H, W) float to logits: the trained one, or one with fresh weights, random numbers left alone."""
        import torch

        if self.model is not None:
            return self.model.module.get_submodule("network")
        with torch.random.fork_rng(devices=[]):
            return self.network.build()

    def classifier(self, complaint: str, remedy: str) -> Model:
        """The model, if it gives one class per picture.

        Raises:
            UsageError: it gives something else; says `complaint` and `remedy`.
        """
        if not task_of(self.trained).single_class:
            raise UsageError(complaint, remedy)
        return self.trained

    def report_folder(self, name: str, asked: Path | None) -> Path | None:
        """The folder for a verb's tables and pictures: `asked`, else RUN/report/NAME, else None; checked before the work.

        Raises:
            UsageError: a file is in the way.
            EnvironmentFault: it cannot be written.
        """
        output = asked or (self.path / "report" / name if self.path is not None and self.path.is_dir() else None)
        check_folder(output)
        return output

    def model_file(self, name: str, what: str, asked: Path | None) -> Path:
        """The file for the model that a verb makes: `asked`, else RUN/NAME; checked before the work.

        Raises:
            UsageError: there is no place for `what`, the file has another ending, or it is the model itself.
            EnvironmentFault: it cannot be written.
        """
        output = asked or (self.path / name if self.path is not None and self.path.is_dir() else None)
        if output is None:
            raise UsageError(f"no place for the {what}", f"Name a file: `output='{name}'`.")
        if not output.suffix:
            raise UsageError(f"`output` {output}: must end in .safetensors", f"Name it {output}.safetensors.")
        check_file(output, "output", (".safetensors",), makes_folder=True)
        if self.path is not None and output.exists() and output.samefile(self.path):
            raise UsageError(f"`output` {output}: is the model itself, which must not be overwritten", "Choose another file.")
        return output

    @property
    def where(self) -> str:
        """Its name in a command."""
        return str(self.path or "MODEL")

    def open_data(
        self, request: DataRequest, command: str, say: Callable[[str], None], drop: Path | None = None, reading: Reading = AS_USUAL
    ) -> Labelled:
        """The data that the request names, or that of the run, opened; errors name the command. Arguments as of `open_labelled`."""
        return open_labelled(self.trained, self.path, request, verb=command, reading=reading, say=say, drop=drop)

    def pictures(
        self, request: DataRequest, split: str | None, verb: str, say: Callable[[str], None], at_most: int | None = None
    ) -> ImageSet:
        """The pictures of a split of that data; raises as `open_labelled` and `read_split`."""
        return read_split(self.open_data(request, f"{verb} {self.where}", say), split, verb, say, at_most=at_most)[0]


def open_model(source: Any, *, device: str = "auto", module: nn.Module | None = None) -> Subject:
    """The trained model that a verb is given: of a run folder or a model file, or a Model as it is.

    Args:
        source: Its path, or the object itself.
        device: The device to run on; a Model stays on its own.
        module: The user's own module, where the run trained one; its weights are the file's.

    Raises:
        UsageError: there is no such file or folder, or a module is required and not passed, or passed and not required.
        RefusedFileError: the file is not a Striate model, or damaged.
    """
    if isinstance(source, Model):
        if module is not None:
            raise UsageError("module: a Model has its module", "Leave module= out, or name the run folder.")
        return Subject(name=source.network.name, network=source.network, model=source)
    model = load(source, device="cpu" if is_exported(source) else str(choose_device(device)), module=module)
    return Subject(name=str(source), network=model.network, model=model, path=Path(source))


def open_subject(
    source: Any,
    num_classes: int | None = None,
    in_channels: int | None = None,
    input_size: int | tuple[int, int] | None = None,
    *,
    module: nn.Module | None = None,
) -> Subject:
    """The subject `source`, trained or not; the numbers change a network of the catalogue, and `module` is that of a run that needs one.

    Raises:
        UnknownNameError: no such file or folder, and no such name in the catalogue.
        UsageError: numbers for a network that has its own, or none for a module that needs its input's size.
        RefusedFileError: the model file is damaged or not a model.
    """
    if _is_module(source):
        if input_size is None:
            raise UsageError(f"a {type(source).__name__} does not define the size of its input", "Give input_size=, such as 32.")
        size = (input_size, input_size) if isinstance(input_size, int) else input_size
        network = own_network(source, (in_channels or channels_of(source) or 3, *size))
        return Subject(name=network.name, network=network)
    is_path = _is_path(source)
    if isinstance(source, str) and not is_path:
        network = catalogue_network(source, num_classes, in_channels, input_size)
        return Subject(name=network.name, network=network)
    if (num_classes, in_channels, input_size) != (None, None, None):
        raise UsageError(f"{source if is_path else source.name}: has its own classes and input", "Leave the sizes out.")
    if isinstance(source, Network):
        return Subject(name=source.name, network=source)
    if isinstance(source, Model):
        return open_model(source)
    counted = _without_its_module(Path(source)) if is_path else None
    if counted is not None and module is None:
        return Subject(name=str(source), network=counted, path=Path(source))
    model = load(source, module=module if counted is not None else None)
    return Subject(name=str(source), network=model.network, model=model, path=Path(source))


def is_untrained(source: Any) -> bool:
    """Return whether `source` is a name or a torch module, whose sizes can be chosen."""
    return _is_module(source) or (isinstance(source, str) and not _is_path(source))


def read_split(
    labelled: Labelled,
    split: str | None,
    verb: str,
    say: Callable[[str], None],
    order: Sequence[str] = LOOKED_AT,
    at_most: int | None = None,
) -> tuple[ImageSet, int | None]:
    """The pictures of a split, and how often they were opened by now where they are of test and the model has a run, which counts that.

    Raises:
        DataError: there is no such split, or as of `Labelled.read`.
        EnvironmentFault: the run folder cannot be written.
    """
    images = labelled.read(split, say, order, at_most)
    if images.split != "test" or labelled.run is None:
        return images, None
    openings = count_opening(labelled.run, verb, images)
    say_opening(openings, say)
    return images, openings


def _is_module(source: Any) -> bool:
    """Return whether `source` is a torch module; where torch is not imported, there is none."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.nn.Module)


def _is_path(source: Any) -> bool:
    return isinstance(source, Path) or (isinstance(source, str) and (source.endswith((".safetensors", *ENDINGS)) or Path(source).is_dir()))


def is_exported(source: Any) -> bool:
    """Return whether `source` names an exported file, which needs neither torch nor a device."""
    return isinstance(source, str | Path) and str(source).lower().endswith(ENDINGS)


def _without_its_module(source: Path) -> Network | None:
    """The network of a run folder or a model file if it is the user's own module: it can be counted, not run."""
    file = source / MODEL_NAME if source.is_dir() else source
    network = read_model(file).network if file.is_file() and not is_exported(file) else None
    return network if network is not None and needs_its_module(network) else None
