"""The report folder is one unit: whatever ends a run, the old report, the new one, or its name.

Runs are killed at every call that changes what stands on the disk.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import dying
import report_cases
from printed import one_line
from relaxon import commands
from relaxon.base.console import Failure
from relaxon.physics import plots
from relaxon.report.publication import FILES, MODEL, SUMMARY, MixedReportError, check_report
from report_cases import WRITTEN, Case, is_whole, line_of

pytest.importorskip("typer")
pytest.importorskip("matplotlib")

# pytest looks for fixtures among the names of a module.
case, data, quick_report = report_cases.case, report_cases.data, report_cases.quick_report

forking = pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has threads")


def test_the_summary_lists_every_file(case: Case) -> None:
    assert case() == 0
    assert {path.name for path in case.out.iterdir()} == WRITTEN
    summary = json.loads((case.out / SUMMARY).read_text())
    assert set(summary["files"]) == WRITTEN - {SUMMARY}
    assert is_whole(case.out)


def take_over(source: Case, target: Case) -> None:
    target.out.mkdir()
    for name, content in source.files().items():
        (target.out / name).write_bytes(content)


@forking
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "over another"])
def test_killed_at_any_call(
    data: str, tmp_path: Path, is_first: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Old report, new report, or a mixture that is named; and what is resumed ends as unbroken."""
    unbroken, other = Case(data, tmp_path / "unbroken"), Case(data, tmp_path / "other", seed=1)
    names = dying.list_calls(unbroken)
    assert other() == 0
    assert other.results() != unbroken.results()
    # The training is the same: from the third folder on, after OUT and unfinished.
    begin = 1 if is_first else [n for n, name in enumerate(names) if name == "mkdir"][2] + 1
    outcomes = set()
    for number in range(begin, len(names) + 1):
        case = Case(data, tmp_path / f"killed-{number}")
        if not is_first:
            take_over(other, case)
        assert dying.run_and_die(case, number) == dying.DEAD
        outcomes.add(outcome(case, other, unbroken))
        assert case("resume") == 0, number
        assert case.results() == unbroken.results(), number
        assert {path.name for path in case.out.iterdir()} == WRITTEN, number
        assert is_whole(case.out), number
    assert outcomes == ({"none", "mixed", "new"} if is_first else {"old", "mixed", "new"})
    assert "Traceback" not in capsys.readouterr().err


def outcome(case: Case, old: Case, new: Case) -> str:
    """What a killed run has left, for who reads it."""
    if not (case.out / MODEL).exists():
        return "none"
    try:
        check_report(case.out / MODEL)
    except MixedReportError as error:
        text = str(error)
    else:
        assert is_whole(case.out)
        if case.files() == old.files():
            return "old"
        assert case.results() == new.results()
        return "new"
    assert any(name in text for name in FILES)
    assert "--resume finishes it" in text
    return "mixed"


