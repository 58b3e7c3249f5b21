"""Rates per unit of time: gamma in the place of omega, against the reference and its laws."""

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
from measures import assert_all_close, bits, relative_error, taylor_order
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import DataTraits, Options
from relaxon.physics.tables import readable_rows

Array = np.ndarray[Any, Any]

DT = 0.25


def gamma_cases() -> list[registry.Case]:
    """A part of the registry's samples whose rate is given as gamma: all kinds of omega."""
    cases = []
    for number, case in enumerate(registry.sample()):
        # z^2 has implicit layers without a solution.
        if number % 12 or case.network.activation == "square":
            continue
        network, params = case.network, dict(case.params)
        is_bound = getattr(network.operator, "scheme", "") == "lax-wendroff"
        theta = (0.0, 0.25 if is_bound else 0.5)[number // 12 % 2]
        gamma = -np.log(1.0 - np.asarray(params.pop("omega", network.omega), np.float64)) / DT
        network = replace(network, omega=gamma, dt=DT, theta=theta)
        if number // 12 % 3:
            params["gamma"] = gamma.astype(case.dtype)
        cases.append(replace(case, network=network, params=params))
    return cases


CASES = gamma_cases()


def small(**options: Any) -> rx.Relaxation:
    mask = np.ones((4, 5), bool)
    mask[1, 2] = False
    op = rx.ADR(rx.Grid((4, 5), mask=mask), space="local", scheme="lax-wendroff")
    return rx.Relaxation(op, **{"depth": 3, "dt": DT, "gamma": 1.5, "seed": 2} | options)


def samples(shape: tuple[int, ...] = (4, 5), n: int = 6) -> tuple[Array, Array]:
    random = np.random.default_rng(0)
    return random.standard_normal((n, *shape)), random.standard_normal((n, *shape))


def test_the_cases_walk_through_everything() -> None:
    assert len(CASES) > 30
    assert {case.network.omega.ndim for case in CASES} >= {0, 1, 2}
    assert {"gamma" in case.params for case in CASES} == {False, True}
    assert {case.network.theta > 0 for case in CASES} == {False, True}
    assert {case.network.grid.ndim for case in CASES} == {1, 2, 3}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_reference_agrees(case: registry.Case) -> None:
    model = case.model()
    assert relative_error(model.trajectory(case.x), case.reference_trajectory()) <= case.tolerance
    value, grads = model.value_and_grad(case.x, case.y, loss=case.loss(), input_grad=True)
    expected, expected_grads = case.reference_value_and_grad()
    assert value == pytest.approx(expected, rel=case.tolerance)
    assert_all_close(grads, expected_grads, case.tolerance)
    dots = case.direction(3)
    tangent = model.jvp(case.x, {n: d for n, d in dots.items() if n != "x"}, dots["x"])
    assert relative_error(tangent, case.reference_jvp(dots)) <= 10 * case.tolerance


def test_the_adjoint_of_the_reference_is_its_complex_step() -> None:
    case = next(c for c in CASES if "gamma" in c.params and c.dtype == "float64")
    y_bar = np.where(case.network.grid.exists, np.random.default_rng(1).random(case.x.shape), 0)
    bars = case.reference_vjp(y_bar)
    dot = {"gamma": np.random.default_rng(2).random(case.params["gamma"].shape)}
    tangent = reference.jvp(case.network, case.wide_params, case.wide(case.x), dot)
    assert np.sum(bars["gamma"] * dot["gamma"]) == pytest.approx(np.sum(tangent * y_bar), rel=1e-11)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(), (3,), (4, 5)])
def test_it_has_the_bits_of_its_omega(shape: tuple[int, ...], dtype: str) -> None:
    x, y = (a.astype(dtype) for a in samples())
    gamma = np.random.default_rng(3).uniform(0.0, 4.0, shape)
    model = small(gamma=gamma, dtype=dtype, trainable_omega=True)
    omega = model.omega
    assert omega.shape == shape
    assert omega.dtype == dtype
    rate = np.asarray(model.gamma, np.float64)
    np.testing.assert_allclose(omega, 1.0 - np.exp(-rate * DT), rtol=1e-5)
    plain = small(gamma=None, omega=omega, dtype=dtype, trainable_omega=True)
    assert np.array_equal(model(x), plain(x))
    value, grads = model.value_and_grad(x, y, input_grad=True)
    value_of_omega, others = plain.value_and_grad(x, y, input_grad=True)
    assert value == value_of_omega
    bar = grads.pop("gamma")
    factor = DT * np.exp(-rate * DT)
    np.testing.assert_allclose(bar, factor * others.pop("omega"), rtol=1e-5, atol=1e-7)
    assert bits(grads) == bits(others)


