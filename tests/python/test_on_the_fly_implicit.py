"""Training of implicit layers on the fly: its definition, and that its matrix is above the true
one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from on_the_fly_cases import cases, expect, fitted, least_memory, settings
from operators.adr import ADR
from reference_on_the_fly import LayerProblem, Training
from smooth_fields import smooth

# Case of the registry, theta and method.
DEFINED = (
    *((0, 0.5, "newton"), (3, 0.75, "newton"), (4, 0.5, "second-order"), (6, 0.5, "newton")),
    *((7, 0.5, "descent"), (9, 0.5, "newton"), (10, 0.5, "second-order"), (12, 1.0, "newton")),
    *((15, 0.5, "descent"), (16, 0.25, "newton"), (18, 1.0, "newton"), (22, 0.5, "descent")),
    *((14, 0.5, "newton"), (25, 0.5, "newton")),
)


def compare(case: Any, own: dict[str, Any], steps: dict[str, Any]) -> None:
    """The fit with that of the reference, by losses and parameters."""
    with np.errstate(all="ignore"):
        expected = expect(case, **own, **steps)
    fit = fitted(case, own, steps)
    tolerance = 1e-8 if case.dtype == np.float64 else 2e-3
    np.testing.assert_allclose(
        fit.layers.loss + fit.layers.penalty, expected.loss, rtol=tolerance * 10
    )
    exists = case.network.grid.exists
    for name, value in fit.model.params.items():
        wanted = expected.params[name]
        if case.network.is_field(name, wanted[0]):
            value, wanted = value[..., exists], wanted[..., exists]
        assert np.abs(value - wanted).max() <= tolerance * np.abs(wanted).max(), name


@pytest.mark.parametrize(("number", "theta", "method"), DEFINED)
def test_every_method_is_that_of_the_reference(number: int, theta: float, method: str) -> None:
    case = cases()[number]
    case = replace(case, network=replace(case.network, theta=theta))
    compare(case, settings(number), {"method": method, "inner_steps": 2})


def test_an_input_may_be_a_source() -> None:
    case = cases()[12]
    network = replace(case.network, theta=0.5, drive=True, beta=0.0)
    compare(replace(case, network=network), settings(0), {"inner_steps": 2})


def implicit(shape: tuple[int, ...] = (24,), depth: int = 3, **options: Any) -> rx.Relaxation:
    space, scheme = options.pop("space", "local"), options.pop("scheme", "central")
    boundary = options.pop("boundary", "periodic")
    operator = rx.ADR(rx.Grid(shape, boundary=boundary), space=space, scheme=scheme, time="layered")
    return rx.Relaxation(
        operator, **{"depth": depth, "activation": "identity", "theta": 1.0, **options}
    )


def moved(shape: tuple[int, ...] = (24,), samples: int = 30) -> tuple[Any, Any]:
    x = smooth((samples, *shape), 0)
    return x, 0.8 * np.roll(x, 1, axis=1) + 0.1 * smooth((samples, *shape), 1)


@pytest.mark.parametrize("shape", [(24,), (7, 6), (4, 3, 5)], ids=str)
@pytest.mark.parametrize("space", ["local", "homogeneous"])
@pytest.mark.parametrize("theta", [0.5, 1.0])
@pytest.mark.parametrize("activation", ["tanh", "identity"])
def test_the_gradient_is_that_of_the_adjoint(
    shape: tuple[int, ...], space: str, theta: float, activation: str
) -> None:
    options = {"activation": activation, "bias": "local", "beta": 0.1, "boundary": "neumann"}
    model = implicit(shape, depth=1, space=space, theta=theta, **options)
    random = np.random.default_rng(1)
    model = model.with_params(
        {name: 0.2 * random.standard_normal(value.shape) for name, value in model.params.items()}
    )
    x, y = moved(shape)
    loss = rx.Huber(0.5, random.uniform(0.0, 1.0, shape))
    fit = rx.fit_on_the_fly(model, x, y, inner_steps=1, loss=loss)
    value, gradient = model.value_and_grad(x, y, loss=loss)
    norm = np.sqrt(sum(np.sum(g**2) for name, g in gradient.items() if name != "x"))
    assert np.isclose(fit.history.gradient_norm[0], norm, rtol=1e-10)
    assert np.isclose(fit.history.loss[0], value, rtol=1e-12)


# Local coefficients of a monotone operator; the same ones everywhere with U beyond 2 D, where J^-1
# has entries below 0; and shared ones, whose matrix is the true one.
COEFFICIENTS = {
    "monotone": ("tanh", {"D": (0.1, 1.0), "U": (-0.1, 0.1), "R": (-0.2, 0.0)}),
    "even": ("identity", {"D": (0.0, 0.1), "U": (0.5, 0.6), "R": (-0.1, 0.0)}),
    "shared": ("tanh", {"D": (-0.1, 0.3), "U": (-0.5, 0.5), "R": (-0.5, 0.5)}),
}


def one_layer(kind: str, theta: float) -> tuple[LayerProblem, dict[str, Any]]:
    """An implicit layer of the reference, on a line."""
    case = cases()[18]
    activation, ranges = COEFFICIENTS[kind]
    random = np.random.default_rng(2)
    params = {name: value[:1].copy() for name, value in case.wide_params.items()}
    for name, (low, high) in ranges.items():
        lead = params[name].shape
        n_cells = () if kind == "shared" else (11,)
        n_values = (1,) * len(n_cells) if kind == "even" else n_cells
        params[name] = random.uniform(low, high, lead + n_values) * np.ones(n_cells)
    params["bias"] = 0.1 * np.ones((1,) if kind == "shared" else (1, 11))
    grid = case.network.grid
    if kind == "even":
        grid = replace(grid, boundary=(("periodic", "periodic"),), mask=None, _arms={})
    network = replace(
        case.network,
        grid=grid,
        operator=ADR("central"),
        theta=theta,
        activation=activation,
        depth=1,
        omega=np.array(1.5),
    )
    x, y = random.standard_normal((2, 2, 11))
    training = Training(network, x=x, y=y)
    return LayerProblem(training, 0, np.where(grid.exists, x, 0)), params


@pytest.mark.parametrize("kind", COEFFICIENTS)
@pytest.mark.parametrize("theta", [0.5, 1.0])
def test_the_matrix_is_above_that_of_gauss_and_newton(kind: str, theta: float) -> None:
    """So that a step lowers V. That of Gauss and Newton by differentiating the end itself."""
    problem, params = one_layer(kind, theta)
    _, matrix = problem.gradient_and_matrix(params)
    rows = []
    for name, index, is_local in problem.unknowns(params):
        for cell in np.ndindex(problem.z.shape[1:]) if is_local else [()]:
            turned = {key: value + 0j for key, value in params.items()}
            turned[name][(0, *index[1:], *cell) if index else cell] += 1e-30j
            rows.append(problem.output(turned).imag.ravel() / 1e-30)
    tangents = np.array(rows)
    weights = np.broadcast_to(problem.w, problem.z.shape).ravel() * 2 / len(problem.z)
    true = (tangents * weights) @ tangents.T
    if kind == "shared":
        np.testing.assert_allclose(matrix, true, rtol=1e-9, atol=1e-9)
    assert np.linalg.eigvalsh(matrix - true)[0] >= -1e-9 * np.abs(true).max()
    assert np.trace(true) > 0.2 * np.trace(matrix)  # and not far


@pytest.mark.parametrize("method", ["newton", "descent"])
@pytest.mark.parametrize("scheme", ["central", "upwind"])
def test_no_layer_raises_its_loss(method: str, scheme: str) -> None:
    """Whatever the coefficients that it starts from; activations bend, too."""
    x, y = moved()
    for seed in range(6):
        random = np.random.default_rng(seed)
        model = implicit(activation=["tanh", "sin", "gelu"][seed % 3], omega=0.8, scheme=scheme)
        start = {k: 0.4 * random.standard_normal(v.shape) for k, v in model.params.items()}
        start["D"] = np.abs(start["D"])
        fit = rx.fit_on_the_fly(model.with_params(start), 0.3 * x, 0.3 * y, method, inner_steps=3)
        assert np.all(fit.layers.loss <= fit.layers.loss_before * (1 + 1e-14))
        assert fit.layers.loss[0] < 0.95 * fit.layers.loss_before[0]


@pytest.mark.parametrize("method", ["newton", "descent", "second-order"])
def test_a_layer_ends_in_the_minimum_of_its_own_fit(method: str) -> None:
    x, y = moved()
    model = implicit(bias="local", depth=1, theta=0.5)
    steps = {"newton": 150, "descent": 1500, "second-order": 1500}[method]
    fit = rx.fit_on_the_fly(model, x, y, method, inner_steps=steps, friction=0.05)
    gradients = [m.value_and_grad(x, y)[1] for m in (model, fit.model)]
    first, last = (np.sqrt(sum(np.sum(g**2) for g in found.values())) for found in gradients)
    assert last < 2e-3 * first


@pytest.mark.parametrize("options", [{}, {"activation": "tanh", "theta": 0.5, "beta": 0.05}])
def test_records_are_those_of_the_model(options: dict[str, Any]) -> None:
    x, y = moved()
    model = implicit(depth=4, omega=np.linspace(0.3, 0.5, 4), **options)
    fit = rx.fit_on_the_fly(model, x, y)
    profile = rx.depth_profile(fit.model, x, y)
    np.testing.assert_allclose(fit.layers.loss, profile.loss[1:], rtol=1e-10)
    assert np.all(fit.layers.loss < fit.layers.loss_before)
    alone = rx.fit_on_the_fly(model.truncate(1), x, y)
    for name, value in fit.model.params.items():
        np.testing.assert_allclose(alone.model.params[name][0], value[0], rtol=1e-9)


@pytest.mark.parametrize(("shape", "activation"), [((700,), "tanh"), ((20, 17), "identity")])
def test_bits_do_not_depend_on_threads(shape: tuple[int, ...], activation: str) -> None:
    x, y = moved(shape, samples=5)
    model = implicit(shape, theta=0.5, activation=activation, bias="homogeneous", beta=0.01)
    fits = [
        rx.fit_on_the_fly(model, x, y, penalties=[rx.Smoothness(1.0)], threads=threads)
        for threads in (1, 2, 5)
    ]
    assert fits[0] == fits[1] == fits[2]


def test_memory_does_not_depend_on_the_depth() -> None:
    x, y = moved((1024,), samples=16)
    sizes = {least_memory(implicit((1024,), depth), x, y) for depth in (2, 200)}
    assert len(sizes) == 1
    # weights of three arms, 9 sums of every cell, and what the solvers keep of it
    states, sums = 6 * x.nbytes, (3 + 9 + 20) * 1024 * 8
    assert states + sums < sizes.pop() < 1.2 * (states + sums) + 2**17


def test_one_layer_of_large_steps_is_learnt() -> None:
    """Diffusion that explicit layers could not take in one step."""
    x = np.random.default_rng(0).standard_normal((60, 48))
    truth = implicit((48,), depth=1, space="homogeneous", omega=4.0)
    true = {"R": np.array([-0.1]), "U": np.array([[0.3]]), "D": np.array([[1.5]])}
    y = truth.with_params(true)(x)
    fit = rx.fit_on_the_fly(truth, x, y, inner_steps=8, ridge=1e-6)
    assert fit.layers.loss[0] < 1e-6 * fit.layers.loss_before[0]
    for name, value in true.items():
        np.testing.assert_allclose(fit.model.params[name], value, atol=2e-3)


def test_velocities_that_no_layer_checks_are_told_of() -> None:
    x = smooth((100, 64), 0)
    with pytest.raises(rx.DivergenceError, match="method='newton' or 'descent'"):
        rx.fit_on_the_fly(implicit((64,), 20), x, np.roll(x, 4, axis=1), "second-order")


def test_a_layer_without_end_is_told_with_those_before() -> None:
    x, y = moved()
    model = implicit(activation="square", omega=2.0)
    start = {k: np.full_like(v, 0.5) for k, v in model.params.items()}
    with pytest.raises(rx.DivergenceError, match=r"diverged in layer 0: layer 0 does not solve"):
        rx.fit_on_the_fly(model.with_params(start), 5 * x, y)


@pytest.mark.parametrize("space", ["local", "homogeneous"])
@pytest.mark.parametrize("theta", [0.5, 1.0])
def test_transport_is_learnt_in_one_pass(space: str, theta: float) -> None:
    x = smooth((100, 64), 0)
    y = np.roll(x, 4, axis=1)
    fit = rx.fit_on_the_fly(implicit((64,), 10, space=space, theta=theta, omega=0.5), x, y)
    assert fit.layers.loss[-1] / 64 < 0.1 * np.var(y)
