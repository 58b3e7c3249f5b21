"""One table of parameters: what axes count, which entries are read, what numbers mean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import registry
import relaxon as rx
from relaxon.operators import OPERATORS

MASK = np.array([True, False, True])


@pytest.mark.parametrize(
    ("operator", "name"),
    [
        (rx.Moments(rx.Grid((3,), mask=MASK), order=2), "moments"),
        (rx.Banded(rx.Grid((3,), mask=MASK), radius=1), "weights"),
        (rx.ADR(rx.Grid((3, 3), mask=np.tile(MASK, (3, 1)))), "D"),
    ],
)
def test_a_coefficient_as_long_as_the_grid_is_no_field(operator: Any, name: str) -> None:
    """Its shape is that of the grid, or ends so, and none of its numbers belongs to a cell."""
    model = rx.Relaxation(operator, depth=2)
    values = model.params[name].copy()
    values[1] = np.nan
    with pytest.raises(ValueError, match=rf"argument '{name}': expected finite numbers, got nan"):
        model.with_params({name: values})
    with pytest.raises(ValueError, match=rf"argument '{name}': expected finite numbers, got nan"):
        operator.apply({**model.params, name: values}, np.zeros(operator.grid.shape))
    fitted = rx.fit(
        model,
        np.zeros((2, *operator.grid.shape)),
        np.zeros((2, *operator.grid.shape)),
        steps=1,
        bounds={name: (-np.ones(len(values)), None)},
    )
    assert np.isfinite(fitted.model.params[name]).all()


@pytest.mark.parametrize("case", registry.sample()[::8], ids=lambda case: case.name)
def test_the_table_is_that_of_the_arrays(case: registry.Case) -> None:
    model = case.model()
    table = model._parameters
    assert list(table) == [*(name for name in model.params if name != "omega"), "omega"]
    for name, array in model.params.items():
        parameter = table[name]
        assert parameter.shape == array.shape
        assert len(parameter.axes) == array.ndim
        assert parameter.is_field == (parameter.axes[-model.grid.ndim :].count("grid") > 0)
        readable = parameter.readable(model.grid)
        read = np.broadcast_to(True if readable is None else readable, array.shape)
        assert np.count_nonzero(read) == parameter.n_trained(model.grid)
    own = [table[name] for name in model.operator.parameter_names()]
    assert sum(p.n_trained(model.grid) for p in own) == model.operator.n_parameters(model.depth)


@pytest.mark.parametrize("case", registry.sample()[::8], ids=lambda case: case.name)
def test_entries_that_are_not_read_may_be_anything(case: registry.Case) -> None:
    model = case.model()
    blind = {}
    for name, array in model.params.items():
        readable = model._parameters[name].readable(model.grid)
        if readable is not None:
            blind[name] = np.where(readable, array, np.nan).astype(array.dtype)
    other = model.with_params(blind)
    assert np.array_equal(model(case.x), other(case.x))
    value, gradient = model.value_and_grad(case.x, case.y, case.loss())
    same, others = other.value_and_grad(case.x, case.y, case.loss())
    assert value == same
    assert all(np.array_equal(gradient[name], others[name]) for name in gradient)


@pytest.mark.parametrize("name", OPERATORS)
def test_components_stand_along_their_axis(name: str) -> None:
    kind = OPERATORS[name]
    needed = {"order": 3, "radius": 2}
    options = {key: needed[key] for key in kind.settings() if key in needed}
    grid = rx.Grid((8,))
    for time in ("constant", "layered"):
        op = kind(grid, **{"time": time, **options})
        model = rx.Relaxation(op, depth=2)
        for parameter, components in op.components().items():
            axis = model._parameters[parameter].component_axis
            n = 1 if axis is None else model.params[parameter].shape[axis]
            assert n == len(components)
            assert len({component.label for component in components}) == n
        sizes = [math.prod(model.params[p].shape) for p in op.parameter_names()]
        assert sum(sizes) == op.n_parameters(2)


def test_names_for_the_command_line_are_those_of_the_table() -> None:
    from relaxon.forecasting.settings import OPERATOR_NAMES

    assert tuple(OPERATORS) == OPERATOR_NAMES
