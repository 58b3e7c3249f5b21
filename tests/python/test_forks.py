"""Children of every kind, and limits of threads and memory: bench.reliability.forks, once each."""

from __future__ import annotations

import re

import pytest

from bench.reliability import forks


@pytest.mark.parametrize("name", forks.CASES)
def test_sweeps_end_well(name: str) -> None:
    reason = forks.lacks(name)
    if reason:
        pytest.skip(reason)
    good = "|".join((forks.SAME, forks.SHORT, forks.NO_FORK))
    assert re.fullmatch(rf"{forks.SAME}|\d+ ({good})(, \d+ ({good}))*", forks.run(name))
