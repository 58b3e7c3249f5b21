"""Covariances of homogeneous parameters, against closed formulas and against their spread."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import relaxon as rx
from noisy_line import GRID, TRUE, Array, model_of, noisy
from relaxon.physics import standard_error
from relaxon.physics.standard_error import estimate_standard_errors


def flat(model: rx.Relaxation) -> Array:
    return np.concatenate([np.ravel(value) for value in model.params.values()])


def unflat(model: rx.Relaxation, vector: Array) -> rx.Relaxation:
    values = model.params.values()
    parts = np.split(vector, np.cumsum([value.size for value in values])[:-1])
    return model.with_params(
        {
            name: part.reshape(value.shape)
            for (name, value), part in zip(model.params.items(), parts, strict=True)
        }
    )


def numeric_jacobian(model: rx.Relaxation, output: Any) -> Array:
    """By central differences; the parameters' axis is last."""
    start = flat(model)
    columns = []
    for i in range(start.size):
        step = np.zeros_like(start)
        step[i] = 1e-5
        columns.append(output(unflat(model, start + step)) - output(unflat(model, start - step)))
    return np.stack(columns, axis=-1) / 2e-5


def bell_mccaffrey(jacobian: Array, residual: Array, weight: Array) -> Array:
    """CR2 as Bell and McCaffrey print it, with the hat matrix of all values."""
    n = len(jacobian)
    j, w = jacobian.reshape(n, -1, jacobian.shape[-1]), weight.reshape(n, -1)
    r = residual.reshape(n, -1)
    bread = np.linalg.inv(np.einsum("nkp,nk,nkq->pq", j, w, j))
    meat = np.zeros_like(bread)
    for one, weights, errors in zip(j, w, r, strict=True):
        root = np.sqrt(weights)
        half = one * root[:, np.newaxis]
        values, vectors = np.linalg.eigh(np.eye(len(half)) - half @ bread @ half.T)
        inverse_root = vectors @ np.diag(values**-0.5) @ vectors.T
        score = half.T @ inverse_root @ (root * errors)
        meat += np.outer(score, score)
    return bread @ meat @ bread


@pytest.mark.parametrize("weighting", ["none", "field", "values"])
def test_covariance_is_that_of_the_literature(weighting: str) -> None:
    random = np.random.default_rng(3)
    model = model_of(bias="homogeneous", params={**TRUE, "bias": 0.05})
    x, y = noisy(model)
    shape = {"none": (), "field": y.shape[1:], "values": y.shape}[weighting]
    weights = random.uniform(0.5, 2.0, shape)
    loss = rx.SquaredDistance(weights if shape else None)
    errors = rx.explain(model, data=(x, y), loss=loss).standard_errors
    assert errors is not None
    jacobian = numeric_jacobian(model, lambda other: other(x))
    weight = np.broadcast_to(weights if shape else 1.0, y.shape)
    expected = bell_mccaffrey(jacobian, model(x) - y, weight)
    np.testing.assert_allclose(errors.covariance, expected, rtol=1e-6)
    np.testing.assert_allclose(
        np.concatenate([np.ravel(e) for e in errors.standard_errors.values()]),
        np.sqrt(np.diag(expected)),
        rtol=1e-6,
    )
    assert errors.labels == ("R", "U along distance", "D along distance", "bias")
    assert errors.n_samples == len(x)


def test_layers_with_targets_count_one_by_one() -> None:
    model = model_of(rx.ADR(GRID), omega=np.array([0.2, 0.3, 0.4, 0.5]))
    x, _ = noisy(model)
    at = [3, 0, 4, 1]
    states = model.trajectory(x)[:, at]
    y = states + 0.01 * np.random.default_rng(5).standard_normal(states.shape)
    errors = rx.explain(model, data=(x, y), loss=rx.SquaredDistance(at=at)).standard_errors
    assert errors is not None
    jacobian = numeric_jacobian(model, lambda other: other.trajectory(x)[:, at])
    expected = bell_mccaffrey(jacobian, states - y, np.ones(y.shape))
    np.testing.assert_allclose(errors.covariance, expected, rtol=1e-6)


