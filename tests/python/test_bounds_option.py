"""``--bounds``: bounds of coefficients in the units in which they are printed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from relaxon import commands
from relaxon.cli import main
from relaxon.datasets.samples import Samples
from relaxon.datasets.series import Series
from relaxon.forecasting.bounds import find_bounds, parse_bounds
from relaxon.forecasting.experiment import Experiment, Result
from relaxon.forecasting.options import Options

OPEN = float("inf")


def samples(shape: tuple[int, ...] = (9,)) -> Samples:
    fields = np.random.default_rng(0).standard_normal((31, *shape))
    return Samples(fields[:-1], fields[1:])


def run(bounds: str, data: Any = None, **options: Any) -> Result:
    chosen: dict[str, Any] = {"steps": 30, "depth": 2, "bounds": bounds} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Experiment(Options(**chosen), samples() if data is None else data).run()


def test_the_grammar() -> None:
    axes = ("lat", "lon")
    d = ("D", (0, 0)), ("D", (1, 1))
    assert parse_bounds("D>=0", axes) == dict.fromkeys(d, (0.0, OPEN))
    assert parse_bounds(" -2.5 <= U[lon] <= 1e3 ", axes) == {("U", (1,)): (-2.5, 1000.0)}
    assert parse_bounds("D>=0,D[lat]<=7,R<=0", axes) == {
        d[0]: (0.0, 7.0),
        d[1]: (0.0, OPEN),
        ("R", ()): (-OPEN, 0.0),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("D>0", "NAME>=VALUE"),
        ("0<=D", "NAME>=VALUE"),
        ("D>=", "NAME>=VALUE"),
        ("D>=nan", "NAME>=VALUE"),
        ("", "NAME>=VALUE"),
        ("omega>=0", "a name out of R, U and D"),
        ("R[lat]>=0", "R without an axis"),
        ("D[depth]>=0", "an axis out of lat, lon"),
        ("D>=2,D[lat]<=1", "low <= high"),
    ],
)
def test_what_is_no_bound_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_bounds(text, ("lat", "lon"))


@pytest.mark.parametrize("space", ["homogeneous", "local"])
@pytest.mark.parametrize("time", ["constant", "layered"])
@pytest.mark.parametrize("operator", ["adr", "moments"])
def test_bounds_hold_in_printed_units(operator: str, time: str, space: str) -> None:
    grid = rx.Grid((6,), spacing=500.0, unit="m", names=("x",))
    kind = rx.ADR if operator == "adr" else lambda g, **s: rx.Moments(g, order=2, **s)
    model = rx.Relaxation(
        kind(grid, space=space, time=time), depth=3, omega=0.7, dt=60.0, activation="logistic"
    )
    limits = parse_bounds("-2<=U<=3,D>=40,R<=-0.001", ("x",))
    bounds = find_bounds(model, limits)
    for i, side in enumerate(("low", "high")):
        # At their bounds parameters read as the bounds.
        values = {
            name: np.where(np.isfinite(pair[i]), pair[i], 0.25) for name, pair in bounds.items()
        }
        at_bound = {p.symbol: p.values for p in rx.explain(model.with_params(values)).processes}
        # Advection by moments has the opposite sign.
        low, high = (-2.0, 3.0) if operator == "adr" else (3.0, -2.0)
        np.testing.assert_allclose(at_bound["U"], (low, high)[i], rtol=1e-9)
        if side == "low":
            np.testing.assert_allclose(at_bound["D"], 40.0, rtol=1e-9)
        else:
            np.testing.assert_allclose(at_bound["R"], -0.001, rtol=1e-9)


def test_a_rate_is_bounded_in_the_unit_of_the_step() -> None:
    data = rx.datasets.sst().series()
    assert isinstance(data, Series)
    result = run("-0.05<=R<=0", data, steps=1, theta=0.0, optimizer="fixed-rate", rate=1.0)
    rate = next(row for row in result.explanation.processes if row.symbol == "R")
    unit, factor = result.explanation.readable_unit(rate)
    assert unit == "1/month"
    assert -0.05 - 1e-12 <= float(rate.values) * factor <= 1e-12


def test_diffusivity_stays_positive_and_is_marked_at_its_bound() -> None:
    x = np.random.default_rng(0).standard_normal((30, 9))
    # What sharpens: the mirror image of diffusion.
    y = x - 0.2 * (np.roll(x, 1, 1) - 2.0 * x + np.roll(x, -1, 1))
    options = {"boundary": "periodic"}
    free = run("U<=100", Samples(x, y), **options).explanation
    kept = run("D>=0", Samples(x, y), **options).explanation
    values = [next(float(p.values) for p in e.processes if p.symbol == "D") for e in (free, kept)]
    assert values[0] < -0.05
    assert values[1] == 0.0
    assert [r.name for r in free.remarks] == ["antidiffusion"]
    assert [(r.name, r.symbol) for r in kept.remarks] == [("at bound", "D")]


def test_mixed_components_are_free() -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((8, 9))), depth=2)
    low, high = find_bounds(model, parse_bounds("D>=0", ("axis 0", "axis 1")))["D"]
    np.testing.assert_array_equal(low, [0.0, -OPEN, 0.0])
    np.testing.assert_array_equal(high, OPEN)


def test_a_start_outside_moves_to_the_nearest_bound_with_a_word() -> None:
    with pytest.warns(UserWarning, match="D would start outside --bounds D<=0.001"):
        experiment = Experiment(Options(bounds="D<=0.001", depth=2), samples())
    (process,) = (p for p in rx.explain(experiment.model).processes if p.symbol == "D")
    assert float(process.values) == pytest.approx(0.001)


def test_nothing_is_said_of_a_start_inside() -> None:
    Experiment(Options(bounds="D>=0", depth=2), samples())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"operator": "dense"}, "free matrix or stencil"),
        ({"operator": "banded"}, "free matrix or stencil"),
        ({"trainable_omega": True}, "one omega that stays"),
        ({"activation": "relu"}, "a model with a linearisation"),
        ({"operator": "moments", "order": 1}, "coefficients that Moments has"),
    ],
)
def test_what_cannot_be_converted_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Experiment(Options(bounds="D>=0", depth=2, **options), samples())


def test_the_option_may_be_repeated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("typer")
    given: list[Options] = []

    def remember(names: tuple[str, ...], out: Path, options: Options, *ways: bool) -> int:
        given.append(options)
        return 0

    monkeypatch.setattr(commands, "fit", remember)
    words = ["fit", "x.npz", "--out", str(tmp_path), "--bounds", "D>=0", "--bounds", "R<=0"]
    assert main(words) == 0
    assert main(words[:4]) == 0
    assert [options.bounds for options in given] == ["D>=0,R<=0", None]