def test_budgets_and_threads_do_not_show() -> None:
    x, y = samples()
    model = small(depth=40, trainable_omega=True, gamma=np.full((4, 5), 0.3))
    least = rx.plan(model, len(x), threads=1).minimum_bytes
    value, grads = model.value_and_grad(x, y)
    for threads in (1, 2):
        memory = rx.plan(model, len(x), threads=threads).minimum_bytes
        again, others = model.value_and_grad(x, y, memory=memory, threads=threads)
        assert again == value
        assert bits(others) == bits(grads)
    with pytest.raises(ValueError, match="memory"):
        model.value_and_grad(x, y, memory=least - 1, threads=1)


def test_masked_cells_may_hold_anything() -> None:
    x, y = samples()
    gamma = np.full((4, 5), 1.0)
    gamma[1, 2] = np.nan
    model = small(gamma=gamma, trainable_omega=True)
    _, grads = model.value_and_grad(x, y)
    assert grads["gamma"][1, 2] == 0.0
    assert np.isfinite(grads["gamma"]).all()
    assert np.isfinite(model.jvp(x, {"gamma": np.ones((4, 5))})).all()


def test_the_taylor_remainder_is_of_second_order() -> None:
    x, y = samples()
    model = small(trainable_omega=True)
    slope = float(model.value_and_grad(x, y)[1]["gamma"])
    moved = lambda h: model.with_params({"gamma": np.array(1.5 + h)}).loss(x, y)  # noqa: E731
    assert taylor_order(moved, slope) == pytest.approx(2.0, abs=0.1)


def test_ends_and_readings() -> None:
    x, y = samples()
    op = rx.ADR(rx.Grid((7,)))
    ends: dict[str, Any] = {"lift": rx.Lift(20, "tanh"), "readout": rx.Readout(3, "identity")}
    model = rx.Relaxation(op, 2, gamma=2.0, dt=0.5, trainable_omega=True, **ends)
    assert list(model.params)[-1] == "gamma"
    check = rx.check_gradient(model, x.reshape(6, 20), y[:, 0, :3].copy())
    assert check.order == pytest.approx(2.0, abs=0.1)
    names = [row.process for row in rx.explain(model).table()]
    assert "gamma" in names
    assert "omega" not in names


@pytest.mark.parametrize(
    "optimizer",
    [rx.SteepestDescent(1e-3), rx.Adam(1e-3), rx.LBFGS()],
    ids=lambda o: type(o).__name__,
)
def test_training_finds_the_rate(optimizer: Any) -> None:
    x, _ = samples((16,), 20)
    options: dict[str, Any] = {"depth": 4, "activation": "identity", "dt": 0.5}
    teacher = rx.Relaxation(rx.ADR(rx.Grid((16,))), gamma=0.8, **options)
    start = rx.Relaxation(rx.ADR(rx.Grid((16,))), gamma=0.3, trainable_omega=True, **options)
    start = start.with_params(teacher.params)
    is_exact = isinstance(optimizer, rx.LBFGS)
    steps = 60 if is_exact else 5
    kept = {"R": False, "U": False, "D": False}
    bounds = {"gamma": (0.0, 5.0)}
    fit = rx.fit(
        start, x, teacher(x), optimizer=optimizer, steps=steps, trainable=kept, bounds=bounds
    )
    assert fit.history.loss[-1] < fit.history.loss[0]
    found = float(fit.model.params["gamma"])
    assert fit.model.omega == pytest.approx(1.0 - np.exp(-0.5 * found))
    if is_exact:
        assert found == pytest.approx(0.8, rel=1e-4)


def test_standard_errors_are_those_of_omega_carried_over() -> None:
    x, _ = samples((16,), 20)
    options: dict[str, Any] = {"depth": 3, "activation": "identity", "trainable_omega": True}
    op = rx.ADR(rx.Grid((16,)))
    by_gamma = rx.Relaxation(op, gamma=0.8, dt=0.5, time_unit="h", **options)
    by_omega = rx.Relaxation(op, omega=by_gamma.omega, dt=0.5, time_unit="h", **options)
    y = by_omega(x) + 0.1 * np.random.default_rng(5).standard_normal(x.shape)
    tables = [
        {row.process: row for row in rx.explain(model, data=(x, y)).table()}
        for model in (by_gamma, by_omega)
    ]
    gamma, omega = tables[0].pop("gamma"), tables[1].pop("omega")
    assert gamma.unit == "1/h"
    assert gamma.standard_error is not None
    assert omega.standard_error is not None
    slope = 0.5 * np.exp(-0.8 * 0.5)
    assert gamma.standard_error * slope == pytest.approx(omega.standard_error, rel=1e-6)
    for name, row in tables[0].items():
        if row.standard_error is not None:
            assert row.standard_error == pytest.approx(tables[1][name].standard_error, rel=1e-6)


