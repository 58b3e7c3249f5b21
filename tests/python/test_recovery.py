"""Recovery of known coefficients: the measurement of bench/recovery.py, made short."""

from __future__ import annotations

import numpy as np
import pytest

from bench import recovery


def test_the_solver_agrees_with_itself_on_half_the_cells() -> None:
    fine = recovery.random_states(np.random.default_rng(0))[:2]
    times = np.array([0.1, 0.24])
    coarse = recovery.solve(fine[:, ::2], times)
    assert coarse.shape == (2, 2, recovery.FINE_CELLS // 2)
    np.testing.assert_allclose(coarse, recovery.solve(fine, times)[..., ::2], atol=1e-7)


def test_noise_has_the_size_that_is_asked_for_on_every_array() -> None:
    for seen, clean in zip(recovery.make_data(3, noise=0.01), recovery.make_data(3), strict=True):
        assert (seen - clean).std() / clean.std() == pytest.approx(0.01, rel=0.05)


def test_fields_are_recovered_without_noise() -> None:
    model = recovery.train(recovery.make_model(0), *recovery.make_data(0), steps=2500)
    errors = recovery.errors(model)
    assert errors["R"] < 0.02
    assert errors["U"] < 0.005
    assert errors["D"] < 0.01


def test_fields_are_recovered_from_noise_with_the_smoothness_that_validation_chooses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recovery, "STRENGTHS", ((0.0, 0.0), (1e5, 100.0)))
    model = recovery.make_model(0)
    x, y = recovery.make_data(0, recovery.NOISE)
    strengths = recovery.choose_strengths(model, x, y)
    assert strengths == (1e5, 100.0)
    errors = recovery.errors(recovery.train(model, x, y, strengths, steps=500))
    assert max(errors.values()) < 0.1
    without = recovery.errors(recovery.train(model, x, y, steps=500))
    assert without["R"] > 0.2


def test_central_differences_leave_their_numerical_diffusion_in_d() -> None:
    model = recovery.train(
        recovery.make_model(0, scheme="central"), *recovery.make_data(0), steps=1500
    )
    q = recovery.positions(recovery.CELLS)
    true = recovery.true_fields(q)
    found = recovery.read_fields(model)["D"]
    predicted = true["D"] + true["U"] ** 2 * recovery.TIME_PER_LAYER / 2
    assert np.linalg.norm(found - predicted) < 0.5 * np.linalg.norm(found - true["D"])
