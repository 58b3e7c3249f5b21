"""The model as a layer of a PyTorch network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from .base.validate import (
    check_array,
    check_instance,
    check_memory,
    check_shape,
    check_state_shape,
    check_threads,
    refuse,
)
from .model.relaxation import Relaxation

try:
    import torch
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ModuleNotFoundError(
        "relaxon.torch needs PyTorch; install it with: pip install 'relaxon[torch]'", name="torch"
    ) from error

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RelaxationLayer"]

DTYPES = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}


class RelaxationLayer(torch.nn.Module):
    """The model as a ``torch.nn.Module`` on the CPU: y = model(x), differentiated by its vjp.

    Parameters
    ----------
    model : Relaxation
        Configuration and initial values; it is not changed.
    memory : int or str, optional
        Budget of each backward call, as in :meth:`relaxon.Relaxation.value_and_grad`.
    threads : int, optional
        As for a call of the model; torch's own number does not matter.

    Attributes
    ----------
    R, U, D, ... : torch.nn.Parameter
        A copy of each of ``model.params`` under its name. An omega or gamma that is not trained
        stays in the configuration.

    Raises
    ------
    TypeError, ValueError
        If an argument has another type or is out of range.

    Notes
    -----
    Called as ``layer(x)`` with a tensor of the model's type, shape (batch, *grid.shape) or
    grid.shape (with a lift, (batch, n_in) or (n_in,)); the output is a new tensor. Tensors are
    read where they lie; one that is not contiguous is copied once. Backward computes the gradient
    of every parameter in its sweep, wanted or not, but that of x and of omega or gamma only where
    torch asks for it. Parameters may be pruned or parametrized (``torch.nn.utils``), for instance
    to keep D positive. Second derivatives are refused, and so are another device than the CPU,
    tracing and the transforms of ``torch.func``.

    As everywhere in torch, and unlike :class:`relaxon.Relaxation`, numbers are not searched for
    NaN: they flow through, so that gradient scalers and anomaly detection of torch work.

    Examples
    --------
    >>> import relaxon as rx, torch
    >>> from relaxon.torch import RelaxationLayer
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((64,))), depth=10)
    >>> layer = RelaxationLayer(model)
    >>> layer(torch.ones(5, 64, dtype=torch.float64)).sum().backward()
    >>> layer.U.grad.shape
    torch.Size([1])
    """

    def __init__(
        self, model: Relaxation, memory: int | str | None = None, threads: int | None = None
    ) -> None:
        super().__init__()
        check_instance("model", model, Relaxation)
        self._model = model
        self._dtype = getattr(torch, str(model.dtype))
        self._memory = check_memory(memory)
        self._threads = None if threads is None else check_threads(threads)
        self._names = tuple(model.params)
        self._kept: tuple[list[Any] | None, list[Any]] = (None, [])
        for name, array in model.params.items():
            self.register_parameter(name, torch.nn.Parameter(torch.tensor(array)))

    def forward(self, x: Any) -> Any:
        """Output of the network.

        Parameters
        ----------
        x : torch.Tensor of the layer's type on the CPU
            Inputs, shape (batch, *grid.shape) or grid.shape; masked cells are not read.

        Returns
        -------
        torch.Tensor
            As of :meth:`relaxon.Relaxation.__call__`.

        Raises
        ------
        TypeError, ValueError
            If x is no tensor, or of another type, shape or device.
        """
        if not isinstance(x, torch.Tensor) or x.dtype is not self._dtype or not x.is_cpu:
            self._refuse(x)
        # Here and not in the function, so that the copy is the one that is saved for backward.
        x = x.contiguous().resolve_neg()
        if torch.is_grad_enabled():
            return _Relax.apply(self, x, *self._operands())
        states = self._states(x)
        return self._run(states, self._arrays(self._operands()), self._n_threads(states))

    def _operands(self) -> list[Any]:
        """The parameters in the model's order, pruned or parametrized ones among them."""
        if tuple(self._parameters) == self._names:
            return [*self._parameters.values()]
        return [getattr(self, name) for name in self._names]

    def _refuse(self, x: Any) -> NoReturn:
        if not isinstance(x, torch.Tensor):
            refuse("x", "a torch.Tensor", type(x).__name__, TypeError, "torch.from_numpy(x)")
        if x.device.type != "cpu":
            refuse("x", "a tensor on the CPU", f"one on {x.device}", fix="call x.cpu()")
        dtype = self._model.dtype
        fix = f"convert it with .to(torch.{dtype})"
        if x.dtype in (torch.float32, torch.float64):
            fix += f", or the layer with .to({x.dtype})"
        refuse("x", f"a tensor of torch.{dtype}", f"one of {x.dtype}", TypeError, fix)

    def _states(self, x: Any) -> Any:
        states = x.detach().numpy()
        check_state_shape("x", states, self._model.input_shape)
        return states if states.flags.aligned else states.copy()

    def _n_threads(self, states: Any) -> int:
        return self._threads or self._model._n_threads(None, self._model._batch(states))

    def _run(self, states: Any, arrays: list[Any], threads: int) -> Any:
        model = self._model
        # NumPy makes small arrays faster than torch does.
        out = np.empty((*model._lead(states), *model.output_shape), states.dtype)
        model._tell_of(model._network.forward(arrays, states, out, False, -1, threads))
        return torch.from_numpy(out)

    def _arrays(self, operands: list[Any]) -> list[Any]:
        """Parameters as the core takes them: views of the tensors' memory.

        They are kept, which keeps that memory alive too: while tensors have the same address, shape
        and strides, the views show what they hold.
        """
        places = [(p.data_ptr(), p.shape, p.stride()) for p in operands]
        # In one piece, because threads may share a layer.
        kept_places, arrays = self._kept
        if places != kept_places:
            arrays = _views(self._model, operands)
            # Copies do not follow their tensors.
            if all(p.is_contiguous() and not p.is_neg() for p in operands):
                self._kept = (places, arrays)
        return arrays

    def to_relaxation(self) -> Relaxation:
        """The model with the parameters as they are now.

        Returns
        -------
        Relaxation
            A model of its own; the parameters are copied.

        Raises
        ------
        ValueError
            If a parameter is not finite.
        """
        return self._model.with_params(
            {name: getattr(self, name).detach().numpy() for name in self._names}
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": (None, [])}

    def extra_repr(self) -> str:
        """The configuration, for ``repr``."""
        return repr(self._model)

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Self:
        """Moves and conversions (.to, .float, .double, ...): the model goes along or they fail."""
        # Tried beforehand, so that a layer that refuses is as it was.
        probe = fn(torch.empty(0, dtype=self._dtype))
        if probe.device.type != "cpu":
            refuse("device", "the CPU, where this layer computes", str(probe.device))
        if probe.dtype not in DTYPES:
            refuse("dtype", "torch.float32 or torch.float64", str(probe.dtype), TypeError)
        super()._apply(fn, recurse)
        if DTYPES[probe.dtype] != self._model.dtype:
            self._model = self._model.astype(DTYPES[probe.dtype])
            self._dtype = probe.dtype
        return self


class _Relax(torch.autograd.Function):
    """The forward sweep and its vjp."""

    @staticmethod
    def forward(ctx: Any, layer: RelaxationLayer, x: Any, *params: Any) -> Any:
        states, arrays = layer._states(x), layer._arrays([*params])
        threads = layer._n_threads(states)
        ctx.save_for_backward(x, *params)
        ctx.sweep = (layer._model, arrays, layer._memory, threads)
        ctx.addresses = [p.data_ptr() for p in params]
        return layer._run(states, arrays, threads)

    @staticmethod
    def backward(ctx: Any, y_bar: Any) -> tuple[Any, ...]:
        x, *params = ctx.saved_tensors
        sweep, wanted = ctx.sweep, ctx.needs_input_grad[1:]
        # Hooks for saved tensors may have kept copies, and the parameters moved on.
        if [p.data_ptr() for p in params] != ctx.addresses:
            model, _, *rest = sweep
            sweep = (model, _views(model, params), *rest)
        if torch.is_grad_enabled():
            return None, *_PullBack.apply(sweep, wanted, y_bar, x, *params)
        return None, *_pull_back(sweep, wanted, y_bar, x)


class _PullBack(torch.autograd.Function):
    """The vjp under create_graph=True: its results have a history, which ends in an error.

    Without one, a second derivative would silently lack this layer's part.
    """

    @staticmethod
    def forward(ctx: Any, sweep: Any, wanted: Any, y_bar: Any, x: Any, *_: Any) -> tuple[Any, ...]:
        return _pull_back(sweep, wanted, y_bar, x)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise NotImplementedError(
            "relaxon.torch has first derivatives only: the gradient of a RelaxationLayer cannot be "
            "differentiated again; leave out create_graph=True"
        )


def _views(model: Relaxation, operands: list[Any]) -> list[Any]:
    """Arrays that show what the tensors hold; copies where those are not contiguous."""
    views = {}
    for (name, own), tensor in zip(model.params.items(), operands, strict=True):
        if not isinstance(tensor, torch.Tensor) or not tensor.is_cpu:
            refuse(name, "a tensor on the CPU", repr(tensor), TypeError)
        array = tensor.detach().contiguous().resolve_neg().numpy()
        views[name] = check_array(name, array, model.dtype)
        check_shape(name, views[name], own.shape)
    return model._arrays(views)


def _pull_back(sweep: Any, wanted: tuple[bool, ...], y_bar: Any, x: Any) -> tuple[Any, ...]:
    """Cotangents of x and the parameters, None where nobody asks for them."""
    model, arrays, memory, threads = sweep
    states = x.detach().numpy()
    bars = model._gradient_arrays()
    slots = model._gradient_slots(bars)
    if not wanted[-1]:
        slots[-1] = None
    x_bar = np.empty(states.shape, states.dtype) if wanted[0] else None
    cotangent = y_bar.detach().contiguous().resolve_neg().numpy()
    model._network.vjp(arrays, states, cotangent, slots, x_bar, memory, -1, False, threads)
    pairs = zip((x_bar, *bars), wanted, strict=True)
    return tuple([torch.from_numpy(bar) if is_wanted else None for bar, is_wanted in pairs])
