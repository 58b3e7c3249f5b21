"""Mini-batches, kept and bounded parameters, and callbacks that raise."""

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from interruption import run_interrupted
from measures import assert_all_close, bits

INFINITY = float("inf")


def model_of(space: Any = "homogeneous", dtype: str = "float64", **options: Any) -> rx.Relaxation:
    op = rx.ADR(rx.Grid((5, 7)), space=space)
    return rx.Relaxation(op, **{"depth": 4, "seed": 1, "dtype": dtype, **options})


def data(n: int = 11, dtype: str = "float64") -> tuple[Any, Any]:
    teacher = model_of("local", seed=9, omega=0.4)
    x = np.random.default_rng(0).standard_normal((n, 5, 7))
    return x.astype(dtype), teacher(x).astype(dtype)


OPTIMIZERS: dict[str, Any] = {
    "fixed": rx.SteepestDescent(rate=0.1),
    "momentum": rx.SteepestDescent(rate=0.05, momentum=0.7),
    "adam": rx.Adam(rate=1e-2),
    "armijo": rx.SteepestDescent(rate=1e-2, line_search="armijo"),
    "barzilai-borwein": rx.SteepestDescent(rate=1e-2, line_search="barzilai-borwein"),
    "lbfgs": rx.LBFGS(),
}
over_optimizers = pytest.mark.parametrize("kind", OPTIMIZERS)


# -- mini-batches -----------------------------------------------------------------------------


def order_of(n: int, size: int, seed: int, steps: int) -> list[list[int]]:
    """Which samples each step saw: every one gives the loss a power of two of its own."""
    model = model_of()
    x = np.tile(np.random.default_rng(3).standard_normal((1, 5, 7)), (n, 1, 1))
    weights = np.ones((n, 5, 7)) * (2.0 ** np.arange(n))[:, None, None]
    optimizer = rx.SteepestDescent(rate=1e-300)
    loss = rx.SquaredDistance(weights=weights)
    fit = rx.fit(model, x, np.zeros_like(x), loss, optimizer, steps, batch_size=size, seed=seed)
    unit = model.loss(x[:1], np.zeros_like(x[:1]))
    sizes = [min(size, n - first) for first in range(0, n, size)]
    seen = []
    for step, value in enumerate(fit.history.loss):
        code = round(value * sizes[step % len(sizes)] / unit)
        seen.append([i for i in range(n) if code >> i & 1])
    return seen


