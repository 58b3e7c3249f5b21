"""``relaxon fit`` and ``relaxon predict`` on files of the user's own."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from printed import one_line
from relaxon import cli
from relaxon.datasets.samples import Samples, read_samples
from relaxon.datasets.series import Series
from relaxon.datasets.variable import open_variable
from relaxon.forecasting.experiment import Experiment, Result
from relaxon.forecasting.options import Options
from ring_data import DRIFT, labelled, ring, write, write_ring

xarray = pytest.importorskip("xarray")
pytest.importorskip("netCDF4")

ROOT = Path(__file__).resolve().parents[2]
ERA5 = ROOT.parent / "shared" / "data" / "era5_uk_t2m_2019_03.nc"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a netCDF file, and the report of a fit to it."""
    folder = tmp_path_factory.mktemp("data")
    write_ring(folder / "ring.nc")
    arguments = ["fit", str(folder / "ring.nc"), "--variable", "wave", "--lead", "2"]
    assert cli.main([*arguments, "--anomaly", "hour", "--out", str(folder / "report")]) == 0
    return folder


def test_summary_of_a_file(folder: Path) -> None:
    summary = json.loads((folder / "report" / "summary.json").read_text())
    rows = {row["name"]: row for row in summary["rows"]}
    assert [row["parameters"] for row in summary["rows"]] == [0, 1, 36, 3]
    assert rows["model"]["dense_parameters"] == 36**2
    assert rows["model"]["held_out_error"] < 0.9 * rows["damped persistence"]["held_out_error"]
    physics = summary["physics"]
    assert physics["velocity"]["axes"] == ["longitude"]
    assert physics["velocity"]["unit"] == "m/s"
    cell = 10 * np.pi * 6.371e6 / 180
    assert physics["velocity"]["value"][0] == pytest.approx(DRIFT * cell / 3600, rel=0.2)
    assert physics["rate"]["unit"] == "1/hour"
    config = summary["config"]
    assert (config["variable"], config["anomaly"], config["lead"]) == ("wave", "hour", 2)
    assert config["boundary"] == "periodic"
    assert config["data"].endswith("ring.nc")
    model = rx.load(folder / "report" / "model.safetensors")
    assert model.grid.boundary == (("periodic", "periodic"),)
    assert model.dt == pytest.approx(7200 / 10)
    assert model.time_unit == "s"
    for figure in ("loss.png", "prediction.png"):
        assert (folder / "report" / figure).read_bytes().startswith(b"\x89PNG")


def test_output_for_a_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    da = labelled(ring())
    da[:, 3] = np.nan
    da[4, 8] = np.nan
    da.to_netcdf(tmp_path / "gaps.nc")
    arguments = ["fit", str(tmp_path / "gaps.nc"), "--steps", "60", "--patience", "60"]
    assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "75 pairs of hours to train on, 13 to validate on, 29 held out, 35 cells"
    place = "as at the equator (no axis is a latitude in degrees)"
    assert lines[1] == f"longitude: 36 cells of 1.1119e+06 m {place}, closes"
    assert lines[2] == "1 of 36 cells have no value: they become the mask"
    assert "1 values (0.02%)" in lines[3]
    assert "over existing cells" in captured.out
    assert "(eastward)" in captured.out
    assert captured.err == ""


def test_units_that_are_not_understood_are_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    da = labelled(ring())
    da["longitude"].attrs.clear()
    da.to_netcdf(tmp_path / "plain.nc")
    arguments = ["fit", str(tmp_path / "plain.nc"), "--steps", "2"]
    assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert "warning: axis 'longitude' keeps lattice units" in one_line(captured.err)
    assert "longitude: 36 cells of 1\n" in captured.out


