"""Reaction, advection and diffusion: W = 1 + R - U d + D dd, in three schemes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reference_activations import absolute, sign
from reference_grid import (
    Grid,
    first_difference,
    mixed_difference,
    second_difference,
    upper_triangle,
)
from reference_operator import Array, Entry, Shapes, StencilOperator, Term


@dataclass(frozen=True)
class ADR(StencilOperator):
    scheme: str  # "central", "upwind", "lax-wendroff"

    def shapes(self, grid: Grid, cells: tuple[int, ...]) -> Shapes:
        n_entries = len(upper_triangle(grid.ndim))
        return {"R": cells, "U": (grid.ndim, *cells), "D": (n_entries, *cells)}

    def terms(self, grid: Grid, coefficients: Mapping[str, Array], rate: Array) -> list[Term]:
        ndim = grid.ndim
        reaction, advection, diffusion = (coefficients[name] for name in "RUD")
        result = [Term(1 + reaction, {(0,) * ndim: 1.0})]
        result += [Term(-advection[a], first_difference(ndim, a)) for a in range(ndim)]
        for entry, (a, b) in zip(diffusion, upper_triangle(ndim), strict=True):
            if a != b:
                result.append(Term(2 * entry, mixed_difference(ndim, a, b)))
            elif self.scheme == "upwind":
                result.append(Term(entry + absolute(advection[a]) / 2, second_difference(ndim, a)))
            elif self.scheme == "lax-wendroff":
                extra = rate * advection[a] ** 2 / 2
                result.append(Term(entry + extra, second_difference(ndim, a)))
            else:
                result.append(Term(entry, second_difference(ndim, a)))
        return result

    def terms_adjoint(
        self, grid: Grid, coefficients: Mapping[str, Array], rate: Array, bars: Sequence[Array]
    ) -> tuple[dict[str, Array], Array]:
        ndim = grid.ndim
        advection = coefficients["U"]
        advection_bar = [-bar for bar in bars[1 : 1 + ndim]]
        diffusion_bar = []
        rate_bar = np.zeros_like(bars[0])
        for bar, (a, b) in zip(bars[1 + ndim :], upper_triangle(ndim), strict=True):
            diffusion_bar.append(bar if a == b else 2 * bar)
            if a == b and self.scheme == "upwind":
                advection_bar[a] = advection_bar[a] + bar * sign(advection[a]) / 2
            elif a == b and self.scheme == "lax-wendroff":
                advection_bar[a] = advection_bar[a] + bar * rate * advection[a]
                rate_bar = rate_bar + bar * advection[a] ** 2 / 2
        result = {"R": bars[0], "U": np.stack(advection_bar), "D": np.stack(diffusion_bar)}
        return result, rate_bar

    def build(self, grid: Any, space: str, time: str) -> Any:
        import relaxon as rx

        return rx.ADR(grid, scheme=self.scheme, space=space, time=time)


ENTRY = Entry(
    position=0,
    kind=ADR,
    variants={f"adr-{scheme}": ADR(scheme) for scheme in ("central", "upwind", "lax-wendroff")},
)
