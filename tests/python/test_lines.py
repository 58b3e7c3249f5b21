"""Implicit layers on lines, which packs of cells solve, against the general way.

A stencil of radius 1 and one of radius 2 with zeros at its ends are the same W; only the first is
solved as a line of neighbours. Bits must not depend on what a sample is computed beside.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import relaxon as rx
from measures import Array, assert_all_close, bits, relative_error

TOLERANCES = {"float64": 1e-11, "float32": 2e-4}

# Fewer cells than any pack has lanes but the least, left-over cells, one stretch of pieces, and
# several.
CELLS = (5, 37, 1030, 5003)
GRIDS: dict[str, dict[str, Any]] = {
    "circle": {"boundary": "periodic"},
    "closed": {"boundary": "neumann"},
    "fixed": {"boundary": ((rx.Dirichlet(0.4), "neumann"),)},
    "mask": {"boundary": "neumann", "mask_boundary": "neumann"},
    "circle, mask": {"boundary": "periodic", "mask_boundary": rx.Dirichlet(-0.3)},
}


def grid_of(kind: str, n: int) -> rx.Grid:
    mask = np.arange(n) % 7 != 3 if "mask" in kind else None
    return rx.Grid((n,), mask=mask, **GRIDS[kind])


def model_of(
    grid: rx.Grid,
    radius: int,
    diffusion: float = 1.0,
    drift: float = 0.3,
    centre: float | None = None,
    **options: Any,
) -> rx.Relaxation:
    """Local weights near those of diffusion and drift; the same numbers for every radius."""
    space = options.pop("space", "local")
    settings: dict[str, Any] = {"depth": 2, "theta": 1.0, "bias": "local", "omega": 1.5}
    op = rx.Banded(grid, radius=radius, space=space, time=options.pop("time", "constant"))
    model = rx.Relaxation(op, trainable_omega=True, **(settings | options))
    n = grid.shape[0]
    rng = np.random.default_rng(n)
    shape = (3, n) if space == "local" else (3,)
    own = 0.9 - 2 * diffusion if centre is None else centre
    line = np.array([diffusion + drift / 2, own, diffusion - drift / 2])
    line = line.reshape(3, *(1,) * (len(shape) - 1)) + 0.1 * rng.standard_normal(shape)
    weights = np.zeros(model.params["weights"].shape)
    own_axis = weights.ndim - len(shape)
    for arm, values in zip(range(radius - 1, radius + 2), line, strict=True):
        np.moveaxis(weights, own_axis, 0)[arm] = values
    if own_axis:  # layers differ
        weights *= np.linspace(1.0, 0.8, len(weights)).reshape(-1, *(1,) * len(shape))
    bias = np.asarray(0.2 * rng.standard_normal(np.shape(model.params["bias"])))
    params = {"weights": weights, "bias": bias}
    return model.with_params({name: value.astype(model.dtype) for name, value in params.items()})


def samples_of(model: rx.Relaxation, batch: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, batch, *model.grid.shape)).astype(model.dtype)
    return x, y


def middle(grads: dict[str, Array]) -> dict[str, Array]:
    """Gradients with those of three weights, which are local or not layered."""
    weights = grads["weights"]
    axis = max(weights.ndim - 2, 0)
    r = weights.shape[axis] // 2
    return {**grads, "weights": np.take(weights, range(r - 1, r + 2), axis)}


def assert_same_as_general(grid: rx.Grid, batch: int, **options: Any) -> None:
    line, general = (model_of(grid, radius, **options) for radius in (1, 2))
    tolerance = TOLERANCES[str(line.dtype)]
    x, y = samples_of(line, batch)
    assert relative_error(line.trajectory(x), general.trajectory(x)) <= tolerance
    loss, grads = line.value_and_grad(x, y, input_grad=True)
    expected, expected_grads = general.value_and_grad(x, y, input_grad=True)
    assert loss == pytest.approx(expected, rel=tolerance)
    assert_all_close(middle(grads), middle(expected_grads), tolerance)
    x_dot = np.ones_like(x)
    tangents = [model.jvp(x, {"bias": model.params["bias"]}, x_dot) for model in (line, general)]
    assert relative_error(*tangents) <= tolerance


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("theta", [0.5, 1.0])
@pytest.mark.parametrize("activation", ["tanh", "identity"])
@pytest.mark.parametrize("kind", GRIDS)
def test_lines_are_solved_as_everything_else(
    kind: str, activation: str, theta: float, dtype: str
) -> None:
    for n in CELLS[:3] if dtype == "float64" else CELLS[1:2]:
        assert_same_as_general(
            grid_of(kind, n), 3, theta=theta, activation=activation, dtype=dtype, beta=0.1
        )


MOVED: dict[str, dict[str, Any]] = {
    "drive": {"drive": True, "beta": 0.1},
    "hard": {"normalization": "hard"},
    "both": {"drive": True, "normalization": "hard", "time": "layered"},
}


@pytest.mark.parametrize("theta", [0.5, 1.0])
@pytest.mark.parametrize("activation", ["tanh", "identity"])
@pytest.mark.parametrize("name", MOVED)
@pytest.mark.parametrize("kind", GRIDS)
def test_lines_with_drive_and_of_size_one(
    kind: str, name: str, activation: str, theta: float
) -> None:
    options: dict[str, Any] = {"theta": theta, "activation": activation, **MOVED[name]}
    assert_same_as_general(grid_of(kind, 37), 3, dtype="float32", **options)
    for n in (5, 1030):
        omega = np.linspace(0.5, 1.5, n) if name == "hard" else 1.5
        assert_same_as_general(grid_of(kind, n), 3, omega=omega, **options)


@pytest.mark.parametrize("kind", ["circle", "mask"])
def test_long_lines_are_solved_as_everything_else(kind: str) -> None:
    assert_same_as_general(grid_of(kind, CELLS[-1]), 1, activation="softplus")


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("space", ["local", "homogeneous"])
@pytest.mark.parametrize("kind", GRIDS)
def test_attractors_on_lines_are_those_of_the_general_way(
    kind: str, space: str, dtype: str
) -> None:
    tolerance = TOLERANCES[dtype]
    for n, activation, drive in (
        (5, "logistic", True),
        (37, "tanh", False),
        (1030, "softplus", True),
        (5003, "tanh", True),
    ):
        line, general = (
            model_of(
                grid_of(kind, n),
                radius,
                depth="attractor",
                theta=0.0,
                omega=0.5,
                centre=-1.6,
                space=space,
                bias=space,
                activation=activation,
                drive=drive,
                dtype=dtype,
                attractor={"tol": 1e-13 if dtype == "float64" else 1e-6},
            )
            for radius in (1, 2)
        )
        x, y = samples_of(line, 3)
        assert relative_error(line(x), general(x)) <= tolerance
        loss, grads = line.value_and_grad(x, y, input_grad=True)
        expected, expected_grads = general.value_and_grad(x, y, input_grad=True)
        assert loss == pytest.approx(expected, rel=tolerance)
        assert_all_close(middle(grads), middle(expected_grads), tolerance)
        found = rx.attractor(line, x)
        assert found.success
        np.testing.assert_array_equal(found.z, line(x))


@pytest.mark.parametrize("drive", [False, True])
@pytest.mark.parametrize("space", ["local", "homogeneous"])
def test_attractors_that_want_row_exchanges_stand_beside_others(space: str, drive: bool) -> None:
    options: dict[str, Any] = {"depth": "attractor", "theta": 0.0, "omega": 0.5, "drift": 4.0}
    options |= {"centre": -1.6, "space": space, "bias": space, "drive": drive}
    line, general = (
        model_of(grid_of("circle", 1030), radius, attractor={"tol": 1e-13}, **options)
        for radius in (1, 2)
    )
    x, y = samples_of(line, 5)
    x[1] *= 0.01
    _, grads = line.value_and_grad(x, y, input_grad=True)
    _, expected = general.value_and_grad(x, y, input_grad=True)
    assert_all_close(middle(grads), middle(expected), 1e-13)
    for threads in (2, 4):
        assert bits(line.value_and_grad(x, y, input_grad=True, threads=threads)[1]) == bits(grads)


def outweighs(model: rx.Relaxation, x: Array) -> Array:
    """Whether each row's diagonal entry outweighs the others in J at the start, per sample."""
    lower, diagonal, upper = model.params["weights"]
    source = x if model.drive else np.zeros_like(x)
    z = x - source
    pre = lower * np.roll(z, 1, -1) + diagonal * z + upper * np.roll(z, -1, -1) + source
    rate = 1.5 * (1 - np.tanh(pre - model.params["bias"]) ** 2)
    size = np.abs(rate * lower) + np.abs(rate * upper)
    return np.asarray((np.abs(2.5 - rate * diagonal) >= size).all(axis=-1))