def test_targets_inside_a_layered_model() -> None:
    params = {name: np.multiply.outer([1.0, 0.5, 0.8, 1.2], value) for name, value in TRUE.items()}
    model = model_of(rx.ADR(GRID, time="layered"), params)
    x, _ = noisy(model, 30)
    at = [1, 2, 3, 4]
    states = model.trajectory(x)[:, at]
    y = states + 0.01 * np.random.default_rng(5).standard_normal(states.shape)
    explanation = rx.explain(model, data=(x, y), loss=rx.SquaredDistance(at=at))
    errors = explanation.standard_errors
    assert errors is not None
    jacobian = numeric_jacobian(model, lambda other: other.trajectory(x)[:, at])
    expected = bell_mccaffrey(jacobian, states - y, np.ones(y.shape))
    np.testing.assert_allclose(errors.covariance, expected, rtol=1e-5)
    assert errors.labels[:2] == ("R (layer 0)", "R (layer 1)")
    row = next(r for r in explanation.table() if (r.process, r.layer) == ("reaction", 2))
    omega = float(model.omega)
    assert row.standard_error == pytest.approx(omega * np.sqrt(expected[2, 2]) / 60.0, rel=1e-5)
    mean = explanation.processes[0].mean_standard_error
    assert mean == pytest.approx(omega * np.sqrt(expected[:4, :4].sum()) / 4 / 60.0, rel=1e-5)


def test_missing_values_and_masked_cells_are_not_read() -> None:
    mask = np.ones(12, dtype=bool)
    mask[4:6] = False
    grid = GRID.replace(mask=mask, boundary="neumann")
    model = model_of(rx.ADR(grid))
    x, y = noisy(model)
    weights = np.ones(y.shape)
    weights[3, 8] = 0.0
    clean = rx.explain(model, data=(x, y), loss=rx.SquaredDistance(weights)).standard_errors
    x[:, 4:6], y[:, 4:6], y[3, 8] = np.nan, np.nan, np.nan
    errors = rx.explain(model, data=(x, y), loss=rx.SquaredDistance(weights)).standard_errors
    assert clean is not None
    assert errors is not None
    np.testing.assert_array_equal(errors.covariance, clean.covariance)
    assert np.isfinite(errors.covariance).all()


def test_groups_of_one_sample_are_no_groups() -> None:
    model = model_of()
    x, y = noisy(model)
    one = estimate_standard_errors(model, (x, y), rx.SquaredDistance())
    other = estimate_standard_errors(
        model, (x, y), rx.SquaredDistance(), groups=7 + np.arange(len(x))
    )
    np.testing.assert_array_equal(one.covariance, other.covariance)
    assert (one.cluster, other.cluster) == ("sample", "group")