def test_every_epoch_sees_every_sample_once_in_an_order_of_its_own() -> None:
    seen = order_of(n=11, size=4, seed=5, steps=9)
    assert [len(batch) for batch in seen] == [4, 4, 3] * 3
    epochs = [[i for batch in seen[k : k + 3] for i in batch] for k in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(11)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert order_of(n=11, size=4, seed=5, steps=9) == seen
    assert order_of(n=11, size=4, seed=6, steps=9) != seen


def mersenne_twister(seed: int) -> Iterator[int]:
    """T. Nishimura, ACM Trans. Model. Comput. Simul. 10 (2000) 348-357; seeded as in C++."""
    full = 2**64 - 1
    state = [seed]
    for i in range(1, 312):
        state.append((6364136223846793005 * (state[-1] ^ (state[-1] >> 62)) + i) & full)
    while True:
        for k in range(312):
            upper, lower = state[k] & 0xFFFFFFFF80000000, state[(k + 1) % 312] & 0x7FFFFFFF
            twist = 0xB5026F5AA96619E9 if lower & 1 else 0
            state[k] = state[(k + 156) % 312] ^ ((upper | lower) >> 1) ^ twist
        for word in state:
            word ^= (word >> 29) & 0x5555555555555555
            word ^= (word << 17) & 0x71D67FFFEDA60000
            word ^= (word << 37) & 0xFFF7EEE000000000
            yield word ^ (word >> 43)


def test_the_order_is_the_same_on_every_platform() -> None:
    """Fisher and Yates' shuffle with a generator whose numbers the C++ standard fixes."""
    numbers = mersenne_twister(7)
    expected = list(range(6))
    for i in range(5, 0, -1):
        j = next(numbers) % (i + 1)
        expected[i], expected[j] = expected[j], expected[i]
    assert order_of(n=6, size=1, seed=7, steps=6) == [[i] for i in expected]


@pytest.mark.parametrize("kind", ["shared", "own", "at"])
def test_a_batch_has_the_gradient_of_its_samples(kind: str) -> None:
    model, (x, y) = model_of("local"), data()
    loss: Any = rx.SquaredDistance(weights=np.random.default_rng(1).uniform(0.5, 2, (5, 7)))
    if kind == "own":
        loss = rx.Huber(0.3, weights=np.random.default_rng(1).uniform(0.5, 2, y.shape))
    if kind == "at":
        y = np.stack([x, y], axis=1)
        loss = rx.SquaredDistance(at=[2, 4])
    optimizer = rx.SteepestDescent(rate=1e-2)
    fit = rx.fit(model, x, y, loss, optimizer, steps=3, batch_size=4, seed=5)
    for batch in order_of(n=11, size=4, seed=5, steps=3):
        part = loss.with_weights(loss.weights[batch]) if kind == "own" else loss
        _, grads = model.value_and_grad(x[batch], y[batch], part)
        params = {name: p - 1e-2 * grads[name] for name, p in model.params.items()}
        model = model.with_params(params)
    assert_all_close(fit.model.params, dict(model.params), 1e-13)


def test_labels_and_ends_go_into_batches() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3))
    labels = (x[:, 0] + x[:, 1] > 0).astype(int)
    model = rx.Relaxation(
        rx.ADR(rx.Grid((8,))),
        depth=2,
        lift=rx.Lift(3, "tanh"),
        readout=rx.Readout(2, "identity"),
    )
    fit = rx.fit(model, x, labels, rx.CrossEntropy(), rx.Adam(rate=3e-2), steps=300, batch_size=16)
    assert np.mean(fit.model(x).argmax(axis=1) == labels) > 0.95


@pytest.mark.parametrize("kind", ["fixed", "momentum", "adam"])
def test_batches_repeat_bit_by_bit_for_any_threads_and_budget(kind: str) -> None:
    model, (x, y) = model_of("local"), data()
    runs = []
    each: tuple[dict[str, Any], ...] = (
        {},
        {"threads": 1},
        {"threads": 2},
        {"memory": "1 MiB", "threads": 3},
    )
    for options in each:
        fit = rx.fit(
            model,
            x,
            y,
            optimizer=OPTIMIZERS[kind],
            steps=20,
            batch_size=3,
            validation=(x[:4], y[:4]),
            **options,
        )
        runs.append((bits(fit.model.params), fit.history))
    assert all(run == runs[0] for run in runs)


def test_validation_is_looked_at_once_per_epoch() -> None:
    model, (x, y) = model_of(), data()
    validation = data(15)[0][11:], data(15)[1][11:]
    fit = rx.fit(
        model, x, y, optimizer=rx.Adam(1e-2), steps=10, batch_size=4, validation=validation
    )
    is_known = np.isfinite(fit.history.validation_loss)
    np.testing.assert_array_equal(is_known, np.arange(10) % 3 == 0)
    assert fit.model.loss(*validation) <= np.nanmin(fit.history.validation_loss)


