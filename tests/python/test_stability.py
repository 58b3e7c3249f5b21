"""Stability and Peclet numbers: against numbers worked out by hand, and against what layers do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import relaxon as rx
from relaxon.physics.numbers import format_percent
from relaxon.physics.stability import Stability
from relaxon.physics.stability_words import stability_number

Array = NDArray[Any]
LINE = rx.Grid((16,), names=("x",))
PLANE = rx.Grid((6, 8), names=("y", "x"))


def stability_of(operator: Any, params: dict[str, Any], **options: Any) -> Stability:
    settings = {"depth": 3, "activation": "identity", "omega": 0.5, **options}
    model = rx.Relaxation(operator, **settings)
    model = model.with_params({k: np.asarray(v, model.dtype) for k, v in params.items()})
    stability = rx.explain(model).stability
    assert stability is not None
    return stability


def test_numbers_of_a_plane() -> None:
    params = {"R": -0.1, "U": [0.3, -0.2], "D": [0.5, 0.05, 0.25]}
    stability = stability_of(rx.ADR(PLANE), params)
    assert stability.diffusive == pytest.approx(2 * 0.5 * 0.75)
    assert stability.advective == pytest.approx(0.5 * (0.09 / 1.0 + 0.04 / 0.5))
    assert [float(p) for p in stability.peclet] == pytest.approx([0.6, 0.8])
    assert stability.share == 0.0
    assert stability.cures == ()


def test_the_scheme_adds_its_diffusion() -> None:
    params = {"R": 0.0, "U": [-0.6], "D": [0.1]}
    upwind = stability_of(rx.ADR(LINE, scheme="upwind"), params)
    assert upwind.diffusive == pytest.approx(2 * 0.5 * 0.4)
    assert upwind.advective == pytest.approx(0.5 * 0.36 / 0.8)
    assert float(upwind.peclet[0]) == pytest.approx(0.6 / 0.4)
    wendroff = stability_of(rx.ADR(LINE, scheme="lax-wendroff"), params)
    added = 0.5 * 0.36 / 2
    assert wendroff.diffusive == pytest.approx(2 * 0.5 * (0.1 + added))
    assert float(wendroff.peclet[0]) == pytest.approx(0.6 / (0.1 + added))


def test_slope_of_the_activation_enters() -> None:
    params = {"R": 0.0, "U": [0.6], "D": [0.4]}
    stability = stability_of(rx.ADR(LINE), params, activation="logistic")
    assert stability.diffusive == pytest.approx(2 * 0.5 * 0.25 * 0.4)
    assert stability.advective == pytest.approx(0.5 * 0.25 * 0.36 / 0.8)
    # The Peclet number compares two processes that the slope scales alike.
    assert float(stability.peclet[0]) == pytest.approx(1.5)


def test_layers_and_omega_per_layer() -> None:
    params = {"R": np.zeros(3), "U": [[0.2], [0.4], [0.6]], "D": [[0.5], [1.0], [1.5]]}
    omega = np.array([0.5, 0.5, 0.4])
    stability = stability_of(rx.ADR(LINE, time="layered"), params, omega=omega)
    assert stability.diffusive == pytest.approx([0.5, 1.0, 1.2])
    assert stability.diffusive_share == pytest.approx(1 / 3)
    assert stability.share == pytest.approx(1 / 3)
    constant = stability_of(rx.ADR(LINE), {"R": 0.0, "U": [0.2], "D": [0.5]}, omega=omega)
    assert constant.diffusive == pytest.approx(2 * omega * 0.5)


def test_cells_omega_per_cell_and_mask() -> None:
    mask = np.ones(16, dtype=bool)
    mask[:4] = False
    grid = LINE.replace(mask=mask)
    d = np.linspace(0.1, 2.0, 16)
    u = np.full(16, 0.1)
    u[:4] = 1e9
    omega = np.linspace(0.2, 0.9, 16)
    stability = stability_of(
        rx.ADR(grid, space="local"), {"R": np.zeros(16), "U": [u], "D": [d]}, omega=omega
    )
    assert np.isnan(stability.diffusive[:4]).all()
    assert np.isnan(stability.peclet[0][:4]).all()
    assert stability.diffusive[4:] == pytest.approx(2 * omega[4:] * d[4:])
    assert stability.diffusive_share == pytest.approx(np.mean((2 * omega * d)[4:] > 1))
    assert stability.advective_share == 0.0


@pytest.mark.parametrize(
    ("u", "d", "advective", "peclet"),
    [
        (0.5, 0.0, np.inf, np.inf),
        (0.5, -0.1, np.inf, np.inf),
        (0.0, -0.1, np.inf, np.inf),
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 0.2, 0.0, 0.0),
    ],
)
def test_diffusion_that_is_not_positive(
    u: float, d: float, advective: float, peclet: float
) -> None:
    stability = stability_of(rx.ADR(LINE), {"R": 0.0, "U": [u], "D": [d]})
    assert float(stability.advective) == advective
    assert float(stability.peclet[0]) == peclet


def test_infinite_numbers_do_not_spoil_the_table() -> None:
    d = np.linspace(-1.0, 1.0, 16)
    model = rx.Relaxation(rx.ADR(LINE, space="local"), depth=3).with_params({"D": d[np.newaxis]})
    rows = {row.process: row for row in rx.explain(model).table() if row.bound is not None}
    row = rows["cell Peclet number along x"]
    assert np.isinf(row.high)
    assert np.isfinite(row.low)
    assert row.share_over is not None
    assert row.share_over >= 0.5
    assert "inf" in str(rx.explain(model))


def test_no_relaxation_and_negative_rates() -> None:
    params = {"R": 0.0, "U": [0.5], "D": [0.0]}
    still = stability_of(rx.ADR(LINE), params, omega=0.0)
    assert (float(still.diffusive), float(still.advective)) == (0.0, 0.0)
    params = {"R": 0.0, "U": [0.1], "D": [-0.3], "omega": -0.5}
    turned = stability_of(rx.ADR(LINE), params, trainable_omega=True)
    # Backwards in time with negative diffusion is forwards in time with a positive one.
    assert float(turned.diffusive) == pytest.approx(2 * 0.5 * 0.3)
    assert float(turned.advective) == pytest.approx(0.5 * 0.01 / 0.6)


def test_stencils_of_three_points_have_bounds_and_wider_ones_none() -> None:
    u, d = 0.3, 0.25
    weights = {"weights": [u / 2 + d, 0.9 - 2 * d, -u / 2 + d]}
    banded = stability_of(rx.Banded(LINE, radius=1), weights)
    moments = stability_of(rx.Moments(LINE, order=2), {"moments": [0.9, -u, 2 * d]})
    for stability in (banded, moments):
        assert float(stability.diffusive) == pytest.approx(2 * 0.5 * d)
        assert float(stability.advective) == pytest.approx(0.5 * u**2 / (2 * d))
    first = stability_of(rx.Moments(LINE, order=1), {"moments": [0.9, -u]})
    assert np.isinf(first.advective)
    for operator in (rx.Banded(LINE, radius=2), rx.Moments(LINE, order=3), rx.Dense(LINE)):
        assert rx.explain(rx.Relaxation(operator, depth=2)).stability is None
    assert rx.explain(rx.Relaxation(rx.ADR(LINE), depth=2, activation="relu")).stability is None


def growth(operator: Any, params: dict[str, Any], omega: float) -> float:
    """Largest modulus of a layer's eigenvalues on a periodic grid without reaction."""
    matrix = operator.to_dense({k: np.asarray(v, float) for k, v in params.items()}, omega=omega)
    layer = (1 - omega) * np.eye(len(matrix)) + omega * matrix
    return float(np.abs(np.linalg.eigvals(layer)).max())


