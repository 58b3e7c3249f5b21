"""What an operator is to the tests; each stands in a file of its own in the folder ``operators``.

An operator is its settings: arrays of coefficients, W z and its transpose in plain NumPy, which
define what is right, and one constructor of the package's own operator. Coefficients are those of
one layer, ``rate`` is the omega of that layer; states are (batch, *grid.shape).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference_grid import Grid, Stencil, difference, difference_adjoint, sum_of

Array = NDArray[Any]
Shapes = dict[str, tuple[int, ...]]


class Operator(ABC):
    """Settings of an operator; subclasses are frozen dataclasses of them."""

    dimensions: ClassVar[tuple[int, ...]] = (1, 2, 3)
    matrices: ClassVar[frozenset[str]] = frozenset()  # arrays with an entry per pair of cells

    @property
    def fewest_cells(self) -> int:
        """The shortest axis it can live on."""
        return 1

    def axes(self, ndim: int) -> dict[str, tuple[Any, ...]]:
        """Its values on those axes of the registry's product that it restricts."""
        return {}

    @abstractmethod
    def shapes(self, grid: Grid, cells: tuple[int, ...]) -> Shapes:
        """Arrays of one layer; ``cells`` are the axes of what may differ from cell to cell."""

    def draw(self, rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
        """Random coefficients, such that W is of the order of the identity."""
        return np.asarray(0.2 * rng.standard_normal(shape))

    @abstractmethod
    def apply(self, grid: Grid, coefficients: Mapping[str, Array], rate: Array, z: Array) -> Array:
        """W z; z is 0 where there is no cell, and what is returned there is not read."""

    @abstractmethod
    def adjoint(
        self, grid: Grid, coefficients: Mapping[str, Array], rate: Array, z: Array, s: Array
    ) -> tuple[dict[str, Array], Array, Array]:
        """Cotangents of the coefficients (per cell), of omega (a field), and W^T s."""

    @abstractmethod
    def build(self, grid: Any, space: str, time: str) -> Any:
        """The same operator of the package, on a grid of the package."""


class Entry(NamedTuple):
    """What a file in ``operators`` calls ENTRY.

    The product of cases is addressed by index: a new operator takes the next ``position``, so that
    every index keeps its case. Variants whose names differ only in a number at the end count as one
    where the registry looks for new pairs of values.
    """

    position: int
    kind: type[Operator]
    variants: Mapping[str, Operator]


class Term(NamedTuple):
    """coefficient(cell) * (constant difference operator)."""

    coefficient: Array
    stencil: Stencil


class StencilOperator(Operator):
    """W z = sum of coefficient * difference(z)."""

    @abstractmethod
    def terms(self, grid: Grid, coefficients: Mapping[str, Array], rate: Array) -> list[Term]:
        """The summands."""

    @abstractmethod
    def terms_adjoint(
        self, grid: Grid, coefficients: Mapping[str, Array], rate: Array, bars: Sequence[Array]
    ) -> tuple[dict[str, Array], Array]:
        """Cotangents of the coefficients and of omega from those of the terms (fields)."""

    def apply(self, grid: Grid, coefficients: Mapping[str, Array], rate: Array, z: Array) -> Array:
        return sum_of(
            coefficient * difference(grid, stencil, z)
            for coefficient, stencil in self.terms(grid, coefficients, rate)
        )

    def adjoint(
        self, grid: Grid, coefficients: Mapping[str, Array], rate: Array, z: Array, s: Array
    ) -> tuple[dict[str, Array], Array, Array]:
        parts = self.terms(grid, coefficients, rate)
        bars = [(s * difference(grid, stencil, z)).sum(axis=0) for _, stencil in parts]
        z_bar = sum_of(difference_adjoint(grid, stencil, c * s) for c, stencil in parts)
        return (*self.terms_adjoint(grid, coefficients, rate, bars), z_bar)


class LineOperator(StencilOperator):
    """One dimension, one array: its components weigh constant stencils."""

    dimensions = (1,)
    array: ClassVar[str]

    @abstractmethod
    def stencils(self) -> list[Stencil]:
        """One for each component."""

    @property
    def fewest_cells(self) -> int:
        return max(abs(offset) for stencil in self.stencils() for (offset,) in stencil)

    def shapes(self, grid: Grid, cells: tuple[int, ...]) -> Shapes:
        return {self.array: (len(self.stencils()), *cells)}

    def terms(self, grid: Grid, coefficients: Mapping[str, Array], rate: Array) -> list[Term]:
        components = coefficients[self.array]
        return [Term(c, stencil) for c, stencil in zip(components, self.stencils(), strict=True)]

    def terms_adjoint(
        self, grid: Grid, coefficients: Mapping[str, Array], rate: Array, bars: Sequence[Array]
    ) -> tuple[dict[str, Array], Array]:
        return {self.array: np.stack(bars)}, np.zeros_like(bars[0])
