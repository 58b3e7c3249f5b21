"""Training on the fly against its definition in plain NumPy, and the laws it obeys."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from interruption import run_interrupted
from on_the_fly_cases import N_CASES, cases, expect, fitted, least_memory, settings
from relaxon import _core
from smooth_fields import smooth

METHODS = {"newton": 2, "descent": 3, "second-order": 4}


@pytest.mark.parametrize("number", range(N_CASES))
def test_every_method_is_that_of_the_reference(number: int) -> None:
    case, own = cases()[number], settings(number)
    method = list(METHODS)[number % 4 % 3]
    steps = {"method": method, "inner_steps": METHODS[method]}
    with np.errstate(all="ignore"):
        expected = expect(case, **own, **steps)
    if not max(expected.loss) < 5 * expected.loss_before[0]:
        return  # what runs away is no number to compare
    fit = fitted(case, own, steps)
    tolerance = 1e-8 if case.dtype == np.float64 else 2e-3
    exists = case.network.grid.exists
    for name, value in fit.model.params.items():
        wanted = expected.params[name]
        if case.network.is_field(name, wanted[0]):
            value, wanted = value[..., exists], wanted[..., exists]
        scale = np.abs(wanted).max()
        assert np.abs(value - wanted).max() <= tolerance * scale, name
    total = fit.layers.loss + fit.layers.penalty
    np.testing.assert_allclose(total, expected.loss, rtol=tolerance * 10)
    before = fit.history.loss + fit.history.penalty
    np.testing.assert_allclose(before, expected.loss_before, rtol=tolerance * 10)
    np.testing.assert_allclose(
        fit.layers.kinetic_energy, expected.kinetic_energy, rtol=tolerance * 100, atol=1e-300
    )


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_input_may_be_a_source(number: int) -> None:
    case = next(c for c in cases()[number::3] if c.dtype == np.float64 and c.bias is not None)
    network = replace(case.network, drive=True, activation="tanh", beta=0.0)
    case = replace(case, network=network)
    expected = expect(case, inner_steps=2)
    loss = rx.SquaredDistance(case.weights)
    fit = rx.fit_on_the_fly(case.model(), case.x, case.y, inner_steps=2, loss=loss)
    np.testing.assert_allclose(fit.layers.loss, expected.loss, rtol=1e-7)


def line_model(n: int = 32, depth: int = 6, **options: Any) -> rx.Relaxation:
    space = options.pop("space", "local")
    operator = rx.ADR(rx.Grid((n,)), space=space, time="layered")
    return rx.Relaxation(operator, **{"depth": depth, "activation": "identity", **options})


def shifted(n: int = 32, by: int = 2, samples: int = 40, seed: int = 0) -> tuple[Any, Any]:
    x = smooth((samples, n), seed)
    return x, np.roll(x, by, axis=1)


@pytest.mark.parametrize("space", ["local", "homogeneous"])
@pytest.mark.parametrize("loss", [rx.SquaredDistance(), rx.Huber(0.5)], ids=repr)
def test_the_gradient_is_that_of_the_adjoint(space: str, loss: Any) -> None:
    model = line_model(space=space, bias="local", activation="tanh", beta=0.1, depth=1)
    x, y = shifted()
    fit = rx.fit_on_the_fly(model, x, y, loss=loss)
    value, gradient = model.value_and_grad(x, y, loss=loss)
    norm = np.sqrt(sum(np.sum(g**2) for name, g in gradient.items() if name != "x"))
    assert np.isclose(fit.history.gradient_norm[0], norm, rtol=1e-12)
    assert np.isclose(fit.history.loss[0], value, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_a_layer_ends_in_the_minimum_of_its_own_fit(method: str) -> None:
    """V' = 0 by the adjoint, which knows nothing of Gauss-Newton matrices."""
    model = line_model(activation="tanh", bias="local", depth=1)
    x, y = shifted()
    y = np.tanh(y)
    steps = {"newton": 40, "descent": 1500, "second-order": 1500}[method]
    fit = rx.fit_on_the_fly(model, x, y, method=method, inner_steps=steps, friction=0.05)
    gradients = [m.value_and_grad(x, y)[1] for m in (model, fit.model)]
    first, last = (np.sqrt(sum(np.sum(g**2) for g in found.values())) for found in gradients)
    assert last < 1e-3 * first


