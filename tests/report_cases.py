"""Fits whose reports hold next to nothing, and the folders that they leave."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from printed import one_line
from relaxon import commands
from relaxon.base.console import Failure
from relaxon.forecasting.options import Options
from relaxon.report import folder as report_folder
from relaxon.report import terminal
from relaxon.report.publication import FILES, MODEL, SUMMARY

RESULTS = (MODEL, "history.csv")
# Of a fit that does not choose its depth.
WRITTEN = set(FILES) - {"depths.png"}


@pytest.fixture(autouse=True)
def quick_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports whose files are all there and hold next to nothing, but for model and history."""
    # Which files a killed process leaves does not depend on what has reached the disk.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(report_folder, "try_png", lambda name, draw: name.encode())
    monkeypatch.setattr(report_folder, "render_page", lambda summary, figures: "page")
    monkeypatch.setattr(report_folder, "summary_of", lambda experiment, result: {"of": "a test"})
    monkeypatch.setattr(terminal, "print_result", lambda experiment, result: None)
    monkeypatch.setattr(commands, "REPORT_BYTES", 1000)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    x = np.random.default_rng(0).standard_normal((20, 6))
    path = tmp_path_factory.mktemp("data") / "pairs.npz"
    np.savez(path, x=x, y=0.9 * np.roll(x, 1, axis=1))
    return str(path)


class Case:
    """A fit and its folder."""

    def __init__(self, data: str, out: Path, **options: Any) -> None:
        self.out = out
        self.data = data
        self.options = Options(**{"steps": 4, "depth": 2, "threads": 1, **options})

    def __call__(self, *flags: str) -> int:
        """As the command line does it, without its grammar."""
        try:
            return commands.fit((self.data,), self.out, self.options, **dict.fromkeys(flags, True))
        except Failure as failure:
            print(failure, file=sys.stderr)
            return failure.code
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.out.iterdir() if path.is_file()}

    def results(self) -> list[bytes]:
        return [(self.out / name).read_bytes() for name in RESULTS]


@pytest.fixture
def case(data: str, tmp_path: Path) -> Case:
    return Case(data, tmp_path / "out")


def is_whole(out: Path) -> bool:
    """By the words of the summary, as anybody can check."""
    files = json.loads((out / SUMMARY).read_text())["files"]
    hashes = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in files}
    return bool(hashes == files)


def line_of(case: Case, capsys: pytest.CaptureFixture[str], *flags: str, code: int = 2) -> str:
    """What a run that is refused says."""
    capsys.readouterr()
    assert case(*flags) == code
    return one_line(capsys.readouterr().err)
