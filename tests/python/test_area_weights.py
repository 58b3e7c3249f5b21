"""``--weights area``: errors and losses count cells by their area on the sphere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from relaxon.datasets.coordinates import Coordinates
from relaxon.datasets.samples import Samples
from relaxon.datasets.series import Series
from relaxon.datasets.time_axis import TimeAxis
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import Options
from relaxon.report.figures import prediction_figure
from relaxon.report.page import render_page
from relaxon.report.summary import summary_of
from relaxon.report.terminal import print_result

LATITUDES = np.array([0.0, 20.0, 40.0, 60.0])


def series(first: str = "latitude", gaps: tuple[int, ...] = ()) -> Series:
    units = {"latitude": "degrees_north", "height": "km"}[first]
    coordinates = Coordinates.read(
        [
            (first, LATITUDES, {"units": units}),
            ("longitude", np.arange(6.0), {"units": "degrees_east"}),
        ]
    )
    # What lies far north varies most.
    values = np.random.default_rng(0).standard_normal((40, 4, 6)) * np.arange(1.0, 5.0)[:, None]
    if gaps:
        values[list(gaps), 2, 3] = np.nan
        values[:, 0, 0] = np.nan
    times = np.datetime64("2021-01-01", "ns") + np.arange(40) * np.timedelta64(1, "D")
    return Series("t", "K", values, TimeAxis.read("time", times, {}), coordinates)


def experiment(data: Any = None, **options: Any) -> Experiment:
    return Experiment(Options(steps=3, depth=2, **options), series() if data is None else data)


def test_areas_of_rows() -> None:
    areas = series().coordinates.areas()
    assert areas is not None
    np.testing.assert_allclose(areas.ravel(), np.cos(np.deg2rad(LATITUDES)), rtol=1e-12)
    # A row at the pole is a cap: it has an area, though no width.
    poles = Coordinates.read([("lat", np.array([70.0, 80.0, 90.0]), {"units": "degrees_north"})])
    caps = poles.areas()
    assert caps is not None
    sines = np.sin(np.deg2rad([65.0, 75.0, 85.0, 90.0]))
    np.testing.assert_allclose(caps, np.diff(sines) / (sines[1] - sines[0]))


# The last times of training and held-out part are targets alone.
@pytest.mark.parametrize("gaps", [(), (29, 39)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_errors_of_model_and_baselines_are_weighted(gaps: tuple[int, ...], dtype: str) -> None:
    found = experiment(series(gaps=gaps), weights="area", dtype=dtype)
    split, result = found.split, found.run()
    held_out = split.held_out
    plain = experiment(series(gaps=gaps), dtype=dtype).split.held_out
    known = np.ones(plain.y.shape) if plain.weights is None else plain.weights.astype(float)
    area = known * np.cos(np.deg2rad(LATITUDES))[:, np.newaxis] * split.mask
    y = np.where(area > 0.0, held_out.y, 0.0).astype(np.float64)

    training = split.training
    t = np.where(np.isfinite(training.y), training.y, 0.0).astype(np.float64)
    weights = np.asarray(training.weights, np.float64) * split.mask
    mean = np.sum(weights * t) / weights.sum()
    variance = np.sum(weights * (t - mean) ** 2) / weights.sum()

    def error(prediction: Any) -> float:
        difference = np.where(area > 0.0, prediction - y, 0.0)
        return float(np.sum(area * difference**2) / area.sum() / variance)

    rtol = 1e-10 if dtype == "float64" else 1e-5
    rows = {row.name: row.held_out_error for row in result.rows}
    assert rows["persistence"] == pytest.approx(error(held_out.x), rel=rtol)
    assert rows["model"] == pytest.approx(error(result.prediction), rel=rtol)
    # The damping that is best by area.
    x = np.where(split.mask, training.x, 0.0).astype(np.float64)
    a = np.sum(weights * x * t) / np.sum(weights * x * x)
    assert rows["damped persistence"] == pytest.approx(error(a * held_out.x), rel=10 * rtol)


def test_the_loss_is_the_weighted_error() -> None:
    found = experiment(series(gaps=(24, 29)), weights="area", patience=5)
    training, model = found.split.training, found.model
    value = model.loss(training.x, training.y, found._loss)
    assert value == pytest.approx(found.split.error(model(training.x), training), rel=1e-12)
    validation = found._validation()
    assert validation is not None
    x, y, weights = validation
    loss = found._loss.with_weights(weights)
    part = found.split.validation
    assert part is not None
    assert model.loss(x, y, loss) == pytest.approx(found.split.error(model(x), part), rel=1e-12)


def test_targets_near_gaps_of_the_input_do_not_count() -> None:
    found = experiment(series(gaps=(7, 35)), weights="area")
    split, result = found.split, found.run()
    held_out, prediction = split.held_out, result.prediction
    assert held_out.weights is not None
    # Where a gap is within reach there is no forecast.
    counts = np.isfinite(prediction) & split.mask
    assert 0 < np.count_nonzero(~counts & split.mask) < counts.size / 4
    weights = np.where(counts, held_out.weights, 0.0)
    squares = np.where(weights > 0.0, prediction - held_out.y, 0.0) ** 2
    error = float(np.sum(weights * squares) / weights.sum()) / split.variance
    assert result.rows[-1].held_out_error == pytest.approx(error, rel=1e-12)


def test_pictures_leave_out_what_is_not_predicted() -> None:
    pytest.importorskip("matplotlib")
    # Gaps in most of the held-out inputs.
    found = experiment(series(gaps=(30, 31, 33, 34, 36, 37)), weights="area")
    result = found.run()
    assert np.isnan(result.prediction[:, found.split.mask]).any(axis=1).mean() > 0.5
    figure = prediction_figure(found, result)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[2].startswith("Error: root mean square ")
    assert "nan" not in titles[2]


def test_the_physics_and_its_errors_depend_on_it() -> None:
    options: dict[str, Any] = {"steps": 100}
    plain, weighted = (
        Experiment(Options(depth=2, weights=w, **options), series()).run().explanation
        for w in (None, "area")
    )
    for name in ("values", "standard_error"):
        one, other = (getattr(e.processes[0], name) for e in (plain, weighted))
        assert one is not None
        assert abs(one - other) > 1e-3 * abs(one)


def test_words_say_it(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    found = experiment(weights="area")
    result = found.run()
    print_result(found, result)
    words = "weighted by cell area, in units of the variance of y"
    assert words in capsys.readouterr().out
    summary = summary_of(found, result)
    assert summary["config"]["weights"] == "area"
    assert "--weights area" in summary["commands"][0]
    figures = dict.fromkeys(("loss", "depth", "prediction"), b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("relaxon.report.page.as_figure", lambda *a: "")
        assert words in render_page(summary, figures)


def test_where_no_latitude_is_known_it_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'weights'.*a latitude in degrees.*height, longitude"):
        experiment(series("height"), weights="area")
    fields = np.random.default_rng(0).standard_normal((21, 9))
    with pytest.raises(ValueError, match=r"'weights'.*pairs, which know no latitude"):
        experiment(Samples(fields[:-1], fields[1:]), weights="area")
    with pytest.raises(ValueError, match=r"'weights'.*'area'"):
        experiment(weights="aera")
