"""Networks with drive and with hard normalisation: against the reference, and their laws."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import registry
import relaxon as rx
from measures import assert_all_close, bits, relative_error
from operators import ENTRIES

Array = np.ndarray[Any, Any]

# drive, normalization and theta, in turn.
KINDS: tuple[tuple[bool, str | None, float], ...] = (
    (True, None, 0.0),
    (False, "hard", 0.0),
    (True, "hard", 0.0),
    (True, None, 1.0),
    (False, "hard", 0.25),
)


def drawn_cases() -> list[registry.Case]:
    """A part of the registry's samples, each of one of the kinds."""
    cases = []
    for number, case in enumerate(registry.sample()):
        drive, normalization, theta = KINDS[number // 7 % len(KINDS)]
        # Their implicit layers may have no solution.
        grows = case.network.activation in ("square", "relu")
        if number % 7 or (theta and grows):
            continue
        if theta and getattr(case.network.operator, "scheme", "") == "lax-wendroff":
            theta = 0.25
        beta = 0.0 if normalization else case.network.beta
        network = replace(
            case.network, drive=drive, normalization=normalization, theta=theta, beta=beta
        )
        cases.append(replace(case, network=network))
    return cases


CASES = drawn_cases()


def relaxation(op: Any, depth: int, **options: Any) -> rx.Relaxation:
    """A model whose parameters are of order one tenth rather than nearly the identity."""
    model = rx.Relaxation(op, depth, **{"omega": 0.3, **options})
    rng = np.random.default_rng(23)
    return model.with_params(
        {n: p + 0.1 * rng.standard_normal(p.shape) for n, p in model.params.items()}
    )


def test_the_cases_walk_through_everything() -> None:
    networks = [case.network for case in CASES]
    assert len({type(network.operator) for network in networks}) == len(ENTRIES)
    assert {network.grid.ndim for network in networks} == {1, 2, 3}
    assert {network.grid.mask is None for network in networks} == {False, True}
    assert {network.is_layered for network in networks} == {False, True}
    assert {case.at is None for case in CASES} == {False, True}
    assert {case.dtype.name for case in CASES} == {"float32", "float64"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_reference_agrees(case: registry.Case) -> None:
    model = case.model()
    states = case.reference_trajectory()
    assert relative_error(model.trajectory(case.x), states) <= case.tolerance
    assert relative_error(model(case.x), states[:, -1]) <= case.tolerance
    value, grads = model.value_and_grad(case.x, case.y, loss=case.loss(), input_grad=True)
    expected, expected_grads = case.reference_value_and_grad()
    # omega of a layer from 0 drops out of z / |z| where f is the identity.
    for grad in expected_grads.values():
        grad[np.abs(grad) < 1e-15] = 0
    assert value == pytest.approx(expected, rel=case.tolerance)
    assert model.loss(case.x, case.y, case.loss()) == pytest.approx(value, rel=case.tolerance)
    assert_all_close(grads, expected_grads, case.tolerance)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_tangents_and_adjoints_belong_together(case: registry.Case) -> None:
    model = case.model()
    dots = case.direction(3)
    tangent = model.jvp(case.x, {n: d for n, d in dots.items() if n != "x"}, dots["x"])
    assert relative_error(tangent, case.reference_jvp(dots)) <= 10 * case.tolerance
    y_bar = np.random.default_rng(4).standard_normal(tangent.shape).astype(case.dtype)
    bars = model.vjp(case.x, y_bar)

    def product(a: Array, b: Array) -> float:
        # Parameters of masked cells may be infinite; their cotangents are zero.
        return float(np.sum(np.where(a == 0, 0, case.wide(a) * case.wide(b))))

    left = product(np.where(case.network.grid.exists, tangent, 0), y_bar)
    right = sum(product(bars[name], dots[name]) for name in bars)
    scale = sum(abs(product(bars[name], dots[name])) for name in bars)
    assert abs(left - right) <= (1e-12 if case.dtype == np.float64 else 1e-4) * scale


@pytest.mark.parametrize("case", CASES[::4], ids=lambda case: case.name)
def test_bits_do_not_depend_on_threads_or_budget(case: registry.Case) -> None:
    model, loss = case.model(), case.loss()
    _, expected = model.value_and_grad(case.x, case.y, loss=loss, input_grad=True)
    for threads in (1, 2, 4):
        plan = rx.plan(model, len(case.x), threads=threads, at=loss.at, input_grad=True)
        for memory in (None, 2 * plan.minimum_bytes, plan.minimum_bytes):
            _, grads = model.value_and_grad(
                case.x, case.y, loss=loss, input_grad=True, threads=threads, memory=memory
            )
            assert bits(grads) == bits(expected), (threads, memory)


def line(n: int, **options: Any) -> rx.Grid:
    return rx.Grid((n,), boundary=((rx.Dirichlet(0.3), "neumann"),), **options)


def plane() -> rx.Grid:
    mask = np.random.default_rng(2).random((6, 7)) > 0.2
    return rx.Grid((6, 7), boundary=("neumann", "periodic"), mask=mask)


BATCHES = {
    "bundles": (rx.ADR(line(30), space="local"), 7),
    "plane": (rx.ADR(plane(), space="local"), 7),
    "lanes": (rx.ADR(plane()), 150),
    "tiles": (rx.ADR(rx.Grid((9000,)), space="local"), 3),
    "dense": (rx.Dense(line(20)), 7),
}


@pytest.mark.parametrize("normalization", [None, "hard"])
@pytest.mark.parametrize(
    ("name", "theta"),
    # Products with full matrices depend on the batch, their solutions do not.
    [*((n, 0.0) for n in BATCHES if n != "dense"), ("plane", 0.5), ("dense", 0.5)],
)
def test_a_sample_does_not_see_the_others(
    name: str, normalization: str | None, theta: float
) -> None:
    op, batch = BATCHES[name]
    model = relaxation(
        op, 6, drive=True, normalization=normalization, theta=theta, bias="homogeneous"
    )
    x, y_bar = np.random.default_rng(1).standard_normal((2, batch, *model.grid.shape))
    together, bars = model(x), model.vjp(x, y_bar)["x"]
    for i in (0, 2, batch - 1):
        np.testing.assert_array_equal(model(x[i]), together[i])
        np.testing.assert_array_equal(model.vjp(x[i : i + 1], y_bar[i : i + 1])["x"][0], bars[i])


@pytest.mark.parametrize("theta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    "options", [{"drive": True}, {"normalization": "hard"}], ids=["drive", "hard"]
)
@pytest.mark.parametrize("name", ["bundles", "plane", "dense"])
def test_taylor_remainders_fall_with_the_square(
    name: str, options: dict[str, Any], theta: float
) -> None:
    model = relaxation(
        BATCHES[name][0], 4, theta=theta, bias="local", trainable_omega=True, **options
    )
    x, y = np.random.default_rng(0).standard_normal((2, 3, *model.grid.shape))
    assert rx.check_gradient(model, x, y).order == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("theta", [0.0, 1.0])
def test_a_linear_network_ends_where_drive_and_damping_balance(theta: float) -> None:
    op = rx.ADR(line(24))
    model = rx.Relaxation(
        op, 4000, activation="identity", bias="homogeneous", drive=True, theta=theta
    )
    params = {"R": -0.1, "U": [0.05], "D": [0.2], "bias": 0.3}
    model = model.with_params({name: np.array(value) for name, value in params.items()})
    coefficients = {name: model.params[name] for name in ("R", "U", "D")}
    x = np.random.default_rng(3).standard_normal(24)
    w0 = op.apply(coefficients, np.zeros(24))
    expected = np.linalg.solve(op.to_dense(coefficients) - np.eye(24), 0.3 - x - w0)
    np.testing.assert_allclose(model(x), expected, rtol=0, atol=1e-11)
    assert np.all(model.trajectory(x)[0] == 0)


def test_the_first_layer_sees_the_input_alone() -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=1, omega=0.7, drive=True)
    x = np.random.default_rng(4).standard_normal((3, 8))
    np.testing.assert_allclose(model(x), 0.7 * np.tanh(x), rtol=0, atol=1e-15)
    still = rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=3, omega=0.0, drive=True)
    assert np.all(still(x) == 0)
    assert np.all(still.vjp(x, np.ones_like(x))["x"] == 0)


