"""Progress of a training: a bar on a terminal, one line per epoch elsewhere; both on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

from striate.apps.cli.flags import with_flags
from striate.apps.cli.output import say
from striate.core.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID

    from striate.models.fitting import EpochRow


QUIET_SECONDS = 30.0  # between two lines on one piece of work


class LineWatch:
    """Prints each epoch in one line, and now and then the progress of other work."""

    def __init__(self) -> None:
        self.said_at = time.monotonic()

    def say(self, text: str) -> None:
        say(text)

    def step(self, epoch: int, step: int, num_steps: int) -> None:
        """Nothing to print after an update."""

    def epoch(self, row: EpochRow) -> None:
        say(epoch_line(row))

    def share(self, what: str, done: int, total: int) -> None:
        """Show the progress of some work."""
        if time.monotonic() - self.said_at >= QUIET_SECONDS:
            self.said_at = time.monotonic()
            say(f"{what}: {done / total:.0%}")


class BarWatch(LineWatch):
    """Shows the epoch's updates as a bar, and leaves one line per epoch."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        super().__init__()
        self.progress, self.task = progress, task

    def say(self, text: str) -> None:
        self.progress.console.print(shown(with_flags(text)), highlight=False, markup=False)

    def step(self, epoch: int, step: int, num_steps: int) -> None:
        self.progress.update(
            self.task, description=f"epoch {epoch}" if epoch else "features", completed=step, total=num_steps, visible=True
        )

    def epoch(self, row: EpochRow) -> None:
        self.say(epoch_line(row))

    def share(self, what: str, done: int, total: int) -> None:
        self.progress.update(self.task, description=what, completed=done, total=total, visible=True)


def epoch_line(row: EpochRow) -> str:
    """One epoch in one line of at most 100 columns."""
    accuracy = f"val accuracy {row.val_accuracy:.4f}  " if row.train_accuracy or row.val_accuracy else ""  # numbers have none
    if row.val_mean_iu is not None:
        accuracy = f"val mean IU {row.val_mean_iu:.4f}  "
    if row.val_robust_accuracy is not None:
        accuracy = f"val acc. {row.val_accuracy:.4f}, robust {row.val_robust_accuracy:.4f}  "
    if row.val_macro_f1 is not None:
        accuracy = f"val acc. {row.val_accuracy:.4f}, macro F1 {row.val_macro_f1:.4f}  "
    if row.val_balanced_accuracy is not None:
        accuracy = f"val acc. {row.val_accuracy:.4f}, balanced {row.val_balanced_accuracy:.4f}  "
    if row.val_auxiliary_accuracy is not None:
        accuracy = f"{accuracy.rstrip()}, auxiliary {row.val_auxiliary_accuracy:.4f}  "
    rate = f"{row.images_per_second:,.0f}" if row.images_per_second >= 10 else f"{row.images_per_second:.2g}"
    if row.epoch == 0:  # nothing was trained
        return f"as begun   val loss {row.val_loss:.4f}  {accuracy.rstrip()}"
    return f"epoch {row.epoch:>3}  train loss {row.train_loss:.4f}  val loss {row.val_loss:.4f}  {accuracy}{rate} {row.samples}/s"


@contextlib.contextmanager
def show_progress() -> Iterator[LineWatch]:
    """The observer that suits stderr."""
    if not sys.stderr.isatty():
        yield LineWatch()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield BarWatch(progress, progress.add_task("starting", total=None, visible=False))
