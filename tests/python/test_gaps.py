"""Gaps in inputs: what reads them, what stands in their place, and targets that do not count."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import relaxon as rx
from relaxon.inputs.background import predict_gaps
from relaxon.model.gaps import answer, model_reach, near_gaps
from smooth_fields import smooth

Array = NDArray[Any]


def ring(n: int = 32, depth: int = 4, **options: Any) -> rx.Relaxation:
    return rx.Relaxation(rx.ADR(rx.Grid((n,)), **options), depth=depth, activation="identity")


# -- reach -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boundary", "near"),
    [("periodic", [0, 1, 2, 3, 4, 5, 6, 7]), ("neumann", [0, 1, 2, 3, 4, 5, 6])],
)
def test_cells_near_a_gap(boundary: str, near: list[int]) -> None:
    gaps = np.zeros(8, np.bool_)
    gaps[[0, 4]] = True
    # A cell that reads two cells on its low side and one on its high side.
    found = near_gaps(gaps, ((2, 1),), rx.Grid((8,), boundary=boundary))
    assert np.flatnonzero(found).tolist() == near


def test_near_is_the_shadow_of_what_the_model_reads() -> None:
    grid = rx.Grid((6, 7), boundary=("neumann", "periodic"))
    model = rx.Relaxation(rx.ADR(grid), depth=1, activation="identity", seed=2)
    model = model.with_params({"D": np.array([0.1, 0.05, 0.2])})
    for cell in ((0, 0), (3, 6), (5, 2)):
        gaps = np.zeros(grid.shape, np.bool_)
        gaps[cell] = True
        answered = model.jvp(np.zeros(grid.shape), {}, gaps.astype(np.float64))
        assert np.array_equal(answered != 0.0, near_gaps(gaps, ((1, 1), (1, 1)), grid))


@pytest.mark.parametrize(
    ("velocity", "diffusion", "reach"),
    [(0.0, 0.02, (1, 1)), (0.4, 0.02, (4, 1)), (-0.4, 0.02, (1, 4)), (0.0, 0.5, (3, 3))],
)
def test_reach_of_a_model(velocity: float, diffusion: float, reach: tuple[int, int]) -> None:
    model = ring(depth=16).with_params({"U": np.array([velocity]), "D": np.array([diffusion])})
    # omega = 1/2: 8 u cells of drift and sqrt(16 d) cells of spreading.
    assert model_reach(model) == (reach,)


def test_reach_counts_layers_and_wide_stencils() -> None:
    layered = ring(depth=4, time="layered")
    speeds = np.array([[1.0], [1.0], [2.0], [2.0]])
    assert model_reach(layered.with_params({"U": speeds, "D": np.zeros((4, 1))})) == ((3, 1),)
    grid = rx.Grid((16,))
    assert model_reach(rx.Relaxation(rx.Banded(grid, radius=3), depth=2)) == ((3, 3),)
    assert model_reach(rx.Relaxation(rx.Moments(grid, order=5), depth=2)) == ((3, 3),)


# -- what stands in a gap --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 32), (30, 12, 16), (10, 6, 8, 8)])
def test_prediction_of_gaps_is_as_good_as_it_says(shape: tuple[int, ...]) -> None:
    x = smooth(shape, 1)
    gaps = np.random.default_rng(2).random(shape) < 0.1
    found = predict_gaps(np.where(gaps, np.nan, x), gaps, rx.Grid(shape[1:]))
    error = (found.filled - x).ravel()[found.gaps]
    assert np.sqrt(np.mean(error**2)) < 0.15  # of a unit variance
    assert 0.4 < np.mean(error**2) / found.variance.mean() < 1.6
    assert np.array_equal(found.filled[~gaps], x[~gaps])
    assert np.array_equal(found.gaps, np.flatnonzero(gaps))


def test_factors_tell_how_a_gap_moves_with_its_neighbours() -> None:
    x = smooth((20, 24), 3)
    gaps = np.zeros(x.shape, np.bool_)
    gaps[:, ::6] = True
    found = predict_gaps(np.where(gaps, np.nan, x), gaps, rx.Grid((24,)))
    assert not gaps.ravel()[found.neighbours[found.neighbours >= 0]].any()
    mean = x[~gaps].mean()
    values = np.where(found.neighbours >= 0, x.ravel()[found.neighbours] - mean, 0.0)
    by_hand = mean + np.einsum("gk,gk->g", found.factors, values)
    assert np.allclose(found.filled.ravel()[found.gaps], by_hand, rtol=0, atol=1e-12)


def test_gaps_of_noisy_fields_are_predicted_without_the_noise() -> None:
    x = smooth((200, 32), 5)
    noisy = x + 0.2 * np.random.default_rng(6).standard_normal(x.shape)
    gaps = np.random.default_rng(7).random(x.shape) < 0.1
    with_noise = predict_gaps(noisy, gaps, rx.Grid((32,)))
    without = predict_gaps(noisy, gaps, rx.Grid((32,)), error=0.2)
    # As it would have been observed, 0.2^2 of its variance is noise.
    assert with_noise.variance.mean() > 0.04
    assert without.variance.mean() < 0.02
    # Undamped factors: fed with the truth, they give the truth.
    true = np.where(without.neighbours >= 0, x.ravel()[without.neighbours], 0.0)
    found = np.einsum("gk,gk->g", without.factors, true)
    error = np.mean((found - x.ravel()[without.gaps]) ** 2)
    assert error < 2.0 * without.variance.mean()


def test_prediction_knows_masks_and_lonely_gaps() -> None:
    mask = np.ones((6, 6), np.bool_)
    mask[:, 2] = False
    x = np.where(mask, smooth((12, 6, 6), 8), 1e6)
    gaps = np.zeros(x.shape, np.bool_)
    gaps[3] = mask
    gaps[5, 1, 1] = True
    found = predict_gaps(x, gaps, rx.Grid((6, 6), boundary="neumann", mask=mask))
    is_known = mask & ~gaps
    # A whole field that is missing is the mean of the others, with their variance.
    assert np.allclose(found.filled[3][mask], x[is_known].mean())
    assert np.abs(found.filled[5, 1, 1]) < 5.0
    assert (found.filled[:, ~mask] == 1e6).all()
    tiny = predict_gaps(np.array([[1.0, 2.0]]), np.array([[True, False]]), rx.Grid((2,)))
    assert tiny.filled[0, 0] == 2.0


# -- fits that drop --------------------------------------------------------------------------------


def driven(seed: int, share: float, n: int = 24, n_times: int = 120) -> tuple[Array, Array]:
    """A field that drifts, spreads and decays with fresh forcing, and where it is missing."""
    k = 2 * np.pi * np.fft.rfftfreq(n)
    step = np.exp(-0.6j * k - 0.2 * k**2 - 0.1)
    fresh = 0.5 * smooth((n_times, n), seed)
    z = np.empty((n_times, n))
    z[0] = smooth((1, n), seed + 1)[0]
    for t in range(1, n_times):
        z[t] = np.fft.irfft(step * np.fft.rfft(z[t - 1]), n) + fresh[t]
    return z, np.random.default_rng(seed + 2).random(z.shape) < share


def fit_of(x: Array, y: Array, **options: Any) -> rx.Fit:
    weights = None if np.isfinite(y).all() else np.isfinite(y)
    return rx.fit(
        ring(x.shape[1], 8),
        x,
        y,
        loss=rx.SquaredDistance(weights=weights),
        optimizer=rx.LBFGS(),
        steps=200,
        **options,
    )


def test_gaps_do_not_turn_decay_into_growth() -> None:
    z, gaps = driven(3, 0.05, n=48, n_times=240)
    holes = np.where(gaps, np.nan, z)
    full, found = fit_of(z[:-1], z[1:]), fit_of(holes[:-1], holes[1:])
    zeros = fit_of(np.nan_to_num(holes[:-1]), holes[1:])

    def diffusion(fit: rx.Fit) -> float:
        return 4.0 * float(fit.model.params["D"][0])  # 8 layers of omega 1/2

    assert abs(diffusion(found) - diffusion(full)) < 0.06
    # What was done before: twice as much spreading, for a share of 5 %.
    assert diffusion(zeros) - diffusion(full) > 0.2
    assert found.inputs is not None
    assert found.inputs.mode == "drop"
    assert found.inputs.n_gaps == np.count_nonzero(gaps[:-1])
    assert found.inputs.n_targets == np.count_nonzero(~gaps[1:])
    near = near_gaps(gaps[:-1], found.inputs.reach or (), rx.Grid((48,)))
    assert found.inputs.n_left == np.count_nonzero(~gaps[1:] & ~near)


def test_targets_near_gaps_are_not_read() -> None:
    z, gaps = driven(4, 0.02)
    x, y = np.where(gaps, np.nan, z)[:-1], z[1:]
    near = near_gaps(gaps[:-1], ((1, 1),), rx.Grid((24,)))
    first = fit_of(x, y)
    assert first.inputs is not None
    assert first.inputs.reach == ((1, 1),)
    again = fit_of(x, np.where(near, np.nan, y)).model
    for name, value in first.model.params.items():
        assert np.allclose(again.params[name], value, rtol=1e-4)
    # Loss and penalties keep their proportion: the weights that are left have the sum of all.
    n = y.size / first.inputs.n_left
    loss = rx.SquaredDistance(weights=np.where(near, 0.0, n))
    assert first.inputs.x is not None
    assert first.history.loss[0] == pytest.approx(ring(24, 8).loss(first.inputs.x, y, loss=loss))


def test_a_fast_model_drops_once_more() -> None:
    n, shift = 32, 3
    x = smooth((60, n), 9)
    gaps = np.random.default_rng(1).random(x.shape) < 0.02
    y = np.roll(x, shift, axis=1)
    found = fit_of(np.where(gaps, np.nan, x), y)
    assert found.inputs is not None
    (low, high), *_ = found.inputs.reach or ()
    assert low >= shift
    assert high == 1


def test_few_targets_left_is_a_warning_and_none_an_error() -> None:
    z, gaps = driven(5, 0.4)
    x = np.where(gaps, np.nan, z)
    with pytest.warns(UserWarning, match=r"'x'.* targets \(.*%\) are left.*inputs='estimate'"):
        fit_of(x[:-1], z[1:])
    x[:, ::3] = np.nan
    with pytest.raises(ValueError, match=r"'x'.*without a gap within reach.*inputs='estimate'"):
        fit_of(x[:-1], z[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_of(x[:-1], z[1:], inputs="fill")


def test_gaps_are_refused_where_everything_reads_everything() -> None:
    x = np.ones((4, 8))
    x[1, 2] = np.nan
    y = np.zeros((4, 8))
    grid = rx.Grid((8,))
    for model in (
        rx.Relaxation(rx.Dense(grid), depth=2),
        rx.Relaxation(rx.ADR(grid), depth=2, lift=rx.Lift(8)),
    ):
        with pytest.raises(ValueError, match=r"'x'.*no gaps.*reads all cells"):
            rx.fit(model, x, y)
    with pytest.raises(ValueError, match=r"'x'.*inputs='given'.*first at index \(1, 2\)"):
        rx.fit(ring(8), x, y, inputs="given")
    with pytest.raises(ValueError, match=r"'x'.*all values are missing"):
        rx.fit(ring(8), x * np.nan, y)
    with pytest.raises(ValueError, match=r"'validation'.*all values are missing"):
        rx.fit(ring(8), y, y, validation=(x * np.nan, y))


def test_gaps_in_arrays_of_a_wrong_shape_and_losses_of_a_wrong_type_are_named() -> None:
    mask = np.array([True] * 7 + [False])
    model = rx.Relaxation(rx.ADR(rx.Grid((8,), mask=mask)), depth=2)
    x, y = np.ones((4, 7)), np.zeros((4, 8))
    x[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"'x'.*\(batch, 8\), got \(4, 7\)"):
        rx.fit(model, x, y)
    with pytest.raises(ValueError, match=r"'validation'.*\(batch, 8\), got \(4, 7\)"):
        rx.fit(model, y, y, validation=(x, y))
    options: dict[str, Any] = {"loss": "squared"}
    with pytest.raises(TypeError, match=r"'loss'.*Distance, got 'squared'"):
        rx.fit(ring(7), x, x, **options)


def test_where_no_target_is_left_nothing_stands_on_filled_gaps() -> None:
    z = smooth((6, 12), 3)
    x = z.copy()
    x[:, ::3] = np.nan
    with pytest.raises(ValueError, match=r"'validation'.*without a gap.*none of 72"):
        rx.fit(ring(12, 2), z, 0.5 * z, validation=(x, 0.5 * z))
    with pytest.raises(ValueError, match=r"'x'.*without a gap.*none of 72.*fit\.inputs"):
        rx.explain(ring(12, 2), (x, 0.5 * z))


def test_gaps_of_constant_fields_are_that_constant() -> None:
    x = np.full((4, 12), 0.1)
    x[1, 5] = np.nan
    prediction = predict_gaps(x, np.isnan(x), rx.Grid((12,)))
    assert prediction.filled[1, 5] == pytest.approx(0.1, rel=1e-12)
    assert prediction.variance[0] == pytest.approx(0.0, abs=1e-15)
    assert rx.fit(ring(12, 2), np.where(np.isnan(x), x, 1.0), 0.5 * np.ones_like(x), steps=3)


def test_masked_cells_are_no_gaps() -> None:
    mask = np.array([True] * 7 + [False])
    model = rx.Relaxation(rx.ADR(rx.Grid((8,), mask=mask)), depth=2, activation="identity")
    x = np.where(mask, smooth((6, 8), 1), np.nan)
    given = rx.fit(model, x, 0.5 * x, inputs="given", steps=3)
    assert rx.fit(model, x, 0.5 * x, steps=3) == given


def test_validation_data_may_have_gaps() -> None:
    z, gaps = driven(6, 0.05)
    x = np.where(gaps, np.nan, z)
    near = near_gaps(gaps[60:-1], ((1, 1),), rx.Grid((24,)))
    found = fit_of(z[:59], z[1:60], validation=(x[60:-1], z[61:]), patience=5)
    hidden = np.where(near, np.nan, z[61:])
    again = fit_of(z[:59], z[1:60], validation=(x[60:-1], hidden, ~near), patience=5)
    assert np.isfinite(found.history.validation_loss).all()
    scale = near.size / np.count_nonzero(~near)
    assert np.allclose(found.history.validation_loss, scale * again.history.validation_loss)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_several_layers_planes_and_both_precisions(dtype: str) -> None:
    grid = rx.Grid((8, 10), boundary=("neumann", "periodic"))
    model = rx.Relaxation(rx.ADR(grid), depth=4, activation="identity", dtype=dtype)
    x = smooth((12, 8, 10), 2).astype(dtype)
    y = np.stack([0.9 * x, 0.8 * x], axis=1)
    x[3, 4, 5] = x[7, 0, 0] = np.nan
    loss = rx.SquaredDistance(at=[2, 4])
    found = rx.fit(model, x, y, loss=loss, optimizer=rx.LBFGS(), steps=20)
    assert found.inputs is not None
    assert found.inputs.n_targets - found.inputs.n_left == 2 * (9 + 6)
    assert found.model.params["R"].dtype == dtype


def test_answers_near_gaps_are_missing() -> None:
    model = ring(12, 2)
    x = smooth((3, 12), 4)
    whole = answer(model, x)
    assert np.array_equal(whole, model(x))
    x[1, 5] = np.nan
    found = answer(model, x)
    assert np.argwhere(np.isnan(found)).tolist() == [[1, 4], [1, 5], [1, 6]]
    assert np.array_equal(found[[0, 2]], whole[[0, 2]])
    dense = rx.Relaxation(rx.Dense(rx.Grid((12,))), depth=1)
    assert np.isnan(answer(dense, x)).any(axis=1).tolist() == [False, True, False]


def test_standard_errors_leave_out_what_the_fit_left_out() -> None:
    z, gaps = driven(7, 0.05)
    x, y = np.where(gaps, np.nan, z)[:-1], z[1:]
    found = fit_of(x, y)
    inputs = found.inputs
    assert inputs is not None
    assert inputs.x is not None
    near = near_gaps(gaps[:-1], inputs.reach or (), rx.Grid((24,)))
    loss = rx.SquaredDistance(weights=~near)
    expected = rx.explain(found.model, (inputs.x, y), loss).table()
    for given in (inputs, None):
        rows = rx.explain(found.model, (x, y), inputs=given).table()
        for row, other in zip(rows, expected, strict=True):
            if other.standard_error is not None:
                assert row.standard_error == pytest.approx(other.standard_error, rel=1e-9)
