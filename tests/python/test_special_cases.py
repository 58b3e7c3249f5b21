"""Networks whose answers are known: identity, single cells, symmetries, eleven activations."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import reference_activations
import relaxon as rx

Array = np.ndarray[Any, Any]

ACTIVATIONS = tuple(reference_activations.ACTIVATIONS)
ODD = ("identity", "tanh", "sin", "hard_tanh")


def coefficients(
    reaction: float = 0.0, drift: float = 0.0, diffusion: float = 0.0
) -> dict[str, Array]:
    return {"R": np.array(reaction), "U": np.array([drift]), "D": np.array([diffusion])}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_without_processes_layers_return_their_input(dtype: Any) -> None:
    x = np.random.default_rng(0).standard_normal((3, 32)).astype(dtype)
    op = rx.ADR(rx.Grid((32,)))
    params = {name: value.astype(dtype) for name, value in coefficients().items()}
    for omega, is_exact in ((1.0, True), (0.3, False)):
        model = rx.Relaxation(op, 50, "identity", omega, dtype=dtype).with_params(params)
        if is_exact:
            np.testing.assert_array_equal(model(x), x)
        np.testing.assert_allclose(model(x), x, rtol=50 * np.finfo(dtype).eps)
    free = rx.Relaxation(rx.Dense(rx.Grid((32,))), 50, "identity", 1.0, dtype=dtype)
    np.testing.assert_array_equal(free.with_params({"W": np.eye(32, dtype=dtype)})(x), x)


@pytest.mark.parametrize("omega", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("b", [0.0, 0.3, 1.5])
def test_the_upper_state_of_the_square_is_never_stable(b: float, omega: float) -> None:
    """Slopes 1 +- q: the lower one is an attractor where omega q < 2."""
    q = np.sqrt(1 + 4 * b)
    model = rx.Relaxation(
        rx.ADR(rx.Grid((1,))), 1, activation="square", omega=omega, bias="homogeneous"
    ).with_params({**coefficients(), "bias": np.array(b)})
    for sign, is_stable in ((-1, omega * q < 2), (1, False)):
        exact = (2 * b + 1 + sign * q) / 2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            found = rx.attractor(model, np.array([exact + 1e-3]), method="newton")
        assert found.z[0] == pytest.approx(exact, abs=1e-9)
        assert bool(found.is_stable) == is_stable
        assert found.spectral_radius() == pytest.approx(abs(1 + sign * omega * q), abs=1e-8)


@pytest.mark.parametrize(("depth", "theta"), [(12, 0.0), (12, 1.0), ("attractor", 0.0)])
def test_a_ring_does_not_know_where_it_is(depth: Any, theta: float) -> None:
    x = np.random.default_rng(1).standard_normal((2, 9, 16))
    params = {"R": np.array(-0.4), "U": np.array([0.2, -0.1]), "D": np.array([0.2, 0.05, 0.3])}
    model = rx.Relaxation(rx.ADR(rx.Grid((9, 16))), depth, theta=theta, drive=depth != 12)
    model = model.with_params(params)
    moved, shifted = model(np.roll(x, (2, 5), (1, 2))), np.roll(model(x), (2, 5), (1, 2))
    np.testing.assert_allclose(moved, shifted, atol=1e-9 if depth != 12 else 1e-12)
    if depth == 12 and not theta:
        np.testing.assert_array_equal(moved, shifted)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_networks_of_odd_activations_are_odd(activation: str) -> None:
    x = np.random.default_rng(2).standard_normal((3, 24))
    model = rx.Relaxation(rx.ADR(rx.Grid((24,))), 8, activation)
    model = model.with_params(coefficients(-0.1, 0.3, 0.2))
    assert np.array_equal(model(-x), -model(x)) == (activation in ODD)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_answers_a_uniform_source(activation: str) -> None:
    """All cells alike: z = f((1 + R) z + x), a number, whatever the transport."""
    from scipy.optimize import brentq

    function = reference_activations.ACTIVATIONS[activation][0]
    model = rx.Relaxation(rx.ADR(rx.Grid((16,))), "attractor", activation, 0.3, drive=True)
    model = model.with_params(coefficients(-0.8, 0.1, 0.1))
    for source in (-0.4, 0.1, 0.7):
        expected = brentq(
            lambda z, x=source: z - float(function(np.array(0.2 * z + x))), -2.0, 2.0, xtol=1e-15
        )
        found = rx.attractor(model, np.full(16, source), tol=1e-13)
        assert found.success, found.message
        np.testing.assert_allclose(found.z, expected, atol=1e-12)
        assert (found.certificate is None) == (activation == "square")