@pytest.mark.parametrize("kind", ["armijo", "barzilai-borwein", "lbfgs"])
def test_batches_are_refused_where_losses_are_compared(kind: str) -> None:
    with pytest.raises(ValueError, match=r"argument 'batch_size'.*line search"):
        rx.fit(model_of(), *data(), optimizer=OPTIMIZERS[kind], batch_size=4)


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": 12}, ValueError, "batch_size"),
        ({"batch_size": 2.0}, TypeError, "batch_size"),
        ({"batch_size": True}, TypeError, "batch_size"),
        ({"steps": 2**63}, ValueError, "steps"),
        ({"patience": 2**63, "validation": data()}, ValueError, "patience"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": 2**64}, ValueError, "seed"),
        ({"seed": "0"}, TypeError, "seed"),
        ({"trainable": {"V": True}}, ValueError, "trainable"),
        ({"trainable": {"omega": True}}, ValueError, "trainable"),
        ({"trainable": {"R": 0}}, TypeError, "trainable"),
        ({"trainable": ("R",)}, TypeError, "trainable"),
        ({"trainable": {"R": False, "U": False, "D": False}}, ValueError, "trainable"),
        ({"penalties": [rx.Smoothness(1.0)]}, ValueError, "penalties"),
        ({"penalties": rx.L2(1.0)}, TypeError, "penalties"),
        ({"callbacks": print}, TypeError, "callbacks"),
        ({"loss": rx.SquaredDistance(weights=np.zeros((5, 7)))}, ValueError, "weights"),
        ({"validation": (*data(2), np.zeros((2, 5, 7)))}, ValueError, "validation"),
        ({"bounds": {"R": ([[0.0], [0.0, 1.0]], None)}}, ValueError, "bounds"),
        ({"bounds": {"R": (np.ma.masked_less([-9.0], 0.0), None)}}, TypeError, "bounds"),
        ({"bounds": {"V": (0, 1)}}, ValueError, "bounds"),
        ({"bounds": {"R": 0.0}}, TypeError, "bounds"),
        ({"bounds": {"R": (0.0, 1.0, 2.0)}}, TypeError, "bounds"),
        ({"bounds": [("R", (0, 1))]}, TypeError, "bounds"),
        ({"bounds": {"R": ("low", None)}}, TypeError, "bounds"),
        ({"bounds": {"R": (True, None)}}, TypeError, "bounds"),
        ({"bounds": {"R": (float("nan"), None)}}, ValueError, "bounds"),
        ({"bounds": {"R": (1.0, -1.0)}}, ValueError, "bounds"),
        ({"bounds": {"R": (np.zeros(3), None)}}, ValueError, "bounds"),
        ({"bounds": {"D": (np.zeros((2, 3)), None)}}, ValueError, "bounds"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(options: dict[str, Any], error: Any, word: str) -> None:
    with pytest.raises(error, match=f"argument '{word}'"):
        rx.fit(model_of(), *data(), **{"steps": 2, **options})


def test_a_loss_that_no_parameter_changes_is_refused() -> None:
    x, y = data()
    with pytest.raises(ValueError, match=r"argument 'at': expected a layer above 0 to fit"):
        rx.fit(model_of(), x, y[:, np.newaxis], rx.SquaredDistance(at=[0]), steps=2)
    mask = np.ones((5, 7), bool)
    mask[2] = False
    model = rx.Relaxation(rx.ADR(rx.Grid((5, 7), mask=mask)), depth=2)
    with pytest.raises(ValueError, match=r"argument 'weights': expected .* on an existing cell"):
        rx.fit(model, x, y, rx.SquaredDistance(~mask), steps=2)
    # Out of a readout, the first state is no longer x.
    ends = model_of(readout=rx.Readout(2))
    fit = rx.fit(ends, x, y[:, np.newaxis, 0, :2].copy(), rx.SquaredDistance(at=[0]), steps=2)
    assert fit.history.gradient_norm[0] > 0.0


@pytest.mark.parametrize(
    ("make", "error", "word"),
    [
        (lambda: rx.SquaredDistance(at=np.array(3)), TypeError, "at"),  # type: ignore[arg-type]
        (lambda: rx.SquaredDistance(at=np.array([[1]])), TypeError, "at"),  # type: ignore[arg-type]
        (lambda: rx.LBFGS(max_line_search=2**31), ValueError, "max_line_search"),
        (lambda: rx.LBFGS(memory=2**31), ValueError, "memory"),
    ],
)
def test_wrong_settings_are_refused(make: Any, error: Any, word: str) -> None:
    with pytest.raises(error, match=f"argument '{word}'"):
        make()


def test_a_target_at_the_input_alone_is_refused() -> None:
    model, (x, _) = model_of(), data()
    with pytest.raises(ValueError, match="argument 'at': expected a layer above 0"):
        rx.fit(model, x, x[:, None].copy(), rx.SquaredDistance(at=[0]), steps=1)
    ended = model_of(lift=rx.Lift(3))
    vectors = np.random.default_rng(0).standard_normal((11, 3))
    fit = rx.fit(ended, vectors, x[:, None].copy(), rx.SquaredDistance(at=[0]), steps=1)
    assert not np.array_equal(fit.model.params["lift_weight"], ended.params["lift_weight"])


# -- kept parameters --------------------------------------------------------------------------


@over_optimizers
def test_parameters_that_are_not_trained_keep_their_bits(kind: str) -> None:
    model, (x, y) = model_of("local", trainable_omega=True), data()
    kept = {"D": False, "omega": False}
    fit = rx.fit(model, x, y, optimizer=OPTIMIZERS[kind], steps=10, trainable=kept)
    for name, start in model.params.items():
        assert np.array_equal(fit.model.params[name], start) == (name in kept), name
    _, grads = model.value_and_grad(x, y)
    norm = np.sqrt(np.sum(grads["R"] ** 2) + np.sum(grads["U"] ** 2))
    assert fit.history.gradient_norm[0] == pytest.approx(norm, rel=1e-12)


def test_a_rate_of_zero_and_not_trainable_are_the_same() -> None:
    model, (x, y) = model_of(), data()
    rates = {"R": 1e-2, "U": 0.0, "D": 1e-2}
    first = rx.fit(model, x, y, optimizer=rx.Adam(rate=rates), steps=5)
    second = rx.fit(model, x, y, optimizer=rx.Adam(rate=1e-2), steps=5, trainable={"U": False})
    assert first == second
    with pytest.raises(ValueError, match="trainable"):
        rx.fit(model, x, y, optimizer=rx.Adam(rate=rates), trainable={"R": False, "D": False})


# -- bounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@over_optimizers
def test_bounds_hold_at_every_step_and_at_the_end_the_gradient_points_out(
    kind: str, dtype: str
) -> None:
    """The conditions of Karush, Kuhn and Tucker at the end of the fit."""
    model, (x, y) = model_of("local", dtype), data(dtype=dtype)
    start = model.params["D"]
    low = np.array([start[0].min(), -INFINITY, start[2].min()])
    bounds: Any = {"D": (low, None), "U": (-0.02, 0.02)}
    model = model.with_params({"U": np.clip(model.params["U"], -0.015, 0.015)})

    def check(state: Any) -> bool:
        d, u = state.model.params["D"], state.model.params["U"]
        assert np.all(d[[0, 2]] >= low.astype(dtype)[[0, 2], None, None])
        assert np.all(np.abs(u) <= np.asarray(0.02, dtype))
        return False

    is_exact = kind in ("armijo", "barzilai-borwein", "lbfgs")
    steps = 2000 if is_exact and dtype == "float64" else 60
    fit = rx.fit(
        model,
        x,
        y,
        optimizer=OPTIMIZERS[kind],
        steps=steps,
        tolerance=1e-5,
        bounds=bounds,
        callbacks=[check],
    )
    u = fit.model.params["U"]
    edge = np.asarray(0.02, dtype)
    assert np.any(np.abs(u) == edge), "a bound that nothing reaches proves nothing"
    assert np.any(fit.model.params["D"][1] != start[1])
    if not is_exact or dtype == "float32":
        return
    assert fit.status is rx.Status.CONVERGED
    _, grads = fit.model.value_and_grad(x, y)
    small = 1e-4 * fit.history.gradient_norm[0]
    assert np.all(grads["U"][u == -edge] >= -small)
    assert np.all(grads["U"][u == edge] <= small)
    assert np.abs(grads["U"][np.abs(u) < edge]).max() <= small
    assert np.abs(grads["R"]).max() <= small


def test_the_bounded_solution_is_the_same_for_all_that_converge() -> None:
    model, (x, y) = model_of(), data()
    found = [
        rx.fit(
            model,
            x,
            y,
            optimizer=OPTIMIZERS[k],
            steps=3000,
            tolerance=1e-8,
            bounds={"R": (-0.02, 0.02)},
        )
        for k in ("armijo", "barzilai-borwein", "lbfgs")
    ]
    for fit in found:
        assert fit.status is rx.Status.CONVERGED
        assert abs(float(fit.model.params["R"])) == 0.02
        assert_all_close(fit.model.params, dict(found[0].model.params), 1e-5)


@pytest.mark.parametrize(
    ("low", "shape"),
    [
        (0.01, "number"),
        (np.array([0.01, -INFINITY, 0.01]), "components"),
        (np.full((5, 7), -5.0), "cells"),
        (np.full((3, 5, 7), -5.0), "all"),
    ],
    ids=["number", "components", "cells", "all"],
)
def test_forms_of_bounds(low: Any, shape: str) -> None:
    model, (x, y) = model_of("local"), data()
    d = np.maximum(model.params["D"], 0.02)
    model = model.with_params({"D": d})
    fit = rx.fit(
        model,
        x,
        y,
        optimizer=rx.SteepestDescent(rate=5.0, line_search="armijo"),
        steps=20,
        bounds={"D": (low, None)},
    )
    d = fit.model.params["D"]
    if shape == "number":
        assert d.min() >= 0.01
    if shape == "components":
        assert d[[0, 2]].min() >= 0.01 > d[1].min()


def test_a_layered_parameter_has_bounds_per_layer_and_component() -> None:
    op = rx.ADR(rx.Grid((5, 7)), space="local", time="layered")
    model = rx.Relaxation(op, depth=3, seed=1)
    x, y = data()
    low = np.full((3, 3), -INFINITY)
    low[1, 0] = model.params["D"][1, 0].min()
    fit = rx.fit(
        model,
        x,
        y,
        optimizer=rx.SteepestDescent(0.5, line_search="armijo"),
        steps=30,
        bounds={"D": (low, None)},
    )
    assert fit.model.params["D"][1, 0].min() == low[1, 0]
    assert fit.model.params["D"][0, 0].min() < low[1, 0]


def test_a_start_outside_its_bounds_is_refused() -> None:
    model, (x, y) = model_of("local"), data()
    d = np.array(model.params["D"])
    d[2, 3, 4] = -0.25
    outside = model.with_params({"D": d})
    with pytest.raises(ValueError, match=r"'bounds'.*D\[2, 3, 4\] = -0\.25, below its bound 0\.0"):
        rx.fit(outside, x, y, bounds={"D": ([0.0, -INFINITY, 0.0], None)})
    with pytest.raises(ValueError, match=r"R = 0\.5, above its bound 0\.1"):
        rx.fit(model_of().with_params({"R": np.asarray(0.5)}), x, y, bounds={"R": (None, 0.1)})


def test_masked_cells_have_no_bounds() -> None:
    mask = np.ones((5, 7), bool)
    mask[1, 2] = False
    model = rx.Relaxation(rx.ADR(rx.Grid((5, 7), mask=mask), space="local"), depth=2, seed=1)
    r = np.zeros((5, 7))
    r[~mask] = 9.0
    model = model.with_params({"R": r})
    x, y = data()
    fit = rx.fit(model, x, y, steps=3, bounds={"R": (-0.001, 0.001)})
    assert fit.model.params["R"][1, 2] == 9.0
    assert np.abs(fit.model.params["R"][mask]).max() <= 0.001


def test_smoothness_leaves_the_maps_of_the_ends_alone() -> None:
    ends: Any = {"lift": rx.Lift(3, "tanh"), "readout": rx.Readout(2, "identity")}
    model = model_of("local", **ends)
    x = np.random.default_rng(0).standard_normal((6, 3))
    fit = rx.fit(model, x, x[:, :2].copy(), steps=1, penalties=(rx.Smoothness(1.0),))
    alone = rx.fit(
        model, x, x[:, :2].copy(), steps=1, penalties=(rx.Smoothness(1.0, of=("R", "U", "D")),)
    )
    assert fit == alone


def test_smoothness_without_a_field_is_refused_and_says_where_there_is_one() -> None:
    fields = model_of("local", bias="homogeneous")
    for model, penalty, words in (
        (model_of(), rx.Smoothness(1.0), "(this model has none), got Smoothness(strength=1.0"),
        (model_of(), rx.Smoothness(1.0, of="D"), "of='D') on D; leave it out"),
        (fields, rx.Smoothness(1.0, of=("D", "bias")), "(R, U, D), got"),
        (fields, rx.Smoothness(1.0, of="bias"), "on bias; name fields in `of`"),
    ):
        with pytest.raises(
            ValueError, match="argument 'penalties': expected with Smooth"
        ) as caught:
            rx.fit(model, *data(), steps=1, penalties=[penalty])
        assert words in str(caught.value)
    rx.fit(fields, *data(), steps=1, penalties=[rx.Smoothness(1.0)])
    rx.fit(model_of(), *data(), steps=1, penalties=[rx.Smoothness(0.0)])


def test_bounds_beyond_float32_are_open() -> None:
    model = model_of(dtype="float32")
    x, y = data(dtype="float32")
    assert rx.fit(model, x, y, steps=3, bounds={"R": (-1e60, 1e60)}) == rx.fit(model, x, y, steps=3)


# -- callbacks --------------------------------------------------------------------------------


def test_an_answer_that_is_neither_true_nor_false_keeps_the_fit() -> None:
    with pytest.raises(rx.CallbackError, match="ValueError after step 1") as caught:
        rx.fit(model_of(), *data(), steps=5, callbacks=[lambda state: np.ones(3)])
    assert len(caught.value.fit.history) == 1


@over_optimizers
def test_a_callback_that_raises_ends_the_fit_and_keeps_the_best_model(kind: str) -> None:
    model, (x, y) = model_of(), data()

    def callback(state: Any) -> None:
        if state.step == 3:
            raise KeyError("no such thing")

    def run(**options: Any) -> Any:
        return rx.fit(
            model, x, y, optimizer=OPTIMIZERS[kind], validation=(x, y), steps=20, **options
        )

    with pytest.raises(rx.CallbackError, match="KeyError after step 3") as caught:
        run(callbacks=[callback])
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.fit == run(callbacks=[lambda state: state.step == 3])
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.fit == caught.value.fit


def test_a_progress_function_that_raises_does_the_same() -> None:
    def show(state: Any) -> None:
        raise ValueError("no screen")

    with pytest.raises(rx.CallbackError, match="no screen") as caught:
        rx.fit(model_of(), *data(), steps=20, progress=show)
    assert len(caught.value.fit.history) > 0


@pytest.mark.parametrize("kind", ["adam", "lbfgs"])
def test_a_progress_function_sees_the_last_step(kind: str) -> None:
    seen: list[int] = []
    fit = rx.fit(
        model_of(),
        *data(),
        optimizer=OPTIMIZERS[kind],
        steps=8,
        progress=lambda state: seen.append(state.step),
    )
    assert seen[-1] == len(fit.history)


def test_ctrl_c_ends_mini_batches_with_the_model_so_far() -> None:
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
            optimizer=rx.Adam(1e-9),
            batch_size=3,
            steps=10**9,
            tolerance=0.0,
            progress=interrupt_once,
        )
        assert len(fit.history) >= first[0] > 0
        assert fit.model != model
        print(fit.status.name)
        """
    )
    assert output == "INTERRUPTED"


@pytest.mark.parametrize("place", ["callback", "evaluation"])
def test_ctrl_c_passes_through_scipy_with_the_model_so_far(place: str) -> None:
    """It comes at a step, not at a time: L-BFGS ends by itself after as many as rounding allows."""
    output = run_interrupted(
        f"""
        from relaxon.training.descent import Descent

        y = np.random.default_rng(1).standard_normal(x.shape)
        evaluate = Descent.evaluate
        n_steps = 0

        def count(state):
            global n_steps
            n_steps = state.step
            if n_steps == 3 and "{place}" == "callback":
                signal.raise_signal(signal.SIGINT)

        def evaluate_interrupted(self, point, gradient):
            if n_steps == 3:
                signal.raise_signal(signal.SIGINT)
            return evaluate(self, point, gradient)

        Descent.evaluate = evaluate_interrupted
        fit = rx.fit(model, x, y, optimizer=rx.LBFGS(), callbacks=[count])
        assert len(fit.history) == 3
        assert fit.model.loss(x, y) < model.loss(x, y)
        print(fit.status.name)
        """
    )
    assert output == "INTERRUPTED"
