"""A matrix between all cells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reference_grid import Grid, existing_pairs
from reference_operator import Array, Entry, Operator, Shapes


@dataclass(frozen=True)
class Dense(Operator):
    matrices = frozenset({"W"})

    def axes(self, ndim: int) -> dict[str, tuple[Any, ...]]:
        """It knows no sides, so two grids are enough, and no choice of space."""
        sides = tuple(((side, side),) * ndim for side in ("periodic", "neumann"))
        return {"sides": sides, "space": ("local",)}

    def shapes(self, grid: Grid, cells: tuple[int, ...]) -> Shapes:
        n_cells = math.prod(grid.shape)
        return {"W": (n_cells, n_cells)}

    def draw(self, rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
        return np.asarray(1 / math.sqrt(shape[-1]) * rng.standard_normal(shape))

    def apply(self, grid: Grid, coefficients: Mapping[str, Array], rate: Array, z: Array) -> Array:
        matrix = existing_pairs(grid, coefficients["W"])
        result: Array = (z.reshape(len(z), -1) @ matrix.T).reshape(z.shape)
        return result

    def adjoint(
        self, grid: Grid, coefficients: Mapping[str, Array], rate: Array, z: Array, s: Array
    ) -> tuple[dict[str, Array], Array, Array]:
        rows, z_rows = s.reshape(len(s), -1), z.reshape(len(z), -1)
        matrix = existing_pairs(grid, coefficients["W"])
        return {"W": rows.T @ z_rows}, np.zeros_like(z[0]), (rows @ matrix).reshape(z.shape)

    def build(self, grid: Any, space: str, time: str) -> Any:
        import relaxon as rx

        return rx.Dense(grid, time=time)


ENTRY = Entry(position=3, kind=Dense, variants={"dense": Dense()})
