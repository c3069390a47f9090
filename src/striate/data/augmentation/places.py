"""Augmentations that move pixels: uint8 (N, H, W, C) in and out.

Places are whole numbers in parts of a pixel, and so are the weights of the four pixels around one: the result is the same bits in any
batch, on any device and with any number of threads.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from striate.data.augmentation.draws import Draw, Draws, ratios, slopes, turns
from striate.data.augmentation.record import PadMode

Outside = Literal["zero", "reflect", "edge"]
FINE = 2**24  # parts of a pixel in which places are computed
PARTS = 2**11  # parts of a pixel in which they are read
IN_CACHE = 2**16  # pixels that are sampled at a time, whose numbers stay in a processor's cache
SMALL = 48 * 48  # pixels: smaller pictures are sampled faster all at once than one after the other
ATTEMPTS = 10  # at a rectangle that fits into the picture


def flipped(images: Tensor, mirrored: Tensor) -> Tensor:
    """uint8 (N, H, W, C) with those pictures mirrored left to right for which `mirrored` (N,) is true."""
    places = mirrored.nonzero().view(-1).to(images.device)
    return images.index_copy(0, places, images.index_select(0, places).flip(2))


def shifted_crops(images: Tensor, top: Tensor, left: Tensor, pad: int, mode: PadMode) -> Tensor:
    """Pad uint8 (N, H, W, C) by `pad` on all sides and cut (H, W) out of each at its own `top`, `left` (N,) in [0, 2 pad]."""
    count, height, width, channels = images.shape
    padded = F.pad(images, (0, 0, pad, pad, pad, pad))
    if mode == "reflect":
        _mirror_edges(padded, 2, pad)
        _mirror_edges(padded, 1, pad)
    row_bytes = width * channels
    flat = padded.view(-1)
    windows = flat.as_strided((flat.numel() - row_bytes + 1, row_bytes), (1, 1))  # every run of one output row's bytes
    device = images.device
    rows = torch.arange(count, device=device)[:, None] * (height + 2 * pad) + top.to(device)[:, None] + torch.arange(height, device=device)
    starts = (rows * (width + 2 * pad) + left.to(device)[:, None]) * channels  # (N, H)
    return windows.index_select(0, starts.view(-1)).view(count, height, width, channels)


def _mirror_edges(padded: Tensor, axis: int, pad: int) -> None:
    """Fill the first and last `pad` places of `axis` with what lies inside, mirrored; the edge itself is not repeated."""
    size = padded.shape[axis]
    padded.narrow(axis, 0, pad).copy_(padded.narrow(axis, pad + 1, pad).flip(axis))
    padded.narrow(axis, size - pad, pad).copy_(padded.narrow(axis, size - 2 * pad - 1, pad).flip(axis))


def sampled(images: Tensor, rows: Tensor, columns: Tensor, outside: Outside) -> Tensor:
    """Each output pixel from a place of its picture, with bilinear weights, rounded half up.

    Args:
        images: (N, H, W, C) uint8.
        rows: (N, h, w) int64, or what broadcasts to it, in 1/2**24 pixel; 0 is the middle of the first pixel.
        columns: Likewise.
        outside: The pixels outside of a picture: 0, the picture mirrored at its edge pixels, or its edge pixels.

    Returns:
        (N, h, w, C) uint8.
    """
    count = len(images)
    rows, columns = _in_parts(rows), _in_parts(columns)
    few = max(1, IN_CACHE // (rows.shape[1] * columns.shape[2])) if images.device.type == "cpu" else count
    if count > few:
        rows, columns = (places.expand(count, -1, -1) for places in (rows, columns))
        parts = [slice(start, start + few) for start in range(0, count, few)]
        return torch.cat([_sampled(images[part], rows[part], columns[part], outside) for part in parts])
    return _sampled(images, rows, columns, outside)


def _sampled(images: Tensor, rows: Tensor, columns: Tensor, outside: Outside) -> Tensor:
    """`sampled` of places in 1/2**11 pixel, (N, h, w) int32."""
    count, height, width, channels = images.shape
    planes = images.permute(3, 0, 1, 2).reshape(channels, -1)  # each channel by itself: single bytes are found faster than groups
    start = torch.arange(count, device=images.device)[:, None, None] * (height * width)
    totals = [torch.tensor(PARTS * PARTS // 2, dtype=torch.int32, device=images.device)] * channels
    for row, row_weight in _neighbours(rows, height, outside):
        for column, column_weight in _neighbours(columns, width, outside):
            weight = row_weight * column_weight  # (N, h, w), up to 2**22
            places = start + (row * width + column)  # (N, h, w) int64
            for channel, plane in enumerate(planes):
                values = plane.index_select(0, places.view(-1)).view(places.shape)
                totals[channel] = totals[channel] + values.int() * weight
    return torch.stack([(total >> 22).to(torch.uint8) for total in totals], 3)


def _in_parts(places: Tensor) -> Tensor:
    """Places in 1/2**24 pixel (int64), rounded half up to 1/2**11 pixel (int32)."""
    return ((places + FINE // PARTS // 2) >> (FINE // PARTS).bit_length() - 1).int()


def _neighbours(places: Tensor, size: int, outside: Outside) -> list[tuple[Tensor, Tensor]]:
    """The pixel before and after each place along one axis, int32 in [0, size), with its weight, int32 in [0, 2**11]."""
    fraction = places & (PARTS - 1)
    before = places >> 11
    pairs = [(before, PARTS - fraction), (before + 1, fraction)]
    if outside == "reflect":
        return [(_reflected(place, size), weight) for place, weight in pairs]
    if outside == "zero":
        pairs = [(place, weight * ((place >= 0) & (place < size))) for place, weight in pairs]
    return [(place.clamp(0, size - 1), weight) for place, weight in pairs]


def _reflected(places: Tensor, size: int) -> Tensor:
    """Whole places mirrored at the first and the last pixel, as often as it takes."""
    if size == 1:
        return torch.zeros_like(places)
    folded = places.remainder(2 * size - 2)
    return torch.minimum(folded, 2 * size - 2 - folded)


def fine(places: Tensor, device: torch.device) -> Tensor:
    """Places in pixels (float64) as int64 in 1/2**24 pixel."""
    return (places * FINE).round().long().to(device)


def moved(images: Tensor, matrices: Tensor, offsets: Tensor, mode: PadMode, field: Tensor | None = None) -> Tensor:
    """Pictures moved about their middle: the output at p comes from M p + o, both counted in pixels from the middle.

    Args:
        images: (N, H, W, C) uint8.
        matrices: (N, 2, 2) float64 M; rows and columns are (down, right).
        offsets: (N, 2) float64 o, down and right.
        mode: The pixels outside.
        field: (N, 2, H, W) int64, in 1/2**24 pixel, added to the places.
    """
    height, width = images.shape[1:3]
    device = images.device
    # twice the distance to the middle is a whole number
    down = (2 * torch.arange(height, device=device) - (height - 1))[:, None]
    right = (2 * torch.arange(width, device=device) - (width - 1))[None, :]
    halves = fine(matrices / 2, device)[..., None, None]  # (N, 2, 2, 1, 1)
    centre = torch.tensor([(height - 1) / 2, (width - 1) / 2], dtype=torch.float64)
    start = fine(offsets + centre, device)[..., None, None]  # (N, 2, 1, 1)
    rows = halves[:, 0, 0] * down + halves[:, 0, 1] * right + start[:, 0]  # (N, H, W)
    columns = halves[:, 1, 0] * down + halves[:, 1, 1] * right + start[:, 1]
    if field is not None:
        rows, columns = rows + field[:, 0], columns + field[:, 1]
    return sampled(images, rows, columns, mode)


def matrices_of(cosines: Tensor, sines: Tensor, lean_right: Tensor, lean_down: Tensor) -> Tensor:
    """(N, 2, 2) float64 for `moved`: a turn by an angle counter-clockwise, after upright lines lean and level ones.

    The output pixel (down, right) comes from R S (down, right): S = [[1, lean_down], [lean_right, 1]], R = [[cos, sin], [-sin, cos]].
    """
    return torch.stack(
        [
            torch.stack([cosines + sines * lean_right, cosines * lean_down + sines], -1),
            torch.stack([cosines * lean_right - sines, cosines - sines * lean_down], -1),
        ],
        1,
    )


def random_moves(draws: Draws, size: tuple[int, int], *, rotation: float, shear: float, shift: float) -> tuple[Tensor, Tensor]:
    """Matrices (N, 2, 2) and offsets (N, 2) for `moved`: turns and leans in degrees, shifts by whole pixels up to a share of `size`."""
    turn = draws.of(turns(float(rotation)), Draw.ROTATION)  # (N, 2)
    leans = [draws.of(slopes(float(shear)), Draw.SHEAR, way) for way in (0, 1)]
    matrices = matrices_of(turn[:, 0], turn[:, 1], *leans)
    offsets = [_whole(draws, Draw.MOVE, int(shift * side), way) for way, side in enumerate(size)]
    return matrices, torch.stack(offsets, 1)


def _whole(draws: Draws, draw: Draw, most: int, turn: int) -> Tensor:
    """(N,) float64: whole numbers from -most to most, each equally likely."""
    return (draws.bits(draw, turn) % (2 * most + 1) - most).double()


def elastic_field(draws: Draws, size: tuple[int, int], factor: float, sigma: float, device: torch.device) -> Tensor:
    """(N, 2, H, W) int64 in 1/2**24 pixel: noise evenly spread over +-1, smoothed by a Gaussian, times `factor`.

    The kernel sums to 1 and reaches 3 deviations; outside the picture the noise is 0.

    Source: Simard, Steinkraus and Platt, 2003, section 2; alpha is `factor`.
    """
    height, width = size
    noise = draws.field(Draw.ELASTIC, height * width, device)  # (N, HW)
    both = torch.stack([noise & 0xFFFF, (noise >> 16) & 0xFFFF], 1).view(-1, 2, height, width)
    field = (both.float() + 0.5) / 32768 - 1
    reach = int(3 * sigma + 0.5)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / sigma) ** 2)
    taps = (weights / weights.sum())[reach:].tolist()  # from the middle out
    field = _smoothed(_smoothed(field, taps, 2), taps, 3)
    return (field * factor * FINE).round().long()


def _smoothed(field: Tensor, taps: list[float], axis: int) -> Tensor:
    """The field convolved along one axis, one pair of taps after the other: sums in a fixed order, which a convolution does not promise."""
    size, reach = field.shape[axis], len(taps) - 1
    padded = F.pad(field, (reach, reach) if axis == 3 else (0, 0, reach, reach))
    total = field * taps[0]
    for distance in range(1, reach + 1):
        pair = padded.narrow(axis, reach - distance, size) + padded.narrow(axis, reach + distance, size)
        total += pair.mul_(taps[distance])
    return total


def random_windows(
    draws: Draws, size: tuple[int, int], area: tuple[float, float], ratio: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width (N,) int64 of a rectangle in each picture: the first of ten that fits, else one in the middle.

    Source: Szegedy et al., 2015, arXiv:1409.4842v1, section 6. What is done where none fits is common practice: the whole picture, cut to
    the nearest ratio.
    """
    height, width = size
    tall, wide = [], []
    for attempt in range(ATTEMPTS):
        pixels = draws.between(Draw.CROP_AREA, *area, attempt) * (height * width)
        width_by_height = draws.of(ratios(*ratio), Draw.CROP_RATIO, attempt)
        wide.append((pixels * width_by_height).sqrt().round().long())
        tall.append((pixels / width_by_height).sqrt().round().long())
    heights, widths = torch.stack(tall, 1), torch.stack(wide, 1)  # (N, 10)
    fits = (heights > 0) & (widths > 0) & (heights <= height) & (widths <= width)
    first = fits.int().argmax(1, keepdim=True)
    chosen_height, chosen_width = heights.gather(1, first)[:, 0], widths.gather(1, first)[:, 0]
    none = ~fits.any(1)
    nearest = min(max(width / height, ratio[0]), ratio[1])
    chosen_height = torch.where(none, min(height, max(1, round(width / nearest))), chosen_height)
    chosen_width = torch.where(none, min(width, max(1, round(height * nearest))), chosen_width)
    top = draws.bits(Draw.CROP_PLACE, 0) % (height - chosen_height + 1)
    left = draws.bits(Draw.CROP_PLACE, 1) % (width - chosen_width + 1)
    top = torch.where(none, (height - chosen_height) // 2, top)
    left = torch.where(none, (width - chosen_width) // 2, left)
    return top, left, chosen_height, chosen_width


def resized_windows(images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """A window of each picture, stretched to the picture's size: (N, H, W, C) uint8. Nothing outside the window is read."""
    rows = _stretched(top, height, images.shape[1], images.device)
    columns = _stretched(left, width, images.shape[2], images.device)
    if images.device.type != "cpu" or rows.shape[1] * columns.shape[1] < SMALL:
        return sampled(images, rows[:, :, None], columns[:, None, :], "edge")
    return _sampled_by_axes(images, rows, columns)


def _sampled_by_axes(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """`sampled` at the crossings of `rows` (N, h) and `columns` (N, w), within the picture: along one axis, then along the other.

    The sums are of whole numbers and rounded once, so the bits are those of `sampled`, for a fifth of the time at 224 x 224.
    """
    (above, weight_above), (below, weight_below) = _neighbours(_in_parts(rows), images.shape[1], "edge")
    (before, weight_before), (after, weight_after) = _neighbours(_in_parts(columns), images.shape[2], "edge")
    taken = images.new_empty((len(images), rows.shape[1], columns.shape[1], images.shape[3]))
    for number, image in enumerate(images):
        upright = image.transpose(0, 1).contiguous()  # (W, H, C): a column's pixels lie together
        level = upright.index_select(0, before[number]).int().mul_(weight_before[number][:, None, None])
        level.addcmul_(upright.index_select(0, after[number]).int(), weight_after[number][:, None, None])
        level = level.transpose(0, 1).contiguous()  # (H, w, C), up to 2**19
        total = level.index_select(0, above[number]).mul_(weight_above[number][:, None, None])
        total.addcmul_(level.index_select(0, below[number]), weight_below[number][:, None, None])
        taken[number] = total.add_(PARTS * PARTS // 2).bitwise_right_shift_(22)
    return taken


def _stretched(start: Tensor, length: Tensor, size: int, device: torch.device) -> Tensor:
    """(N, size) int64: `size` places spread over the part [start, start + length) of an axis, held inside it.

    The middle of output pixel k lies at (k + 1/2) length / size - 1/2 in the part.
    """
    first, pixels = start.to(device)[:, None] * FINE, length.to(device)[:, None]
    inside = ((2 * torch.arange(size, device=device) + 1) * pixels * FINE).div(2 * size, rounding_mode="floor") - FINE // 2
    return first + inside.clamp(min=0).minimum((pixels - 1) * FINE)
