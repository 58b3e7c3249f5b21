"""Adam, L-BFGS and schedules against what they are defined to be."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import scipy.optimize

import relaxon as rx
from measures import assert_all_close, bits
from relaxon.training.optimizers import OPTIMIZERS


def student(dtype: str = "float64", space: Any = "homogeneous", **options: Any) -> rx.Relaxation:
    op = rx.ADR(rx.Grid((5, 7)), space=space)
    return rx.Relaxation(op, depth=4, bias="homogeneous", seed=1, dtype=dtype, **options)


def data(dtype: str = "float64", n: int = 12) -> tuple[Any, Any]:
    """States and what another model of the same kind makes of them."""
    teacher = rx.Relaxation(
        rx.ADR(rx.Grid((5, 7)), space="local"), depth=4, bias="homogeneous", omega=0.4, seed=9
    )
    x = np.random.default_rng(0).standard_normal((n, 5, 7))
    return x.astype(dtype), teacher(x).astype(dtype)


def numpy_adam(
    model: rx.Relaxation, x: Any, y: Any, factors: list[float], rates: dict[str, float]
) -> dict[str, Any]:
    """Algorithm 1 of the paper, line by line."""
    beta1, beta2, epsilon = 0.8, 0.99, 1e-7
    params = {name: np.array(value) for name, value in model.params.items()}
    mean = {name: np.zeros_like(value) for name, value in params.items()}
    square = {name: np.zeros_like(value) for name, value in params.items()}
    for t, factor in enumerate(factors, start=1):
        _, grads = model.with_params(params).value_and_grad(x, y)
        for name, g in grads.items():
            mean[name] = beta1 * mean[name] + (1 - beta1) * g
            square[name] = beta2 * square[name] + (1 - beta2) * g * g
            m = mean[name] / (1 - beta1**t)
            v = square[name] / (1 - beta2**t)
            params[name] = params[name] - factor * rates[name] * m / (np.sqrt(v) + epsilon)
    return params


@pytest.mark.parametrize("space", ["homogeneous", "local"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 2e-5)])
def test_adam_is_that_of_the_paper(space: str, dtype: str, tolerance: float) -> None:
    model = student(dtype, space)
    x, y = data(dtype)
    rates = {"R": 1e-2, "U": 2e-2, "D": 5e-3, "bias": 0.0}
    adam = rx.Adam(rate=rates, beta1=0.8, beta2=0.99, epsilon=1e-7)
    fit = rx.fit(model, x, y, optimizer=adam, steps=10)
    wide = model.astype("float64")
    expected = numpy_adam(wide, x.astype("f8"), y.astype("f8"), [1.0] * 10, rates)
    assert_all_close(fit.model.params, expected, tolerance)
    assert fit.model.dtype == dtype
    np.testing.assert_array_equal(fit.model.params["bias"], model.params["bias"])


def test_adam_lowers_the_loss_and_keeps_masked_cells_finite() -> None:
    mask = np.ones((5, 7), bool)
    mask[2, 3] = False
    model = rx.Relaxation(rx.ADR(rx.Grid((5, 7), mask=mask), space="local"), depth=4, seed=1)
    x, y = data()
    y[:, ~mask] = np.nan
    fit = rx.fit(model, x, y, optimizer=rx.Adam(rate=1e-2), steps=200)
    assert fit.model.loss(x, y) < 0.2 * model.loss(x, y)
    assert all(np.all(np.isfinite(value)) for value in fit.model.params.values())


SCHEDULES: dict[str, Any] = {
    "exponential": rx.ExponentialDecay(0.5, every=4),
    "cosine": rx.CosineDecay(6, floor=0.2, warmup=2),
    "function": lambda step: 1.0 / (1 + step),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_multiply_the_rate(name: str) -> None:
    schedule = SCHEDULES[name]
    model, (x, y) = student(), data()
    adam = rx.Adam(rate=1e-2, beta1=0.8, beta2=0.99, epsilon=1e-7, schedule=schedule)
    fit = rx.fit(model, x, y, optimizer=adam, steps=10)
    factors = [schedule(step) for step in range(10)]
    np.testing.assert_allclose(fit.history.rate, 1e-2 * np.array(factors), rtol=1e-15)
    rates = dict.fromkeys(model.params, 1e-2)
    assert_all_close(fit.model.params, numpy_adam(model, x, y, factors, rates), 1e-13)


def test_a_schedule_for_steepest_descent() -> None:
    model, (x, y) = student(), data()
    schedule = rx.ExponentialDecay(0.5)
    optimizer = rx.SteepestDescent(rate=1e-2, schedule=schedule)
    fit = rx.fit(model, x, y, optimizer=optimizer, steps=3)
    by_hand = model
    for step in range(3):
        _, grads = by_hand.value_and_grad(x, y)
        rate = 1e-2 * schedule(step)
        params = {name: p - rate * grads[name] for name, p in by_hand.params.items()}
        by_hand = by_hand.with_params(params)
    assert_all_close(fit.model.params, dict(by_hand.params), 1e-14)


def test_cosine_decay_is_smooth_at_its_ends() -> None:
    schedule = rx.CosineDecay(100, floor=0.1, warmup=10)
    values = np.array([schedule(step) for step in range(130)])
    assert values.max() == 1.0
    assert values[0] == pytest.approx(1 / 11)
    np.testing.assert_allclose(values[110:], 0.1)
    assert np.all(np.diff(values[:11]) > 0)
    assert np.all(np.diff(values[10:111]) < 0)
    assert np.abs(np.diff(values[10:])).max() < 0.02


def by_scipy(model: rx.Relaxation, x: Any, y: Any, bounds: Any = None) -> Any:
    """L-BFGS-B called by hand with the model's own value and gradient."""
    names = list(model.params)
    cuts = np.cumsum([model.params[name].size for name in names])[:-1]

    def unpack(v: Any) -> dict[str, Any]:
        parts = np.split(v, cuts)
        return {n: p.reshape(model.params[n].shape) for n, p in zip(names, parts, strict=True)}

    def value_and_gradient(v: Any) -> tuple[float, Any]:
        value, grads = model.with_params(unpack(v)).value_and_grad(x, y)
        return value, np.concatenate([grads[name].ravel() for name in names])

    start = np.concatenate([model.params[name].ravel() for name in names])
    result = scipy.optimize.minimize(
        value_and_gradient,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 0.0, "gtol": 0.0, "maxcor": 7, "maxiter": 25},
    )
    return unpack(result.x), result.fun


