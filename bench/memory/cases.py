"""The networks whose peak memory is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

import relaxon as rx
from bench.measure import Array
from bench.peers.relaxon_task import make_model
from bench.peers.tasks import TASKS, make_inputs


@dataclass(frozen=True)
class Case:
    """A model with its arrays, and a tiny model of the same kind.

    The tiny call brings in what the first call of a process pays whatever its size (pages of the
    extension module, the thread pool's stacks), so that the peak counts the sweep alone.
    """

    model: rx.Relaxation
    x: Array
    y: Array
    tiny_model: rx.Relaxation
    tiny_x: Array
    tiny_y: Array


def p3(dtype: str) -> Case:
    """The reference task P3: one sample of 10^6 cells through 100 layers."""
    inputs = make_inputs(TASKS["P3"], dtype)
    tiny = rx.Relaxation(
        rx.ADR(rx.Grid((64,)), space="local"),
        depth=4,
        activation="tanh",
        omega=0.5,
        dtype=dtype,
    )
    line = np.linspace(0, 1, 64, dtype=dtype)[np.newaxis]
    return Case(make_model(TASKS["P3"], inputs), inputs.x, inputs.y, tiny, line, line + 1)


def deep(dtype: str, n_cells: int = 256, depth: int = 100_000) -> Case:
    """10^5 layers whose cotangents neither vanish nor explode.

    With the identity activation, R = 0 and |u| <= 2 d (section 9 of the numerics: monotone) a layer
    replaces each value by a weighted mean of its neighbourhood: its matrix has non-negative entries
    and rows that sum to one. Constants pass through unchanged and the largest value never grows;
    transposed, the sum of the cotangent over the cells is conserved and its 1-norm never grows. The
    cotangent therefore stays of order one through any depth, provided that its sum at the last
    layer is not zero: y has another mean than x. u and d vary along the line, so that no gradient
    is trivial.
    """
    angle = 2 * np.pi * np.arange(n_cells) / n_cells
    advection = 0.02 * (1 + 0.5 * np.cos(angle))
    diffusion = 0.1 * (1 + 0.3 * np.sin(2 * angle))
    x = (1 + 0.5 * np.sin(angle))[np.newaxis].astype(dtype)
    y = (0.25 * np.cos(angle))[np.newaxis].astype(dtype)

    def model(cells: int, layers: int) -> rx.Relaxation:
        network = rx.Relaxation(
            rx.ADR(rx.Grid((cells,), boundary="periodic"), space="local"),
            depth=layers,
            activation="identity",
            omega=0.5,
            dtype=dtype,
        )
        return network.with_params(
            {
                "R": np.zeros(cells, dtype=dtype),
                "U": advection[np.newaxis, :cells].astype(dtype),
                "D": diffusion[np.newaxis, :cells].astype(dtype),
            }
        )

    return Case(model(n_cells, depth), x, y, model(16, 4), x[:, :16], y[:, :16])


CASES: Mapping[str, Callable[[str], Case]] = {"P3": p3, "depth 1e5": deep}
# In MiB; None: the smallest budget that the plan accepts. Not so for the deep network, where that
# is one without snapshots and would take l (l - 1) / 2 = 5e9 layer evaluations.
BUDGETS: Mapping[str, tuple[int | None, ...]] = {
    "P3": (None, 256, 512, 2048),
    "depth 1e5": (1, 16, 64, 1024),
}
