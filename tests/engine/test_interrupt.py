"""Signals ask a training to stop, and what was set before comes back."""

import os
import signal
import threading

import pytest

from striate.engine.interrupt import stop_on_signals

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends signals")


@pytest.fixture
def handler():
    """Restores what the tests set."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)}
    yield
    for number, old in before.items():
        signal.signal(number, old)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_each_signal_asks_to_stop(handler, name):
    number = getattr(signal, name)
    signal.signal(number, signal.SIG_DFL)  # which ends the process
    with stop_on_signals() as stop:
        assert not stop.asked
        os.kill(os.getpid(), number)
        assert stop.asked
        if name != "SIGINT":
            os.kill(os.getpid(), number)  # again is no more than once

    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_second_interrupt_stops_at_once(handler):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_that_is_ignored_stays_ignored(handler):
    """nohup, and shells for what runs in the background."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGHUP)

    assert not stop.asked
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_outside_the_main_thread_nothing_is_changed(handler):
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def within() -> None:
        with stop_on_signals() as stop:
            seen.append((stop.asked, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=within)
    thread.start()
    thread.join()

    assert seen == [(False, before)]
