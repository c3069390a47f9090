"""Ending a training on a signal at a step boundary."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]


class StopRequest:
    """True once a stop was requested."""

    asked = False


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Context in which SIGINT, SIGTERM, SIGHUP and SIGUSR1 request a stop; a second SIGINT raises KeyboardInterrupt at once.

    SIGHUP comes when a terminal closes, SIGUSR1 from schedulers of clusters before the time is up. A signal that is ignored on entry,
    as nohup sets SIGHUP, stays ignored.
    Outside the main thread, where Python delivers no signals, nothing is changed.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def ask(number: int, _frame: FrameType | None) -> None:
        if request.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.asked = True

    heard = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in heard}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: it was not Python's
