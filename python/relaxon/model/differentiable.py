"""The loss of a network, and its exact derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..base.validate import check_flag, check_memory
from .arguments import CallableNetwork
from .losses import Distance, SquaredDistance

__all__ = ["DifferentiableNetwork"]

Array = NDArray[Any]


class DifferentiableNetwork(CallableNetwork):
    """A network whose outputs have a loss, gradients and tangents."""

    def loss(
        self,
        x: Array,
        y: Array,
        loss: Distance = SquaredDistance(),  # noqa: B008 (immutable)
        threads: int | None = None,
    ) -> float:
        """Distance of the output from its target.

        Parameters
        ----------
        x : array of the model's type, shape (batch, *grid.shape) or grid.shape
            Inputs.
        y : array of the model's type
            Targets, as the output; with ``loss.at`` an axis of layers behind the batch. Not read on
            masked cells and where the weight is 0. For CrossEntropy, integers of shape (batch,).
        loss : Distance
            The distance, such as SquaredDistance, Huber or CrossEntropy.
        threads : int, optional
            As for a call.

        Returns
        -------
        float
            The loss.

        Raises
        ------
        TypeError, ValueError
            If an array has another type or shape, or is not finite where it is read.

        Examples
        --------
        >>> import numpy as np, relaxon as rx
        >>> model = rx.Relaxation(rx.ADR(rx.Grid((64,))), depth=10)
        >>> x = np.ones((5, 64))
        >>> model.loss(x, model(x))
        0.0
        """
        states = self._check_input(x)
        target, weights, at = self._check_target("y", y, states, loss)
        value, unsolved = self._network.loss(
            self._arrays(),
            states,
            loss._core_loss,
            target,
            weights,
            at,
            self._n_threads(threads, self._batch(states)),
        )
        self._tell_of(unsolved)
        return value

    def value_and_grad(
        self,
        x: Array,
        y: Array,
        loss: Distance = SquaredDistance(),  # noqa: B008 (immutable)
        memory: int | str | None = None,
        threads: int | None = None,
        input_grad: bool = False,
        allow_unconverged: bool = False,
    ) -> tuple[float, dict[str, Array]]:
        """Loss and its exact gradient with respect to every parameter.

        Parameters
        ----------
        x, y, loss, threads
            As in :meth:`loss`.
        memory : int or str, optional
            Budget in bytes for all that the call allocates, returned arrays included, as a number
            or a text such as "512 MiB". None stores every state.
        input_grad : bool, default False
            Also the gradient with respect to x.
        allow_unconverged : bool, default False
            At depth "attractor": take a sample whose search failed as it was left.

        Returns
        -------
        value : float
            The loss.
        grads : dict of str to array
            Shaped as :attr:`params`, and "x" if asked for; zero on masked cells.

        Raises
        ------
        TypeError, ValueError
            As :meth:`loss`; or if the budget is unreadable or below the minimum, which is stated.
        MemoryError
            If the sweep would take more than the machine has; nothing has been computed then.
        LayerError, AttractorError
            If an implicit layer does not solve, or an attractor is not found.

        Notes
        -----
        The adjoint of the discrete scheme, boundaries and mask included. Within the budget, states
        are stored or computed again by binomial checkpointing; bits do not depend on it. Stored
        completely, it costs about three forward passes.

        References
        ----------
        A. Griewank, A. Walther, ACM TOMS 26 (2000) 19-45.

        Examples
        --------
        >>> import numpy as np, relaxon as rx
        >>> model = rx.Relaxation(rx.ADR(rx.Grid((64,))), depth=1000)
        >>> x = np.sin(2 * np.pi * np.arange(64) / 64)
        >>> value, grads = model.value_and_grad(x, np.roll(x, 3))
        >>> _, within = model.value_and_grad(x, np.roll(x, 3), memory="64 KiB")
        >>> sorted(grads), bool(np.array_equal(grads["U"], within["U"]))
        (['D', 'R', 'U'], True)
        """
        value, grads, _ = self._value_and_grad_counted(
            x, y, loss, memory, threads, input_grad, allow_unconverged
        )
        return value, grads

    def _value_and_grad_counted(
        self,
        x: Array,
        y: Array,
        loss: Distance = SquaredDistance(),  # noqa: B008 (immutable)
        memory: int | str | None = None,
        threads: int | None = None,
        input_grad: bool = False,
        allow_unconverged: bool = False,
    ) -> tuple[float, dict[str, Array], _core.Evaluations]:
        """The same with the core's count of layer evaluations."""
        states = self._check_input(x)
        target, weights, at = self._check_target("y", y, states, loss)
        grads = self._gradient_arrays()
        wants_x = check_flag("input_grad", input_grad)
        x_bar = np.empty(states.shape, self._dtype) if wants_x else None
        value, counts = self._network.value_and_gradient(
            self._arrays(),
            states,
            loss._core_loss,
            target,
            weights,
            at,
            self._gradient_slots(grads),
            x_bar,
            check_memory(memory),
            check_flag("allow_unconverged", allow_unconverged),
            self._n_threads(threads, self._batch(states)),
        )
        return value, self._named_gradients(grads, x_bar), counts

    def vjp(
        self,
        x: Array,
        y_bar: Array,
        memory: int | str | None = None,
        threads: int | None = None,
        allow_unconverged: bool = False,
    ) -> dict[str, Array]:
        """Gradient of sum(y_bar * output): what another autodiff framework needs.

        Parameters
        ----------
        x, memory, threads
            As in :meth:`value_and_grad`.
        y_bar : array
            Cotangent of the output, of its shape; masked cells are not read.
        allow_unconverged
            As in :meth:`value_and_grad`.

        Returns
        -------
        dict of str to array
            Shaped as :attr:`params`, and "x".

        Raises
        ------
        TypeError, ValueError, MemoryError, LayerError, AttractorError
            As :meth:`value_and_grad`.

        Examples
        --------
        >>> import numpy as np, relaxon as rx
        >>> model = rx.Relaxation(rx.ADR(rx.Grid((64,))), depth=10)
        >>> bars = model.vjp(np.ones((5, 64)), np.ones((5, 64)))
        >>> {name: bar.shape for name, bar in bars.items()}
        {'R': (), 'U': (1,), 'D': (1,), 'x': (5, 64)}
        """
        states = self._check_input(x)
        cotangent, _, _ = self._check_target("y_bar", y_bar, states, SquaredDistance())
        grads, x_bar = self._gradient_arrays(), np.empty(states.shape, self._dtype)
        self._network.vjp(
            self._arrays(),
            states,
            cotangent,
            self._gradient_slots(grads),
            x_bar,
            check_memory(memory),
            self._end,
            check_flag("allow_unconverged", allow_unconverged),
            self._n_threads(threads, self._batch(states)),
        )
        return self._named_gradients(grads, x_bar)

    def jvp(
        self,
        x: Array,
        params_dot: Mapping[str, ArrayLike],
        x_dot: Array | None = None,
        threads: int | None = None,
        allow_unconverged: bool = False,
    ) -> Array:
        """Derivative of the output along a direction: forward mode.

        Parameters
        ----------
        x, threads
            As for a call.
        params_dot : mapping of str to array
            Direction in the parameters; names that are left out stand for zero.
        x_dot : array, optional
            Direction in the input, as `x`; None stands for zero.
        allow_unconverged : bool, default False
            As in :meth:`value_and_grad`.

        Returns
        -------
        array
            As the output.

        Raises
        ------
        TypeError, ValueError
            As :meth:`with_params` and a call.
        LayerError, AttractorError
            As :meth:`value_and_grad`.

        Notes
        -----
        One tangent sweep; stores no states.

        Examples
        --------
        >>> import numpy as np, relaxon as rx
        >>> model = rx.Relaxation(rx.ADR(rx.Grid((64,))), depth=10)
        >>> x, x_dot = np.ones(64), np.arange(64.0)
        >>> y_dot, bars = model.jvp(x, {}, x_dot), model.vjp(x, np.ones(64))
        >>> bool(np.isclose(y_dot.sum(), x_dot @ bars["x"]))
        True
        """
        states = self._check_input(x)
        dots = self._check_params(params_dot)
        full = {
            name: dots[name] if name in dots else np.zeros(array.shape, self._dtype)
            for name, array in self._params.items()
        }
        for name, parameter in self._parameters.items():
            # A matrix is multiplied as a whole, masked rows and columns with zeros.
            if "cells" in parameter.axes and name in full:
                readable = parameter.readable(self.grid)
                if readable is not None:
                    full[name] = np.where(readable, full[name], self._dtype.type(0))
        full.setdefault(self._rate_name, np.zeros(self._rate.shape, self._dtype))
        if x_dot is not None:
            x_dot = self._check_direction(x_dot, states)
        y_dot = np.empty((*self._lead(states), *self.output_shape), self._dtype)
        self._network.jvp(
            self._arrays(),
            self._arrays(full),
            states,
            x_dot,
            y_dot,
            self._end,
            check_flag("allow_unconverged", allow_unconverged),
            self._n_threads(threads, self._batch(states)),
        )
        return y_dot
