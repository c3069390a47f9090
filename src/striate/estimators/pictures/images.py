"""The base of the scikit-learn estimators of pictures: their settings, and the fitting of a network."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from os import PathLike
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import DataWarning, ShapeError, UnknownNameError, UsageError
from striate.core.images import ImageSpec
from striate.core.refusals import refusal
from striate.core.seeds import torch_seed
from striate.core.settings import check_counts, is_whole
from striate.core.targets import TargetSpec
from striate.data.arrays import as_images
from striate.data.augmentation.record import Augmentation
from striate.data.checks import look
from striate.data.decode import fit_image
from striate.data.findings import DataFinding
from striate.data.records import ImageSet
from striate.engine.settings import LossName, TrainSettings
from striate.estimators.randomness import seed_of
from striate.models.fitting import Fitting, channel_statistics, default_settings, fit_images, network_for, shift_for
from striate.models.model import Model
from striate.networks.catalog import network as catalog_network
from striate.networks.model_file import ModelFile
from striate.networks.network import Network

Record = TypeVar("Record")

OWN_ARGUMENTS = ("crop_padding", "flip", "mixup", "cutmix", "policy", "erasing")  # of the augmentation
AUGMENTATIONS = [each.name for each in dataclasses.fields(Augmentation)]


@dataclass(eq=False, repr=False)
class ImageEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """A network that is fitted to pictures in memory; what its outputs mean is the subclass's."""

    _noun = "estimator"

    network: str | Network | None = None
    _: KW_ONLY
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    optimizer: str | None = None
    weight_decay: float | None = None
    crop_padding: int | None = None
    flip: bool = False
    mixup: float = 0.0
    cutmix: float = 0.0
    policy: str | None = None
    erasing: float = 0.0
    augmentation: Mapping[str, Any] | None = None
    precision: str = "auto"
    device: str = "auto"
    random_state: Any = 0

    def _fit(self, images: np.ndarray, labels: np.ndarray, names: tuple[str, ...], loss: LossName, targets: TargetSpec | None) -> None:
        """Train on `images` (n, h, w, c) and `labels`, classes or targets by `names`; sets what was learned."""
        self._shape = images.shape[1:]
        network = self._described(images, len(names))
        spec = self._spec(network, images)
        fitted = np.stack([fit_image(image, spec) for image in images])
        paths = tuple(map(str, range(len(images))))
        fitting = Fitting(
            network=network,
            images=spec,
            classes=names,
            settings=self._settings(network, len(images), loss),
            augmentation=self._changes(network, numbers=targets is not None),
            targets=targets,
        )
        pictures = ImageSet("arrays", "train", fitted, labels, names, paths)
        self.data_findings_ = look(pictures, spec=spec, size=images.shape[1:3])
        warn_of_whole(self.data_findings_)
        training = fit_images(fitting, pictures, None)
        self.history_ = [event.row._asdict() for event in training.events if event.row is not None]
        self.n_features_in_ = int(np.prod(images.shape[1:]))
        with torch_seed(0):  # replaced by what was learned
            module = network.build().eval()
        module.load_state_dict(training.state())
        info = {"data": "arrays", "epochs": len(self.history_), "loss": loss}
        self.model_ = Model(ModelFile(network, module, names, spec, info, targets))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted network to `path` (.safetensors), a model file: `striate.load` and `striate predict` open it.

        Raises:
            NotFittedError: nothing was fitted yet.
            EnvironmentFault: the file cannot be written.
        """
        check_is_fitted(self)
        self.model_.save(path)

    def _changes(self, network: Network, *, numbers: bool) -> Augmentation:
        """The record that the command line fills, too: separate arguments, overridden by those of `augmentation`."""
        chosen = {name: getattr(self, name) for name in OWN_ARGUMENTS} | dict(self.augmentation or {})
        for name in chosen:
            if name not in AUGMENTATIONS:
                raise UnknownNameError("name in augmentation", name, AUGMENTATIONS, f"Known: {', '.join(AUGMENTATIONS)}.")
        if chosen["crop_padding"] is None:  # numbers, such as places, may change with a shift
            chosen["crop_padding"] = 0 if numbers else shift_for(network, self._shape[2])
        return Augmentation(**chosen)

    def _seen(self, X: Any) -> np.ndarray:
        """The pictures X as the fitted network takes them."""
        check_is_fitted(self)
        images = as_images(X, "X")
        if images.shape[1:] != self._shape:
            raise ShapeError(f"X has pictures of shape {images.shape[1:]}, the {self._noun} was fitted to {self._shape}")
        return self.model_.read(images)

    def _described(self, images: np.ndarray, num_outputs: int) -> Network:
        height, width, channels = images.shape[1:]
        if isinstance(self.network, Network):
            return self.network
        name = self.network or network_for((height, width))
        native = catalog_network(name)
        size = (height, width) if native.fits((channels, height, width)) else None
        return catalog_network(name, num_classes=num_outputs, in_channels=channels, input_size=size)

    def _spec(self, network: Network, images: np.ndarray) -> ImageSpec:
        channels, height, width = network.input_shape
        mean, std = channel_statistics(images)
        if len(mean) == 1:  # a grey picture is repeated over the network's channels
            mean, std = mean * channels, std * channels
        return ImageSpec(height=height, width=width, channels=channels, mean=mean, std=std, fit="pad")

    def _settings(self, network: Network, num_train: int, loss: LossName) -> TrainSettings:
        seed = self.random_state if is_whole(self.random_state) else seed_of(self.random_state)
        names = ("epochs", "batch_size", "optimizer", "learning_rate", "weight_decay")
        chosen = {name: getattr(self, name) for name in names}
        check_counts(**{name: value for name, value in chosen.items() if isinstance(value, bool)})  # which pydantic takes for 0 and 1
        return checked(
            default_settings,
            network,
            num_train,
            loss=loss,
            precision=self.precision,
            device=self.device,
            seed=seed,
            **{name: value for name, value in chosen.items() if value is not None},
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


def warn_of_whole(found: Iterable[DataFinding]) -> None:
    """Warn if all pictures are blank; other findings can be queried."""
    for finding in found:
        if finding.kind == "faint_pictures" and finding.severity == "warning":
            warnings.warn(str(finding), DataWarning, stacklevel=4)


def checked(make: Callable[..., Record], *arguments: Any, **fields: Any) -> Record:
    """The result of `make`.

    Raises:
        UsageError: a field is out of its range; names it.
    """
    try:
        return make(*arguments, **fields)
    except ValidationError as error:
        found = refusal(error)
        raise found.cause or UsageError(f"{found.field.replace('seed', 'random_state')}: {found.said}", found.remedy) from None