FAULTS: dict[str, tuple[BaseException, set[int], tuple[str, ...]]] = {
    "Ctrl-C": (KeyboardInterrupt(), {130}, dying.CALLS),
    # A checkpoint that cannot be written later than the first costs a warning.
    "disk full": (
        OSError(errno.ENOSPC, "No space left on device"),
        {0, 1, 2},
        ("open", "write", "fsync", "replace", "mkdir"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_interrupted_or_refused_at_any_call(
    data: str, tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error, codes, calls = FAULTS[fault]
    unbroken = Case(data, tmp_path / "unbroken")
    for number, called in enumerate(dying.list_calls(unbroken), start=1):
        if called not in calls:
            continue
        case = Case(data, tmp_path / f"out-{number}")

        def act(n: int, call: Any, name: str, arguments: Any, number: int = number) -> Any:
            if n == number:
                raise error
            return call()

        capsys.readouterr()
        with dying.counted(act):
            code = case()
        lines = capsys.readouterr().err.splitlines()
        assert code in codes, number
        assert len([line for line in lines if "warning" not in line]) == (code != 0), number
        if called != "unlink":
            assert not list(case.out.glob("**/.*.part")), number
        assert case("resume") == 0
        assert case.results() == unbroken.results(), number
        assert {path.name for path in case.out.iterdir()} == WRITTEN, number


@pytest.mark.parametrize("name", [MODEL, "history.csv", "depth.png"])
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_a_mixed_folder_is_named(
    case: Case, name: str, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert case() == 0
    assert commands.explain(str(case.out / MODEL), None) == 0
    if how == "missing":
        (case.out / name).unlink()
    else:
        (case.out / name).write_bytes(b"of another run")
    forecast = case.out.parent / "forecast.npz"
    with pytest.raises(Failure, match=re.escape(name)):
        commands.explain(str(case.out / MODEL), None)
    with pytest.raises(Failure, match=re.escape(name)):
        commands.predict(str(case.out / MODEL), (case.data,), forecast, None, (), ())
    assert not forecast.exists()


def test_what_lies_beside_a_report_is_none_of_its_files(case: Case) -> None:
    assert case() == 0
    (case.out / "history.csv").write_text("edited")
    copy = case.out / "kept.safetensors"
    copy.write_bytes((case.out / MODEL).read_bytes())
    assert commands.explain(str(copy), None) == 0


def test_files_of_the_user_stay(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.out.mkdir()
    names = ("notes.txt", ".model.safetensors.part", "a.checkpoint")
    for name in names:
        (case.out / name).write_text("precious")
    # Of a version that locked nothing, and died.
    (case.out / ".model.safetensors.0123abcd.part").write_bytes(b"half")
    assert case() == 0
    assert {path.name for path in case.out.iterdir()} == {*WRITTEN, *names}
    state = case.out / "unfinished"
    state.mkdir()
    (state / "notes.txt").write_text("precious")
    for flags in ((), ("resume",), ("restart",)):
        assert "notes.txt" in line_of(case, capsys, *flags)
    assert (state / "notes.txt").read_text() == "precious"


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few users make links")
def test_links(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    assert Case(case.data, link)() == 0
    assert link.is_symlink()
    assert {path.name for path in real.iterdir()} == WRITTEN
    (tmp_path / "elsewhere").mkdir()
    (real / "unfinished").symlink_to(tmp_path / "elsewhere")
    for flags in ((), ("restart",)):
        assert "is no folder" in line_of(Case(case.data, link), capsys, *flags)
    (real / "unfinished").unlink()
    (real / "unfinished").write_text("a file")
    assert "is no folder" in line_of(Case(case.data, link), capsys)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_is_refused_before_training_leaves_nothing(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = Case(case.data, case.out, memory="1 B")
    assert "memory" in line_of(wrong, capsys)
    assert not case.out.exists()
    assert case() == 0
    before = case.files()
    assert "memory" in line_of(wrong, capsys)
    assert case.files() == before
    assert not (case.out / "unfinished").exists()


WAITING = """
import os, sys, time
from relaxon.cli import main
from relaxon.forecasting.experiment import Experiment, Result
run = Experiment.run
def wait(*arguments):
    found = run(*arguments)
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.05)
    return found
Experiment.run = wait
sys.exit(main(sys.argv[2:]))
"""


def test_four_at_once(data: str, tmp_path: Path) -> None:
    """One runs, and three are told."""
    out, go = tmp_path / "out", tmp_path / "go"
    words = ["fit", data, "--out", str(out), "--steps", "4", "--depth", "2"]
    command = [sys.executable, "-c", WAITING, str(go), *words]
    pipe = subprocess.PIPE
    runs = [subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        said = [pool.submit(run.communicate) for run in runs]
        # Whichever holds the folder waits for the three others.
        while sum(each.done() for each in said) < 3:
            time.sleep(0.05)
        go.touch()
        errors = [each.result()[1] for each in said]
    assert sorted(run.returncode for run in runs) == [0, 2, 2, 2]
    (holder,) = [run for run in runs if run.returncode == 0]
    for run, error in zip(runs, errors, strict=True):
        if run is not holder:
            assert str(out) in one_line(error)
            if os.name != "nt":
                assert f"process {holder.pid}" in error
    assert is_whole(out)
    assert {path.name for path in out.iterdir()} == WRITTEN


def test_explanations_are_never_mixed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table stands beside its own figure, or alone."""
    names = ("explanation.csv", "explanation.png")
    assert case() == 0
    model, old, new = case.out / MODEL, case.out / "old", case.out / "new"
    monkeypatch.setattr(plots, "try_png", lambda name, draw: b"figure")
    for folder in (old, new):
        assert commands.explain(str(model), folder) == 0
        assert {path.name for path in folder.iterdir()} == set(names)
    n_calls = len(dying.list_calls(lambda: commands.explain(str(model), new)))
    seen = set()
    for number in range(1, n_calls + 1):
        for name in names:
            (old / name).write_bytes(b"old")

        def refuse(n: int, call: Any, name: str, arguments: Any, number: int = number) -> Any:
            if n >= number and name != "unlink":
                raise OSError(errno.ENOSPC, "No space left on device")
            return call()

        with dying.counted(refuse), contextlib.suppress(Failure):
            commands.explain(str(model), old)
        found = tuple(
            None
            if not (old / name).exists()
            else "old"
            if (old / name).read_bytes() == b"old"
            else "new"
            for name in names
        )
        seen.add(found)
    assert seen <= {("old", "old"), ("old", None), ("new", None), ("new", "new")}
    assert ("old", "old") in seen
