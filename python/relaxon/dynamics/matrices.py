"""W of every layer, and what its rows sum up to, over existing cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..model.lattice import Lattice
from ..model.network import Network

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["layer_rates", "layer_rows", "make_sparse", "place_of"]

Field = NDArray[np.float64]
Entries = tuple[NDArray[Any] | None, NDArray[Any] | None, Field]


def layer_rates(model: Network) -> Iterator[Field]:
    """Omega on existing cells of every layer, of one where all are alike."""
    lattice = Lattice(model)
    exists = _exists(model)
    shape = (lattice.n_layers or 1, *model.grid.shape)
    for rate in np.broadcast_to(lattice.omega, shape):
        yield rate.ravel()[exists]


def layer_entries(model: Network) -> Iterator[Entries]:
    """Rows, columns and values of W of every such layer over all cells; of full ones values only.

    In double precision, whatever the model's; the lax-wendroff scheme sees (1 - 2 theta) omega.
    """
    lattice, operator = Lattice(model), model.operator
    params = {
        name: model.params[name].astype(np.float64, copy=False)
        for name in operator.parameter_names()
    }
    n_layers = lattice.n_layers or 1
    omega = (1.0 - 2.0 * model.theta) * lattice.omega
    omega = np.broadcast_to(omega, (n_layers, *omega.shape[1:]))
    entries: Entries | None = None
    for layer, rate in enumerate(omega):
        if entries is None or operator.is_layered or operator.uses_omega:
            seen = rate.ravel()[0] if rate.size == 1 else rate
            entries = operator._entries(params, layer, seen)[:3]
        yield entries


def layer_rows(model: Network) -> Iterator[tuple[Field, Field]]:
    """Diagonal A_ii and sum of |A_ij|, j != i, on existing cells, of every layer.

    Parameters
    ----------
    model : Network
        Operator, parameters and omega.

    Yields
    ------
    tuple of ndarray of float64
        Both in C order; one pair where all layers are alike.
    """
    exists = _exists(model)
    n = exists.size
    last: Entries | None = None
    for entries in layer_entries(model):
        if entries is not last:
            rows, columns, values = entries
            if rows is None:
                matrix = values.reshape(n, n)[np.ix_(exists, exists)]
                diagonal = matrix.diagonal().copy()
                others = np.abs(matrix)
                np.fill_diagonal(others, 0.0)
                pair = (diagonal, others.sum(axis=1))
            else:
                is_own = rows == columns
                centre = np.bincount(rows, np.where(is_own, values, 0.0), n)
                around = np.bincount(rows, np.where(is_own, 0.0, np.abs(values)), n)
                pair = (centre[exists], around[exists])
            last = entries
        yield pair


def make_sparse(model: Network, entries: Entries) -> csr_matrix | Field:
    """Entries of one layer as a matrix over existing cells: sparse, or full where W is."""
    exists = _exists(model)
    n = exists.size
    rows, columns, values = entries
    if rows is None:
        return values.reshape(n, n)[np.ix_(exists, exists)]
    from scipy.sparse import csr_matrix

    matrix = csr_matrix((values, (rows, columns)), shape=(n, n))
    return matrix if exists.all() else matrix[exists][:, exists]


def place_of(model: Network, index: int) -> tuple[int, ...]:
    """The cell of an entry in the order of existing cells."""
    cell = np.flatnonzero(_exists(model))[index]
    return tuple(int(i) for i in np.unravel_index(cell, model.grid.shape))


def _exists(model: Network) -> NDArray[np.bool_]:
    mask = model.grid.mask
    n = int(np.prod(model.grid.shape))
    return np.ones(n, np.bool_) if mask is None else np.asarray(mask, np.bool_).ravel()
