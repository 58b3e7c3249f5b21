"""Spacing and time step of pairs, which bring no coordinates of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import relaxon as rx
from relaxon import cli
from relaxon.datasets.samples import Samples
from relaxon.datasets.series import Series
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.lengths import parse_spacing, parse_time_step
from relaxon.forecasting.options import Options
from ring_data import labelled, ring, write

FIELDS = np.random.default_rng(0).standard_normal((30, 9, 12))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.05", ((0.05, ""), (0.05, ""))),
        ("5 km", ((5.0, "km"), (5.0, "km"))),
        ("5km,2.5e3 m", ((5.0, "km"), (2500.0, "m"))),
        (" 0.05 , 0.1 ", ((0.05, ""), (0.1, ""))),
        ("1, 2 km", ((1.0, "km"), (2.0, "km"))),
    ],
)
def test_spacings(text: str, expected: tuple[tuple[float, str], ...]) -> None:
    assert parse_spacing(text, ("axis 0", "axis 1")) == expected


@pytest.mark.parametrize(("text", "expected"), [("3 h", (3.0, "h")), ("86400s", (86400.0, "s"))])
def test_time_steps(text: str, expected: tuple[float, str]) -> None:
    assert parse_time_step(text) == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"spacing": "1,2,3"},
            "'spacing': expected one length for each of the axes axis 0, axis 1",
        ),
        ({"spacing": "1 m, 2"}, "units for all axes, or one behind the last number, got '1 m, 2'"),
        (
            {"spacing": "km"},
            "a number above 0 and, if it has one, its unit, such as '5 km', got 'km'",
        ),
        ({"spacing": "0"}, "a number above 0"),
        ({"spacing": "-1 m"}, "a number above 0"),
        ({"spacing": "1,"}, "a number above 0"),
        ({"spacing": "1.2.3"}, "a number above 0"),
        ({"spacing": "1e999"}, "a number above 0"),
        ({"spacing": "1e-320"}, "a number from 1e-100 to 1e+100, got '1e-320'"),
        ({"spacing": "0.25 degrees"}, "degrees differ in them with the latitude"),
        ({"time_step": "3,h"}, "'time_step': expected a number above 0"),
        ({"time_step": "0 h"}, "such as '3 h', got '0 h'"),
    ],
)
def test_wrong_lengths_are_refused(options: dict[str, str], words: str) -> None:
    settings = Options(spacing=options.get("spacing"), time_step=options.get("time_step"))
    with pytest.raises(ValueError, match=r"argument '(spacing|time_step)'") as caught:
        Experiment(settings, Samples(FIELDS[:-1], FIELDS[1:]))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(spacing="1 m"), "'spacing': expected no value for data that bring coordinates"),
        (Options(time_step="1 h"), "'time_step': expected no value for data that bring times"),
    ],
)
def test_files_bring_their_own(options: Options, words: str) -> None:
    pytest.importorskip("xarray")
    with pytest.raises(ValueError, match=words):
        Experiment(options, Series.read(labelled(ring())))


def test_the_physics_of_pairs_has_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write(tmp_path / "a.npz", x=FIELDS[:-1], y=0.9 * FIELDS[1:])
    command = ["fit", data, "--steps", "2", "--depth", "3"]
    physics = {}
    for name, more in {
        "plain": [],
        "units": ["--spacing", "2 km,3 hPa", "--time-step", "6 h"],
    }.items():
        assert cli.main([*command, *more, "--out", str(tmp_path / name)]) == 0
        summary = json.loads((tmp_path / name / "summary.json").read_text())
        physics[name] = summary["physics"]
    printed = capsys.readouterr().out
    assert "axis 0: 9 cells of 2 km" in printed
    assert " km/h, standard error" in printed
    assert (summary["config"]["spacing"], summary["config"]["time_step"]) == ("2 km,3 hPa", "6 h")
    plain, units = physics["plain"], physics["units"]
    assert units["velocity"]["unit"] == ["km/h", "hPa/h"]
    assert units["rate"]["unit"] == "1/h"
    lattice = plain["velocity"]["value"]
    assert units["velocity"]["value"] == pytest.approx([2 / 6 * lattice[0], 3 / 6 * lattice[1]])
    lattice = plain["diffusivity"]["value"]
    assert units["diffusivity"]["value"] == pytest.approx([4 / 6 * lattice[0], 9 / 6 * lattice[1]])
    model = rx.load(tmp_path / "units" / "model.safetensors")
    assert (model.grid.spacing, model.grid.unit) == ((2.0, 3.0), ("km", "hPa"))
    assert (model.dt, model.time_unit) == (2.0, "h")
