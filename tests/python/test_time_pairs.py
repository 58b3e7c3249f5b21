"""Pairs come from the time axis: what is a lead apart belongs together, whatever lies between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from relaxon import cli
from relaxon.datasets.series import Series
from relaxon.datasets.time_axis import SECONDS_PER_MONTH, Step, TimeAxis
from relaxon.forecasting.split import split_series

xarray = pytest.importorskip("xarray")

DAY = np.timedelta64(1, "D")


def month_starts(first: str, n: int) -> np.ndarray:
    return np.asarray((np.datetime64(first, "M") + np.arange(n)).astype("M8[ns]"))


def days(*parts: tuple[str, int, int]) -> np.ndarray:
    """Runs of times: first one, step in days, number."""
    runs = [np.datetime64(first, "ns") + step * DAY * np.arange(n) for first, step, n in parts]
    return np.concatenate(runs)


def winters(n_years: int = 8) -> np.ndarray:
    all_months = month_starts("2001-01", 12 * n_years)
    return np.asarray(all_months[np.isin(np.arange(12 * n_years) % 12, (0, 1, 11))])


def dekads(n_years: int) -> np.ndarray:
    begin = np.repeat(month_starts("2001-01", 12 * n_years), 3)
    return np.asarray(begin + np.tile([0, 10, 20], 12 * n_years) * DAY)


def daylight(n_days: int) -> np.ndarray:
    hours = np.arange(24 * n_days)
    is_day = (hours % 24 >= 6) & (hours % 24 <= 18)
    return np.datetime64("2019-03-01", "ns") + hours[is_day] * np.timedelta64(1, "h")


def field(times: np.ndarray, n: int = 8) -> Any:
    """A wave that moves a third of a cell from one time to the next, plus noise."""
    random = np.random.default_rng(8)
    k = 2.0 * np.pi / n
    moved = np.sin(k * (np.arange(n) - np.arange(len(times))[:, None] / 3))
    return xarray.DataArray(
        moved + 0.1 * random.standard_normal(moved.shape),
        {"time": times, "longitude": ("longitude", 45.0 * np.arange(n), {"units": "degrees_east"})},
        ("time", "longitude"),
        name="wave",
        attrs={"units": "K"},
    )


MONTH = Step(SECONDS_PER_MONTH, "s", 1, has_dates=True)
# Times, their step, pairs at the leads 1 and 2, and how many times begin none at the lead 1.
AXES: dict[str, tuple[np.ndarray, Step, int, int, int]] = {
    "winters": (winters(), MONTH, 15, 7, 9),
    "months that lack": (np.delete(month_starts("2001-01", 24), [5, 6, 15]), MONTH, 18, 16, 3),
    "8 days": (
        days(("2001-01-01", 8, 46), ("2002-01-01", 8, 46)),
        Step(8 * 86400.0, "s", 0, has_dates=True),
        90,
        88,
        2,
    ),
    "dekads": (dekads(1), Step(10 * 86400.0, "s", 0, has_dates=True), 28, 20, 8),
    "no 29 February": (
        days(("2004-02-01", 1, 28), ("2004-03-01", 1, 10)),
        Step(86400.0, "s", 0, has_dates=True),
        36,
        35,
        2,
    ),
    "daylight": (daylight(3), Step(3600.0, "s", 0, has_dates=True), 36, 33, 3),
    "every second day or fewer": (
        np.datetime64("2001-01-01", "ns") + np.cumsum([0, 2, 4, 2, 6, 2, 4, 6, 4, 8]) * DAY,
        Step(2 * 86400.0, "s", 0, has_dates=True),
        3,
        3,
        7,
    ),
    "30 days and a gap": (
        days(("2001-01-01", 30, 20), ("2003-01-01", 30, 5)),
        Step(30 * 86400.0, "s", 0, has_dates=True),
        23,
        21,
        2,
    ),
    "numbers": (np.array([0.0, 0.1, 0.2, 0.4, 0.5]), Step(0.1, "ms"), 3, 2, 2),
    "durations": (
        np.array([0, 6, 12, 24, 30]) * np.timedelta64(1, "h"),
        Step(21600.0, "s"),
        3,
        2,
        2,
    ),
}


@pytest.mark.parametrize("name", AXES)
def test_pairs_are_what_is_a_lead_apart(name: str) -> None:
    times, step, *n_pairs, n_alone = AXES[name]
    axis = TimeAxis.read("time", times, {"units": "ms"})
    assert axis.step.length == pytest.approx(step.length, rel=1e-12)
    assert (axis.step.unit, axis.step.n_months) == (step.unit, step.n_months)
    for lead, n in enumerate(n_pairs, start=1):
        i, j = axis.pairs(lead)
        assert len(i) == n
        if step.n_months:
            later = times[i].astype("M8[M]") + lead
            assert np.array_equal(later, times[j].astype("M8[M]"))
        else:
            unit = np.timedelta64(1, "s") if times.dtype.kind in "mM" else 1.0
            assert (times[j] - times[i]) / unit == pytest.approx(lead * step.length)
        assert np.array_equal(axis.ahead(lead)[i], times[j])
    text = f"{n_alone} of {len(times)} times have no partner {axis.step.text(1)} later"
    assert axis.describe(1) == [f"{text}: no pair begins there"]


def test_even_times_need_no_word() -> None:
    axis = TimeAxis.read("time", month_starts("2001-01", 12), {})
    i, j = axis.pairs(3)
    assert np.array_equal(i, np.arange(9))
    assert np.array_equal(j, np.arange(3, 12))
    assert axis.describe(3) == []


def test_even_times_with_jitter_keep_all_pairs() -> None:
    random = np.random.default_rng(2)
    times = np.arange(40.0) + random.uniform(-9e-4, 9e-4, 40)
    axis = TimeAxis.read("time", times, {})
    assert axis.step.length == pytest.approx(1.0, abs=1e-4)
    for lead in (1, 7):
        assert np.array_equal(axis.pairs(lead), [np.arange(40 - lead), np.arange(lead, 40)])


def test_single_precision_of_large_numbers() -> None:
    times = (1.0e6 + 0.25 * np.arange(12)).astype("f4")
    assert len(TimeAxis.read("time", times, {}).pairs(1)[0]) == 11
    times = (1.0e5 + np.delete(0.1 * np.arange(20), 9)).astype("f4")
    assert len(TimeAxis.read("time", times, {}).pairs(1)[0]) == 17


def test_two_times_of_one_month_have_no_partner() -> None:
    times = np.sort(np.append(month_starts("2011-06", 12), np.datetime64("2012-01-16", "ns")))
    axis = TimeAxis.read("time", times, {})
    assert axis.step == MONTH
    assert np.array_equal(axis.pairs(1)[0], [0, 1, 2, 3, 4, 5, 9, 10, 11])
    line = "4 of 13 times have no partner 1 month later, 2 of them because they share a month"
    assert axis.describe(1) == [f"{line}: no pair begins there"]


def test_other_calendars() -> None:
    cftime = pytest.importorskip("cftime")
    dates = [cftime.Datetime360Day(2001 + i // 12, i % 12 + 1, 16) for i in range(24)]
    axis = TimeAxis.read("time", np.array(dates)[[*range(5), *range(7, 24)]], {})
    assert axis.step == MONTH
    assert len(axis.pairs(1)[0]) == 20


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (
            np.array([0, 1, 3, 6, 10, 15]) * DAY + np.datetime64("2001-01-01"),
            "'time': .*steps of 1 day to 5 days from 2001-01-01 to 2001-01-16; .*, makes 1 of 5; ",
        ),
        (np.array([0.0, 1.0, 2.6, 3.7, 6.0]), "steps of 1 ms to 2.3 ms from 0 ms to 6 ms;"),
        (np.array([0.0, 1.0, 3.0]), "of 1 ms to 2 ms .* makes 1 of 2"),
        (np.array([0.0, 1.0, 1.0, 2.0]), "each time once, got 1 ms again at index 2"),
        (
            np.repeat(month_starts("2001-01", 3), 2),
            "got 2001-01-01 again at index 1 .*, and 2 more.*drop_duplicates",
        ),
    ],
)
def test_times_without_a_step(times: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TimeAxis.read("time", times, {"units": "ms"})


def test_arrays_hold_the_fields_of_their_times() -> None:
    da = field(winters())
    pairs = rx.datasets.from_xarray(da)
    i, j = TimeAxis.read("time", da.time.values, {}).pairs(1)
    scale = pairs.scaling.scale
    assert len(pairs) == 15
    assert np.array_equal(pairs.time, da.time.values[j])
    assert pairs.x * scale == pytest.approx(da.values[i] - da.values.mean())
    assert pairs.y * scale == pytest.approx(da.values[j] - da.values.mean())
    assert "9 of 24 times have no partner 1 month later: no pair begins there" in pairs.notes
    with pytest.raises(ValueError, match="read-only"):
        pairs.time[0] = pairs.time[1]
    turned = rx.datasets.from_xarray(da[::-1])
    assert np.array_equal(turned.x, pairs.x)
    later = rx.datasets.from_xarray(da[12:], scaling=pairs.scaling)
    assert np.array_equal(later.y, pairs.y[pairs.time > da.time.values[12]])


def test_a_lead_without_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'lead'.*two of the 24 months are apart, got 5"):
        rx.datasets.from_xarray(field(winters()), lead=5)
    with pytest.raises(ValueError, match=r"'lead'.*two of the 24 months are apart, got 5"):
        split_series(Series.read(field(winters())), 5, "none", 0.25, None)


def test_no_pair_reaches_across_parts() -> None:
    series = Series.read(field(winters()))
    split = split_series(series, 1, "none", 0.25, 0.25)
    assert split.validation is not None
    parts = (split.training, split.validation, split.held_out)
    # 24 times, cut after 13 and 18; the January of a winter goes with its December.
    assert [len(part) for part in parts] == [8, 2, 3]
    ends = [part.time[-1] for part in parts if part.time is not None]
    assert np.array_equal(ends, series.time.values[[12, 16, 22]])


def test_a_part_without_pairs_is_named() -> None:
    series = Series.read(field(days(("2001-01-01", 1, 12), ("2001-02-02", 2, 4))))
    with pytest.raises(ValueError, match="two times a lead apart in the part 'held_out', got none"):
        split_series(series, 1, "none", 0.25, None)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tmp_path / "a.nc", tmp_path / "report"
    da = field(winters(12))
    da.to_netcdf(data)
    assert cli.main(["fit", str(data), "--out", str(out), "--steps", "2", "--depth", "2"]) == 0
    printed = capsys.readouterr().out
    assert "17 pairs of months to train on, 5 held out" in printed
    assert "13 of 36 times have no partner 1 month later: no pair begins there" in printed
    model, forecast = str(out / "model.safetensors"), tmp_path / "f.nc"
    assert cli.main(["predict", model, str(data), "--out", str(forecast)]) == 0
    with xarray.open_dataset(forecast) as written:
        months = written.time.values.astype("M8[M]")
        assert np.array_equal(months, winters(12).astype("M8[M]") + 1)


def test_held_out_times_without_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a record that was put on even steps holds between its seasons."""
    data, out = tmp_path / "a.nc", tmp_path / "report"
    field(winters(12)).reindex(time=month_starts("2001-01", 144)).to_netcdf(data)
    assert cli.main(["fit", str(data), "--out", str(out), "--steps", "2", "--depth", "2"]) == 0
    assert capsys.readouterr().err == ""
    assert (out / "prediction.png").read_bytes().startswith(b"\x89PNG")