@pytest.mark.parametrize("options", [{}, {"drive": True}, {"normalization": "hard"}])
def test_samples_that_want_row_exchanges_stand_beside_others(options: dict[str, Any]) -> None:
    """Drift beyond diffusion: cells in the saturated part of tanh have small slopes."""
    model = model_of(grid_of("circle", 37), 1, diffusion=0.1, drift=3.0, **options)
    x, y = samples_of(model, 7)
    x[::2] += 40.0 * np.sign(x[::2].mean())
    is_plain = outweighs(model, x)
    assert set(is_plain.tolist()) == {False, True}
    general = model_of(grid_of("circle", 37), 2, diffusion=0.1, drift=3.0, **options)
    assert relative_error(model(x), general(x)) <= 1e-11
    _, grads = model.value_and_grad(x, y, input_grad=True)
    _, expected = general.value_and_grad(x, y, input_grad=True)
    assert_all_close(middle(grads), middle(expected), 1e-10)
    for sample, alone in zip(x, model(x), strict=True):
        np.testing.assert_array_equal(model(sample), alone)


def full_steps_do(model: rx.Relaxation, x: Array) -> bool:
    """Whether Newton's method from x ends without a step that fails to lower the residual."""
    lower, diagonal, upper = model.params["weights"]
    n, rate = len(x), 1.5
    matrix = np.diag(diagonal) + np.diag(lower[1:], -1) + np.diag(upper[:-1], 1)
    matrix[0, -1], matrix[-1, 0] = lower[0], upper[-1]
    z, before = x, np.inf
    for _ in range(100):
        f = np.tanh(matrix @ z - model.params["bias"])
        residual = z + rate * (z - f) - x
        size = np.abs(residual).max()
        if size <= 1e-13:
            return True
        if size > (1 - 1e-4) * before:
            return False
        before = size
        jacobian = (1 + rate) * np.eye(n) - rate * (1 - f**2)[:, None] * matrix
        z = z - np.linalg.solve(jacobian, residual)
    return False


