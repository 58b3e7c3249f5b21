"""Training: descent in the core, with progress, callbacks, validation and Ctrl-C around it."""

from __future__ import annotations

import dataclasses
import enum
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._validate import (
    check_instance,
    check_integer,
    check_memory,
    check_number,
    check_threads,
    refuse,
)
from .lattice import is_field
from .losses import Distance, SquaredDistance
from .model import Relaxation
from .operators import ADR
from .optimizers import SteepestDescent
from .penalties import L2, Penalty, Smoothness
from .stability import stability_number

__all__ = ["DivergenceError", "Fit", "History", "State", "Status", "fit"]

# The core comes back to Python at least this often.
STRETCH_SECONDS = 0.05
Array = NDArray[Any]


class Status(enum.Enum):
    """How a fit ended; the value is the message."""

    CONVERGED = "converged: the gradient is small enough, or no step lowers the loss any more"
    STEPS = "stopped after the number of steps that was asked for"
    PATIENCE = "stopped: the validation loss has not improved for `patience` steps"
    CALLBACK = "stopped by a callback"
    INTERRUPTED = "interrupted by Ctrl-C"


class DivergenceError(ArithmeticError):
    """The loss or its gradient is no longer finite and no step is left.

    Attributes
    ----------
    step : int
        Number of the step that failed.
    layer : int
        First layer whose state is not finite; where all are, the one with the largest.
    cell : tuple of int
        The cell there.
    model : Relaxation
        The model before the step.
    """

    def __init__(
        self, message: str, step: int, layer: int, cell: tuple[int, ...], model: Relaxation
    ) -> None:
        super().__init__(message)
        self.step = step
        self.layer = layer
        self.cell = cell
        self.model = model


@dataclasses.dataclass(frozen=True, eq=False)
class History:
    """One entry per step taken, with values at its start.

    Attributes
    ----------
    loss, penalty, validation_loss, gradient_norm : array of float64
        Loss without penalties; the penalties; the loss on the validation data (NaN without); the
        norm of the gradient of loss and penalties.
    rate : array of float64
        Rate of the step (the largest where they differ by parameter).
    """

    loss: NDArray[np.float64]
    penalty: NDArray[np.float64]
    validation_loss: NDArray[np.float64]
    gradient_norm: NDArray[np.float64]
    rate: NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """Result of :func:`fit`.

    Attributes
    ----------
    model : Relaxation
        The best on the validation data where given, else the last.
    history : History
        Values per step.
    status : Status
        How it ended.
    message : str
        The same in words.
    seconds : float
        Wall time.
    """

    model: Relaxation
    history: History
    status: Status
    message: str
    seconds: float


@dataclasses.dataclass(frozen=True, eq=False)
class State:
    """What callbacks and progress functions see.

    Attributes
    ----------
    step, steps : int
        Steps taken, and most steps.
    loss, validation_loss : float
        At the start of the last step.
    seconds : float
        Wall time so far.
    model : Relaxation
        The model after the last step.
    """

    step: int
    steps: int
    loss: float
    validation_loss: float
    seconds: float
    _descent: _Descent

    @property
    def model(self) -> Relaxation:
        """The model after the last step."""
        return self._descent.model("parameters")


class _Descent:
    """The core's descent and the records of its steps."""

    def __init__(self, model: Relaxation, descent: Any) -> None:
        self._model = model
        self._core = descent
        self.records: list[NDArray[np.float64]] = []

    @property
    def step(self) -> int:
        return int(self._core.step)

    def advance(self, max_steps: int) -> str:
        status: str = self._core.advance(max_steps, STRETCH_SECONDS)
        self.collect()
        return status

    def collect(self) -> None:
        n_known = sum(map(len, self.records))
        self.records.append(self._core.records()[: self.step - n_known])

    def model(self, which: str) -> Relaxation:
        """The model with the present "parameters", the "best" or the "previous" ones."""
        names = [name for name in self._model.params if name != "omega"]
        arrays = [np.empty_like(self._model.params[name]) for name in names]
        arrays.append(np.empty_like(self._model.omega))
        getattr(self._core, f"copy_{which}")(arrays)
        if self._model.trainable_omega:
            names.append("omega")
        return self._model.with_params(dict(zip(names, arrays, strict=False)))

    def find_extreme(self, x: Array, threads: int) -> _core.Extreme:
        """Where the forward pass with the present parameters leaves the finite numbers."""
        return self._model._network.find_extreme(self._present(), x, threads)

    def stability(self, place: _core.Extreme) -> str:
        """The bound that the present parameters exceed; without one, how fast the state grows."""
        if not isinstance(self._model.operator, ADR):
            return f"|z| grew {place.growth:.3g} times in that layer"
        names = [name for name in self._model.params if name != "omega"]
        params = dict(zip([*names, "omega"], self._present(), strict=True))
        return stability_number(self._model, params)

    def _present(self) -> list[Array]:
        arrays = [np.empty_like(a) for name, a in self._model.params.items() if name != "omega"]
        arrays.append(np.empty_like(self._model.omega))
        self._core.copy_parameters(arrays)
        return arrays

    def history(self) -> History:
        table = np.concatenate([*self.records, np.empty((0, 5))])
        return History(*(column.copy() for column in table.T))