def test_lbfgs_takes_the_steps_of_scipy() -> None:
    model, (x, y) = student(), data()
    fit = rx.fit(model, x, y, optimizer=rx.LBFGS(memory=7), steps=25, tolerance=0.0)
    expected, value = by_scipy(model, x, y)
    assert fit.status is rx.Status.STEPS
    assert len(fit.history) == 25
    assert_all_close(fit.model.params, expected, 1e-7)
    assert fit.model.loss(x, y) == pytest.approx(value, rel=1e-10)
    assert fit.history.loss[0] == model.loss(x, y)
    assert np.all(np.diff(fit.history.loss) < 0)


def test_lbfgs_has_scipys_bounds() -> None:
    model, (x, y) = student(), data()
    free = rx.fit(model, x, y, optimizer=rx.LBFGS(), steps=100)
    start = float(model.params["R"])
    half = start + 0.5 * (float(free.model.params["R"]) - start)
    pair = (None, half) if half > start else (half, None)
    fit = rx.fit(
        model, x, y, optimizer=rx.LBFGS(memory=7), steps=25, tolerance=0.0, bounds={"R": pair}
    )
    sizes = [model.params[name].size for name in model.params]
    limits = [pair if name == "R" else (None, None) for name in model.params]
    bounds = [limit for limit, size in zip(limits, sizes, strict=True) for _ in range(size)]
    expected, _ = by_scipy(model, x, y, bounds)
    assert float(fit.model.params["R"]) == half
    assert_all_close(fit.model.params, expected, 1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_lbfgs_converges_in_both_precisions(dtype: str) -> None:
    model, (x, y) = student(dtype, "local"), data(dtype)
    fit = rx.fit(model, x, y, optimizer=rx.LBFGS(), steps=500, tolerance=1e-3)
    assert fit.status is rx.Status.CONVERGED
    assert fit.model.dtype == dtype
    norms = [
        np.sqrt(sum(np.sum(np.square(grad)) for grad in at.value_and_grad(x, y)[1].values()))
        for at in (model, fit.model)
    ]
    assert norms[1] <= 1e-3 * norms[0]


def test_lbfgs_lowers_penalties_and_ends_where_descent_ends() -> None:
    model, (x, y) = student(), data()
    penalties = (rx.L2(0.05, of="U"),)
    fits = [
        rx.fit(model, x, y, optimizer=o, penalties=penalties, steps=5000, tolerance=1e-8)
        for o in (rx.LBFGS(), rx.SteepestDescent(rate=1e-3, line_search="barzilai-borwein"))
    ]
    assert fits[0].history.penalty[-1] > 0
    assert len(fits[0].history) < len(fits[1].history)
    assert_all_close(fits[0].model.params, dict(fits[1].model.params), 1e-5)


def test_lbfgs_survives_trial_steps_that_overflow() -> None:
    """The first trial adds 1 to R, which multiplies the signal by 1.5 in each of 4000 layers."""
    model = rx.Relaxation(rx.ADR(rx.Grid((16,))), depth=4000, activation="identity")
    model = model.with_params({"R": np.zeros(()), "U": np.zeros(1), "D": np.full(1, 0.1)})
    x = np.ones((1, 16))
    assert not np.isfinite(model.with_params({"R": np.ones(())}).loss(x, 2.0 * x))
    fit = rx.fit(model, x, 2.0 * x, optimizer=rx.LBFGS(), steps=50)
    assert fit.status is rx.Status.CONVERGED
    assert (1.0 + 0.5 * float(fit.model.params["R"])) ** 4000 == pytest.approx(2.0, rel=1e-6)


def test_lbfgs_validates_stops_and_can_be_called_back() -> None:
    model, (x, y) = student(space="local"), data()
    validation = data(n=20)[0][12:], data(n=20)[1][12:]
    seen: list[int] = []

    def callback(state: Any) -> bool:
        seen.append(state.step)
        assert set(state.model.params) == set(model.params)
        return bool(state.step == 5)

    fit = rx.fit(
        model, x, y, optimizer=rx.LBFGS(), validation=validation, callbacks=[callback], steps=50
    )
    assert fit.status is rx.Status.CALLBACK
    assert seen == [1, 2, 3, 4, 5]
    assert len(fit.history) == 5
    noise = np.random.default_rng(1).standard_normal(y.shape)
    patient = rx.fit(
        model,
        x,
        y + noise,
        optimizer=rx.LBFGS(),
        validation=validation,
        patience=3,
        steps=500,
        tolerance=0.0,
    )
    assert patient.status is rx.Status.PATIENCE
    best = int(np.nanargmin(patient.history.validation_loss))
    assert len(patient.history) == best + 3 + 1
    at_best = patient.history.validation_loss[best]
    assert patient.model.loss(*validation) == pytest.approx(at_best, rel=1e-12)


def test_lbfgs_repeats_bit_by_bit_for_any_threads_and_budget() -> None:
    model, (x, y) = student(space="local"), data()
    runs = []
    for options in ({"threads": 1}, {"threads": 2}, {"memory": "1 MiB", "threads": 3}):
        fit = rx.fit(model, x, y, optimizer=rx.LBFGS(), steps=10, **options)
        runs.append((bits(fit.model.params), fit.history))
    assert all(run == runs[0] for run in runs)


def test_lbfgs_may_end_in_a_poor_minimum_where_omega_is_one() -> None:
    """What docs/accuracy.md says, and that its first step is one long."""
    n, random = 32, np.random.default_rng(0)
    phases = np.outer(np.arange(1, 6), 2 * np.pi * np.arange(n) / n)
    x = random.standard_normal((20, 5)) @ np.cos(phases) / 3
    x += random.standard_normal((20, 5)) @ np.sin(phases) / 3
    k = 2 * np.pi * np.fft.rfftfreq(n)
    y = np.fft.irfft(np.fft.rfft(x) * np.exp(-3j * k - 1.5 * k**2), n)

    def end(omega: float, optimizer: Any) -> tuple[rx.Fit, float]:
        op = rx.ADR(rx.Grid((n,)))
        model = rx.Relaxation(op, depth=6, activation="identity", omega=omega)
        fit = rx.fit(model, x, y, optimizer=optimizer)
        assert fit.status is rx.Status.CONVERGED
        return fit, fit.model.loss(x, y) / float(np.mean(np.sum(y**2, axis=1)))

    secant = rx.SteepestDescent(rate=1e-4, line_search="barzilai-borwein")
    poor, error = end(1.0, rx.LBFGS())
    assert error > 0.8
    assert poor.model.params["R"] < -1.0
    good = end(1.0, secant)[1]
    assert good < 0.005
    assert end(0.5, rx.LBFGS())[1] == pytest.approx(good, rel=1e-3)
    assert poor.history.rate[0] * poor.history.gradient_norm[0] == pytest.approx(1.0)


def test_lbfgs_that_starts_at_overflow_diverges() -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((5,))), depth=400, activation="identity", omega=1.0)
    model = model.with_params({"R": np.asarray(1e3)})
    x = np.ones((2, 5))
    with pytest.raises(rx.DivergenceError, match="step 1") as caught:
        rx.fit(model, x, x, optimizer=rx.LBFGS())
    assert "start from smaller parameters (model.with_params)" in str(caught.value)


