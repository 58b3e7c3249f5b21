"""Memory budgets: the same bits for every budget and thread count, honoured plans, closed forms."""

import math
import re
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from measures import bits

THREADS = (1, 2, 3, 8)


def minimal_advances(n_layers: int, n_snapshots: int) -> int:
    """Closed form of Griewank & Walther (2000): r l - C(m + r, m + 1), m = snapshots + 1."""
    m, r = n_snapshots + 1, 0
    if n_snapshots == 0:
        return n_layers * (n_layers - 1) // 2
    while math.comb(m + r, m) < n_layers:
        r += 1
    return r * n_layers - math.comb(m + r, m + 1)


def test_closed_form_is_the_recorded_one() -> None:
    assert minimal_advances(10, 3) == 14
    assert minimal_advances(10, 9) == 9


class Setting:
    """A network with data, and the gradient it must have whatever the budget."""

    def __init__(self, model: Any, n_samples: int, at: list[int] | None = None) -> None:
        rng = np.random.default_rng(17)
        shape = model.grid.shape
        lead = (n_samples,) if at is None else (n_samples, len(at))
        self.model = model
        self.x = rng.standard_normal((n_samples, *shape)).astype(model.dtype)
        self.y = rng.standard_normal((*lead, *shape)).astype(model.dtype)
        self.at = at
        self.loss = rx.SquaredDistance(at=at)

    def plan(self, memory: Any, threads: int | None = None) -> Any:
        return rx.plan(
            self.model,
            batch=len(self.x),
            memory=memory,
            threads=threads,
            at=self.at,
            input_grad=True,
        )

    def result(self, memory: Any, threads: int) -> tuple[float, dict[str, bytes]]:
        value, grads = self.model.value_and_grad(
            self.x, self.y, loss=self.loss, memory=memory, threads=threads, input_grad=True
        )
        return value, bits(grads)

    def budgets(self, threads: int = 1) -> list[int]:
        """From the least that works to more than is needed."""
        least = self.plan(None, threads).minimum_bytes
        most = self.plan(None, threads).total_bytes
        steps = [0.0, 0.01, 0.05, 0.2, 0.6, 1.0]
        return sorted({least + int(step * (most - least)) for step in steps})


def relaxation(operator: Any, depth: int, **options: Any) -> Any:
    """A model whose parameters are of order one tenth rather than nearly the identity."""
    model = rx.Relaxation(operator, depth, **{"omega": 0.3, **options})
    rng = np.random.default_rng(23)
    params = {
        name: value + (0.1 * rng.standard_normal(value.shape)).astype(model.dtype)
        for name, value in model.params.items()
    }
    return model.with_params(params)


def ring(n: int = 61, **options: Any) -> Any:
    return rx.ADR(rx.Grid((n,), spacing=0.1), **options)


def sea(n_rows: int = 11, n_columns: int = 37, **options: Any) -> Any:
    mask = np.random.default_rng(29).random((n_rows, n_columns)) > 0.2
    grid = rx.Grid((n_rows, n_columns), boundary=("neumann", "periodic"), mask=mask)
    return rx.ADR(grid, space="local", **options)


def line(n: int) -> Any:
    return rx.Grid((n,), boundary=((rx.Dirichlet(0.3), "neumann"),))


