"""Parameters that a fit keeps, and bounds that others are held to."""

from typing import Any

import numpy as np
import pytest

import relaxon as rx
from measures import assert_all_close
from small_fits import OPTIMIZERS, data, model_of, over_optimizers

INFINITY = float("inf")


# -- kept parameters --------------------------------------------------------------------------


@over_optimizers
def test_parameters_that_are_not_trained_keep_their_bits(kind: str) -> None:
    model, (x, y) = model_of("local", trainable_omega=True), data()
    kept = {"D": False, "omega": False}
    fit = rx.fit(model, x, y, optimizer=OPTIMIZERS[kind], steps=10, trainable=kept)
    for name, start in model.params.items():
        assert np.array_equal(fit.model.params[name], start) == (name in kept), name
    _, grads = model.value_and_grad(x, y)
    norm = np.sqrt(np.sum(grads["R"] ** 2) + np.sum(grads["U"] ** 2))
    assert fit.history.gradient_norm[0] == pytest.approx(norm, rel=1e-12)


def test_a_rate_of_zero_and_not_trainable_are_the_same() -> None:
    model, (x, y) = model_of(), data()
    rates = {"R": 1e-2, "U": 0.0, "D": 1e-2}
    first = rx.fit(model, x, y, optimizer=rx.Adam(rate=rates), steps=5)
    second = rx.fit(model, x, y, optimizer=rx.Adam(rate=1e-2), steps=5, trainable={"U": False})
    assert first == second
    with pytest.raises(ValueError, match="trainable"):
        rx.fit(model, x, y, optimizer=rx.Adam(rate=rates), trainable={"R": False, "D": False})


# -- bounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@over_optimizers
def test_bounds_hold_at_every_step_and_at_the_end_the_gradient_points_out(
    kind: str, dtype: str
) -> None:
    """The conditions of Karush, Kuhn and Tucker at the end of the fit."""
    model, (x, y) = model_of("local", dtype), data(dtype=dtype)
    start = model.params["D"]
    low = np.array([start[0].min(), -INFINITY, start[2].min()])
    bounds: Any = {"D": (low, None), "U": (-0.02, 0.02)}
    model = model.with_params({"U": np.clip(model.params["U"], -0.015, 0.015)})

    def check(state: Any) -> bool:
        d, u = state.model.params["D"], state.model.params["U"]
        assert np.all(d[[0, 2]] >= low.astype(dtype)[[0, 2], None, None])
        assert np.all(np.abs(u) <= np.asarray(0.02, dtype))
        return False

    is_exact = kind in ("armijo", "barzilai-borwein", "lbfgs")
    steps = 2000 if is_exact and dtype == "float64" else 60
    fit = rx.fit(
        model,
        x,
        y,
        optimizer=OPTIMIZERS[kind],
        steps=steps,
        tolerance=1e-5,
        bounds=bounds,
        callbacks=[check],
    )
    u = fit.model.params["U"]
    edge = np.asarray(0.02, dtype)
    assert np.any(np.abs(u) == edge), "a bound that nothing reaches proves nothing"
    assert np.any(fit.model.params["D"][1] != start[1])
    if not is_exact or dtype == "float32":
        return
    assert fit.status is rx.Status.CONVERGED
    _, grads = fit.model.value_and_grad(x, y)
    small = 1e-4 * fit.history.gradient_norm[0]
    assert np.all(grads["U"][u == -edge] >= -small)
    assert np.all(grads["U"][u == edge] <= small)
    assert np.abs(grads["U"][np.abs(u) < edge]).max() <= small
    assert np.abs(grads["R"]).max() <= small


def test_the_bounded_solution_is_the_same_for_all_that_converge() -> None:
    model, (x, y) = model_of(), data()
    found = [
        rx.fit(
            model,
            x,
            y,
            optimizer=OPTIMIZERS[k],
            steps=3000,
            tolerance=1e-8,
            bounds={"R": (-0.02, 0.02)},
        )
        for k in ("armijo", "barzilai-borwein", "lbfgs")
    ]
    for fit in found:
        assert fit.status is rx.Status.CONVERGED
        assert abs(float(fit.model.params["R"])) == 0.02
        assert_all_close(fit.model.params, dict(found[0].model.params), 1e-5)


@pytest.mark.parametrize(
    ("low", "shape"),
    [
        (0.01, "number"),
        (np.array([0.01, -INFINITY, 0.01]), "components"),
        (np.full((5, 7), -5.0), "cells"),
        (np.full((3, 5, 7), -5.0), "all"),
    ],
    ids=["number", "components", "cells", "all"],
)
def test_forms_of_bounds(low: Any, shape: str) -> None:
    model, (x, y) = model_of("local"), data()
    d = np.maximum(model.params["D"], 0.02)
    model = model.with_params({"D": d})
    fit = rx.fit(
        model,
        x,
        y,
        optimizer=rx.SteepestDescent(rate=5.0, line_search="armijo"),
        steps=20,
        bounds={"D": (low, None)},
    )
    d = fit.model.params["D"]
    if shape == "number":
        assert d.min() >= 0.01
    if shape == "components":
        assert d[[0, 2]].min() >= 0.01 > d[1].min()


def test_a_layered_parameter_has_bounds_per_layer_and_component() -> None:
    op = rx.ADR(rx.Grid((5, 7)), space="local", time="layered")
    model = rx.Relaxation(op, depth=3, seed=1)
    x, y = data()
    low = np.full((3, 3), -INFINITY)
    low[1, 0] = model.params["D"][1, 0].min()
    fit = rx.fit(
        model,
        x,
        y,
        optimizer=rx.SteepestDescent(0.5, line_search="armijo"),
        steps=30,
        bounds={"D": (low, None)},
    )
    assert fit.model.params["D"][1, 0].min() == low[1, 0]
    assert fit.model.params["D"][0, 0].min() < low[1, 0]


def test_a_start_outside_its_bounds_is_refused() -> None:
    model, (x, y) = model_of("local"), data()
    d = np.array(model.params["D"])
    d[2, 3, 4] = -0.25
    outside = model.with_params({"D": d})
    with pytest.raises(ValueError, match=r"'bounds'.*D\[2, 3, 4\] = -0\.25, below its bound 0\.0"):
        rx.fit(outside, x, y, bounds={"D": ([0.0, -INFINITY, 0.0], None)})
    with pytest.raises(ValueError, match=r"R = 0\.5, above its bound 0\.1"):
        rx.fit(model_of().with_params({"R": np.asarray(0.5)}), x, y, bounds={"R": (None, 0.1)})


def test_masked_cells_have_no_bounds() -> None:
    mask = np.ones((5, 7), bool)
    mask[1, 2] = False
    model = rx.Relaxation(rx.ADR(rx.Grid((5, 7), mask=mask), space="local"), depth=2, seed=1)
    r = np.zeros((5, 7))
    r[~mask] = 9.0
    model = model.with_params({"R": r})
    x, y = data()
    fit = rx.fit(model, x, y, steps=3, bounds={"R": (-0.001, 0.001)})
    assert fit.model.params["R"][1, 2] == 9.0
    assert np.abs(fit.model.params["R"][mask]).max() <= 0.001


def test_bounds_beyond_float32_are_open() -> None:
    model = model_of(dtype="float32")
    x, y = data(dtype="float32")
    assert rx.fit(model, x, y, steps=3, bounds={"R": (-1e60, 1e60)}) == rx.fit(model, x, y, steps=3)
