"""The squared distance, its weights and layers, and the penalties."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import reference
import reference_grid
import registry
import relaxon as rx
from measures import assert_all_close
from operators import OPERATORS
from reference_ends import DISTANCES
from relaxon.model import losses

GRID_SHAPE = (4, 5)


def model(depth: int = 4, dtype: str = "float64", **options: Any) -> Any:
    grid = rx.Grid(GRID_SHAPE, spacing=(0.3, 0.7), boundary=("neumann", "periodic"), **options)
    operator = rx.ADR(grid, space="local")
    return rx.Relaxation(operator, depth=depth, bias="local", dtype=dtype, seed=4)


def data(n_samples: int = 3, lead: tuple[int, ...] = (), seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_samples, *GRID_SHAPE))
    return x, rng.standard_normal((n_samples, *lead, *GRID_SHAPE))


def test_squared_distance_is_averaged_over_samples_only() -> None:
    network = model()
    x, y = data()
    expected = np.sum((network(x) - y) ** 2) / 3
    assert network.loss(x, y) == pytest.approx(expected, rel=1e-14)
    assert network.loss(x, y, loss=rx.SquaredDistance()) == network.loss(x, y)
    twice = network.loss(np.concatenate([x, x]), np.concatenate([y, y]))
    assert twice == pytest.approx(expected, rel=1e-14)


def test_weights_per_cell_and_per_value_mean_the_same() -> None:
    network = model()
    x, y = data()
    weights = np.random.default_rng(1).uniform(0, 3, GRID_SHAPE)
    expected = np.sum(weights * (network(x) - y) ** 2) / 3
    results = []
    for shaped in (weights, np.broadcast_to(weights, y.shape).copy()):
        loss = rx.SquaredDistance(weights=shaped)
        value, grads = network.value_and_grad(x, y, loss=loss)
        assert value == pytest.approx(expected, rel=1e-14)
        results.append(grads)
    assert_all_close(results[0], results[1], 1e-14)


def test_targets_of_weight_zero_are_not_read() -> None:
    network = model()
    x, y = data()
    is_known = np.random.default_rng(2).random(y.shape) > 0.4
    missing = np.where(is_known, y, np.nan)
    expected = np.sum(np.where(is_known, network(x) - y, 0) ** 2) / 3
    for weights in (is_known, is_known.astype(float)):
        loss = rx.SquaredDistance(weights=weights)
        value, grads = network.value_and_grad(x, missing, loss=loss)
        assert value == pytest.approx(expected, rel=1e-14)
        assert all(np.all(np.isfinite(grad)) for grad in grads.values())
    with pytest.raises(ValueError, match=r"\by\b"):
        network.loss(x, missing)


def test_nothing_is_read_on_masked_cells() -> None:
    mask = np.random.default_rng(3).random(GRID_SHAPE) > 0.3
    network = model(mask=mask)
    x, y = data()
    weights = np.ones(GRID_SHAPE)
    clean = network.value_and_grad(x, y, loss=rx.SquaredDistance(weights=weights), input_grad=True)
    x[:, ~mask], y[:, ~mask] = np.nan, np.inf
    dirty = network.value_and_grad(x, y, loss=rx.SquaredDistance(weights=weights), input_grad=True)
    assert clean[0] == dirty[0]
    for name, grad in clean[1].items():
        np.testing.assert_array_equal(grad, dirty[1][name])
        np.testing.assert_array_equal(grad[..., ~mask], 0)


def test_targets_at_layers_keep_the_given_order() -> None:
    network = model()
    at = [3, 0, 4]
    x, y = data(lead=(3,))
    states = network.trajectory(x)[:, at]
    weights = np.random.default_rng(5).uniform(0, 1, y.shape)
    loss = rx.SquaredDistance(at=at, weights=weights)
    assert network.loss(x, y, loss=loss) == pytest.approx(
        np.sum(weights * (states - y) ** 2) / 3, rel=1e-14
    )
    order = [2, 0, 1]
    shuffled = rx.SquaredDistance(
        at=[at[k] for k in order], weights=np.ascontiguousarray(weights[:, order])
    )
    value, grads = network.value_and_grad(x, y, loss=loss, input_grad=True)
    other, other_grads = network.value_and_grad(x, y[:, order], loss=shuffled, input_grad=True)
    assert other == pytest.approx(value, rel=1e-14)
    assert_all_close(other_grads, grads, 1e-13)


def test_layers_beyond_the_last_target_do_not_matter() -> None:
    x, y = data(lead=(1,))
    shallow, deep = model(depth=2), model(depth=6)
    loss = rx.SquaredDistance(at=[2])
    assert shallow.loss(x, y, loss=loss) == deep.loss(x, y, loss=loss)
    assert_all_close(
        deep.value_and_grad(x, y, loss=loss)[1], shallow.value_and_grad(x, y, loss=loss)[1], 1e-13
    )


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"at": [1, 1]}, "at"),
        ({"at": [5]}, "at"),
        ({"at": [-1]}, "at"),
        ({"at": []}, "at"),
        ({"weights": -np.ones(GRID_SHAPE)}, "weights"),
        ({"weights": np.full(GRID_SHAPE, np.nan)}, "weights"),
        ({"weights": np.ones(GRID_SHAPE[::-1])}, "weights"),
    ],
    ids=["repeated", "too-deep", "negative", "empty", "negative-weight", "nan-weight", "shape"],
)
def test_wrong_losses_are_refused(options: dict[str, Any], word: str) -> None:
    x, y = data(lead=(len(options["at"]),) if "at" in options else ())

    def use() -> None:
        model().loss(x, y, loss=rx.SquaredDistance(**options))

    with pytest.raises(ValueError, match=word):
        use()


# -- penalties, seen through the only call that takes them ----------------------------------


def penalised_case() -> registry.Case:
    rng = np.random.default_rng(7)
    mask = rng.random((6, 5)) > 0.2
    grid = reference_grid.Grid(
        (6, 5), (("neumann", "neumann"), ("periodic", "periodic")), (1.0, 1.0), mask
    )
    central = OPERATORS["adr-central"]
    network = reference.Network(grid, central, 3, "tanh", np.asarray(0.5), time="layered")
    params = registry.draw_params(rng, network, "local", bias=None)
    x, y = rng.standard_normal((2, 4, 6, 5))
    return registry.Case("penalised", network, params, x, y, space="local")


@pytest.mark.filterwarnings("ignore:training starts over a bound")
@pytest.mark.parametrize("of", [None, "U", "D"])
@pytest.mark.parametrize("kind", ["l2", "smoothness"])
def test_a_penalty_adds_its_gradient_to_the_step(kind: str, of: str | None) -> None:
    """One step of steepest descent is p - rate (loss gradient + penalty gradient)."""
    case = penalised_case()
    penalty = {"l2": rx.L2, "smoothness": rx.Smoothness}[kind](0.8, of=of)
    judge = {"l2": reference.l2, "smoothness": reference.smoothness}[kind]
    expected_value, penalty_grads = judge(case.network, case.params, 0.8, of)
    _, loss_grads = case.reference_value_and_grad()
    rate = 1e-9
    fit = rx.fit(
        case.model(),
        case.x,
        case.y,
        optimizer=rx.SteepestDescent(rate=rate),
        steps=1,
        penalties=(penalty,),
    )
    assert fit.history.penalty[0] == pytest.approx(expected_value, rel=1e-6)
    loss = case.model().loss(case.x, case.y)
    assert fit.history.loss[0] == pytest.approx(loss, rel=1e-6)

    rate = 0.05
    fit = rx.fit(
        case.model(),
        case.x,
        case.y,
        optimizer=rx.SteepestDescent(rate=rate),
        steps=1,
        penalties=[penalty],
    )
    expected = {
        name: value - rate * (loss_grads[name] + penalty_grads.get(name, 0))
        for name, value in case.params.items()
    }
    assert_all_close(fit.model.params, expected, 1e-11)


@pytest.mark.filterwarnings("ignore:training starts over a bound")
def test_penalties_add_up() -> None:
    case = penalised_case()
    penalties = (rx.L2(0.3), rx.Smoothness(0.2, of="R"))
    fit = rx.fit(
        case.model(),
        case.x,
        case.y,
        optimizer=rx.SteepestDescent(rate=1e-9),
        steps=1,
        penalties=penalties,
    )
    expected = (
        reference.l2(case.network, case.params, 0.3)[0]
        + reference.smoothness(case.network, case.params, 0.2, "R")[0]
    )
    assert fit.history.penalty[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.filterwarnings("ignore:training starts over a bound")
def test_smoothness_alone_flattens_a_field() -> None:
    case = penalised_case()
    fit = rx.fit(
        case.model(),
        case.x,
        case.y,
        optimizer=rx.SteepestDescent(rate=0.01, line_search="armijo"),
        steps=100,
        penalties=(rx.Smoothness(1e4),),
    )
    exists = case.network.grid.exists
    for name in case.params:
        before = case.params[name][..., exists].std(axis=-1).mean()
        assert fit.model.params[name][..., exists].std(axis=-1).mean() < 0.2 * before


@pytest.mark.parametrize("kind", ["L2", "Smoothness"])
def test_wrong_penalties_are_refused(kind: str) -> None:
    case = penalised_case()
    penalty = getattr(rx, kind)
    with pytest.raises(ValueError, match="strength"):
        penalty(-1.0)
    with pytest.raises(ValueError, match="strength"):
        penalty(float("nan"))
    with pytest.raises(ValueError, match="'V'"):
        rx.fit(case.model(), case.x, case.y, steps=1, penalties=(penalty(1.0, of="V"),))
    names: Any
    for names in (3, {"R"}, ("R", None)):
        with pytest.raises(TypeError, match="argument 'of': expected a name or a tuple"):
            penalty(1.0, of=names)
    for names in ((), ("R", "R")):
        with pytest.raises(ValueError, match="argument 'of': expected names, each of them once"):
            penalty(1.0, of=names)
    assert penalty(1.0, of=["R", "D"]).of == ("R", "D")


def test_ragged_weights_are_named() -> None:
    with pytest.raises(ValueError, match="argument 'weights': expected an array"):
        rx.SquaredDistance(weights=[[1.0], [1.0, 2.0]])


@pytest.mark.parametrize("distance", DISTANCES.values(), ids=list(DISTANCES))
def test_distances_follow_their_formulas(distance: Any) -> None:
    network = model()
    x, y = data()
    weights = np.random.default_rng(1).uniform(0, 3, GRID_SHAPE)
    for scale in distance.scales or (1.0,):
        loss = getattr(rx, distance.constructor)(*([scale] if distance.scales else []))
        residual = network(x) - y
        expected = np.sum(weights * distance.terms(residual, scale)) / 3
        found = network.loss(x, y, loss=loss.with_weights(weights))
        assert found == pytest.approx(expected, rel=1e-13)
        terms = distance.terms(residual, scale)
        np.testing.assert_allclose(loss._terms(residual), terms, rtol=1e-12, atol=1e-13)


def test_the_reference_knows_every_loss() -> None:
    names = {distance.constructor for distance in DISTANCES.values()}
    assert names | {"CrossEntropy"} == set(losses.__all__)


def test_absolute_distance_keeps_its_digits_near_zero() -> None:
    """sqrt(r^2 + epsilon^2) - epsilon would be 0 there."""
    network = model(depth=1)
    x, _ = data(1)
    y = network(x)
    y[0, 0, 0] += 1e-9
    r = network(x)[0, 0, 0] - y[0, 0, 0]
    found = network.loss(x, y, loss=rx.AbsoluteDistance(1.0))
    assert found == pytest.approx(r**2 / 2, rel=1e-6)


def test_losses_are_plain_objects() -> None:
    weights = np.arange(3.0)
    made = [
        *(getattr(rx, d.constructor)(s, weights) for d in DISTANCES.values() for s in d.scales),
        *(getattr(rx, name)(at=[1, 2]) for name in losses.__all__),
        rx.SquaredDistance(weights),
    ]
    assert len(set(made)) == len(made)
    for loss in made:
        assert pickle.loads(pickle.dumps(loss)) == loss == copy.deepcopy(loss)
    absolute = rx.AbsoluteDistance(0.5, weights)
    assert repr(absolute) == "AbsoluteDistance(epsilon=0.5, weights=<(3,)>)"
    assert repr(rx.Huber(at=[3])) == "Huber(delta=1, at=(3,))"
    assert absolute.with_weights(None) == rx.AbsoluteDistance(0.5)
    assert absolute.weights is not None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rx.AbsoluteDistance(0.0), "argument 'epsilon': expected a number above 0, got 0"),
        (lambda: rx.Huber(True), "argument 'delta': expected a real number, got True"),
        (lambda: rx.Huber(-1), "argument 'delta': expected a number above 0, got -1"),
        (lambda: rx.Huber(float("nan")), "argument 'delta': expected a finite number"),
        (lambda: rx.Huber(weights=[-1.0]), "argument 'weights': expected finite numbers of at"),
        (lambda: rx.CrossEntropy(at=[]), "argument 'at': expected at least one layer"),
        (lambda: model().loss(*data(), loss="huber"), "argument 'loss': expected Distance"),
    ],
)
def test_wrong_settings_of_losses_are_refused(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()
