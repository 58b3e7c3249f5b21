"""JAX: jit, `lax.scan` over the layers, with or without `jax.checkpoint` around a layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bench.measure import Array
from bench.peers import stencil
from bench.peers.tasks import OMEGA, RATE, Inputs, Task


def build(
    task: Task, inputs: Inputs, threads: int, checkpoint: bool
) -> Callable[[], tuple[float, dict[str, Array]]]:
    """Return the task, compiled, as a call without arguments.

    XLA sizes its pool by the process's CPU affinity, which the worker has set, so `threads` needs
    no second setting.
    """
    del threads
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", inputs.x.dtype == np.float64)
    x, y = jnp.asarray(inputs.x), jnp.asarray(inputs.y)
    params = {name: jnp.asarray(array) for name, array in inputs.params.items()}
    gradient = jax.value_and_grad(partial(_loss, task, checkpoint))
    compiled = jax.jit(partial(_descend, gradient, task.n_steps) if task.n_steps else gradient)

    def evaluate() -> tuple[float, dict[str, Array]]:
        loss, arrays = jax.block_until_ready(compiled(params, x, y))
        return float(loss), {name: np.asarray(array) for name, array in arrays.items()}

    return evaluate


def _loss(task: Task, checkpoint: bool, params: dict[str, Any], x: Any, y: Any) -> Any:
    layered = task.time == "layered"
    operator = _operator(task, params)

    def step(z: Any, layer_operator: Any) -> tuple[Any, None]:
        pre = _apply(task, layer_operator if layered else operator, z)
        return (1 - OMEGA) * z + OMEGA * jnp.tanh(pre), None

    body = jax.checkpoint(step) if checkpoint else step
    z, _ = lax.scan(body, x, operator if layered else None, length=task.depth)
    return jnp.sum(jnp.square(z - y)) / task.batch


def _descend(gradient: Any, n_steps: int, start: dict[str, Any], x: Any, y: Any) -> Any:
    """First loss of `n_steps` steps of steepest descent, and what they add to the parameters."""

    def step(params: dict[str, Any], _: None) -> tuple[dict[str, Any], Any]:
        loss, grads = gradient(params, x, y)
        return {name: value - RATE * grads[name] for name, value in params.items()}, loss

    end, losses = lax.scan(step, start, None, length=n_steps)
    return losses[0], {name: value - start[name] for name, value in end.items()}


def _operator(task: Task, params: dict[str, Any]) -> dict[str, Any]:
    """Fold R, U, D into stencil weights once, outside the scan."""
    operator: dict[str, Any] = {"bias": params["bias"]} if task.has_bias else {}
    if task.operator == "Dense":
        return operator | {"W": params["W"]}
    fold = partial(stencil.weights, ndim=len(task.shape))
    return operator | {
        "weights": jax.vmap(fold)(params) if task.time == "layered" else fold(params)
    }


def _apply(task: Task, operator: dict[str, Any], z: Any) -> Any:
    if task.operator == "Dense":
        pre = z @ operator["W"].T
    else:
        widths = ((0, 0), *((1, 1) for _ in task.shape))
        padded = jnp.pad(z, widths, mode="wrap" if task.boundary == "periodic" else "edge")
        pre = sum(
            weight * padded[stencil.window(offset, task.shape)]
            for offset, weight in operator["weights"].items()
        )
    return pre - operator["bias"] if task.has_bias else pre
