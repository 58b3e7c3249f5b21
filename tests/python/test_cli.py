"""The command line end to end, as a user runs it, and the experiment behind it."""

from __future__ import annotations

import csv
import dataclasses
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from printed import one_line
from relaxon import cli, datasets
from relaxon.datasets.coordinates import Coordinates
from relaxon.datasets.series import Series
from relaxon.datasets.time_axis import SECONDS_PER_MONTH
from relaxon.forecasting.experiment import Experiment, Result
from relaxon.forecasting.options import Options
from relaxon.forecasting.split import split_series
from relaxon.model import loading
from relaxon.report.summary import physics_of

RELAXON = [sys.executable, "-c", "import sys; from relaxon.cli import main; sys.exit(main())"]
PNG = b"\x89PNG\r\n\x1a\n"
FIGURES = {"loss.png", "prediction.png", "coefficients.png", "depth.png"}
REPORT = {"model.safetensors", "summary.json", "history.csv", "report.html", *FIGURES}


def relaxon(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RELAXON, *arguments], capture_output=True, text=True, timeout=300, check=False, **options
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The main job, run twice into the same folder; its folder and first output."""
    folder = tmp_path_factory.mktemp("main") / "deep" / "sst-report"
    first = relaxon("fit", "sst", "--out", str(folder))
    assert first.returncode == 0, first.stderr
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "coefficients.png").write_bytes(b"of an earlier run with local fields")
    second = relaxon("fit", "sst", "--out", str(folder))
    assert second.returncode == 0, second.stderr
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert before.keys() == after.keys() == REPORT
    for name in ("model.safetensors", "history.csv"):
        assert before[name] == after[name], f"{name} differs between two runs"
    return folder, first.stdout


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
    assert [row["parameters"] for row in summary["rows"]] == [0, 1, 5721, 6]
    assert rows_of(summary)["model"]["dense_parameters"] == 5721**2
    assert summary["version"] == importlib.metadata.version("relaxon")
    assert summary["config"]["depth"] == 10
    assert summary["config"]["data"] == "sst"


def test_model_beats_persistence_and_drifts_west(summary: dict[str, Any]) -> None:
    rows = rows_of(summary)
    ratio = rows["model"]["held_out_error"] / rows["damped persistence"]["held_out_error"]
    assert ratio <= 0.94
    velocity = summary["physics"]["velocity"]
    assert velocity["unit"] == "m/s"
    assert velocity["axes"] == ["latitude", "longitude"]
    assert -0.12 <= velocity["value"][1] <= -0.03
    assert abs(velocity["value"][0]) < abs(velocity["value"][1]) / 5
    assert min(summary["physics"]["diffusivity"]["value"]) > 0
    assert -0.3 < summary["physics"]["rate"]["value"] < 0


def test_output_shows_the_table_and_the_physics(
    report: tuple[Path, str], summary: dict[str, Any]
) -> None:
    text = report[1]
    for row in summary["rows"]:
        assert row["name"] in text
        assert f"{row['held_out_error']:.4f}" in text
    assert "32,729,841" in text
    # Its standard error is 0.011: three decimals.
    assert f"{summary['physics']['velocity']['value'][1]:+.3f} m/s (westward)" in text
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


def test_steepest_descent_ends_where_lbfgs_ends(summary: dict[str, Any]) -> None:
    from scipy.optimize import minimize

    experiment = Experiment(Options(), datasets.sst().series())
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
    training_error = rows_of(summary)["model"]["training_error"]
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


def altered(first_month: int) -> Series:
    """The data with nonsense from a month on."""
    data = datasets.sst()
    temperature = data.temperature.copy()
    temperature[first_month:] = temperature[first_month:][::-1] + 5.0
    return dataclasses.replace(data, temperature=temperature).series()


def test_held_out_months_steer_nothing() -> None:
    options = Options(steps=8, patience=3)
    honest = Experiment(options, datasets.sst().series()).run()
    other = Experiment(options, altered(40)).run()
    assert honest.fit.model == other.fit.model
    assert np.array_equal(honest.fit.history.loss, other.fit.history.loss)
    assert honest.validation_error == other.validation_error
    assert honest.rows[-1].held_out_error != other.rows[-1].held_out_error


def test_validation_months_enter_no_climatology_scale_or_damping() -> None:
    options = Options(steps=2, patience=50)
    honest = Experiment(options, datasets.sst().series())
    other = Experiment(options, altered(34))
    assert honest.split.scaling == other.split.scaling
    mine, theirs = honest.run(), other.run()
    assert np.array_equal(mine.fit.history.loss, theirs.fit.history.loss)
    # Not the model's row: validation months do choose the step whose model is kept.
    for row, same in zip(mine.rows[:3], theirs.rows[:3], strict=True):
        assert row.training_error == same.training_error
    assert not np.array_equal(mine.fit.history.validation_loss, theirs.fit.history.validation_loss)


@pytest.mark.parametrize("lead", [1, 3])
def test_parts_share_no_month_and_leave_a_gap(lead: int) -> None:
    data = datasets.sst()
    random = np.random.default_rng(0)
    labels = random.permutation(54).astype(float)  # each month carries a number of its own
    temperature = np.broadcast_to(labels[:, None, None], (54, 18, 432))
    series = dataclasses.replace(data, temperature=temperature).series()
    split = split_series(series, lead, "month", 0.25, 0.15)
    calendar = np.array([int(str(month)[5:7]) - 1 for month in data.time.astype("M8[M]")])
    scaling = split.scaling

    def labels_of(fields: np.ndarray, months: np.ndarray) -> np.ndarray:
        assert scaling is not None
        anomalies = fields[:, 0, 0] * scaling.scale
        return np.asarray(anomalies + scaling.climatology[calendar[months], 0, 0])

    assert split.validation is not None
    for part, first, end in (
        (split.training, 0, 34),
        (split.validation, 34, 40),
        (split.held_out, 40, 54),
    ):
        start = np.arange(first, end - lead)
        assert labels_of(part.x, start) == pytest.approx(labels[start])
        assert labels_of(part.y, start + lead) == pytest.approx(labels[start + lead])
    assert split.held_out.time is not None
    assert split.held_out.time[0] == data.time[40 + lead]
    without = split_series(data.series(), lead, "month", 0.25, None)
    assert without.validation is None
    assert len(without.training) == 40 - lead


def moving(cells_per_month: int) -> datasets.SeaSurfaceTemperature:
    """Smooth random fields that are carried along the longitude and do nothing else."""
    data = datasets.sst()
    random = np.random.default_rng(3)
    waves = np.arange(1, 25)
    angles = 2 * np.pi * np.arange(432) / 432
    rows = np.cos(np.pi * (np.arange(18)[:, None] + 0.5) * np.arange(3) / 18)
    pattern = sum(
        (rows @ random.standard_normal(3))[:, None]
        * np.cos(k * angles + random.uniform(0, 2 * np.pi))
        for k in waves
    )
    months = [np.roll(pattern, cells_per_month * m, axis=1) for m in range(54)]
    everywhere = np.ones((18, 432), dtype=bool)
    return dataclasses.replace(data, temperature=300.0 + np.stack(months), mask=everywhere)


@pytest.mark.parametrize("cells", [2, -2])
def test_a_known_translation_reads_as_such(cells: int) -> None:
    data = moving(cells)
    result = Experiment(Options(), data.series()).run()
    drift = physics_of(result.explanation)["velocity"]["value"]
    expected = cells * data.spacing[1] / SECONDS_PER_MONTH
    assert drift[1] == pytest.approx(expected, rel=0.02)
    assert abs(drift[0]) < 0.02 * abs(expected)
    # Not zero: a climatology from three or four years of a moving pattern does not quite move.
    assert result.rows[-1].held_out_error < 0.1 * result.rows[0].held_out_error


def test_kilometres_and_metres_give_one_answer() -> None:
    series = datasets.sst().series()
    axes = tuple(
        dataclasses.replace(axis, spacing=axis.spacing / 1000, spacing_unit="km")
        for axis in series.coordinates.axes
    )
    in_km = dataclasses.replace(series, coordinates=Coordinates(axes))
    options = Options(steps=20)

    def physics(data: Series) -> dict[str, Any]:
        result = Experiment(options, data).run()
        return physics_of(result.explanation, result.fit.model.scaling)

    metres, kilometres = physics(series), physics(in_km)
    assert kilometres["velocity"]["unit"] == "km/s"
    assert kilometres["diffusivity"]["unit"] == "km^2/s"
    for name, factor in (("velocity", 1e3), ("diffusivity", 1e6)):
        expected = pytest.approx(metres[name]["value"], rel=1e-12)
        assert [factor * value for value in kilometres[name]["value"]] == expected
    assert kilometres["rate"] == metres["rate"]
    assert metres["rate"]["unit"] == "1/month"


INTERRUPTED = """
import signal, sys
from relaxon.cli import main
from relaxon.forecasting.experiment import Experiment

