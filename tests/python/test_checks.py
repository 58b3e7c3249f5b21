"""The same fit at other leads and depths: what moves is marked everywhere."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from relaxon import cli
from relaxon.datasets.samples import Samples
from relaxon.datasets.series import Series
from relaxon.forecasting.checks import plan_checks, run_checks
from relaxon.forecasting.comparison import compare
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import Options

xarray = pytest.importorskip("xarray")

N_CELLS = 32
K = 2 * np.pi * np.fft.rfftfreq(N_CELLS)
MEANING = "noise in the inputs, or unresolved scales"


def driven(
    noise: float = 0.0,
    n_times: int = 400,
    diffusivity: float = 0.5,
    length: float = 2.4,
    seed: int = 0,
) -> np.ndarray:
    """Fields that drift, diffuse and decay, are driven by waves as long as that, and seen badly."""
    random = np.random.default_rng(seed)
    z, fields = np.zeros(len(K), complex), np.empty((n_times + 30, N_CELLS))
    for i in range(len(fields)):
        fresh = np.exp(-0.5 * (length * K) ** 2) * np.fft.rfft(random.standard_normal(N_CELLS))
        z = np.exp(-0.3j * K - diffusivity * K**2 - 0.1) * z + fresh
        fields[i] = np.fft.irfft(z, N_CELLS)
    fields = fields[30:]
    seen: np.ndarray = fields + noise * fields.std() * random.standard_normal(fields.shape)
    return seen


def labelled(fields: np.ndarray) -> Any:
    places = {"x": ("x", 2.0 * np.arange(N_CELLS), {"units": "m"})}
    times = {"time": ("time", 1.0 * np.arange(len(fields)), {"units": "h"})}
    return xarray.DataArray(fields, {**times, **places}, ("time", "x"), name="q")


def start(**options: Any) -> rx.Relaxation:
    grid = rx.Grid((N_CELLS,), **options.pop("grid", {}))
    settings: dict[str, Any] = {"depth": 4, "activation": "identity"} | options
    return rx.Relaxation(rx.ADR(grid), **settings)


def check(fields: np.ndarray, leads: Any = (1, 5), **options: Any) -> rx.Comparison:
    return rx.check_leads(start(**options), labelled(fields), leads, optimizer=rx.LBFGS(), steps=60)


def test_noise_in_the_inputs_moves_the_diffusion_with_the_lead() -> None:
    noisy = check(driven(noise=0.2))
    assert (noisy.leads, noisy.depths) == ((1, 5), (4, 20))
    values = {c.process: c.values for c in noisy.coefficients}
    assert values["diffusion along axis 0"][0] > 1.5 * values["diffusion along axis 0"][1]
    (moved,) = noisy.moved
    assert (moved.symbol, moved.axes, moved.farthest) == ("D", (0, 0), 1)
    (remark,) = noisy.remarks
    assert (remark.name, remark.symbol, remark.axes) == ("lead check", "D", (0, 0))
    assert remark.text.startswith("falls from ")
    assert " with the lead (1 to 5 steps, " in remark.text
    assert remark.text.endswith(f"standard errors of the difference): {MEANING}")
    table = str(noisy).splitlines()
    assert "lead 1, 4 layers" in table[0]
    assert "lead 5, 20 layers" in table[0]
    (row,) = [line for line in table if line.startswith("diffusion")]
    assert row.endswith(" *")
    assert f"* diffusion along axis 0 {remark.text}" in table


def test_without_noise_nothing_moves() -> None:
    clean = check(driven(), leads=[3, 1], depth=12)
    assert (clean.leads, clean.depths) == ((1, 3), (4, 12))
    assert clean.moved == ()
    assert clean.remarks == ()
    assert "*" not in str(clean)
    assert all(error is not None for c in clean.coefficients for error in c.standard_errors)


def test_a_scaling_says_what_lead_the_depth_belongs_to() -> None:
    da = labelled(driven(n_times=60))
    pairs = rx.datasets.from_xarray(da, lead=2)
    model = rx.Relaxation(rx.ADR(pairs.grid), depth=4, dt=0.5, time_unit="h")
    found = rx.check_leads(model.with_scaling(pairs.scaling), da, (3, 1), steps=3)
    assert (found.leads, found.depths) == ((1, 3), (2, 6))
    # Neither is at its minimum: what is read off must not seem to be.
    assert found.notes[:2] == tuple(
        f"lead {lead}: stopped after the number of steps that was asked for" for lead in (1, 3)
    )
    assert {c.symbol: c.unit for c in found.coefficients} == {"R": "1/h", "U": "m/h", "D": "m^2/h"}


def test_coefficients_of_cells_are_listed_and_none_is_marked() -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((N_CELLS,)), space="local"), depth=2)
    found = rx.check_leads(model, labelled(driven(noise=0.5)), (1, 2), steps=5)
    assert found.moved == ()
    assert found.notes[-1] == "no standard errors: medians are listed, and none is marked"
    assert all(error is None for c in found.coefficients for error in c.standard_errors)
    assert len(str(found).splitlines()) == 2 + 3 + len(found.notes)


def test_a_series_of_the_package_will_do() -> None:
    series = Series.read(labelled(driven(n_times=50)))
    assert rx.check_leads(start(), series, range(1, 3), steps=2).depths == (4, 8)


@pytest.mark.parametrize(
    ("options", "leads", "error", "words"),
    [
        ({}, (1,), ValueError, "'leads': expected two leads or more, to compare, got 1"),
        ({}, (2, 2), ValueError, "two leads or more"),
        ({}, (), ValueError, "'leads': expected two leads or more"),
        ({}, "1,3", TypeError, "'leads': expected a sequence of integers"),
        ({}, 3, TypeError, "'leads': expected a sequence of integers"),
        ({}, (1, 2.5), TypeError, "'leads'"),
        ({}, (0, 1), ValueError, "'leads'"),
        ({}, (1, 60), ValueError, "'lead': expected fewer steps than the 50 times"),
        (
            {"depth": 3},
            (2, 3),
            ValueError,
            "leads for which 3 layers for 2 steps make a whole number of layers, got 3; "
            "choose multiples of 2, or another depth",
        ),
        ({"omega": np.full(4, 0.5)}, (1, 2), ValueError, "one omega for all layers"),
        ({"readout": rx.Readout(2)}, (1, 2), ValueError, "without lift and readout"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    options: dict[str, Any], leads: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        rx.check_leads(start(**options), labelled(driven(n_times=50)), leads)
    assert words in str(caught.value)


def test_other_grids_are_refused() -> None:
    da = labelled(driven(n_times=50))
    other = rx.Relaxation(rx.ADR(rx.Grid((9,))), depth=2)
    with pytest.raises(ValueError, match=r"'model': expected a grid of shape \(32,\)"):
        rx.check_leads(other, da, (1, 2))
    masked = start(grid={"mask": np.arange(N_CELLS) > 0})
    with pytest.raises(ValueError, match=r"a mask with the 32 cells of the data, got one with 31"):
        rx.check_leads(masked, da, (1, 2))
    layered = rx.Relaxation(rx.ADR(rx.Grid((N_CELLS,)), time="layered"), depth=2)
    with pytest.raises(ValueError, match=r"one set of coefficients"):
        rx.check_leads(layered, da, (1, 2))


def test_differences_are_measured_in_their_standard_errors() -> None:
    def explain(d: float, scatter: float) -> rx.Explanation:
        model = start().with_params({"R": np.zeros(()), "U": np.zeros(1), "D": np.array([d])})
        x = np.random.default_rng(0).standard_normal((40, N_CELLS))
        y = model(x) + scatter * np.random.default_rng(1).standard_normal(x.shape)
        return rx.explain(model, data=(x, y))

    explanations = [explain(d, 0.1) for d in (0.3, 0.31, 0.2)]
    found = compare("lead", (1, 2, 3), (4, 8, 12), explanations)
    (d,) = [c for c in found.coefficients if c.symbol == "D"]
    first, last = d.standard_errors[0], d.standard_errors[2]
    assert first is not None
    assert last is not None
    expected = abs(d.values[2] - d.values[0]) / np.hypot(first, last)
    assert d.n_errors == pytest.approx(expected)
    assert d.farthest == 2
    assert d.is_moved
    near = compare("lead", (1, 2), (4, 8), [explain(0.3, 5.0), explain(0.31, 5.0)])
    assert near.moved == ()


# -- the command line -------------------------------------------------------------------------


def run(tmp_path: Path, fields: np.ndarray, *options: str) -> tuple[dict[str, Any], str]:
    labelled(fields).to_netcdf(tmp_path / "a.nc")
    out = tmp_path / "out"
    command = ["fit", str(tmp_path / "a.nc"), "--optimizer", "lbfgs", "--steps", "60"]
    command += ["--depth", "4", "--boundary", "periodic", *options]
    assert cli.main([*command, "--out", str(out)]) == 0
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return summary, (out / "report.html").read_text(encoding="utf-8")


def test_leads_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary, page = run(tmp_path, driven(noise=0.2), "--check-leads", "1,5")
    (found,) = summary["comparisons"]
    assert (found["kind"], found["leads"], found["depths"]) == ("lead", [1, 5], [4, 20])
    texts = {c["symbol"]: c["text"] for c in found["coefficients"]}
    assert MEANING in texts["D"]
    # The experiment's own fit is one of the compared.
    rows = {row["process"]: row["median"] for row in summary["explanation"]["table"]}
    for coefficient in found["coefficients"]:
        assert coefficient["values"][0] == pytest.approx(rows[coefficient["process"]], rel=1e-12)
    said = [r for r in summary["explanation"]["remarks"] if r["name"] == "lead check"]
    assert texts["D"] in [r["text"] for r in said]
    printed = capsys.readouterr().out
    assert "lead 5, 20 layers" in printed
    (line,) = [t for t in printed.splitlines() if t.startswith("  diffusivity along x")]
    assert line.endswith("]")
    assert texts["D"] in printed
    assert "lead 5, 20 layers" in page
    assert texts["D"] in page
    assert 'data-path="comparisons.0.coefficients.0.values.1"' in page


def test_depth_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four layers have a bound below this diffusivity; eight come nearer to it."""
    summary, page = run(tmp_path, driven(diffusivity=3.0, length=0.5), "--check-depth")
    (found,) = summary["comparisons"]
    assert (found["kind"], found["leads"], found["depths"]) == ("depth", [1, 1], [4, 8])
    (d,) = [c for c in found["coefficients"] if c["symbol"] == "D"]
    assert d["values"][1] > 1.3 * d["values"][0]
    assert "rises from" in d["text"]
    assert "with the number of layers (4 to 8 layers" in d["text"]
    names = {r["name"] for r in summary["explanation"]["remarks"] if r["symbol"] == "D"}
    assert "depth check" in names
    assert "4 layers" in capsys.readouterr().out
    assert d["text"] in page