@pytest.mark.parametrize("scheme", ["central", "upwind", "lax-wendroff"])
def test_bounds_tell_which_layers_amplify(scheme: str) -> None:
    """Necessary and sufficient on a line: eigenvalues leave the unit circle above them."""
    operator = rx.ADR(rx.Grid((64,)), scheme=scheme)
    random = np.random.default_rng(0)
    n_stable = 0
    for _ in range(150):
        omega, u, d = random.uniform([0.1, -1.5, 0.0], [1.0, 1.5, 1.0])
        params = {"R": 0.0, "U": [u], "D": [d]}
        stability = stability_of(operator, params, omega=omega)
        numbers = float(stability.diffusive), float(stability.advective)
        if max(abs(n - 1.0) for n in numbers) < 0.02:
            continue
        is_stable = growth(operator, params, omega) <= 1.0 + 1e-9
        assert is_stable == (stability.share == 0.0), (omega, u, d, numbers)
        n_stable += is_stable
    assert 20 < n_stable < 130


def test_planes_within_the_bounds_do_not_amplify() -> None:
    random = np.random.default_rng(1)
    operator = rx.ADR(rx.Grid((16, 16)))
    for _ in range(30):
        omega = random.uniform(0.1, 1.0)
        u, d = random.uniform(-1, 1, 2), random.uniform(0.0, 0.5, 2)
        params = {"R": 0.0, "U": u, "D": [d[0], 0.0, d[1]]}
        if stability_of(operator, params, omega=omega).share == 0.0:
            assert growth(operator, params, omega) <= 1.0 + 1e-9


def test_cures_stand_in_the_result_where_a_bound_is_passed() -> None:
    fast = {"R": 0.0, "U": [1.0], "D": [0.1]}
    stability = stability_of(rx.ADR(LINE), fast)
    assert stability.advective_share == 1.0
    assert stability.diffusive_share == 0.0
    text = str(stability)
    assert "usual cures" in text
    assert "100 %" in text
    assert "upwind" in text
    assert "smaller omega" in text
    upwind = stability_of(rx.ADR(LINE, scheme="upwind"), {**fast, "U": [3.0]})
    assert upwind.share == 1.0
    assert "'upwind'" not in str(upwind)
    diffusive = str(stability_of(rx.ADR(LINE), {"R": 0.0, "U": [0.0], "D": [3.0]}))
    assert "on D" in diffusive
    assert "upwind" not in diffusive
    model = rx.Relaxation(rx.ADR(LINE), depth=2, omega=0.5).with_params({"U": np.array([1.0])})
    assert "usual cures" in str(rx.explain(model))


