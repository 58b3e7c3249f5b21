"""Coefficients of a model as arrays that broadcast against each other: components, layers, cells.

Operators and omega of all families then stand in one formula: homogeneous or local, one set or one
per layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..grid import Grid
from ..model import Relaxation
from ..operators import ADR, Banded, Dense, Moments

__all__ = ["Lattice", "cut_layers", "first_layers", "is_field", "is_layered"]

Array = NDArray[Any]


class Lattice:
    """Lattice values (spacing 1) of one model.

    Parameters
    ----------
    model : Relaxation
        Shapes and settings.
    params : mapping of str to array, optional
        Values in the place of the model's own, "omega" among them where it differs. Complex numbers
        are taken: with a step along the imaginary axis, formulas give derivatives as well.

    Attributes
    ----------
    grid : Grid
        The model's grid.
    omega : ndarray, shape (L or 1, *(grid.shape or ones))
        Relaxation rate.
    n_layers : int or None
        Number of layers where anything differs between them, else None.
    is_spread : bool
        Whether anything differs between cells.
    """

    def __init__(self, model: Relaxation, params: Mapping[str, Array] | None = None) -> None:
        self.model = model
        self.grid: Grid = model.grid
        self._params = {**model.params, "omega": model.omega, **(params or {})}
        kind = model._omega_kind
        shape = self.grid.shape if kind == "cell" else (1,) * self.grid.ndim
        self.omega = _wide(self._params["omega"]).reshape((-1, *shape))
        self._is_layered = model.operator.is_layered
        self._is_local = model.operator.is_local
        self.n_layers = model.depth if self._is_layered or kind == "layer" else None
        self.is_spread = self._is_local or kind == "cell" or isinstance(model.operator, Dense)

    def coefficient(self, name: str) -> Array:
        """A parameter of the operator; its components, if it has any, come first."""
        values = _wide(self._params[name])
        if not self._is_layered:
            values = values[np.newaxis]
        if not self._is_local:
            values = values.reshape(values.shape + (1,) * self.grid.ndim)
        return values if name == "R" else np.moveaxis(values, 1, 0)

    def matrices(self) -> Array:
        """Those of a dense operator, shape (L or 1, N, N)."""
        matrices = _wide(self._params["W"])
        return matrices if self._is_layered else matrices[np.newaxis]

    def moments(self) -> list[Array]:
        """Moments W_k of a free stencil or of moments, k = 0, 1, ..."""
        if isinstance(self.model.operator, Moments):
            return list(self.coefficient("moments"))
        weights = self.coefficient("weights")
        offsets = np.arange(len(weights)) - len(weights) // 2
        return [
            np.tensordot(offsets.astype(np.float64) ** k, weights, axes=1)
            for k in range(len(weights))
        ]

    def transport(self) -> tuple[Array, Array] | None:
        """Velocity and diffusion per axis, the scheme's numerical diffusion included.

        None for operators whose stencil is wider than one cell on each side.
        """
        operator = self.model.operator
        if isinstance(operator, ADR):
            velocity = self.coefficient("U")
            diffusion = self.coefficient("D")[operator.diagonal()]
            added = self.numerical_diffusion()
            return velocity, diffusion if added is None else diffusion + added
        if (isinstance(operator, Moments) and operator.order <= 2) or (
            isinstance(operator, Banded) and operator.radius == 1
        ):
            moments = [*self.moments(), np.zeros(1)]
            return -moments[1][np.newaxis], moments[2][np.newaxis] / 2.0
        return None

    def numerical_diffusion(self) -> Array | None:
        """What the scheme adds to the diagonal of D, per axis; None where it adds nothing."""
        scheme = getattr(self.model.operator, "scheme", "central")
        if scheme == "central":
            return None
        velocity = self.coefficient("U")
        if scheme == "upwind":
            return np.asarray(np.where(velocity.real < 0.0, -velocity, velocity) / 2.0)
        return np.asarray(self.omega * velocity**2 / 2.0)

    def spread(self, values: Array) -> Array:
        """Values per layer and cell in their final shape: lead + space, NaN on masked cells."""
        space = self.grid.shape if self.is_spread else (1,) * self.grid.ndim
        values = np.broadcast_to(values, (self.n_layers or 1, *space))
        if not self.is_spread:
            values = values.reshape(values.shape[0])
        elif self.grid.mask is not None:
            values = np.where(self.grid.mask, values, np.nan)
        return np.array(values if self.n_layers is not None else values[0])


def is_field(model: Relaxation, name: str) -> bool:
    """Whether a parameter has a value per cell."""
    if name == "bias":
        return model.bias == "local"
    if name == "omega":
        return model._omega_kind == "cell"
    return model.operator.is_local and name in model.operator.parameter_shapes(model.depth)


def is_layered(model: Relaxation, name: str) -> bool:
    """Whether a parameter has a value per layer."""
    return model._omega_kind == "layer" if name == "omega" else model.operator.is_layered


def first_layers(model: Relaxation, n_layers: int) -> Relaxation:
    """The network of the first layers alone."""
    # Where omega is trained, the value to start from: it is within the bounds of the constructor.
    omega = cut_layers(model, "omega", model._omega, n_layers)
    if model._omega_kind == "cell" and model.grid.ndim == 1:
        # As (1, N): a plain (N,) would be read per layer where N is the number of layers.
        omega = omega.reshape(1, -1)
    shallow = Relaxation(
        model.operator,
        depth=n_layers,
        activation=model.activation,
        omega=omega,
        bias=model.bias,
        beta=model.beta,
        trainable_omega=model.trainable_omega,
        dtype=model.dtype,
    )
    params = {
        name: cut_layers(model, name, array, n_layers) for name, array in model.params.items()
    }
    return shallow.with_params(params)


def cut_layers(model: Relaxation, name: str, array: Array, n_layers: int) -> Array:
    """The part of a parameter that belongs to the first layers."""
    return np.ascontiguousarray(array[:n_layers]) if is_layered(model, name) else array


def _wide(values: Array) -> Array:
    return np.asarray(values, np.complex128 if np.iscomplexobj(values) else np.float64)
