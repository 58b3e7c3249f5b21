"""Stencils by their weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reference_grid import Stencil
from reference_operator import Array, Entry, LineOperator


@dataclass(frozen=True)
class Banded(LineOperator):
    radius: int

    array = "weights"

    def stencils(self) -> list[Stencil]:
        return [{(offset,): 1.0} for offset in range(-self.radius, self.radius + 1)]

    def draw(self, rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
        return np.asarray(0.4 * rng.standard_normal(shape))

    def build(self, grid: Any, space: str, time: str) -> Any:
        import relaxon as rx

        return rx.Banded(grid, radius=self.radius, space=space, time=time)


ENTRY = Entry(
    position=2,
    kind=Banded,
    variants={f"banded-{radius}": Banded(radius) for radius in range(1, 5)},
)
