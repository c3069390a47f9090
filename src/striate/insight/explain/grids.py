"""A layer's output as a feature map (N, C, h, w): channels first, channels last, or a transformer's tokens (N, T, D) on their grid."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

UNEVEN = 1.5  # how much more a map may shrink along one side of the picture than along the other
BEFORE = 8  # tokens at most that stand before those of the patches: class, distillation, registers


def as_map(output: Tensor, extent: Sequence[int]) -> Tensor:
    """`output` of a layer with its channels second and its places last; unchanged if it is not a map.

    Args:
        output: (N, C, h, w), (N, h, w, C), or (N, T, D), of which the last h w tokens are patches of the picture, row by row; of signals
            (N, C, l), which becomes (N, C, 1, l).
        extent: (H, W) of the pictures; (1, L) of signals.
    """
    if is_line(extent) and output.ndim == 3:
        return output[:, :, None] if output.shape[2] <= extent[1] else output
    if output.ndim == 4 and not _covers(output.shape[2:], extent) and _covers(output.shape[1:3], extent):
        return output.permute(0, 3, 1, 2)
    grid = patch_grid(output.shape[1], extent) if output.ndim == 3 else None
    if grid is None:
        return output
    patches = output[:, -grid[0] * grid[1] :]  # (N, h w, D)
    return patches.reshape(len(output), *grid, -1).permute(0, 3, 1, 2)


def is_map(output: Tensor, extent: Sequence[int]) -> bool:
    """Return whether `as_map` gives a map of more than one place."""
    found = as_map(output, extent)
    return found.ndim == 4 and min(found.shape[3:] if is_line(extent) else found.shape[2:]) > 1


def is_line(extent: Sequence[int]) -> bool:
    """Return whether pictures of this (H, W) are signals in disguise."""
    return extent[0] == 1


def patch_grid(num_tokens: int, extent: Sequence[int]) -> tuple[int, int] | None:
    """Rows and columns of the square patches, at least 2 of each, that are `num_tokens` with as few as possible before them; or None."""
    height, width = extent
    sides = (side for side in range(2, min(height, width) // 2 + 1) if height % side == 0 and width % side == 0)
    grids = {(height // side) * (width // side): (height // side, width // side) for side in sides}
    return next((grids[count] for count in range(num_tokens, num_tokens - BEFORE - 1, -1) if count in grids), None)


def _covers(sides: Sequence[int], extent: Sequence[int]) -> bool:
    """Return whether a map of these sides is reduced by about the same factor along both."""
    if min(sides) < 1 or any(side > whole for side, whole in zip(sides, extent, strict=True)):
        return False
    across, down = (whole / side for side, whole in zip(sides, extent, strict=True))
    return max(across, down) <= UNEVEN * min(across, down)