def test_with_a_lift_the_lifted_field_drives() -> None:
    rng = np.random.default_rng(5)
    lifted = relaxation(rx.ADR(plane()), 4, drive=True, lift=rx.Lift(3, "tanh"))
    bare = rx.Relaxation(rx.ADR(plane()), 4, omega=0.3, drive=True)
    own = {name: lifted.params[name] for name in bare.params}
    bare = bare.with_params(own)
    x, y_bar = rng.standard_normal((5, 3)), rng.standard_normal((5, 6, 7))
    weight, shift = lifted.params["lift_weight"], lifted.params["lift_bias"]
    field = np.tanh(x @ weight.T + shift)
    np.testing.assert_allclose(lifted(x), bare(field.reshape(5, 6, 7)), rtol=0, atol=1e-14)
    expected = bare.vjp(field.reshape(5, 6, 7), y_bar)
    pre_bar = expected.pop("x").reshape(5, -1) * (1 - field**2)
    mask = lifted.grid.mask
    assert mask is not None
    pre_bar[:, ~mask.ravel()] = 0
    expected |= {"lift_weight": pre_bar.T @ x, "lift_bias": pre_bar.sum(0), "x": pre_bar @ weight}
    assert_all_close(lifted.vjp(x, y_bar), expected, 1e-12)


