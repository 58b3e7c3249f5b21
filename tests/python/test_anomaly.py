"""Means that stand still: a mean per cell for any axis of time, and where it is the default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from relaxon import cli
from relaxon.datasets.scaling import share_of_means
from relaxon.datasets.series import Series
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import Options
from ring_data import write

xarray = pytest.importorskip("xarray")
cftime = pytest.importorskip("cftime")

N_TIMES, N_CELLS = 120, 24
SAID = "of the variance: it is removed (anomaly 'none' keeps it)"
DAYS = np.datetime64("2001-01-01", "ns") + np.arange(N_TIMES) * np.timedelta64(1, "D")
TIMES = {
    "numbers": ("time", np.arange(float(N_TIMES)), {"units": "d"}),
    "dates under a year": ("time", DAYS),
    "cftime": (
        "time",
        [
            cftime.Datetime360Day(2001 + i // 360, 1 + i // 30 % 12, 1 + i % 30)
            for i in range(N_TIMES)
        ],
    ),
    "timedelta": ("time", np.arange(N_TIMES) * np.timedelta64(86400 * 10**9, "ns")),
}


def drifting() -> np.ndarray:
    """Smooth fields that move by half a cell a step, decay, and are driven; their mean is small."""
    random = np.random.default_rng(0)
    k = 2 * np.pi * np.fft.rfftfreq(N_CELLS)
    smooth = np.exp(-2.0 * k**2)
    z, fields = np.zeros(len(k), complex), []
    for _ in range(N_TIMES + 20):
        noise = smooth * np.fft.rfft(random.standard_normal(N_CELLS))
        z = np.exp(-0.5j * k - 0.3) * z + noise
        fields.append(np.fft.irfft(z, N_CELLS))
    return np.array(fields[20:])


PATTERN = 8.0 * np.sin(2 * np.pi * np.arange(N_CELLS) / N_CELLS) + 20.0


def labelled(values: np.ndarray, times: Any = TIMES["numbers"]) -> Any:
    place = ("x", np.arange(float(N_CELLS)), {"units": "m"})
    coords = {"time": times, "x": place}
    return xarray.DataArray(values, coords, ("time", "x"), name="q", attrs={"units": "K"})


def drift_of(pairs: rx.datasets.Pairs) -> float:
    """Cells a step."""
    op = rx.ADR(pairs.grid.replace(boundary="periodic"))
    model = rx.Relaxation(op, depth=4, activation="identity")
    fitted = rx.fit(model, pairs.x, pairs.y, optimizer=rx.LBFGS(), steps=60).model
    return 4 * 0.5 * float(fitted.params["U"][0])


@pytest.mark.parametrize("kind", TIMES)
def test_a_steady_pattern_does_not_hide_the_drift(kind: str) -> None:
    moving = drifting()
    da = labelled(moving + PATTERN, TIMES[kind])
    pairs = rx.datasets.from_xarray(da)
    assert pairs.scaling.period == "mean"
    assert pairs.scaling.climatology == pytest.approx(da.values.mean(axis=0)[np.newaxis])
    assert pairs.x == pytest.approx((da.values - da.values.mean(axis=0))[:-1] / pairs.scaling.scale)
    (said,) = [note for note in pairs.notes if SAID in note]
    assert said.startswith("the mean of each cell holds 9")
    asked = rx.datasets.from_xarray(da, anomaly="mean")
    assert np.array_equal(asked.x, pairs.x)
    assert not any(SAID in note for note in asked.notes)
    # Nothing is left of the pattern; what is left is the scatter of so many times.
    bare = rx.datasets.from_xarray(labelled(moving, TIMES[kind]), anomaly="mean")
    assert drift_of(pairs) == pytest.approx(drift_of(bare), rel=1e-6)
    assert drift_of(pairs) == pytest.approx(0.5, abs=0.15)
    hidden = rx.datasets.from_xarray(da, anomaly="none")
    assert hidden.scaling.period == "none"
    assert abs(drift_of(hidden)) < 0.2


def test_without_a_pattern_one_mean_is_removed_and_nothing_said() -> None:
    pairs = rx.datasets.from_xarray(labelled(drifting()))
    assert pairs.scaling.period == "none"
    assert not any(SAID in note for note in pairs.notes)
    # Of data to test on, the scaling of those for training decides.
    later = rx.datasets.from_xarray(labelled(drifting() + PATTERN), scaling=pairs.scaling)
    assert later.scaling.period == "none"
    assert not any(SAID in note for note in later.notes)


def test_share_of_means() -> None:
    random = np.random.default_rng(1)
    noise = random.standard_normal((400, 50))
    # The mean of 400 times holds 1/400 of independent numbers by chance, that of 2 a half.
    assert share_of_means(noise) == pytest.approx(0.0, abs=0.01)
    assert share_of_means(noise[:2]) == pytest.approx(0.0, abs=0.3)
    assert share_of_means(noise[:1]) == 0.0
    pattern = random.standard_normal(50)
    pattern /= pattern.std()
    assert share_of_means(noise + 3.0 * pattern) == pytest.approx(0.9, abs=0.02)
    gaps = np.where(random.random(noise.shape) < 0.3, np.nan, noise + 3.0 * pattern)
    assert share_of_means(gaps) == pytest.approx(0.9, abs=0.02)
    assert share_of_means(np.ones((3, 2))) == share_of_means(np.full((3, 2), np.nan)) == 0.0


def test_a_mean_per_cell_in_files_and_forecasts(tmp_path: Path) -> None:
    da = labelled(drifting() + PATTERN)
    pairs = rx.datasets.from_xarray(da, anomaly="mean")
    model = rx.Relaxation(rx.ADR(pairs.grid), depth=2).with_scaling(pairs.scaling)
    model.save(tmp_path / "m.safetensors")
    again = rx.load(tmp_path / "m.safetensors")
    assert again == model
    assert again.scaling is not None
    assert again.scaling.period == "mean"
    scale, means = pairs.scaling.scale, da.values.mean(axis=0)
    expected = scale * model((da.values - means) / scale) + means
    assert again.predict_xarray(da).values == pytest.approx(expected)
    # No time is needed where the climatology has none.
    np.savez(tmp_path / "x.npz", x=da.values)
    command = ["predict", str(tmp_path / "m.safetensors"), str(tmp_path / "x.npz")]
    assert cli.main([*command, "--out", str(tmp_path / "y.npz")]) == 0
    with np.load(tmp_path / "y.npz") as written:
        assert written["y"] == pytest.approx(expected)


def test_the_command_line_says_that_means_are_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled(drifting() + PATTERN).to_netcdf(tmp_path / "a.nc")
    command = ["fit", str(tmp_path / "a.nc"), "--steps", "1", "--out", str(tmp_path / "out")]
    assert cli.main(command) == 0
    assert SAID in capsys.readouterr().out
    assert rx.load(tmp_path / "out" / "model.safetensors").scaling.period == "mean"  # type: ignore[union-attr]
    assert cli.main([*command, "--anomaly", "none"]) == 0
    assert SAID not in capsys.readouterr().out
    assert rx.load(tmp_path / "out" / "model.safetensors").scaling.period == "none"  # type: ignore[union-attr]


def test_the_training_times_decide() -> None:
    values = drifting()
    values[:60] += PATTERN
    experiment = Experiment(Options(holdout=0.5), Series.read(labelled(values)))
    assert experiment.config["anomaly"] == "mean"
    experiment = Experiment(Options(holdout=0.5), Series.read(labelled(values[::-1].copy())))
    assert experiment.config["anomaly"] == "none"


def test_climatologies_that_times_cannot_have_name_the_mean() -> None:
    with pytest.raises(ValueError, match=r"'mean' or 'none' for the axis 'time'.*numbers without"):
        rx.datasets.from_xarray(labelled(drifting()), anomaly="month")
    days = Series.read(labelled(drifting(), TIMES["dates under a year"]))
    with pytest.raises(ValueError, match=r"'month', 'mean' or 'none'.*one hour of the day alone"):
        Experiment(Options(anomaly="hour"), days)
    with pytest.raises(ValueError, match=r"'holdout'.*anomaly 'mean' needs no calendar"):
        Experiment(Options(anomaly="month"), days)


def test_pairs_with_a_steady_pattern_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for pattern, is_told in ((PATTERN, True), (0.0, False)):
        values = drifting() + pattern
        data = write(tmp_path / "a.npz", x=values[:-1], y=values[1:])
        command = ["fit", str(data), "--steps", "1", "--depth", "2", "--boundary", "periodic"]
        assert cli.main([*command, "--out", str(tmp_path / "out")]) == 0
        said = capsys.readouterr().out
        assert ("of the variance of x, and hides what moves: subtract it" in said) == is_told
