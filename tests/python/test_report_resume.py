"""Runs that were broken off: what of the fit is kept, continued, replaced or discarded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import report_cases
from relaxon import commands
from relaxon.forecasting.experiment import Experiment, Result
from relaxon.physics.explain import Explanation
from relaxon.report.publication import MODEL, SUMMARY
from relaxon.training import auto_depth, checkpoint, descent
from relaxon.training.fit import Fit, State
from report_cases import RESULTS, WRITTEN, Case, is_whole, line_of

pytest.importorskip("typer")
pytest.importorskip("matplotlib")

# pytest looks for fixtures among the names of a module.
case, data, quick_report = report_cases.case, report_cases.data, report_cases.quick_report


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
    assert {path.name for path in interrupted.out.iterdir()} == WRITTEN


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
    assert {path.name for path in case.out.iterdir()} == {*WRITTEN, "unfinished"}
    assert is_whole(case.out)
    assert commands.explain(str(case.out / MODEL), None) == 0
    before = case.results()
    assert "unfinished" in line_of(case, capsys)
    assert case("resume") == 0
    unbroken = Case(case.data, tmp_path / "unbroken")
    assert unbroken() == 0
    assert case.results() == unbroken.results() != before
    assert {path.name for path in case.out.iterdir()} == WRITTEN


def test_restart_discards(interrupted: Case, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not both" in line_of(interrupted, capsys, "resume", "restart")
    assert interrupted("restart") == 0
    assert {path.name for path in interrupted.out.iterdir()} == WRITTEN


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
    assert {path.name for path in interrupted.out.iterdir()} == WRITTEN


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
    assert {path.name for path in case.out.iterdir()} == WRITTEN


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
    assert {path.name for path in case.out.iterdir()} == WRITTEN


@pytest.mark.parametrize("place", ["first fit", "choice", "second fit"])
def test_a_fit_that_chooses_its_depth_is_continued(
    place: str, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"depth": "auto", "max_depth": 4, "steps": 10}
    unbroken = Case(data, tmp_path / "unbroken", **options)
    assert unbroken() == 0
    case = Case(data, tmp_path / "out", **options)
    run, n_steps = Experiment.run, []

    def interrupt(state: State) -> None:
        n_steps.append(state.step)
        if len(n_steps) == (2 if place == "first fit" else 7):
            raise KeyboardInterrupt

    def run_interrupted(self: Experiment, progress: bool, checkpoint: Path) -> Result:
        return run(self, interrupt, checkpoint)  # type: ignore[arg-type]

    def fail(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(descent, "STRETCH_SECONDS", 0.0)
        patch.setattr("relaxon.training.fit.STRETCH_SECONDS", 0.0)
        if place == "choice":
            patch.setattr(auto_depth, "depth_profile", fail)
        else:
            patch.setattr(Experiment, "run", run_interrupted)
        assert case() == 130
    assert (case.out / "unfinished").exists()
    assert case("resume") == 0
    assert case.results() == unbroken.results()