SETTINGS = {
    "stencil": lambda: Setting(relaxation(ring(space="local"), 120, bias="local"), 5),
    "stencil-float32": lambda: Setting(relaxation(ring(), 90, dtype="float32", bias="local"), 21),
    "single-sample": lambda: Setting(relaxation(ring(n=700, space="local"), 60), 1),
    "batch-of-64": lambda: Setting(relaxation(ring(space="local"), 30), 64),
    "lanes": lambda: Setting(relaxation(sea(5, 6), 20, trainable_omega=True), 270),
    "masked-2d": lambda: Setting(relaxation(sea(), 25, activation="silu"), 7),
    "layered": lambda: Setting(
        relaxation(sea(time="layered"), 20, bias="homogeneous", trainable_omega=True), 3
    ),
    "omega-per-cell": lambda: Setting(
        relaxation(ring(scheme="lax-wendroff"), 40, omega=np.full(61, 0.4), trainable_omega=True),
        4,
    ),
    "beta": lambda: Setting(relaxation(ring(space="local"), 50, beta=0.05), 5),
    "at": lambda: Setting(relaxation(sea(), 24), 4, at=[7, 24, 3, 0]),
    "at-before-the-end": lambda: Setting(relaxation(ring(), 40), 4, at=[11, 29]),
    "moments": lambda: Setting(
        relaxation(rx.Moments(line(53), order=4, space="local"), 30, omega=0.05), 6
    ),
    "banded": lambda: Setting(relaxation(rx.Banded(line(53), radius=3), 30), 6),
    "three-d": lambda: Setting(relaxation(rx.ADR(rx.Grid((9, 8, 11)), space="local"), 12), 2),
    "dense": lambda: Setting(relaxation(rx.Dense(line(70)), 26, bias="local"), 37),
    "dense-layered": lambda: Setting(relaxation(rx.Dense(line(24), time="layered"), 15), 9),
    "drive": lambda: Setting(relaxation(ring(space="local"), 40, drive=True), 5),
    "drive-lanes": lambda: Setting(relaxation(sea(5, 6), 12, drive=True, bias="local"), 130),
    "drive-tiles": lambda: Setting(
        relaxation(rx.ADR(rx.Grid((9001,))), 14, drive=True, activation="silu"), 2
    ),
    "drive-dense": lambda: Setting(relaxation(rx.Dense(line(24)), 15, drive=True), 9, at=[4, 15]),
    "hard": lambda: Setting(relaxation(sea(), 20, drive=True, normalization="hard"), 3),
    "hard-tiles": lambda: Setting(
        relaxation(rx.ADR(rx.Grid((130, 70))), 6, normalization="hard", dtype="float32"), 2
    ),
    "dense-at": lambda: Setting(relaxation(rx.Dense(line(24)), 30, beta=0.1), 9, at=[5, 30]),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_budget_and_threads_change_no_bit(name: str) -> None:
    setting = SETTINGS[name]()
    expected = setting.result(None, 1)
    assert all(np.all(np.isfinite(np.frombuffer(b, setting.x.dtype))) for b in expected[1].values())
    for threads in THREADS:
        for memory in [*setting.budgets(threads), None]:
            assert setting.result(memory, threads) == expected, (memory, threads)


@pytest.mark.parametrize("name", SETTINGS)
def test_forward_mode_and_inference_do_not_depend_on_threads(name: str) -> None:
    setting = SETTINGS[name]()
    model, x = setting.model, setting.x
    dots = {key: np.ones_like(value) for key, value in model.params.items()}
    output, states = model(x, threads=1), model.trajectory(x, threads=1)
    loss = model.loss(x, setting.y, loss=setting.loss)
    tangent = model.jvp(x, dots, np.ones_like(x))
    for threads in THREADS[1:]:
        np.testing.assert_array_equal(model(x, threads=threads), output)
        np.testing.assert_array_equal(model.trajectory(x, threads=threads), states)
    assert model.loss(x, setting.y, loss=setting.loss) == loss
    np.testing.assert_array_equal(model.jvp(x, dots, np.ones_like(x)), tangent)
    y_bar = np.ones_like(x)
    expected = bits(model.vjp(x, y_bar, threads=1))
    smallest = rx.plan(model, batch=len(x), memory=None, input_grad=True).minimum_bytes
    for threads in THREADS:
        assert bits(model.vjp(x, y_bar, threads=threads)) == expected
    assert bits(model.vjp(x, y_bar, memory=2 * smallest, threads=2)) == expected


@pytest.mark.parametrize("name", SETTINGS)
def test_counted_evaluations_agree_with_the_plan_and_the_closed_form(name: str) -> None:
    setting = SETTINGS[name]()
    n_reached = setting.model.depth if setting.at is None else max(setting.at)
    for memory in [*setting.budgets(2), None]:
        plan = setting.plan(memory, threads=2)
        _, _, counts = setting.model._value_and_grad_counted(
            setting.x, setting.y, loss=setting.loss, memory=memory, threads=2, input_grad=True
        )
        assert plan.n_layers == n_reached
        assert counts.reversals == n_reached
        assert counts.advances == plan.advances
        assert counts.evaluations == plan.evaluations
        if plan.segment == 1:
            assert plan.advances == minimal_advances(n_reached, plan.n_snapshots)


@pytest.mark.parametrize("name", SETTINGS)
def test_plans_keep_the_budget(name: str) -> None:
    setting = SETTINGS[name]()
    free = setting.plan(None, threads=2)
    assert free.store_all
    assert free.minimum_bytes <= free.total_bytes
    evaluations = []
    for memory in setting.budgets(2):
        plan = setting.plan(memory, threads=2)
        assert plan.minimum_bytes == free.minimum_bytes
        assert plan.total_bytes <= memory
        assert plan.fixed_bytes + plan.blocks_in_flight * plan.block_bytes == plan.total_bytes
        evaluations.append(plan.evaluations / plan.blocks_in_flight)
    assert evaluations == sorted(evaluations, reverse=True), "more memory must never cost time"


@pytest.mark.parametrize("name", SETTINGS)
def test_a_budget_below_the_minimum_is_refused_with_the_minimum(name: str) -> None:
    setting = SETTINGS[name]()
    least = setting.plan(None, threads=1).minimum_bytes
    before = bits(setting.model.params)
    with pytest.raises(ValueError, match="memory") as caught:
        setting.result(least - 1, 1)
    stated = [int(digits) for digits in re.findall(r"\d+", re.sub("[,_]", "", str(caught.value)))]
    assert least in stated
    with pytest.raises(ValueError, match=str(least)):
        setting.plan(least - 1, threads=1)
    assert bits(setting.model.params) == before
    setting.result(least, 1)


def test_little_memory_means_recomputation_not_failure() -> None:
    """The budgets of these tests really do cover the range from recompute-much to store-all."""
    setting = SETTINGS["stencil"]()
    plans = [setting.plan(memory, threads=1) for memory in setting.budgets(1)]
    assert not plans[0].store_all
    assert plans[0].advances > 5 * plans[-1].advances
    assert len({plan.n_snapshots for plan in plans}) >= 4


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("3 MiB", 3 << 20), ("3072 KiB", 3 << 20), ("1 GiB", 1 << 30)],
)
def test_budgets_may_be_written_with_units(text: str, n_bytes: int) -> None:
    setting = SETTINGS["stencil"]()
    assert setting.plan(text) == setting.plan(n_bytes)
    assert setting.result(text, 1) == setting.result(n_bytes, 1)


