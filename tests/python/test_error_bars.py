"""Error bars of what a model has learned: of the physics, what data leave open, and the truth."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import relaxon as rx
from noisy_line import GRID, TIME, TRUE, model_of, noisy


def test_physical_errors_follow_the_full_covariance() -> None:
    model = model_of(params={**TRUE, "omega": 0.4}, trainable_omega=True, activation="tanh")
    x, y = noisy(model)
    explanation = rx.explain(model, data=(x, y))
    errors = explanation.standard_errors
    assert errors is not None
    assert errors.undetermined == ()
    c = errors.covariance
    u, omega, factor = 0.4, 0.4, 500.0 / 60.0
    gradient = factor * np.array([0.0, omega, 0.0, u])
    row = next(r for r in explanation.table() if r.process.startswith("advection"))
    assert row.standard_error == pytest.approx(np.sqrt(gradient @ c @ gradient))
    # Errors of u and omega are not independent: the diagonal alone gives another answer.
    assert row.standard_error != pytest.approx(np.sqrt(gradient**2 @ np.diag(c)), rel=0.05)
    omega_row = next(r for r in explanation.table() if r.process == "omega")
    assert omega_row.standard_error == pytest.approx(np.sqrt(c[3, 3]))


def test_moments_and_weights_of_one_stencil_have_the_same_errors() -> None:
    moments = np.array([0.95, -0.4, 0.6])
    model = model_of(rx.Moments(GRID, order=2), {"moments": moments})
    u, d = 0.4, 0.3
    weights = np.array([u / 2 + d, 0.95 - 2 * d, -u / 2 + d])
    stencil = model_of(rx.Banded(GRID, radius=1), {"weights": weights})
    x, y = noisy(model)
    tables = [rx.explain(m, data=(x, y)).table() for m in (model, stencil)]
    for one, other in zip(*tables, strict=True):
        assert one.process == other.process
        if one.bound is None:
            assert one.median == pytest.approx(other.median, abs=1e-12)
            assert one.standard_error == pytest.approx(other.standard_error, rel=1e-6)


def test_upwind_numerical_diffusion_has_the_error_of_the_drift() -> None:
    for sign in (1.0, -1.0):
        model = model_of(
            rx.ADR(GRID, scheme="upwind"), {**TRUE, "U": np.array([sign * 0.4])}, omega=0.5
        )
        rows = rx.explain(model, data=noisy(model)).table()
        drift = next(row for row in rows if row.process.startswith("advection"))
        added = next(row for row in rows if row.process.startswith("numerical"))
        assert drift.standard_error is not None
        assert added.standard_error == pytest.approx(drift.standard_error * 500.0 / 2.0)


def test_a_linear_model_does_not_determine_omega_but_the_physics() -> None:
    """Z enters as omega (W z - z): only products of omega and R, u, d can be seen."""
    model = model_of(params={**TRUE, "omega": 0.4}, trainable_omega=True, activation="identity")
    data = noisy(model)
    explanation = rx.explain(model, data=data)
    errors = explanation.standard_errors
    assert errors is not None
    assert len(errors.undetermined) == 1
    assert all(name in errors.undetermined[0] for name in ("omega", "R", "U along", "D along"))
    assert "do not determine" in str(explanation)
    assert all(np.isinf(error).all() for error in errors.standard_errors.values())
    fixed = rx.explain(model_of(omega=0.4, activation="identity"), data=data)
    for process, same in zip(explanation.processes, fixed.processes, strict=True):
        assert process.standard_error == pytest.approx(same.standard_error, rel=1e-6)
    omega = explanation.parameters[0]
    assert omega.symbol == "omega"
    assert omega.standard_error == np.inf


def test_what_the_output_does_not_depend_on_is_named() -> None:
    model = model_of(rx.ADR(GRID), bias="homogeneous", params={**TRUE, "bias": 0.0})
    x = np.ones((5, 12)) * np.arange(1.0, 6.0)[:, np.newaxis] / 10
    y = model(x) + 0.01 * np.random.default_rng(0).standard_normal(x.shape)
    explanation = rx.explain(model, data=(x, y))
    errors = explanation.standard_errors
    assert errors is not None
    text = "\n".join(errors.undetermined)
    assert "U along distance" in text
    assert "D along distance" in text
    assert np.isinf([errors.standard_errors["U"][0], errors.standard_errors["D"][0]]).all()
    assert np.isfinite([errors.standard_errors["R"], errors.standard_errors["bias"]]).all()


def test_input_of_zeros_determines_nothing() -> None:
    model = model_of()
    x = np.zeros((3, 12))
    explanation = rx.explain(model, data=(x, x + 0.1))
    errors = explanation.standard_errors
    assert errors is not None
    assert len(errors.undetermined) == 3
    assert all(p.standard_error == np.inf for p in explanation.processes)
    assert "inf" in str(explanation)


def test_what_one_sample_alone_determines_is_named() -> None:
    """Constant samples say nothing about U and D; one sample with a slope is not enough."""
    model = model_of()
    x = np.ones((6, 12)) * np.arange(1.0, 7.0)[:, np.newaxis] / 10
    x[0] += np.sin(2 * np.pi * np.arange(12) / 12)
    y = model(x) + 0.01 * np.random.default_rng(0).standard_normal(x.shape)
    errors = rx.explain(model, data=(x, y)).standard_errors
    assert errors is not None
    assert any("one sample alone" in text for text in errors.undetermined)
    assert np.isinf(errors.standard_errors["U"]).all()
    assert np.isfinite(errors.standard_errors["R"]).all()


@pytest.mark.parametrize(
    ("model", "word"),
    [
        (rx.Relaxation(rx.ADR(GRID, space="local"), depth=2), "R, U, D"),
        (rx.Relaxation(rx.ADR(GRID), depth=2, bias="local"), "(bias)"),
        (rx.Relaxation(rx.Dense(GRID), depth=2), "dense"),
        (rx.Relaxation(rx.ADR(GRID), depth=2, lift=rx.Lift(12, "identity")), "lift"),
    ],
)
def test_who_gets_no_error_bars_is_told_so(model: rx.Relaxation, word: str) -> None:
    x = np.ones((3, 12))
    explanation = rx.explain(model, data=(x, x))
    assert explanation.standard_errors is None
    assert all(row.standard_error is None for row in explanation.table())
    assert "no standard errors" in str(explanation)
    assert word in str(explanation)


def test_without_data_there_are_none() -> None:
    explanation = rx.explain(model_of())
    assert explanation.standard_errors is None
    assert "standard error" not in str(explanation)


def test_no_linearisation_still_has_errors_of_parameters() -> None:
    model = model_of(activation="relu")
    explanation = rx.explain(model, data=noisy(model))
    assert explanation.standard_errors is not None
    assert "no linearisation" in str(explanation)


def test_bad_data_are_refused() -> None:
    model = model_of()
    x, y = noisy(model)
    with pytest.raises(ValueError, match=r"argument 'data': expected at least 2 samples"):
        rx.explain(model, data=(x[:1], y[:1]))
    with pytest.raises(ValueError, match=r"argument 'data': expected at least 2 samples"):
        rx.explain(model, data=(x[0], y[0]))
    with pytest.raises(TypeError, match=r"argument 'data': expected a pair"):
        rx.explain(model, data=x)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"argument 'loss': expected SquaredDistance"):
        rx.explain(model, data=(x, y), loss=rx.Huber(1.0))
    with pytest.raises(ValueError, match="argument 'y'"):
        rx.explain(model, data=(x, y[:, :-1]))
    wild = model.with_params({"U": np.array([1e200])})
    steep = rx.Relaxation(wild.operator, depth=4, activation="identity").with_params(wild.params)
    with pytest.raises(ValueError, match="overflow"):
        rx.explain(steep, data=(x, y))


def test_an_explanation_can_be_pickled() -> None:
    model = model_of()
    explanation = rx.explain(model, data=noisy(model))
    again = pickle.loads(pickle.dumps(explanation))
    assert str(again) == str(explanation)


@pytest.mark.parametrize("is_correlated", [False, True])
def test_the_truth_lies_within_the_error_bars(is_correlated: bool) -> None:
    """bench/error_bars.py in short; correlated noise is one number for all cells of a sample."""
    truth = model_of(bias="homogeneous", params={**TRUE, "bias": 0.05})
    names = [row.median for row in rx.explain(truth).table() if row.bound is None]
    ratios = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        x = random.standard_normal((40, 12))
        y = truth(x)
        y += 0.01 * random.standard_normal((40, 1) if is_correlated else (40, 12))
        start = rx.Relaxation(truth.operator, depth=4, bias="homogeneous", **TIME)
        fit = rx.fit(start, x, y, optimizer=rx.LBFGS(), tolerance=1e-9, threads=1)
        rows = rx.explain(fit.model, data=(x, y)).table()[: len(names)]
        errors = [row.standard_error for row in rows]
        ratios.append((np.array([row.median for row in rows]) - names) / np.array(errors))
    covered = np.mean(np.abs(ratios) <= 2.0, axis=0)
    # 95 % less three times the spread of 60 draws.
    assert np.all(covered >= 0.86)
    medians = np.median(np.abs(ratios), axis=0)
    assert np.all((medians >= 0.45) & (medians <= 0.95))
