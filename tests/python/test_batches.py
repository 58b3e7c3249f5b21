"""Mini-batches: their order, their gradients, and the same bits for any threads and budget."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from measures import assert_all_close, bits
from small_fits import OPTIMIZERS, data, model_of


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


@pytest.mark.parametrize(
    "kind", [kind for kind, optimizer in OPTIMIZERS.items() if not optimizer._is_line_search]
)
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
