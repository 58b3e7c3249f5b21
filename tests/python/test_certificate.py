"""Certificates: the recorded ones, the extremes that they bound, and nets that have to obey."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import reference_activations
import registry
import relaxon as rx
from bench import stability as bench
from relaxon._core import slope_range

Array = NDArray[Any]
RECORDED = registry.recorded("attractor")


def recorded_model(entry: Any, arrays: Any) -> Any:
    """One layer of a recorded net, whose certificate is that of its attractor."""
    whole = {**entry, "depth": 1, "loss": 0.0}
    own = {f"{entry['name']}/{name}": value for name, value in arrays.items()}
    case, _, _ = registry.conformance_case(whole, own)
    return replace(case, x=arrays["x"]).model()


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda item: item[0]["name"])
def test_recorded_certificates(recorded: Any) -> None:
    entry, arrays = recorded
    found = rx.stability(recorded_model(entry, arrays)).certificate
    if entry["certificate"] is None:
        assert found is None
        return
    assert found is not None
    # The recorded largest slope of silu is 7e-10 below the true one, which no bound may be.
    tolerance = 1e-8 if entry["activation"] == "silu" else 1e-11
    for name in ("mu", "factor", "omega_max"):
        assert getattr(found, name) == pytest.approx(entry["certificate"][name], rel=tolerance)
    assert found.is_certified == entry["certificate"]["is_certified"]


@pytest.mark.parametrize("activation", reference_activations.ACTIVATIONS)
def test_slopes_stay_within_their_range_and_fill_it(activation: str) -> None:
    low, high = slope_range(activation)
    z = np.linspace(-12.0, 12.0, 240_001)
    slopes = reference_activations.ACTIVATIONS[activation].slope(z)
    assert low <= slopes.min()
    assert slopes.max() <= high
    if activation == "square":
        assert (low, high) == (-math.inf, math.inf)
    else:
        assert slopes.min() - low + high - slopes.max() <= 2e-5


def largest_norm(model: Any) -> float:
    """Of a layer's Jacobian over all vertices of the box of slopes, explicit, up to 5 cells."""
    op, n = model.operator, int(np.prod(model.grid.shape))
    params = {name: model.params[name] for name in op.parameter_names()}
    matrix = op.to_dense(params, omega=model.omega)
    exists = np.ones(n, bool) if model.grid.mask is None else model.grid.mask.ravel()
    matrix = matrix[np.ix_(exists, exists)]
    rate = np.broadcast_to(model.omega.ravel(), n)[exists]
    box = slope_range(model.activation)
    norms = []
    for slopes in itertools.product(box, repeat=len(rate)):
        jacobian = np.diag(1.0 - rate) + (rate * np.array(slopes))[:, None] * matrix
        norms.append(np.abs(jacobian).sum(axis=1).max())
    return float(max(norms))


@pytest.mark.parametrize("activation", bench.ACTIVATIONS)
@pytest.mark.parametrize("form", ["scalar", "cell"])
def test_factor_is_the_exact_maximum_over_all_slopes(activation: str, form: str) -> None:
    random = np.random.default_rng(len(activation))
    mask = np.array([True, True, False, True, True, True])
    grids = (rx.Grid((5,)), rx.Grid((6,), boundary="neumann", mask=mask))
    for grid in grids:
        for op in (rx.ADR(grid, space="local", scheme="lax-wendroff"), rx.Dense(grid)):
            omega: Any = 1.3 if form == "scalar" else random.uniform(0.1, 1.9, (1, *grid.shape))
            model = rx.Relaxation(op, depth=1, activation=activation, omega=omega)
            noise = {n: 0.7 * random.standard_normal(v.shape) for n, v in model.params.items()}
            model = model.with_params(noise)
            certificate = rx.stability(model).certificate
            assert certificate is not None
            assert certificate.factor == pytest.approx(largest_norm(model), rel=1e-13)


def adr(n: int = 12, **options: Any) -> rx.Relaxation:
    settings = {"depth": 3, "activation": "tanh", "omega": 0.5, **options}
    time = settings.pop("time", "constant")
    return rx.Relaxation(rx.ADR(rx.Grid((n,)), time=time), **settings)


def test_a_monotone_operator_certifies_at_any_diffusion() -> None:
    """mu = 1 + max R, whatever the diffusion, which bounds omega only."""
    for d in (0.1, 1.0, 100.0):
        params = {"R": np.array(-0.25), "U": np.array([0.1]), "D": np.array([d])}
        certificate = rx.stability(adr().with_params(params)).certificate
        assert certificate is not None
        assert certificate.mu == pytest.approx(0.75, rel=1e-12)
        centre = 0.75 - 2 * d
        assert certificate.omega_max == pytest.approx(1 / (1 - min(0.0, centre)), rel=1e-12)
        assert certificate.is_certified == (d <= 1.0 and certificate.omega_max >= 0.5) or d == 1.0


