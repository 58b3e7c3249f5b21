"""Implicit layers against the reference, their laws, and what is refused."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reference
import registry
import relaxon as rx
from measures import assert_all_close, relative_error
from operators import ENTRIES

Array = np.ndarray[Any, Any]

# Weights of the layers' ends, in turn.
THETAS = (0.5, 1.0, 0.25)


def with_theta(case: registry.Case, theta: float) -> registry.Case:
    return replace(case, network=replace(case.network, theta=theta))


def implicit_cases() -> list[registry.Case]:
    """A part of the registry's samples, each with a theta that its scheme takes."""
    cases = []
    for number, case in enumerate(registry.sample()):
        # z^2 has layers without a solution; a test of its own is about them.
        if number % 4 or case.network.activation == "square":
            continue
        is_bound = getattr(case.network.operator, "scheme", "") == "lax-wendroff"
        theta = 0.25 if is_bound else THETAS[number // 4 % len(THETAS)]
        cases.append(with_theta(case, theta))
    return cases


CASES = implicit_cases()


def test_the_cases_walk_through_everything() -> None:
    operators = {type(case.network.operator).__name__ for case in CASES}
    assert len(operators) == len(ENTRIES)
    assert {case.network.theta for case in CASES} == set(THETAS)
    assert {case.network.grid.ndim for case in CASES} == {1, 2, 3}
    assert {case.network.is_layered for case in CASES} == {False, True}
    assert {case.network.grid.mask is None for case in CASES} == {False, True}
    assert len(CASES) > 100


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_reference_agrees(case: registry.Case) -> None:
    model = case.model()
    states = case.reference_trajectory()
    assert relative_error(model.trajectory(case.x), states) <= case.tolerance
    value, grads = model.value_and_grad(case.x, case.y, loss=case.loss(), input_grad=True)
    expected, expected_grads = case.reference_value_and_grad()
    assert value == pytest.approx(expected, rel=case.tolerance)
    assert_all_close(grads, expected_grads, case.tolerance)


@pytest.mark.parametrize("case", CASES[::3], ids=lambda case: case.name)
def test_tangents_and_adjoints_belong_together(case: registry.Case) -> None:
    model = case.model()
    dots = case.direction(3)
    tangent = model.jvp(case.x, {n: d for n, d in dots.items() if n != "x"}, dots["x"])
    assert relative_error(tangent, case.reference_jvp(dots)) <= 10 * case.tolerance
    y_bar = np.random.default_rng(4).standard_normal(tangent.shape).astype(case.dtype)
    exists = case.network.grid.exists
    bars = model.vjp(case.x, y_bar)

    def product(a: Array, b: Array) -> float:
        # Parameters of masked cells may be infinite; their cotangents are zero.
        return float(np.sum(np.where(a == 0, 0, case.wide(a) * case.wide(b))))

    left = product(np.where(exists, tangent, 0), y_bar)
    right = sum(product(bars[name], dots[name]) for name in bars)
    scale = sum(abs(product(bars[name], dots[name])) for name in bars)
    assert abs(left - right) <= (1e-12 if case.dtype == np.float64 else 1e-4) * scale


@pytest.mark.parametrize("case", CASES[::5], ids=lambda case: case.name)
def test_bits_do_not_depend_on_threads_budget_or_batch(case: registry.Case) -> None:
    model, loss = case.model(), case.loss()
    _, expected = model.value_and_grad(case.x, case.y, loss=loss, input_grad=True)
    for threads in (1, 2, 4):
        least = rx.plan(
            model, len(case.x), threads=threads, at=loss.at, input_grad=True
        ).minimum_bytes
        for memory in (None, 2 * least, least):
            _, grads = model.value_and_grad(
                case.x, case.y, loss=loss, input_grad=True, threads=threads, memory=memory
            )
            for name, grad in grads.items():
                np.testing.assert_array_equal(grad, expected[name], f"{name}, {threads}, {memory}")
    together = model(case.x)
    for sample, alone in zip(case.x, together, strict=True):
        np.testing.assert_array_equal(model(sample), alone)


@pytest.mark.parametrize("theta", [0.5, 1.0])
@pytest.mark.parametrize("shape", [(24,), (6, 7)])
@pytest.mark.parametrize("operator", ["adr", "dense"])
def test_taylor_remainders_fall_with_the_square(
    operator: str, shape: tuple[int, ...], theta: float
) -> None:
    mask = None if len(shape) == 1 else np.arange(42).reshape(shape) % 5 != 3
    grid = rx.Grid(shape, boundary="neumann", mask=mask)
    op = rx.Dense(grid) if operator == "dense" else rx.ADR(grid, space="local", time="layered")
    model = rx.Relaxation(op, depth=4, theta=theta, trainable_omega=True, bias="local")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, *shape))
    check = rx.check_gradient(model, x, y)
    assert check.order == pytest.approx(2.0, abs=0.05)