def fit(
    model: Relaxation,
    x: Array,
    y: Array,
    loss: Distance = SquaredDistance(),  # noqa: B008 (immutable)
    optimizer: SteepestDescent = SteepestDescent(rate=1e-3),  # noqa: B008 (immutable)
    steps: int = 1000,
    penalties: Sequence[Penalty] = (),
    validation: tuple[Array, Array] | None = None,
    patience: int | None = None,
    tolerance: float = 1e-6,
    callbacks: Iterable[Callable[[State], object]] = (),
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Callable[[State], object] = False,
) -> Fit:
    """Train a model by steepest descent on all samples at once.

    Parameters
    ----------
    model : Relaxation
        Where to start; it is not changed.
    x, y : array of the model's type
        Inputs and targets, as in :meth:`Relaxation.loss`.
    loss : SquaredDistance, AbsoluteDistance, Huber or CrossEntropy
        What to lower.
    optimizer : SteepestDescent
        How; default a fixed rate of 1e-3.
    steps : int, default 1000
        Most steps.
    penalties : sequence of L2 or Smoothness
        Added to the loss, reported apart.
    validation : (x, y), optional
        Samples whose loss is evaluated before every step; they choose the model that is returned
        and steer nothing else. Weights of `loss` with the shape of `y` do not apply to them.
    patience : int, optional
        Stop after this many steps without a better validation loss.
    tolerance : float, default 1e-6
        Converged once the gradient norm has fallen to this part of its first value.
    callbacks : iterable of functions
        Called as f(state) after every step; a true result stops the fit.
    memory, threads
        As in :meth:`Relaxation.value_and_grad`, for each gradient. Descent itself keeps six copies
        of the parameters beside it.
    progress : bool or function, default False
        True shows a bar (with rich; otherwise a line on stderr); a function is called as f(state)
        about every 50 ms.

    Returns
    -------
    Fit
        Model, history and status; it never raises for "did not converge".

    Raises
    ------
    TypeError, ValueError
        If an argument makes no sense; the message names it, the rule and the value.
    DivergenceError
        If loss or gradient overflow and no step is left; the model before is on the exception.

    Notes
    -----
    The loop over steps runs in the core. Runs repeat bit by bit, for any number of threads and any
    budget. The first Ctrl-C ends the fit with status INTERRUPTED, a second one raises.

    References
    ----------
    S. Succi, MEMOCS 13 (2025) 275-286, eq. 5.

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> x = np.random.default_rng(0).standard_normal((20, 32))
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((32,))), depth=4, activation="identity")
    >>> shifted = np.roll(x, 1, axis=1)
    >>> optimizer = rx.SteepestDescent(rate=1e-3, line_search="armijo")
    >>> fit = rx.fit(model, x, shifted, optimizer=optimizer, steps=200)
    >>> bool(fit.model.params["U"][0] > 0)
    True
    """
    begin = time.perf_counter()
    check_instance("model", model, Relaxation)
    check_integer("steps", steps, 1)
    follow = _check_callbacks(callbacks)
    descent = _start(
        model,
        x,
        y,
        loss,
        optimizer,
        steps,
        penalties,
        validation,
        patience,
        tolerance,
        memory,
        threads,
    )

    def state() -> State:
        last = descent.records[-1][-1] if len(descent.records[-1]) else np.full(5, np.nan)
        seconds = time.perf_counter() - begin
        return State(descent.step, steps, float(last[0]), float(last[2]), seconds, descent)

    found = "running"
    show = _progress(progress)
    try:
        while found == "running":
            before = descent.step
            found = descent.advance(1 if follow else steps + 1)
            if descent.step > before:
                if show:
                    show(state())
                for callback in follow:
                    found = "callback" if callback(state()) else found
    except KeyboardInterrupt:
        descent.collect()
        found = "interrupted"
    finally:
        if show:
            show.close()
    if found == "diverged":
        _diverge(descent, np.asarray(x), check_threads(threads))
    status = Status[found.upper()]
    best = descent.model("parameters" if validation is None else "best")
    return Fit(best, descent.history(), status, status.value, time.perf_counter() - begin)


def _check_callbacks(callbacks: object) -> list[Callable[[State], object]]:
    if not isinstance(callbacks, Iterable):
        refuse("callbacks", "a sequence of functions", repr(callbacks), TypeError)
    follow = list(callbacks)
    for callback in follow:
        if not callable(callback):
            refuse("callbacks", "functions", repr(callback), TypeError)
    return follow


