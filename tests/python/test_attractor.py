"""Attractors: recorded cases, derivatives of the equation, statuses, basins."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import registry
import relaxon as rx
from measures import assert_all_close, bits, relative_error

Array = np.ndarray[Any, Any]
Recorded = tuple[registry.Case, Mapping[str, Any], Mapping[str, Array]]


def recorded_cases() -> list[Recorded]:
    entries = json.loads((registry.CONFORMANCE / "dynamics.json").read_text())
    with np.load(registry.CONFORMANCE / "dynamics.npz") as archive:
        arrays = dict(archive)
    found = []
    for entry in entries:
        if entry["kind"] == "attractor":
            case, _, own = registry.conformance_case({**entry, "depth": 1}, arrays)
            found.append((case, entry, own))
    return found


RECORDED = recorded_cases()


def model_of(case: registry.Case, drive: bool, **options: Any) -> rx.Relaxation:
    is_trained = "omega" in case.params
    model = rx.Relaxation(
        case.operator(),
        depth="attractor",
        activation=case.network.activation,
        omega=case.params["omega"] if is_trained else case.network.omega.astype(case.dtype),
        bias=case.bias,
        trainable_omega=is_trained,
        drive=drive,
        dtype=case.dtype,
        attractor=options,
    )
    return model.with_params(dict(case.params))


def test_all_cases_are_here() -> None:
    assert len(RECORDED) == 30


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("recorded", RECORDED, ids=lambda entry: entry[0].name)
def test_recorded_case(recorded: Recorded, dtype: str) -> None:
    case, entry, own = recorded
    case = case.astype(dtype)
    tolerance = {"float64": 1e-11, "float32": 2e-4}[dtype]
    model = model_of(case, entry["drive"], tol={"float64": 1e-13, "float32": 1e-6}[dtype])
    expected = dict(own)
    assert relative_error(model(case.x), expected.pop("output")) <= tolerance
    value, grads = model.value_and_grad(case.x, case.y, loss=case.loss(), input_grad=True)
    assert value == pytest.approx(entry["loss"], rel=tolerance)
    assert_all_close(grads, expected, tolerance)
    if not entry["drive"]:
        assert not grads["x"].any()
    if "omega" in grads and entry["scheme"] != "lax-wendroff":
        assert grads["omega"] == 0.0


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda entry: entry[0].name)
def test_recorded_spectral_radius(recorded: Recorded) -> None:
    case, entry, _ = recorded
    found = rx.attractor(model_of(case, entry["drive"]), case.x, tol=1e-13)
    assert found.success, found.message
    np.testing.assert_allclose(found.spectral_radius(), entry["spectral_radius"], rtol=1e-9)
    assert found.is_stable.all()


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda entry: entry[0].name)
def test_tangents_and_adjoints_belong_together(recorded: Recorded) -> None:
    case, entry, _ = recorded
    model = model_of(case, entry["drive"])
    rng = np.random.default_rng(2)
    dots = {name: rng.standard_normal(p.shape) for name, p in model.params.items()}
    x_dot, y_bar = rng.standard_normal((2, *case.x.shape))
    exists = case.network.grid.exists
    tangent, bars = model.jvp(case.x, dots, x_dot), model.vjp(case.x, y_bar)
    products = [np.sum(bars[name] * dots[name]) for name in dots] + [np.sum(bars["x"] * x_dot)]
    left = np.sum(np.where(exists, tangent * y_bar, 0))
    assert abs(left - sum(products)) <= 1e-12 * max(sum(map(abs, products)), 1e-3)


def small_model(operator: str, shape: tuple[int, ...], **options: Any) -> rx.Relaxation:
    mask = None if len(shape) == 1 else np.arange(np.prod(shape)).reshape(shape) % 5 != 3
    grid = rx.Grid(shape, boundary="neumann", mask=mask)
    op = rx.Dense(grid) if operator == "dense" else rx.ADR(grid, space="local")
    model = rx.Relaxation(op, depth="attractor", bias="local", drive=True, **options)
    if isinstance(op, rx.Dense):
        return model.with_params({"W": 0.5 * model.params["W"]})
    diffusion = np.zeros_like(model.params["D"])
    diffusion[list(op.diagonal())] = 0.7
    return model.with_params({"D": diffusion, "R": np.full(shape, -0.3)})


@pytest.mark.parametrize(("operator", "shape"), [("adr", (24,)), ("adr", (6, 7)), ("dense", (24,))])
def test_taylor_remainders_fall_with_the_square(operator: str, shape: tuple[int, ...]) -> None:
    model = small_model(operator, shape, attractor={"tol": 1e-14})
    x, y = np.random.default_rng(0).standard_normal((2, 3, *shape))
    assert rx.check_gradient(model, x, y).order == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(("operator", "shape"), [("adr", (40,)), ("adr", (6, 7)), ("dense", (20,))])
def test_bits_do_not_depend_on_threads_budget_or_batch(
    operator: str, shape: tuple[int, ...]
) -> None:
    model = small_model(operator, shape)
    x, y = np.random.default_rng(1).standard_normal((2, 7, *shape))
    _, expected = model.value_and_grad(x, y, input_grad=True)
    for threads in (1, 2, 4):
        least = rx.plan(model, 7, threads=threads, input_grad=True).minimum_bytes
        for memory in (None, 2 * least, least):
            _, grads = model.value_and_grad(x, y, input_grad=True, threads=threads, memory=memory)
            assert bits(grads) == bits(expected)
    together, found = model(x), rx.attractor(model, x)
    np.testing.assert_array_equal(found.z, together)
    for sample, alone in zip(x, together, strict=True):
        np.testing.assert_array_equal(model(sample), alone)
        single = rx.attractor(model, sample)
        assert single.z.shape == shape
        assert single.residual.shape == ()
        np.testing.assert_array_equal(single.z, alone)


@pytest.mark.parametrize("activation", ["identity", "tanh", "silu", "softplus", "relu"])
@pytest.mark.parametrize("shape", [(50,), (9, 8)])
def test_methods_agree_within_the_bound(activation: str, shape: tuple[int, ...]) -> None:
    op = rx.ADR(rx.Grid(shape))
    model = rx.Relaxation(op, depth="attractor", drive=True, activation=activation, omega=0.2)
    diffusion = np.zeros_like(model.params["D"])
    diffusion[list(op.diagonal())] = 1.0
    model = model.with_params({"D": diffusion, "R": np.array(-0.5)})
    x = np.random.default_rng(0).standard_normal((4, *shape))
    found = {m: rx.attractor(model, x, method=m) for m in ("newton", "anderson", "relaxation")}
    for method, one in found.items():
        assert one.success, one.message
        assert one.method == method
        assert all(len(h) == n + 1 for h, n in zip(one.history, one.iterations, strict=True))
        assert all(h[-1] == r for h, r in zip(one.history, one.residual, strict=True))
        if activation not in ("silu", "softplus") or one.error_bound is not None:
            assert one.error_bound is not None
            error = np.abs(one.z - found["newton"].z).reshape(4, -1).max(axis=1)
            assert (error <= one.error_bound + 1e-12).all()
        np.testing.assert_allclose(one.z, found["newton"].z, atol=1e-7)
    assert found["newton"].iterations.max() < found["relaxation"].iterations.max()


@pytest.mark.parametrize("drive", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_line_takes_few_arrays(dtype: str, drive: bool) -> None:
    n = 100_000
    model = rx.Relaxation(rx.ADR(rx.Grid((n,))), depth="attractor", drive=drive, dtype=dtype)
    assert rx.plan(model).total_bytes <= 9 * n * np.dtype(dtype).itemsize


@pytest.mark.parametrize("diffusion", [1.0, 10.0, 100.0])
def test_newton_takes_few_steps_whatever_the_diffusion(diffusion: float) -> None:
    op = rx.ADR(rx.Grid((1000,)))
    model = rx.Relaxation(op, depth="attractor", drive=True)
    model = model.with_params({"D": np.full(1, diffusion), "R": np.array(-0.1)})
    x = np.random.default_rng(0).standard_normal((3, 1000))
    found = rx.attractor(model, x, tol=1e-12)
    assert found.success
    assert found.iterations.max() <= 10
    assert found.error_bound is not None
    assert found.error_bound.max() <= 1e-10


def square(b: float, omega: float = 0.5, n: int = 1) -> rx.Relaxation:
    """z = (z - b)^2 in every cell."""
    op = rx.ADR(rx.Grid((n,)))
    model = rx.Relaxation(op, 1, activation="square", omega=omega, bias="homogeneous")
    still = {"R": np.array(0.0), "U": np.zeros(1), "D": np.zeros(1), "bias": np.array(b)}
    return model.with_params(still)


def test_newton_finds_unstable_states_and_says_so() -> None:
    upper = (2 * 0.3 + 1 + np.sqrt(1 + 4 * 0.3)) / 2
    with pytest.warns(RuntimeWarning, match="layers lead away from the state"):
        found = rx.attractor(square(0.3), np.array([upper + 0.05]))
    assert found.success
    assert found.z[0] == pytest.approx(upper, abs=1e-10)
    assert not found.is_stable
    assert found.spectral_radius() == pytest.approx(0.5 + 0.5 * (1 + np.sqrt(2.2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lower = rx.attractor(square(0.3), np.array([0.0]))
    assert lower.is_stable


@pytest.mark.parametrize("omega", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("b", [0.0, 0.3, 1.5])
def test_basins_of_the_square_are_those_of_the_formula(b: float, omega: float) -> None:
    root = np.sqrt(1 + 4 * b)
    low, high = (2 * b + 1 - root) / 2, (2 * b + 1 + root) / 2
    centre = b - (1 - omega) / (2 * omega)
    starts = np.linspace(2 * centre - high - 1, high + 1, 1000)
    inside = (starts > 2 * centre - high) & (starts < high)
    expected = float(np.mean(inside)) if omega * root < 2 else 0.0
    found = rx.attractors(square(b, omega), starts[:, np.newaxis], max_iterations=3000)
    assert found.share.sum() == pytest.approx(expected, abs=0.02)
    assert len(found.z) == (expected > 0)
    assert found.n_lost == np.count_nonzero(found.index < 0)
    if expected:
        assert found.z[0, 0] == pytest.approx(low, abs=1e-8)


def test_a_search_never_raises() -> None:
    nothing = rx.attractor(square(-0.5), np.array([[0.3], [1e200]]))
    assert not nothing.success
    Status = rx.AttractorStatus
    assert nothing.status[0] in (Status.STALLED, Status.MAX_ITERATIONS, Status.SINGULAR)
    assert nothing.status[1] == Status.DIVERGED
    assert np.isfinite(nothing.z[0]).all()
    away = rx.attractor(square(0.3), np.array([3.0]), method="relaxation")
    assert away.status == Status.DIVERGED
    assert np.isfinite(away.z).all()
    few = rx.attractor(small_model("adr", (24,)), np.ones(24), max_iterations=1)
    assert few.status == Status.MAX_ITERATIONS
    assert "max_iterations" in few.message
    neutral = rx.Relaxation(rx.ADR(rx.Grid((8,))), 1, activation="identity", bias="homogeneous")
    flat = {"R": np.array(0.0), "D": np.full(1, 0.25), "U": np.zeros(1), "bias": np.array(1.0)}
    singular = rx.attractor(neutral.with_params(flat), np.zeros(8))
    assert singular.status == Status.SINGULAR


def test_a_tolerance_below_rounding_becomes_that_of_rounding() -> None:
    x = np.random.default_rng(0).standard_normal((3, 24))
    found = rx.attractor(small_model("adr", (24,)), x, tol=1e-30)
    assert found.success
    assert found.at_floor.any()
    assert "floor of rounding" in found.message
    assert found.residual.max() < 1e-14


def test_a_gradient_needs_an_attractor() -> None:
    model = rx.Relaxation(
        square(0.3).operator, depth="attractor", activation="square", bias="homogeneous"
    ).with_params({**square(0.3).params, "bias": np.array(-0.5)})
    x, y = np.array([[0.1], [0.2]]), np.zeros((2, 1))
    with pytest.warns(RuntimeWarning, match="no attractor for sample 0"):
        model(x)
    with pytest.warns(RuntimeWarning, match="no attractor"):
        model.loss(x, y)
    with pytest.raises(rx.AttractorError, match="sample 0") as caught:
        model.value_and_grad(x, y)
    assert caught.value.sample == 0
    assert caught.value.residual > 0
    for call in (lambda **k: model.vjp(x, y, **k), lambda **k: model.jvp(x, {}, x, **k)):
        with pytest.raises(rx.AttractorError):
            call()
    value, grads = model.value_and_grad(x, y, allow_unconverged=True)
    assert np.isfinite(value)
    assert np.isfinite(grads["bias"])
    with pytest.raises(rx.DivergenceError, match="no attractor for sample 0"):
        rx.fit(model, x, y)


def test_fit_finds_the_equation_of_the_targets() -> None:
    op = rx.ADR(rx.Grid((48,)))
    true = {"R": np.array(-0.2), "U": np.array([0.3]), "D": np.array([0.8])}
    model = rx.Relaxation(op, depth="attractor", drive=True)
    x = np.random.default_rng(0).standard_normal((20, 48))
    y = model.with_params(true)(x)
    start = model.with_params({"R": np.array(-0.5), "U": np.zeros(1), "D": np.full(1, 0.3)})
    fit = rx.fit(start, x, y, optimizer=rx.LBFGS(), steps=200, tolerance=1e-9)
    for name, value in true.items():
        np.testing.assert_allclose(fit.model.params[name], value, atol=1e-5)


def test_ends_take_the_source_and_the_attractor() -> None:
    op = rx.ADR(rx.Grid((16,)))
    lift, readout = rx.Lift(n_in=5, activation="tanh"), rx.Readout(n_out=3)
    model = rx.Relaxation(op, "attractor", drive=True, lift=lift, readout=readout)
    x, y = np.ones((4, 5)), np.ones((4, 3))
    x[1] = 0.3
    assert model(x).shape == (4, 3)
    assert rx.check_gradient(model, x, y).order == pytest.approx(2.0, abs=0.05)


def test_models_are_saved_copied_and_shown(tmp_path: Path) -> None:
    model = small_model("adr", (24,), attractor={"method": "anderson", "max_iterations": 77})
    model.save(tmp_path / "m.safetensors")
    loaded = rx.load(tmp_path / "m.safetensors")
    assert loaded == model == pickle.loads(pickle.dumps(model))
    assert loaded != small_model("adr", (24,))
    assert loaded._dynamics == model._dynamics
    assert "depth='attractor'" in repr(model)
    assert "drive=True" in repr(model)
    assert (model.depth, model.n_layers) == ("attractor", 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beta": 0.1}, "beta"),
        ({"theta": 1.0}, "theta"),
        ({"omega": np.full(8, 0.5)}, "omega"),
        ({"lift": rx.Lift(n_in=3)}, "drive=True"),
        ({"attractor": {"tolerance": 1e-3}}, "method, tol, max_iterations"),
        ({"attractor": {"tol": 0.0}}, "tol"),
        ({"attractor": {"method": "euler"}}, "newton"),
        ({"attractor": 3}, "dict"),
        ({"drive": 1}, "drive"),
    ],
)
def test_what_an_attractor_cannot_have_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        rx.Relaxation(rx.ADR(rx.Grid((8,))), depth="attractor", **options)


def test_what_makes_no_sense_is_refused() -> None:
    grid = rx.Grid((8,))
    with pytest.raises(ValueError, match="time='constant'"):
        rx.Relaxation(rx.ADR(grid, time="layered"), depth="attractor")
    with pytest.raises(TypeError, match="'attractor'"):
        rx.Relaxation(rx.ADR(grid), depth="end")
    with pytest.raises(ValueError, match="attractor"):
        rx.Relaxation(rx.ADR(grid), depth=3, attractor={})
    model = rx.Relaxation(rx.ADR(grid), depth="attractor")
    x = np.zeros((2, 8))
    for words, call in (
        ("trajectory", lambda: model.trajectory(x)),
        ("stop", lambda: model(x, stop=0.1)),
        ("truncate", lambda: model.truncate(1)),
        ("profile", lambda: rx.depth_profile(model, x, x)),
        ("depth='auto'", lambda: rx.fit(model, x, x, depth="auto")),
        ("constraint", lambda: rx.fit(model, x, x, constraint="stable")),
        ("no gaps", lambda: rx.fit(model, np.where(np.eye(2, 8), np.nan, x), x)),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(ValueError, match="at"):
        model.loss(x, np.zeros((2, 1, 8)), loss=rx.SquaredDistance(at=(1,)))
    with pytest.raises(ValueError, match="start"):
        rx.attractor(model, x, start=np.zeros((3, 8)))
    with pytest.raises(ValueError, match="layered"):
        rx.attractor(rx.Relaxation(rx.ADR(grid, time="layered"), 3), x)
    with pytest.raises(ValueError, match="theta=0"):
        rx.attractor(rx.Relaxation(rx.ADR(grid), 3, theta=1.0), x, method="relaxation")
    with pytest.raises(ValueError, match="finite numbers"):
        rx.attractor(model, np.full(8, np.nan))
    with pytest.raises(ValueError, match="drive"):
        rx.attractors(rx.Relaxation(rx.ADR(grid), "attractor", drive=True), x)


def test_what_newton_finds_beside_the_layers_is_told_to_the_last_digit() -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((16,))), depth=10, drive=True)
    params = {"R": np.array(-0.3), "U": np.array([0.2]), "D": np.array([1.3])}
    x = np.random.default_rng(0).standard_normal((5, 16))
    with pytest.warns(RuntimeWarning, match="layers lead away"):
        found = rx.attractor(model.with_params(params), x, tol=1e-14)
    assert found.success
    assert not found.is_stable.any()


@pytest.mark.parametrize(("dtype", "tol"), [("float32", None), ("float64", 1e-3)])
def test_one_attractor_is_not_counted_twice_where_the_tolerance_is_wide(
    dtype: str, tol: float | None
) -> None:
    params = {"R": np.array(0.05), "U": np.zeros(1), "D": np.array([0.1])}
    model = rx.Relaxation(rx.ADR(rx.Grid((8,))), 3, activation="tanh", dtype=dtype)
    model = model.with_params({name: value.astype(dtype) for name, value in params.items()})
    starts = np.random.default_rng(0).standard_normal((300, 8)).astype(dtype)
    assert len(rx.attractors(model, starts, tol=tol).z) == 2


def test_what_makes_no_sense_is_refused_by_the_name_of_the_argument() -> None:
    op, x = rx.ADR(rx.Grid((8,))), np.ones((2, 8))
    model = rx.Relaxation(op, depth=3)
    with pytest.raises(ValueError, match="argument 'tol'"):
        rx.attractor(model, x, tol=0.0)
    with pytest.raises(ValueError, match=r"argument 'max_iterations': .* from 1 to 2147483647"):
        rx.attractor(model, x, max_iterations=10**30)
    with pytest.raises(TypeError, match="argument 'starts'"):
        rx.attractors(model, x.astype(np.float32))
    with pytest.raises(ValueError, match="argument 'model': expected one of explicit layers"):
        rx.attractors(rx.Relaxation(op, depth=3, theta=1.0), x)


def test_the_search_of_a_model_is_shown() -> None:
    shown = repr(small_model("adr", (8,), attractor={"tol": 1e-6}))
    assert "attractor={'tol': 1e-06}" in shown
    assert "attractor=" not in repr(small_model("adr", (8,), attractor={}))


@pytest.mark.parametrize("kind", ["line", "plane", "dense"])
@pytest.mark.parametrize("method", ["newton", "anderson", "relaxation"])
def test_huge_sources_do_not_raise_the_floor_of_saturated_rows(kind: str, method: str) -> None:
    """Where f' is 0, rounding of Z leaves nothing in F."""
    shape = (4, 4) if kind == "plane" else (16,)
    grid = rx.Grid(shape)
    op: Any = rx.Dense(grid) if kind == "dense" else rx.ADR(grid)
    model = rx.Relaxation(op, "attractor", omega=0.2, drive=True)
    x = np.random.default_rng(1).standard_normal((1, *shape))
    x.flat[3] = 9.969e36
    found = rx.attractor(model, x, method=method, max_iterations=10_000)
    assert found.success
    z = found.z
    np.testing.assert_allclose(z.flat[3], 1.0, rtol=1e-9)
    matrix = op.to_dense(model.params)
    residual = z.ravel() - np.tanh(matrix @ z.ravel() + x.ravel())
    assert np.abs(residual).max() < 1e-9


@pytest.mark.parametrize("kind", ["line", "plane"])
def test_huge_sources_do_not_raise_the_floor_of_implicit_layers(kind: str) -> None:
    shape = (4, 4) if kind == "plane" else (16,)
    op = rx.ADR(rx.Grid(shape))
    model = rx.Relaxation(op, 1, omega=0.5, theta=1.0, drive=True)
    x = np.random.default_rng(1).standard_normal((1, *shape))
    x.flat[3] = 9.969e36
    z = model(x).ravel()
    moved = np.tanh(op.to_dense(model.params) @ z + x.ravel())
    assert np.abs(1.5 * z - 0.5 * moved).max() < 1e-12
