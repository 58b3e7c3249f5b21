"""Grids of the reference: what each cell sees along an arm, and difference operators with it.

An arm is a table: for each cell the index of the cell it finds at an offset and its factor, or -1,
and a constant.
The table is filled by the rules for sides and masks once; values are then gathered through it, and
the transpose scatters through the same table, so that it cannot disagree with the forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Offset = tuple[int, ...]
Condition = str | float  # one of CONDITIONS, or the value of a Dirichlet condition
Stencil = Mapping[Offset, float]


@dataclass(frozen=True)
class Grid:
    """Cells, the condition on the (low, high) side of each axis, and the mask (True = exists)."""

    shape: tuple[int, ...]
    boundary: tuple[tuple[Condition, Condition], ...]
    spacing: tuple[float, ...]
    mask: NDArray[np.bool_] | None = None
    mask_boundary: Condition = "neumann"
    _arms: dict[Offset, tuple[Array, Array, Array]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def exists(self) -> NDArray[np.bool_]:
        return np.ones(self.shape, bool) if self.mask is None else self.mask

    @property
    def cell_volume(self) -> float:
        return float(np.prod(self.spacing))

    def arm(self, offset: Offset) -> tuple[Array, Array, Array]:
        """What each cell sees at ``offset``: factor times a cell, by its flat index, or a constant.

        Where there is no cell the index is -1, where there is one the constant is 0.
        """
        if offset not in self._arms:
            self._arms[offset] = self._find_arm(offset)
        return self._arms[offset]

    def _find_arm(self, offset: Offset) -> tuple[Array, Array, Array]:
        width = max(map(abs, offset))
        centre = np.arange(np.prod(self.shape)).reshape(self.shape)
        window = tuple(
            slice(width + o, width + o + n) for o, n in zip(offset, self.shape, strict=True)
        )
        source = fill_ghosts(centre, self.boundary, width, lambda value: -1, False)[window]
        factor = fill_ghosts(np.ones(self.shape), self.boundary, width, lambda value: 0)[window]
        constant = fill_ghosts(np.zeros(self.shape), self.boundary, width, float)[window]

        into_mask = (source >= 0) & ~self.exists.ravel()[source]
        if self.mask_boundary == "neumann":
            source = np.where(into_mask, centre, source)
            factor = np.where(into_mask, 1, factor)
        else:
            source = np.where(into_mask, -1, source)
            constant = np.where(into_mask, self.mask_boundary, constant)
        return source, factor, constant


class Rule(NamedTuple):
    """A condition with a name: the cell behind a ghost at ``position`` of n, and its factor."""

    cell: Callable[[int, int], int]
    factor: int


def mirror(position: int, n: int) -> int:
    return -1 - position if position < 0 else 2 * n - 1 - position


CONDITIONS = {"periodic": Rule(lambda position, n: position % n, 1), "neumann": Rule(mirror, 1)}
# Those of single sides.
ONE_SIDED = tuple(name for name in CONDITIONS if name != "periodic")


def fill_ghosts(
    cells: Array,
    boundary: Sequence[tuple[Condition, Condition]],
    width: int,
    dirichlet: Callable[[float], float],
    with_factors: bool = True,
) -> Array:
    """Pad ``cells`` by ``width`` ghosts on every side; as indices, without factors.

    Axis 0 is filled first and later axes run over the ghosts already there: so corners follow, and
    where two Dirichlet sides meet the last axis wins.
    """
    for axis, (low, high) in enumerate(boundary):
        n = cells.shape[axis]
        act = (dirichlet, with_factors)
        below = [ghost(cells, axis, at, low, *act) for at in range(-width, 0)]
        above = [ghost(cells, axis, at, high, *act) for at in range(n, n + width)]
        cells = np.concatenate([*below, cells, *above], axis=axis)
    return cells


def ghost(
    cells: Array,
    axis: int,
    position: int,
    condition: Condition,
    dirichlet: Callable[[float], float],
    with_factors: bool,
) -> Array:
    """The slab of ghosts at ``position`` < 0 or >= n along ``axis``."""
    if isinstance(condition, str):
        rule = CONDITIONS[condition]
        found = np.take(cells, [rule.cell(position, cells.shape[axis])], axis=axis)
        return found * rule.factor if with_factors else found
    return np.full_like(np.take(cells, [0], axis=axis), dirichlet(float(condition)))


def see(grid: Grid, offset: Offset, z: Array) -> Array:
    """Value that each cell finds along one arm, for a batch of states."""
    source, factor, constant = grid.arm(offset)
    return np.where(
        source >= 0, factor * z.reshape(len(z), -1)[:, source], constant.astype(z.dtype)
    )


def see_adjoint(grid: Grid, offset: Offset, s: Array) -> Array:
    """Transpose of the linear part of :func:`see`: each cell returns ``s`` to what it saw."""
    source, factor, _ = grid.arm(offset)
    z_bar = np.zeros((len(s), s[0].size), s.dtype)
    is_cell = source >= 0
    for sample, contribution in zip(z_bar, s, strict=True):
        np.add.at(sample, source[is_cell], (factor * contribution)[is_cell])
    return z_bar.reshape(s.shape)


def difference(grid: Grid, stencil: Stencil, z: Array) -> Array:
    """Difference operator with constant weights, e.g. {(-1,): -1/2, (1,): 1/2}, applied to z."""
    return sum_of(weight * see(grid, offset, z) for offset, weight in stencil.items())


def difference_adjoint(grid: Grid, stencil: Stencil, s: Array) -> Array:
    """Transpose of the linear part of :func:`difference`."""
    return sum_of(weight * see_adjoint(grid, offset, s) for offset, weight in stencil.items())


def existing_pairs(grid: Grid, matrix: Array) -> Array:
    """A matrix between cells, with 0 in rows and columns of those that do not exist."""
    exists = grid.exists.ravel()
    return np.where(exists[:, None] & exists[None, :], matrix, 0)


def sum_of(arrays: Iterable[Array]) -> Array:
    first, *others = arrays
    for other in others:
        first = first + other
    return first


def unit(ndim: int, axis: int, step: int = 1) -> Offset:
    return tuple(step * (a == axis) for a in range(ndim))


def first_difference(ndim: int, axis: int) -> Stencil:
    return {unit(ndim, axis, -1): -0.5, unit(ndim, axis, 1): 0.5}


def second_difference(ndim: int, axis: int) -> Stencil:
    return {unit(ndim, axis, -1): 1.0, (0,) * ndim: -2.0, unit(ndim, axis, 1): 1.0}


def mixed_difference(ndim: int, a: int, b: int) -> Stencil:
    return {
        tuple(i * (axis == a) + j * (axis == b) for axis in range(ndim)): i * j / 4
        for i in (-1, 1)
        for j in (-1, 1)
    }


def upper_triangle(ndim: int) -> list[tuple[int, int]]:
    """Axes of the entries of D in storage order: xx, xy, yy in 2-D."""
    return [(a, b) for a in range(ndim) for b in range(a, ndim)]


def moment_stencils(order: int) -> list[Stencil]:
    """Stencil with k-th lattice moment 1 and all others 0, k = 0..order.

    Columns of the inverse of V_{kj} = j^k, j = -r..r, solved in exact rationals; a stencil with an
    odd ``order`` has one point too many, and its top moment is 0.
    """
    radius = (order + 1) // 2
    n = 2 * radius + 1
    rows = [
        [Fraction(j) ** k for j in range(-radius, radius + 1)]
        + [Fraction(int(k == column)) for column in range(n)]
        for k in range(n)
    ]
    for i in range(n):
        pivot = next(row for row in range(i, n) if rows[row][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [entry / rows[i][i] for entry in rows[i]]
        for k in range(n):
            if k != i:
                rows[k] = [a - rows[k][i] * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [
        {(j,): float(rows[radius + j][n + k]) for j in range(-radius, radius + 1)}
        for k in range(order + 1)
    ]
