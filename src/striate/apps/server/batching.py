"""The queue of pictures, and the batches that are taken from it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from striate.apps.server.metrics import Metrics
from striate.apps.server.refused import Refused, busy, unavailable
from striate.apps.server.wire import ALONE
from striate.core.text import counted

SMOOTHING = 0.2  # of the newest batch in the measured rate
LONGEST = 2.0  # s that the queue may last, at the measured rate
MOST_RETRIES = 1  # of a picture whose process was lost


@dataclass(eq=False)
class Item:
    """A picture, or a sample, that waits for its answer."""

    key: tuple[str, str]  # model, and kind of answer: what can be computed together
    header: dict[str, Any]
    data: bytes
    answer: asyncio.Future[Any]
    born: float = field(default_factory=time.monotonic)
    lost: int = 0  # processes that ended while they had it


class Queue:
    """Pictures that wait, oldest first.

    Args:
        most: As many may wait,
        most_bytes: of as many bytes together.
        batch_size: As many are taken at once.
        wait: Seconds that a picture waits for others before it is taken.
        patience: Seconds after which a picture that was not taken is given up.
        metrics: What is counted.
    """

    def __init__(self, *, most: int, most_bytes: int, batch_size: int, wait: float, patience: float, metrics: Metrics) -> None:
        self.most, self.most_bytes, self.batch_size = most, most_bytes, batch_size
        self.wait, self.patience, self.metrics = wait, patience, metrics
        self.items: deque[Item] = deque()
        self.held = 0  # bytes of them
        self.left = False  # some have a client that left
        self.came = asyncio.Event()
        self.taking = asyncio.Lock()
        self.rate = 0.0  # pictures a second
        metrics.waiting.set_function(lambda: len(self.items))

    @property
    def room(self) -> int:
        """Pictures that may wait now: not more than are answered in `LONGEST` seconds, so that nobody waits for long to be served late."""
        return min(self.most, max(2 * self.batch_size, int(self.rate * LONGEST))) if self.rate else self.most

    def refuse_if_full(self, coming: int = 1, coming_bytes: int = 0) -> None:
        """Refuse what does not fit, before it is read or computed; where nothing waits, `most` pictures fit, of any size.

        Raises:
            Refused: 429, with the time after which there should be room.
        """
        if self._fits(coming, coming_bytes):
            return
        if self.left:
            self._forget_the_gone()
        if not self._fits(coming, coming_bytes):
            seconds = math.ceil(len(self.items) / self.rate) if self.rate else 1
            raise busy(
                f"{counted(len(self.items), 'picture')} in the queue already, of {self.room} that may wait", min(max(1, seconds), 60)
            )

    def _fits(self, coming: int, coming_bytes: int) -> bool:
        if not self.items:
            return coming <= self.most
        return len(self.items) + coming <= self.room and self.held + coming_bytes <= self.most_bytes

    def put(self, items: list[Item]) -> None:
        """Let pictures wait; raises as `refuse_if_full`."""
        self.refuse_if_full(len(items), sum(len(item.data) for item in items))
        self.items.extend(items)
        self.held += sum(len(item.data) for item in items)
        self.came.set()

    def put_first(self, items: list[Item]) -> None:
        """Let pictures that were taken, and not computed, wait at the head."""
        self.items.extendleft(reversed(items))
        self.held += sum(len(item.data) for item in items)
        self.came.set()

    def put_back(self, items: list[Item], reason: Refused) -> None:
        """Let pictures whose process was lost be tried once more, each alone; those that were alone already are refused."""
        alone = len(items) == 1
        again = []
        for item in items:
            item.lost += 1
            if item.answer.done():
                continue
            if item.lost > MOST_RETRIES and alone:
                item.answer.set_exception(reason)
            else:
                again.append(item)
        self.put_first(again)

    def computed(self, count: int, seconds: float) -> None:
        """Measure the rate by a batch that was answered."""
        rate = count / max(seconds, 1e-6)
        self.rate = rate if not self.rate else (1 - SMOOTHING) * self.rate + SMOOTHING * rate

    async def batch(self) -> list[Item]:
        """The next pictures of one model, once there are enough or the first has waited long enough."""
        async with self.taking:
            while True:
                self._forget_the_gone()
                if not self.items:
                    self.came.clear()
                    await self.came.wait()
                    continue
                first = self.items[0]
                alike = [item for item in self.items if item.key == first.key and not item.lost][: self.batch_size]
                left = first.born + self.wait - time.monotonic()
                if first.lost or first.key[1] == ALONE:
                    alike, left = [first], 0.0
                if len(alike) >= self.batch_size or left <= 0:
                    taken = set(map(id, alike))
                    self._keep([item for item in self.items if id(item) not in taken])
                    return alike
                self.came.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self.came.wait()

    def _forget_the_gone(self) -> None:
        """Leave out pictures whose client left, and give up those that have waited too long."""
        late = time.monotonic() - self.patience
        kept = []
        for item in self.items:
            if item.answer.cancelled():
                self.metrics.dropped.inc()
            elif item.born < late:
                item.answer.set_exception(unavailable(f"waited {self.patience:g} s in the queue"))
            else:
                kept.append(item)
        self._keep(kept)
        self.left = False

    def _keep(self, items: list[Item]) -> None:
        self.items = deque(items)
        self.held = sum(len(item.data) for item in items)
