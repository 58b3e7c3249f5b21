"""``relaxon fit --on-the-fly``: what it leaves, what it says, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from printed import one_line
from relaxon.cli import main
from relaxon.datasets.samples import Samples
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import Options
from relaxon.training.on_the_fly import OnTheFlyFit
from smooth_fields import smooth

pytest.importorskip("typer")
pytest.importorskip("matplotlib")

DEPTH = 5


def fields() -> tuple[Any, Any]:
    x = smooth((60, 24), 0)
    return x, np.roll(x, 1, axis=1)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    x, y = fields()
    path = tmp_path_factory.mktemp("pairs") / "pairs.npz"
    np.savez(path, x=x, y=y)
    return path


def fit(pairs: Path, out: Path, *words: str) -> int:
    return main(["fit", str(pairs), "--depth", str(DEPTH), *words, "--out", str(out)])


@pytest.mark.parametrize("method", ["newton", "second-order"])
def test_a_report_tells_what_every_layer_has_gained(
    method: str, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ("--boundary", "periodic", "--smoothness", "0.1", "--space", "local")
    assert fit(pairs, out, "--on-the-fly", method, *words) == 0
    printed = capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    layers = summary["on_the_fly"]
    model = rx.load(out / "model.safetensors")
    assert model.operator.time == "layered"
    assert model.depth == layers["layers"] == DEPTH
    assert layers["method"] == method
    losses = np.array(layers["loss"])
    assert losses[-1] < 0.5 * layers["loss_before"][0]
    # The training error is that of the last layer's output.
    assert np.isclose(summary["rows"][-1]["training_error"], losses[-1], rtol=1e-9)
    assert summary["config"]["time"] == "layered"
    assert not {"optimizer", "steps", "patience", "rate"} & set(summary["config"])
    assert f"fit: {DEPTH} layers trained on the fly by {method}\n" in printed
    assert "myopic" in printed
    assert "no standard errors" in printed
    has_energy = method == "second-order"
    assert ("T / V" in printed) == has_energy
    for number in range(DEPTH):
        assert f"{layers['loss_before'][number]:.4f}" in printed
        assert f"{losses[number]:.4f}" in printed
        ratio = layers["adiabaticity"][number]
        assert (ratio is not None) == has_energy
        if has_energy:
            value = losses[number] + layers["penalty"][number]
            assert np.isclose(ratio, layers["kinetic_energy"][number] / value)
    assert (layers["median_adiabaticity"] is not None) == has_energy
    with (out / "history.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [float(row["loss"]) for row in rows] == layers["loss"]
    assert [row["layer"] for row in rows] == [str(n + 1) for n in range(DEPTH)]
    page = (out / "report.html").read_text(encoding="utf-8")
    for text in ("myopic", "layers on the fly", "Training loss by layer"):
        assert text in page
    assert ("T / V" in page) == has_energy
    assert f"--on-the-fly {method}" in summary["commands"][0]
    forecast = tmp_path / "forecast.npz"
    model_file = str(out / "model.safetensors")
    assert main(["predict", model_file, str(pairs), "--out", str(forecast)]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--optimizer", "adam"], "'optimizer': expected no value with --on-the-fly"),
        (["--steps", "10"], "'steps': expected no value with --on-the-fly"),
        (["--rate", "0.1"], "'rate'"),
        (["--patience", "3"], "'patience'"),
        (["--bounds", "D>=0"], "'bounds'"),
        (["--constraint", "stable"], "'constraint'"),
        (["--normalization", "hard"], "'normalization'"),
        (["--trainable-omega"], "'trainable_omega'"),
        (["--input-error", "0.1"], "'input_error'"),
        (["--inputs", "fill"], "'inputs': expected drop or given with --on-the-fly"),
        (["--operator", "dense"], "'operator': expected adr or moments or banded"),
        (["--depth", "auto"], "'depth': expected a number of layers with --on-the-fly"),
        (["--depth", "attractor", "--drive"], "'depth': expected a number of layers"),
        (["--on-the-fly", "adam"], "'on_the_fly': expected one of 'newton'"),
    ],
)
def test_what_belongs_to_other_fits_is_refused(
    words: list[str], message: str, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fit", str(pairs), "--on-the-fly", "newton", *words]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert message in one_line(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{}, {"theta": 1.0}, {"operator": "banded", "bias": "local"}])
def test_gaps_are_left_out_as_by_other_fits(options: dict[str, Any]) -> None:
    x, y = fields()
    x = x.copy()
    x[3, 4], x[20, 7] = np.nan, np.nan
    settings = Options(on_the_fly="newton", depth=3, boundary="periodic", **options)
    result = Experiment(settings, Samples(x, y)).run()
    assert isinstance(result.fit, OnTheFlyFit)
    assert result.fit.inputs is not None
    assert 0 < result.fit.inputs.n_left < result.fit.inputs.n_targets
    assert result.rows[-1].held_out_error < 0.7 * result.rows[0].held_out_error


def test_what_runs_away_is_told_in_one_line(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(pairs) as archive:
        np.savez(tmp_path / "large.npz", x=1e80 * archive["x"], y=archive["y"])
    words = ("--on-the-fly", "newton", "--activation", "square")
    assert fit(tmp_path / "large.npz", tmp_path / "out", *words) in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "diverged in layer 0" in line
    assert "checkpoint" not in line


def test_layers_beside_twice_as_many(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(pairs, tmp_path / "out", "--on-the-fly", "newton", "--check-depth") == 0
    assert "10 layers" in capsys.readouterr().out