@pytest.mark.parametrize(
    ("optimizer", "step", "cure"),
    [
        (rx.LBFGS(), 2, "bound the parameters (bounds=), use fewer layers or scale x and y"),
        (
            rx.SteepestDescent(rate=1e3, line_search="armijo"),
            1,
            "lower the rate, bound the parameters (bounds=) or scale x and y",
        ),
        (rx.SteepestDescent(rate=1e3), 2, "lower the rate or use a line search"),
        (rx.Adam(rate=1e3), 2, "lower the rate or use a line search"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, rx.Adam) else None,
)
def test_divergence_tells_what_helps_with_this_optimizer(
    optimizer: Any, step: int, cure: str
) -> None:
    """From a good start; targets of 1e16 make steps so long that float32 overflows."""
    op = rx.ADR(rx.Grid((5,)))
    model = rx.Relaxation(op, depth=100, activation="identity", dtype="float32")
    x = np.random.default_rng(0).standard_normal((2, 5)).astype(np.float32)
    y = np.ascontiguousarray(1e16 * x[::-1], dtype=np.float32)
    with pytest.raises(rx.DivergenceError, match=f"step {step}: ") as caught:
        rx.fit(model, x, y, optimizer=optimizer, steps=200)
    assert str(caught.value).endswith(f"; {cure}")
    searches = optimizer._is_line_search
    assert ("the loss of every trial step" in str(caught.value)) == searches


@pytest.mark.parametrize(
    "optimizer", [rx.LBFGS(), rx.Adam(rate=1.0), rx.SteepestDescent(1.0, line_search="armijo")]
)
def test_a_start_that_overflows_is_at_fault_itself(optimizer: Any) -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((5,))), depth=400, activation="identity", omega=1.0)
    model = model.with_params({"R": np.asarray(1e3)})
    with pytest.raises(rx.DivergenceError, match="the state is not finite") as caught:
        rx.fit(model, np.ones((2, 5)), np.ones((2, 5)), optimizer=optimizer)
    assert "start from smaller parameters" in str(caught.value)
    assert "the rate" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "error", "word"),
    [
        (lambda: rx.Adam(rate=-1.0), ValueError, "rate"),
        (lambda: rx.Adam(rate="fast"), TypeError, "rate"),  # type: ignore[arg-type]
        (lambda: rx.Adam(rate={"R": 0.0}), ValueError, "rate"),
        (lambda: rx.Adam(rate=1.0, beta1=1.0), ValueError, "beta1"),
        (lambda: rx.Adam(rate=1.0, beta2=-0.1), ValueError, "beta2"),
        (lambda: rx.Adam(rate=1.0, epsilon=0.0), ValueError, "epsilon"),
        (lambda: rx.Adam(rate=1.0, schedule=0.5), TypeError, "schedule"),  # type: ignore[arg-type]
        (lambda: rx.LBFGS(memory=0), ValueError, "memory"),
        (lambda: rx.LBFGS(memory=2.5), TypeError, "memory"),  # type: ignore[arg-type]
        (lambda: rx.LBFGS(max_line_search=0), ValueError, "max_line_search"),
        (
            lambda: rx.SteepestDescent(1.0, line_search="armijo", schedule=rx.CosineDecay(3)),
            ValueError,
            "schedule",
        ),
        (lambda: rx.ExponentialDecay(0.0), ValueError, "decay"),
        (lambda: rx.ExponentialDecay(1.1), ValueError, "decay"),
        (lambda: rx.ExponentialDecay(0.5, every=0), ValueError, "every"),
        (lambda: rx.CosineDecay(0), ValueError, "steps"),
        (lambda: rx.CosineDecay(5, floor=1.5), ValueError, "floor"),
        (lambda: rx.CosineDecay(5, warmup=-1), ValueError, "warmup"),
    ],
)
def test_wrong_settings_are_refused(make: Any, error: Any, word: str) -> None:
    with pytest.raises(error, match=f"argument '{word}'"):
        make()


