"""Factors of waves against recorded ones, eigenvalues of layers, and growth from noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import registry
import relaxon as rx
from bench import stability as bench
from measures import relative_error

ACTIVATION_OF_SLOPE = {1.0: "identity", 0.25: "logistic"}


@pytest.mark.parametrize("recorded", registry.recorded("amplification"), ids=lambda r: r[0]["name"])
def test_recorded_factors(recorded: Any) -> None:
    entry, arrays = recorded
    model = rx.Relaxation(
        rx.ADR(rx.Grid(tuple(entry["shape"])), scheme=entry["scheme"]),
        depth=2,
        activation=ACTIVATION_OF_SLOPE[entry["slope"]],
        omega=entry["omega"],
        theta=entry["theta"],
    ).with_params({name: arrays[f"param.{name}"] for name in entry["parameters"]})
    found = rx.amplification(model)
    assert found.is_exact
    assert found.factor is not None
    np.testing.assert_allclose(found.wavenumbers, arrays["wavenumbers"], rtol=1e-14)
    assert relative_error(found.factor, arrays["amplification"]) <= 1e-11
    assert found.largest == pytest.approx(entry["largest"], rel=1e-11)
    assert rx.stability(model).amplification is not None


def eigenvalues(model: Any, layer: int) -> Any:
    """Of a layer where f has its slope at zero, from the matrix."""
    op = model.operator
    params = {name: model.params[name] for name in op.parameter_names()}
    omega = float(np.broadcast_to(model.omega, (model.depth,))[layer])
    matrix = op.to_dense(params, layer if op.is_layered else 0, (1 - 2 * model.theta) * omega)
    slope = {"identity": 1.0, "silu": 0.5}[model.activation]
    pull = omega * (slope * matrix - np.eye(len(matrix)))
    explicit = np.eye(len(matrix)) + (1 - model.theta) * pull
    return np.linalg.eigvals(np.linalg.solve(np.eye(len(matrix)) - model.theta * pull, explicit))


OPERATORS: dict[str, Callable[[], Any]] = {
    "line": lambda: rx.ADR(rx.Grid((9,)), scheme="lax-wendroff"),
    "layered": lambda: rx.ADR(rx.Grid((8,)), time="layered"),
    "plane": lambda: rx.ADR(rx.Grid((4, 5)), scheme="upwind"),
    "space": lambda: rx.ADR(rx.Grid((3, 4, 5)), time="layered"),
    "moments": lambda: rx.Moments(rx.Grid((11,)), order=3),
    "banded": lambda: rx.Banded(rx.Grid((11,)), radius=3, time="layered"),
    # Narrower than the stencil: arms meet each other around the ring.
    "narrow": lambda: rx.Banded(rx.Grid((4,)), radius=3),
}


@pytest.mark.parametrize("theta", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("name", OPERATORS)
def test_they_are_the_eigenvalues_of_the_layers(name: str, theta: float) -> None:
    random = np.random.default_rng(3)
    op = OPERATORS[name]()
    omega = np.array([0.4, 0.9, 1.2])
    model = rx.Relaxation(op, depth=3, activation="silu", omega=omega, theta=theta)
    model = model.with_params({n: random.standard_normal(v.shape) for n, v in model.params.items()})
    found = rx.amplification(model)
    assert found.is_exact
    assert found.factor is not None
    for layer, factor in enumerate(found.factor):
        expected = eigenvalues(model, layer)
        left = list(expected)
        for value in factor.ravel():
            nearest = int(np.argmin(np.abs(np.array(left) - value)))
            assert abs(left.pop(nearest) - value) <= 1e-9 * np.abs(expected).max()
        assert found.layers[layer] == pytest.approx(np.abs(expected).max(), rel=1e-10)
    assert found.largest == found.layers.max()
    assert found.layer == int(found.layers.argmax())


def test_other_grids_take_the_infinite_lattice() -> None:
    params = {"R": np.array(0.0), "U": np.array([0.3]), "D": np.array([0.75])}
    op = rx.ADR(rx.Grid((10,), boundary="neumann"))
    model = rx.Relaxation(op, depth=2, activation="identity", omega=1.0).with_params(params)
    found = rx.amplification(model)
    assert not found.is_exact
    assert found.wavenumbers.shape == (129, 1)
    assert found.largest == pytest.approx(2.0, rel=1e-12)
    assert abs(found.wavenumber[0]) == np.pi
    assert "of a wave of length 2 cells" in str(found)


@pytest.mark.parametrize("time", ["constant", "layered"])
def test_the_worst_cell_is_found_and_masked_ones_do_not_count(time: Any) -> None:
    mask = np.ones((6, 7), bool)
    mask[1, 1] = False
    op = rx.ADR(rx.Grid((6, 7), mask=mask), space="local", time=time)
    model = rx.Relaxation(op, depth=2, activation="identity", omega=0.5)
    params = {name: np.zeros_like(value) for name, value in model.params.items()}
    diffusion = np.full((2, 6, 7), 0.1)
    diffusion[:, 1, 1] = 50.0
    diffusion[1, 3, 4] = 1.5
    params["D"][..., 0, :, :] = diffusion if time == "layered" else diffusion[1]
    found = rx.amplification(model.with_params(params))
    assert found.cell == (3, 4)
    assert found.layer == (1 if time == "layered" else None)
    assert found.largest == pytest.approx(2.0, rel=1e-12)
    assert found.factor is None
    assert found.modulus.shape == (129, 129)
    table = str(rx.stability(model.with_params(params)))
    assert "frozen" in table
    assert "cell (3, 4)" in table


def test_what_has_no_waves_is_refused_by_name() -> None:
    grid = rx.Grid((6,))
    dense = rx.Relaxation(rx.Dense(grid), depth=2)
    with pytest.raises(ValueError, match="Dense, which is no stencil"):
        rx.amplification(dense)
    square = rx.Relaxation(rx.ADR(grid), depth=2, activation="square")
    with pytest.raises(ValueError, match="square"):
        rx.amplification(square)
    many = rx.Relaxation(rx.ADR(rx.Grid((9, 9, 9)), space="local"), depth=2)
    with pytest.raises(ValueError, match="fewer cells"):
        rx.amplification(many)
    assert "fewer cells" in str(rx.stability(many))
    with pytest.raises(TypeError, match="model"):
        rx.amplification("model")  # type: ignore[arg-type]


def test_relu_is_taken_where_it_is_steep() -> None:
    params = {"R": np.array(0.0), "U": np.zeros(1), "D": np.array([1.5])}
    model = rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=2, activation="relu", omega=0.5)
    found = rx.stability(model.with_params(params))
    assert found.slope == 1.0
    assert float(found.diffusive) == 1.5
    assert found.amplification is not None
    assert found.amplification.largest == pytest.approx(2.0)


@pytest.mark.parametrize("theta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["dense", "wide", "local"])
def test_spectral_radius_by_both_methods(kind: str, theta: float) -> None:
    """All eigenvalues, and Arnoldi's method on more cells, against the matrix of the layer."""
    from relaxon.dynamics import spectrum

    random = np.random.default_rng(0)
    grid = rx.Grid((60,), boundary="neumann", mask=random.random(60) > 0.1)
    operators: dict[str, Any] = {
        "dense": rx.Dense(grid),
        "wide": rx.Banded(grid, radius=2, space="local"),
        "local": rx.ADR(grid, space="local"),
    }
    op = operators[kind]
    omega = random.uniform(0.2, 0.9, 60)
    model = rx.Relaxation(op, depth=2, activation="identity", omega=omega, theta=theta)
    noise = {n: v + 0.2 * random.standard_normal(v.shape) for n, v in model.params.items()}
    model = model.with_params(noise)
    found = rx.stability(model).spectral_radius
    exists = np.asarray(grid.mask)
    matrix = op.to_dense(dict(model.params))[np.ix_(exists, exists)]
    pull = omega[exists, None] * (matrix - np.eye(int(exists.sum())))
    one = np.eye(len(pull))
    layer = np.linalg.solve(one - theta * pull, one + (1 - theta) * pull)
    assert found == pytest.approx(np.abs(np.linalg.eigvals(layer)).max(), rel=1e-10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectrum, "MOST_DENSE", 10)
        assert rx.stability(model).spectral_radius == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize(("ndim", "n"), [(1, 250), (2, 50)])
