"""Stencils by their lattice moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reference_grid import Stencil, moment_stencils
from reference_operator import Entry, LineOperator


@dataclass(frozen=True)
class Moments(LineOperator):
    order: int

    array = "moments"

    def stencils(self) -> list[Stencil]:
        return moment_stencils(self.order)

    def build(self, grid: Any, space: str, time: str) -> Any:
        import relaxon as rx

        return rx.Moments(grid, order=self.order, space=space, time=time)


ENTRY = Entry(
    position=1,
    kind=Moments,
    variants={f"moments-{order}": Moments(order) for order in range(1, 9)},
)