@pytest.mark.parametrize("is_trained", [False, True])
def test_copies_files_and_pickles(is_trained: bool, tmp_path: Path) -> None:
    model = small(gamma=np.full((4, 5), 0.7), trainable_omega=is_trained)
    path = tmp_path / "model.safetensors"
    model.save(path)
    for other in (rx.load(path), pickle.loads(pickle.dumps(model))):
        assert other == model
        assert hash(other) == hash(model)
        assert other.gamma is not None
        assert np.array_equal(other.omega, model.omega)
    assert model != small(gamma=None, omega=model.omega, trainable_omega=is_trained)
    assert model != small(gamma=model.gamma, trainable_omega=is_trained, dt=2 * DT)
    assert "gamma=<(4, 5)>, dt=0.25" in repr(model)
    narrow = model.astype("float32").gamma
    assert narrow is not None
    assert np.array_equal(narrow, np.full((4, 5), 0.7, np.float32))
    assert model.astype("float32").omega.dtype == np.float32


def test_a_grid_of_other_spacing_keeps_it() -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((16,))), 2, gamma=0.5, dt=2.0)
    finer = model.with_grid(model.grid.replace(shape=(32,), spacing=0.5))
    assert finer.gamma == 0.5
    cells = rx.Relaxation(rx.ADR(rx.Grid((16,))), 2, gamma=np.full(16, 0.5))
    with pytest.raises(ValueError, match="as gamma of the model belong to its cells"):
        cells.with_grid(model.grid.replace(shape=(32,), spacing=0.5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 1.0, "omega": 0.5}, "argument 'gamma': expected None beside omega, got 1.0"),
        ({"gamma": -0.1}, r"argument 'gamma': expected 0 <= gamma < inf, got -0.1"),
        ({"gamma": np.inf}, r"argument 'gamma': expected 0 <= gamma < inf, got inf"),
        ({"gamma": np.ones(7)}, "argument 'gamma': expected a number"),
        ({"gamma": "fast"}, "argument 'gamma': expected a number or an array of numbers"),
    ],
)
def test_what_is_no_rate_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        small(**options)


def test_names_that_are_not_parameters_say_so() -> None:
    model = small()
    with pytest.raises(ValueError, match="the model's gamma is not trainable"):
        model.with_params({"gamma": np.array(1.0)})
    with pytest.raises(ValueError, match="the model has gamma"):
        model.with_params({"omega": np.array(1.0)})
    with pytest.raises(ValueError, match="the model has omega"):
        small(gamma=None).with_params({"gamma": np.array(1.0)})


def test_the_command_line_takes_one_of_both() -> None:
    data = DataTraits()
    Options(gamma=0.3).check_effects(data)
    assert "omega" not in Options(gamma=0.3).settings(data)
    assert Options().settings(data)["omega"] == 0.5
    with pytest.raises(ValueError, match="argument 'omega': expected no value beside --gamma"):
        Options(gamma=0.3, omega=0.5).check_effects(data)


def test_the_command_line_reads_the_unit_of_printed_rates() -> None:
    data = rx.datasets.sst().series()
    options = Options(gamma=2.0, depth=4, steps=2, trainable_omega=True)
    experiment = Experiment(options, data)
    assert experiment.model.omega == pytest.approx(1.0 - np.exp(-2.0 / 4))
    fit, explanation = experiment.learn()
    (row,) = [row for row in readable_rows(explanation) if row.process == "gamma"]
    assert row.unit == "1/month"
    assert row.median == pytest.approx(-4 * np.log(1.0 - float(fit.model.omega)))
    # With twice the layers it stays, and omega follows.
    deep = Experiment(replace(options, depth=8), data).model
    assert deep.omega == pytest.approx(1.0 - np.exp(-2.0 / 8))


def test_frameworks_take_it() -> None:
    x, _ = samples((4, 5), 2)
    torch = pytest.importorskip("torch")
    from relaxon.torch import RelaxationLayer

    for is_trained in (False, True):
        model = small(trainable_omega=is_trained)
        layer = RelaxationLayer(model)
        y = layer(torch.from_numpy(x))
        assert np.array_equal(y.detach().numpy(), model(x))
        y.sum().backward()
        if is_trained:
            bars = model.vjp(x, np.ones_like(x))
            assert float(layer.gamma.grad) == float(bars["gamma"])


def test_jax_takes_it() -> None:
    jax = pytest.importorskip("jax")
    from relaxon.jax import relaxation

    x = samples((4, 5), 2)[0].astype(np.float32)
    for is_trained in (False, True):
        model = small(dtype="float32", trainable_omega=is_trained)
        f = relaxation(model)
        assert np.array_equal(np.asarray(f(dict(model.params), x)), model(x))
        bars = jax.grad(lambda p, f=f: f(p, x).sum())(dict(model.params))
        if is_trained:
            own = model.vjp(x, np.ones_like(x))
            assert float(bars["gamma"]) == float(own["gamma"])


def test_the_regressor_takes_it() -> None:
    pytest.importorskip("sklearn")
    from relaxon.sklearn import RelaxationRegressor

    x = np.random.default_rng(0).standard_normal((30, 6))
    found = RelaxationRegressor(gamma=0.7, dt=2.0, steps=20, tolerance=0.1).fit(x, x[:, 0])
    assert float(found.model_.omega) == pytest.approx(1.0 - np.exp(-1.4))
