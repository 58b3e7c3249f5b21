"""Distances of the output from its target."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..base.validate import check_integer, check_number, read_array, refuse

if TYPE_CHECKING:
    from typing_extensions import Self

# Public names, which the catalogue takes over.
__all__ = ["AbsoluteDistance", "CrossEntropy", "Huber", "SquaredDistance"]


class Distance:
    """What all losses share: weights, layers, and how the core calls them."""

    _kind: ClassVar[str]

    weights: NDArray[Any] | None
    at: tuple[int, ...] | None

    def __init__(self, weights: ArrayLike | None, at: Sequence[int] | None) -> None:
        object.__setattr__(self, "weights", None if weights is None else _check_weights(weights))
        object.__setattr__(self, "at", None if at is None else _check_layers(at))

    @property
    def _scale(self) -> float:
        """The length at which the loss changes its form; nothing where there is none."""
        return 1.0

    @property
    def _core_loss(self) -> _core.Loss:
        return _core.Loss(self._kind, self._scale)

    def _terms(self, residual: NDArray[Any]) -> NDArray[Any]:
        """The loss of single residuals, without weights."""
        raise NotImplementedError

    def with_weights(self, weights: ArrayLike | None) -> Self:
        """The same loss with other weights.

        Parameters
        ----------
        weights : array or None
            As for the constructor.

        Returns
        -------
        Distance
            A new loss of the same class.

        Raises
        ------
        TypeError, ValueError
            As the constructor.

        Examples
        --------
        >>> import relaxon as rx
        >>> rx.Huber(0.5, at=[2, 4]).with_weights([1.0, 2.0])
        Huber(delta=0.5, weights=<(2,)>, at=(2, 4))
        """
        return self._with(weights, self.at)

    def _with(self, weights: ArrayLike | None, at: Sequence[int] | None) -> Self:
        loss = copy.copy(self)
        Distance.__init__(loss, weights, at)
        return loss

    def _own_settings(self) -> dict[str, float]:
        return {}

    def _key(self) -> tuple[Any, ...]:
        w = self.weights
        bits = None if w is None else (w.shape, w.dtype.str, w.tobytes())
        return (type(self), *self._own_settings().values(), bits, self.at)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Distance) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        parts = [f"{name}={value:g}" for name, value in self._own_settings().items()]
        if self.weights is not None:
            parts.append(f"weights=<{self.weights.shape}>")
        if self.at is not None:
            parts.append(f"at={self.at}")
        return f"{type(self).__name__}({', '.join(parts)})"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SquaredDistance(Distance):
    """1/batch sum_n sum_k sum_i w_i (z_i - y_i)^2, the paper's distance averaged over samples.

    Parameters
    ----------
    weights : array of bool or of the model's type, shape grid.shape or that of y, optional
        w >= 0, one where not given. Where it is 0, y is not read: missing values may be NaN. With a
        readout, (n_out,) takes the place of grid.shape.
    at : sequence of int, optional
        Layers with targets, distinct, from 0 (the first state) to the depth; y then has the shape
        (batch, len(at), *grid.shape), in that order. With a readout, the state of each of these
        layers is read out. Default: the output alone.

    Raises
    ------
    TypeError, ValueError
        If weights are negative, not finite or of another type, or layers are repeated or negative.

    Notes
    -----
    No cell volume enters, and weights are not normalised.

    References
    ----------
    S. Succi, MEMOCS 13 (2025) 275-286, sec. 7.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.SquaredDistance(at=[2, 4])
    SquaredDistance(at=(2, 4))
    """

    weights: NDArray[Any] | None = None
    at: tuple[int, ...] | None = None
    _kind: ClassVar[str] = "squared"

    def __init__(self, weights: ArrayLike | None = None, at: Sequence[int] | None = None) -> None:
        super().__init__(weights, at)

    def _terms(self, residual: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(residual**2)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class AbsoluteDistance(Distance):
    """1/batch sum_n sum_k sum_i w_i (sqrt(r_i^2 + epsilon^2) - epsilon), r = z - y.

    The absolute distance |r|, rounded off within `epsilon` of zero, so that it has a derivative.

    Parameters
    ----------
    epsilon : float, above 0, default 1e-3
        Where |r| turns into r^2 / (2 epsilon), in units of y.
    weights, at
        As for :class:`SquaredDistance`.

    Raises
    ------
    TypeError, ValueError
        As for :class:`SquaredDistance`, or if epsilon is no number above 0.

    Notes
    -----
    Less sensitive to outliers than the square. Evaluated as r^2 / (sqrt(r^2 + epsilon^2) +
    epsilon), without cancellation.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.AbsoluteDistance(0.1)
    AbsoluteDistance(epsilon=0.1)
    """

    epsilon: float = 1e-3
    weights: NDArray[Any] | None = None
    at: tuple[int, ...] | None = None
    _kind: ClassVar[str] = "absolute"

    def __init__(
        self,
        epsilon: float = 1e-3,
        weights: ArrayLike | None = None,
        at: Sequence[int] | None = None,
    ) -> None:
        number = check_number("epsilon", epsilon, 0.0, is_open=True)
        object.__setattr__(self, "epsilon", number)
        super().__init__(weights, at)

    @property
    def _scale(self) -> float:
        return self.epsilon

    def _own_settings(self) -> dict[str, float]:
        return {"epsilon": self.epsilon}

    def _terms(self, residual: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(np.hypot(residual, self.epsilon) - self.epsilon)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Huber(Distance):
    """1/batch sum_n sum_k sum_i w_i h(r_i), r = z - y: square near zero, linear beyond.

    h(r) = r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2).

    Parameters
    ----------
    delta : float, above 0, default 1
        Where the square ends, in units of y.
    weights, at
        As for :class:`SquaredDistance`.

    Raises
    ------
    TypeError, ValueError
        As for :class:`SquaredDistance`, or if delta is no number above 0.

    References
    ----------
    P. Huber, Ann. Math. Statist. 35 (1964) 73-101.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.Huber(delta=2.0)
    Huber(delta=2)
    """

    delta: float = 1.0
    weights: NDArray[Any] | None = None
    at: tuple[int, ...] | None = None
    _kind: ClassVar[str] = "huber"

    def __init__(
        self,
        delta: float = 1.0,
        weights: ArrayLike | None = None,
        at: Sequence[int] | None = None,
    ) -> None:
        object.__setattr__(self, "delta", check_number("delta", delta, 0.0, is_open=True))
        super().__init__(weights, at)

    @property
    def _scale(self) -> float:
        return self.delta

    def _own_settings(self) -> dict[str, float]:
        return {"delta": self.delta}

    def _terms(self, residual: NDArray[Any]) -> NDArray[Any]:
        size = np.abs(residual)
        far = self.delta * (size - self.delta / 2.0)
        return np.where(size <= self.delta, residual**2 / 2.0, far)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class CrossEntropy(Distance):
    """1/batch sum_n sum_k w (log sum_j exp(z_j) - z_label): classes out of a readout.

    The softmax is inside: the model ends in a :class:`Readout` with the activation "identity", one
    output per class.

    Parameters
    ----------
    weights : array of bool or of the model's type, of the shape of y, optional
        w >= 0, one per label. Where it is 0, the label is not read.
    at : sequence of int, optional
        Layers whose states are read out, as for :class:`SquaredDistance`; y then has the shape
        (batch, len(at)).

    Raises
    ------
    TypeError, ValueError
        As for :class:`SquaredDistance`; when used, if the model has no such readout or y is not
        made of integers from 0 to n_out - 1.

    Notes
    -----
    Labels y: integers, shape (batch,). Sums of exponentials are kept in double precision.

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((32,))), depth=4, readout=rx.Readout(10))
    >>> uniform = model.with_params({"readout_weight": np.zeros((10, 32))})
    >>> loss = uniform.loss(np.ones((2, 32)), np.array([3, 7]), loss=rx.CrossEntropy())
    >>> bool(np.isclose(loss, np.log(10)))
    True
    """

    weights: NDArray[Any] | None = None
    at: tuple[int, ...] | None = None
    _kind: ClassVar[str] = "cross-entropy"

    def __init__(self, weights: ArrayLike | None = None, at: Sequence[int] | None = None) -> None:
        super().__init__(weights, at)


def _check_weights(value: ArrayLike) -> NDArray[Any]:
    weights = np.array(read_array("weights", value), order="C")
    if weights.dtype not in (np.bool_, np.float32, np.float64):
        refuse("weights", "an array of bool, float32 or float64", str(weights.dtype), TypeError)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        refuse("weights", "finite numbers of at least 0", f"{weights[index]} at index {index}")
    weights.flags.writeable = False
    return weights


def _check_layers(value: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str):
        refuse("at", "a sequence of layers", repr(value), TypeError)
    if isinstance(value, np.ndarray) and value.ndim != 1:
        refuse("at", "a sequence of layers", f"an array of shape {value.shape}", TypeError)
    layers = tuple(check_integer("at", layer, 0) for layer in value)
    if not layers:
        refuse("at", "at least one layer", repr(value))
    if len(set(layers)) < len(layers):
        refuse("at", "distinct layers", repr(layers))
    return layers