@pytest.mark.parametrize("suffix", ["nc", "npz"])
def test_predict_a_file(folder: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"ahead.{suffix}"
    model = folder / "report" / "model.safetensors"
    assert cli.main(["predict", str(model), str(folder / "ring.nc"), "--out", str(out)]) == 0
    da = open_variable(folder / "ring.nc", "wave")
    expected = rx.load(model).predict_xarray(da)
    assert abs(float((expected - da.shift(time=-2)).mean())) < 1.0
    if suffix == "nc":
        with xarray.open_dataset(out) as written:
            assert written["wave"].attrs["units"] == "hPa"
            assert (written.time.values == da.time.values + np.timedelta64(2, "h")).all()
            xarray.testing.assert_equal(written["wave"].load(), expected)
    else:
        with np.load(out) as written:
            assert sorted(written) == ["time", "y"]
            assert np.array_equal(written["y"], expected.values)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_predict_a_file_of_one_time(folder: Path, tmp_path: Path) -> None:
    da = open_variable(folder / "ring.nc", "wave")
    da[-1].to_netcdf(tmp_path / "last.nc")
    model = str(folder / "report" / "model.safetensors")
    outs = [tmp_path / "ahead.nc", tmp_path / "ahead.npz"]
    for out in outs:
        assert cli.main(["predict", model, str(tmp_path / "last.nc"), "--out", str(out)]) == 0
    expected = rx.load(model).predict_xarray(da)[-1]
    xarray.testing.assert_allclose(open_variable(outs[0]), expected)
    with np.load(outs[1]) as written:
        assert np.allclose(written["y"], expected)
        assert written["time"] == expected.time.values


def test_predict_arrays_with_times(folder: Path, tmp_path: Path) -> None:
    da = open_variable(folder / "ring.nc", "wave")
    np.savez(tmp_path / "in.npz", x=da.values, time=da.time.values)
    model = folder / "report" / "model.safetensors"
    command = ["predict", str(model), str(tmp_path / "in.npz"), "--out", str(tmp_path / "out.npz")]
    assert cli.main(command) == 0
    expected = rx.load(model).predict_xarray(da)
    with np.load(tmp_path / "out.npz") as written:
        assert np.array_equal(written["y"], expected.values)
        assert (written["time"] == expected.time.values).all()


def test_predict_the_shipped_data(tmp_path: Path) -> None:
    fit = ["fit", "sst", "--theta", "0", "--steps", "2", "--out", str(tmp_path / "report")]
    assert cli.main(fit) == 0
    model = str(tmp_path / "report" / "model.safetensors")
    assert cli.main(["predict", model, "sst", "--out", str(tmp_path / "ahead.nc")]) == 0
    with xarray.open_dataset(tmp_path / "ahead.nc") as written:
        assert str(written.time.values[-1])[:7] == "2010-10"
        assert 290.0 < float(written["sst"].mean()) < 305.0


def pairs(n: int = 80) -> dict[str, Any]:
    fields = ring(n + 1)
    return {"x": fields[:-1], "y": fields[1:]}


def test_pairs_in_an_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = pairs()
    np.savez(tmp_path / "pairs.npz", **arrays)
    arguments = ["fit", str(tmp_path / "pairs.npz"), "--boundary", "periodic"]
    assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert "60 pairs to train on, 20 held out, 36 cells" in capsys.readouterr().out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    rows = {row["name"]: row for row in summary["rows"]}
    variance = arrays["y"][:60].var()
    persistence = np.mean((arrays["x"][60:] - arrays["y"][60:]) ** 2) / variance
    assert rows["persistence"]["held_out_error"] == pytest.approx(persistence)
    assert summary["physics"]["velocity"]["value"][0] == pytest.approx(DRIFT, rel=0.1)
    assert summary["physics"]["velocity"]["unit"] == "1"
    model = tmp_path / "out" / "model.safetensors"
    out = tmp_path / "y.npz"
    assert cli.main(["predict", str(model), str(tmp_path / "pairs.npz"), "--out", str(out)]) == 0
    with np.load(out) as written:
        assert np.array_equal(written["y"], rx.load(model)(arrays["x"]))
    error = np.mean((rx.load(model)(arrays["x"][60:]) - arrays["y"][60:]) ** 2) / variance
    assert rows["model"]["held_out_error"] == pytest.approx(error)


def run(samples: Samples, **options: Any) -> tuple[Experiment, Result]:
    # A dense matrix has no boundary.
    boundary = None if options.get("operator") == "dense" else "periodic"
    experiment = Experiment(Options(boundary=boundary, steps=20, **options), samples)
    return experiment, experiment.run()


def test_missing_targets_count_nothing(tmp_path: Path) -> None:
    """Whatever stands where y is missing, errors and model are those of the rest."""
    arrays = pairs()
    missing = np.random.default_rng(0).random(arrays["y"].shape) < 0.2
    results = []
    for fill in (np.nan, 1e30):
        y = np.where(missing, fill, arrays["y"])
        weights: dict[str, Any] = {} if np.isnan(fill) else {"weights": ~missing}
        np.savez(tmp_path / "a.npz", x=arrays["x"], y=y, **weights)
        results.append(run(read_samples(tmp_path / "a.npz"), patience=50))
    first, second = (result for _, result in results)
    assert [row.held_out_error for row in first.rows] == [row.held_out_error for row in second.rows]
    assert first.fit.model == second.fit.model
    assert first.validation_error == second.validation_error
    split = results[0][0].split
    assert split.validation is not None
    assert first.fit.history.loss[0] == pytest.approx(
        split.error(results[0][0].model(split.training.x), split.training)
    )
    assert first.fit.history.validation_loss[0] == pytest.approx(
        split.error(results[0][0].model(split.validation.x), split.validation)
    )
    count = ~missing[60:]
    variance = arrays["y"][:51][~missing[:51]].var()
    persistence = np.mean((arrays["x"] - arrays["y"])[60:][count] ** 2) / variance
    assert first.rows[0].held_out_error == pytest.approx(persistence)


def test_weights_say_what_counts(tmp_path: Path) -> None:
    arrays = pairs()
    np.savez(tmp_path / "one.npz", **arrays)
    np.savez(tmp_path / "same.npz", **arrays, weights=np.full(36, 7.0))
    half = np.r_[np.ones(18), np.zeros(18)]
    np.savez(tmp_path / "half.npz", **arrays, weights=half)
    one, same, other = (
        run(read_samples(tmp_path / f"{name}.npz"))[1].rows for name in ("one", "same", "half")
    )
    for a, b in zip(one, same, strict=True):
        assert a.held_out_error == pytest.approx(b.held_out_error, rel=1e-9)
    error = np.mean((arrays["x"] - arrays["y"])[60:, :18] ** 2) / arrays["y"][:60, :18].var()
    assert other[0].held_out_error == pytest.approx(error)


def test_cells_without_x_become_the_mask(tmp_path: Path) -> None:
    arrays = pairs()
    arrays["x"][:, 5] = np.nan
    np.savez(tmp_path / "a.npz", **arrays)
    experiment, result = run(read_samples(tmp_path / "a.npz"))
    assert np.flatnonzero(~experiment.split.mask).tolist() == [5]
    assert experiment.describe()[1] == "1 cells have no value: they become the mask"
    assert result.rows[2].parameters == 35


@pytest.mark.parametrize(
    "options",
    [
        {"operator": "moments", "order": 3},
        {"operator": "moments", "order": 3, "space": "local"},
        {"operator": "banded", "radius": 2},
        {"operator": "dense"},
        {"dtype": "float32", "bias": "local"},
        {"optimizer": "adam"},
        {"optimizer": "lbfgs"},
        {"optimizer": "armijo"},
        {"optimizer": "fixed-rate"},
    ],
)
def test_every_operator_and_optimizer_fits_pairs(options: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **pairs())
    _, result = run(read_samples(tmp_path / "a.npz"), **options)
    assert result.rows[3].training_error < result.rows[0].training_error


def test_a_want_of_memory_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: Experiment, progress: bool, checkpoint: Path) -> Result:
        raise MemoryError("this sweep needs 2 TiB")

    monkeypatch.setattr(Experiment, "run", run)
    np.savez(tmp_path / "a.npz", **pairs())
    assert cli.main(["fit", str(tmp_path / "a.npz"), "--out", str(tmp_path / "out")]) == 1
    assert one_line(capsys.readouterr().err) == "relaxon: this sweep needs 2 TiB"


