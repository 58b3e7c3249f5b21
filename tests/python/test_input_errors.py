"""Unknown inputs by their formulas: the joint objective, its gradient, and its standard errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import relaxon as rx
from line_model import DEPTH, LBFGS, N_CELLS, model_of
from relaxon.inputs.input_errors import InputErrors, balance, find_target_errors
from relaxon.model.losses import SquaredDistance
from relaxon.physics.profiled_error import profile
from smooth_fields import smooth

Array = NDArray[Any]


# -- the objective ---------------------------------------------------------------------------------


def unknowns(model: rx.Relaxation, x: Array, seed: int = 0, n_gaps: int = 6) -> InputErrors:
    """Some spread everywhere but in a few fixed entries, and gaps that hang on their neighbours."""
    random = np.random.default_rng(seed)
    spread = random.uniform(0.1, 0.3, x.shape)
    spread.ravel()[::11] = 0.0
    if model.grid.mask is not None:
        spread *= model.grid.mask
    n_each = int(np.prod(model.grid.shape))
    gaps = np.sort(random.choice(n_each - 2, n_gaps, replace=False)[:n_gaps] // 4 * 4 + 1)
    gaps = np.unique(gaps).astype(np.int64)
    neighbours = np.stack([gaps - 1, gaps + 1, np.full_like(gaps, -1)], axis=1)
    factors = random.standard_normal(neighbours.shape) * (neighbours >= 0)
    dtype = model.dtype
    return InputErrors(
        x.astype(dtype), spread.astype(dtype), 0.05, gaps, neighbours, factors.astype(dtype)
    )


def objective(
    model: rx.Relaxation, errors: InputErrors, y: Array, loss: SquaredDistance, flat: Array
) -> float:
    """F by its formula, from public forward passes."""
    params, begin = {}, 0
    for name, array in model.params.items():
        params[name] = flat[begin : begin + array.size].reshape(array.shape)
        begin += array.size
    deviations = flat[begin:].reshape(errors.x.shape)
    moved = errors.x + errors.spread * deviations
    for gap, neighbours, factors in zip(
        errors.gaps, errors.neighbours, errors.factors, strict=True
    ):
        for neighbour, factor in zip(neighbours, factors, strict=True):
            if neighbour >= 0:
                shift = errors.spread.ravel()[neighbour] * deviations.ravel()[neighbour]
                moved.ravel()[gap] += factor * shift
    penalty = errors.strength * np.sum(deviations[errors.spread > 0.0] ** 2)
    return model.with_params(params).loss(moved, y, loss=loss) + float(penalty)


def descent_of(
    model: rx.Relaxation, errors: InputErrors, y: Array, loss: SquaredDistance, **options: Any
) -> Any:
    from relaxon.training.descent import start_descent

    settings: dict[str, Any] = {
        "optimizer": LBFGS,
        "steps": 10,
        "batch_size": None,
        "seed": 0,
        "penalties": (),
        "validation": None,
        "patience": None,
        "tolerance": 0.0,
        "memory": None,
        "threads": 1,
        "trainable": None,
        "bounds": None,
    }
    return start_descent(model, errors.x, y, loss=loss, input_errors=errors, **(settings | options))


MASK = np.ones((5, 6), np.bool_)
MASK[2, 3] = MASK[0, 0] = False
CASES: dict[str, Any] = {
    "line": (lambda: model_of(12, 3), None),
    "tanh, layered": (
        lambda: rx.Relaxation(rx.ADR(rx.Grid((12,)), time="layered"), depth=3, seed=3),
        [1, 3],
    ),
    "masked plane, local": (
        lambda: rx.Relaxation(
            rx.ADR(rx.Grid((5, 6), boundary="neumann", mask=MASK), space="local"),
            depth=2,
            bias="local",
            seed=1,
        ),
        None,
    ),
    "moments, omega": (
        lambda: rx.Relaxation(
            rx.Moments(rx.Grid((12,)), order=3), depth=3, trainable_omega=True, seed=2
        ),
        None,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_of_the_joint_objective(case: str) -> None:
    make, at = CASES[case]
    model = make()
    random = np.random.default_rng(5)
    x = random.standard_normal((3, *model.grid.shape))
    y = random.standard_normal((3, *(() if at is None else (len(at),)), *model.grid.shape))
    loss = rx.SquaredDistance(at=at, weights=random.uniform(0.5, 2.0, model.grid.shape))
    errors = unknowns(model, x)
    descent = descent_of(model, errors, y, loss)
    n_core = descent.trained.size - x.size
    n_own = sum(array.size for array in model.params.values())
    flat = np.concatenate([*(a.ravel() for a in model.params.values()), np.zeros(x.size)])
    flat += 0.05 * random.standard_normal(flat.size)
    # In the core omega stands behind the others, trained or not.
    point = descent.point()
    point[:n_own], point[n_core:] = flat[:n_own], flat[n_own:]
    gradient = np.empty_like(point)
    value = descent.evaluate(point, gradient)
    assert value == pytest.approx(objective(model, errors, y, loss, flat), rel=1e-12)
    ours = np.concatenate([gradient[:n_own], gradient[n_core:]])
    direction = random.standard_normal(flat.size)
    if model.grid.mask is not None:
        direction[:n_own] = 0.0
    slope = ours @ direction
    step = 1e-3
    sides = [objective(model, errors, y, loss, flat + s * step * direction) for s in (2, 1, -1, -2)]
    # Central differences of fourth order.
    difference = (-sides[0] + 8 * sides[1] - 8 * sides[2] + sides[3]) / (12 * step)
    assert difference == pytest.approx(slope, rel=1e-7)


def test_move_and_pull_are_transposed() -> None:
    model = model_of(12, 3)
    x = np.random.default_rng(1).standard_normal((3, 12))
    errors = unknowns(model, x)
    a, b = np.random.default_rng(2).standard_normal((2, 3, 12))
    assert np.sum(errors.move(a) * b) == pytest.approx(np.sum(a * errors.pull(b)), rel=1e-13)


# -- standard errors -------------------------------------------------------------------------------


def test_profile_is_that_of_total_least_squares() -> None:
    """Against the closed form: phi_n = (y - A x)^T (tau^2 + A S A^T)^-1 (y - A x)."""
    model = model_of(10, 3)
    random = np.random.default_rng(7)
    x, y = random.standard_normal((2, 4, 10))
    errors = unknowns(model, x, n_gaps=3)
    loss = rx.SquaredDistance()
    hessians, scores, _, n_values = profile(model, y, loss, errors, 1)
    assert n_values == y.size
    names = list(model.params)
    flat = np.concatenate([model.params[name].ravel() for name in names])
    eye = np.eye(40).reshape(40, 4, 10)
    lift = np.stack([errors.move(e).ravel() for e in eye], axis=1)

    def phi(values: Array) -> Array:
        own = {"R": np.array(values[0]), "U": values[1:2], "D": values[2:3]}
        moved = model.with_params(own)
        a = np.stack([moved(e) for e in np.eye(10)], axis=1)
        parts = []
        for n in range(4):
            spread = lift[10 * n : 10 * n + 10, 10 * n : 10 * n + 10]
            # tau^2 in units in which the penalty is xi^2: strength times the number of samples.
            covariance = errors.strength * 4 * np.eye(10) + a @ spread @ spread.T @ a.T
            residual = y[n] - a @ x[n]
            parts.append(residual @ np.linalg.solve(covariance, residual))
        return 0.5 * np.array(parts)

    step = 1e-3
    units = step * np.eye(3)
    gradient = np.stack([(phi(flat + u) - phi(flat - u)) / (2 * step) for u in units], axis=1)
    assert np.allclose(scores, gradient, rtol=1e-4, atol=1e-4 * np.abs(gradient).max())
    second = np.empty((4, 3, 3))
    for i, u in enumerate(units):
        for k, v in enumerate(units):
            corners = phi(flat + u + v) - phi(flat + u - v) - phi(flat - u + v) + phi(flat - u - v)
            second[:, i, k] = corners / (4 * step**2)
    assert np.allclose(hessians, second, rtol=2e-3, atol=2e-3 * np.abs(second).max())


def test_target_errors_are_what_residuals_leave() -> None:
    model = model_of().with_params({"U": np.array([0.6 / DEPTH]), "D": np.array([0.5 / DEPTH])})
    model = model.with_params({"R": np.array(-0.1 / DEPTH)})
    x = smooth((400, N_CELLS), 1)
    random = np.random.default_rng(2)
    y = model(x) + 0.1 * random.standard_normal(x.shape)
    seen = x + 0.2 * random.standard_normal(x.shape)
    (tau,) = find_target_errors(model, seen, y, rx.SquaredDistance(), np.full(x.shape, 0.2))
    assert tau == pytest.approx(0.1, rel=0.05)
    with pytest.raises(ValueError, match=r"'target_error'.*times the mean square .* inputs"):
        find_target_errors(model, seen, y, rx.SquaredDistance(), np.full(x.shape, 0.5))


def test_balance_weighs_layers_by_their_errors() -> None:
    model = model_of(12, 4)
    x, y = np.zeros((5, 12)), np.zeros((5, 2, 12))
    loss = rx.SquaredDistance(at=[2, 4], weights=np.full(12, 3.0))
    same, strength = balance(model, x, y, loss, (0.2, 0.2))
    assert same is loss
    assert strength == pytest.approx(3.0 * 0.04 / 5)
    other, strength = balance(model, x, y, loss, (0.1, 0.3))
    assert strength == pytest.approx(3.0 * 0.05 / 5)
    assert other.weights is not None
    assert np.allclose(other.weights[:, 0], 3.0 * 0.05 / 0.01)
    assert np.allclose(other.weights[:, 1], 3.0 * 0.05 / 0.09)
