"""What depth is worth: profiles of states, truncated networks, samples that leave early."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reference
import reference_activations
import registry
import relaxon as rx

Array = np.ndarray[Any, Any]

# Of every kind: operators, masks, boundaries, layered, rates per layer and cell, both types.
CASES = [case for case in registry.sample()[::14] if case.network.activation != "square"]


def line(depth: int = 8, **options: Any) -> rx.Relaxation:
    settings: dict[str, Any] = {"activation": "tanh", "seed": 1, "bias": "homogeneous"}
    return rx.Relaxation(rx.ADR(rx.Grid((16,))), depth, **(settings | options))


def damped(depth: int, **options: Any) -> rx.Relaxation:
    """One that comes to rest."""
    return line(depth, **options).with_params({"R": np.array(-0.5)})


def fields(n: int = 5, shape: tuple[int, ...] = (16,), seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((n, *shape))


# -- truncated networks -----------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_truncated_network_ends_where_the_deep_one_passes(case: registry.Case) -> None:
    model = case.model()
    states = model.trajectory(case.x)
    for depth in range(1, model.depth + 1):
        shallow = model.truncate(depth)
        assert shallow.depth == depth
        assert np.array_equal(shallow(case.x), states[:, depth], equal_nan=True)
        again = model._until(depth)
        assert np.array_equal(again(case.x), states[:, depth], equal_nan=True)
    assert model.truncate(model.depth) == model


def test_its_gradient_is_that_of_the_first_layers() -> None:
    op = rx.Moments(rx.Grid((16,)), order=3, time="layered")
    rates = np.linspace(0.2, 0.8, 6)
    model = rx.Relaxation(op, 6, omega=rates, trainable_omega=True, bias="local", theta=0.5)
    x, y = fields(), fields(seed=1)
    value, deep = model.value_and_grad(x, y[:, None], loss=rx.SquaredDistance(at=[4]))
    shallow_value, shallow = model.truncate(4).value_and_grad(x, y)
    assert shallow_value == value
    for name, grad in shallow.items():
        assert grad.shape == (4, *deep[name].shape[1:])
        np.testing.assert_allclose(grad, deep[name][:4], rtol=1e-13, atol=1e-15)
        assert not deep[name][4:].any()


def test_as_many_cells_as_layers_are_no_rates_of_layers() -> None:
    rates = np.linspace(0.1, 0.9, 6)
    for is_trained in (False, True):
        model = rx.Relaxation(rx.ADR(rx.Grid((6,))), 9, omega=rates, trainable_omega=is_trained)
        shallow = model.truncate(6)
        assert shallow.omega.shape == (1, 6)
        x = fields(2, (6,))
        assert np.array_equal(shallow(x), model.trajectory(x)[:, 6])


def test_ends_scaling_and_time_of_a_layer_stay() -> None:
    ends: dict[str, Any] = {"lift": rx.Lift(3, "tanh"), "readout": rx.Readout(2, "identity")}
    model = line(5, dt=0.5, time_unit="h", **ends)
    shallow = model.truncate(2)
    assert (shallow.dt, shallow.time_unit, shallow.lift) == (0.5, "h", model.lift)
    x = fields(4, (3,))
    z = model.trajectory(x)[:, 2]
    weight, bias = model.params["readout_weight"], model.params["readout_bias"]
    np.testing.assert_allclose(shallow(x), z @ weight.T + bias, rtol=1e-13)
    pairs = rx.datasets.from_xarray(rx.datasets.sst().to_xarray(), anomaly="month")
    deep = rx.Relaxation(rx.ADR(pairs.grid), 3).with_scaling(pairs.scaling)
    assert deep.truncate(1).scaling == pairs.scaling


@pytest.mark.parametrize("depth", [0, -1, 9, 2.0, "all"])
def test_other_depths_are_refused(depth: Any) -> None:
    rule = "an integer" if not isinstance(depth, int) else "at (least|most)|1"
    with pytest.raises((TypeError, ValueError), match=f"argument 'depth': expected .*({rule})"):
        line().truncate(depth)


# -- samples that leave early -----------------------------------------------------------------


def settle(states: Array, tolerance: float) -> tuple[Array, Array]:
    """What one sample after the other does, by its states (batch, L + 1, cells)."""
    ends, taken = [], []
    for z in states:
        n = len(z) - 1
        for layer in range(1, n + 1):
            now, before = z[layer], z[layer - 1]
            if not np.isfinite(now).all():
                continue
            with np.errstate(invalid="ignore"):
                moved = np.abs(now - before).max()
            if moved <= tolerance * max(1.0, np.abs(now).max()):
                n = layer
                break
        ends.append(z[n])
        taken.append(n)
    return np.stack(ends), np.array(taken)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_samples_leave_after_the_layer_that_hardly_moves_them(case: registry.Case) -> None:
    model = case.model()
    states = np.asarray(model.trajectory(case.x))
    steps = np.abs(np.diff(states, axis=1)).reshape(len(states), model.depth, -1).max(axis=2)
    for tolerance in (0.0, float(np.median(steps)), 10.0 * float(steps.max())):
        y, n_layers = model(case.x, stop=tolerance)
        expected, taken = settle(states.astype(np.float64), tolerance)
        assert n_layers.dtype == np.int64
        assert n_layers.tolist() == taken.tolist()
        assert np.array_equal(np.asarray(y, np.float64), expected)


def test_each_leaves_for_itself() -> None:
    """Whoever comes along, and with any number of threads."""
    model = damped(60, theta=0.5)
    x = fields(40) * np.logspace(-6, 1, 40)[:, np.newaxis]
    y, n_layers = model(x, stop=1e-6, threads=1)
    assert len(set(n_layers.tolist())) > 5
    assert np.array_equal(model(x, stop=1e-6, threads=2)[0], y)
    for i in (0, 17, 39):
        alone, n_alone = model(x[i], stop=1e-6)
        assert n_alone.shape == ()
        assert (int(n_alone), alone.tobytes()) == (n_layers[i], y[i].tobytes())
    out = x.copy()
    assert model(out, out=out, stop=1e-6)[0] is out
    assert np.array_equal(out, y)


def test_ends_are_passed_by_all() -> None:
    ends: dict[str, Any] = {"lift": rx.Lift(3, "tanh"), "readout": rx.Readout(2, "identity")}
    model = damped(40, gamma=1.0, dt=0.5, **ends)
    x = fields(6, (3,))
    y, n_layers = model(x, stop=1e-3)
    assert y.shape == (6, 2)
    assert n_layers.max() < 40
    for i, n in enumerate(n_layers):
        np.testing.assert_allclose(y[i], model.truncate(int(n))(x[i]), rtol=1e-13)


def test_what_overflows_has_not_settled() -> None:
    model = line(30, activation="square", bias=None, omega=1.0)
    y, n_layers = model(np.stack([np.full(16, 1e3), np.zeros(16)]), stop=0.1)
    assert not np.isfinite(y[0]).all()
    assert n_layers.tolist() == [30, 1]


@pytest.mark.parametrize("stop", [-1e-3, np.nan, "soon"])
def test_a_tolerance_is_a_number(stop: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="argument 'stop'"):
        line()(fields(), stop=stop)


# -- profiles ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_profile_is_that_of_the_reference(case: registry.Case) -> None:
    model = case.model()
    wide = case.wide(case.y if case.at is None else case.y[:, 0])
    y = wide.astype(case.dtype)
    weights = None if case.at is not None else case.weights
    loss = rx.SquaredDistance(weights=weights)
    profile = rx.depth_profile(model, case.x, y, loss)
    network, params = case.network, case.wide_params
    states = case.reference_trajectory()
    own = None if weights is None else case.wide(weights)
    exists = network.grid.exists
    for layer in range(model.depth + 1):
        z = states[:, layer]
        only = reference.squared_distance(network, states, wide[:, None], _lead(own, wide), [layer])
        assert profile.loss[layer] == pytest.approx(only[0], rel=case.tolerance)
        pre = reference.pre_activation(network, params, z, min(layer, model.depth - 1))
        rest = np.where(exists, z - reference_activations.ACTIVATIONS[network.activation].f(pre), 0)
        scale = 1.0 + float(np.abs(z).max())
        assert profile.residual[layer] == pytest.approx(
            np.abs(rest).max(), abs=10 * case.tolerance * scale
        )
        size = reference.norm(network, z).max()
        assert profile.size[layer] == pytest.approx(size, rel=case.tolerance)
        if layer:
            assert model.truncate(layer).loss(case.x, y, loss) == profile.loss[layer]
    assert profile.best == int(np.argmin(profile.loss))


def _lead(weights: Array | None, y: Array) -> Array | None:
    """Weights beside an axis of layers."""
    return weights if weights is None or weights.shape != y.shape else weights[:, None]


def test_readouts_classes_and_lifts() -> None:
    ends: dict[str, Any] = {"lift": rx.Lift(3, "tanh"), "readout": rx.Readout(5, "identity")}
    model = line(4, gamma=1.0, **ends)
    x, labels = fields(5, (3,)), np.array([0, 4, 2, 1, 3])
    for weights in (None, np.linspace(0.0, 2.0, 5)):
        loss = rx.CrossEntropy(weights)
        profile = rx.depth_profile(model, x, labels, loss)
        for layer in range(1, 5):
            assert model.truncate(layer).loss(x, labels, loss) == profile.loss[layer]
    z = model.trajectory(x)[:, 0]
    read = z @ model.params["readout_weight"].T + model.params["readout_bias"]
    picked = np.log(np.exp(read).sum(axis=1)) - read[np.arange(5), labels]
    assert rx.depth_profile(model, x, labels, rx.CrossEntropy()).loss[0] == pytest.approx(
        picked.mean()
    )


def test_a_long_batch_is_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from relaxon.dynamics import depth_profile as module

    model, x, y = line(6), fields(11), fields(11, seed=3)
    weights = np.abs(fields(11, seed=4))
    loss = rx.Huber(0.5, weights=weights)
    whole = rx.depth_profile(model, x, y, loss)
    monkeypatch.setattr(module, "MOST_BYTES", 3 * 7 * 16 * 8)
    parts = rx.depth_profile(model, x, y, loss)
    np.testing.assert_allclose(parts.loss, whole.loss, rtol=1e-14)
    np.testing.assert_array_equal(parts.residual, whole.residual)
    np.testing.assert_array_equal(parts.size, whole.size)
    one = rx.depth_profile(model, x[0], y[0], rx.Huber(0.5, weights=weights[0]))
    assert one.loss[6] == model.loss(x[0], y[0], rx.Huber(0.5, weights=weights[0]))


def test_states_that_run_away_are_infinite_and_never_the_best() -> None:
    model = line(30, activation="square", bias=None, omega=1.0)
    profile = rx.depth_profile(model, np.full((1, 16), 1e3), np.full((1, 16), 1e3))
    assert profile.best == 0
    assert np.isposinf([profile.loss[-1], profile.residual[-1], profile.size[-1]]).all()
    assert profile.plot().axes


def test_what_has_layers_of_its_own_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one without layers of its own.*without `at`"):
        rx.depth_profile(line(), fields(), fields(), rx.SquaredDistance(at=[8]))


def test_a_figure_has_loss_and_distances() -> None:
    figure = rx.depth_profile(line(), fields(), fields(seed=1)).plot()
    left, right = figure.axes
    assert [axes.get_ylabel() for axes in (left, right)] == [
        "loss",
        "max |z - f(W z - b)| and |z|",
    ]
    assert right.get_yscale() == "log"
