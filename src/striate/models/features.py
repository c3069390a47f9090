"""Features of pictures: what reaches the head of a network that stays as it is, and the folder in which they are kept for the next time.

They are computed by a copy whose batch normalizations are folded into the convolutions before them (Jacob et al., 2018,
arXiv:1712.05877, section 3.2), with channels last in memory, in groups of one size: a picture has the same features, bit for bit,
whatever others it comes with.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from striate.core.errors import EnvironmentFault, RefusedFileError
from striate.core.files import make_folder
from striate.core.images import ImageSpec
from striate.core.modes import hooked
from striate.core.tensor_files import numpy_arrays, read_tensor_file, write_tensor_file
from striate.data.fitting import fit_images
from striate.data.packing import data_directory

if TYPE_CHECKING:
    from torch import Tensor

    from striate.networks.modules.image import ImageModule

GROUP = 4  # pictures that the network sees at a time; of 16 the maps leave the caches, which halves the speed
FEW = 2_000  # pictures, of which two views are seen: the second gains half a point to a point of accuracy from 400 photos
MIDDLE = 0.8  # of the height and the width, that the second view shows
SMALLER = 2 / 3  # of the side of the first view: within 0.004 of the accuracy of the whole side, in 0.44 of the time
STRIDE = 32  # pixels: the side of the second view is a whole number of strides
MOST_KEPT = 10_000  # pictures of a file
MOST_FILES = 8  # of networks and sizes; the oldest go


def features(
    module: ImageModule, head: str, images: np.ndarray, *, done: Callable[[int, int], None] = lambda _done, _total: None
) -> np.ndarray:
    """(N, F) float32: what reaches the layer `head` of the described network for each picture.

    Args:
        module: The network, on its device; it stays as it is.
        head: The path of the layer.
        images: (N, H, W, C) uint8, of the module's own size.
        done: Is told of the pictures that are done, and of all.
    """
    fast = folded(module)
    kept: list[Tensor] = []

    def keep(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        kept.append(inputs[0].float().cpu())

    rows: list[np.ndarray] = []
    layer = fast.network.get_submodule(head)
    with torch.inference_mode(), hooked([layer.register_forward_pre_hook(keep)]):
        for start in range(0, len(images), GROUP):
            places = np.minimum(np.arange(start, start + GROUP), len(images) - 1)  # the last group is filled up
            group = torch.from_numpy(np.ascontiguousarray(images[places])).to(module.scale.device)  # (GROUP, H, W, C)
            fast(group)
            rows.append(kept.pop().numpy()[: len(images) - start])
            done(min(start + GROUP, len(images)), len(images))
    return np.concatenate(rows)


def folded(module: ImageModule) -> ImageModule:
    """A copy for evaluation, with each batch normalization that follows a convolution folded into it."""
    fast = copy.deepcopy(module).eval().requires_grad_(False)
    for chain in fast.modules():
        children = list(chain.named_children()) if isinstance(chain, nn.Sequential) else []
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and conv.weight.ndim == 4 and isinstance(norm, nn.BatchNorm2d):
                setattr(chain, name, nn.utils.fuse_conv_bn_eval(conv, norm))
                setattr(chain, norm_name, nn.Identity())
    return fast.to(memory_format=torch.channels_last)


def kept_views(
    module: ImageModule,
    head: str,
    images: np.ndarray,
    say: Callable[[str], None],
    *,
    done: Callable[[int, int], None] = lambda _done, _total: None,
) -> np.ndarray:
    """(N, V, F) the features of views of pictures, as of `kept_features`: each as it is and, of at most `FEW`, its middle, smaller."""
    if len(images) > FEW:
        return kept_features(module, head, images, say, done=done)[:, None]
    count = len(images)
    plain = kept_features(module, head, images, say, done=lambda some, _: done(some, 2 * count))
    near = kept_features(module, head, middles(images), lambda _: None, done=lambda some, _: done(count + some, 2 * count))
    return np.stack([plain, near], 1)


def middles(images: np.ndarray) -> np.ndarray:
    """The middle of each picture (N, H, W, C), (N, h, w, C): of 288 pixels 192, of which the middle of the picture has 230."""
    _, height, width, channels = images.shape
    top, left = (round(extent * (1 - MIDDLE) / 2) for extent in (height, width))
    plain = (0.5,) * channels
    smaller = [max(1, round(SMALLER * extent / STRIDE)) * STRIDE for extent in (height, width)]
    spec = ImageSpec(height=smaller[0], width=smaller[1], channels=channels, mean=plain, std=plain, fit="stretch")
    return fit_images(np.ascontiguousarray(images[:, top : height - top, left : width - left]), spec)


def kept_features(
    module: ImageModule,
    head: str,
    images: np.ndarray,
    say: Callable[[str], None],
    *,
    done: Callable[[int, int], None] = lambda _done, _total: None,
) -> np.ndarray:
    """The same as `features`: those of pictures that the same network has seen before are read, the others are kept for the next time.

    They lie in `features/` of the data directory, by a hash of the network and one of each picture's pixels. Where that cannot be read or
    written, all are computed, which is said.
    """
    path = data_directory() / "features" / f"{_key(module, head)}.safetensors"
    known = _read(path, say)
    digests = [hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in images]
    missing = [place for place, digest in enumerate(digests) if digest not in known]
    if missing:
        if len(missing) < len(images):
            say(f"features  of {len(images) - len(missing):,} of {len(images):,} pictures are kept from before")
        fresh = features(module, head, images[missing] if len(missing) < len(images) else images, done=done)
        known |= {digests[place]: row for place, row in zip(missing, fresh, strict=True)}
        _write(path, known, say)
    else:
        say(f"features  of all {len(images):,} pictures are kept from before")
    return np.stack([known[digest] for digest in digests])


def _key(module: ImageModule, head: str) -> str:
    """A hash of everything that decides features but the picture."""
    digest = hashlib.sha256(repr((torch.__version__, module.scale.device.type, module.normalization, head, GROUP)).encode())
    digest.update(repr(module.network).encode())
    for name, tensor in [("scale", module.scale), ("offset", module.offset), *module.network.state_dict().items()]:
        if not name.startswith(f"{head}."):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _read(path: Path, say: Callable[[str], None]) -> dict[bytes, np.ndarray]:
    """The features of a file by the digests of the pictures; none where there is no file, or none that can be used."""
    if not path.exists():
        return {}
    try:
        arrays = numpy_arrays(read_tensor_file(path))
        return {row.tobytes(): values for row, values in zip(arrays["digests"], arrays["features"], strict=True)}
    except (RefusedFileError, KeyError, ValueError) as error:
        say(f"features  those kept in {path} cannot be used, and are computed again: {error}")
        return {}


def _write(path: Path, known: dict[bytes, np.ndarray], say: Callable[[str], None]) -> None:
    """Keep the latest features of at most `MOST_KEPT` pictures, and of `MOST_FILES` networks."""
    import safetensors.numpy

    latest: Sequence[bytes] = list(known)[-MOST_KEPT:]
    arrays = {
        "digests": np.stack([np.frombuffer(digest, np.uint8) for digest in latest]),
        "features": np.stack([known[digest] for digest in latest]),
    }
    try:
        make_folder(path.parent)
        write_tensor_file(path, safetensors.numpy.save(arrays), numpy_arrays)
        files = sorted(path.parent.glob("*.safetensors"), key=lambda file: file.stat().st_mtime)
        for file in files[:-MOST_FILES]:
            with contextlib.suppress(OSError):
                file.unlink()
    except (EnvironmentFault, OSError) as error:
        say(f"features  are not kept for the next time: {str(error).splitlines()[0]}")