@pytest.mark.parametrize("is_cut", [False, True])
def test_groups_are_clusters_of_the_literature(
    is_cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples of one number, wherever they stand, are one long sample."""
    model = model_of()
    x, y = noisy(model, n_samples=24)
    groups = np.random.default_rng(4).permutation(np.repeat([5, -1, 3, 8, 9, 2], 4))
    if is_cut:
        monkeypatch.setattr(standard_error, "JACOBIAN_BYTES", 1)
    errors = rx.explain(model, data=(x, y), groups=groups).standard_errors
    assert errors is not None
    assert errors.n_samples == 6
    assert "clustered by group (6 groups)" in str(errors)
    assert "Assumed: groups are independent" in str(errors)
    jacobian = numeric_jacobian(model, lambda other: other(x))
    order = np.argsort(groups, kind="stable")
    jacobian = jacobian[order].reshape(6, -1, jacobian.shape[-1])
    residual = (model(x) - y)[order].reshape(6, -1)
    expected = bell_mccaffrey(jacobian, residual, np.ones(residual.shape))
    np.testing.assert_allclose(errors.covariance, expected, rtol=1e-6)


def test_numbers_that_were_fixed_count_as_known() -> None:
    model = model_of()
    x, y = noisy(model)
    found = rx.explain(model, data=(x, y), fixed={"R": True})
    errors = found.standard_errors
    assert errors is not None
    jacobian = numeric_jacobian(model, lambda other: other(x)).reshape(len(x), -1, 3)
    assert next(iter(model.params)) == "R"
    residual = (model(x) - y).reshape(len(x), -1)
    expected = bell_mccaffrey(jacobian[:, :, 1:], residual, np.ones(residual.shape))
    np.testing.assert_allclose(errors.covariance, expected, rtol=1e-6)
    assert float(errors.standard_errors["R"]) == 0.0
    assert [p.standard_error is None for p in found.processes] == [True, False, False]


@pytest.mark.parametrize(
    ("fixed", "error", "message"),
    [
        ({"V": True}, TypeError, "a mapping of names out of R, U, D"),
        ({"D": [True, False]}, ValueError, r"broadcasts to \(1,\)"),
        (dict.fromkeys("RUD", True), ValueError, "a number that was free"),
    ],
)
def test_what_fixes_nothing_or_all_is_refused(
    fixed: dict[str, Any], error: type[Exception], message: str
) -> None:
    model = model_of()
    with pytest.raises(error, match=message):
        rx.explain(model, data=noisy(model), fixed=fixed)


def test_copies_of_samples_tell_nothing_new() -> None:
    """In one group with their origins they leave the errors as they are; alone they shrink them."""
    model = model_of()
    x, y = noisy(model)
    twice = (np.concatenate([x, x]), np.concatenate([y, y]))
    groups = np.tile(np.arange(len(x)), 2)
    single = estimate_standard_errors(model, (x, y), rx.SquaredDistance())
    grouped = estimate_standard_errors(model, twice, rx.SquaredDistance(), groups=groups)
    fooled = estimate_standard_errors(model, twice, rx.SquaredDistance())
    assert grouped.n_samples == single.n_samples == len(x)
    np.testing.assert_allclose(grouped.covariance, single.covariance, rtol=1e-9)
    assert np.all(np.diag(fooled.covariance) < 0.6 * np.diag(single.covariance))


def test_groups_without_a_weight_do_not_count() -> None:
    model = model_of()
    x, y = noisy(model, n_samples=8)
    groups = np.repeat(np.arange(4), 2)
    weights = np.ones(y.shape)
    weights[:4] = 0.0
    loss = rx.SquaredDistance(weights)
    errors = rx.explain(model, data=(x, y), loss=loss, groups=groups).standard_errors
    assert errors is not None
    assert errors.n_samples == 2
    weights[:6] = 0.0
    loss = rx.SquaredDistance(weights)
    with pytest.raises(ValueError, match=r"at least 2 groups with a weight .* got 1 of 4"):
        rx.explain(model, data=(x, y), loss=loss, groups=groups)


@pytest.mark.parametrize(
    ("groups", "error", "words"),
    [
        (np.zeros(14, int), ValueError, r"expected \(15,\), got \(14,\)"),
        (np.zeros((15, 1), int), ValueError, r"expected \(15,\), got \(15, 1\)"),
        (np.zeros(15), TypeError, "whole numbers, got one of float64"),
        (np.zeros(15, bool), TypeError, "whole numbers, got one of bool"),
        (["a"] * 15, TypeError, "whole numbers, got one of <U1"),
        (np.zeros(15, int), ValueError, "at least 2 groups .* got 1 of 1"),
    ],
)
def test_bad_groups_are_refused(groups: Any, error: type[Exception], words: str) -> None:
    model = model_of()
    with pytest.raises(error, match=words):
        rx.explain(model, data=noisy(model), groups=groups)


@pytest.mark.parametrize("on_mask", [False, True])
def test_samples_without_a_weight_do_not_count(on_mask: bool) -> None:
    """As if they were not there, for the number of clusters as for the errors."""
    mask = np.ones(12, dtype=bool)
    mask[4:6] = False
    model = model_of(rx.ADR(GRID.replace(mask=mask, boundary="neumann")))
    x, y = noisy(model, n_samples=20)
    weights = np.ones(y.shape)
    weights[:13] = 0.0
    # Cells that do not exist have no residual.
    weights[:13, 4:6] = float(on_mask)
    errors = rx.explain(model, data=(x, y), loss=rx.SquaredDistance(weights)).standard_errors
    alone = rx.explain(model, data=(x[13:], y[13:])).standard_errors
    assert errors is not None
    assert alone is not None
    assert errors.n_samples == alone.n_samples == 7
    assert type(errors.n_samples) is int
    assert "clustered by sample (7 samples)" in str(errors)
    np.testing.assert_allclose(errors.covariance, alone.covariance, rtol=1e-10)
    for n_left, word in ((1, "1 of 20"), (0, "0 of 20")):
        weights[: 20 - n_left] = 0.0
        with pytest.raises(ValueError, match=rf"at least 2 samples with a weight .* got {word}"):
            rx.explain(model, data=(x, y), loss=rx.SquaredDistance(weights))


def test_distance_from_the_minimum_is_reported() -> None:
    model = model_of(activation="identity", depth=1)
    x, y = noisy(model)
    far = rx.explain(model, data=(x, y)).standard_errors
    assert far is not None
    # One layer is linear in its parameters: least squares end where the step is zero.
    jacobian = numeric_jacobian(model, lambda other: other(x)).reshape(y.size, -1)
    step = np.linalg.lstsq(jacobian, (y - model(x)).ravel())[0]
    best = unflat(model, flat(model) + step)
    near = rx.explain(best, data=(x, y)).standard_errors
    assert near is not None
    errors = np.concatenate([np.ravel(e) for e in far.standard_errors.values()])
    assert far.newton_step == pytest.approx(np.max(np.abs(step) / errors), rel=1e-6)
    assert near.newton_step < 1e-9


def test_few_samples_are_not_flattered() -> None:
    """The error bars of one linear layer against the spread of estimates of 8 samples each."""
    model = model_of(activation="identity", depth=1)
    estimates, variances = [], []
    for seed in range(400):
        random = np.random.default_rng(seed)
        x = np.random.default_rng(99).standard_normal((8, 12))
        y = model(x) + 0.01 * random.standard_normal(x.shape)
        jacobian = numeric_jacobian(model, lambda other, x=x: other(x)).reshape(y.size, -1)
        step = np.linalg.lstsq(jacobian, (y - model(x)).ravel())[0]
        errors = rx.explain(unflat(model, flat(model) + step), data=(x, y)).standard_errors
        assert errors is not None
        estimates.append(step)
        variances.append(np.diag(errors.covariance))
    ratio = np.mean(variances, axis=0) / np.var(estimates, axis=0)
    # 400 estimates know their variance to 7 %; without the correction the ratio is about 0.8.
    np.testing.assert_allclose(ratio, 1.0, atol=0.16)


def test_blocks_of_samples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from relaxon.physics import standard_error

    model = model_of()
    data = noisy(model)
    whole = rx.explain(model, data=data).standard_errors
    monkeypatch.setattr(standard_error, "JACOBIAN_BYTES", 8 * 12 * 3 * 4)
    parts = rx.explain(model, data=data).standard_errors
    assert whole is not None
    assert parts is not None
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-12)


def test_threads_change_no_bit() -> None:
    model = model_of()
    data = noisy(model)
    one, two = (rx.explain(model, data=data, threads=n).standard_errors for n in (1, 2))
    assert one is not None
    assert two is not None
    np.testing.assert_array_equal(one.covariance, two.covariance)


def test_single_precision() -> None:
    models = [model_of(dtype=dtype) for dtype in ("float64", "float32")]
    x, y = noisy(models[0])
    wide, narrow = (
        rx.explain(model, data=(x.astype(model.dtype), y.astype(model.dtype))) for model in models
    )
    for one, other in zip(wide.processes, narrow.processes, strict=True):
        assert other.standard_error == pytest.approx(one.standard_error, rel=1e-3)