@pytest.mark.parametrize(
    "memory", ["plenty", "12 parsecs", "", "-1 MiB", "1 MiB MiB", -1, 0, "nan MiB"], ids=repr
)
def test_unreadable_budgets_are_refused(memory: Any) -> None:
    setting = SETTINGS["beta"]()
    with pytest.raises(ValueError, match="memory"):
        setting.result(memory, 1)


@pytest.mark.parametrize("memory", [1.5e9, b"1 GiB", [1]], ids=repr)
def test_budgets_of_another_type_are_refused(memory: Any) -> None:
    setting = SETTINGS["beta"]()
    with pytest.raises((TypeError, ValueError), match="memory"):
        setting.result(memory, 1)


def test_a_deep_network_in_a_small_budget() -> None:
    """2 x 10^4 layers: far more than the snapshots that fit, the bits those of a large budget."""
    model = relaxation(ring(n=48), 20_000, activation="identity", omega=0.05)
    quiet = {"R": np.zeros(()), "U": np.full(1, 0.01), "D": np.full(1, 0.02)}
    setting = Setting(model.with_params(quiet), 1)
    small, large = setting.plan("256 KiB"), setting.plan("64 MiB")
    assert not small.store_all
    assert large.store_all
    assert setting.result("256 KiB", 2) == setting.result("64 MiB", 1)