def _start(
    model: Relaxation,
    x: Array,
    y: Array,
    loss: Distance,
    optimizer: SteepestDescent,
    steps: int,
    penalties: Sequence[Penalty],
    validation: tuple[Array, Array] | None,
    patience: int | None,
    tolerance: float,
    memory: int | str | None,
    threads: int | None,
) -> _Descent:
    """Everything checked and handed to the core."""
    check_instance("optimizer", optimizer, SteepestDescent)
    states = model._check_input(x)
    target, weights, at = model._check_target("y", y, states, loss)
    names = [name for name in model.params if name != "omega"]
    rates = optimizer.rates(list(model.params))
    held_out = None
    if validation is not None:
        held_out = _check_validation(model, validation, loss)
    if patience is not None:
        check_integer("patience", patience, 1)
        if validation is None:
            refuse("patience", "None without validation data", patience, fix="give validation=")
    options = _core.DescentOptions(
        rule=optimizer.line_search or "fixed",
        rates=[*(rates[name] for name in names), rates.get("omega", 0.0)],
        momentum=optimizer.momentum,
        tolerance=check_number("tolerance", tolerance, 0.0),
        n_steps=steps,
        patience=-1 if patience is None else patience,
        penalties=_penalty_terms(model, penalties, [*names, "omega"]),
    )
    kind = _core.DescentFloat64 if model.dtype == np.float64 else _core.DescentFloat32
    core = kind(
        network=model._network,
        start=model._arrays(),
        x=states,
        loss=loss._core_loss,
        y=target,
        weights=weights,
        at=at,
        validation=held_out,
        memory=check_memory(memory),
        threads=check_threads(threads),
        wants_omega=model.trainable_omega,
        options=options,
    )
    return _Descent(model, core)


def _check_validation(
    model: Relaxation, validation: tuple[Array, Array], loss: Distance
) -> tuple[Array, Array, Array | None]:
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        refuse("validation", "a pair (x, y)", type(validation).__name__, TypeError)
    try:
        states = model._check_input(validation[0])
        shared = loss.weights is not None and loss.weights.shape == model.output_shape
        own = loss.with_weights(loss.weights if shared else None)
        target, weights, _ = model._check_target("y", validation[1], states, own)
    except (TypeError, ValueError) as error:
        raise type(error)(f"argument 'validation': {error}") from None
    return states, target, weights


def _penalty_terms(
    model: Relaxation, penalties: Sequence[Penalty], order: list[str]
) -> list[tuple[str, float, int]]:
    terms = []
    for penalty in penalties:
        check_instance("penalties", penalty, (L2, Smoothness))
        is_l2 = isinstance(penalty, L2)
        for name in penalty.names(list(model.params)):
            if is_l2 or is_field(model, name):
                terms.append(("l2" if is_l2 else "smoothness", penalty.strength, order.index(name)))
    return terms


def _diverge(descent: _Descent, x: Array, threads: int) -> NoReturn:
    """Find where the numbers ran away, and say which bound of stability was exceeded."""
    model = descent.model("previous")
    place = descent.find_extreme(x, threads)
    cell = tuple(int(i) for i in np.unravel_index(place.cell, model.grid.shape))
    step = descent.step + 1
    what = "the state is not finite" if not place.is_finite else "the gradient is not finite"
    message = (
        f"diverged at step {step}: {what} (layer {place.layer}, cell {cell}, sample "
        f"{place.sample}); {descent.stability(place)}; lower the rate or use a line search"
    )
    raise DivergenceError(message, step, place.layer, cell, model)


class _Line:
    """Progress without rich: one line on stderr."""

    def __call__(self, state: State) -> None:
        text = f"step {state.step} of {state.steps}, loss {state.loss:.6g}"
        if np.isfinite(state.validation_loss):
            text += f", validation loss {state.validation_loss:.6g}"
        print(f"\r{text}, {state.seconds:.1f} s", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        print(file=sys.stderr)


class _Bar:
    """Progress with rich."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = ("step {task.completed} of {task.total}", "{task.fields[losses]}")
        texts = [TextColumn(column) for column in columns]
        self._bar = Progress(
            texts[0], BarColumn(), texts[1], TimeRemainingColumn(), console=Console(stderr=True)
        )
        self._task = self._bar.add_task("fit", total=None, losses="")
        self._bar.start()

    def __call__(self, state: State) -> None:
        losses = f"loss {state.loss:.6g}"
        if np.isfinite(state.validation_loss):
            losses += f", validation loss {state.validation_loss:.6g}"
        self._bar.update(self._task, completed=state.step, total=state.steps, losses=losses)

    def close(self) -> None:
        self._bar.stop()


class _Function:
    """Progress by a function of the caller."""

    def __init__(self, function: Callable[[State], object]) -> None:
        self._function = function

    def __call__(self, state: State) -> None:
        self._function(state)

    def close(self) -> None:
        """Nothing is left to put away."""


def _progress(progress: bool | Callable[[State], object]) -> _Line | _Bar | _Function | None:
    if progress is False:
        return None
    if callable(progress):
        return _Function(progress)
    try:
        return _Bar()
    except ImportError:
        return _Line()
