"""Figures of one, two and three axes of space, with the names and units of the data."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import Any

import numpy as np
import pytest

from relaxon.datasets.coordinates import Coordinates
from relaxon.datasets.samples import Samples
from relaxon.datasets.series import Series
from relaxon.datasets.time_axis import TimeAxis
from relaxon.forecasting.experiment import Experiment, Result
from relaxon.forecasting.options import Options
from relaxon.physics.plots import draw_field, encode_png, make_panels
from relaxon.report.figures import depth_figure, loss_figure, prediction_figure
from relaxon.report.page import render_page
from relaxon.report.summary import summary_of

pytest.importorskip("matplotlib")

AXES: dict[str, tuple[np.ndarray, str]] = {
    "height": (np.arange(4.0), "km"),
    "latitude": (np.arange(40.0, 46.0), "degrees_north"),
    "longitude": (np.arange(-4.0, 4.0), "degrees_east"),
}


def series(*names: str) -> Series:
    coordinates = Coordinates.read([(n, AXES[n][0], {"units": AXES[n][1]}) for n in names])
    random = np.random.default_rng(4)
    values = random.standard_normal((60, *coordinates.shape))
    cell: Any = (slice(None), *(0,) * len(names))
    values[cell] = np.nan
    times = np.datetime64("2021-01-01", "ns") + np.arange(60) * np.timedelta64(6, "h")
    return Series("ozone", "ppm", values, TimeAxis.read("time", times, {}), coordinates)


def run(data: Series | Samples, **options: Any) -> tuple[Experiment, Result]:
    experiment = Experiment(Options(steps=2, depth=3, patience=0, **options), data)
    return experiment, experiment.run()


def titles(figure: Any) -> list[str]:
    found = [axes.get_title(loc="left") for axes in figure.axes]
    return [title for title in found if title]


def labels(figure: Any) -> set[str]:
    found = {axes.get_xlabel() for axes in figure.axes}
    return found | {axes.get_ylabel() for axes in figure.axes}


def test_lines() -> None:
    experiment, result = run(series("height"), space="local", lead=2)
    figure = prediction_figure(experiment, result)
    assert titles(figure)[0].startswith("Truth, 2021-01-")
    assert titles(figure)[1] == "Prediction, 12 hours ahead"
    assert {"height (km)", "ppm"} <= labels(figure)
    figure = result.explanation.plot()
    assert titles(figure) == ["Reaction", "Advection along height", "Diffusion along height"]
    assert {"1/hour", "km/s", "km²/s"} <= labels(figure)
    (line,) = figure.axes[0].lines
    drawn: Any = np.ma.masked_invalid(np.ma.asarray(line.get_ydata()))
    assert np.flatnonzero(np.ma.getmaskarray(drawn)).tolist() == [0]
    assert encode_png(figure).startswith(b"\x89PNG")


def test_maps() -> None:
    _, result = run(series("latitude", "longitude"), space="local", scheme="upwind")
    figure = result.explanation.plot()
    assert titles(figure)[:3] == [
        "Reaction",
        "Advection along latitude",
        "Advection along longitude, with arrows",
    ]
    assert len(titles(figure)) == 6
    assert {"latitude", "longitude", "m/s", "m²/s"} <= labels(figure)
    encode_png(figure)
    (formatted,) = {axes.yaxis.get_major_formatter()(45.0, 0) for axes in figure.axes[:1]}
    assert formatted == "45°N"
    formatter = figure.axes[0].xaxis.get_major_formatter()
    assert [formatter(x, 0) for x in (-3.0, 0.0, 180.0, 190.0)] == ["3°W", "0°", "180°", "170°W"]


def test_three_axes_show_their_middle() -> None:
    experiment, result = run(series("height", "latitude", "longitude"), space="local")
    figure = prediction_figure(experiment, result)
    assert all(title.endswith("(height 2 km)") for title in titles(figure))
    figure = result.explanation.plot()
    assert "Diffusion along height and longitude (height 2 km)" in titles(figure)
    assert len(titles(figure)) == 10
    encode_png(figure)


def test_shares_have_no_unit() -> None:
    """A unit of "1" is none."""
    experiment, result = run(dataclasses.replace(series("latitude", "longitude"), unit="1"))
    figure = prediction_figure(experiment, result)
    assert re.fullmatch(r"Error: root mean square [\d.e-]+", titles(figure)[2])
    assert labels(figure) <= {"", "latitude", "longitude"}


def test_pairs_have_numbers_for_times() -> None:
    fields = np.random.default_rng(0).standard_normal((41, 5, 7))
    experiment, result = run(Samples(fields[:-1], fields[1:]))
    figure = prediction_figure(experiment, result)
    assert titles(figure)[0].startswith("Truth, held-out sample ")
    assert titles(figure)[1] == "Prediction"
    assert {"axis 0", "axis 1"} <= labels(figure)
    assert encode_png(depth_figure(result)).startswith(b"\x89PNG")
    assert encode_png(loss_figure(result)).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("anomaly", "mean"),
    [
        ("none", "the mean of all cells and times"),
        ("mean", "the mean of each cell"),
        ("hour", "the hourly climatology of each cell"),
    ],
)
def test_pictures_say_which_anomaly_they_show(anomaly: str, mean: str) -> None:
    experiment, result = run(series("height"), anomaly=anomaly)
    figure = prediction_figure(experiment, result)
    # Three quarters of 60 times, six hours apart.
    text = f"ozone, anomaly from {mean}, 2021-01-01 to 2021-01-12"
    assert figure.get_suptitle() == text
    assert summary_of(experiment, result)["quantity"] == text
    figures = {name: encode_png(figure) for name in ("prediction", "depth", "loss")}
    page = render_page(summary_of(experiment, result), figures)
    assert f"Shown: {text}." in page
    assert f"in units of the variance of y ({text})." in page


def test_pictures_of_pairs_show_values_as_given() -> None:
    fields = np.random.default_rng(0).standard_normal((21, 9))
    experiment, result = run(Samples(fields[:-1], fields[1:]))
    figure = prediction_figure(experiment, result)
    assert figure.get_suptitle() == "values of y as given"
    # One scale for truth, prediction and error, as the caption says.
    limits = {axes.get_ylim() for axes in figure.axes}
    assert len(limits) == 1
    assert "no unit" in labels(result.explanation.plot())
    assert "1" not in labels(result.explanation.plot())


def test_longitudes_all_the_way_round_stand_side_by_side() -> None:
    """Their names take the place that a map beside others has."""
    around = np.arange(0.0, 360.0, 15.0)
    coordinates = Coordinates.read(
        [
            ("latitude", np.arange(-75.0, 76.0, 15.0), {"units": "degrees_north"}),
            ("longitude", around, {"units": "degrees_east"}),
        ]
    )
    figure, panels = make_panels(3, coordinates)
    values = np.random.default_rng(0).standard_normal(coordinates.shape)
    for axes in panels:
        draw_field(figure, axes, coordinates, None, values, "K", "")
    figure.draw_without_rendering()
    for axes in panels:
        texts = [text for text in axes.get_xticklabels() if text.get_text()]
        boxes = [text.get_window_extent() for text in texts]
        inside = [box for box in boxes if axes.bbox.x0 <= box.x0 + box.width / 2 <= axes.bbox.x1]
        assert len(inside) >= 4
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(inside))
