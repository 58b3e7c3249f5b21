"""Constraints of training: feasible after every step, retractions, and what is refused."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import relaxon as rx
from bench import stability as bench
from relaxon.physics.stability_words import describe_start
from small_fits import OPTIMIZERS, data, model_of

Array = NDArray[Any]
KINDS = ("monotone", "stable")
SCHEMES = ("central", "upwind", "lax-wendroff")
STEPS = {name: made for name, made in OPTIMIZERS.items() if not isinstance(made, rx.LBFGS)}


def excess(model: Any, constraint: str) -> float:
    """By how much any cell and layer breaks the inequalities, as they are written down.

    For any grid, scheme, theta and omega: coefficients against every omega that they meet.
    """
    grid, op, theta = model.grid, model.operator, model.theta
    ndim, depth = grid.ndim, model.depth
    omega = np.asarray(model.omega, np.float64)
    if omega.ndim == 1 and omega.shape == (depth,):
        omega = omega.reshape(-1, *(1,) * ndim)
    else:
        omega = omega.reshape((1, *(grid.shape if omega.ndim else (1,) * ndim)))

    def spread(values: Array) -> Array:
        values = np.asarray(values, np.float64)
        values = values if op.is_layered else values[np.newaxis]
        return values if op.is_local else values.reshape(values.shape + (1,) * ndim)

    reaction = spread(model.params["R"])
    u, d = (np.moveaxis(spread(model.params[name]), 1, 0) for name in ("U", "D"))
    along = op.diagonal()
    mixed = np.delete(d, along, axis=0)
    d = d[along]
    rate = (1 - 2 * theta) * omega
    added = {"central": 0.0 * u, "upwind": np.abs(u) / 2, "lax-wendroff": rate * u**2 / 2}
    e = d + added[op.scheme]
    bound = omega * (1 - theta) if constraint == "monotone" else rate
    broken = [-d]
    if constraint == "monotone":
        broken += [np.abs(u) - 2 * e, bound * (2 * e.sum(axis=0) - reaction) - 1, np.abs(mixed)]
    else:
        with np.errstate(all="ignore"):
            ratio = np.where(u == 0, 0, u**2 / (2 * e)).sum(axis=0)
        broken += [2 * bound * e.sum(axis=0) - 1, bound * ratio - 1]
    exists = np.ones(grid.shape, bool) if grid.mask is None else grid.mask
    sizes = [
        float(np.broadcast_to(b, np.broadcast_shapes(b.shape, grid.shape))[..., exists].max())
        for b in broken
        if b.size
    ]
    return max(0.0, *sizes)


def retracted(model: Any, constraint: str) -> Any:
    """Where training starts: a step that is too short to move anything."""
    x = np.zeros((2, *model.grid.shape), model.dtype)
    y = x + 1
    step = rx.SteepestDescent(rate=1e-300 if model.dtype == np.float64 else 1e-40)
    return rx.fit(model, x, y, optimizer=step, steps=1, constraint=constraint).model


def random_model(seed: int, scheme: str, space: Any, time: Any, **options: Any) -> rx.Relaxation:
    random = np.random.default_rng(seed)
    shape = [(9,), (4, 5), (3, 3, 4)][seed % 3]
    mask = random.random(shape) > 0.2 if space == "local" else None
    op = rx.ADR(rx.Grid(shape, mask=mask), space=space, time=time, scheme=scheme)
    form = {0: (), 1: (3,), 2: shape}[int(random.integers(3))]
    omega = np.asarray(random.uniform(0.2, 1.6, form), options.get("dtype", "float64"))
    model = rx.Relaxation(op, depth=3, omega=omega, activation="identity", **options)
    size = random.choice([0.1, 1.0, 10.0])
    return model.with_params(
        {
            n: (size * random.standard_normal(v.shape)).astype(model.dtype)
            for n, v in model.params.items()
        }
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("constraint", KINDS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_retractions_are_feasible_idempotent_and_keep_what_is_feasible(
    scheme: str, constraint: str, dtype: str
) -> None:
    n_moved = 0
    for seed in range(24):
        space, time = ("homogeneous", "local")[seed % 2], ("constant", "layered")[seed // 2 % 2]
        theta = (0.0, 0.3)[seed // 4 % 2]
        model = random_model(seed, scheme, space, time, dtype=dtype, theta=theta)
        once = retracted(model, constraint)
        assert excess(once, constraint) <= 1e-12
        twice = retracted(once, constraint)
        for name, value in once.params.items():
            np.testing.assert_array_equal(twice.params[name], value)
        n_moved += excess(model, constraint) > 0.0
        if constraint == "stable":
            np.testing.assert_array_equal(once.params["R"], model.params["R"])
        mask = model.grid.mask
        if mask is not None:
            for name, value in model.params.items():
                np.testing.assert_array_equal(once.params[name][..., ~mask], value[..., ~mask])
    assert n_moved > 15


def test_monotone_cuts_the_drift_then_shrinks_both() -> None:
    op = rx.ADR(rx.Grid((5,)))
    model = rx.Relaxation(op, depth=2, omega=0.5)
    cases = [
        # R, u, d: inside; too fast; too much diffusion; both; against the drift; no diffusion
        ((0.0, 0.3, 0.2), (0.0, 0.3, 0.2)),
        ((0.0, -0.9, 0.2), (0.0, -0.4, 0.2)),
        ((0.0, 0.5, 2.0), (0.0, 0.25, 1.0)),
        ((-1.0, 9.0, 1.0), (-1.0, 1.0, 0.5)),
        ((0.0, 0.5, -0.1), (0.0, 0.0, 0.0)),
        ((-3.0, 0.1, 0.1), (-2.0, 0.0, 0.0)),
    ]
    for (reaction, u, d), expected in cases:
        params = {"R": np.array(reaction), "U": np.array([u]), "D": np.array([d])}
        found = retracted(model.with_params(params), "monotone").params
        got = [float(found["R"]), float(found["U"][0]), float(found["D"][0])]
        assert got == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_stable_shrinks_diffusion_then_drift_and_leaves_mixed_diffusion_alone() -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((4, 5))), depth=2, omega=0.5)
    params = {"R": np.array(7.0), "U": np.array([2.0, 0.0]), "D": np.array([1.5, 0.7, 0.5])}
    found = retracted(model.with_params(params), "stable").params
    # 2 omega sum d = 2 becomes 1; omega u^2 / (2 d) = 4 / 3 becomes 1.
    np.testing.assert_allclose(found["D"], [0.75, 0.7, 0.25], rtol=1e-12)
    np.testing.assert_allclose(found["U"], [np.sqrt(3.0), 0.0], rtol=1e-12)
    assert float(found["R"]) == 7.0


@pytest.mark.parametrize("constraint", KINDS)
@pytest.mark.parametrize("kind", STEPS)
def test_every_step_of_every_optimizer_is_feasible(kind: str, constraint: str) -> None:
    model, (x, y) = model_of("local", omega=0.9), data()
    y = np.roll(y, 1, axis=2)
    n_near = 0

    def look(state: Any) -> bool:
        nonlocal n_near
        assert excess(state.model, constraint) <= 1e-12
        d, omega = state.model.params["D"], 0.9
        n_near += bool(np.any(2 * omega * (d[0] + d[2]) > 0.99)) or bool(np.any(d[[0, 2]] == 0))
        return False

    fit = rx.fit(
        model, x, y, optimizer=STEPS[kind], steps=25,
        constraint=constraint, callbacks=[look],
    )  # fmt: skip
    if kind not in ("fixed", "momentum"):
        assert fit.history.loss[-1] < fit.history.loss[0]
    assert n_near, "the constraint has never mattered"
    again = rx.fit(
        model, x, y, optimizer=STEPS[kind], steps=25,
        constraint=constraint, threads=2, memory="1 MiB",
    )  # fmt: skip
    assert again.model == fit.model


def test_a_fit_that_diverges_without_ends_with_either() -> None:
    assert bench.check_constraint(None, steps=40)[0].startswith("diverged")
    for constraint in KINDS:
        end, loss, worst = bench.check_constraint(constraint, steps=40)
        assert end == "steps"
        assert np.isfinite(loss)
        assert worst <= 1e-15


def test_momentum_remembers_the_way_that_was_left() -> None:
    """Where the retraction stops a parameter, the velocity is the way that was left, 0 here."""
    model = rx.Relaxation(rx.ADR(rx.Grid((6,))), depth=1, activation="identity", omega=0.5)
    model = model.with_params({"R": np.array(0.0), "U": np.zeros(1), "D": np.array([1.0])})
    x = np.random.default_rng(0).standard_normal((3, 6))
    further = model.with_params({"D": np.array([5.0])})(x)
    seen: list[float] = []
    rx.fit(
        model, x, further, optimizer=rx.SteepestDescent(rate=1e-3, momentum=0.9), steps=5,
        constraint="stable", callbacks=[lambda state: seen.append(state.model.params["D"][0])],
        trainable={"R": False, "U": False},
    )  # fmt: skip
    assert seen == [1.0] * 5


def test_a_checkpoint_holds_the_constraint(tmp_path: Any) -> None:
    model, (x, y) = model_of("local"), data()
    options: dict[str, Any] = {"optimizer": rx.Adam(rate=0.1), "checkpoint": tmp_path / "c"}
    whole = rx.fit(model, x, y, optimizer=rx.Adam(rate=0.1), steps=8, constraint="stable")
    stop = [lambda state: state.step == 3]
    rx.fit(model, x, y, steps=8, constraint="stable", callbacks=stop, **options)
    with pytest.raises(ValueError, match="constraint"):
        rx.fit(model, x, y, steps=8, **options)
    resumed = rx.fit(model, x, y, steps=8, constraint="stable", **options)
    assert resumed.model == whole.model


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "unknown": (model_of(), {"constraint": "stabel"}, "monotone.*stable"),
    "lbfgs": (model_of(), {"optimizer": rx.LBFGS()}, "SteepestDescent, Adam"),
    "theta": (model_of(theta=0.5), {}, "leave it out"),
    "omega": (model_of(trainable_omega=True), {}, "trainable={'omega': False}"),
    "operator": (rx.Relaxation(rx.Dense(rx.Grid((5, 7))), depth=2), {}, "use ADR"),
    "kept": (model_of(), {"trainable": {"U": False}}, "train U as well"),
    "bounds": (model_of(), {"bounds": {"D": (0.05, None)}}, "0 between them"),
    "reaction": (
        model_of().with_params({"R": np.array(-3.0)}),
        {"constraint": "monotone", "trainable": {"R": False}},
        "train R as well",
    ),
    "reaction bound": (
        model_of().with_params({"R": np.array(-3.0)}),
        {"constraint": "monotone", "bounds": {"R": (None, -2.5)}},
        "upper bound of 'R'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_kept_is_refused_with_a_cure(name: str) -> None:
    model, options, words = REFUSED[name]
    if name == "bounds":
        model = model.with_params({"D": np.full(3, 0.2)})
    x, y = data()
    settings = {"constraint": "stable", "optimizer": rx.Adam(rate=1e-3), **options}
    with pytest.raises((TypeError, ValueError), match=words):
        rx.fit(model, x, y, steps=1, **settings)


def test_what_is_kept_may_be_zero_and_omega_may_be_kept() -> None:
    model, (x, y) = model_of(trainable_omega=True), data()
    model = model.with_params({"U": np.zeros(2)})
    kept = {"U": False, "omega": False}
    fit = rx.fit(model, x, y, steps=3, constraint="monotone", trainable=kept)
    assert not fit.model.params["U"].any()
    assert excess(fit.model, "monotone") <= 1e-12


# -- the start of a fit -----------------------------------------------------------------------


def test_a_start_over_a_bound_warns_once_with_numbers_and_cures() -> None:
    model, (x, y) = model_of("local"), data()
    model = model.with_params({"D": np.full((3, 5, 7), 0.9)})
    with pytest.warns(UserWarning, match="starts over a bound") as caught:
        rx.fit(model, x, y, optimizer=rx.Adam(rate=1e-6), steps=2)
    assert len(caught) == 1
    text = str(caught[0].message)
    assert caught[0].filename == __file__
    assert "2 omega s sum d = 1.8 (stable up to 1), over it in 100 %" in text
    assert "theta=1" in text
    assert "advective" not in text


def test_starts_that_have_no_bound_or_keep_one_do_not_warn() -> None:
    x, y = data()
    beyond = {"D": np.full(3, 0.9)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rx.fit(model_of(), x, y, steps=2)
        rx.fit(model_of(theta=1.0).with_params(beyond), x, y, steps=1)
        rx.fit(model_of().with_params(beyond), x, y, steps=2, constraint="monotone")
        rx.fit(rx.Relaxation(rx.Dense(rx.Grid((5, 7))), depth=2), x, y, steps=1)
        moments = rx.Relaxation(rx.Moments(rx.Grid((7,)), order=2), depth=2)
        rx.fit(moments, x[:, 0], y[:, 0], steps=1)
    slow = model_of(theta=0.25).with_params({"D": np.full(3, 1.5)})
    assert "(1 - 2 theta) 2 omega s sum d = 1.5" in describe_start(slow)
    # Negative diffusion is over the bound at every theta, and no theta helps.
    wrong = model_of(theta=1.0).with_params({"D": np.full(3, -0.5)})
    assert "theta=" not in describe_start(wrong)
    assert "lower bound" in describe_start(wrong)


def test_lax_wendroff_is_advised_no_theta_that_it_cannot_take() -> None:
    op = rx.ADR(rx.Grid((5, 7)), scheme="lax-wendroff")
    model = rx.Relaxation(op, depth=2).with_params({"D": np.full(3, 0.9)})
    assert "(theta=0.5)" in describe_start(model)