def test_pairs_have_no_leads_and_may_have_depths() -> None:
    fields = driven(n_times=60)
    pairs = Samples(fields[:-1], fields[1:])
    with pytest.raises(ValueError, match="'check_leads': expected no value for pairs"):
        Experiment(Options(check_leads="1,2"), pairs)
    experiment = Experiment(Options(check_depth=True, depth=2, steps=3), pairs)
    (plan,) = plan_checks(experiment)
    assert [(o.depth, o.value("omega")) for o in plan.variants] == [(2, 0.5), (4, 0.25)]
    result = run_checks((plan,), experiment, experiment.run())
    assert result.comparisons[0].heads == ("2 layers", "4 layers")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"check_leads": "1;3"}, "'check_leads': expected whole numbers of steps, such as 1,3,5"),
        ({"check_leads": "1"}, "two leads or more, to compare, got 1"),
        ({"check_leads": "0,1"}, "'check_leads': expected at least 1, got 0"),
        ({"check_leads": "3", "lead": 2, "depth": 3}, "choose multiples of 2, or another depth"),
        ({"check_leads": "1,39"}, "argument 'check_leads': lead 39: argument 'holdout': expected"),
    ],
)
def test_wrong_leads_are_refused_before_training(options: dict[str, Any], words: str) -> None:
    experiment = Experiment(Options(**options), Series.read(labelled(driven(n_times=50))))
    with pytest.raises(ValueError, match=re.escape(words)):
        plan_checks(experiment)