# A test run in the background of a shell passes on that SIGINT is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
run = Experiment.run
Experiment.run = lambda self, progress, checkpoint: run(
    self, lambda state: signal.raise_signal(signal.SIGINT), checkpoint
)
sys.exit(main())
"""


def test_interruption_keeps_the_best_model(tmp_path: Path) -> None:
    """Ctrl-C after the first steps of a fit that would not end by itself."""
    out = tmp_path / "report"
    endless = ["--optimizer", "fixed-rate", "--rate", "1e-6", "--steps", "1000000000"]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "fit", "sst", "--out", str(out), *endless],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert "interrupted" in one_line(done.stderr)
    assert "damped persistence" in done.stdout
    assert "--resume continues" in done.stderr
    assert {path.name for path in out.iterdir()} == {*REPORT, "unfinished"}
    assert {path.name for path in (out / "unfinished").iterdir()} == {"run.json", "fit.checkpoint"}
    summary = json.loads((out / "summary.json").read_text())
    assert summary["fit"]["status"] == "interrupted"
    assert summary["fit"]["steps"] >= 1
    assert rx.load(out / "model.safetensors").depth == 10


def test_interruption_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("relaxon.datasets.source.sst", interrupt)
    assert cli.main(["fit", "sst", "--out", str(tmp_path / "out")]) == 130
    assert one_line(capsys.readouterr().err) == "relaxon: interrupted"
    assert list(tmp_path.iterdir()) == []


def test_divergence_is_one_line(tmp_path: Path) -> None:
    done = relaxon(
        "fit", "sst", "--out", str(tmp_path), "--optimizer", "fixed-rate", "--rate", "1e9"
    )
    assert done.returncode == 1
    assert "step" in one_line(done.stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "sst"], "--out"),
        (["fit", "--out", "OUT"], "DATA"),
        (["fit", "era5.nc", "--out", "OUT"], "DATA"),
        (["fit", "sst", "--out", "OUT", "--depth", "ten"], "--depth"),
        (["fit", "sst", "--out", "OUT", "--depth", "0"], "depth"),
        (["fit", "sst", "--out", "OUT", "--omega", "2"], "omega"),
        (["fit", "sst", "--out", "OUT", "--space", "lokal"], "local"),
        (["fit", "sst", "--out", "OUT", "--scheme", "upwinds"], "upwind"),
        (["fit", "sst", "--out", "OUT", "--operator", "adt"], "adr"),
        (["fit", "sst", "--out", "OUT", "--operator", "moments"], "'operator': expected 'adr' or"),
        (["fit", "sst", "--out", "OUT", "--optimizer", "armido"], "armijo"),
        (["fit", "sst", "--out", "OUT", "--activation", "than"], "tanh"),
        (["fit", "sst", "--out", "OUT", "--boundary", "periodic"], "axes latitude, longitude"),
        (["fit", "sst", "--out", "OUT", "--boundary", "neuman,periodic"], "mean 'neumann'?"),
        (["fit", "sst", "--out", "OUT", "--boundary", "a,periodic"], "or a finite number"),
        (["fit", "sst", "--out", "OUT", "--boundary", "nan,periodic"], "or a finite number"),
        (["fit", "sst", "--out", "OUT", "--boundary", "neumann,0:0:0"], "0:0:0"),
        (["fit", "sst", "--out", "OUT", "--mask-boundary", "periodic"], "mask_boundary"),
        (["fit", "sst", "--out", "OUT", "--lead", "0"], "lead"),
        (["fit", "sst", "--out", "OUT", "--lead", "14"], "lead"),
        (["fit", "sst", "--out", "OUT", "--patience", "5", "--validation", "0.9"], "validation"),
        (["fit", "sst", "--out", "OUT", "--patience", "-5"], "patience"),
        (["fit", "sst", "--out", "OUT", "--space", "local", "--smoothness", "-1"], "smoothness"),
        (["fit", "sst", "--out", "OUT", "--rate", "0"], "rate"),
        (["fit", "sst", "--out", "OUT", "--memory", "lots"], "memory"),
        (["fit", "sst", "--out", "OUT", "--memory", "1 KiB"], "memory"),
        (["fit", "sst", "--out", "", "--steps", "1"], "'--out': expected a path to write to"),
        (["fit", "sst", "--out", "OUT", "--threads", "0"], "threads"),
        (["fit", "sst", "--out", "OUT", "--dtype", "float16"], "dtype"),
        (["fit", "sst", "--out", "OUT", "--dtype", "1,,2"], "dtype"),
        (["fit", "sst", "--out", "OUT", "--dtype", "1" * 5000], "dtype"),
        (["fit", "sst", "--out", "OUT", "--depht", "5"], "--depht"),
        (["train", "sst"], "train"),
    ],
)
def test_bad_options(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main([str(out) if word == "OUT" else word for word in arguments]) == 2
    captured = capsys.readouterr()
    line = one_line(captured.err)
    assert line.startswith("relaxon: ")
    assert words in line
    assert list(tmp_path.iterdir()) == []


def test_file_in_the_way(tmp_path: Path) -> None:
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        (tmp_path / "file").write_text("precious")
        done = relaxon("fit", "sst", "--out", str(out))
        assert done.returncode == 2
        assert done.stdout == ""
        assert "--out" in one_line(done.stderr)
        assert (tmp_path / "file").read_text() == "precious"
        assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file's size")
def test_no_room_is_found_out_before_training(tmp_path: Path) -> None:
    """The operating system refuses to let a file grow past 1 MB, as a full disk would."""
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))

    done = relaxon("fit", "sst", "--out", str(tmp_path / "new"), preexec_fn=limit)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "room" in one_line(done.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="permissions of folders bind neither the superuser nor Windows",
)
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        done = relaxon("fit", "sst", "--out", str(tmp_path))
    finally:
        tmp_path.chmod(0o700)
    assert done.returncode == 2
    assert "Permission denied" in one_line(done.stderr)


def test_a_reader_that_leaves_early_loses_no_report(tmp_path: Path) -> None:
    command = [*RELAXON, "fit", "sst", "--steps", "2", "--out", str(tmp_path / "out")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 1
    assert errors == ""
    assert {path.name for path in (tmp_path / "out").iterdir()} == REPORT


def test_info() -> None:
    done = relaxon("info")
    assert done.returncode == 0, done.stderr
    assert importlib.metadata.version("relaxon") in done.stdout
    assert "ISA level" in done.stdout


def test_help_names_every_option() -> None:
    done = relaxon("fit", "--help")
    assert done.returncode == 0
    for field in dataclasses.fields(Options):
        assert f"--{field.name.replace('_', '-')}" in done.stdout


@pytest.mark.parametrize("package", ["typer", "rich", "matplotlib"])
def test_an_absent_extra_is_one_line(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert cli.main(["info"]) == 2
    line = one_line(capsys.readouterr().err)
    assert package in line
    assert "pip install 'relaxon[cli]'" in line


def test_console_script_is_the_command_line() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="relaxon")
    assert script.load() is cli.main
