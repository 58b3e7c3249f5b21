"""Green's function of an operator's equilibrium: what a source in one cell does to all others.

Where f is the identity, the state that layers leave as they are, z = W z - b with W z = A z + w0,
is z* = G (b - w0) with G = (A - 1)^-1 on existing cells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.validate import check_finite, check_instance, read_array, refuse
from ..domain.grid import Grid
from ..operators import Operator

if TYPE_CHECKING:
    pass

__all__ = ["green_function"]

Field = NDArray[np.float64]
Matrix = Any  # csc_matrix, or Field where W is full

EPS = float(np.finfo(np.float64).eps)
# An inverse larger than one over so many last bits of A's entries is one of rounding.
FLOOR = 4.0 * EPS
# Of a model's parameters those that are no part of W.
OTHERS = ("bias", "omega", "gamma")
# Columns that are solved for together.
CHUNK = 256
# Of a null vector's entries about their mean.
FLATNESS = 1e-6


def green_function(
    op: Operator,
    params: Mapping[str, ArrayLike],
    cells: Sequence[Any] | NDArray[np.integer[Any]] | None = None,
    omega: float | ArrayLike | None = None,
) -> Field:
    """Responses of an operator's equilibrium to unit sources: G = (A - 1)^-1, W z = A z + w0.

    The attractor of a model of f = identity is z* = G (b - w0), with drive z* = G (b - x - w0);
    w0 = W 0 is what Dirichlet values add. Column j is the response to b = 1 in cell j, its negative
    that to a source x = 1 there: -G has no negative entry where no neighbour has a negative weight
    and R < 0.

    Parameters
    ----------
    op : Operator
        W, with one set of coefficients for all layers.
    params : mapping of str to array
        The operator's arrays, as ``model.params`` holds them beside others.
    cells : sequence of int, or of tuple of int, optional
        The columns to give: indices of cells, in several dimensions one tuple for each. Default:
        all.
    omega : float or array of grid.shape, optional
        Relaxation rate of the layers, which the lax-wendroff scheme puts into W.

    Returns
    -------
    ndarray of float64, shape (N, N) or (N, len(cells))
        N cells in C order; rows and columns of masked cells are zero.

    Raises
    ------
    TypeError, ValueError
        If an argument has another type or shape, the operator is layered, or A - 1 has no inverse:
        then with the eigenvalue of the state that no source holds, its wave number on periodic
        grids of homogeneous coefficients, and whether it is constant, as it is for R = 0 without a
        Dirichlet side.

    Notes
    -----
    One factorisation, by SciPy's sparse LU for stencils, and a solve per column; all of them take
    N^2 numbers. In double precision, whatever the parameters'.

    References
    ----------
    S. Succi, MEMOCS 13 (2025) 275-286, sec. 4.3.

    Examples
    --------
    A source decays over sqrt(D / -R) cells, and the responses to it sum up to 1 / -R:

    >>> import numpy as np, relaxon as rx
    >>> op = rx.ADR(rx.Grid((64,)))
    >>> params = {"R": np.array(-0.25), "U": np.zeros(1), "D": np.array([4.0])}
    >>> response = -rx.green_function(op, params, cells=[32])[:, 0]
    >>> round(float(response.sum()), 12), round(float(response[36] / response[32]), 2)
    (4.0, 0.37)
    """
    check_instance("op", op, Operator)
    if op.is_layered:
        fix = "layers with coefficients of their own share no equilibrium"
        refuse("op", "one of constant coefficients", "a layered operator", fix=fix)
    if not isinstance(params, Mapping):
        refuse("params", "a mapping of names to arrays", repr(params), TypeError)
    own = {
        name: np.asarray(value, np.float64) for name, value in params.items() if name not in OTHERS
    }
    exists = np.ones(op.grid.shape, bool) if op.grid.mask is None else op.grid.mask
    exists = exists.ravel()
    columns = np.arange(exists.size) if cells is None else _read_cells(cells, op.grid)
    found = _make_room(exists.size, columns.size)
    if omega is not None:
        omega = _read_rate(omega, op.grid)
    matrix, size = _less_identity(op, own, omega, exists)
    solve = _factorise(matrix)
    if solve is None or 1.0 / _inverse_norm(matrix, solve) <= FLOOR * size:
        _refuse_singular(op, matrix, size)
    # Of a masked cell the column stays zero.
    numbers = np.cumsum(exists) - 1
    kept = np.flatnonzero(exists[columns])
    for start in range(0, kept.size, CHUNK):
        part = kept[start : start + CHUNK]
        units = np.zeros((matrix.shape[0], part.size))
        units[numbers[columns[part]], np.arange(part.size)] = 1.0
        found[np.ix_(np.flatnonzero(exists), part)] = solve(units, False)
    return found


def _read_cells(cells: Any, grid: Grid) -> NDArray[np.intp]:
    """Numbers of cells in C order."""
    given = np.asarray(cells)
    rule = "indices of cells" if grid.ndim == 1 else f"tuples of {grid.ndim} indices"
    if given.size == 0 or given.dtype.kind not in "iu":
        refuse("cells", rule, repr(cells), TypeError if given.size else ValueError)
    indices = given.reshape(-1, 1) if grid.ndim == given.ndim == 1 else given
    if indices.ndim != 2 or indices.shape[1] != grid.ndim:
        refuse("cells", rule, f"an array of shape {given.shape}")
    outside = ((indices < 0) | (indices >= grid.shape)).any(axis=1)
    if outside.any():
        refuse("cells", f"indices within {grid.shape}", repr(cells[int(outside.argmax())]))
    return np.asarray(np.ravel_multi_index(tuple(indices.T), grid.shape))


def _read_rate(omega: Any, grid: Grid) -> Field:
    """Omega, of all cells or of each."""
    rate = read_array("omega", omega)
    if rate.dtype.kind not in "iuf":
        refuse("omega", "a number or an array of numbers", repr(omega), TypeError)
    if rate.shape not in ((), grid.shape):
        refuse("omega", f"a number or {grid.shape}", rate.shape)
    wrong = ~(np.isfinite(rate) & (rate >= 0.0))
    if wrong.any():
        refuse("omega", "0 <= omega < inf", repr(float(rate[wrong][0])))
    return rate.astype(np.float64)


def _make_room(n: int, n_columns: int) -> Field:
    try:
        return np.zeros((n, n_columns))
    except MemoryError:
        size = 8.0 * n * n_columns / 2**30
        raise MemoryError(
            f"the responses to {n_columns} sources take {size:.3g} GiB; ask for fewer with cells="
        ) from None


def _less_identity(
    op: Operator, params: Mapping[str, Field], omega: Any, exists: NDArray[np.bool_]
) -> tuple[Matrix, float]:
    """A - 1 on existing cells, and how large numbers were that it is the difference of."""
    rows, columns, values, _ = op._entries(params, 0, omega)
    check_finite("params", values)
    n = exists.size
    if rows is None:
        full = values.reshape(n, n)[np.ix_(exists, exists)]
        size = 1.0 + float(np.abs(full).sum(axis=0).max())
        return full - np.eye(len(full)), size
    from scipy.sparse import csc_matrix, identity

    whole = csc_matrix((values, (rows, columns)), shape=(n, n))
    kept = whole if exists.all() else whole[exists][:, exists]
    size = 1.0 + float(abs(kept).sum(axis=0).max())
    return csc_matrix(kept - identity(kept.shape[0])), size


def _factorise(matrix: Matrix) -> Any:
    """A function of right-hand sides and whether to transpose; None where a pivot is zero."""
    if isinstance(matrix, np.ndarray):
        from scipy.linalg import get_lapack_funcs, lu_solve

        getrf = get_lapack_funcs("getrf", (matrix,))
        lu, pivots, info = getrf(matrix)
        return (
            None if info > 0 else lambda right, turned: lu_solve((lu, pivots), right, int(turned))
        )
    from scipy.sparse.linalg import splu

    try:
        factors = splu(matrix)
    except RuntimeError:  # "Factor is exactly singular"
        return None
    return lambda right, turned: factors.solve(right, "T" if turned else "N")


def _inverse_norm(matrix: Matrix, solve: Any) -> float:
    """The 1-norm of the inverse, estimated: never too large, rarely too small."""
    from scipy.sparse.linalg import LinearOperator, onenormest

    n = matrix.shape[0]
    if n <= 4:
        return float(np.abs(solve(np.eye(n), False)).sum(axis=0).max())
    inverse = LinearOperator(
        (n, n),
        dtype=np.float64,
        matvec=lambda v: solve(v, False),
        rmatvec=lambda v: solve(v, True),
        matmat=lambda v: solve(np.ascontiguousarray(v), False),
        rmatmat=lambda v: solve(np.ascontiguousarray(v), True),
    )
    norm = float(onenormest(inverse))
    return norm if norm > 0.0 else math.inf


def _refuse_singular(op: Operator, matrix: Matrix, size: float) -> NoReturn:
    eigenvalue, what = _name_wave(op, matrix) if _is_ring(op) else _name_vector(matrix, size)
    fix = "R below 0 or a Dirichlet side holds it" if what == "constant" else "change R or W"
    refuse(
        "params",
        "an operator whose A - 1 has an inverse",
        f"the eigenvalue {eigenvalue:.2g} of a state that no source holds: {what}",
        fix=fix,
    )


def _is_ring(op: Operator) -> bool:
    """Whether waves are the eigenvectors: all rows are alike, and there are no sides."""
    sides = (side for pair in op.grid.boundary for side in pair)
    has_sides = op.grid.mask is not None or any(side != "periodic" for side in sides)
    return not (has_sides or op.is_local or op.reads_all)


def _name_wave(op: Operator, matrix: Matrix) -> tuple[float, str]:
    """The least eigenvalue, and its wave number: the transform of a column holds all of them."""
    shape = op.grid.shape
    values = np.fft.fftn(matrix[:, [0]].toarray().reshape(shape))
    place = np.unravel_index(int(np.abs(values).argmin()), shape)
    numbers = [min(int(m), n - int(m)) for m, n in zip(place, shape, strict=True)]
    value = float(np.abs(values[place]))
    if not any(numbers):
        return value, "constant"
    parts = [
        f"2 pi {m} / {n} along {name}"
        for m, n, name in zip(numbers, shape, op.grid.names, strict=True)
    ]
    return value, f"a wave of the wave number {', '.join(parts)}"


def _name_vector(matrix: Matrix, size: float) -> tuple[float, str]:
    """The same by inverse iteration, a little off the eigenvalue."""
    n = matrix.shape[0]
    shift = 1e-9 * size
    if isinstance(matrix, np.ndarray):
        solve = _factorise(matrix - shift * np.eye(n))
    else:
        from scipy.sparse import identity

        solve = _factorise((matrix - shift * identity(n, format="csc")).tocsc())
    vector = np.random.default_rng(0).uniform(0.5, 1.0, n)
    for _ in range(4):
        vector = solve(vector, False)
        vector /= np.abs(vector).max()
    value = abs(float(vector @ (matrix @ vector) / (vector @ vector)))
    is_flat = np.abs(vector - vector.mean()).max() <= FLATNESS * abs(vector.mean())
    return value, "constant" if is_flat else "not constant"
