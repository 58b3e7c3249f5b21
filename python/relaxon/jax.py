"""The model as a function of JAX."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._validate import (
    check_instance,
    check_memory,
    check_shape,
    check_threads,
    refuse,
)
from .model import Relaxation

try:
    import jax
    from jax.extend.core import Primitive
    from jax.interpreters import batching, mlir
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
        The configuration; its own parameters are not used, except an omega that is not trained.
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
    Computed on the CPU; the arrays are read where they lie. It works under ``jit``, ``grad`` and
    ``vmap``; forward mode and second derivatives are refused. Under ``vmap`` over x alone the
    forward sweep takes all at once; otherwise, and for gradients, which then differ for each entry,
    it runs once for each. A batch axis of x itself is faster for training. As everywhere in JAX,
    NaN is not searched for: it flows through.

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
    sweeps = _Sweeps(model, check_memory(memory), check_threads(threads))

    @jax.custom_vjp
    def relax(params: tuple[Any, ...], x: Any) -> Any:
        lead = x.shape[: x.ndim - len(model.input_shape)]
        (y,) = _call.bind(
            x, *params, function=sweeps.forward, shapes=((*lead, *model.output_shape),)
        )
        return y

    @jax.custom_jvp
    def pull_back(params: tuple[Any, ...], x: Any, y_bar: Any) -> Any:
        shapes = tuple(array.shape for array in (x, *params))
        x_bar, *bars = _call.bind(x, y_bar, *params, function=sweeps.vjp, shapes=shapes)
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


# A call back to Python. jax.pure_callback would put the operands on a device first, on threads that
# may all be waiting for such calls: with operands above 100 KB it hangs on one processor.
_call = Primitive("relaxon_call")
_call.multiple_results = True


@functools.lru_cache(maxsize=256)
def _compiled(**config: Any) -> Callable[..., Any]:
    run: Callable[..., Any] = jax.jit(functools.partial(_call.bind, **config))
    return run


@_call.def_impl
def _run(*operands: Any, **config: Any) -> Any:
    return _compiled(**config)(*operands)


@_call.def_abstract_eval
def _describe(*operands: Any, shapes: Any, **_: Any) -> list[Any]:
    return [jax.core.ShapedArray(shape, operands[0].dtype) for shape in shapes]


def _lower(context: Any, *operands: Any, function: Callable[..., Any], **_: Any) -> Any:
    results, *_rest = mlir.emit_python_callback(
        context,
        function,
        None,
        list(operands),
        context.avals_in,
        context.avals_out,
        has_side_effect=False,
        returns_token=False,
    )
    return results


mlir.register_lowering(_call, _lower, platform="cpu")


def _map(operands: Any, axes: Any, *, shapes: Any, **config: Any) -> Any:
    """``vmap``: one more axis in front of everything, of length 1 where nothing depends on it."""
    n = next(
        operand.shape[axis]
        for operand, axis in zip(operands, axes, strict=True)
        if axis is not None
    )
    expanded = [
        operand[None] if axis is None else jax.numpy.moveaxis(operand, axis, 0)
        for operand, axis in zip(operands, axes, strict=True)
    ]
    shapes = tuple((n, *shape) for shape in shapes)
    results = _call.bind(*expanded, shapes=shapes, **config)
    return results, [0] * len(results)


batching.primitive_batchers[_call] = _map


class _Sweeps:
    """What the callbacks run.

    All arrays may carry axes of ``vmap`` in front, of length 1 where they do not depend on them.
    """

    def __init__(self, model: Relaxation, memory: int, threads: int) -> None:
        self._model = model
        self._memory = memory
        self._threads = threads

    def _n_mapped(self, params: Sequence[Array]) -> int:
        return params[0].ndim - next(iter(self._model.params.values())).ndim

    def _arrays(self, params: Sequence[Array]) -> list[Array]:
        return self._model._arrays(dict(zip(self._model.params, params, strict=True)))

    def forward(self, *operands: Any) -> tuple[Array]:
        x, *params = map(_plain, operands)
        n_mapped = self._n_mapped(params)
        model = self._model
        shape, lead = model.output_shape, x.shape[: x.ndim - len(model.input_shape)]
        mapped = _mapped_shape(n_mapped, operands)
        if _is_shared(n_mapped, params):
            # The mapped axes of x are a part of the batch.
            params = [array.reshape(array.shape[n_mapped:]) for array in params]
            out = np.empty((*lead, *shape), model.dtype)
            states = x.reshape(-1, *model.input_shape)
            outputs = out.reshape(-1, *shape)
            model._network.forward(self._arrays(params), states, outputs, False, self._threads)
            return (out,)
        out = np.empty((*mapped, *lead[n_mapped:], *shape), model.dtype)
        for index in np.ndindex(mapped):
            x_here, *params_here = (_entry(array, index) for array in (x, *params))
            model._network.forward(
                self._arrays(params_here), x_here, out[index], False, self._threads
            )
        return (out,)

    def vjp(self, *operands: Any) -> tuple[Array, ...]:
        arrays = [_plain(operand) for operand in operands]
        n_mapped = self._n_mapped(arrays[2:])
        if n_mapped == 0:
            return self._vjp(*arrays)
        mapped = _mapped_shape(n_mapped, arrays)
        results = [
            np.empty((*mapped, *array.shape[n_mapped:]), self._model.dtype)
            for array in (arrays[0], *arrays[2:])
        ]
        for index in np.ndindex(mapped):
            bars = self._vjp(*(_entry(array, index) for array in arrays))
            for result, bar in zip(results, bars, strict=True):
                result[index] = bar
        return tuple(results)

    def _vjp(self, x: Array, y_bar: Array, *params: Array) -> tuple[Array, ...]:
        grads, slots, x_bar = self._model._gradient_arrays(x)
        self._model._network.vjp(
            self._arrays(params), x, y_bar, slots, x_bar, self._memory, self._threads
        )
        return grads.pop("x"), *grads.values()


def _plain(operand: Any) -> Array:
    # NumPy alone in a callback: an operation of JAX could wait for the thread that waits for it.
    array: Array = np.ascontiguousarray(operand).reshape(operand.shape)
    return array


def _mapped_shape(n_mapped: int, arrays: Sequence[Any]) -> tuple[int, ...]:
    return np.broadcast_shapes(*(array.shape[:n_mapped] for array in arrays))


def _is_shared(n_mapped: int, arrays: Sequence[Array]) -> bool:
    return all(length == 1 for array in arrays for length in array.shape[:n_mapped])


def _entry(array: Array, index: tuple[int, ...]) -> Array:
    """One entry of the mapped axes, as an array."""
    key: Any = (*(min(i, n - 1) for i, n in zip(index, array.shape, strict=False)), ...)
    entry: Array = array[key]
    return entry


def _check_precision(model: Relaxation) -> None:
    # Without it JAX turns what it is given into float32 silently.
    if model.dtype == np.float64 and not jax.config.jax_enable_x64:
        refuse(
            "model",
            "float32 unless JAX computes in double precision",
            "float64",
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
