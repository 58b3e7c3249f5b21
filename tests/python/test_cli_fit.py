"""The shipped data fit by the command line: its report, and how good the model is."""

from __future__ import annotations

import csv
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from command_line import REPORT, relaxon
from relaxon import datasets
from relaxon.forecasting.experiment import Experiment, Result
from relaxon.forecasting.options import Options
from relaxon.model import loading

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The main job; its folder and output."""
    folder = tmp_path_factory.mktemp("main") / "deep" / "sst-report"
    done = relaxon("fit", "sst", "--out", str(folder))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert {path.name for path in folder.iterdir()} == REPORT
    return folder, done.stdout


@pytest.mark.parametrize("layers", [["--theta", "0"], ["--depth", "1", "--steps", "5"]])
def test_a_second_run_into_the_same_folder_gives_the_same(
    layers: list[str], tmp_path: Path
) -> None:
    first = relaxon("fit", "sst", *layers, "--out", str(tmp_path))
    assert first.returncode == 0, first.stderr
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "coefficients.png").write_bytes(b"of an earlier run with local fields")
    second = relaxon("fit", "sst", *layers, "--out", str(tmp_path))
    assert second.returncode == 0, second.stderr
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert before.keys() == after.keys() == REPORT
    for name in ("model.safetensors", "history.csv"):
        assert before[name] == after[name], f"{name} differs between two runs"


@pytest.fixture(scope="module")
def summary(report: tuple[Path, str]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((report[0] / "summary.json").read_text())
    return loaded


def rows_of(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in summary["rows"]}


def test_summary_has_the_agreed_shape(summary: dict[str, Any]) -> None:
    names = ["persistence", "damped persistence", "damped persistence per cell", "model"]
    assert [row["name"] for row in summary["rows"]] == names
    for row in summary["rows"]:
        assert row.keys() == {
            "name",
            "parameters",
            "dense_parameters",
            "training_error",
            "held_out_error",
            "seconds",
        }
    assert [row["parameters"] for row in summary["rows"]] == [0, 1, 5721, 5]
    assert rows_of(summary)["model"]["dense_parameters"] == 5721**2
    assert summary["version"] == importlib.metadata.version("relaxon")
    layers = {"depth": 5, "theta": 1.0, "diffusion": "diagonal", "optimizer": "lbfgs"}
    assert {name: summary["config"][name] for name in layers} == layers
    assert summary["commands"][0] == "relaxon fit sst --out report"
    assert summary["config"]["data"] == "sst"


def test_model_beats_persistence_and_drifts_west(summary: dict[str, Any]) -> None:
    rows = rows_of(summary)
    ratio = rows["model"]["held_out_error"] / rows["damped persistence"]["held_out_error"]
    assert ratio <= 0.94
    velocity = summary["physics"]["velocity"]
    assert velocity["unit"] == "m/s"
    assert velocity["axes"] == ["latitude", "longitude"]
    assert -0.17 <= velocity["value"][1] <= -0.10
    assert abs(velocity["value"][0]) < abs(velocity["value"][1]) / 5
    assert min(summary["physics"]["diffusivity"]["value"]) > 0
    assert summary["physics"]["diffusivity"]["mixed"] == [0.0]
    assert summary["physics"]["diffusivity"]["mixed_standard_error"] == [None]
    assert -0.3 < summary["physics"]["rate"]["value"] < 0


def test_output_shows_the_table_and_the_physics(
    report: tuple[Path, str], summary: dict[str, Any]
) -> None:
    text = report[1]
    for row in summary["rows"]:
        assert row["name"] in text
        assert f"{row['held_out_error']:.4f}" in text
    assert "32,729,841" in text
    # Its standard error is 0.03: three decimals.
    assert f"{summary['physics']['velocity']['value'][1]:+.3f} m/s (westward)" in text
    assert "(theta = 1), largest amplification 0.98" in text
    assert text.count(": stable\n") == 1
    assert "m^2/s" in text
    assert "per month" in text


def test_errors_can_be_had_again_from_the_files(
    report: tuple[Path, str], summary: dict[str, Any]
) -> None:
    """From the saved model and the data alone, by the definition in words."""
    saved = loading.read(report[0] / "model.safetensors")
    model, scaling = saved.model, saved.model.scaling
    assert scaling is not None
    data = datasets.sst()
    calendar = [int(str(month)[5:7]) - 1 for month in data.time.astype("datetime64[M]")]
    z = (data.temperature - scaling.climatology[calendar]) / scaling.scale
    sea = data.mask
    variance = z[1:40, sea].var()

    def error(first: int, last: int) -> float:
        return float(np.mean((model(z[first : last - 1]) - z[first + 1 : last])[:, sea] ** 2))

    row = rows_of(summary)["model"]
    assert error(0, 40) / variance == pytest.approx(row["training_error"], rel=1e-9)
    assert error(40, 54) / variance == pytest.approx(row["held_out_error"], rel=1e-9)
    persistence = np.mean((z[40:53, sea] - z[41:54, sea]) ** 2) / variance
    assert persistence == pytest.approx(rows_of(summary)["persistence"]["held_out_error"])


def test_history_belongs_to_the_summary(report: tuple[Path, str], summary: dict[str, Any]) -> None:
    with (report[0] / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == summary["fit"]["steps"] > 5
    assert [int(row["step"]) for row in rows] == list(range(1, len(rows) + 1))
    assert all(row["validation_loss"] == "" for row in rows)
    assert all(np.isfinite(float(row[name])) for row in rows for name in ("loss", "gradient_norm"))
    # The loss is weighted to be the training error; steps may be listed before or after they act.
    last = float(rows[-1]["loss"])
    assert last == pytest.approx(rows_of(summary)["model"]["training_error"], rel=1e-3)


def test_figures_are_pictures(report: tuple[Path, str]) -> None:
    for name in ("loss.png", "prediction.png"):
        content = (report[0] / name).read_bytes()
        assert content.startswith(PNG)
        assert len(content) > 20_000


def test_steepest_descent_ends_where_lbfgs_ends() -> None:
    from scipy.optimize import minimize

    experiment = Experiment(Options(theta=0.0), datasets.sst().series())
    training_error = experiment.learn()[0].history.loss[-1]
    x, y = experiment.split.training.x, experiment.split.training.y
    sea = experiment.split.mask
    start = experiment.model
    weights = np.full(sea.shape, 1.0 / (sea.sum() * y[:, sea].var()))
    loss = rx.SquaredDistance(weights=weights)
    shapes = {name: value.shape for name, value in start.params.items()}
    ends = np.cumsum([0, *(value.size for value in start.params.values())])

    def unpack(vector: np.ndarray) -> dict[str, np.ndarray]:
        parts = zip(shapes.items(), ends[:-1], ends[1:], strict=True)
        return {name: vector[i:j].reshape(shape) for (name, shape), i, j in parts}

    def value_and_grad(vector: np.ndarray) -> tuple[float, np.ndarray]:
        value, grads = start.with_params(unpack(vector)).value_and_grad(x, y, loss=loss)
        return value, np.concatenate([grads[name].ravel() for name in shapes])

    vector = np.concatenate([value.ravel() for value in start.params.values()])
    best = minimize(value_and_grad, vector, jac=True, method="L-BFGS-B", options={"ftol": 1e-13})
    assert best.success, best.message
    assert abs(training_error / best.fun - 1.0) < 0.01


@pytest.fixture(scope="module")
def local() -> tuple[Experiment, Result]:
    experiment = Experiment(Options(space="local", steps=40), datasets.sst().series())
    return experiment, experiment.run()


def test_local_coefficients_beat_damped_persistence(local: tuple[Experiment, Result]) -> None:
    rows = {row.name: row for row in local[1].rows}
    assert rows["model"].held_out_error < rows["damped persistence"].held_out_error
    assert rows["model"].parameters == 6 * 5721
    assert np.isfinite(local[1].fit.history.validation_loss).all()


def test_local_fields_are_drawn_as_maps(local: tuple[Experiment, Result]) -> None:
    figure = local[1].explanation.plot()
    assert figure is not None
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title for title in titles if title] == [
        "Reaction",
        "Advection along latitude",
        "Advection along longitude, with arrows",
        "Diffusion along latitude",
        "Diffusion along latitude and longitude",
        "Diffusion along longitude",
    ]
    meshes = [axes.collections[0] for axes in figure.axes if axes.get_title(loc="left")]
    for mesh in meshes:
        values = mesh.get_array()
        assert values is not None
        assert np.ma.getmaskarray(values).sum() == (~local[0].split.mask).sum()
        low, high = mesh.get_clim()
        assert low == (-high if values.min() < 0 else 0.0)


def test_local_report(tmp_path: Path) -> None:
    done = relaxon("fit", "sst", "--space", "local", "--steps", "3", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == REPORT
    assert (tmp_path / "coefficients.png").read_bytes().startswith(PNG)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["fit"]["validation_error"] > 0
    assert summary["config"]["smoothness"] > 0
    assert summary["config"]["patience"] > 0
