"""How numbers are written: digits follow the standard error."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import relaxon as rx
from relaxon.physics.numbers import format_measured, format_number
from relaxon.report.terminal import _physics_text


def test_numbers_for_reading() -> None:
    values = (0.0, -0.0, 12345.6, 1.5e7, 0.00012346, 4.8e-8, -907.4567)
    texts = [format_number(v) for v in values]
    assert texts == ["0", "0", "12350", "1.5e+07", "0.0001235", "4.8e-08", "-907.5"]
    assert format_number(784.0, 2) == "780"


@pytest.mark.parametrize(
    ("value", "error", "texts"),
    [
        (12870.4, 783.0, ("12870", "780")),
        (-0.06803, 0.0112, ("-0.068", "0.011")),
        (750.8, 287.0, ("750", "290")),
        # Rounding makes one digit more of the error.
        (1.0, 0.0996, ("1.00", "0.10")),
        # What was "0 m^2/s, standard error 4e-08".
        (3.21e-7, 4.0e-8, ("3.21e-07", "4.0e-08")),
        (3.0e-9, 4.1e-8, ("0.3e-08", "4.1e-08")),
        (9.996e-5, 1.0e-6, ("1.000e-04", "1.0e-06")),
        (2.5e8, 1.2e7, ("2.50e+08", "1.2e+07")),
        (5.0, 1.0e-9, ("5.0000000000", "1.0e-09")),
        # No negative zeros.
        (-2.0e-5, 0.0062, ("0.0000", "0.0062")),
        (-1.0e-11, 4.0e-8, ("0", "4.0e-08")),
        (2.0e9, 4.7e11, ("0", "4.7e+11")),
        (-4.0, 290.0, ("0", "290")),
        (-0.0, None, ("0", "")),
        # Nothing limits the digits: four.
        (0.123456, None, ("0.1235", "")),
        (0.123456, 0.0, ("0.1235", "0")),
        (0.123456, math.inf, ("0.1235", "inf")),
    ],
)
def test_digits_follow_the_standard_error(
    value: float, error: float | None, texts: tuple[str, str]
) -> None:
    assert format_measured(value, error) == texts


def test_what_rounds_to_zero_has_neither_sign_nor_direction() -> None:
    pytest.importorskip("xarray")
    pairs = rx.datasets.from_xarray(rx.datasets.sst().to_xarray(), anomaly="month")
    model = rx.Relaxation(rx.ADR(pairs.grid), depth=2, time_unit="s").with_scaling(pairs.scaling)
    explanation = rx.explain(model)
    # Of R in 1/s: the readable unit is 1/month.
    month = explanation.readable_unit(explanation.processes[0])[1]
    numbers = {
        ("R", ()): (-1e-6 / month, 0.0042 / month),
        ("U", (0,)): (-2e-5, 0.0062),
        ("U", (1,)): (-0.068, 0.011),
        ("D", (1, 1)): (3.2e-7, 4e-8),
    }
    processes = tuple(
        replace(p, values=np.array(value), standard_error=np.array(error))
        for p in explanation.processes
        for value, error in [numbers.get((p.symbol, p.axes), (1.0, 0.1))]
    )
    lines = _physics_text(replace(explanation, processes=processes, remarks=())).splitlines()
    assert [line.split("  ", 2)[2].strip() for line in lines[1:]] == [
        "0.0000 m/s, standard error 0.0062",
        "-0.068 m/s (westward), standard error 0.011",
        "1.00 m^2/s, standard error 0.10",
        "3.20e-07 m^2/s, standard error 4.0e-08",
        "1.00 m^2/s, standard error 0.10",
        "0.0000 per month, standard error 0.0042",
    ]
    assert lines[-1].split()[0] == "rate"