def test_inequalities_tell_which_layers_grow(ndim: int, n: int) -> None:
    """A sample of bench/stability.py: 2000 layers from noise."""
    waves = bench.check_waves(n, ndim, seed=2)
    assert (waves.n_wrong, waves.n_missed) == (0, 0)
    assert waves.n_near < n / 3
    assert waves.n_damped > n / 20


def test_implicit_layers_from_one_half_on_amplify_no_wave_that_decays() -> None:
    n_grown, peak = bench.check_theta(60, seed=2)
    assert n_grown == 0
    assert peak <= 1.0 + 1e-11


@pytest.mark.parametrize("theta", [0.1, 0.3])
def test_implicit_layers_are_like_explicit_ones_of_smaller_omega(theta: float) -> None:
    random = np.random.default_rng(5)
    grid = rx.Grid((64,))
    n_damped = 0
    for layer in bench.draw_layers(random, 60, 1):
        model = bench.linear_layers(grid, 1, (*layer[:3], 1.5 * layer[3], 2.0 * layer[4]), theta)
        found = rx.stability(model)
        assert found.amplification is not None
        if abs(found.amplification.largest - 1.0) > 2e-3:
            assert bool(found.damps) == (found.amplification.largest < 1.0)
            n_damped += bool(found.damps)
    assert n_damped > 5
