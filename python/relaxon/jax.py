"""The model as a function of JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base.validate import (
    check_instance,
    check_memory,
    check_shape,
    check_threads,
    refuse,
)
from .model.relaxation import Relaxation

try:
    import jax
    from jax.experimental.buffer_callback import buffer_callback
except ModuleNotFoundError as error:
    if error.name != "jax":
        raise
    raise ModuleNotFoundError(
        "relaxon.jax needs JAX; install it with: pip install 'relaxon[jax]'", name="jax"
    ) from error

__all__ = ["relaxation"]

Array = NDArray[Any]


def relaxation(
    model: Relaxation, memory: int | str | None = None, threads: int | None = None
) -> Callable[[Mapping[str, Any], Any], Any]:
    """The model as a function of its parameters and inputs, differentiable by JAX.

    f(params, x) = model.with_params(params)(x)

    Parameters
    ----------
    model : Relaxation
        The configuration; its own parameters are not used, except an omega or gamma
        that is not trained.
    memory : int or str, optional
        Budget of each backward call, as in :meth:`relaxon.Relaxation.value_and_grad`.
    threads : int, optional
        As for a call of the model.

    Returns
    -------
    function of (params, x)
        `params` maps the names of ``model.params`` to arrays of their shapes, to begin with
        ``dict(model.params)``; `x` and the output are as for a call of the model. All are of its
        type.

    Raises
    ------
    TypeError, ValueError
        If an argument has another type or is out of range, here or when the function is traced. A
        model in float64 needs ``jax.config.update("jax_enable_x64", True)``.

    Notes
    -----
    Computed on the CPU, in JAX's own memory. It works under ``jit``, ``grad`` and ``vmap``; forward
    mode and second derivatives are refused. Under ``vmap`` over x alone the forward sweep takes all
    entries at once. Otherwise it runs once for each, and so does the adjoint sweep, as each entry
    has gradients of its own: for training, a batch axis of x is faster. As everywhere in JAX, NaN
    is not searched for: it flows through.

    Examples
    --------
    >>> import jax, relaxon as rx
    >>> from relaxon.jax import relaxation
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((64,))), depth=10, dtype="float32")
    >>> f = jax.jit(relaxation(model))
    >>> f(dict(model.params), jax.numpy.ones((5, 64))).shape
    (5, 64)
    """
    check_instance("model", model, Relaxation)
    if threads is not None:
        check_threads(threads)
    sweeps = _Sweeps(model, check_memory(memory), threads)

    def call(function: Callable[..., None], shapes: Any, *operands: Any) -> Any:
        # jax.pure_callback would put the operands on a device first, by threads that may all be
        # waiting for such calls: above 100 KB it hangs on one processor.
        return buffer_callback(function, shapes, vmap_method="expand_dims")(*operands)

    def shape(*lengths: int) -> Any:
        return jax.ShapeDtypeStruct(lengths, model.dtype)

    @jax.custom_vjp
    def relax(params: tuple[Any, ...], x: Any) -> Any:
        lead = x.shape[: x.ndim - len(model.input_shape)]
        return call(sweeps.forward, shape(*lead, *model.output_shape), x, *params)

    @jax.custom_jvp
    def pull_back(params: tuple[Any, ...], x: Any, y_bar: Any) -> Any:
        shapes = [shape(*array.shape) for array in (x, *params)]
        x_bar, *bars = call(sweeps.vjp, shapes, x, y_bar, *params)
        return tuple(bars), x_bar

    def refuse_second(primals: Any, tangents: Any) -> Any:
        raise NotImplementedError(
            "relaxon.jax has first derivatives only: the gradient of a relaxation cannot be "
            "differentiated again"
        )

    pull_back.defjvp(refuse_second)
    relax.defvjp(
        lambda params, x: (relax(params, x), (params, x)),
        lambda residuals, y_bar: pull_back(*residuals, y_bar),
    )

    def f(params: Mapping[str, Any], x: Any) -> Any:
        _check_precision(model)
        return relax(_check_params(model, params), _check_input(model, x))

    return f


class _Sweeps:
    """What the callbacks run, on views of JAX's memory.

    All arrays may carry axes of ``vmap`` in front, of length 1 in operands that do not depend on
    them.
    """

    def __init__(self, model: Relaxation, memory: int, threads: int | None) -> None:
        self._model = model
        self._memory = memory
        self._threads = threads
        self._ndim = next(iter(model.params.values())).ndim

    def _mapped_shape(self, params: list[Array], *others: Array) -> tuple[int, ...]:
        n_mapped = params[0].ndim - self._ndim
        # The usual case, and NumPy takes microseconds to find it out.
        if n_mapped == 0:
            return ()
        return np.broadcast_shapes(*(array.shape[:n_mapped] for array in (*params, *others)))

    def _slots(self, params: list[Array]) -> list[Array]:
        """Parameters as the core takes them: omega or gamma last, trained or not."""
        return params if self._model.trainable_omega else [*params, self._model._rate]

    def forward(self, _: Any, out: Any, *operands: Any) -> None:
        """The sweep, by JAX's protocol: from the operands' buffers into that of the output."""
        y, x, *params = [np.asarray(buffer) for buffer in (out, *operands)]
        mapped = self._mapped_shape(params, x)
        if not mapped:
            self._forward(y, x, params)
            return
        if all(length == 1 for array in params for length in array.shape[: len(mapped)]):
            # The parameters are those of all entries: mapped axes of x are a part of the batch.
            params = [array.reshape(array.shape[len(mapped) :]) for array in params]
            x = x.reshape(-1, *self._model.input_shape)
            self._forward(y.reshape(-1, *self._model.output_shape), x, params)
            return
        for index in np.ndindex(mapped):
            y_entry, x_entry, *entries = [_entry(array, index) for array in (y, x, *params)]
            self._forward(y_entry, x_entry, entries)

    def _n_threads(self, x: Array) -> int:
        return self._threads or self._model._n_threads(None, self._model._batch(x))

    def _forward(self, y: Array, x: Array, params: list[Array]) -> None:
        slots, threads = self._slots(params), self._n_threads(x)
        self._model._tell_of(self._model._network.forward(slots, x, y, False, -1, threads))

    def vjp(self, _: Any, outs: Any, *operands: Any) -> None:
        """The adjoint sweep likewise."""
        bars = [np.asarray(buffer) for buffer in outs]
        x, y_bar, *params = arrays = [np.asarray(buffer) for buffer in operands]
        mapped = self._mapped_shape(params, x, y_bar)
        if not mapped:
            self._vjp(bars, arrays)
            return
        for index in np.ndindex(mapped):
            self._vjp(
                [_entry(array, index) for array in bars],
                [_entry(array, index) for array in arrays],
            )

    def _vjp(self, bars: list[Array], arrays: list[Array]) -> None:
        x_bar, *param_bars = bars
        x, y_bar, *params = arrays
        slots = self._model._gradient_slots(param_bars)
        self._model._network.vjp(
            self._slots(params), x, y_bar, slots, x_bar, self._memory, -1, False, self._n_threads(x)
        )


def _entry(array: Array, index: tuple[int, ...]) -> Array:
    """A view of one entry of the mapped axes."""
    for i in index:
        array = array[min(i, len(array) - 1), ...]
    return array


def _check_precision(model: Relaxation) -> None:
    # Without it JAX turns what it is given into float32 silently.
    if model.dtype == np.float64 and not jax.config.jax_enable_x64:
        refuse(
            "model",
            "one in float32 unless JAX computes in double precision",
            "one in float64",
            TypeError,
            "jax.config.update('jax_enable_x64', True), or model.astype('float32')",
        )


def _check_operand(argument: str, value: Any, dtype: np.dtype[Any]) -> Any:
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        refuse(argument, f"an array of {dtype}", f"{type(value).__name__} {value!r}", TypeError)
    if value.dtype != dtype:
        fix = f"convert it with .astype('{dtype}')"
        refuse(argument, f"an array of {dtype}", f"one of {value.dtype}", TypeError, fix)
    return jax.numpy.asarray(value)


def _check_params(model: Relaxation, params: Mapping[str, Any]) -> tuple[Any, ...]:
    if not isinstance(params, Mapping):
        refuse("params", "arrays by name", repr(params), TypeError, "dict(model.params)")
    if set(params) != set(model.params):
        names = ", ".join(model.params)
        refuse("params", f"exactly the names {names}", ", ".join(map(str, params)) or "none")
    operands = []
    for name, own in model.params.items():
        operand = _check_operand(name, params[name], model.dtype)
        check_shape(name, operand, own.shape)
        operands.append(operand)
    return tuple(operands)


def _check_input(model: Relaxation, x: Any) -> Any:
    operand = _check_operand("x", x, model.dtype)
    if operand.shape != model.input_shape:
        check_shape("x", operand, ("batch", *model.input_shape))
    return operand
