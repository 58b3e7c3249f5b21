"""What a model is called with, and the room for its gradients, as the core takes them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.validate import (
    check_array,
    check_finite,
    check_instance,
    check_shape,
    check_states,
    refuse,
)
from .copies import CopyableNetwork
from .losses import CrossEntropy, Distance

__all__ = ["CallableNetwork"]

Array = NDArray[Any]


class CallableNetwork(CopyableNetwork):
    """A network that checks the arguments of its calls."""

    def _arrays(self, params: Mapping[str, Array] | None = None) -> list[Array]:
        """Parameter arrays as the core takes them: omega or gamma last, trained or not."""
        if params is None:  # its own stand in the order of the table
            own = [*self._params.values()]
            return own if self._trainable_omega else [*own, self._rate]
        given = {self._rate_name: self._rate, **params}
        return [given[name] for name in self._parameters]

    def _check_input(self, x: ArrayLike) -> Array:
        array = check_states("x", x, self.input_shape, self._dtype)
        check_finite("x", array, self.grid.mask if self._lift is None else None)
        return array

    def _lead(self, states: Array) -> tuple[int, ...]:
        """(batch,), or () where one sample came alone."""
        return states.shape[: states.ndim - len(self.input_shape)]

    def _batch(self, states: Array) -> int:
        return states.shape[0] if self._lead(states) else 1

    def _tell_of(self, unsolved: str | None) -> None:
        """A warning of what a pass left unsolved."""
        if unsolved is None:
            return
        text = f"{unsolved}; the state of least residual is taken, see relaxon.attractor"
        warnings.warn(text, RuntimeWarning, stacklevel=3)

    def _check_out(self, out: Array | None, shape: tuple[int, ...], states: Array) -> Array:
        if out is None:
            return np.empty(shape, self._dtype)
        if not isinstance(out, np.ndarray) or out.dtype != self._dtype:
            kind = out.dtype if isinstance(out, np.ndarray) else type(out).__name__
            refuse("out", f"an array of {self._dtype}", kind, TypeError)
        if out.shape != shape:
            refuse("out", str(shape), out.shape)
        if not (out.flags.c_contiguous and out.flags.aligned and out.flags.writeable):
            refuse("out", "a writable contiguous array", "another one")
        # A sample is written once it has been read, so that it may be its own place.
        is_in_place = out.ctypes.data == states.ctypes.data and out.nbytes == states.nbytes
        if not is_in_place and np.may_share_memory(out, states):
            refuse("out", "x itself or an array apart from it", "one that overlaps x in part")
        return out

    def _check_target(
        self, argument: str, y: Any, states: Array, loss: Distance
    ) -> tuple[Array, Array | None, list[int]]:
        """y, weights and layers of a loss, as the core takes them."""
        check_instance("loss", loss, Distance)
        depth = self.n_layers
        at = [depth] if loss.at is None else list(loss.at)
        if self.is_at_attractor and loss.at is not None:
            refuse("at", f"None with depth={self.depth!r}, which has no layers", loss.at)
        if max(at) > depth:
            refuse("at", f"layers from 0 to the depth, {depth}", max(at))
        lead = (*self._lead(states), *((len(at),) if loss.at is not None else ()))
        if isinstance(loss, CrossEntropy):
            labels, weights = self._check_labels(argument, y, lead, loss)
            return labels, weights, at
        shape = (*lead, *self.output_shape)
        target = check_array(argument, y, self._dtype)
        if target.shape != shape:
            check_shape(argument, target, shape if 0 not in target.shape else ("batch", *shape[1:]))
            refuse(argument, str(shape), target.shape)
        weights = self._check_weights(loss, self.output_shape, shape)
        mask = self.grid.mask if self._readout is None else None
        check_finite(argument, target, mask, weights)
        return target, weights, at

    def _check_weights(self, loss: Distance, *shapes: tuple[int, ...]) -> Array | None:
        weights = loss.weights
        if weights is None:
            return None
        if weights.dtype not in (np.bool_, self._dtype):
            refuse("weights", f"bool or {self._dtype}", str(weights.dtype), TypeError)
        if weights.shape not in shapes:
            refuse("weights", " or ".join(map(str, dict.fromkeys(shapes))), weights.shape)
        return weights.astype(self._dtype, copy=False)

    def _check_labels(
        self, argument: str, y: Any, shape: tuple[int, ...], loss: CrossEntropy
    ) -> tuple[Array, Array | None]:
        """Labels as int64 and their weights."""
        if self._readout is None or self._readout.activation != "identity":
            ends = "none" if self._readout is None else repr(self._readout)
            refuse(
                "loss", "with CrossEntropy, a model with a Readout of activation 'identity'", ends
            )
        labels = np.asarray(y)
        if labels.dtype.kind not in "iu":
            refuse(argument, "labels, an array of integers", f"one of {labels.dtype}", TypeError)
        check_shape(argument, labels, shape)
        weights = self._check_weights(loss, shape)
        n_classes = self._readout.n_out
        wrong = (labels < 0) | (labels >= n_classes)
        if weights is not None:
            wrong &= weights != 0
        if wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            refuse(
                argument, f"labels from 0 to {n_classes - 1}", f"{labels[index]} at index {index}"
            )
        return labels.astype(np.int64, order="C", copy=False), weights

    def _check_direction(self, x_dot: Any, states: Array) -> Array:
        direction = check_array("x_dot", x_dot, self._dtype)
        check_shape("x_dot", direction, states.shape)
        check_finite("x_dot", direction, self.grid.mask if self._lift is None else None)
        return direction

    def _gradient_arrays(self) -> list[Array]:
        """One for each parameter, to be written by the core."""
        return [np.empty(array.shape, array.dtype) for array in self._params.values()]

    def _gradient_slots(self, grads: list[Array]) -> list[Array | None]:
        """Gradients as the core takes them: that of the rate last, None where it is not trained."""
        return [*grads] if self._trainable_omega else [*grads, None]

    def _named_gradients(self, grads: list[Array], x_bar: Array | None) -> dict[str, Array]:
        named = dict(zip(self._params, grads, strict=True))
        return named if x_bar is None else {**named, "x": x_bar}
