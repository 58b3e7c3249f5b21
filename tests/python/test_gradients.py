"""Sweeps and their derivatives against the reference, over the registry; Taylor remainders."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import reference
import reference_grid
import registry
import relaxon as rx
from measures import assert_all_close, relative_error, taylor_order
from operators import OPERATORS

over_the_registry = pytest.mark.parametrize("case", registry.sample(), ids=lambda case: case.name)


@over_the_registry
def test_trajectory(case: registry.Case) -> None:
    model = case.model()
    states = model.trajectory(case.x)
    assert states.dtype == case.dtype
    assert relative_error(states, case.reference_trajectory()) <= case.tolerance
    np.testing.assert_array_equal(model(case.x), states[:, -1])
    np.testing.assert_array_equal(states[..., ~case.network.grid.exists], 0)


@over_the_registry
def test_value_and_grad(case: registry.Case) -> None:
    model = case.model()
    value, grads = model.value_and_grad(case.x, case.y, loss=case.loss(), input_grad=True)
    expected, expected_grads = case.reference_value_and_grad()
    assert isinstance(value, float)
    assert abs(value - expected) <= case.tolerance * expected
    assert_all_close(grads, expected_grads, case.tolerance)
    for grad in grads.values():
        assert grad.dtype == case.dtype

    assert abs(model.loss(case.x, case.y, loss=case.loss()) - value) <= case.tolerance * value
    _, without_input = model.value_and_grad(case.x, case.y, loss=case.loss())
    assert without_input.keys() == case.params.keys()


@over_the_registry
def test_vjp(case: registry.Case) -> None:
    y_bar = np.random.default_rng(3).standard_normal(case.x.shape).astype(case.dtype)
    y_bar[:, ~case.network.grid.exists] = 17  # the output is 0 there, whatever the parameters
    grads = case.model().vjp(case.x, y_bar)
    assert_all_close(grads, case.reference_vjp(y_bar), case.tolerance)


@over_the_registry
def test_jvp(case: registry.Case) -> None:
    dots = case.direction(seed=4)
    expected = case.reference_jvp(dots)
    x_dot = dots.pop("x")
    tangent = case.model().jvp(case.x, dots, x_dot)
    assert tangent.dtype == case.dtype
    assert relative_error(tangent, expected) <= case.tolerance


@pytest.mark.parametrize("case", registry.sample()[::9], ids=lambda case: case.name)
def test_jvp_of_the_parameters_alone(case: registry.Case) -> None:
    dots = case.direction(seed=5, with_x=False)
    tangent = case.model().jvp(case.x, dots)
    assert relative_error(tangent, case.reference_jvp(dots)) <= case.tolerance


def test_normalisation_at_the_zero_state() -> None:
    """|z| has no derivative at 0, but (|z| - 1) z has one, -1: the adjoint stays exact there."""
    model = rx.Relaxation(
        rx.ADR(rx.Grid((6,))), depth=1, activation="tanh", omega=0.4, beta=0.3, seed=1
    )
    y_bar = np.arange(1.0, 7.0)[None]
    x_bar = model.vjp(np.zeros((1, 6)), y_bar)["x"]
    plain = rx.Relaxation(rx.ADR(rx.Grid((6,))), depth=1, activation="tanh", omega=0.4, seed=1)
    expected = plain.with_params(dict(model.params)).vjp(np.zeros((1, 6)), y_bar)["x"]
    np.testing.assert_allclose(x_bar, expected + 0.3 * y_bar, rtol=1e-14)


def larger_networks() -> list[registry.Case]:
    rng = np.random.default_rng(11)
    mask = rng.random((12, 15)) > 0.2
    omega = np.asarray(0.3)
    central = OPERATORS["adr-central"]
    sides = registry.SIDES
    sea = reference_grid.Grid((12, 15), (sides[1], sides[0]), (0.3, 0.2), mask)
    box = reference_grid.Grid((6, 7, 8), (sides[3], sides[0], sides[5]), (1.0, 1.0, 1.0))
    ring = reference_grid.Grid((100,), (sides[0],), (0.1,))
    line = reference_grid.Grid((40,), (sides[4],), (1.0,))
    networks = {
        "masked-layered-beta": (
            reference.Network(sea, central, 12, "silu", omega, time="layered", beta=0.05),
            "local",
        ),
        "deep-ring": (
            reference.Network(ring, OPERATORS["adr-lax-wendroff"], 40, "tanh", omega),
            "homogeneous",
        ),
        "box": (reference.Network(box, central, 6, "gelu", omega), "local"),
        "dense": (reference.Network(line, OPERATORS["dense"], 20, "softplus", omega), "local"),
        "moments": (reference.Network(line, OPERATORS["moments-5"], 9, "sin", omega), "local"),
    }
    cases = []
    for name, (network, space) in networks.items():
        params = registry.draw_params(rng, network, space, "local")
        params = {key: 0.3 * value for key, value in params.items()}
        params["omega"] = rng.uniform(0.2, 0.5, network.grid.shape)
        shape = (4, *network.grid.shape)
        case = registry.Case(
            name,
            network,
            params,
            x=rng.standard_normal(shape),
            y=rng.standard_normal((4, 2, *network.grid.shape)),
            space=space,
            bias="local",
            at=(network.depth, network.depth // 2),
        )
        cases.append(case)
    everything = next(case for case, _, _ in registry.conformance() if case.name == "everything")
    return [everything, *cases]


def loss_along(case: registry.Case, dots: dict[str, Any], step: float) -> float:
    moved = {name: value + step * dots[name] for name, value in case.params.items()}
    there = replace(case, params=moved, x=case.x + step * dots["x"])
    value: float = there.model().loss(there.x, there.y, loss=there.loss())
    return value


@pytest.mark.parametrize("case", larger_networks(), ids=lambda case: case.name)
def test_taylor_remainder_is_of_second_order(case: registry.Case) -> None:
    _, grads = case.model().value_and_grad(case.x, case.y, loss=case.loss(), input_grad=True)
    dots = case.direction(seed=6)
    size = math.sqrt(sum(float(np.sum(dot**2)) for dot in dots.values()))
    dots = {name: dot / size for name, dot in dots.items()}
    slope = sum(float(np.sum(grads[name] * dot)) for name, dot in dots.items())
    assert taylor_order(lambda step: loss_along(case, dots, step), slope) == pytest.approx(
        2.0, abs=0.05
    )
    # the measure itself must notice an error of one per cent in the slope
    assert taylor_order(lambda step: loss_along(case, dots, step), 1.01 * slope) < 1.5


@pytest.mark.parametrize("case", larger_networks(), ids=lambda case: case.name)
def test_check_gradient_measures_second_order(case: registry.Case) -> None:
    report = rx.check_gradient(case.model(), case.x, case.y, loss=case.loss(), seed=0)
    assert report.order == pytest.approx(2.0, abs=0.05)
    assert 0 <= report.error < 1e-6


def test_check_gradient_of_a_loss_that_does_not_change_has_no_order() -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=2)
    x = np.random.default_rng(0).standard_normal((3, 8))
    report = rx.check_gradient(model, x, x, loss=rx.SquaredDistance(weights=np.zeros(8)))
    assert np.isnan(report.order)
    assert report.error == 0.0
    assert type(report.error) is float
