"""The report folder is one unit: whatever ends a run, the old report, the new one, or its name.

Runs are killed at every call that changes what stands on the disk.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dying
from printed import one_line
from relaxon import commands
from relaxon.base.console import Failure
from relaxon.forecasting.experiment import Experiment, Result
from relaxon.forecasting.options import Options
from relaxon.physics import plots
from relaxon.physics.explain import Explanation
from relaxon.report import folder as report_folder
from relaxon.report import terminal
from relaxon.report.publication import FILES, MODEL, SUMMARY, MixedReportError, check_report
from relaxon.training import checkpoint, descent
from relaxon.training.fit import Fit

pytest.importorskip("typer")
pytest.importorskip("matplotlib")

forking = pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has threads")
RESULTS = (MODEL, "history.csv")


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


def test_the_summary_lists_every_file(case: Case) -> None:
    assert case() == 0
    assert {path.name for path in case.out.iterdir()} == set(FILES)
    summary = json.loads((case.out / SUMMARY).read_text())
    assert set(summary["files"]) == set(FILES) - {SUMMARY}
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
        assert {path.name for path in case.out.iterdir()} == set(FILES), number
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
        assert {path.name for path in case.out.iterdir()} == set(FILES), number


def line_of(case: Case, capsys: pytest.CaptureFixture[str], *flags: str, code: int = 2) -> str:
    """What a run that is refused says."""
    capsys.readouterr()
    assert case(*flags) == code
    return one_line(capsys.readouterr().err)


@pytest.fixture
def interrupted(
    case: Case, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Case:
    """A fit that Ctrl-C has ended after its last step."""

    def interrupt(self: Experiment, fitted: Fit) -> Explanation:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "_explain", interrupt)
        assert "--resume continues" in line_of(case, capsys, code=130)
    return case


def test_ctrl_c_after_the_last_step_loses_no_fit(
    interrupted: Case, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = interrupted.out / "unfinished" / "fit.checkpoint"
    assert commands.explain(str(state), None) == 0
    before = state.read_bytes()
    line = line_of(interrupted, capsys)
    assert "--resume" in line
    assert "--restart" in line
    assert state.read_bytes() == before
    assert interrupted("resume") == 0
    unbroken = Case(data, tmp_path / "unbroken")
    assert unbroken() == 0
    assert interrupted.results() == unbroken.results()
    assert {path.name for path in interrupted.out.iterdir()} == set(FILES)


def test_no_error_after_the_training_costs_the_fit(
    case: Case, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: Experiment, fitted: Fit) -> Explanation:
        raise np.linalg.LinAlgError("a Hessian of no use")

    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "_explain", fail)
        line = line_of(case, capsys)
    assert "a Hessian of no use; --restart discards" in line
    assert commands.explain(str(case.out / "unfinished" / "fit.checkpoint"), None) == 0
    assert case("resume") == 0


def test_an_interrupted_fit_is_published_and_continued(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first Ctrl-C ends the training, and the best model so far gets its report."""
    run = Experiment.run

    def interrupt(state: object) -> None:
        raise KeyboardInterrupt

    def run_interrupted(self: Experiment, progress: bool, checkpoint: Path) -> Result:
        return run(self, interrupt, checkpoint)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "run", run_interrupted)
        # After the first step.
        patch.setattr(descent, "STRETCH_SECONDS", 0.0)
        line = line_of(case, capsys, code=130)
    assert "the best model so far was kept; the same command with --resume continues" in line
    assert {path.name for path in case.out.iterdir()} == {*FILES, "unfinished"}
    assert is_whole(case.out)
    assert commands.explain(str(case.out / MODEL), None) == 0
    before = case.results()
    assert "unfinished" in line_of(case, capsys)
    assert case("resume") == 0
    unbroken = Case(case.data, tmp_path / "unbroken")
    assert unbroken() == 0
    assert case.results() == unbroken.results() != before
    assert {path.name for path in case.out.iterdir()} == set(FILES)


