"""What a verb is given to look at: a catalogue name, a Network, a run, a model file, a Model, or the user's own module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from striate.core.devices import choose_device
from striate.core.errors import UsageError
from striate.models.model import MODEL_NAME, Model, load
from striate.networks.catalog import network as catalogue_network
from striate.networks.foreign import channels_of, needs_its_module, own_network
from striate.networks.model_file import read_model
from striate.networks.network import Network

if TYPE_CHECKING:
    from torch import nn


class Subject(NamedTuple):
    """A network with what is known of it."""

    name: str
    network: Network
    model: Model | None  # trained, where it came from a run, a model file or a Model; not of a module of the user's own that is not at hand

    def module(self) -> nn.Module:
        """The torch module, (N, C, H, W) float to logits: the trained one, or one with fresh weights, random numbers left alone."""
        import torch

        if self.model is not None:
            return self.model.module.get_submodule("network")
        with torch.random.fork_rng(devices=[]):
            return self.network.build()


def model_of(source: Any, *, device: str = "auto", module: nn.Module | None = None) -> Model:
    """The trained model that a verb is given: of a run folder or a model file, or a Model as it is.

    Args:
        source: Where it is, or what it is.
        device: Where it runs; a Model stays where it is.
        module: The user's own module, where the run trained one; its weights are the file's.

    Raises:
        UsageError: there is no such file or folder, or a module is wanted and not handed in, or handed in and not wanted.
        RefusedFileError: the file is not a Striate model, or damaged.
    """
    if isinstance(source, Model):
        if module is not None:
            raise UsageError("module: a Model has its module", "Leave module= out, or name the run folder.")
        return source
    return load(source, device=str(choose_device(device)), module=module)


def subject(
    source: Any,
    num_classes: int | None = None,
    in_channels: int | None = None,
    input_size: int | tuple[int, int] | None = None,
    *,
    module: nn.Module | None = None,
) -> Subject:
    """The network that `source` means; the numbers change one of the catalogue, and `module` is that of a run that needs one.

    Raises:
        UnknownNameError: no such file or folder, and no such name in the catalogue.
        UsageError: numbers for a network that has its own, or none for a module that needs its input's size.
        RefusedFileError: the model file is damaged or not a model.
    """
    from torch import nn

    if isinstance(source, nn.Module):
        if input_size is None:
            raise UsageError(f"a {type(source).__name__} does not define the size of its input", "Give input_size=, such as 32.")
        size = (input_size, input_size) if isinstance(input_size, int) else input_size
        network = own_network(source, (in_channels or channels_of(source) or 3, *size))
        return Subject(network.name, network, None)
    is_path = _is_path(source)
    if isinstance(source, str) and not is_path:
        network = catalogue_network(source, num_classes, in_channels, input_size)
        return Subject(network.name, network, None)
    if (num_classes, in_channels, input_size) != (None, None, None):
        raise UsageError(f"{source if is_path else source.name}: has its own classes and input", "Leave the sizes out.")
    if isinstance(source, Network):
        return Subject(source.name, source, None)
    if isinstance(source, Model):
        return Subject(source.network.name, source.network, source)
    counted = _without_its_module(Path(source)) if is_path else None
    if counted is not None and module is None:
        return Subject(str(source), counted, None)
    model = load(source, module=module if counted is not None else None)
    return Subject(str(source), model.network, model)


def is_untrained(source: Any) -> bool:
    """Whether `source` is a name or a torch module, whose sizes can be chosen."""
    from torch import nn

    return isinstance(source, nn.Module) or (isinstance(source, str) and not _is_path(source))


def _is_path(source: Any) -> bool:
    return isinstance(source, Path) or (isinstance(source, str) and (source.endswith(".safetensors") or Path(source).is_dir()))


def _without_its_module(source: Path) -> Network | None:
    """The network of a run folder or a model file where it is a module of the user's own: it can be counted, not run."""
    file = source / MODEL_NAME if source.is_dir() else source
    network = read_model(file).network if file.is_file() else None
    return network if network is not None and needs_its_module(network) else None
