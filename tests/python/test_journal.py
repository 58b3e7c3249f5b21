"""Journals of L-BFGS: what was evaluated before a fit ended is not evaluated again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from checkpointed import arguments, stop_at, train
from relaxon.training.journal import HEADER


def test_a_torn_journal_loses_no_more_than_its_last_record(tmp_path: Path) -> None:
    args, settings = arguments("lbfgs")
    whole = train(
        args,
        settings,
    )
    path, journal = tmp_path / "fit", tmp_path / "fit.journal"
    train(args, settings, checkpoint=path, callbacks=[stop_at(5)])
    content = journal.read_bytes()
    rng = np.random.default_rng(1)
    lengths = [0, 5, len(HEADER), len(HEADER) + 1, len(content) - 1, len(content)]
    for length in [*lengths, *rng.integers(len(content), size=6).tolist()]:
        journal.write_bytes(content[:length])
        assert train(args, settings, checkpoint=path) == whole
    # Of a damaged one, what stands before the damage is used.
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 1
    journal.write_bytes(damaged)
    assert train(args, settings, checkpoint=path) == whole


def test_a_journal_repeats_what_was_evaluated_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args, settings = arguments("lbfgs")
    path = tmp_path / "fit"
    whole = train(args, settings, checkpoint=path)
    from relaxon.training import descent

    evaluated = []
    start = descent.start_descent

    def watch(*args: Any, **kwargs: Any) -> Any:
        found = start(*args, **kwargs)
        core = found._core

        class Watched:
            def __getattr__(self, name: str) -> Any:
                if name == "evaluate":
                    evaluated.append(name)
                return getattr(core, name)

        found._core = Watched()
        return found

    from relaxon.training import fit as training

    monkeypatch.setattr(training, "start_descent", watch)
    assert train(args, settings, checkpoint=path) == whole
    assert evaluated == []


def test_a_missing_journal_is_said(tmp_path: Path) -> None:
    args, settings = arguments("lbfgs")
    whole = train(
        args,
        settings,
    )
    path = tmp_path / "fit"
    train(args, settings, checkpoint=path, callbacks=[stop_at(5)])
    (tmp_path / "fit.journal").unlink()
    with pytest.warns(UserWarning, match="is missing: the fit begins anew"):
        assert train(args, settings, checkpoint=path) == whole


def test_journals_of_others_are_refused(tmp_path: Path) -> None:
    args, settings = arguments("lbfgs")
    path, journal = tmp_path / "fit", tmp_path / "fit.journal"
    journal.write_bytes(b"no journal at all, certainly")
    with pytest.raises(rx.FileFormatError, match="no journal"):
        train(args, settings, checkpoint=path)
    journal.unlink()
    train(args, settings, checkpoint=path, callbacks=[stop_at(2)])
    path.unlink()
    with pytest.raises(ValueError, match="the journal of this fit, or none"):
        train(args, {**settings, "steps": 13}, checkpoint=path)


def test_a_journal_with_other_points_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args, settings = arguments("lbfgs")
    path = tmp_path / "fit"
    train(args, settings, checkpoint=path, callbacks=[stop_at(5)])
    from relaxon.training import journal

    hash_of = journal._hash

    def other(*parts: Any) -> bytes:
        return hash_of(*parts) if len(parts) > 1 else hash_of(b"other", *parts)

    monkeypatch.setattr(journal, "_hash", other)
    with pytest.raises(rx.FileFormatError, match="another point"):
        train(args, settings, checkpoint=path)


def test_evaluations_that_could_not_be_written_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args, settings = arguments("lbfgs")
    whole = train(
        args,
        settings,
    )
    path = tmp_path / "fit"
    from relaxon.training.journal import Journal

    append, n_calls = Journal._append, [0]

    class Full:
        """A disk that is full for a while."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def __getattr__(self, name: str) -> Any:
            n_calls[0] += name == "write"
            if name == "write" and 6 < n_calls[0] < 12:
                raise OSError(28, "No space left on device")
            return getattr(self.file, name)

    def watched(self: Any, kind: bytes, content: bytes) -> None:
        file = self._file
        self._file = Full(file)
        append(self, kind, content)
        self._file = file

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_append", watched)
        with pytest.warns(UserWarning, match="evaluates again what is missing"):
            part = train(args, settings, checkpoint=path, callbacks=[stop_at(9)])
    assert len(part.history) == 9
    assert train(args, settings, checkpoint=path) == whole
