"""Too little memory: into how many parts a batch is divided from then on, or why it cannot be."""

from __future__ import annotations

from striate.core.errors import EnvironmentFault

SMALLER = "Train with smaller pictures (`image_size`) or a smaller network."


def more_parts(parts: int, size: int, step: int, *, needs_whole_batch: bool = False) -> tuple[int, str]:
    """The number of parts for batches of `size` after `parts` were too few at `step`, and what the user should be told.

    Raises:
        EnvironmentFault: the parts would hold less than two pictures each, or batch norms need the whole batch at once.
    """
    if needs_whole_batch:
        message = f"out of memory at step {step}: batch norms over the whole batch (sync_norm) need all of it at once"
        raise EnvironmentFault(message, "Train with a smaller `batch_size`, or with more processes.")
    if parts * 2 > max(1, size // 2):
        raise EnvironmentFault(f"out of memory at step {step}, even in parts of {-(-size // parts)} pictures", SMALLER)
    parts *= 2
    each = -(-size // parts)
    return parts, f"out of memory at step {step}: batches of {size} are now computed in {parts} parts of {each}, with the same update"


def more_validation_parts(parts: int, size: int, step: int) -> tuple[int, str]:
    """The same for the validation after `step`, whose parts may hold one picture each.

    Raises:
        EnvironmentFault: they do so already.
    """
    if parts >= size:
        raise EnvironmentFault(f"out of memory in the validation after step {step}, even with one picture at a time", SMALLER)
    return parts * 2, f"out of memory in the validation: its batches are now computed in {parts * 2} parts"
