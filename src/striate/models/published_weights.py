"""Weights that timm and torchvision publish: found in the caches that these libraries keep, and downloaded only on request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlparse

import torch

from striate.core.errors import EnvironmentFault, UnknownNameError, UsageError
from striate.core.tensor_files import read_tensor_file, torch_tensors
from striate.data.download import fetch
from striate.models.pickled_weights import is_pickled, pickled_tensors
from striate.networks.foreign import is_published_name, published_parts
from striate.networks.layers.foreign import Library, check_name, library

if TYPE_CHECKING:
    from torch import Tensor

TIMM: Library = "timm"
TORCHVISION: Library = "torchvision"
PUBLISHERS: tuple[str, ...] = (TIMM, TORCHVISION)  # as a source: the weights that they publish for the network

# What timm publishes for networks of the catalogue. tv: torchvision's weights. The networks agree in the order of registration.
TIMM_TWINS = {
    **{f"vgg{depth}{norm}": f"vgg{depth}{norm}.tv_in1k" for depth in (11, 13, 16, 19) for norm in ("", "_bn")},
    **{f"resnet{depth}": f"resnet{depth}.tv_in1k" for depth in (18, 34, 50, 101, 152)},
    **{f"densenet{depth}": f"densenet{depth}.tv_in1k" for depth in (121, 169, 201)},
    "resnext50_32x4d": "resnext50_32x4d.tv_in1k",
    "resnext101_32x8d": "resnext101_32x8d.tv_in1k",
    "inception_v3": "inception_v3.tv_in1k",
    "inception_v4": "inception_v4.tf_in1k",
    "inception_resnet_v2": "inception_resnet_v2.tf_in1k",
    "xception": "legacy_xception.tf_in1k",
    **{f"resnet{depth}d": f"resnet{depth}d.ra2_in1k" for depth in (50, 101)},
    **{f"wide_resnet{depth}_2": f"wide_resnet{depth}_2.tv_in1k" for depth in (50, 101)},
    "se_resnet50": "seresnet50.ra2_in1k",
    "se_resnext50_32x4d": "seresnext50_32x4d.racm_in1k",
    "se_resnext101_32x4d": "seresnext101_32x4d.gluon_in1k",
    "mobilenet_v1": "mobilenetv1_100.ra4_e3600_r224_in1k",
    "resnetv2_50": "resnetv2_50.a1h_in1k",
    "mobilenet_v2": "mobilenetv2_100.ra_in1k",
    "efficientnet_b0": "efficientnet_b0.ra_in1k",
    **{f"efficientnet_lite{number}": f"tf_efficientnet_lite{number}.in1k" for number in (0, 1, 2)},
    "regnet_x_400mf": "regnetx_004_tv.tv2_in1k",
    "regnet_x_800mf": "regnetx_008.tv2_in1k",
    "regnet_x_1_6gf": "regnetx_016.tv2_in1k",
    "regnet_x_3_2gf": "regnetx_032.tv2_in1k",
    "regnet_y_400mf": "regnety_004.tv2_in1k",
    "regnet_y_800mf": "regnety_008_tv.tv2_in1k",
    "regnet_y_1_6gf": "regnety_016.tv2_in1k",
    "regnet_y_3_2gf": "regnety_032.tv2_in1k",
    **{f"convnextv2_{size}": f"convnextv2_{size}.fcmae_ft_in1k" for size in ("atto", "tiny")},
    "convnext_tiny": "convnext_tiny.fb_in1k",
}


class PublishedWeights(NamedTuple):
    """Weights under their publisher's names, and what pictures were normalized with."""

    source: str  # in words
    tensors: dict[str, Tensor]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def published_weights(publisher: str, network: str, *, download: bool) -> PublishedWeights:
    """The weights that timm or torchvision publishes for a network of the catalogue, or for one of its own.

    Args:
        publisher: One of `PUBLISHERS`.
        network: A name of the catalogue, `timm:NAME` or `torchvision:NAME`, with the tag of one of several trainings where wanted.
        download: Fetch them where the cache does not have them.

    Raises:
        UsageError: none are published for the network.
        UnknownNameError: the library has no such network.
        EnvironmentFault: the library is not installed, or the weights are not in its cache and cannot be fetched.
        RefusedFileError: the file is damaged.
    """
    which, model, tag = published_parts(network) if is_published_name(network) else ("", network, "")
    if which not in ("", publisher):
        raise UsageError(f"`pretrained={publisher!r}`: {network} is a network of {which}", f"Say `pretrained={which!r}`.")
    return (_timm if publisher == TIMM else _torchvision)(model, tag, own=bool(which), download=download)