def test_all_leads_have_the_same_training_times_and_the_same_time_of_a_layer() -> None:
    series = Series.read(labelled(driven(n_times=80)))
    experiment = Experiment(Options(check_leads="4,2", lead=2, depth=6), series)
    (plan,) = plan_checks(experiment)
    variants = [Experiment(options, series) for options in plan.variants]
    assert [v.options.depth for v in variants] == [6, 12]
    assert [len(v.split.training) for v in variants] == [58, 56]
    assert {v.model.dt for v in variants} == {experiment.model.dt}
    first, second = (v.split.scaling for v in variants)
    assert first is not None
    assert second is not None
    assert np.array_equal(first.climatology, second.climatology)


def test_an_interrupted_check_is_the_last_and_marks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    series = Series.read(labelled(driven(noise=0.2)))
    options = Options(check_leads="1,5,9", depth=2, optimizer="lbfgs", boundary="periodic")
    experiment = Experiment(options, series)
    (plan,) = plan_checks(experiment)
    result = experiment.run()
    assert not result.is_interrupted
    learn = Experiment.learn

    def interrupted(
        self: Experiment, progress: bool, checkpoint: Path | None
    ) -> tuple[rx.Fit, rx.Explanation]:
        fitted, explanation = learn(self, progress)
        return dataclasses.replace(fitted, status=rx.Status.INTERRUPTED, message="m"), explanation

    monkeypatch.setattr(Experiment, "learn", interrupted)
    after = run_checks((plan,), experiment, result)
    assert after.is_interrupted
    assert after.comparisons[0].leads == (1, 5)
    assert after.comparisons[0].notes == (
        "lead 5: m",
        "lead 9: not fitted, the run was interrupted",
    )
    assert after.explanation.remarks == result.explanation.remarks


