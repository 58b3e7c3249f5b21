"""Moments of a dense matrix on grid points, and those of the same matrix without its order.

W_k(q_i) = sum_j (q_j - q_i)^k W_ij, with the nearest image on periodic axes; the half-way cell of
an even axis counts half on each side.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from ..domain.grid import Grid

__all__ = ["axis_pairs", "matrix_moments", "shuffle_rows"]

Field = NDArray[np.float64]


def matrix_moments(matrix: Field, grid: Grid) -> dict[tuple[int, ...], Field]:
    """Moments of orders 0 to 2 of each row about its own cell, keyed by the axes multiplied.

    Parameters
    ----------
    matrix : ndarray, shape (N, N)
        Cells in C order; columns of masked cells are not read.
    grid : Grid
        The cells.

    Returns
    -------
    dict of tuple of int to ndarray of the grid's shape
        Lattice values: () the sum of the row, (a,) and (a, b) the first and second moments.
    """
    n_cells = math.prod(grid.shape)
    if grid.mask is not None:
        matrix = np.where(grid.mask.ravel(), matrix, 0.0)
    entries = matrix.reshape(n_cells, *grid.shape)
    rows = np.unravel_index(np.arange(n_cells), grid.shape)
    distances = [_distances(grid, a) for a in range(grid.ndim)]
    moments: dict[tuple[int, ...], Field] = {(): matrix.sum(axis=1)}
    for a in range(grid.ndim):
        others = tuple(b + 1 for b in range(grid.ndim) if b != a)
        signed, _ = distances[a]
        moments[(a,)] = np.einsum("na,na->n", signed[rows[a]], entries.sum(axis=others))
    for a, b in axis_pairs(grid.ndim):
        others = tuple(c + 1 for c in range(grid.ndim) if c not in (a, b))
        sums = entries.sum(axis=others)
        if a == b:
            squared = distances[a][1]
            moments[(a, a)] = np.einsum("na,na->n", squared[rows[a]], sums)
        else:
            along_a, along_b = distances[a][0][rows[a]], distances[b][0][rows[b]]
            moments[(a, b)] = np.einsum("na,nb,nab->n", along_a, along_b, sums)
    return {axes: moment.reshape(grid.shape) for axes, moment in moments.items()}


def shuffle_rows(matrix: Field, grid: Grid, random: np.random.Generator) -> Field:
    """Each row's off-diagonal entries in random order, over existing cells."""
    cells = np.arange(matrix.shape[0]) if grid.mask is None else np.flatnonzero(grid.mask)
    block = matrix[np.ix_(cells, cells)]
    off_diagonal = ~np.eye(len(cells), dtype=np.bool_)
    entries = block[off_diagonal].reshape(len(cells), len(cells) - 1)
    block[off_diagonal] = random.permuted(entries, axis=1).ravel()
    shuffled = np.zeros_like(matrix)
    shuffled[np.ix_(cells, cells)] = block
    return shuffled


def axis_pairs(ndim: int) -> list[tuple[int, int]]:
    """Pairs of axes in the order of the components of D."""
    return list(itertools.combinations_with_replacement(range(ndim), 2))


def _distances(grid: Grid, axis: int) -> tuple[Field, Field]:
    """Signed and squared distance in cells from each cell (rows) to each other along one axis."""
    n = grid.shape[axis]
    cells = np.arange(n, dtype=np.float64)
    signed = cells[np.newaxis] - cells[:, np.newaxis]
    if grid.boundary[axis][0] == "periodic":
        signed -= n * np.round(signed / n)
    squared = signed**2
    if grid.boundary[axis][0] == "periodic":
        # The half-way cell of an even axis lies on both sides: half of it at +n/2, half at -n/2.
        signed[np.abs(signed) == n / 2] = 0.0
    return signed, squared
