"""relaxon: the same task through the public Python interface."""

from __future__ import annotations

from collections.abc import Callable

import relaxon as rx
from bench.measure import Array
from bench.peers.tasks import OMEGA, Inputs, Task


def make_model(task: Task, inputs: Inputs) -> rx.Relaxation:
    """Build the task's network with the task's parameters."""
    grid = rx.Grid(task.shape, boundary=task.boundary)
    operator = (
        rx.Dense(grid, time=task.time)
        if task.operator == "Dense"
        else rx.ADR(grid, space=task.space, time=task.time)
    )
    model = rx.Relaxation(
        operator,
        depth=task.depth,
        activation="tanh",
        omega=OMEGA,
        bias=task.space if task.has_bias else None,
        dtype=inputs.x.dtype,
    )
    return model.with_params(inputs.params)


def build(task: Task, inputs: Inputs, threads: int) -> Callable[[], tuple[float, dict[str, Array]]]:
    """Return the gradient as a call without arguments."""
    model = make_model(task, inputs)

    def evaluate() -> tuple[float, dict[str, Array]]:
        loss, grads = model.value_and_grad(inputs.x, inputs.y, memory=task.memory, threads=threads)
        return loss, dict(grads)

    return evaluate