def test_a_failing_figure_costs_no_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = tmp_path / "a.nc", tmp_path / "report"
    field(winters(12)).to_netcdf(data)
    arguments = ["fit", str(data), "--out", str(out), "--steps", "2", "--depth", "2"]
    assert cli.main(arguments) == 0
    assert (out / "prediction.png").exists()

    def fail(*arguments: Any) -> None:
        raise ZeroDivisionError("no <ink>")

    monkeypatch.setattr("relaxon.report.folder.prediction_figure", fail)
    monkeypatch.setattr("relaxon.physics.explain.Explanation.plot", fail)
    capsys.readouterr()
    assert cli.main(arguments) == 0
    printed = capsys.readouterr()
    for name in ("prediction", "coefficients"):
        line = f"relaxon: warning: the figure '{name}' could not be drawn: ZeroDivisionError: no <"
        assert line in printed.err
        assert f"{name}.png" not in printed.out
        assert not (out / f"{name}.png").exists()
    page = (out / "report.html").read_text()
    assert page.count("could not be drawn (ZeroDivisionError: no &lt;ink&gt;)") == 2
    assert (out / "loss.png").exists()
    assert cli.main(["explain", str(out / "model.safetensors"), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "the figure 'explanation' could not be drawn" in printed.err
    assert "explanation.csv" in printed.out
    assert not (out / "explanation.png").exists()