def test_an_output_may_stand_where_the_drive_was() -> None:
    x = np.random.default_rng(6).standard_normal((4, 20))
    for op in (rx.ADR(line(20)), rx.Dense(line(20))):
        model = relaxation(op, 5, drive=True)
        expected, place = model(x), x.copy()
        assert model(place, out=place) is place
        np.testing.assert_array_equal(place, expected)


@pytest.mark.parametrize("theta", [0.0, 1.0])
@pytest.mark.parametrize("name", ["dense", "stencil"])
def test_hard_normalisation_ends_in_the_dominant_eigenvector(name: str, theta: float) -> None:
    scipy_linalg = pytest.importorskip("scipy.linalg")
    grid = rx.Grid((12,), spacing=0.5)
    op = rx.Dense(grid) if name == "dense" else rx.ADR(grid, space="local")
    model = rx.Relaxation(
        op, 4000, activation="identity", normalization="hard", theta=theta, omega=0.5, seed=3
    )
    if name == "dense":
        rng = np.random.default_rng(7)
        model = model.with_params({"W": 0.1 * np.abs(rng.standard_normal((12, 12)))})
    else:
        hill = -0.3 * np.cos(2 * np.pi * np.arange(12) / 12)
        model = model.with_params({"R": hill, "U": np.full((1, 12), 0.1)})
    z = model(np.random.default_rng(8).standard_normal(12))
    matrix = op.to_dense({n: p for n, p in model.params.items() if n != "omega"})
    values, vectors = scipy_linalg.eig(matrix)
    moved = 0.5 * (values - 1)
    best = np.argmax(np.abs((1 + (1 - theta) * moved) / (1 - theta * moved)))
    vector = vectors[:, best].real
    vector *= np.sign(vector @ z) / np.sqrt(np.sum(vector**2) * 0.5)
    np.testing.assert_allclose(z, vector, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["plane", "dense", "tiles"])
def test_hard_states_are_of_size_one_and_zero_stays(name: str, dtype: str) -> None:
    # The Dirichlet sides of the others add to zero.
    op = rx.Dense(rx.Grid((20,))) if name == "dense" else BATCHES[name][0]
    model = rx.Relaxation(op, 3, normalization="hard", dtype=dtype)
    x = np.random.default_rng(9).standard_normal((3, *model.grid.shape)).astype(dtype)
    x[1] = 0
    states = model.trajectory(x)
    sizes = np.sqrt(np.sum(states.astype(float) ** 2, axis=tuple(range(2, states.ndim))))
    np.testing.assert_allclose(sizes[::2, 1:], 1.0, rtol=1e-5 if dtype == "float32" else 1e-14)
    assert np.all(states[1] == 0)
    assert np.all(model.vjp(x, np.ones_like(x))["x"][1] == 0)


@pytest.mark.parametrize("name", ["plane", "dense", "tiles"])
def test_overflow_is_seen_where_zeros_would_hide_it(name: str) -> None:
    op = BATCHES[name][0]
    model = rx.Relaxation(op, 2, normalization="hard")
    outputs = model(np.full((2, *op.grid.shape), 1e200))
    exists = np.broadcast_to(True if op.grid.mask is None else op.grid.mask, op.grid.shape)
    assert np.isnan(outputs[:, exists]).all()
    assert np.all(outputs[:, ~exists] == 0)