def test_restart_discards(interrupted: Case, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not both" in line_of(interrupted, capsys, "resume", "restart")
    assert interrupted("restart") == 0
    assert {path.name for path in interrupted.out.iterdir()} == set(FILES)


def test_another_run_is_not_continued(
    interrupted: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, data = interrupted.out, interrupted.data
    line = line_of(Case(data, out, depth=3, check_depth=True), capsys, "resume")
    assert "--check-depth False (not True), --depth 2 (not 3)" in line
    changed = str(tmp_path / "changed.npz")
    x = np.random.default_rng(1).standard_normal((20, 6))
    np.savez(changed, x=x, y=x)
    line = line_of(Case(changed, out), capsys, "resume")
    assert f"to other data: {data} (not {changed})" in line
    # Neither threads nor memory nor the name of the data change results.
    same = str(tmp_path / "same.npz")
    Path(same).write_bytes(Path(data).read_bytes())
    assert Case(same, out, threads=2, memory="1 GiB")("resume") == 0


def test_a_state_that_cannot_be_used_is_named(
    interrupted: Case, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = checkpoint._environment
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_environment", lambda: {**environment(), "numpy": "0.1"})
        line = line_of(interrupted, capsys, "resume")
    assert "argument '--resume': expected the file of a fit with the same numpy, 0.1" in line
    assert "--restart discards" in line
    # Without the record of the run, a fit knows for itself whether it is the same.
    (interrupted.out / "unfinished" / "run.json").write_text("damaged")
    assert "--resume" in line_of(interrupted, capsys)
    state = interrupted.out / "unfinished" / "fit.checkpoint"
    content = state.read_bytes()
    state.write_bytes(content[:-1])
    assert "truncated" in line_of(interrupted, capsys, "resume")
    state.write_bytes(content)
    assert interrupted("resume") == 0
    assert {path.name for path in interrupted.out.iterdir()} == set(FILES)


def test_a_finished_report_is_left_as_it_is(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    # With nothing there, it begins: one command for every start of a batch job.
    assert case("resume") == 0
    before = case.files()
    assert case("resume") == 0
    assert "holds the finished report" in capsys.readouterr().out.splitlines()[-1]
    assert case.files() == before
    line = line_of(Case(case.data, case.out, seed=1), capsys, "resume")
    assert "holds the report of a fit with --seed 0 (not 1)" in line
    assert case.files() == before
    # It is whole no more.
    (case.out / MODEL).write_bytes(b"other")
    assert case("resume") == 0
    assert case.files().keys() == before.keys()
    assert case.results() == [before[name] for name in RESULTS]
    # Reports of old say nothing of their run.
    (case.out / SUMMARY).write_text("{}")
    assert "does not tell" in line_of(case, capsys, "resume")
    assert case() == 0


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


def test_a_fit_that_has_diverged_is_kept_and_replaced(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"optimizer": "fixed-rate", "rate": 1e6, "steps": 50}
    case = Case(data, tmp_path / "out", **options)
    line = line_of(case, capsys, code=1)
    checkpoint = case.out / "unfinished" / "fit.checkpoint"
    assert f"kept in {checkpoint}" in line
    assert commands.explain(str(checkpoint), None) == 0
    # The same once more ends the same, whatever is asked for; others take its place.
    assert "diverged" in line_of(case, capsys, "resume", code=1)
    assert "diverged" in line_of(case, capsys, code=1)
    assert Case(data, case.out)("resume") == 0
    assert {path.name for path in case.out.iterdir()} == set(FILES)


def test_files_of_the_user_stay(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.out.mkdir()
    names = ("notes.txt", ".model.safetensors.part", "a.checkpoint")
    for name in names:
        (case.out / name).write_text("precious")
    # Of a version that locked nothing, and died.
    (case.out / ".model.safetensors.0123abcd.part").write_bytes(b"half")
    assert case() == 0
    assert {path.name for path in case.out.iterdir()} == {*FILES, *names}
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
    assert {path.name for path in real.iterdir()} == set(FILES)
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


def test_fits_beside_the_first_have_checkpoints_of_their_own(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(data, tmp_path / "out", check_depth=True)
    learn, begun = Experiment.learn, []

    def interrupt(self: Experiment, progress: bool, checkpoint: Path) -> tuple[Fit, Explanation]:
        begun.append(checkpoint.name)
        found = learn(self, progress, checkpoint)
        if checkpoint.name.startswith("depth"):
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "learn", interrupt)
        assert case() == 130
    assert begun == ["fit.checkpoint", "depth-4.checkpoint"]
    assert set(begun) < {path.name for path in (case.out / "unfinished").iterdir()}
    assert case("resume") == 0
    assert {path.name for path in case.out.iterdir()} == set(FILES)


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
    assert {path.name for path in out.iterdir()} == set(FILES)


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