def test_samples_whose_steps_are_shortened_stand_beside_others() -> None:
    """Where W is large tanh gives three roots, and steps near its bends overshoot."""
    options: dict[str, Any] = {"diffusion": 0.02, "drift": 0.0, "centre": 3.0, "depth": 1}
    line, general = (model_of(grid_of("circle", 11), radius, **options) for radius in (1, 2))
    x, _ = samples_of(line, 40)
    assert {full_steps_do(line, sample) for sample in x} == {False, True}
    assert relative_error(line(x), general(x)) <= 1e-11
    for sample, alone in zip(x, line(x), strict=True):
        np.testing.assert_array_equal(line(sample), alone)


@pytest.mark.parametrize(
    ("n", "batch", "activation", "more"),
    [
        (37, 7, "tanh", {}),
        (2053, 19, "tanh", {}),
        (17000, 5, "identity", {}),
        (33100, 2, "tanh", {}),
        (37, 7, "tanh", MOVED["both"]),
        (17000, 5, "identity", {"drive": True}),
        (33100, 2, "tanh", {"drive": True, "normalization": "hard"}),
    ],
)
def test_bits_follow_from_the_sample_alone(
    n: int, batch: int, activation: str, more: dict[str, Any]
) -> None:
    """Long lines are shared by threads, samples of short ones are."""
    options: dict[str, Any] = {"activation": activation, "theta": 0.5, "space": "homogeneous"}
    model = model_of(grid_of("circle", n), 1, bias="homogeneous", depth=3, **options, **more)
    x, y = samples_of(model, batch)
    together = model(x, threads=2)
    for sample, alone in zip(x[:7], together[:7], strict=True):
        np.testing.assert_array_equal(model(sample, threads=1), alone)
    _, expected = model.value_and_grad(x, y, input_grad=True, threads=1)
    for threads in (2, 4):
        least = rx.plan(model, batch, threads=threads, input_grad=True).minimum_bytes
        for memory in (None, least):
            _, grads = model.value_and_grad(x, y, input_grad=True, threads=threads, memory=memory)
            assert bits(grads) == bits(expected), (threads, memory)


def test_sums_over_many_samples_are_as_sharp_in_float32() -> None:
    """Gradients of 2000 samples in float32 against float64: no sum is kept in float32."""
    model = model_of(grid_of("circle", 16), 1, space="homogeneous", bias="homogeneous")
    single = model.astype("float32")
    x, y = samples_of(single, 2000)
    _, grads = single.value_and_grad(x, y)
    wide = model.with_params({k: v.astype(np.float64) for k, v in single.params.items()})
    _, expected = wide.value_and_grad(x.astype(np.float64), y.astype(np.float64))
    assert_all_close(grads, expected, 2e-6)


@pytest.mark.parametrize("shape", [(1, 37), (37, 1)])
def test_a_plane_of_one_row_is_a_line(shape: tuple[int, ...]) -> None:
    """What stands aside is mirrored, and W one of three points, which its entries alone tell."""
    grids = rx.Grid((37,), boundary="neumann"), rx.Grid(shape, boundary="neumann")
    along = {"U": shape.index(37), "D": 2 * shape.index(37)}
    line, plane = (
        rx.Relaxation(rx.ADR(grid, space="local"), 3, theta=0.75, omega=1.5, bias="local")
        for grid in grids
    )
    rng = np.random.default_rng(6)
    noise = {n: p + 0.1 * rng.standard_normal(p.shape) for n, p in line.params.items()}
    line = line.with_params(noise)
    params = {name: np.zeros(value.shape) for name, value in plane.params.items()}
    for name, value in noise.items():
        place = params[name][along[name]] if name in along else params[name]
        place[...] = value.reshape(place.shape)
    plane = plane.with_params(params)
    x, y = rng.standard_normal((2, 3, 37))
    states = plane.trajectory(x.reshape(-1, *shape))
    assert relative_error(states.reshape(3, -1, 37), line.trajectory(x)) <= 1e-12
    _, grads = plane.value_and_grad(x.reshape(-1, *shape), y.reshape(-1, *shape), input_grad=True)
    _, expected = line.value_and_grad(x, y, input_grad=True)
    for name, value in expected.items():
        found = grads[name][along[name]] if name in along else grads[name]
        assert relative_error(found.ravel(), value.ravel()) <= 1e-10, name
