"""The reference against numbers computed elsewhere, and its adjoint against the complex step."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import reference
import reference_activations
import registry

STEP = 1e-30


def complex_loss(case: registry.Case, params: Mapping[str, Any], x: Any) -> complex:
    states = reference.trajectory(case.network, params, x)
    weights = None if case.weights is None else case.wide(case.weights)
    value, _ = reference.squared_distance(case.network, states, case.wide(case.y), weights, case.at)
    return complex(value)


def assert_complex_step_agrees(case: registry.Case, name: str, dot: Any, grad: Any) -> None:
    """One directional derivative; the error is measured against the sum without cancellation."""
    values = {**case.wide_params, "x": np.where(case.network.grid.exists, case.wide(case.x), 0)}
    values = {key: value + 0j for key, value in values.items()}
    values[name] = values[name] + 1j * STEP * dot
    x = values.pop("x")
    derivative = complex_loss(case, values, x).imag / STEP
    scale = np.sum(np.abs(grad * dot))
    assert abs(derivative - np.sum(grad * dot)) <= 1e-12 * scale + 1e-14, name


@pytest.mark.parametrize("recorded", registry.conformance(), ids=lambda entry: entry[0].name)
def test_recorded_cases(recorded: tuple[registry.Case, float, Mapping[str, Any]]) -> None:
    case, loss, expected = recorded
    value, grads = case.reference_value_and_grad()
    actual = {**grads, "output": case.reference_trajectory()[:, -1]}
    assert abs(value - loss) <= 1e-12 * loss
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        error = np.abs(actual[name] - array).max() / np.abs(array).max()
        assert error <= 1e-12, name


@pytest.mark.parametrize("recorded", registry.conformance(), ids=lambda entry: entry[0].name)
def test_every_entry_of_the_gradient_by_complex_step(
    recorded: tuple[registry.Case, float, Mapping[str, Any]],
) -> None:
    case = recorded[0]
    _, grads = case.reference_value_and_grad()
    rng = np.random.default_rng(0)
    for name, grad in grads.items():
        entries = rng.permutation(grad.size)[:12]
        for entry in entries:
            dot = np.zeros(grad.shape)
            dot.flat[entry] = 1
            assert_complex_step_agrees(case, name, dot, grad)


@pytest.mark.parametrize(
    "case", [case for case in registry.sample() if case.dtype == np.float64], ids=lambda c: c.name
)
def test_registry_gradients_by_complex_step(case: registry.Case) -> None:
    _, grads = case.reference_value_and_grad()
    for name, dot in case.direction(seed=1).items():
        assert_complex_step_agrees(case, name, dot, grads[name])


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "hard_tanh"])
def test_kinked_slopes_by_a_study_of_central_differences(activation: str) -> None:
    """Piecewise linear functions: away from kinks the quotient is exact at every step size."""
    f, slope = reference_activations.ACTIVATIONS[activation]
    z = np.array([-3.0, -1.5, -0.7, -0.1, 0.1, 0.6, 1.4, 2.0])
    for step in 2.0 ** -np.arange(5, 20):
        quotient = (f(z + step) - f(z - step)) / (2 * step)
        np.testing.assert_allclose(quotient, slope(z), rtol=0, atol=4e-16 / step)


def test_left_slopes_at_kinks() -> None:
    kinks = {"relu": {0.0: 0.0}, "leaky_relu": {0.0: 0.01}, "hard_tanh": {-1.0: 0.0, 1.0: 1.0}}
    for activation, values in kinks.items():
        for z, expected in values.items():
            assert reference_activations.ACTIVATIONS[activation].slope(np.array([z]))[0] == expected


@pytest.mark.parametrize("penalty", [reference.l2, reference.smoothness])
def test_penalty_gradients_by_complex_step(penalty: Any) -> None:
    for case in registry.sample()[::10]:
        params = case.wide_params
        _, grads = penalty(case.network, params, 0.7)
        for name, grad in grads.items():
            dot = case.wide(case.direction(seed=2)[name])
            moved = {**params, name: params[name] + 1j * STEP * dot}
            value, _ = penalty(case.network, moved, 0.7)
            derivative = np.imag(value) / STEP
            assert abs(derivative - np.sum(grad * dot)) <= 1e-12 * np.sum(np.abs(grad * dot))


def test_registry_has_the_promised_size() -> None:
    cases = registry.sample()
    assert registry.n_combinations() >= registry.FLOOR
    assert len(cases) >= registry.SAMPLE_FLOOR
    assert {case.dtype.name for case in cases} == {"float32", "float64"}
    assert {case.network.activation for case in cases} == set(reference_activations.ACTIVATIONS)


def test_registry_meets_nearly_every_pair_of_values() -> None:
    met = set()
    for case in registry.sample():
        met |= registry.pairs(registry.choices(int(case.name.split("-")[0])))
    rng = np.random.default_rng(99)
    drawn = [registry.choices(int(i)) for i in rng.integers(registry.n_combinations(), size=2000)]
    asked = set().union(*map(registry.pairs, drawn))
    assert len(asked - met) <= 0.01 * len(asked)