def test_backward_euler_contracts_for_every_omega() -> None:
    params = {"R": np.array(-0.25), "U": np.array([0.1]), "D": np.array([100.0])}
    for omega in (0.1, 1.0, 50.0):
        certificate = rx.stability(adr(omega=omega, theta=1.0).with_params(params)).certificate
        assert certificate is not None
        assert certificate.factor == pytest.approx(1 / (1 + omega * 0.25), rel=1e-10)


def test_layers_are_told_apart() -> None:
    model = adr(time="layered").with_params(
        {"R": np.array([-0.5, -0.1, -0.3]), "U": np.zeros((3, 1)), "D": np.full((3, 1), 0.1)}
    )
    certificate = rx.stability(model).certificate
    assert certificate is not None
    assert (certificate.layer, certificate.is_layered) == (1, True)
    assert certificate.factor == pytest.approx(0.95)
    with pytest.raises(ValueError, match="share one operator"):
        certificate.depth(1e-3, 1.0)
    omega = np.array([0.5, 0.2, 0.9])
    same = {"R": np.array(-0.5), "U": np.zeros(1), "D": np.array([0.1])}
    shared = rx.stability(adr(omega=omega).with_params(same)).certificate
    assert shared is not None
    assert (shared.layer, shared.is_layered) == (1, False)
    assert shared.depth(1e-3, 1.0) == math.ceil(math.log(1e-3 * 0.5) / math.log(0.9))


def test_the_worst_cell_is_named_and_masked_ones_do_not_count() -> None:
    mask = np.ones((4, 5), bool)
    mask[0] = False
    op = rx.ADR(rx.Grid((4, 5), mask=mask), space="local")
    model = rx.Relaxation(op, depth=2, dtype="float32")
    params = {name: np.zeros_like(value) for name, value in model.params.items()}
    params["R"] = np.full((4, 5), -0.5, np.float32)
    params["R"][0] = 9.0
    params["R"][2, 3] = -0.125
    certificate = rx.stability(model.with_params(params)).certificate
    assert certificate is not None
    assert (certificate.mu, certificate.cell) == (0.875, (2, 3))


def test_where_nothing_is_certified_it_says_so() -> None:
    square = rx.stability(adr(activation="square"))
    assert square.certificate is None
    assert "slopes of square have no bound" in str(square)
    soft = rx.stability(adr(beta=0.1))
    assert soft.certificate is None
    assert "beta" in str(soft)
    growing = {"R": np.array(0.5), "U": np.zeros(1), "D": np.array([0.1])}
    certificate = rx.stability(adr().with_params(growing)).certificate
    assert certificate is not None
    assert not certificate.is_certified
    assert "not certified: mu = 1.5" in str(certificate)
    with pytest.raises(ValueError, match=r"mu = 1\.5"):
        certificate.depth(1e-3, 1.0)
    with pytest.raises(ValueError, match=r"mu = 1\.5"):
        _ = certificate.layers_per_decade


def test_depth_checks_its_numbers() -> None:
    certificate = rx.stability(adr(activation="logistic")).certificate
    assert certificate is not None
    assert certificate.depth(1.0, 0.0) == certificate.depth(2.0, 1.0) == 0
    with pytest.raises(ValueError, match="tolerance"):
        certificate.depth(0.0, 1.0)
    with pytest.raises(ValueError, match="residual"):
        certificate.depth(1.0, -1.0)


def test_certified_nets_obey() -> None:
    """A sample of bench/stability.py: contraction, error bound and predicted depth."""
    tally = bench.check_certificates(30, seed=1)
    assert tally.worst_ratio <= 1.0 + 1e-12
    assert tally.worst_ratio > 0.99, "nothing has come near the bound"
    assert tally.worst_bound <= 1.0 + 1e-9
    assert tally.n_short == 0


def test_one_attractor_is_told_where_layers_are_too_long() -> None:
    op = rx.ADR(rx.Grid((8,)))
    model = rx.Relaxation(op, 3, omega=1.0)
    model = model.with_params({"R": np.array(-0.5), "U": np.zeros(1), "D": np.array([2.0])})
    certificate = rx.stability(model).certificate
    assert certificate is not None
    assert certificate.mu < 1.0 < certificate.factor
    assert str(certificate).startswith("there is one attractor, mu = 0.5; that layers lead to it")
