"""What is said beside coefficients, in the table, the terminal, the summary and the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from relaxon.datasets.coordinates import Coordinates
from relaxon.datasets.samples import Samples
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import Options
from relaxon.physics.coefficients import Process
from relaxon.physics.remarks import Remark, number_remarks, read_remarks
from relaxon.report.folder import write_report
from relaxon.report.terminal import print_result


def adr(shape: tuple[int, ...], values: dict[str, Any], **settings: Any) -> rx.Relaxation:
    grid = rx.Grid(shape, spacing=2.0, unit="m", names=("y", "x")[-len(shape) :])
    model = rx.Relaxation(rx.ADR(grid, **settings), depth=4, activation="identity", time_unit="s")
    return model.with_params(
        {name: np.broadcast_to(v, model.params[name].shape).copy() for name, v in values.items()}
    )


def said(explanation: rx.Explanation) -> dict[tuple[str, tuple[int, ...]], list[str]]:
    found: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for remark in explanation.remarks:
        found.setdefault((remark.symbol, remark.axes), []).append(remark.name)
    return found


def test_nothing_is_said_of_sound_numbers() -> None:
    explanation = rx.explain(adr((8, 9), {"U": 0.1, "D": np.array([0.1, -0.01, 0.1])}))
    assert explanation.remarks == ()
    assert "[1]" not in str(explanation)


def test_negative_diffusivity_is_named_as_what_it_is() -> None:
    explanation = rx.explain(adr((8, 9), {"D": np.array([0.1, 0.0, -0.1])}))
    assert said(explanation) == {("D", (1, 1)): ["antidiffusion"]}
    text = str(explanation)
    line = next(line for line in text.splitlines() if line.startswith("diffusion along x "))
    assert line.startswith("diffusion along x [1] ")
    note = next(line for line in text.splitlines() if line.startswith("[1] "))
    assert "negative: antidiffusion, which amplifies short waves" in note
    assert '--bounds "D>=0"' in note


def test_antidiffusion_of_an_oblique_direction_is_found() -> None:
    # D_xy^2 = 0.04 > D_xx D_yy = 0.01, and every component along an axis is positive.
    explanation = rx.explain(adr((8, 9), {"D": np.array([0.1, 0.2, 0.1])}))
    (remark,) = explanation.remarks
    assert (remark.name, remark.symbol, remark.axes) == ("antidiffusion", "D", (0, 1))
    assert remark.text.startswith("larger than the diffusivities along its axes allow: oblique")
    assert rx.explain(adr((8, 9), {"D": np.array([0.1, 0.09, 0.1])})).remarks == ()
    d = np.full((3, 8, 10), 0.1)
    d[1, :4] = 0.2
    d[1, 4:] = 0.05
    (remark,) = rx.explain(adr((8, 10), {"D": d}, space="local")).remarks
    assert "allow in 50 % of cells or layers" in remark.text


def test_numerical_diffusion_counts() -> None:
    values = {"U": 0.5, "D": -0.1}
    # Upwind adds |u| / 2 = 0.25.
    assert rx.explain(adr((9,), values, scheme="upwind")).remarks == ()
    assert len(rx.explain(adr((9,), values)).remarks) == 1


def test_negative_within_its_error_reads_so() -> None:
    model = adr((9,), {"D": -1e-4, "U": 0.0, "R": 0.0})
    random = np.random.default_rng(0)
    x = random.standard_normal((20, 9))
    y = model(x) + 0.1 * random.standard_normal(x.shape)
    (remark,) = rx.explain(model, data=(x, y)).remarks
    assert remark.text.startswith("negative, but within two standard errors of zero")


def test_local_coefficients_tell_the_share_of_cells() -> None:
    d = np.full((1, 10), 0.1)
    d[0, :4] = -0.1
    (remark,) = rx.explain(adr((10,), {"D": d}, space="local")).remarks
    assert remark.text.startswith("negative in 40 % of cells: antidiffusion")


def test_operators_without_such_bounds_offer_none() -> None:
    grid = rx.Grid((9,))
    banded = rx.Relaxation(rx.Banded(grid, radius=1), depth=2).with_params(
        {"weights": np.array([-0.2, 1.4, -0.2])}
    )
    (remark,) = rx.explain(banded).remarks
    assert remark.name == "antidiffusion"
    assert "--bounds" not in remark.text


def test_axes_of_few_cells_are_marked() -> None:
    explanation = rx.explain(adr((7, 9), {"D": np.array([0.1, 0.0, 0.1])}))
    few = ["few cells"]
    assert said(explanation) == {("U", (0,)): few, ("D", (0, 0)): few, ("D", (0, 1)): few}
    assert str(explanation).count("[1]") == 4


@pytest.mark.parametrize(("north", "is_said"), [(30.0, False), (40.0, True)])
def test_one_number_for_cells_of_many_widths_is_marked(north: float, is_said: bool) -> None:
    xr = pytest.importorskip("xarray")
    # cos 30 = 0.87 and cos 40 = 0.77: 15 and 31 % wider at the equator.
    fields = xr.DataArray(
        np.random.default_rng(0).standard_normal((12, 9, 10)),
        dims=("time", "latitude", "longitude"),
        coords={
            "time": np.datetime64("2001-01-01", "ns") + np.arange(12) * np.timedelta64(1, "D"),
            "latitude": ("latitude", np.linspace(0.0, north, 9), {"units": "degrees_north"}),
            "longitude": ("longitude", np.arange(10.0), {"units": "degrees_east"}),
        },
        attrs={"units": "K"},
        name="sst",
    )
    pairs = rx.datasets.from_xarray(fields)
    model = rx.Relaxation(rx.ADR(pairs.grid), depth=2, dt=1.0, time_unit="s")
    explanation = rx.explain(model.with_scaling(pairs.scaling))
    widths = [r for r in explanation.remarks if r.name == "uneven widths"]
    assert {(r.symbol, r.axes) for r in widths} == (
        {("U", (1,)), ("D", (0, 1)), ("D", (1, 1))} if is_said else set()
    )
    if is_said:
        assert "from 85.2 to 111 km" in widths[0].text
    local = rx.Relaxation(rx.ADR(pairs.grid, space="local"), depth=2).with_scaling(pairs.scaling)
    assert [r for r in rx.explain(local).remarks if r.name == "uneven widths"] == []


def test_widths_are_written_without_exponents() -> None:
    latitudes, longitudes = np.linspace(-75.0, 75.0, 11), np.arange(0.0, 360.0, 15.0)
    coordinates = Coordinates.read(
        [
            ("latitude", latitudes, {"units": "degrees_north"}),
            ("longitude", longitudes, {"units": "degrees_east"}),
        ]
    )
    process = Process("advection along longitude", "U", (1,), "m/s", np.zeros(()))
    (remark,) = read_remarks([process], coordinates.grid(), coordinates, False)
    assert "varies from 432 to 1670 km: it is converted with 1670 km," in remark.text


def test_equal_texts_share_a_note() -> None:
    remarks = [Remark("a", "U", (0,), "one"), Remark("b", "U", (0,), "two")]
    remarks.append(Remark("b", "D", (0, 0), "two"))
    texts, marks = number_remarks(remarks)
    assert texts == ("one", "two")
    assert marks == {("U", (0,)): "[1, 2]", ("D", (0, 0)): "[2]"}


def test_terminal_summary_and_page_show_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rich")
    fields = np.random.default_rng(0).standard_normal((30, 6))
    experiment = Experiment(Options(steps=2, depth=2), Samples(fields[:-1], fields[1:]))
    result = experiment.run()
    write_report(tmp_path, experiment, result, {})
    print_result(experiment, result)
    shown = capsys.readouterr().out
    assert "  [1] only 6 cells along axis 0" in shown
    (drift,) = [line for line in shown.splitlines() if "drift along axis 0" in line]
    assert drift.endswith(" [1]")
    summary = json.loads((tmp_path / "summary.json").read_text())
    remarks = summary["explanation"]["remarks"]
    assert {r["process"] for r in remarks if r["name"] == "few cells"} == {
        "advection along axis 0",
        "diffusion along axis 0",
    }
    page = (tmp_path / "report.html").read_text()
    assert "advection along axis 0 <sup>[1]</sup>" in page
    assert "<p>[1] only 6 cells along axis 0" in page


def test_a_model_that_loses_says_so_above_the_physics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rich")
    fields = np.random.default_rng(0).standard_normal((30, 9))
    # A model that stays where it starts, near persistence; of noise the damped one is better.
    options = Options(steps=1, depth=2, optimizer="fixed-rate", rate=1e-9)
    experiment = Experiment(options, Samples(fields[:-1], fields[1:]))
    result = experiment.run()
    write_report(tmp_path, experiment, result, {})
    print_result(experiment, result)
    shown = capsys.readouterr().out
    text = (
        "the model is worse than damped persistence per cell on held-out pairs (2.92 against "
        "1.33), and than damped persistence: its coefficients describe no skill beyond that"
    )
    assert f"\n{text}\n\nlearned physics:" in shown
    skill = json.loads((tmp_path / "summary.json").read_text())["skill"]
    names = ["damped persistence per cell", "damped persistence"]
    assert skill == {"better_baselines": names, "text": text}
    page = (tmp_path / "report.html").read_text()
    assert page.index(f"T{text[1:]}.") < page.index("All coefficients")


def test_a_model_that_wins_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    x = np.random.default_rng(0).standard_normal((30, 9))
    y = adr((9,), {"U": 0.3})(x)
    experiment = Experiment(Options(steps=20, depth=4), Samples(x, y))
    result = experiment.run()
    assert result.better_baselines == ()
    print_result(experiment, result)
    assert "no skill" not in capsys.readouterr().out
