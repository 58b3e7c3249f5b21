"""relaxon: the same task through the public Python interface."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import relaxon as rx
from bench.measure import Array
from bench.peers.tasks import OMEGA, RATE, Inputs, Task


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
    """Return the task as a call without arguments."""
    model = make_model(task, inputs)
    if task.n_steps is not None:
        return partial(_descend, model, inputs, task.n_steps, threads)

    def evaluate() -> tuple[float, dict[str, Array]]:
        loss, grads = model.value_and_grad(inputs.x, inputs.y, memory=task.memory, threads=threads)
        return loss, dict(grads)

    return evaluate


def _descend(
    model: rx.Relaxation, inputs: Inputs, n_steps: int, threads: int
) -> tuple[float, dict[str, Array]]:
    """First loss of `n_steps` steps of steepest descent, and what they add to the parameters."""
    optimizer = rx.SteepestDescent(rate=RATE)
    fit = rx.fit(
        model,
        inputs.x,
        inputs.y,
        optimizer=optimizer,
        steps=n_steps,
        tolerance=0.0,
        threads=threads,
    )
    changes = {name: fit.model.params[name] - start for name, start in inputs.params.items()}
    return float(fit.history.loss[0]), changes
