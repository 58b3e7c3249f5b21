"""PyTorch, eager, on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from bench.measure import Array
from bench.peers import stencil
from bench.peers.tasks import OMEGA, RATE, Inputs, Task


def build(task: Task, inputs: Inputs, threads: int) -> Callable[[], tuple[float, dict[str, Array]]]:
    """Return the task as a call without arguments."""
    torch.set_num_threads(threads)
    x, y = torch.from_numpy(inputs.x), torch.from_numpy(inputs.y)
    params = {
        name: torch.from_numpy(array).requires_grad_() for name, array in inputs.params.items()
    }

    def evaluate() -> tuple[float, dict[str, Array]]:
        loss = _loss(task, params, x, y)
        grads = torch.autograd.grad(loss, list(params.values()))
        return loss.item(), {name: grad.numpy() for name, grad in zip(params, grads, strict=True)}

    def descend() -> tuple[float, dict[str, Array]]:
        moved = {name: value.detach().clone().requires_grad_() for name, value in params.items()}
        losses = []
        for _ in range(task.n_steps or 0):
            losses.append(_loss(task, moved, x, y))
            grads = torch.autograd.grad(losses[-1], list(moved.values()))
            with torch.no_grad():
                for value, grad in zip(moved.values(), grads, strict=True):
                    value -= RATE * grad
        changes = {name: (value - params[name]).detach() for name, value in moved.items()}
        return losses[0].item(), {name: change.numpy() for name, change in changes.items()}

    return descend if task.n_steps else evaluate


def _loss(task: Task, params: dict[str, Any], x: Any, y: Any) -> Any:
    layered = task.time == "layered"
    per_layer = (
        [dict(zip(params, arrays, strict=True)) for arrays in zip(*params.values(), strict=True)]
        if layered
        else [params]
    )
    operators = [_operator(task, layer) for layer in per_layer]
    z = x
    for layer in range(task.depth):
        pre = _apply(task, operators[layer if layered else 0], z)
        z = torch.lerp(z, torch.tanh(pre), OMEGA)
    return torch.sum(torch.square(z - y)) / task.batch


def _operator(task: Task, params: dict[str, Any]) -> dict[str, Any]:
    operator: dict[str, Any] = {"bias": params["bias"]} if task.has_bias else {}
    if task.operator == "Dense":
        return operator | {"W": params["W"]}
    return operator | {"weights": stencil.weights(params, len(task.shape))}


def _apply(task: Task, operator: dict[str, Any], z: Any) -> Any:
    if task.operator == "Dense":
        pre = z @ operator["W"].T
    else:
        weights = operator["weights"]
        if task.boundary == "periodic":
            axes = tuple(range(1, z.ndim))
            moved = {o: torch.roll(z, [-step for step in o], axes) for o in weights}
        else:
            widths = (1, 1) * len(task.shape)
            padded = torch.nn.functional.pad(z[:, None], widths, mode="replicate")[:, 0]
            moved = {o: padded[stencil.window(o, task.shape)] for o in weights}
        first, *others = weights
        pre = weights[first] * moved[first]
        for offset in others:
            pre = torch.addcmul(pre, weights[offset], moved[offset])
    return pre - operator["bias"] if task.has_bias else pre