@pytest.mark.parametrize("method", METHODS)
def test_layers_follow_each_other(method: str) -> None:
    """Each is a fit of one layer to the state that those before it make."""
    x, y = shifted()
    model = line_model(depth=4)
    whole = rx.fit_on_the_fly(model, x, y, method=method, target="path")
    depth = 1 if method == "second-order" else 4  # its velocities go on from layer to layer
    z, layer = x, model.truncate(1)
    for number in range(depth):
        goal = x + (number + 1) / 4 * (y - x)
        fit = rx.fit_on_the_fly(layer, z, goal, method=method)
        for name, value in whole.model.params.items():
            np.testing.assert_allclose(fit.model.params[name][0], value[number], rtol=1e-12)
        assert np.isclose(whole.layers.loss[number], fit.layers.loss[0], rtol=1e-12)
        layer, z = fit.model, fit.model(z)


def test_records_are_those_of_the_model() -> None:
    x, y = shifted()
    model = line_model(activation="tanh", omega=np.linspace(0.3, 0.9, 6))
    fit = rx.fit_on_the_fly(model, x, y, method="second-order")
    profile = rx.depth_profile(fit.model, x, y)
    np.testing.assert_allclose(fit.layers.loss, profile.loss[1:], rtol=1e-12)
    assert fit.status is rx.Status.STEPS
    assert len(fit.history) == len(fit.layers) == 6
    np.testing.assert_array_equal(
        fit.layers.adiabaticity, fit.layers.kinetic_energy / fit.layers.loss
    )


def test_a_rate_per_time_is_its_omega() -> None:
    x, y = shifted()
    gamma = np.linspace(0.2, 1.5, 6)
    by_time = line_model(gamma=gamma, dt=0.7)
    by_layer = line_model(omega=by_time.omega)
    fits = [rx.fit_on_the_fly(model, x, y) for model in (by_time, by_layer)]
    assert np.array_equal(fits[0].layers.loss, fits[1].layers.loss)
    assert np.array_equal(fits[0].model.params["U"], fits[1].model.params["U"])
    np.testing.assert_array_equal(np.asarray(fits[0].model.gamma), gamma)


def test_one_sample_may_come_alone() -> None:
    x, y = shifted(samples=1)
    assert rx.fit_on_the_fly(line_model(), x[0], y[0]) == rx.fit_on_the_fly(line_model(), x, y)


def test_energy_is_conserved_to_second_order() -> None:
    """V + T of one layer without friction, at the same times with steps that are halved."""
    x, y = shifted()
    model = line_model(depth=1, activation="tanh")
    drifts = []
    for tau in (0.2, 0.1, 0.05):
        ends = []
        for time in (1.0, 2.0, 3.0, 4.0):
            fit = rx.fit_on_the_fly(
                model, x, y, "second-order", inner_steps=round(time / tau), friction=0.0, tau=tau
            )
            energy = fit.layers.loss + fit.layers.kinetic_energy
            ends.append(abs(energy[0] / fit.layers.loss_before[0] - 1))
        drifts.append(max(ends))
    orders = np.log2(np.divide(drifts[:-1], drifts[1:]))
    assert np.all(np.abs(orders - 2.0) < 0.1), (drifts, orders)


@pytest.mark.parametrize("shape", [(700,), (40, 17)], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_bits_do_not_depend_on_threads(shape: tuple[int, ...], method: str) -> None:
    x = smooth((5, *shape), 0)
    y = np.roll(x, 1, axis=1)
    operator = rx.ADR(rx.Grid(shape), space="local", time="layered")
    model = rx.Relaxation(operator, depth=3, bias="homogeneous", beta=0.01)
    penalties = [rx.L2(0.01), rx.Smoothness(1.0)]
    fits = [
        rx.fit_on_the_fly(model, x, y, method=method, penalties=penalties, threads=threads)
        for threads in (1, 2, 5)
    ]
    assert fits[0] == fits[1] == fits[2]
    assert len({fit.layers.kinetic_energy.tobytes() for fit in fits}) == 1


def test_memory_does_not_depend_on_the_depth() -> None:
    x, y = shifted(n=1024, samples=16)
    sizes = {least_memory(line_model(1024, depth), x, y) for depth in (2, 200)}
    assert len(sizes) == 1
    states = 2 * x.nbytes
    # weights of three arms, and 3 (3 + 3) / 2 sums of every cell, with their margins
    sums = (3 + 9) * 1024 * 8
    assert states + sums < sizes.pop() < 1.2 * (states + sums) + 2**15
    assert rx.fit_on_the_fly(line_model(1024, 2), x, y, memory="1 MiB").status is rx.Status.STEPS


@cache
def transport() -> tuple[Any, Any]:
    x = smooth((200, 64), 0)
    return x, np.roll(x, 4, axis=1)


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({"method": "newton"}, 0.015),
        ({"method": "second-order"}, 0.025),
        ({"method": "descent", "inner_steps": 20}, 0.02),
    ],
    ids=lambda o: str(o),
)
def test_transport_is_learnt_in_one_pass(options: dict[str, Any], most: float) -> None:
    x, y = transport()
    fit = rx.fit_on_the_fly(line_model(64, 20), x, y, **options)
    assert fit.layers.loss[-1] / 64 < most * np.var(y)
    assert np.median(fit.layers.adiabaticity) < 0.03