def test_the_message_of_a_divergence_uses_the_same_numbers() -> None:
    model = rx.Relaxation(rx.ADR(LINE), depth=2, omega=0.5, activation="tanh")
    params = {"U": np.array([0.2]), "D": np.array([3.0]), "omega": np.array(0.5)}
    assert stability_number(model, params) == "2 omega sum d = 3, stable up to 1"
    params["U"] = np.array([10.0])
    assert stability_number(model, params) == "omega sum u^2 / (2 d) = 8.33, stable up to 1"
    params["D"] = np.array([-1.0])
    assert "= inf" in stability_number(model, params)
    assert "not positive" in stability_number(model, params)
    nothing = {name: np.full_like(value, np.nan) for name, value in params.items()}
    assert "no numbers" in stability_number(model, nothing)


def test_shares_in_per_cent() -> None:
    texts = [format_percent(share) for share in (0.0, 1e-5, 0.0314, 0.5, 0.99999, 1.0)]
    assert texts == ["0 %", "< 0.1 %", "3.14 %", "50 %", "> 99.9 %", "100 %"]


def test_the_message_of_a_divergence_knows_theta() -> None:
    params = {"U": np.array([0.2]), "D": np.array([3.0]), "omega": np.array(0.5)}
    slow = rx.Relaxation(rx.ADR(LINE), depth=2, theta=0.25)
    assert stability_number(slow, params) == "(1 - 2 theta) 2 omega sum d = 1.5, stable up to 1"
    assert stability_number(rx.Relaxation(rx.ADR(LINE), depth=2, theta=1.0), params) == ""
    # What grows within the bounds is a reaction: there the growth itself is told.
    model = rx.Relaxation(rx.ADR(LINE), depth=400, activation="identity", omega=1.0)
    model = model.with_params({"R": np.array(9.0), "U": np.zeros(1), "D": np.array([0.1])})
    x = np.random.default_rng(0).standard_normal((2, 16))
    with pytest.raises(rx.DivergenceError, match="over no stability bound"):
        rx.fit(model, x, x, steps=2)


def test_cures_know_theta_and_scheme() -> None:
    beyond = {"R": 0.0, "U": [0.1], "D": [3.0]}
    assert "theta=0.5 or theta=1" in str(stability_of(rx.ADR(LINE), beyond))
    assert stability_of(rx.ADR(LINE), beyond, theta=0.5).cures == ()
    wrong = {"R": 0.0, "U": [0.1], "D": [-3.0]}
    implicit = stability_of(rx.ADR(LINE), wrong, theta=1.0)
    assert implicit.share == 1.0
    assert "theta=" not in "; ".join(implicit.cures)
    assert "(theta = 1)" in str(implicit)


@pytest.mark.parametrize(("time", "is_local"), [("constant", False), ("layered", True)])
def test_every_number_is_named_by_its_kind(time: Any, is_local: bool) -> None:
    op = rx.ADR(PLANE, space="local" if is_local else "homogeneous", time=time)
    found = rx.stability(rx.Relaxation(op, depth=2))
    head, *rows = found.rows()
    assert head[:2] == ["number", "kind"]
    kinds = {row[0].split(",")[0]: row[1] for row in rows}
    own = "frozen" if is_local else "bound"
    assert kinds["diffusive stability"] == kinds["amplification of a wave"] == own
    assert kinds["contraction"] == "certificate"
    assert ("spectral radius of a layer" in kinds) == is_local
    assert ("neither necessary nor sufficient" in str(found)) == is_local
    wide = rx.stability(rx.Relaxation(rx.Moments(LINE, order=4), depth=2))
    assert [row[1] for row in wide.rows()[1:]] == ["bound", *3 * ["certificate"]]
    assert wide.share == 0.0


def test_implicit_layers_list_no_bounds_of_explicit_ones() -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((16,))), depth=2, activation="identity", theta=1.0)
    params = {"R": np.array(-0.1), "U": np.array([0.5]), "D": np.array([30.0])}
    found = rx.stability(model.with_params(params))
    assert found.is_stable
    assert not any("omega s sum" in text for row in found.rows() for text in row)
    assert "stability: theta = 1, and from 1/2 on there is no bound" in str(found)
    names = [row.process for row in rx.explain(model.with_params(params)).table()]
    assert not any("stability" in name for name in names)
    assert "cell Peclet number along axis 0" in names
    # A diffusion that is not positive is over a bound of every theta.
    worse = rx.stability(model.with_params(params | {"D": np.array([-0.1])}))
    assert worse.has_bounds
    assert any("omega s sum" in text for row in worse.rows() for text in row)