def test_files_pickles_and_copies_keep_them(tmp_path: Path) -> None:
    for options in ({"drive": True}, {"normalization": "hard", "theta": 0.75}):
        plain = rx.Relaxation(rx.ADR(line(8)), depth=3)
        model = rx.Relaxation(rx.ADR(line(8)), depth=3, **options)
        rx.save(model, tmp_path / "m")
        for other in (rx.load(tmp_path / "m"), pickle.loads(pickle.dumps(model))):
            assert other == model
            assert hash(other) == hash(model)
            assert (other.drive, other.normalization) == (model.drive, model.normalization)
        assert model != plain
        for name, value in options.items():
            assert f"{name}={value!r}" in repr(model)
            assert name not in repr(plain)
        finer = model.with_grid(line(16, spacing=0.5)).astype("float32")
        assert (finer.drive, finer.normalization) == (model.drive, model.normalization)


def test_files_without_them_are_what_they_were(tmp_path: Path) -> None:
    rx.save(rx.Relaxation(rx.ADR(line(8)), depth=3), tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    assert b"drive" not in content
    assert b"normalization" not in content
    assert not rx.load(tmp_path / "m").drive


@pytest.mark.parametrize(
    ("settings", "error", "rule"),
    [
        ({"drive": 1}, TypeError, "argument 'drive': expected True or False, got 1"),
        ({"drive": "yes"}, TypeError, "argument 'drive': expected True or False"),
        ({"normalization": "soft"}, ValueError, "argument 'normalization': expected one of 'hard'"),
        ({"normalization": True}, (TypeError, ValueError), "argument 'normalization'"),
        (
            {"normalization": "hard", "beta": 0.1},
            ValueError,
            "argument 'normalization': expected None beside the soft normalisation, beta > 0",
        ),
    ],
)
def test_refused(settings: dict[str, Any], error: Any, rule: str) -> None:
    for theta in (0.0, 1.0):
        with pytest.raises(error, match=rule):
            rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=2, theta=theta, **settings)


def test_a_fit_finds_what_drove() -> None:
    """A source that acts in every layer leaves other traces than a starting state."""
    truth = relaxation(rx.ADR(rx.Grid((16,))), 6, drive=True, activation="identity")
    x = np.random.default_rng(10).standard_normal((20, 16))
    start = rx.Relaxation(rx.ADR(rx.Grid((16,))), 6, drive=True, omega=0.3, activation="identity")
    fit = rx.fit(start, x, truth(x), optimizer=rx.LBFGS(), steps=200, memory="64 KiB")
    assert_all_close(dict(fit.model.params), dict(truth.params), 1e-4)
    assert fit.model.drive


def test_the_command_line_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("typer")
    pytest.importorskip("matplotlib")
    from relaxon import cli

    x = np.random.default_rng(11).standard_normal((13, 8))
    np.savez(tmp_path / "pairs.npz", x=x[:-1], y=x[1:])
    command = ["fit", str(tmp_path / "pairs.npz"), "--steps", "2", "--drive"]
    more = ["--normalization", "hard", "--theta", "0.5", "--depth", "3"]
    assert cli.main([*command, *more, "--out", str(tmp_path / "out")]) == 0
    model = rx.load(tmp_path / "out" / "model.safetensors")
    assert (model.drive, model.normalization, model.theta) == (True, "hard", 0.5)
    capsys.readouterr()
    assert cli.main([*command, "--normalization", "soft", "--out", str(tmp_path / "no")]) == 2
    assert "argument 'normalization': expected one of 'hard'" in capsys.readouterr().err
    assert cli.main([*command, *more, "--beta", "0.1", "--out", str(tmp_path / "no")]) == 2
    assert "take one of the two" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:2 steps did not")
def test_the_estimator_takes_them() -> None:
    pytest.importorskip("sklearn")
    import relaxon.sklearn as estimators

    x = np.random.default_rng(12).standard_normal((20, 6))
    settings: dict[str, Any] = {"drive": True, "normalization": "hard"}
    fitted = estimators.RelaxationRegressor(rx.Grid((6,)), depth=2, steps=2, **settings).fit(x, x)
    assert (fitted.model_.drive, fitted.model_.normalization) == (True, "hard")