def test_what_runs_away_is_told_with_the_best_layers() -> None:
    x, y = transport()
    model = line_model(64, 20)
    with pytest.raises(rx.DivergenceError, match="diverged in layer") as caught:
        rx.fit_on_the_fly(model, x, y, "second-order", inner_steps=1, friction=0.0, tau=1.9)
    best, layer = caught.value.model, caught.value.layer
    assert 1 <= best.depth <= layer
    losses = rx.depth_profile(best, x, y).loss
    assert np.argmin(losses[1:]) == best.depth - 1
    assert best.loss(x, y) < model.loss(x, y)


def test_a_start_that_overflows_is_told_with_the_model_given() -> None:
    x, y = shifted()
    model = line_model(activation="square").with_params({"R": np.full((6, 32), 1e200)})
    with pytest.raises(rx.DivergenceError, match="smaller parameters") as caught:
        rx.fit_on_the_fly(model, x, y)
    assert caught.value.model is model


def test_nothing_moves_where_nothing_is_left() -> None:
    x, _ = shifted()
    still = {"R": np.zeros((6, 32)), "U": np.zeros((6, 1, 32)), "D": np.zeros((6, 1, 32))}
    fit = rx.fit_on_the_fly(line_model().with_params(still), x, x)
    assert all(not np.any(value) for value in fit.model.params.values())
    zeros = np.zeros_like(x)
    moved = rx.fit_on_the_fly(line_model(), zeros, x)  # no parameter reaches the output
    assert np.array_equal(moved.model.params["U"][5], line_model().params["U"][0])


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"op": rx.ADR(rx.Grid((32,)))}, {}, "time='layered'"),
        ({"op": rx.Dense(rx.Grid((32,)), time="layered")}, {}, "free matrices"),
        ({"depth": "attractor", "op": rx.ADR(rx.Grid((32,)))}, {}, "number of layers"),
        ({"readout": rx.Readout(3)}, {}, "readout"),
        ({"lift": rx.Lift(32)}, {}, "lift"),
        ({"normalization": "hard"}, {}, "normalization"),
        ({"trainable_omega": True}, {}, "trainable_omega"),
        ({}, {"mass": 0.0}, "argument 'mass': expected a number above 0"),
        ({}, {"tau": -1.0}, "argument 'tau'"),
        ({}, {"friction": -0.1}, "argument 'friction'"),
        ({}, {"ridge": 0.0}, "argument 'ridge'"),
        ({}, {"rate": 0.0}, "argument 'rate'"),
        ({}, {"inner_steps": 0}, "argument 'inner_steps'"),
        ({}, {"method": "adam"}, "newton"),
        ({}, {"target": "first"}, "path"),
        ({}, {"loss": rx.CrossEntropy()}, "SquaredDistance"),
        ({}, {"loss": rx.SquaredDistance(at=[1])}, "target='path'"),
        ({}, {"loss": rx.SquaredDistance(np.zeros(32))}, "above 0"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_makes_no_sense_is_refused(
    change: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    operator = rx.ADR(rx.Grid((32,)), space="local", time="layered")
    model = rx.Relaxation(**{"op": operator, "depth": 3, **change})
    x, y = shifted()
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        rx.fit_on_the_fly(model, x, y, **options)


def test_ctrl_c_ends_a_layer() -> None:
    script = """
    operator = rx.ADR(rx.Grid((64,)), space="local", time="layered")
    interrupt_in(0.3)
    try:
        rx.fit_on_the_fly(rx.Relaxation(operator, depth=2), x, y, inner_steps=10**12)
    except KeyboardInterrupt:
        print("interrupted")
    """
    assert run_interrupted(script) == "interrupted"


def test_layers_that_are_done_survive_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = shifted()
    whole = rx.fit_on_the_fly(line_model(), x, y)
    real = _core.OnTheFlyFloat64

    class Interrupted:
        """The core as it is when the signal comes in the fourth layer."""

        def __init__(self, **arguments: Any) -> None:
            self._core = real(**arguments)

        def run(self) -> bool:
            self._core.run()
            raise KeyboardInterrupt

        def records(self) -> Any:
            return self._core.records()[:3]

    monkeypatch.setattr(_core, "OnTheFlyFloat64", Interrupted)
    fit = rx.fit_on_the_fly(line_model(), x, y)
    assert fit.status is rx.Status.INTERRUPTED
    assert "3 of 6 layers" in fit.message
    assert fit.model == whole.model.truncate(3)
    assert len(fit.layers) == 3
