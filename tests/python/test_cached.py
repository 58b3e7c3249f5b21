"""The cached property: once for each object, and without a lock that a fork could leave locked."""

from __future__ import annotations

import os
import pickle
import signal
import threading

import pytest

import relaxon as rx
from relaxon.base.cached import cached_property


class Slow:
    started, goes_on = threading.Event(), threading.Event()

    def __init__(self, waits: bool) -> None:
        self.waits, self.n_calls = waits, 0

    @cached_property
    def value(self) -> int:
        """A number."""
        self.n_calls += 1
        if self.waits:
            self.started.set()
            self.goes_on.wait(60)
        return 7


def test_it_is_computed_once() -> None:
    slow = Slow(waits=False)
    assert (slow.value, slow.value, slow.n_calls) == (7, 7, 1)
    assert Slow.__dict__["value"].__doc__ == "A number."
    grid = rx.Grid((4,))
    assert grid._core_grid is grid._core_grid
    assert pickle.loads(pickle.dumps(grid)) == grid


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    other = threading.Thread(target=lambda: Slow(waits=True).value)
    other.start()
    assert Slow.started.wait(60)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os._exit(0 if Slow(waits=False).value == 7 else 1)
    _, status = os.waitpid(child, 0)
    Slow.goes_on.set()
    other.join()
    assert os.waitstatus_to_exitcode(status) == 0
