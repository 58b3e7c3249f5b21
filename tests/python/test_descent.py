"""Steepest descent: its steps, line searches, endings, and what it leaves untouched."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import reference
import reference_grid
import registry
import relaxon as rx
from interruption import run_interrupted
from measures import assert_all_close, bits
from operators import OPERATORS


def problem(seed: int = 0) -> registry.Case:
    """A student with random parameters, taught by another network: the least loss is 0."""
    rng = np.random.default_rng(seed)
    grid = reference_grid.Grid((5, 7), (("neumann", "neumann"), ("periodic", "periodic")), (1, 1))
    network = reference.Network(grid, OPERATORS["adr-central"], 4, "tanh", np.asarray(0.5))
    space = "homogeneous"
    teacher = registry.draw_params(rng, network, space, bias="homogeneous")
    student = {name: 0.3 * value for name, value in teacher.items()}
    x = rng.standard_normal((12, 5, 7))
    y = reference.forward(network, teacher, x)
    return registry.Case("taught", network, student, x, y, space=space, bias="homogeneous")


def descend(case: registry.Case, optimizer: Any, steps: int = 40, **options: Any) -> Any:
    return rx.fit(case.model(), case.x, case.y, optimizer=optimizer, steps=steps, **options)


def numpy_descent(
    case: registry.Case, rates: dict[str, float], momentum: float, steps: int
) -> dict[str, Any]:
    """Heavy ball written out: v <- momentum v - rate g, p <- p + v."""
    params = dict(case.params)
    velocity = {name: np.zeros_like(value) for name, value in params.items()}
    for _ in range(steps):
        _, grads = reference.value_and_grad(case.network, params, case.x, case.y)
        for name in params:
            velocity[name] = momentum * velocity[name] - rates[name] * grads[name]
            params[name] = params[name] + velocity[name]
    return params


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "fixed": {"rate": 1e-3},
    "momentum": {"rate": 1e-3, "momentum": 0.8},
    "armijo": {"rate": 1e-2, "line_search": "armijo"},
    "barzilai-borwein": {"rate": 1e-3, "line_search": "barzilai-borwein"},
}
over_optimizers = pytest.mark.parametrize("kind", OPTIMIZERS)


@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_steps_are_those_of_the_formula(momentum: float) -> None:
    case = problem()
    rates = dict.fromkeys(case.params, 2e-3)
    fit = descend(case, rx.SteepestDescent(rate=2e-3, momentum=momentum), steps=6)
    assert_all_close(fit.model.params, numpy_descent(case, rates, momentum, 6), 1e-11)


@pytest.mark.filterwarnings("ignore:training starts over a bound")
@pytest.mark.parametrize("case", registry.sample()[::8], ids=lambda case: case.name)
def test_one_step_on_the_registry(case: registry.Case) -> None:
    """Weights, targets at layers, masks with NaN under them and trained omega take part in fits."""
    _, grads = case.reference_value_and_grad()
    grads.pop("x")
    rate = 0.01 / max(float(np.abs(grad).max()) for grad in grads.values())
    fit = rx.fit(
        case.model(),
        case.x,
        case.y,
        loss=case.loss(),
        optimizer=rx.SteepestDescent(rate=rate),
        steps=1,
    )
    expected = {name: case.wide(value) - rate * grads[name] for name, value in case.params.items()}
    assert_all_close(fit.model.params, expected, case.tolerance)


def test_rates_per_parameter() -> None:
    case = problem()
    rates = {"R": 1e-3, "U": 4e-3, "D": 5e-4, "bias": 2e-3}
    fit = descend(case, rx.SteepestDescent(rate=rates), steps=5)
    assert_all_close(fit.model.params, numpy_descent(case, rates, 0.0, 5), 1e-11)


def test_a_rate_of_zero_keeps_a_parameter() -> None:
    case = problem()
    rates = {"R": 1e-3, "U": 0.0, "D": 1e-3, "bias": 1e-3}
    fit = descend(case, rx.SteepestDescent(rate=rates), steps=5)
    np.testing.assert_array_equal(fit.model.params["U"], case.params["U"])
    assert np.any(fit.model.params["R"] != case.params["R"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@over_optimizers
def test_every_way_of_stepping_reduces_the_loss(kind: str, dtype: str) -> None:
    case = problem().astype(dtype)
    model = case.model()
    start = model.loss(case.x, case.y)
    fit = descend(case, rx.SteepestDescent(**OPTIMIZERS[kind]), steps=150)
    assert fit.model.loss(case.x, case.y) < 0.2 * start
    assert fit.model.dtype == dtype


@over_optimizers
def test_runs_repeat_bit_by_bit_for_any_threads_and_budget(kind: str) -> None:
    case = problem()
    optimizer = rx.SteepestDescent(**OPTIMIZERS[kind])
    runs = []
    for options in ({}, {}, {"threads": 1}, {"threads": 2}, {"memory": "1 MiB", "threads": 3}):
        fit = descend(case, optimizer, steps=30, validation=(case.x[:4], case.y[:4]), **options)
        names = ("loss", "penalty", "validation_loss", "gradient_norm", "rate")
        history = {name: getattr(fit.history, name) for name in names}
        runs.append((bits(fit.model.params), bits(history)))
    assert all(run == runs[0] for run in runs)


def test_armijo_never_goes_up() -> None:
    case = problem()
    fit = descend(case, rx.SteepestDescent(rate=50.0, line_search="armijo"), steps=60)
    assert np.all(np.diff(fit.history.loss) <= 0)
    assert fit.history.rate[0] < 50.0, "a first trial step this long must have been cut back"


def test_line_searches_beat_the_fixed_rate() -> None:
    case = problem()
    final = {
        kind: descend(case, rx.SteepestDescent(**options), steps=100).model.loss(case.x, case.y)
        for kind, options in OPTIMIZERS.items()
    }
    assert final["armijo"] < final["fixed"]
    assert final["barzilai-borwein"] < final["fixed"]


@over_optimizers
def test_history_has_one_entry_per_step(kind: str) -> None:
    case = problem()
    fit = descend(case, rx.SteepestDescent(**OPTIMIZERS[kind]), steps=23)
    assert fit.status is rx.Status.STEPS
    assert isinstance(fit.message, str)
    assert fit.message
    assert fit.seconds >= 0
    for name in ("loss", "penalty", "validation_loss", "gradient_norm", "rate"):
        values = getattr(fit.history, name)
        assert values.dtype == np.float64
        assert values.shape == (23,), name
    assert np.all(fit.history.rate > 0)
    assert np.all(fit.history.penalty == 0)


def test_fit_leaves_model_and_data_alone() -> None:
    case = problem()
    model = case.model()
    x, y, w = case.x.copy(), case.y.copy(), np.ones(case.x.shape[1:])
    before = bits({"x": x, "y": y, "w": w, **model.params})
    fit = rx.fit(model, x, y, loss=rx.SquaredDistance(weights=w), steps=5)
    assert bits({"x": x, "y": y, "w": w, **model.params}) == before
    assert fit.model is not model
    with pytest.raises(ValueError, match="read-only"):
        fit.model.params["R"][...] = 1.0


def test_already_at_the_minimum_means_converged() -> None:
    case = problem()
    y = case.model()(case.x)
    fit = rx.fit(case.model(), case.x, y, optimizer=rx.SteepestDescent(rate=1e-3), steps=500)
    assert fit.status is rx.Status.CONVERGED
    assert len(fit.history.loss) < 500
    assert_all_close(fit.model.params, dict(case.params), 1e-12)


def test_convergence_is_measured_by_the_tolerance() -> None:
    case = problem()
    lengths = []
    for tolerance in (1e-2, 1e-4):
        optimizer = rx.SteepestDescent(rate=1e-2, line_search="barzilai-borwein")
        fit = descend(case, optimizer, steps=5000, tolerance=tolerance)
        assert fit.status is rx.Status.CONVERGED
        lengths.append(len(fit.history.loss))
    assert lengths[0] < lengths[1]


def test_a_true_callback_ends_the_fit() -> None:
    case = problem()
    seen: list[tuple[int, float]] = []

    def callback(state: Any) -> bool:
        assert set(state.model.params) == set(case.params)
        seen.append((state.step, state.loss))
        return len(seen) == 4

    fit = descend(case, rx.SteepestDescent(rate=1e-3), steps=1000, callbacks=(callback,))
    assert fit.status is rx.Status.CALLBACK
    steps = [step for step, _ in seen]
    assert steps == sorted(set(steps))
    assert len(fit.history.loss) == steps[-1] < 1000
    again: list[tuple[int, float]] = []

    def record(state: Any) -> bool:
        again.append((state.step, state.loss))
        return len(again) == 4

    descend(case, rx.SteepestDescent(rate=1e-3), steps=1000, callbacks=[record])
    assert again == seen, "callbacks run at fixed step numbers"


def test_an_exception_in_a_callback_reaches_the_caller() -> None:
    def callback(state: Any) -> bool:
        raise KeyError(state.step)

    case = problem()
    with pytest.raises(rx.CallbackError) as caught:
        descend(case, rx.SteepestDescent(rate=1e-3), steps=50, callbacks=(callback,))
    assert isinstance(caught.value.__cause__, KeyError)


def overfitting() -> tuple[registry.Case, tuple[Any, Any]]:
    """Validation targets pull in the opposite direction once training has gone half-way."""
    case = problem()
    rng = np.random.default_rng(5)
    xv = rng.standard_normal((6, 5, 7))
    teacher = {name: value / 0.3 for name, value in case.params.items()}
    halfway = {name: 0.6 * value for name, value in teacher.items()}
    return case, (xv, reference.forward(case.network, halfway, xv))


def test_the_best_model_on_validation_is_returned() -> None:
    case, validation = overfitting()
    optimizer = rx.SteepestDescent(rate=1e-2, line_search="armijo")
    fit = descend(case, optimizer, steps=300, validation=validation)
    best = np.nanmin(fit.history.validation_loss)
    assert fit.model.loss(*validation) == pytest.approx(best, rel=1e-12)
    assert fit.history.validation_loss[-1] > best
    last = descend(case, optimizer, steps=300)
    assert last.model.loss(case.x, case.y) < fit.model.loss(case.x, case.y)


def test_patience_ends_a_fit_that_has_begun_to_overfit() -> None:
    case, validation = overfitting()
    optimizer = rx.SteepestDescent(rate=1e-2, line_search="armijo")
    full = descend(case, optimizer, steps=300, validation=validation)
    fit = descend(case, optimizer, steps=300, validation=validation, patience=20)
    assert fit.status is rx.Status.PATIENCE
    assert len(fit.history.loss) < 300
    best = int(np.nanargmin(fit.history.validation_loss))
    assert 20 <= len(fit.history.loss) - 1 - best <= 40
    assert bits(fit.model.params) == bits(full.model.params)


def test_patience_without_validation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"patience.*validation"):
        descend(problem(), rx.SteepestDescent(rate=1e-3), patience=3)


def test_divergence_names_where_it_happened_and_keeps_the_last_model() -> None:
    case = problem()
    unbounded = replace(case, network=replace(case.network, activation="identity", depth=60))
    model = unbounded.model()
    before = bits(model.params)
    with pytest.raises(rx.DivergenceError) as caught:
        rx.fit(model, case.x, case.y, optimizer=rx.SteepestDescent(rate=1e4), steps=50)
    error: Any = caught.value
    assert issubclass(rx.DivergenceError, ArithmeticError)
    assert error.step >= 1
    assert 0 <= error.layer <= 60
    assert len(np.atleast_1d(error.cell)) == 2
    text = str(error)
    for word in ("step", "layer", "cell"):
        assert word in text
    assert str(error.step) in text
    assert str(error.layer) in text
    assert "omega" in text, "the stability number that was exceeded"
    assert np.isfinite(error.model.loss(case.x, case.y))
    assert bits(model.params) == before


def test_divergence_of_a_dense_network_tells_the_growth() -> None:
    rng = np.random.default_rng(3)
    model = rx.Relaxation(rx.Dense(rx.Grid((8,))), depth=30, activation="identity", seed=1)
    x, y = rng.standard_normal((2, 4, 8))
    with pytest.raises(rx.DivergenceError, match="layer") as caught:
        rx.fit(model, x, y, optimizer=rx.SteepestDescent(rate=1e6), steps=50)
    assert np.isfinite(caught.value.model.loss(x, y))


def test_armijo_survives_trial_steps_that_overflow() -> None:
    case = problem()
    deep = replace(case, network=replace(case.network, activation="identity", depth=60))
    model = deep.model()
    start = model.loss(case.x, case.y)
    fit = rx.fit(
        model,
        case.x,
        case.y,
        optimizer=rx.SteepestDescent(rate=1e8, line_search="armijo"),
        steps=20,
    )
    assert fit.model.loss(case.x, case.y) < start


def test_inference_returns_overflow_as_it_is() -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((5,))), depth=400, activation="identity", omega=1.0)
    model = model.with_params({"R": np.asarray(1e3), "U": np.zeros(1), "D": np.zeros(1)})
    assert not np.any(np.isfinite(model(np.ones((1, 5)))))


def test_omega_is_trained_where_asked() -> None:
    rng = np.random.default_rng(8)
    grid = rx.Grid((16,))
    teacher = rx.Relaxation(rx.ADR(grid), depth=5, omega=0.6, seed=3)
    student = rx.Relaxation(rx.ADR(grid), depth=5, omega=0.3, trainable_omega=True, seed=3)
    x = rng.standard_normal((10, 16))
    optimizer = rx.SteepestDescent(
        rate={"R": 0.0, "U": 0.0, "D": 0.0, "omega": 1e-3}, line_search="armijo"
    )
    fit = rx.fit(student, x, teacher(x), optimizer=optimizer, steps=200)
    assert fit.model.omega == pytest.approx(0.6, abs=1e-3)
    assert fit.model.params["omega"] == fit.model.omega


def test_ctrl_c_ends_a_fit_with_the_model_so_far() -> None:
    output = run_interrupted(
        """
        first = []

        def interrupt_once(state):
            if not first:
                first.append(state.step)
                interrupt_in(0.2)

        fit = rx.fit(
            model,
            x,
            y,
            optimizer=rx.SteepestDescent(rate=1e-9),
            steps=10**9,
            tolerance=0.0,
            progress=interrupt_once,
        )
        assert len(fit.history.loss) >= first[0] > 0
        assert fit.model.loss(x, y) < model.loss(x, y)
        print(fit.status.name)
        """
    )
    assert output == "INTERRUPTED"


def test_ctrl_c_ends_a_single_long_sweep() -> None:
    output = run_interrupted(
        """
        # Minutes on the fastest machine.
        deep = rx.Relaxation(rx.ADR(rx.Grid((64,))), depth=2 * 10**9, seed=1)
        calls = (
            lambda: deep(x),
            lambda: deep.value_and_grad(x, y, memory="8 MiB"),
        )
        for call in calls:
            try:
                interrupt_in(0.3)
                call()
            except KeyboardInterrupt:
                print("stopped")
        assert np.all(np.isfinite(model(x)))
        """
    )
    assert output.split("\n") == ["stopped"] * 2


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"rate": -1.0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": float("inf")}, "rate"),
        ({"rate": {"R": -1.0}}, "rate"),
        ({"rate": 1.0, "momentum": -0.1}, "momentum"),
        ({"rate": 1.0, "momentum": 1.0}, "momentum"),
        ({"rate": 1.0, "line_search": "armjio"}, "armijo"),
    ],
    ids=str,
)
def test_wrong_optimizers_are_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        rx.SteepestDescent(**options)


def test_a_rate_for_an_unknown_parameter_is_refused() -> None:
    rates = {"R": 1e-3, "U": 1e-3, "D": 1e-3, "bias": 1e-3, "V": 1e-3}
    with pytest.raises(ValueError, match="'V'"):
        descend(problem(), rx.SteepestDescent(rate=rates))


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"steps": 0}, ValueError, "steps"),
        ({"steps": -3}, ValueError, "steps"),
        ({"steps": 2.5}, TypeError, "steps"),
        ({"patience": 0}, ValueError, "patience"),
        ({"tolerance": -1.0}, ValueError, "tolerance"),
        ({"tolerance": float("nan")}, ValueError, "tolerance"),
        ({"optimizer": "armijo"}, TypeError, "optimizer"),
        ({"loss": "squared"}, TypeError, "loss"),
        ({"penalties": (3.0,)}, TypeError, "penalties"),
        ({"callbacks": (3,)}, TypeError, "callbacks"),
        ({"validation": (np.ones((2, 5, 7)), np.ones((2, 7, 5)))}, ValueError, "validation"),
        ({"validation": np.ones((2, 5, 7))}, (TypeError, ValueError), "validation"),
    ],
    ids=lambda value: "".join(value) if isinstance(value, dict) else "",
)
def test_wrong_fits_are_refused_before_any_step(
    options: dict[str, Any], error: Any, word: str
) -> None:
    case = problem()
    model = case.model()
    if "patience" in options:
        options = {**options, "validation": (case.x, case.y)}
    before = bits({"x": case.x, "y": case.y, **model.params})
    with pytest.raises(error, match=word):
        rx.fit(model, case.x, case.y, **{"steps": 3, **options})
    assert bits({"x": case.x, "y": case.y, **model.params}) == before
