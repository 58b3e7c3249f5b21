"""The regressor keeps scikit-learn's rules and finds what can be found."""

import os
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import relaxon as rx

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from relaxon.sklearn import RelaxationRegressor


def data(n_samples: int = 60, n_features: int = 6) -> tuple[Any, Any]:
    x = np.random.default_rng(0).standard_normal((n_samples, n_features))
    return x, 3.0 + x[:, 0] - 2.0 * x[:, 3]


def linear(**options: Any) -> RelaxationRegressor:
    settings = {"activation": "identity", "random_state": 0, "steps": 100, "tolerance": 1e-3}
    return RelaxationRegressor(**{**settings, **options})


def test_estimator_checks() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(RelaxationRegressor(threads=1, steps=50), on_skip=None)
    assert len(results) > 40


def test_finds_a_linear_map_with_one_and_two_targets() -> None:
    x, y = data()
    one = linear().fit(x, y)
    assert one.score(x, y) > 0.999
    assert one.predict(x).shape == y.shape
    both = np.stack([y, -x[:, 1]], axis=1)
    two = linear(steps=500).fit(x, both)
    assert two.predict(x).shape == both.shape
    assert two.score(x, both) > 0.999


def test_fields_on_a_grid() -> None:
    x = np.random.default_rng(0).standard_normal((30, 32))
    y = rx.Relaxation(rx.ADR(rx.Grid((32,))), depth=2, activation="identity", seed=5)(x)
    found = linear(grid=rx.Grid((32,)), space="homogeneous", depth=2).fit(x, y)
    assert found.score(x, y) > 0.999
    # One mean and one deviation of X, for y as well: the dynamics keeps its meaning.
    assert (found.mean_, found.scale_) == pytest.approx((x.mean(), x.std()))
    assert (found.y_mean_, found.y_scale_) == (found.mean_, found.scale_)
    scaled = (x - found.mean_) / found.scale_
    np.testing.assert_allclose(
        found.predict(x), found.mean_ + found.scale_ * found.model_(scaled), rtol=1e-12
    )
    raw = linear(grid=rx.Grid((32,)), space="homogeneous", depth=2, scale=False).fit(x, y)
    assert (raw.mean_, raw.scale_, raw.y_mean_, raw.y_scale_) == (0.0, 1.0, 0.0, 1.0)
    assert np.array_equal(raw.predict(x), raw.model_(x))
    with pytest.raises(ValueError, match="argument 'y': expected 32 columns"):
        linear(grid=rx.Grid((32,))).fit(x, y[:, 0])


def test_masked_cells_are_not_read_and_do_not_count() -> None:
    mask = np.ones(20, dtype=bool)
    mask[:4] = False
    x, y = np.random.default_rng(1).standard_normal((2, 40, 20))
    y += 2.0 * x
    grid = rx.Grid((20,), boundary="neumann", mask=mask)
    settings: dict[str, Any] = {"tolerance": 1e-8, "steps": 500}
    regressor = linear(grid=grid, **settings)
    holes_x, holes_y = x.copy(), y.copy()
    holes_x[:, ~mask] = holes_y[:, ~mask] = np.nan
    regressor.fit(holes_x, holes_y)
    assert np.isnan(holes_y[:, ~mask]).all()
    score = regressor.score(holes_x, holes_y)
    part = slice(4, None)
    alone = linear(grid=rx.Grid((16,), boundary="neumann"), **settings)
    assert 0.5 < score < 0.9
    assert score == pytest.approx(alone.fit(x[:, part], y[:, part]).score(x[:, part], y[:, part]))
    with pytest.raises(ValueError, match="argument 'y': expected 20 columns"):
        regressor.fit(holes_x, holes_y[:, :19])
    holes_y[0, 7] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        regressor.fit(holes_x, holes_y)


def test_pipeline_and_parallel_grid_search() -> None:
    x, y = data()
    pipeline = make_pipeline(StandardScaler(), linear(threads=1))
    search = GridSearchCV(pipeline, {"relaxationregressor__depth": [1, 2]}, cv=2, n_jobs=2)
    search.fit(x * 10.0 + 5.0, y)
    assert search.best_score_ > 0.95