def test_a_layer_solves_its_equation() -> None:
    grid = rx.Grid((40,), boundary="neumann")
    op = rx.ADR(grid, space="local")
    model = rx.Relaxation(op, depth=1, theta=0.5, omega=3.0, bias="homogeneous", seed=3)
    large = {"D": np.full((1, 40), 10.0), "bias": np.array(0.3)}
    model = model.with_params(large)
    z = np.random.default_rng(1).standard_normal((5, 40))
    z_next = model(z)

    def moved(state: Array) -> Array:
        operator = {name: model.params[name] for name in ("R", "U", "D")}
        pre = op.apply(operator, state) - model.params["bias"]
        return np.asarray(3.0 * (np.tanh(pre) - state))

    left = z_next - 0.5 * moved(z_next)
    np.testing.assert_allclose(left, z + 0.5 * moved(z), rtol=0, atol=1e-12)


def test_diffusion_far_beyond_the_explicit_bound_decays() -> None:
    """The amplification of every wave is that of the formula."""
    n, d = 32, 25.0
    op = rx.ADR(rx.Grid((n,)))
    x = np.random.default_rng(2).standard_normal((3, n))
    x_hat = np.fft.rfft(x)
    rate = -2 * d * (1 - np.cos(2 * np.pi * np.arange(n // 2 + 1) / n))
    for theta in (0.5, 1.0):
        model = rx.Relaxation(op, depth=3, activation="identity", omega=0.8, theta=theta)
        model = model.with_params({"D": np.array([d]), "U": np.zeros(1), "R": np.array(0.0)})
        growth = (1 + 0.8 * (1 - theta) * rate) / (1 - 0.8 * theta * rate)
        expected = np.fft.irfft(growth**3 * x_hat, n)
        np.testing.assert_allclose(model(x), expected, rtol=0, atol=1e-12)
        stability = rx.explain(model).stability
        assert stability is not None
        assert stability.share == 0.0
        assert float(stability.diffusive) == 0.0


def test_a_negative_diffusion_is_told_whatever_theta() -> None:
    op = rx.ADR(rx.Grid((16,)))
    model = rx.Relaxation(op, depth=2, activation="identity", theta=1.0)
    stability = rx.explain(model.with_params({"D": np.array([-0.1])})).stability
    assert stability is not None
    assert stability.share == 1.0


def test_theta_zero_is_the_explicit_model() -> None:
    op = rx.ADR(rx.Grid((16,)))
    assert rx.Relaxation(op, depth=2, theta=0.0) == rx.Relaxation(op, depth=2)
    assert "theta" not in repr(rx.Relaxation(op, depth=2))


def test_files_pickles_and_copies_keep_theta(tmp_path: Path) -> None:
    grid = rx.Grid((4, 5), mask=np.arange(20).reshape(4, 5) != 7)
    model = rx.Relaxation(
        rx.ADR(grid, space="local"), depth=3, theta=0.75, omega=2.5, bias="local", dtype="float32"
    )
    assert "theta=0.75" in repr(model)
    rx.save(model, tmp_path / "m")
    for other in (rx.load(tmp_path / "m"), pickle.loads(pickle.dumps(model))):
        assert other == model
        assert other.theta == 0.75
    assert model.astype("float64").theta == 0.75
    assert model != rx.Relaxation(rx.ADR(grid, space="local"), depth=3)


def test_lift_and_readout_stand_around_implicit_layers() -> None:
    model = rx.Relaxation(
        rx.ADR(rx.Grid((12,))), depth=3, theta=1.0, lift=rx.Lift(3, "tanh"), readout=rx.Readout(2)
    )
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((6, 3)), rng.standard_normal((6, 2))
    assert rx.check_gradient(model, x, y).order == pytest.approx(2.0, abs=0.05)


def test_a_layer_without_solution_names_layer_and_sample() -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=3, activation="square", theta=1.0, omega=4.0)
    x = np.zeros((4, 8))
    x[2] = 5.0
    with pytest.raises(ArithmeticError, match="layer 0 does not solve for sample 2") as caught:
        model(x)
    error: Any = caught.value
    assert type(error) is rx.LayerError
    assert (error.layer, error.sample) == (0, 2)
    assert error.residual > 0
    assert pickle.loads(pickle.dumps(error)).sample == 2
    for threads in (1, 2):
        with pytest.raises(rx.LayerError, match="sample 2"):
            model.value_and_grad(x, x, threads=threads)


def test_a_fit_turns_back_where_a_layer_does_not_solve() -> None:
    grid = rx.Grid((8,))
    model = rx.Relaxation(rx.ADR(grid), depth=2, activation="square", theta=1.0, omega=0.2)
    rng = np.random.default_rng(6)
    x = 0.1 * rng.standard_normal((5, 8))
    fit = rx.fit(model, x, 0.5 * x, optimizer=rx.SteepestDescent(rate=1e3), steps=5)
    assert np.isfinite(fit.history.loss).all()
    bad = np.full((5, 8), 50.0)
    with pytest.raises(rx.DivergenceError, match="layer 0 does not solve") as caught:
        rx.fit(model, bad, bad, optimizer=rx.SteepestDescent(rate=1.0), steps=3)
    assert caught.value.model == model


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"theta": 1.5}, "argument 'theta': expected 0 <= theta <= 1, got 1.5"),
        ({"theta": -0.5}, "argument 'theta': expected a number of at least 0"),
        ({"theta": np.nan}, "argument 'theta': expected a finite number"),
        ({"theta": 0.25, "omega": 2.5}, "argument 'omega': expected 0 <= omega < 2"),
        ({"theta": 1.0, "omega": -0.1}, "argument 'omega': expected 0 <= omega < inf"),
        ({"theta": 1.0, "omega": np.inf}, "argument 'omega': expected 0 <= omega < inf"),
    ],
)
def test_refused(settings: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=2, **settings)


def test_refused_beside_the_scheme() -> None:
    op = rx.ADR(rx.Grid((8,)), scheme="lax-wendroff")
    rx.Relaxation(op, depth=2, theta=0.5)
    with pytest.raises(ValueError, match="argument 'theta': expected theta <= 1/2"):
        rx.Relaxation(op, depth=2, theta=0.6)
    with pytest.raises(TypeError, match="argument 'theta': expected a real number"):
        rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=2, theta="half")  # type: ignore[arg-type]


def test_the_reference_reads_its_own_theta() -> None:
    """A theta that were ignored on both sides would pass unseen."""
    case = CASES[0]
    explicit = with_theta(case, 0.0)
    assert relative_error(case.reference_trajectory(), explicit.reference_trajectory()) > 1e-3
    assert reference.Network.theta == 0.0
