"""Values held fixed at sides and masked cells: written, shown and kept in the unit of the data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from printed import one_line
from relaxon import cli, datasets
from relaxon.datasets.samples import Samples
from relaxon.datasets.series import Series
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import Options

xarray = pytest.importorskip("xarray")

N_CELLS, N_SUBSTEPS, D = 12, 4, 0.2


def rod(n_times: int = 40, hole: int | None = None) -> np.ndarray:
    """A cold rod between walls of 100 and 20 degrees; a hole shows 60 to its neighbours."""
    cells = np.arange(N_CELLS)
    values = 20.0 + 30.0 * np.exp(-((cells - 4.0) ** 2) / 6.0)
    fields = np.empty((n_times, N_CELLS))
    for i in range(n_times):
        fields[i] = values
        for _ in range(N_SUBSTEPS):
            if hole is not None:
                values[hole] = 60.0
            padded = np.concatenate([[100.0], values, [20.0]])
            values = values + 0.5 * D * (padded[2:] - 2.0 * values + padded[:-2])
    if hole is not None:
        fields[:, hole] = np.nan
    return fields


def labelled(values: np.ndarray) -> Any:
    coords = {
        "time": ("time", 10.0 * np.arange(len(values)), {"units": "s"}),
        "x": ("x", 0.05 * np.arange(N_CELLS), {"units": "m"}),
    }
    return xarray.DataArray(values, coords, ("time", "x"), name="T", attrs={"units": "degC"})


OPTIONS: dict[str, Any] = {"depth": N_SUBSTEPS, "optimizer": "lbfgs", "steps": 200}


@pytest.mark.parametrize("hole", [None, 8])
def test_walls_of_a_rod_are_given_in_degrees(hole: int | None) -> None:
    series = Series.read(labelled(rod(hole=hole)))
    masked = None if hole is None else "60"
    options = Options(boundary="100:20", mask_boundary=masked, **OPTIONS)
    experiment = Experiment(options, series)
    # Asked for nothing, the only climatology with which a fixed value is one number.
    assert experiment.config["anomaly"] == "none"
    assert experiment.config["boundary"] == "100:20"
    assert experiment.config.get("mask_boundary") == masked
    fitted = experiment.run().fit.model
    assert float(fitted.params["D"][0]) == pytest.approx(D, rel=1e-3)
    assert abs(float(fitted.params["U"][0])) < 1e-3
    assert abs(float(fitted.params["R"])) < 1e-3
    scaling = fitted.scaling
    assert scaling is not None
    mean, scale = scaling.only_mean, scaling.scale
    assert mean is not None
    sides = [side.value for side in fitted.grid.boundary[0] if isinstance(side, rx.Dirichlet)]
    assert sides == pytest.approx([(100.0 - mean) / scale, (20.0 - mean) / scale])
    if hole is not None:
        assert fitted.grid.mask_boundary == rx.Dirichlet((60.0 - mean) / scale)


def test_reports_and_saved_models_show_them_in_degrees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled(rod()).to_netcdf(tmp_path / "rod.nc")
    out = tmp_path / "out"
    command = ["fit", str(tmp_path / "rod.nc"), "--boundary", "100:20", "--steps", "2"]
    assert cli.main([*command, "--out", str(out)]) == 0
    assert json.loads((out / "summary.json").read_text())["config"]["boundary"] == "100:20"
    line = "fixed values: low x 100 degC, high x 20 degC"
    assert line[1:] in (out / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert cli.main(["explain", str(out / "model.safetensors")]) == 0
    assert line in capsys.readouterr().out.splitlines()


def test_conditions_in_words() -> None:
    def note(grid: rx.Grid) -> str:
        return rx.explain(rx.Relaxation(rx.ADR(grid), depth=2)).note

    one = rx.Dirichlet(1.0)
    assert (
        note(rx.Grid((8, 9), boundary=(one, "periodic"), names=("y", "x"))) == "fixed values: y 1"
    )
    mask = np.arange(8) > 0
    masked = rx.Grid((8,), boundary="neumann", mask=mask, mask_boundary=rx.Dirichlet(-0.5))
    assert note(masked) == "fixed values: masked cells -0.5"
    assert note(rx.Grid((8,), boundary="neumann")) == ""
    pairs = rx.datasets.from_xarray(labelled(rod()), anomaly="mean")
    held = rx.ADR(pairs.grid.replace(boundary=((one, "neumann"),)))
    scaled = rx.Relaxation(held, depth=2).with_scaling(pairs.scaling)
    assert rx.explain(scaled).note == "fixed values: low x 1, in scaled anomalies"


@pytest.mark.parametrize("name", ["boundary", "mask_boundary"])
@pytest.mark.parametrize("anomaly", ["mean", "month"])
def test_where_a_value_would_differ_it_is_refused(name: str, anomaly: str) -> None:
    series = datasets.sst().series()
    text: Any = {"boundary": "300,periodic", "mask_boundary": "300"}[name]
    words = (
        rf"argument '{name}': expected no fixed value where the climatology that is removed "
        rf"\(anomaly '{anomaly}'\) differs between cells or times, got 300 K; with anomaly 'none'"
    )
    with pytest.raises(ValueError, match=words):
        Experiment(Options(anomaly=anomaly, **{name: text}), series)
    # The shipped data come as anomalies from the month.
    with pytest.raises(ValueError, match=r"anomaly 'month'"):
        Experiment(Options(**{name: text}), series)
    experiment = Experiment(Options(anomaly="none", **{name: text}), series)
    assert experiment.model.scaling is not None
    expected = experiment.model.scaling.scale_number(name, 300.0)
    grid = experiment.model.grid
    held = grid.boundary[0][0] if name == "boundary" else grid.mask_boundary
    assert held == rx.Dirichlet(expected)


def test_a_steady_field_between_walls_keeps_its_mean() -> None:
    values = np.linspace(100.0, 20.0, N_CELLS) + 0.1 * rod()
    assert Experiment(Options(), Series.read(labelled(values))).config["anomaly"] == "mean"
    walls = Experiment(Options(boundary="108:14"), Series.read(labelled(values)))
    assert walls.config["anomaly"] == "none"
    assert walls.split.note == ""
    free = Experiment(Options(boundary="neumann:neumann"), Series.read(labelled(values)))
    assert free.config["anomaly"] == "mean"


def test_pairs_have_no_scaling_and_their_numbers_stand() -> None:
    fields = rod()
    samples = Samples(fields[:-1], fields[1:])
    experiment = Experiment(Options(boundary="100:20", **OPTIONS), samples)
    assert experiment.model.grid.boundary == ((rx.Dirichlet(100.0), rx.Dirichlet(20.0)),)
    fitted = experiment.run().fit.model
    assert float(fitted.params["D"][0]) == pytest.approx(D, rel=1e-3)


def test_physics_between_walls_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "rod.nc", tmp_path / "out"
    labelled(rod(hole=8)).to_netcdf(path)
    command = ["fit", str(path), "--boundary", "100:20", "--mask-boundary", "60"]
    options = ["--depth", str(N_SUBSTEPS), "--optimizer", "lbfgs", "--out", str(out)]
    assert cli.main([*command, *options]) == 0
    physics = json.loads((out / "summary.json").read_text())["physics"]
    assert physics["diffusivity"]["unit"] == "m^2/s"
    expected = N_SUBSTEPS * 0.5 * D * 0.05**2 / 10.0
    assert physics["diffusivity"]["value"] == pytest.approx([expected], rel=1e-3)
    capsys.readouterr()
    assert cli.main([*command, *options, "--anomaly", "mean"]) == 2
    message = one_line(capsys.readouterr().err)
    assert "'boundary': expected no fixed value where the climatology that is removed" in message
    assert "got 100 degC" in message
