"""The ADR stencil, written once for all peers and for the NumPy check.

W z = (1 + R) z - sum_a U_a d_a z + sum_ab D_ab d_a d_b z with second-order central differences in
lattice units: along axis a the coefficients of z_{i-1}, z_i, z_{i+1} are u/2 + d, -2 d, -u/2 + d;
the mixed derivative is the four corner points / 4 and enters twice.

`Any` stands for an array of NumPy, JAX or PyTorch: only arithmetic and indexing are used.
"""

from __future__ import annotations

import itertools
from typing import Any

from bench.peers.tasks import diagonal_entries


def weights(params: dict[str, Any], ndim: int) -> dict[tuple[int, ...], Any]:
    """Stencil weight per offset, from one layer's R, U, D."""
    reaction, advection, diffusion = params["R"], params["U"], params["D"]
    diagonal = diagonal_entries(ndim)
    centre = 1 + reaction
    table: dict[tuple[int, ...], Any] = {}
    for axis in range(ndim):
        u, d = advection[axis], diffusion[diagonal[axis]]
        centre = centre - 2 * d
        table[_offset(ndim, (axis, -1))] = u / 2 + d
        table[_offset(ndim, (axis, +1))] = d - u / 2
    table[(0,) * ndim] = centre
    for a, b in itertools.combinations(range(ndim), 2):
        half = diffusion[diagonal[a] + b - a] / 2
        for side_a, side_b in itertools.product((-1, 1), repeat=2):
            table[_offset(ndim, (a, side_a), (b, side_b))] = half if side_a == side_b else -half
    return table


def window(offset: tuple[int, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Index of the neighbours at `offset` in an array with one ghost cell on each side."""
    return (..., *(slice(1 + o, 1 + o + n) for o, n in zip(offset, shape, strict=True)))


def _offset(ndim: int, *steps: tuple[int, int]) -> tuple[int, ...]:
    offset = [0] * ndim
    for axis, step in steps:
        offset[axis] = step
    return tuple(offset)
