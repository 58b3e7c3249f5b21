"""The reference tasks: one entry each, and the arrays every side computes with.

All tasks share the loss 1/batch sum (z_L - y)^2, the tanh activation and omega = 0.5; the result
is the loss and its gradient with respect to every parameter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.measure import Array, digest

OMEGA = 0.5
# Of the tasks that descend: small enough for every step to lower the loss.
RATE = 1e-4


@dataclass(frozen=True)
class Task:
    """One reference task.

    Parameters
    ----------
    shape, boundary
        The grid; one condition for all sides, "periodic" or "neumann".
    depth, batch
        Number of relaxation layers L and of samples.
    operator : {"ADR", "Dense"}
    space : {"homogeneous", "local"}
        Of the ADR coefficients and of the bias.
    time : {"constant", "layered"}
    has_bias
        Whether a bias is subtracted.
    memory
        Byte budget of the sweep; peers cannot state one, so such a task runs in relaxon alone.
    n_steps
        Steps of steepest descent in one call, whose result is then the first loss and what the
        steps add to the parameters; None: one loss and its gradient. Times are per step.
    targets
        Of best peer / relaxon, in float64 and float32.
    """

    shape: tuple[int, ...]
    depth: int
    batch: int
    boundary: str = "periodic"
    operator: str = "ADR"
    space: str = "local"
    time: str = "constant"
    has_bias: bool = False
    memory: str | None = None
    n_steps: int | None = None
    targets: Mapping[str, float] | None = None

    @property
    def n_cell_updates(self) -> int:
        """Cells times layers times samples: the unit of "ns per cell"."""
        return math.prod(self.shape) * self.depth * self.batch

    @property
    def n_flops(self) -> int | None:
        """Multiplications and additions of the three dense products per layer; None for ADR."""
        if self.operator != "Dense":
            return None
        return 6 * math.prod(self.shape) ** 2 * self.depth * self.batch


def targets(float64: float, float32: float) -> Mapping[str, float]:
    """Ratios that a task aims at."""
    return {"float64": float64, "float32": float32}


TASKS: Mapping[str, Task] = {
    "P1 fit": Task(
        (64,), depth=20, batch=1, space="homogeneous", n_steps=200, targets=targets(25, 15)
    ),
    "P1": Task((64,), depth=20, batch=1, space="homogeneous", targets=targets(8, 8)),
    "P2": Task((1024,), depth=100, batch=64, targets=targets(10, 10)),
    "P3": Task((1_000_000,), depth=100, batch=1, targets=targets(10, 10)),
    "P4": Task((1024,), depth=100, batch=64, time="layered", targets=targets(10, 10)),
    "P5": Task(
        (33, 49), depth=8, batch=546, boundary="neumann", has_bias=True, targets=targets(15, 15)
    ),
    "P6": Task((8, 8), depth=16, batch=1797, boundary="neumann", targets=targets(12, 12)),
    "P7": Task((256, 256), depth=64, batch=4, boundary="neumann", targets=targets(15, 15)),
    "P8": Task((1000,), depth=100, batch=64, operator="Dense", targets=targets(1.3, 1.3)),
    "P9": Task((1000,), depth=100, batch=1, operator="Dense", targets=targets(1, 1)),
    # 20 of the paper's 100 layers: the peers keep every weight's gradient, and all of them
    # together need more memory than the machines this is meant for.
    "P10": Task(
        (1000,), depth=20, batch=64, operator="Dense", time="layered", targets=targets(1.3, 1.3)
    ),
    "P11": Task((256,), depth=1_000_000, batch=1, memory="64 MiB"),
}


@dataclass(frozen=True)
class Inputs:
    """Input, target and parameters of one task; parameters are named and shaped as in relaxon."""

    x: Array
    y: Array
    params: dict[str, Array]

    def digest(self) -> str:
        """SHA-256 over all arrays: sides that report the same digest got the same inputs."""
        return digest({"x": self.x, "y": self.y, **self.params})


def make_inputs(task: Task, dtype: str) -> Inputs:
    """Draw the task's arrays: the same ones in every process.

    Coefficients keep the layers stable (0 < d, |u| <= 2 d for most cells) and the dense matrix
    stays near the identity, so that rounding is not amplified from layer to layer and sides can be
    compared at a fixed tolerance.
    """
    rng = np.random.default_rng(2025)
    ndim = len(task.shape)
    lead = (task.depth,) if task.time == "layered" else ()
    space = task.shape if task.space == "local" else ()

    def normal(shape: tuple[int, ...], scale: float) -> Array:
        array = rng.standard_normal(shape, dtype=np.float32)
        array *= scale
        return array.astype(dtype, copy=False)

    params: dict[str, Array] = {}
    if task.operator == "Dense":
        n_cells = math.prod(task.shape)
        params["W"] = normal((*lead, n_cells, n_cells), 0.1 / math.sqrt(n_cells))
        diagonal = np.arange(n_cells)
        params["W"][..., diagonal, diagonal] += 1
    else:
        params["R"] = normal((*lead, *space), 0.05)
        params["U"] = normal((*lead, ndim, *space), 0.05)
        params["D"] = normal((*lead, ndim * (ndim + 1) // 2, *space), 0.01)
        components = params["D"].reshape(*lead, -1, math.prod(space))
        components[..., diagonal_entries(ndim), :] += 0.1
    if task.has_bias:
        params["bias"] = normal((*lead, *space), 0.05)
    x = normal((task.batch, *task.shape), 1.0)
    y = normal((task.batch, *task.shape), 0.5)
    return Inputs(x, y, params)


def diagonal_entries(ndim: int) -> list[int]:
    """Positions of d_aa in the upper triangle in row order (2-D: xx, xy, yy -> 0, 2)."""
    return [a * ndim - a * (a - 1) // 2 for a in range(ndim)]
