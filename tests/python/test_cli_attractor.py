"""Attractors on the command line: fits to them, searches, reports; curves of depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from printed import one_line
from relaxon.cli import main
from relaxon.datasets.samples import Samples
from relaxon.forecasting import settings
from relaxon.forecasting.checks import plan_checks
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import Options
from relaxon.report.folder import write_report
from relaxon.report.terminal import attractor_rows

pytest.importorskip("typer")
pytest.importorskip("matplotlib")

Array = np.ndarray[Any, Any]
TRUE = {"R": np.array(-0.3), "U": np.array([0.2]), "D": np.array([0.8])}
FIT = ("--depth", "attractor", "--drive", "--optimizer", "lbfgs", "--steps", "40")


def equilibrium(**options: Any) -> rx.Relaxation:
    op = rx.ADR(rx.Grid((24,), boundary="neumann"))
    model = rx.Relaxation(op, "attractor", "identity", drive=True, **options)
    return model.with_params({**TRUE, **({"bias": np.array(0.1)} if "bias" in options else {})})


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(0)
    x = random.standard_normal((30, 24))
    y = equilibrium()(x)
    path = tmp_path_factory.mktemp("pairs") / "pairs.npz"
    np.savez(path, x=x, y=y + 0.02 * random.standard_normal(y.shape))
    return path


@pytest.fixture(scope="module")
def report(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "out"
    assert main(["fit", str(pairs), *FIT, "--out", str(out)]) == 0
    return out


def test_a_fit_finds_the_equation_whose_steady_state_it_is(report: Path) -> None:
    summary = json.loads((report / "summary.json").read_text())
    model = rx.load(report / "model.safetensors")
    assert model.is_at_attractor
    for name, value in TRUE.items():
        np.testing.assert_allclose(model.params[name], value, atol=0.02)
    assert summary["rows"][-1]["held_out_error"] < 0.01
    assert summary["fit"]["depth"] == summary["config"]["depth"] == "attractor"
    assert "omega" not in summary["config"]
    search = summary["search"]
    assert search["converged"] == search["samples"] == summary["samples"]["held_out"]
    assert 0.0 <= search["residual"] <= search["error_bound"] < 1e-9
    assert summary["depth_profile"] == summary["depth_distance"] == []
    assert "certified to be the only one" in summary["stability"]["text"]
    assert "steady state of R z - U . grad z" in summary["explanation"]["note"]
    assert summary["explanation"]["stability"] is None
    assert {p.name for p in report.glob("*.png")} == {
        *("loss.png", "depth.png", "prediction.png", "coefficients.png")
    }
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "held-out searches have converged" in page
    assert "Searches</h2>" in page
    assert "bound of explicit layers" not in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "'drive': expected --drive with --depth attractor, which forgets"),
        (["--drive", "--theta", "1"], "'theta': expected no value with --depth attractor"),
        (["--drive", "--omega", "0.3"], "'omega': expected no value with --depth attractor"),
        (["--drive", "--gamma", "0.3"], "'gamma'"),
        (["--drive", "--beta", "0.1"], "'beta'"),
        (["--drive", "--normalization", "hard"], "'normalization'"),
        (["--drive", "--trainable-omega"], "'trainable_omega'"),
        (["--drive", "--constraint", "stable"], "'constraint'"),
        (["--drive", "--check-depth"], "'check_depth'"),
        (["--drive", "--time", "layered"], "'time': expected constant"),
        (["--drive", "--scheme", "lax-wendroff"], "'scheme': expected central or upwind"),
        (["--drive", "--max-depth", "4"], "'max_depth'"),
    ],
)
def test_what_makes_no_sense_at_the_attractor_is_refused(
    words: list[str], message: str, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fit", str(pairs), "--depth", "attractor", *words, "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert message in one_line(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_gaps_are_refused_where_all_outputs_read_them(pairs: Path) -> None:
    with np.load(pairs) as archive:
        x, y = archive["x"].copy(), archive["y"]
    x[3, 4] = np.nan
    options = Options(depth="attractor", drive=True)
    with pytest.raises(ValueError, match=r"no gaps .*attractor"):
        Experiment(options, Samples(x, y)).run()


@pytest.mark.parametrize("operator", ["adr", "moments", "banded", "dense"])
def test_training_starts_where_the_output_is_about_the_input(operator: str, pairs: Path) -> None:
    with np.load(pairs) as archive:
        samples = Samples(archive["x"], archive["y"])
    model = Experiment(Options(depth="attractor", drive=True, operator=operator), samples).model
    difference = np.abs(model(samples.x) - samples.x)
    assert difference.mean() < 0.25 * np.abs(samples.x).mean()


def test_the_attractor_of_a_driven_model_is_its_forecast(
    report: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(report / "model.safetensors"), str(pairs), "--out"]
    assert main(["attractor", *words, str(tmp_path / "a.npz")]) == 0
    printed = capsys.readouterr().out
    for text in ("30 of 30 (newton)", "largest residual", "mu = ", "at most", "all, certified"):
        assert text in printed
    assert main(["predict", *words, str(tmp_path / "b.npz")]) == 0
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        np.testing.assert_array_equal(a["y"], b["y"])


def test_attractors_are_in_the_unit_of_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("netCDF4")
    times = np.datetime64("2020-06-01", "ns") + np.arange(40) * np.timedelta64(1, "h")
    values = 280.0 + np.random.default_rng(0).standard_normal((40, 12))
    coords = {"time": times, "x": ("x", 500.0 * np.arange(12), {"units": "m"})}
    da = xarray.DataArray(values, coords, ("time", "x"), name="t", attrs={"units": "K"})
    da.to_netcdf(tmp_path / "t.nc")
    scaling = rx.datasets.from_xarray(da, anomaly="none").scaling
    model = rx.Relaxation(
        rx.ADR(scaling.coordinates.grid(None)), 4, activation="identity", bias="homogeneous"
    )
    params = {"R": np.array(-0.5), "bias": np.array(0.5), "D": np.array([0.2])}
    path = tmp_path / "model.safetensors"
    model.with_params(params).with_scaling(scaling).save(path)
    out = tmp_path / "out.nc"
    assert main(["attractor", str(path), str(tmp_path / "t.nc"), "--out", str(out)]) == 0
    with xarray.open_dataset(out) as found:
        # z* = -b / (-R) in the numbers of the model.
        expected = scaling.undo(np.full((1, 12), -1.0), times[:1])[0, 0]
        np.testing.assert_allclose(found["t"].values, expected, rtol=1e-9)
        assert found["t"].attrs["units"] == "K"
        assert found["time"].values[0] == times[1]
    assert "40 of 40" in capsys.readouterr().out


def test_searches_that_fail_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = rx.Relaxation(
        rx.ADR(rx.Grid((3,))), 2, activation="square", bias="homogeneous"
    ).with_params({"R": np.array(0.0), "D": np.zeros(1), "bias": np.array(-0.5)})
    model.save(tmp_path / "m.safetensors")
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 3)))
    words = [str(tmp_path / name) for name in ("m.safetensors", "x.npz", "z.npz")]
    assert main(["attractor", *words[:2], "--out", words[2]]) == 0
    captured = capsys.readouterr()
    assert "0 of 2" in captured.out
    assert "states of least residual were written" in captured.err
    layered = rx.Relaxation(rx.ADR(rx.Grid((3,)), time="layered"), 2)
    layered.save(tmp_path / "m.safetensors")
    assert main(["attractor", *words[:2], "--out", words[2]]) == 2
    assert "layered" in one_line(capsys.readouterr().err)


def test_stability_of_many_samples_is_that_of_the_first() -> None:
    op = rx.ADR(rx.Grid((6,)))
    model = rx.Relaxation(op, 3, activation="tanh").with_params({"R": np.array(1.0)})
    found = rx.attractor(model, np.linspace(0.5, 1.0, 20)[:, np.newaxis] * np.ones(6))
    rows = dict(attractor_rows(found))
    assert rows["samples converged"] == "20 of 20 (newton)"
    assert rows["certificate"].startswith("not certified")
    assert rows["stable"].startswith("16 of 16 looked at, spectral radius at most 0.")


def test_names_of_choices_are_those_of_their_tables() -> None:
    from relaxon.datasets.time_axis import PERIODS
    from relaxon.domain.grid import CONDITIONS
    from relaxon.inputs.inputs import MODES
    from relaxon.model.activations import ACTIVATIONS
    from relaxon.model.dynamics import ATTRACTOR, NORMALIZATIONS
    from relaxon.model.network import BIASES
    from relaxon.operators.adr import SCHEMES
    from relaxon.operators.operator import SPACES, TIMES
    from relaxon.training.constraints import CONSTRAINTS
    from relaxon.training.on_the_fly import METHODS

    for names, table in (
        (settings.ANOMALY_NAMES, tuple(PERIODS)),
        (settings.INPUT_NAMES, MODES),
        (settings.NORMALIZATION_NAMES, NORMALIZATIONS),
        (settings.BIAS_NAMES, BIASES),
        (settings.SCHEME_NAMES, SCHEMES),
        (settings.SPACE_NAMES, SPACES),
        (settings.TIME_NAMES, TIMES),
        (settings.CONSTRAINT_NAMES, CONSTRAINTS),
        (settings.DEPTH_NAMES, ("auto", ATTRACTOR)),
        (settings.ACTIVATION_NAMES, ACTIVATIONS),
        (settings.CONDITION_NAMES, CONDITIONS),
        (settings.ON_THE_FLY_NAMES, METHODS),
    ):
        assert names == tuple(table)


# -- stability and depth in reports -------------------------------------------------------------


def test_a_found_depth_is_shown_among_others(tmp_path: Path) -> None:
    from relaxon.forecasting.checks import run_checks

    random = np.random.default_rng(1)
    x = random.standard_normal((40, 24))
    model = rx.Relaxation(rx.ADR(rx.Grid((24,))), 3, "identity", 1.0).with_params(
        {"R": np.array(0.0), "U": np.array([0.6]), "D": np.array([0.3])}
    )
    options = Options(depth="auto", max_depth=6, theta=1.0, optimizer="lbfgs", steps=30)
    samples = Samples(x, model(x) + 0.02 * random.standard_normal(x.shape))
    experiment = Experiment(options, samples)
    (plan,) = plan_checks(experiment)
    assert (plan.own, [v.depth for v in plan.variants], plan.n_more) == (None, [1, 2, 4, 6], 4)
    result = run_checks((plan,), experiment, experiment.run())
    depth = result.fit.model.depth
    (comparison,) = result.comparisons
    assert comparison.depths == tuple(sorted({1, 2, 4, 6, depth}))
    own = comparison.depths.index(depth)
    drifts = next(c for c in comparison.coefficients if c.symbol == "U")
    (mine,) = (p for p in result.explanation.processes if p.symbol == "U")
    assert drifts.values[own] == mine.typical_value
    # The time of a layer follows: what is read off is of one order at all depths.
    assert max(drifts.values) < 2.0 * min(drifts.values)
    folder = tmp_path / "report"
    folder.mkdir()
    written = write_report(folder, experiment, result, {})
    assert {"depths.png", "stability.png"} <= set(written)
    summary = json.loads((folder / "summary.json").read_text())
    stability = summary["stability"]
    assert stability["theta"] == 1.0
    waves = rx.amplification(result.fit.model)
    assert stability["largest_amplification"] == waves.largest
    assert stability["text"].startswith("implicit layers (theta = 1), largest amplification")
    # Without a source the attractor of a linear network is 0.
    assert summary["depth_distance"][0] == pytest.approx(np.abs(x[30:]).max())
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Learned coefficients against the number of layers" in page
    assert '<h2 id="stability">Stability</h2>' in page
    assert "distance to z*" in page


@pytest.mark.parametrize(("diffusion", "is_stable"), [(0.4, True), (0.6, False)])
def test_reports_say_whether_layers_are_stable(diffusion: float, is_stable: bool) -> None:
    from relaxon.report.summary import stability_text

    model = rx.Relaxation(rx.ADR(rx.Grid((16,))), 4, "identity", 1.0)
    model = model.with_params({"R": np.array(0.0), "U": np.zeros(1), "D": np.array([diffusion])})
    found = rx.stability(model)
    assert found.is_stable == is_stable
    assert stability_text(found, model).endswith(": stable" if is_stable else ": not stable")
    assert stability_text(found, model).startswith("explicit layers (theta = 0)")


def test_waves_may_be_damped_and_a_coast_not() -> None:
    """Mixed diffusion is one-sided there: a cell may be pushed away from its only neighbour."""
    from relaxon.report.summary import stability_text

    mask = np.ones((9, 9), bool)
    mask[3:6, 3:6] = False
    mask[4, 4] = mask[3, 5] = True
    op = rx.ADR(rx.Grid((9, 9), mask=mask))
    model = rx.Relaxation(op, 2, "identity", theta=1.0)
    model = model.with_params({"R": np.array(0.0), "D": np.array([0.5, 1.5, 5.0])})
    found = rx.stability(model)
    assert found.damps_waves
    assert found.spectral_radius is not None
    assert found.spectral_radius > 1.0
    assert stability_text(found, model).endswith("but a state at the sides or the mask does")


def test_profiles_tell_how_far_the_attractor_is() -> None:
    op = rx.ADR(rx.Grid((20,)))
    model = rx.Relaxation(op, 12, activation="tanh", bias="homogeneous").with_params(
        {"R": np.array(-0.3), "D": np.array([0.3]), "bias": np.array(0.2)}
    )
    x = np.random.default_rng(0).standard_normal((3, 20))
    profile = rx.depth_profile(model, x, x, attractor=True)
    assert rx.depth_profile(model, x, x).distance is None
    star = rx.attractor(model, x, tol=1e-13).z
    assert profile.distance is not None
    expected = np.abs(model.trajectory(x) - star[:, np.newaxis]).max(axis=(0, 2))
    np.testing.assert_allclose(profile.distance, expected, atol=1e-9)
    certificate = rx.stability(model).certificate
    assert certificate is not None
    ratios = profile.distance[1:] / profile.distance[:-1]
    assert (ratios <= certificate.factor * (1 + 1e-9)).all()
    drawn = profile.plot().axes[1].get_legend_handles_labels()[1]
    assert "distance to the attractor" in drawn