def test_weights_of_samples() -> None:
    x, y = data()
    spoiled = np.where(np.arange(60) < 20, 100.0, y)
    weights = (np.arange(60) >= 20).astype(float)
    assert linear().fit(x, spoiled, weights).score(x, y) > 0.99


def test_settings_are_kept() -> None:
    regressor = linear(depth=3, optimizer=rx.LBFGS(memory=5))
    assert clone(regressor).get_params() == regressor.get_params()
    assert regressor.set_params(depth=2).depth == 2


def kelvin() -> tuple[Any, Any]:
    x = np.random.default_rng(16).standard_normal((60, 10))
    return 290.0 + x, 290.0 + np.roll(x, 1, axis=1)


def test_fields_of_290_kelvin_are_learned_like_their_anomalies() -> None:
    x, y = kelvin()
    settings: dict[str, Any] = {"grid": rx.Grid((10,)), "space": "homogeneous", "random_state": 0}
    warm = RelaxationRegressor(**settings).fit(x, y)
    anomalies = RelaxationRegressor(**settings).fit(x - 290.0, y - 290.0)
    assert warm.score(x, y) == pytest.approx(anomalies.score(x - 290.0, y - 290.0), abs=1e-3)
    assert warm.score(x, y) > 0.4
    assert warm.predict(x.astype(np.float64)).mean() == pytest.approx(290.0, abs=0.1)


def test_a_saturated_activation_is_no_convergence() -> None:
    x, y = kelvin()
    settings: dict[str, Any] = {"grid": rx.Grid((10,)), "space": "homogeneous", "scale": False}
    with pytest.warns(ConvergenceWarning, match=r"stalled.*tanh.*290 \+- .*scale=True"):
        found = RelaxationRegressor(**settings).fit(x, y)
    assert found.n_iter_ == 0


def test_means_are_weighted_and_leave_masked_cells_out() -> None:
    mask = np.ones(10, dtype=bool)
    mask[3] = False
    x, y = kelvin()
    x[:, 3] = 1e6
    x[30:] += 100.0
    weights = np.repeat([1.0, 0.0], 30)
    grid = rx.Grid((10,), boundary="neumann", mask=mask)
    found = RelaxationRegressor(grid=grid, space="homogeneous", steps=5, tolerance=0.9)
    found.fit(x, y, weights)
    read = x[:30, mask]
    assert (found.mean_, found.scale_) == pytest.approx((read.mean(), read.std()))


def test_dirichlet_values_are_in_the_unit_of_the_data() -> None:
    x, y = kelvin()
    grid = rx.Grid((10,), boundary=rx.Dirichlet(290.0))
    settings: dict[str, Any] = {"space": "homogeneous", "activation": "identity"}
    found = linear(grid=grid, **settings).fit(x, y)
    by_hand = linear(grid=grid.replace(boundary=rx.Dirichlet(0.0)), scale=False, **settings)
    by_hand.fit(x - 290.0, y - 290.0)
    assert found.score(x, y) == pytest.approx(by_hand.score(x - 290.0, y - 290.0), abs=1e-4)


def test_a_constant_is_taken_as_it_is() -> None:
    x, y = np.full((20, 5), 0.1), np.full(20, 3.0)
    found = RelaxationRegressor(tolerance=1.0).fit(x, y)
    assert (found.scale_, found.y_scale_) == (1.0, 1.0)
    np.testing.assert_allclose(found.predict(x), 3.0, atol=0.2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("order", ["sklearn.ensemble, relaxon", "relaxon, sklearn.ensemble"])
def test_two_runtimes_in_one_process(order: str) -> None:
    script = f"""
import os
import {order}
import numpy as np, relaxon as rx
from sklearn.ensemble import HistGradientBoostingRegressor
x = np.random.default_rng(0).standard_normal((200, 64))
model = rx.Relaxation(rx.ADR(rx.Grid((64,))), depth=4)
def work():
    HistGradientBoostingRegressor(max_iter=3).fit(x, x[:, 0])
    return model(x, threads=2)
first = work()
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(model(x, threads=2), first) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert np.array_equal(work(), first)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=300)