def test_a_check_that_diverges_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    series = Series.read(labelled(driven(n_times=60)))
    experiment = Experiment(Options(check_depth=True, depth=2, steps=2), series)
    (plan,) = plan_checks(experiment)
    result = experiment.run()

    def diverge(self: Experiment, progress: bool, checkpoint: Path | None) -> None:
        raise rx.DivergenceError("it overflows", 1, 0, (), experiment.model)

    monkeypatch.setattr(Experiment, "learn", diverge)
    (comparison,) = run_checks((plan,), experiment, result).comparisons
    assert comparison.heads == ("2 layers",)
    assert "4 layers: left out, it overflows" in str(comparison)


# -- pairs that overlap -----------------------------------------------------------------------


def test_pairs_that_overlap_are_clusters_of_two_leads() -> None:
    da = labelled(driven(n_times=66))
    assert rx.datasets.from_xarray(da).groups is None
    pairs = rx.datasets.from_xarray(da, lead=3)
    assert pairs.groups is not None
    assert pairs.groups.tolist() == [i // 6 for i in range(63)]
    # At least ten of them.
    shorter = rx.datasets.from_xarray(da[:46], lead=3).groups
    assert shorter is not None
    assert shorter.tolist() == [i // 4 for i in range(43)]
    assert rx.datasets.from_xarray(da[:22], lead=3).groups is None
    both = xarray.concat([da, 2.0 * da], "member")
    members = rx.datasets.from_xarray(both, lead=3).groups
    assert members is not None
    assert members.tolist() == np.repeat(pairs.groups, 2).tolist()


def test_error_bars_at_long_leads_cover_the_scatter() -> None:
    """Those of single pairs, which share most of what happens, are half of it."""
    values, blocks, singles = [], [], []
    for seed in range(12):
        pairs = rx.datasets.from_xarray(labelled(driven(seed=seed)), lead=5, anomaly="none")
        op = rx.ADR(pairs.grid.replace(boundary="periodic"))
        model = rx.Relaxation(op, depth=10, activation="identity")
        data = pairs.x, pairs.y
        model = rx.fit(model, *data, optimizer=rx.LBFGS(), steps=40).model
        by_block = rx.explain(model, data, groups=pairs.groups).processes[1]
        assert by_block.symbol == "U"
        values.append(by_block.typical_value)
        blocks.append(float(by_block.typical_error or 0.0))
        singles.append(float(rx.explain(model, data).processes[1].typical_error or 0.0))
    scatter = np.std(values, ddof=1)
    assert np.mean(singles) < 0.6 * scatter
    assert np.mean(blocks) > 1.5 * np.mean(singles)
    assert 0.6 * scatter < np.mean(blocks) < 1.4 * scatter


def test_reports_say_what_a_block_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary, page = run(tmp_path, driven(n_times=80), "--lead", "2")
    assert summary["explanation"]["standard_errors"]["cluster"] == "block"
    assert summary["explanation"]["standard_errors"]["samples"] == 15
    printed = capsys.readouterr().out
    assert "clustered by block (15 blocks)" in printed
    words = "locks are 4 consecutive times: pairs that share times share errors and what happens"
    assert f"\nb{words}" in printed
    assert f"<p>B{words}" in page


def test_a_short_record_has_single_pairs_as_clusters() -> None:
    series = Series.read(labelled(driven(n_times=24)))
    options = Options(lead=5, steps=2, depth=2, holdout=0.4)
    explanation = Experiment(options, series).run().explanation
    assert explanation.standard_errors is not None
    assert (explanation.standard_errors.cluster, explanation.standard_errors.n_samples) == (
        "sample",
        9,
    )
    assert explanation.note == ""


def test_clusters_without_targets_do_not_count() -> None:
    y = driven(n_times=6)
    weights = np.ones(y.shape, bool)
    weights[2:5] = False
    groups = np.arange(6) // 2
    mask = np.arange(N_CELLS) > 0
    assert Samples(y, y).n_clusters(mask) == 6
    assert Samples(y, y, weights).n_clusters(mask) == 3
    assert Samples(y, y, weights, groups=groups).n_clusters(mask) == 2
    weights[5, mask] = False
    assert Samples(y, y, weights, groups=groups).n_clusters(mask) == 1


def test_leads_of_fields_with_gaps() -> None:
    fields = driven(n_times=60)
    fields[np.random.default_rng(1).random(fields.shape) < 0.03] = np.nan
    found = check(fields, (1, 2))
    assert all(np.isfinite(c.values).all() for c in found.coefficients)
    assert all(error is not None for c in found.coefficients for error in c.standard_errors)
