"""Coordinates become spacing, units and directions; what is uneven is refused by name."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from relaxon.datasets.axis import EARTH_RADIUS
from relaxon.datasets.coordinates import Coordinates
from relaxon.datasets.time_axis import SECONDS_PER_MONTH, Step, TimeAxis

DEGREE = np.pi * EARTH_RADIUS / 180
NORTH, EAST = {"units": "degrees_north"}, {"units": "degrees_east"}


def one(name: str, values: Any, attributes: dict[str, Any] | None = None) -> Coordinates:
    return Coordinates.read([(name, np.asarray(values), attributes or {})])


def globe(latitude: Any, longitude: Any) -> Coordinates:
    return Coordinates.read(
        [("latitude", np.asarray(latitude), NORTH), ("longitude", np.asarray(longitude), EAST)]
    )


def test_degrees_become_metres_at_the_mean_latitude() -> None:
    grid = globe(np.arange(50.0, 58.1, 0.5), np.arange(-10.0, 2.0, 0.25)).grid()
    expected = (0.5 * DEGREE, 0.25 * DEGREE * np.cos(np.deg2rad(54.0)))
    assert grid.spacing == pytest.approx(expected, rel=1e-12)
    assert grid.unit == ("m", "m")
    assert grid.names == ("latitude", "longitude")
    assert grid.origin == pytest.approx((50.0 * DEGREE, -40 * expected[1]), rel=1e-12)
    assert grid.boundary == (("neumann", "neumann"),) * 2


def test_each_row_has_its_own_width() -> None:
    latitude = np.arange(40.0, 61.0, 1.0)
    coordinates = globe(latitude, np.arange(0.0, 10.0))
    rows = coordinates.spacing[1] * coordinates.stretch(1)
    assert rows.shape == (21, 1)
    assert rows[:, 0] == pytest.approx(DEGREE * np.cos(np.deg2rad(latitude)), rel=1e-12)
    assert coordinates.stretch(0).shape == (1, 1)
    assert coordinates.stretch(0) == 1.0
    (line,) = [line for line in coordinates.describe() if line.startswith("longitude")]
    assert f"{rows.min():.5g} to {rows.max():.5g} m" in line


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("y", {"units": "degrees_north"}),
        ("y", {"units": "degree_N"}),
        ("y", {"units": "degrees", "standard_name": "latitude"}),
        ("rlat", {"units": "degrees"}),
        ("y", {"units": "degree", "standard_name": "grid_latitude"}),
    ],
)
def test_attributes_tell_a_latitude(name: str, attributes: dict[str, str]) -> None:
    (axis,) = one(name, np.arange(10.0), attributes).axes
    assert axis.kind == "latitude"
    assert axis.spacing == pytest.approx(DEGREE)


@pytest.mark.parametrize(
    ("name", "attributes", "kind", "is_geographic"),
    [
        ("rlat", {"units": "degrees"}, "latitude", False),
        ("rlon", {"units": "degrees", "standard_name": "grid_longitude"}, "longitude", False),
        ("y", {"units": "degrees_north", "standard_name": "grid_latitude"}, "latitude", False),
        ("rlat", {"units": "degrees_north"}, "latitude", False),
        ("grid_longitude", {"units": "degrees"}, "longitude", False),
        ("rlat", {"units": "degrees", "standard_name": "latitude"}, "latitude", True),
        ("lon", {"units": "degrees"}, "longitude", True),
        ("y", {"units": "degrees_north"}, "latitude", True),
        ("height", {"units": "m"}, "", False),
    ],
)
def test_rotated_axes_lead_to_no_pole_of_the_earth(
    name: str, attributes: dict[str, str], kind: str, is_geographic: bool
) -> None:
    (axis,) = one(name, np.arange(10.0), attributes).axes
    assert (axis.kind, axis.is_geographic) == (kind, is_geographic)
    assert axis.is_rotated == bool(kind and not is_geographic)
    # A rotated sphere is as large as any other.
    assert axis.spacing == pytest.approx(DEGREE if kind else 1.0)


def test_rotated_rows_have_widths_of_their_own() -> None:
    rotated = Coordinates.read(
        [
            ("rlat", np.arange(40.0, 60.0), {"units": "degrees"}),
            ("rlon", np.arange(10.0), {"units": "degrees"}),
        ]
    )
    plain = globe(np.arange(40.0, 60.0), np.arange(10.0))
    assert rotated.spacing == plain.spacing
    np.testing.assert_array_equal(rotated.stretch(1), plain.stretch(1))


@pytest.mark.parametrize(
    "unit", ["1", "", " ", "-", "none", "dimensionless", "unitless", "index", "count", "level"]
)
def test_what_is_no_unit_gives_lattice_units(unit: str) -> None:
    coordinates = one("x", np.arange(291.0), {"units": unit})
    assert coordinates.axes[0].unit == coordinates.axes[0].spacing_unit == ""
    assert list(coordinates.describe()) == ["x: 291 cells of 1"]
    operator = rx.ADR(coordinates.grid())
    units = {p.unit for p in rx.explain(rx.Relaxation(operator, depth=2)).processes}
    assert units == {"1"}


def test_a_grid_in_units_of_one_has_lattice_units() -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((9,), unit="1")), depth=2, time_unit="s")
    assert {p.unit for p in rx.explain(model).processes} == {"1/s"}


def test_a_longitude_without_latitude_lies_at_the_equator_unless_told() -> None:
    entries = [("longitude", np.arange(10.0), EAST)]
    assert Coordinates.read(entries).spacing[0] == pytest.approx(DEGREE)
    assert Coordinates.read(entries, latitude=60.0).spacing[0] == pytest.approx(DEGREE / 2)
    (line,) = Coordinates.read(entries).describe()
    assert "m as at the equator (no axis is a latitude in degrees)" in line
    (line,) = Coordinates.read(entries, latitude=-60.0).describe()
    assert "m as 60 degrees from the equator" in line
    with pytest.raises(ValueError, match=r"'latitude'.*poles.*got 90"):
        Coordinates.read(entries, latitude=90.0)
    assert Coordinates.read([("level", np.arange(9.0), {})], latitude=90.0).spacing == (1.0,)


def test_a_latitude_without_unit_narrows_no_longitude_and_the_line_says_so() -> None:
    entries = [("lat", np.arange(50.0, 60.0), {}), ("lon", np.arange(10.0), EAST)]
    with pytest.warns(UserWarning, match="'lat' keeps lattice units"):
        coordinates = Coordinates.read(entries)
    assert coordinates.spacing == pytest.approx((1.0, DEGREE))
    assert "as at the equator" in list(coordinates.describe())[1]
    assert "equator" not in " ".join(globe(np.arange(50.0, 60.0), np.arange(10.0)).describe())


def test_rows_at_a_pole_have_no_width() -> None:
    coordinates = globe(np.linspace(-90.0, 90.0, 7), np.arange(0.0, 360.0, 30.0))
    stretch = coordinates.stretch(1)[:, 0]
    assert stretch[0] == stretch[-1] == 0.0
    assert np.all(stretch[1:-1] > 0.4)
    assert "none at a pole" in list(coordinates.describe())[1]
    assert "pole" not in " ".join(globe(np.linspace(-80.0, 80.0, 7), np.arange(9.0)).describe())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "words"), [(37, "last entry.*-1"), (40, "last 4 entries.*-4")])
def test_a_longitude_that_repeats_its_first_columns(dtype: str, n: int, words: str) -> None:
    for start in (0.0, -180.0, 0.1):
        values = (start + 10.0 * np.arange(n)).astype(dtype)
        for longitude in (values, values[::-1]):
            with pytest.raises(ValueError, match=f"'longitude'.*each place once.*{words}"):
                globe([0.0, 1.0], longitude)


def test_other_units_are_kept() -> None:
    (axis,) = one("depth", [0.0, 2.5, 5.0], {"units": "km"}).axes
    assert (axis.spacing, axis.spacing_unit) == (2.5, "km")
    (axis,) = one("x", [0.0, 0.5, 1.0]).axes
    assert (axis.spacing, axis.spacing_unit) == (0.5, "")


@pytest.mark.parametrize(
    ("name", "values", "attributes", "word"),
    [
        ("latitude", [1.0, 2.0, 3.0], {}, "degrees_north"),
        ("lon", [1.0, 2.0, 3.0], {"units": "furlongs"}, "furlongs"),
        ("x", [1.0, 2.0, 3.0], {"units": 7}, "7"),
        ("station", np.array(["a", "b", "c"]), {}, "type"),
    ],
)
def test_what_cannot_be_understood_keeps_lattice_units(
    name: str, values: Any, attributes: dict[str, Any], word: str
) -> None:
    with pytest.warns(UserWarning, match=f"'{name}' keeps lattice units.*{word}"):
        coordinates = one(name, values, attributes)
    assert coordinates.spacing == (1.0,)
    assert coordinates.spacing_unit == ("",)
    assert coordinates.boundary == ("neumann",)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_longitude_that_closes_is_periodic(dtype: str) -> None:
    for start in (0.0, -180.0, 0.125):
        values = (start + np.arange(1440) * 0.25).astype(dtype)
        assert globe([0.0, 1.0], values).boundary == ("neumann", "periodic")
        assert globe([0.0, 1.0], values[:-1]).boundary == ("neumann", "neumann")
        assert globe([0.0, 1.0], values[::-1]).boundary == ("neumann", "periodic")


def test_descending_axes_are_flipped_and_back() -> None:
    coordinates = globe([58.0, 57.0, 56.0], [3.0, 4.0])
    assert [axis.is_flipped for axis in coordinates.axes] == [True, False]
    assert np.array_equal(coordinates.axes[0].values, [56.0, 57.0, 58.0])
    field = np.arange(6.0).reshape(3, 2)
    assert np.array_equal(coordinates.flip(field)[0], [4.0, 5.0])
    assert np.array_equal(coordinates.flip(coordinates.flip(field)), field)


def test_jitter_is_accepted_up_to_a_thousandth_of_the_spacing() -> None:
    even = np.arange(20.0)
    jitter = np.zeros(20)
    jitter[7] = 0.9e-3
    assert one("x", even + jitter).spacing == pytest.approx((1.0,), rel=1e-3)
    with pytest.raises(ValueError, match=r"'x'.*even.*index [78]"):
        one("x", even + 1.5 * jitter)


def test_rounding_of_single_precision_is_no_jitter() -> None:
    values = np.arange(170.0, 179.0, 0.01).astype(np.float32)
    assert one("x", values).spacing == pytest.approx((0.01,), rel=1e-4)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.0, 1.0, 1.0, 2.0], "'depth'.*monotone.*index 2"),
        ([0.0, 1.0, 3.0, 2.0], "'depth'.*monotone.*index 3"),
        ([0.0, 1.0, 2.0, 5.0], "'depth'.*even.*step of 3 at index 3.*usual one is 1"),
        ([0.0, np.nan, 2.0], "'depth'.*finite.*nan at index 1"),
    ],
)
def test_uneven_axes_are_refused_by_name_and_place(values: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        one("depth", values, {"units": "m"})


HOUR = np.timedelta64(1, "h")


def hours(n: int, step: int = 1) -> np.ndarray:
    start = np.datetime64("2019-03-01T00", "ns")
    return np.asarray(start + np.arange(n) * step * np.timedelta64(1, "h"))


def months(n: int, day: str = "16T12") -> np.ndarray:
    begin = (np.datetime64("2006-11") + np.arange(n)).astype(str)
    return np.array([f"{month}-{day}" for month in begin], dtype="datetime64[ns]")


def test_hours() -> None:
    time = TimeAxis.read("time", hours(30, 3), {})
    assert time.step == Step(10800.0, "s", 0, has_dates=True)
    assert np.array_equal(time.slots("hour")[:9], [0, 3, 6, 9, 12, 15, 18, 21, 0])
    assert set(time.slots("month")) == {2}
    assert np.array_equal(time.ahead(2), hours(32, 3)[2:])
    assert time.step.text(2) == "6 hours"
    assert time.step.plural == "times"
    assert TimeAxis.read("time", hours(3), {}).step.plural == "hours"


def test_calendar_months_are_even() -> None:
    time = TimeAxis.read("time", months(30), {})
    assert time.step == Step(SECONDS_PER_MONTH, "s", 1, has_dates=True)
    assert np.array_equal(time.slots("month")[:4], [10, 11, 0, 1])
    assert np.array_equal(time.ahead(3), months(33)[3:])
    assert (time.step.text(1), time.step.text(3)) == ("1 month", "3 months")
    assert time.step.plural == "months"


def test_the_last_day_of_a_month_stays_the_last_one() -> None:
    ends = months(5, "01") - np.timedelta64(1, "D")  # 31 October, 30 November, ...
    assert str(TimeAxis.read("time", ends, {}).ahead(1)[-1])[:10] == "2007-03-31"
    assert str(TimeAxis.read("time", ends, {}).ahead(2)[-2])[:10] == "2007-03-31"
    late = months(3, "30")
    assert str(TimeAxis.read("time", late, {}).ahead(1)[-1])[:10] == "2007-02-28"


def test_mid_months_of_the_record_are_used_where_it_has_them() -> None:
    begin = months(6, "01")
    middle = begin[:-1] + np.diff(begin) / 2  # the 16th at 0 or 12 h, or the 15th
    assert np.array_equal(TimeAxis.read("time", middle, {}).ahead(1)[:-1], middle[1:])


def test_other_calendars() -> None:
    cftime = pytest.importorskip("cftime")
    days = np.array([cftime.DatetimeNoLeap(2004, 2, day) for day in (26, 27, 28)])
    time = TimeAxis.read("time", days, {})
    assert time.step.length == 86400.0
    assert time.ahead(1)[-1] == cftime.DatetimeNoLeap(2004, 3, 1)
    middles = np.array([cftime.Datetime360Day(2004, m, 16) for m in range(1, 13)])
    time = TimeAxis.read("time", middles, {})
    assert time.step.n_months == 1
    assert np.array_equal(time.slots("month"), np.arange(12))
    assert time.ahead(2)[-1] == cftime.Datetime360Day(2005, 2, 16)


def test_numbers_are_times_without_calendar() -> None:
    time = TimeAxis.read("t", np.arange(0.0, 1.0, 0.1), {"units": "ms"})
    assert time.step.length == pytest.approx(0.1)
    assert (time.step.unit, time.step.rate_unit) == ("ms", ("ms", 1.0))
    assert time.ahead(2)[-1] == pytest.approx(1.1)
    with pytest.raises(ValueError, match=r"'anomaly'.*'t'"):
        time.slots("hour")
    durations = np.arange(9) * np.timedelta64(500, "ms")
    time = TimeAxis.read("t", durations, {})
    assert time.step == Step(0.5, "s")
    assert time.ahead(2)[-1] == np.timedelta64(5, "s")


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (
            hours(10)[[0, 2, 1, 3]],
            "monotone axis, got 2019-03-01T02:00 followed by 2019-03-01T01:00",
        ),
        (np.array([0.0, 1.0, np.nan, 3.0]), "'time'.*finite times, got nan at index 2"),
        (hours(1), "'time'.*two times"),
        (np.array(["2019-01-01", "NaT"], dtype="datetime64[ns]"), "'time'.*NaT at index 1"),
        (np.array(["Monday", "Tuesday"]), "'time'.*dates or numbers"),
    ],
)
def test_bad_times(times: np.ndarray, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        TimeAxis.read("time", times, {})


def test_numbers_are_shown_with_their_unit() -> None:
    with pytest.raises(ValueError, match=r"got 2 ms followed by 1 ms at index 2"):
        TimeAxis.read("t", np.array([0, 2, 1, 4]), {"units": "ms"})
    assert TimeAxis.read("t", np.arange(4) * 0.1, {"units": "ms"}).step.text(3) == "0.3 ms"
    assert TimeAxis.read("t", np.arange(4), {"units": "hours"}).step.plural == "times"


def test_a_known_step_needs_no_even_times() -> None:
    step = Step(3600.0, "s", 0, has_dates=True)
    times = hours(30)[[3, 5, 20]]
    later = TimeAxis.read("time", times, {}, step).ahead(2)
    assert np.array_equal(later, hours(30)[[5, 7, 22]])


def test_nothing_warns_without_need() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        globe(np.arange(3.0), np.arange(3.0))


def test_latitudes_lie_between_the_poles() -> None:
    globe(np.linspace(-90.0, 90.0, 7), np.arange(8.0))
    with pytest.raises(ValueError, match=r"latitudes from -90 to 90 degrees, got 140 at index 5"):
        globe(np.linspace(40.0, 140.0, 6), np.arange(8.0))
