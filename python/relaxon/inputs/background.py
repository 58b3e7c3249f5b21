"""What is known of missing inputs: their prediction from observed neighbours.

With the covariance M of a cell and the cells around it, a gap g among observed neighbours o has

    mean      m + M_go M_oo^-1 (x_o - m),
    variance  M_gg - M_go M_oo^-1 M_og,

the best linear prediction. M and the mean m come from the inputs themselves, by expectation and
maximisation: gaps are filled by their prediction, M is taken anew from the filled fields with the
variances of what was filled added, and so on.

Where observations have errors of variance s^2, M holds them on its diagonal. The gap of the true
field among the true values of its neighbours has M - s^2 in the place of M: its factors are not
damped, and its variance is small where fields are smooth.

References: A. P. Dempster, N. M. Laird, D. B. Rubin, J. R. Stat. Soc. B 39 (1977) 1-38;
L. S. Gandin, Objective Analysis of Meteorological Fields (1965).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.grid import Grid

__all__ = ["Prediction", "predict_gaps"]

Field = NDArray[np.float64]
Bits = NDArray[np.bool_]

# Squared distance in cells up to which cells are neighbours, by the number of axes: 8, 12 and 18
# neighbours. More hardly predict better, and their patterns of gaps are many.
FARTHEST = {1: 16, 2: 4, 3: 2}
N_ROUNDS = 8
# Places that the covariance is taken from, at most.
MOST_PLACES = 50_000
# Matrices of patterns of observed neighbours that are solved at once.
PATTERNS_AT_ONCE = 4096
# Of the mean variance: what keeps the covariance of very smooth fields invertible.
RIDGE = 1e-8


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """Gaps as linear functions of their neighbours.

    Attributes
    ----------
    filled : ndarray of float64, shape (samples, *grid.shape)
        The inputs with their gaps filled; all else is as it was.
    gaps : ndarray of int64, shape (n,)
        Flat indices of the gaps.
    variance : ndarray of float64, shape (n,)
        Of what was filled in.
    neighbours : ndarray of int64, shape (n, k)
        Flat indices of the neighbours; -1 where there is none, or it is missing, too.
    factors : ndarray of float64, shape (n, k)
        What a gap moves by when a neighbour does; 0 where there is none.
    n_missing : ndarray of int64, shape (n,)
        How many of the neighbours are gaps, too.
    """

    filled: Field
    gaps: NDArray[np.int64]
    variance: Field
    neighbours: NDArray[np.int64]
    factors: Field
    n_missing: NDArray[np.int64]


def predict_gaps(x: NDArray[Any], gaps: Bits, grid: Grid, error: float = 0.0) -> Prediction:
    """Fill the gaps of some fields.

    Parameters
    ----------
    x : ndarray, shape (samples, *grid.shape)
        Inputs; not read where there are gaps, nor on masked cells.
    gaps : ndarray of bool
        Of x's shape.
    grid : Grid
        Boundaries and mask.
    error : float, default 0
        Standard deviation of the errors of what was observed.

    Returns
    -------
    Prediction
        Filled fields, and how each gap depends on its neighbours.

    Notes
    -----
    The covariance is one for all cells and samples. A gap without any observed neighbour gets mean
    and variance of all inputs. Gaps beside each other are predicted one by one.
    """
    exists = np.ones(grid.shape, np.bool_) if grid.mask is None else np.asarray(grid.mask)
    is_known = exists & ~gaps
    mean = float(np.mean(x, where=is_known, dtype=np.float64))
    anomaly = np.where(is_known, x, mean).astype(np.float64) - mean
    variance = np.zeros(x.shape)
    spread = float(np.mean(anomaly**2, where=is_known))
    variance[gaps] = max(spread - error**2, 0.0)
    where = np.argwhere(gaps)
    flat = np.flatnonzero(gaps)
    surroundings = _Surroundings(grid, exists, len(x))
    neighbours = surroundings.around(where)
    n_missing = np.count_nonzero(surroundings.look(gaps, neighbours, False), axis=1)
    factors = np.zeros(neighbours.shape)
    # Constant fields need no neighbours, and their covariance has no inverse.
    if surroundings.n_neighbours and spread > 0.0:
        seen = surroundings.look(is_known, neighbours, False)
        neighbours = np.where(seen, neighbours, -1)
        patterns = _Patterns(seen)
        for i in range(N_ROUNDS + 1):
            covariance = surroundings.covariance(anomaly, variance)
            if i == N_ROUNDS and error > 0.0:
                covariance = surroundings.without_errors(covariance, error)
            by_pattern, left = patterns.solve(covariance)
            factors = by_pattern[patterns.inverse]
            values = surroundings.look(anomaly, neighbours, 0.0)
            anomaly[gaps] = np.einsum("gk,gk->g", factors, values)
            variance[gaps] = left[patterns.inverse]
    filled = np.where(gaps, anomaly + mean, x)
    return Prediction(filled, flat, variance[gaps], neighbours, factors, n_missing)


class _Surroundings:
    """The cells around each cell, by flat index within their sample; -1 where there is none."""

    def __init__(self, grid: Grid, exists: Bits, n_samples: int) -> None:
        farthest = FARTHEST[grid.ndim]
        sizes = [min(math.isqrt(farthest), (n - 1) // 2) for n in grid.shape]
        offsets = itertools.product(*(range(-size, size + 1) for size in sizes))
        near = [o for o in offsets if 0 < sum(step**2 for step in o) <= farthest]
        self._offsets = np.array(near, np.int64).reshape(-1, grid.ndim)
        self._grid = grid
        self.n_neighbours = len(self._offsets)
        cells = np.argwhere(exists)
        neighbours = self._cells_around(cells)
        has_all = np.all(neighbours >= 0, axis=1)
        has_all &= np.all(exists.ravel()[neighbours], axis=1)
        flat = np.ravel_multi_index(tuple(cells[has_all].T), grid.shape)
        if not len(flat):
            self.n_neighbours = 0
            return
        # A part of the samples, evenly, where there are many surroundings.
        self._n_places = n_samples * len(flat)
        step = -(-self._n_places // MOST_PLACES)
        self._samples = slice(None, None, step)
        self._whole = np.column_stack([flat, neighbours[has_all]])

    def _cells_around(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        places = cells[:, np.newaxis] + self._offsets
        is_inside = np.ones(places.shape[:2], np.bool_)
        for axis, (n, ends) in enumerate(zip(self._grid.shape, self._grid.boundary, strict=True)):
            if ends == ("periodic", "periodic"):
                places[..., axis] %= n
            else:
                is_inside &= (places[..., axis] >= 0) & (places[..., axis] < n)
        places[~is_inside] = 0
        flat = np.ravel_multi_index(tuple(np.moveaxis(places, -1, 0)), self._grid.shape)
        return np.where(is_inside, flat, -1)

    def around(self, where: NDArray[np.int64]) -> NDArray[np.int64]:
        """Flat indices of the neighbours of entries (sample, *cell); -1 outside the grid."""
        cells = self._cells_around(where[:, 1:])
        first = where[:, :1] * math.prod(self._grid.shape)
        return np.where(cells >= 0, first + cells, -1)

    def look(self, fields: NDArray[Any], places: NDArray[np.int64], blank: Any) -> NDArray[Any]:
        """Values at flat indices; `blank` at -1."""
        return np.where(places >= 0, fields.ravel()[places], blank)

    def covariance(self, anomaly: Field, variance: Field) -> Field:
        """Of a cell (first) and its neighbours."""
        chosen = anomaly.reshape(len(anomaly), -1)[self._samples]
        added = variance.reshape(len(variance), -1)[self._samples]
        vectors = chosen[:, self._whole].reshape(-1, self._whole.shape[1])
        matrix = vectors.T @ vectors / len(vectors)
        diagonal = np.diag(matrix) + added[:, self._whole].mean(axis=(0, 1))
        np.fill_diagonal(matrix, diagonal + RIDGE * diagonal.mean())
        return np.asarray(matrix)

    def without_errors(self, covariance: Field, error: float) -> Field:
        """Of the true values, kept positive against the scatter of its estimate."""
        values, vectors = np.linalg.eigh(covariance - error**2 * np.eye(len(covariance)))
        least = error**2 * math.sqrt(len(covariance) / self._n_places)
        return np.asarray((vectors * np.maximum(values, least)) @ vectors.T)


class _Patterns:
    """Which neighbours are observed: each pattern is solved once."""

    def __init__(self, is_seen: Bits) -> None:
        packed = np.packbits(is_seen, axis=1)
        _, first, inverse = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        self._is_seen = is_seen[first]
        self.inverse = inverse.reshape(-1)

    def solve(self, covariance: Field) -> tuple[Field, Field]:
        """Factors of the neighbours, 0 for those not observed, and the variance that is left."""
        to_gap, among, own = covariance[1:, 0], covariance[1:, 1:], covariance[0, 0]
        factors = np.empty(self._is_seen.shape)
        for begin in range(0, len(factors), PATTERNS_AT_ONCE):
            seen = self._is_seen[begin : begin + PATTERNS_AT_ONCE].astype(np.float64)
            matrices = seen[:, :, np.newaxis] * seen[:, np.newaxis] * among
            k = np.arange(len(among))
            matrices[:, k, k] += (1.0 - seen) * own
            right = (seen * to_gap)[..., np.newaxis]
            factors[begin : begin + len(seen)] = np.linalg.solve(matrices, right)[..., 0]
        return factors, np.maximum(own - factors @ to_gap, 0.0)
