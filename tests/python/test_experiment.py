"""The experiment behind the command line: what its parts may know, and drifts that are known."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from relaxon import datasets
from relaxon.datasets.coordinates import Coordinates
from relaxon.datasets.series import Series
from relaxon.datasets.time_axis import SECONDS_PER_MONTH
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import Options
from relaxon.forecasting.split import split_series
from relaxon.report.summary import physics_of


def altered(first_month: int) -> Series:
    """The data with nonsense from a month on."""
    data = datasets.sst()
    temperature = data.temperature.copy()
    temperature[first_month:] = temperature[first_month:][::-1] + 5.0
    return dataclasses.replace(data, temperature=temperature).series()


def test_held_out_months_steer_nothing() -> None:
    options = Options(steps=8, patience=3, theta=0.0)
    honest = Experiment(options, datasets.sst().series()).run()
    other = Experiment(options, altered(40)).run()
    assert honest.fit.model == other.fit.model
    assert np.array_equal(honest.fit.history.loss, other.fit.history.loss)
    assert honest.validation_error == other.validation_error
    assert honest.rows[-1].held_out_error != other.rows[-1].held_out_error


def test_validation_months_enter_no_climatology_scale_or_damping() -> None:
    options = Options(steps=2, patience=50, theta=0.0)
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
    result = Experiment(Options(theta=0.0), data.series()).run()
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
    options = Options(steps=20, theta=0.0)

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