def test_a_single_cell(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((40, 1))
    np.savez(tmp_path / "a.npz", x=x, y=0.5 * x)
    samples = read_samples(tmp_path / "a.npz")
    experiment = Experiment(Options(steps=200), samples)
    assert experiment.model.grid.origin == (0.0,)
    assert experiment.run().rows[-1].held_out_error < 1e-6


def test_pairs_in_space_name_the_axes_of_mixed_components(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(0).standard_normal((12, 4, 5, 6))
    data = write(tmp_path / "a.npz", x=x, y=0.9 * x)
    command = ["fit", data, "--space", "local", "--steps", "2", "--depth", "2"]
    assert cli.main([*command, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    names = re.findall(r"drift along (axis \d)", printed)
    assert len(names) == 3
    for a, b in itertools.combinations(names, 2):
        for text in (printed, page):
            assert text.count(f"diffusivity, mixed {a} and {b}") == 1


def test_axes_of_unlike_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.random.default_rng(0).standard_normal((60, 5, 6))
    coords = {
        "time": np.datetime64("2020-06-01", "ns") + np.arange(60) * np.timedelta64(1, "h"),
        "height": ("height", np.arange(5.0), {"units": "m"}),
        "distance": ("distance", np.arange(6.0), {"units": "hPa"}),
    }
    da = xarray.DataArray(values, coords, ("time", "height", "distance"), name="a")
    da.to_netcdf(tmp_path / "a.nc")
    command = ["fit", str(tmp_path / "a.nc"), "--scheme", "upwind", "--space", "local"]
    command += ["--steps", "2", "--depth", "2"]
    assert cli.main([*command, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for name, unit in (("along height", "m^2/s"), ("along distance", "hPa^2/s")):
        line = next(t for t in printed.splitlines() if f"numerical diffusivity {name}" in t)
        assert line.endswith(f" {unit}")
        assert f"numerical diffusivity {name}" in page
    (mixed,) = [line for line in printed.splitlines() if "diffusivity, mixed" in line]
    assert " m hPa/s [" in f"{mixed} ["


@pytest.mark.skipif(not ERA5.exists(), reason="the ERA5 file is not beside this checkout")
@pytest.mark.parametrize(("lead", "most"), [(6, 1.0), (3, 1.02)])
def test_recommended_options_on_era5(lead: int, most: float) -> None:
    """Chosen on the training times alone (bench/options.py)."""
    options = Options(
        lead=lead,
        anomaly="hour",
        space="local",
        depth=8,
        scheme="upwind",
        optimizer="lbfgs",
        smoothness=10.0,
        patience=0,
        steps=15,
    )
    result = Experiment(options, Series.read(open_variable(ERA5, "t2m"))).run()
    rows = {row.name: row.held_out_error for row in result.rows}
    assert rows["model"] < most * rows["damped persistence per cell"]
