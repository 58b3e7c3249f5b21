"""Coefficients of a model as arrays that broadcast against each other: components, layers, cells.

Operators and omega of all families then stand in one formula: homogeneous or local, one set or one
per layer.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.grid import Grid
from ..operators import ADR, Dense, Operator
from .network import Network

__all__ = [
    "Lattice",
    "numerical_diffusion",
    "transport",
]

Array = NDArray[Any]


class Lattice:
    """Lattice values (spacing 1) of one model.

    Parameters
    ----------
    model : Network
        Shapes and settings.
    params : mapping of str to array, optional
        Values in the place of the model's own, "omega" or "gamma" among them where it differs.
        Complex numbers are taken: with a step along the imaginary axis, formulas give derivatives
        as well.

    Attributes
    ----------
    grid : Grid
        The model's grid.
    omega : ndarray, shape (L or 1, *(grid.shape or ones))
        Network rate.
    n_layers : int or None
        Number of layers where anything differs between them, else None.
    is_spread : bool
        Whether anything differs between cells.
    """

    def __init__(self, model: Network, params: Mapping[str, Array] | None = None) -> None:
        self.model = model
        self.grid: Grid = model.grid
        name = model._rate_name
        self._params = {**model.params, name: model._own_rate, **(params or {})}
        rate = model._parameters[name]
        shape = self.grid.shape if rate.is_field else (1,) * self.grid.ndim
        values = _wide(self._params[name]).reshape((-1, *shape))
        self.omega = values if name == "omega" else -np.expm1(-model.dt * values)
        operator = model.operator
        self.n_layers = model.n_layers if operator.is_layered or rate.is_layered else None
        self.is_spread = operator.is_local or rate.is_field or operator.reads_all

    def coefficient(self, name: str) -> Array:
        """A parameter of the operator; its components, if it has any, come first."""
        parameter = self.model._parameters[name]
        values = _wide(self._params[name])
        axis = parameter.component_axis
        if not parameter.is_layered:
            values = values[np.newaxis]
            axis = None if axis is None else axis + 1
        if not parameter.is_field:
            values = values.reshape(values.shape + (1,) * self.grid.ndim)
        return values if axis is None else np.moveaxis(values, axis, 0)

    def matrices(self) -> Array:
        """W as a matrix, shape (L or 1, N, N), of the model's own parameters."""
        operator = self.model.operator
        params = {name: self.model.params[name] for name in operator.parameter_names()}
        if isinstance(operator, Dense):
            matrices = _wide(params["W"])
            return matrices if operator.is_layered else matrices[np.newaxis]
        omega = (1.0 - 2.0 * self.model.theta) * self.omega
        omega = np.broadcast_to(omega, (self.n_layers or 1, *omega.shape[1:]))
        return np.stack(
            [
                _wide(
                    operator.to_dense(
                        params,
                        layer if operator.is_layered else 0,
                        rate.ravel()[0] if rate.size == 1 else rate,
                    )
                )
                for layer, rate in enumerate(omega)
            ]
        )

    def spread(self, values: Array) -> Array:
        """Values per layer and cell in their final shape: lead + space, NaN on masked cells."""
        space = self.grid.shape if self.is_spread else (1,) * self.grid.ndim
        values = np.broadcast_to(values, (self.n_layers or 1, *space))
        if not self.is_spread:
            values = values.reshape(values.shape[0])
        elif self.grid.mask is not None:
            values = np.where(self.grid.mask, values, np.nan)
        return np.array(values if self.n_layers is not None else values[0])


@functools.singledispatch
def transport(operator: Operator, lattice: Lattice) -> tuple[Array, Array] | None:
    """Velocity and diffusion per axis, without those of the scheme; None where there are none."""
    moments = operator.line_moments(lattice.coefficient)
    if moments is None:
        return None
    moments.append(np.zeros(1))
    return -moments[1][np.newaxis], moments[2][np.newaxis] / 2.0


@transport.register
def _(operator: ADR, lattice: Lattice) -> tuple[Array, Array]:
    return lattice.coefficient("U"), lattice.coefficient("D")[operator.diagonal()]


def numerical_diffusion(lattice: Lattice) -> Array | None:
    """What the scheme of ADR adds to the diagonal of D, per axis; None where it adds nothing."""
    scheme = getattr(lattice.model.operator, "scheme", "central")
    if scheme == "central":
        return None
    velocity = lattice.coefficient("U")
    if scheme == "upwind":
        return np.asarray(np.where(velocity.real < 0.0, -velocity, velocity) / 2.0)
    return np.asarray((1.0 - 2.0 * lattice.model.theta) * lattice.omega * velocity**2 / 2.0)


def _wide(values: Array) -> Array:
    return np.asarray(values, np.complex128 if np.iscomplexobj(values) else np.float64)
