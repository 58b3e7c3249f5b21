"""The spectral radius of layers: how fast small deviations grow or fade after many of them.

The Jacobian of a layer where f has the slope s is

    J = (1 + omega theta (1 - s A))^-1 (1 - omega (1 - theta) (1 - s A)),

omega and, at a state, s per cell on the diagonal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.lattice import Lattice
from ..model.network import Network
from .matrices import layer_entries, layer_rates, make_sparse

__all__ = ["spectral_radii", "why_no_radius"]

Field = NDArray[np.float64]

# Cells up to which all eigenvalues are found.
MOST_DENSE = 200
# Of Arnoldi's method, whose products take some 10 ns an entry: about ten seconds at most. More than
# the most do not help where it has not converged by then.
LEAST_RESTARTS, MOST_RESTARTS = 30, 200
ENTRIES_OF_RESTARTS = 40_000_000
TOLERANCE = 1e-8
# Of W in all layers, up to which it takes seconds.
MOST_ENTRIES = 2_000_000


def why_no_radius(model: Network, most_entries: int = MOST_ENTRIES) -> str:
    """Why it would take too long to find them; empty where it does not."""
    n_layers = Lattice(model).n_layers or 1
    n_entries = n_layers * model.grid.n_cells * model.operator._row_length()
    if n_entries <= most_entries:
        return ""
    return f"no spectral radius: {n_entries:,} entries of W are more than {most_entries:,}"


def spectral_radii(model: Network, slope: float | Field) -> Field:
    """The largest modulus of the eigenvalues of every layer, of one where all are alike.

    Parameters
    ----------
    model : Network
        Any model.
    slope : float or ndarray of float64, shape (N,)
        s, one for all or for every existing cell.

    Returns
    -------
    ndarray of float64, shape (L,) or (1,)
        NaN where Arnoldi's method does not converge.

    Notes
    -----
    Up to 200 existing cells all eigenvalues, else the largest by Arnoldi's method, to eight digits,
    from a start that is always the same.
    """
    radii = []
    for rate, entries in zip(layer_rates(model), layer_entries(model), strict=True):
        matrix = make_sparse(model, entries)
        n = rate.size
        if n <= MOST_DENSE:
            full = np.asarray(matrix if isinstance(matrix, np.ndarray) else matrix.toarray())
            radii.append(_dense_radius(full, rate, model.theta, slope))
        else:
            radii.append(_arnoldi_radius(matrix, rate, model.theta, slope))
    return np.array(radii)


def _dense_radius(matrix: Field, rate: Field, theta: float, slope: float | Field) -> float:
    identity = np.eye(rate.size)
    pull = rate[:, np.newaxis] * (identity - _scaled(matrix, slope))
    jacobian = identity - (1.0 - theta) * pull
    if theta:
        jacobian = np.asarray(np.linalg.solve(identity + theta * pull, jacobian), np.float64)
    return float(np.abs(np.linalg.eigvals(jacobian)).max())


def _arnoldi_radius(matrix: Any, rate: Field, theta: float, slope: float | Field) -> float:
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigs

    n = rate.size
    solve = _solver(matrix, rate, theta, slope) if theta else None

    def step(z: Field) -> Field:
        moved = z - (1.0 - theta) * rate * (z - slope * (matrix @ z))
        return moved if solve is None else solve(moved)

    operator = LinearOperator((n, n), matvec=step, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(n)
    n_entries = matrix.size if isinstance(matrix, np.ndarray) else matrix.nnz
    restarts = min(max(ENTRIES_OF_RESTARTS // n_entries, LEAST_RESTARTS), MOST_RESTARTS)
    options = {"which": "LM", "v0": start, "maxiter": restarts, "tol": TOLERANCE}
    try:
        values = eigs(operator, 1, **options, return_eigenvectors=False)
    except ArpackError:
        return float("nan")
    return float(np.abs(values[0]))


def _solver(
    matrix: Any, rate: Field, theta: float, slope: float | Field
) -> Callable[[Field], Field]:
    """Of (1 + omega theta (1 - s A)) z = r, factorised once."""
    if isinstance(matrix, np.ndarray):
        from scipy.linalg import lu_factor, lu_solve

        full = (theta * rate)[:, np.newaxis] * (np.eye(rate.size) - _scaled(matrix, slope))
        factors = lu_factor(np.eye(rate.size) + full)
        return lambda right: np.asarray(lu_solve(factors, right))
    from scipy.sparse import diags, identity
    from scipy.sparse.linalg import splu

    one = identity(rate.size, format="csr")
    implicit = one + diags(theta * rate) @ (one - _scaled(matrix, slope))
    factorised = splu(implicit.tocsc())
    return lambda right: np.asarray(factorised.solve(right))


def _scaled(matrix: Any, slope: float | Field) -> Any:
    """S A, every row by its own."""
    if np.ndim(slope) == 0:
        return slope * matrix
    column = np.asarray(slope)[:, np.newaxis]
    return column * matrix if isinstance(matrix, np.ndarray) else matrix.multiply(column).tocsr()
