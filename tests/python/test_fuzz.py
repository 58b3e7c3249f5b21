"""Damaged model files, ten thousand of them; bench.reliability.fuzz takes them by the million."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

import relaxon as rx
from bench.reliability import fuzz
from bench.reliability.corpus import corpus
from bench.reliability.damage import Damage, apart, together
from relaxon.model import loading

N = 10_000
SEED = 12


def test_ten_thousand_damaged_files() -> None:
    counts = fuzz.run(N, processes=2, seed=SEED, patience=120.0)
    assert counts.is_clean, str(counts)
    assert sum(counts.accepted.values()) + sum(counts.refused.values()) == N
    # Half have stale checksums; of those that are accepted, nothing has changed.
    assert counts.accepted["stale"] + counts.refused["stale"] == N // 2
    assert counts.accepted["stale"] < N // 200
    assert N // 50 < counts.accepted["fitting"] < N // 4
    assert counts.peak_bytes < 64 * 2**20


def test_cases_are_the_same_wherever_they_run() -> None:
    contents = list(corpus().values())
    one, other = Damage(contents), Damage(contents)
    forwards = [one(SEED, i) for i in range(300)]
    assert forwards == [other(SEED, i) for i in reversed(range(300))][::-1]
    assert len({content for content, _ in forwards}) > 280
    assert [is_sealed for _, is_sealed in forwards] == [False, True] * 150


@pytest.mark.parametrize("name", corpus())
def test_parts_of_a_file_make_the_same_file(name: str) -> None:
    layout, metadata, _, data = apart(corpus()[name])
    assert together(layout, metadata, metadata["configuration"], data) == corpus()[name]


def test_faults_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = corpus()["box"]
    path = tmp_path / "m"
    assert fuzz.judge(content, True, path)
    assert not fuzz.judge(content[:-1], True, path)
    again = together(
        *apart(content)[:2], apart(content)[2] | {"written_by": "me"}, apart(content)[3]
    )
    assert fuzz.judge(again, True, path)
    with pytest.raises(AssertionError, match="stale"):
        fuzz.judge(again, False, path)
    other = loading.ModelFile(rx.load(path).with_params({"U": rx.load(path).params["U"] + 1}), {})
    monkeypatch.setattr(loading, "read", lambda path: other)
    with pytest.raises(AssertionError, match="another content"):
        fuzz.judge(content, True, path)

    def long(path: Path) -> None:
        error = rx.FileFormatError("")
        error.args = ("a\nb",)
        raise error

    monkeypatch.setattr(loading, "read", long)
    with pytest.raises(AssertionError, match="one line"):
        fuzz.judge(content, True, path)


def stumble(
    seed: int, cases: range, skip: frozenset[int], now: Any, results: Connection, keep: str | None
) -> None:
    """As `fuzz.work`, with a case that ends the process and one that stops it."""
    for number, i in enumerate(cases, start=1):
        now.value = i
        if i not in skip and i == 3:
            os._exit(7)
        while i not in skip and i == 5:
            time.sleep(1.0)
        counts = fuzz.Counts()
        counts.refused["stale"] += i not in skip
        results.send((number, counts))


def test_processes_that_end_or_stand_still_are_replaced() -> None:
    counts = fuzz.run(8, patience=5.0, task=stumble)
    assert counts.crashes == [3]
    assert counts.hangs == [5]
    assert counts.refused["stale"] == 6
    assert not counts.is_clean
    assert str(counts).startswith("8 files\n")