# ---- timm


def _timm(model: str, tag: str, *, own: bool, download: bool) -> PublishedWeights:
    if not own:
        if model not in TIMM_TWINS:
            remedy = f"Networks of the catalogue with weights: {', '.join(TIMM_TWINS)}; or `network='timm:NAME'`."
            raise UsageError(f"`pretrained='timm'`: no weights are published for {model}", remedy)
        model, _, tag = TIMM_TWINS[model].partition(".")
    check_name(TIMM, model)
    timm = library(TIMM)
    known = timm.list_pretrained(f"{model}.*")
    wanted = f"{model}.{tag}" if tag else model
    if not known or (tag and wanted not in known):
        remedy = f"Known: {', '.join(known)}." if known else "Leave `pretrained` out, or choose another network."
        raise UsageError(f"`pretrained='timm'`: no weights {wanted} are published", remedy)
    config = timm.get_pretrained_cfg(wanted)
    path = fetch_from_hub(config.hf_hub_id, download=download)
    tensors = pickled_tensors(path) if is_pickled(path) else torch_tensors(read_tensor_file(path))
    return PublishedWeights(f"timm's {config.hf_hub_id}", tensors, tuple(config.mean), tuple(config.std))


def fetch_from_hub(repository: str, *, download: bool) -> Path:
    """The weights of a repository of timm's publisher: from the cache, or downloaded.

    Raises:
        EnvironmentFault: they are not in the cache and not to be downloaded, or cannot be.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    for name in ("model.safetensors", "pytorch_model.bin"):  # the second is what old versions of timm left there
        try:
            return Path(hf_hub_download(repository, name, local_files_only=True))
        except (LocalEntryNotFoundError, OSError, ValueError):
            continue
    if not download:
        raise _not_at_hand(f"weights {repository}", constants.HF_HUB_CACHE)
    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        remedy = "Go online for the first use, or give a file: `pretrained='FILE.safetensors'`."
        raise EnvironmentFault(f"the weights {repository} cannot be downloaded: {reason}", remedy) from None


def _not_at_hand(what: str, folder: str | Path) -> EnvironmentFault:
    remedy = "Download them: `download=True`; or name a file of weights, or `pretrained='builtin'`, which is installed."
    return EnvironmentFault(f"the {what} are not in the cache {folder}, and nothing is downloaded unasked", remedy)


# ---- torchvision


def _torchvision(model: str, tag: str, *, own: bool, download: bool) -> PublishedWeights:
    try:
        check_name(TORCHVISION, model)
    except UnknownNameError:
        if own:
            raise
        message = f"`pretrained='torchvision'`: no weights are published for {model}"
        raise UsageError(message, "Choose a network that torchvision has too, or `network='torchvision:NAME'`.") from None
    known = library(TORCHVISION).models.get_model_weights(model)
    names = [each.name for each in known]
    if tag and tag not in names:
        raise UsageError(f"`pretrained='torchvision'`: no weights {model}.{tag} are published", f"Known: {', '.join(names)}.")
    wanted = [known[tag]] if tag else list(dict.fromkeys([known.DEFAULT, *known]))
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    chosen, path = next(_cached(wanted, folder), (wanted[0], folder / _file_of(wanted[0])))
    if not path.is_file():
        if not download:
            raise _not_at_hand(f"weights {model}.{chosen.name} of torchvision ({path.name})", folder)
        fetch(chosen.url, path, sha256=_sha256_of(path))
    preprocessing = chosen.transforms()
    return PublishedWeights(
        f"torchvision's {model}.{chosen.name}",
        pickled_tensors(path, sha256=_sha256_of(path)),
        tuple(preprocessing.mean),
        tuple(preprocessing.std),
    )


def _cached(weights: list[Any], folder: Path) -> Iterator[tuple[Any, Path]]:
    """Those of the weights that lie in the folder, with their file."""
    for each in weights:
        if (folder / _file_of(each)).is_file():
            yield each, folder / _file_of(each)


def _file_of(weights: Any) -> str:
    return PurePosixPath(urlparse(weights.url).path).name


def _sha256_of(path: Path) -> str:
    """The beginning of the SHA-256 that the name of a file of torchvision ends in; empty where there is none."""
    found = re.search(r"-([0-9a-f]{8,})\.pth$", path.name)
    return found[1] if found else ""