@pytest.mark.parametrize("value", [-0.5, float("nan"), "half", None])
def test_wrong_factors_are_refused_before_any_step(value: Any) -> None:
    model, (x, y) = student(), data()
    optimizer = rx.Adam(rate=1e-3, schedule=lambda step: 1.0 if step < 7 else value)
    with pytest.raises((TypeError, ValueError), match=r"'schedule': .* from schedule\(7\)$"):
        rx.fit(model, x, y, optimizer=optimizer, steps=8)
    rx.fit(model, x, y, optimizer=optimizer, steps=7)


def raise_key_error(step: int) -> float:
    raise KeyError(step)


@pytest.mark.parametrize(
    ("schedule", "error", "cause", "words"),
    [
        (raise_key_error, ValueError, KeyError, "one that raised KeyError at step 0: 0"),
        (lambda: 1.0, TypeError, TypeError, "one that raised TypeError at step 0: "),
        (lambda step: 1 / (2 - step), ValueError, ZeroDivisionError, "at step 2: division"),
        (lambda step: 0.0, ValueError, None, "a factor above 0 at some step, got 0 at all 8"),
    ],
)
@pytest.mark.parametrize("kind", [rx.Adam, rx.SteepestDescent])
def test_schedules_that_raise_or_end_at_nothing_are_named(
    kind: Any, schedule: Any, error: Any, cause: Any, words: str
) -> None:
    model, (x, y) = student(), data()
    with pytest.raises(error, match="argument 'schedule': expected") as caught:
        rx.fit(model, x, y, optimizer=kind(rate=1e-3, schedule=schedule), steps=8)
    assert words in str(caught.value)
    assert (
        caught.value.__cause__ is None
        if cause is None
        else isinstance(caught.value.__cause__, cause)
    )


