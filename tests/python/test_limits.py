"""Limits in which the answer is known without a reference."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import reference_activations
import registry
import relaxon as rx
from measures import relative_error
from relaxon.model.activations import ACTIVATIONS

SOME = registry.sample()[::4]
over_some = pytest.mark.parametrize("case", SOME, ids=lambda case: case.name)


def with_rate(case: registry.Case, omega: float, **changes: Any) -> registry.Case:
    """The same network with a fixed scalar omega."""
    params = {name: value for name, value in case.params.items() if name != "omega"}
    network = replace(case.network, omega=np.asarray(omega), **changes)
    return replace(case, network=network, params=params)


@over_some
def test_omega_zero_is_the_identity(case: registry.Case) -> None:
    model = with_rate(case, 0.0, beta=0.0).model()
    expected = np.where(case.network.grid.exists, case.x, 0)
    np.testing.assert_array_equal(model(case.x), expected)
    y_bar = case.direction(seed=1)["x"]
    grads = model.vjp(case.x, y_bar)
    np.testing.assert_array_equal(grads["x"], np.where(case.network.grid.exists, y_bar, 0))
    for name in case.params.keys() - {"omega"}:
        np.testing.assert_array_equal(grads[name], 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_omega_zero_keeps_all_but_subnormal_numbers(dtype: str) -> None:
    info = np.finfo(dtype)
    x = np.array([info.smallest_subnormal, -info.tiny / 3, info.tiny, info.max, 1.0], dtype)
    model = rx.Relaxation(rx.ADR(rx.Grid((5,))), depth=3, omega=0.0, dtype=dtype)
    kept = np.where(np.abs(x) < info.tiny, 0, x)
    np.testing.assert_array_equal(model(x), kept)
    np.testing.assert_array_equal(model.vjp(x, x)["x"], kept)


@over_some
def test_omega_one_is_a_feed_forward_layer(case: registry.Case) -> None:
    """z_{l+1} = f(W z_l - b), with nothing left of z_l itself."""
    case = with_rate(case, 1.0, beta=0.0)
    states = case.model().trajectory(case.x)
    linear = with_rate(case, 1.0, activation="identity").model()
    f = reference_activations.ACTIVATIONS[case.network.activation].f
    if case.network.is_layered:
        pre = np.asarray(linear.trajectory(case.x)[:, 1])
        expected = np.where(case.network.grid.exists, f(case.wide(pre)), 0)
        assert relative_error(states[:, 1], expected) <= 8 * np.finfo(case.dtype).eps
        return
    for layer in range(case.network.depth):
        pre = np.asarray(linear.trajectory(states[:, layer])[:, 1])
        expected = np.where(case.network.grid.exists, f(case.wide(pre)), 0)
        tolerance = 8 * np.finfo(case.dtype).eps
        assert relative_error(states[:, layer + 1], expected) <= tolerance


def test_the_reference_knows_every_activation() -> None:
    assert tuple(reference_activations.ACTIVATIONS) == ACTIVATIONS


@pytest.mark.parametrize("activation", list(reference_activations.ACTIVATIONS))
def test_activations_reach_every_value(activation: str) -> None:
    """f through a network whose W is the identity: single layer, omega = 1, Z = x."""
    x = np.concatenate([np.linspace(-40, 40, 801), [0.0, -1.0, 1.0, 1e-8, -1e-300, 300.0]])
    model = rx.Relaxation(
        rx.Banded(rx.Grid((x.size,)), radius=1), depth=1, activation=activation, omega=1.0
    ).with_params({"weights": np.array([0.0, 1.0, 0.0])})
    f, slope = reference_activations.ACTIVATIONS[activation]
    np.testing.assert_allclose(model(x), f(x), rtol=1e-14, atol=1e-15)
    x_bar = model.vjp(x, np.ones_like(x))["x"]
    # tanh and logistic recover f from z and z', to the rounding of the states (numerics, 5).
    is_recovered = activation in {"tanh", "logistic"}
    floor = 2 * np.finfo(float).eps * np.maximum(np.abs(x), 1) if is_recovered else 1e-15
    assert np.all(np.abs(x_bar - slope(x)) <= 1e-13 * np.abs(slope(x)) + floor)


IDENTITIES: dict[str, Callable[[rx.Grid], Any]] = {
    "central": lambda grid: rx.ADR(grid, scheme="central"),
    "upwind": lambda grid: rx.ADR(grid, space="local", scheme="upwind"),
    "lax-wendroff": lambda grid: rx.ADR(grid, time="layered", scheme="lax-wendroff"),
    "moments": lambda grid: rx.Moments(grid, order=5, space="local"),
    "banded": lambda grid: rx.Banded(grid, radius=2),
    "dense": lambda grid: rx.Dense(grid),
}


@pytest.mark.parametrize("kind", IDENTITIES)
def test_identity_operator_with_identity_activation_leaves_the_signal(kind: str) -> None:
    """Section 4.1 of the paper, for any omega and number of layers."""
    mask = np.arange(13) != 4
    grid = rx.Grid((13,), boundary=(("neumann", rx.Dirichlet(3.0)),), mask=mask)
    operator = IDENTITIES[kind](grid)
    shapes = dict(operator.parameter_shapes(50))
    params: dict[str, Any] = {name: np.zeros(shape) for name, shape in shapes.items()}
    if "W" in params:
        params["W"] = np.eye(13)
    if "moments" in params:
        params["moments"][0] = 1
    if "weights" in params:
        params["weights"][2] = 1
    for omega in (0.3, 1.0, 1.7):
        model = rx.Relaxation(operator, depth=50, activation="identity", omega=omega)
        x = np.random.default_rng(0).standard_normal((3, 13))
        expected = np.where(mask, x, 0)
        z = model.with_params(params)(x)
        assert relative_error(z, expected) <= 50 * 4 * np.finfo(float).eps


def test_printed_weights_of_the_paper_are_those_of_the_neighbours() -> None:
    grid = rx.Grid((9,), boundary=((rx.Dirichlet(0.5), "neumann"),))
    weights = np.random.default_rng(4).standard_normal((3, 9))
    z = np.random.default_rng(5).standard_normal((2, 9))
    low, centre, high = weights
    read = rx.ADR(grid, space="local").apply(rx.ADR.from_paper(low, centre, high), z)
    free = rx.Banded(grid, radius=1, space="local").apply({"weights": weights}, z)
    np.testing.assert_allclose(read, free, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("scheme", ["central", "upwind", "lax-wendroff"])
@pytest.mark.parametrize("shape", [(12,), (6, 7), (4, 5, 3)], ids=str)
def test_a_constant_field_stays_where_nothing_flows_out(
    shape: tuple[int, ...], scheme: str
) -> None:
    """Every derivative vanishes on it: sides and coasts without flux, any U and D, R = 0."""
    rng = np.random.default_rng(5)
    mask = rng.random(shape) > 0.3
    boundary = ("neumann", "periodic", "neumann")[: len(shape)]
    grid = rx.Grid(shape, boundary=boundary, mask=mask)
    operator = rx.ADR(grid, space="local", scheme=scheme)
    model = rx.Relaxation(operator, depth=20, activation="identity", omega=0.2)
    params = {name: 0.3 * rng.random(value.shape) for name, value in model.params.items()}
    params["R"] = np.zeros(shape)
    z = model.with_params(params)(np.full((1, *shape), 2.5))
    np.testing.assert_allclose(z[0, mask], 2.5, rtol=1e-13)
    np.testing.assert_array_equal(z[0, ~mask], 0)


def test_pure_diffusion_conserves_the_sum() -> None:
    mask = np.random.default_rng(6).random((9, 8)) > 0.25
    grid = rx.Grid((9, 8), boundary=("neumann", "periodic"), mask=mask)
    model = rx.Relaxation(rx.ADR(grid), depth=30, activation="identity", omega=0.4)
    diffusion = np.array([0.2, 0.0, 0.35])
    model = model.with_params({"R": np.zeros(()), "U": np.zeros(2), "D": diffusion})
    x = np.random.default_rng(7).standard_normal((2, 9, 8))
    z = model(x)
    np.testing.assert_allclose(z.sum(axis=(1, 2)), np.where(mask, x, 0).sum(axis=(1, 2)))
    assert np.all(z[:, mask].var(axis=1) < x[:, mask].var(axis=1))


def test_normalisation_pulls_the_norm_to_one() -> None:
    """W = I and f = id leave only the beta term: |z| -> 1 from both sides, dV in the norm."""
    grid = rx.Grid((20,), spacing=0.1)
    model = rx.Relaxation(
        rx.Banded(grid, radius=1), depth=200, activation="identity", omega=0.5, beta=0.1
    ).with_params({"weights": np.array([0.0, 1.0, 0.0])})
    x = np.random.default_rng(8).standard_normal((4, 20)) * np.array([[0.1], [0.9], [1.1], [2.0]])
    norms = np.sqrt(np.sum(model.trajectory(x) ** 2, axis=-1) * 0.1)
    np.testing.assert_allclose(norms[:, -1], 1, rtol=1e-8)
    assert np.all(np.diff(np.abs(norms - 1), axis=1) <= 1e-15)


@pytest.mark.parametrize("scheme", ["upwind", "lax-wendroff"])
@pytest.mark.parametrize(("axis", "sign"), [(0, 1), (0, -1), (1, 1), (1, -1)])
def test_advection_by_one_cell_per_layer_is_an_exact_translation(
    scheme: str, axis: int, sign: int
) -> None:
    """At Courant number one the stencil is the shift itself; U > 0 carries towards +q."""
    grid = rx.Grid((7, 9), boundary="periodic")
    model = rx.Relaxation(rx.ADR(grid, scheme=scheme), depth=5, activation="identity", omega=1.0)
    velocity = np.zeros(2)
    velocity[axis] = sign
    model = model.with_params({"R": np.zeros(()), "U": velocity, "D": np.zeros(3)})
    x = np.random.default_rng(9).standard_normal((3, 7, 9))
    np.testing.assert_array_equal(model(x), np.roll(x, 5 * sign, axis=1 + axis))


def test_advection_carries_a_signal_through_an_open_side() -> None:
    grid = rx.Grid((10,), boundary=((rx.Dirichlet(4.0), "neumann"),))
    model = rx.Relaxation(
        rx.ADR(grid, scheme="upwind"), depth=6, activation="identity", omega=1.0
    ).with_params({"R": np.zeros(()), "U": np.ones(1), "D": np.zeros(1)})
    x = np.arange(10.0)
    np.testing.assert_array_equal(model(x), [4, 4, 4, 4, 4, 4, 0, 1, 2, 3])


def test_reaction_alone_is_a_geometric_decay() -> None:
    grid = rx.Grid((8,))
    model = rx.Relaxation(rx.ADR(grid), depth=40, activation="identity", omega=0.5)
    model = model.with_params({"R": np.asarray(-0.1), "U": np.zeros(1), "D": np.zeros(1)})
    x = np.linspace(1, 2, 8)
    np.testing.assert_allclose(model(x), x * 0.95**40, rtol=1e-13)