def things() -> list[Any]:
    model, (x, y) = student(), data()
    fit = rx.fit(model, x, y, steps=3, validation=(x, y))
    return [
        *(make(0.1) for make in OPTIMIZERS.values()),
        rx.Adam(rate=0.1, schedule=rx.CosineDecay(5)),
        rx.LBFGS(memory=3),
        rx.ExponentialDecay(0.5),
        rx.CosineDecay(5),
        fit,
        fit.history,
        rx.fit(model, x, y, steps=3),
    ]


@pytest.mark.parametrize("index", range(7 + len(OPTIMIZERS)))
def test_repr_equality_copies_and_pickles(index: int) -> None:
    made = things()
    thing = made[index]
    assert type(thing).__name__ in repr(thing)
    assert len(repr(thing)) < 400
    for other in (copy.copy(thing), copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))):
        assert other == thing
        assert repr(other) == repr(thing)
    assert all(other != thing for k, other in enumerate(made) if k != index)


def test_a_fit_tells_its_result_in_short() -> None:
    model, (x, y) = student(), data()
    fit = rx.fit(model, x, y, steps=3, validation=(x, y), penalties=(rx.L2(0.1),))
    text = repr(fit)
    for part in ("status=STEPS", "steps=3", f"loss={fit.history.loss[-1]:.6g}", "penalty="):
        assert part in text
    assert f"validation_loss={fit.history.validation_loss.min():.6g}" in text
    assert repr(fit.history).startswith("History(3 steps")
