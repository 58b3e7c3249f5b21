"""Training: descent in the core, with progress, callbacks, validation and Ctrl-C around it."""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from ..base.validate import check_choice, check_instance, check_integer, refuse
from ..inputs.input_errors import InputErrors
from ..inputs.inputs import MODES
from ..model.losses import Distance, SquaredDistance
from ..model.relaxation import Relaxation
from . import quasi_newton  # noqa: F401 (it registers its kind of steps)
from .auto_depth import check_depth_choice, fit_depth
from .checkpoint import Checkpoint, open_checkpoint
from .constraints import Bounds
from .descent import MOST_STEPS, STRETCH_SECONDS, Descent, Validation, start_descent
from .divergence import DivergenceError, diverge, warn_of_start
from .history import History, State, Status
from .optimizers import KINDS, Optimizer, SteepestDescent
from .penalties import Penalty
from .progress import Progress, make_progress
from .result import Fit
from .stall import describe_stall
from .steps import take_steps
from .unknown_inputs import fit_inputs

__all__ = ["CallbackError", "DivergenceError", "Fit", "History", "State", "Status", "fit"]

Array = NDArray[Any]


class CallbackError(RuntimeError):
    """A callback has raised; its exception is the cause.

    Attributes
    ----------
    fit : Fit
        The fit until then, with the best model and status CALLBACK.
    """

    def __init__(self, message: str, fit: Fit) -> None:
        super().__init__(message)
        self.fit = fit

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.fit)


class _Follower:
    """What happens after steps: progress and callbacks."""

    def __init__(
        self,
        descent: Descent,
        steps: int,
        begin: float,
        callbacks: list[Callable[[State], object]],
        progress: Progress | None,
        checkpoint: Checkpoint | None,
    ) -> None:
        self._descent = descent
        self.n_steps = steps
        self._begin = begin
        self._callbacks = callbacks
        self._progress = progress
        self._checkpoint = checkpoint
        self._shown_at = -math.inf
        self.error: Exception | None = None

    @property
    def stride(self) -> int:
        """Most steps from one call to the next."""
        return 1 if self._callbacks else self.n_steps + 1

    def _state(self) -> State:
        last = self._descent.last_record
        seconds = time.perf_counter() - self._begin
        loss, validation_loss = float(last[0]), float(last[2])
        read = functools.partial(self._descent.model, "parameters")
        return State(self._descent.step, self.n_steps, loss, validation_loss, seconds, read)

    def __call__(self) -> bool:
        """Write, show and call; whether to stop."""
        if self._descent.is_replaying:
            return False
        if self._checkpoint is not None:
            self._checkpoint.tick()
        try:
            if self._progress and time.perf_counter() - self._shown_at >= STRETCH_SECONDS:
                self._show(self._progress)
            answers = [callback(self._state()) for callback in self._callbacks]
            return any(answers)
        except Exception as error:
            self.error = error
            return True

    def finish(self) -> None:
        """Show the last state."""
        try:
            if self._progress and self.error is None and self._descent.step > 0:
                self._show(self._progress)
        except Exception as error:
            self.error = error

    def _show(self, progress: Progress) -> None:
        progress(self._state())
        self._shown_at = time.perf_counter()


def fit(
    model: Relaxation,
    x: Array,
    y: Array,
    loss: Distance = SquaredDistance(),  # noqa: B008 (immutable)
    optimizer: Optimizer = SteepestDescent(rate=1e-3),  # noqa: B008 (immutable)
    steps: int = 1000,
    batch_size: int | None = None,
    seed: int = 0,
    penalties: Sequence[Penalty] = (),
    validation: Validation | None = None,
    patience: int | None = None,
    tolerance: float = 1e-6,
    callbacks: Iterable[Callable[[State], object]] = (),
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Callable[[State], object] = False,
    trainable: Mapping[str, bool] | None = None,
    bounds: Bounds | None = None,
    constraint: str | None = None,
    inputs: str = "drop",
    input_error: float | Array | None = None,
    target_error: float | Sequence[float] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float | str = "10 min",
    allow_unconverged: bool = False,
    depth: str | None = None,
    depth_tolerance: float = 0.01,
) -> Fit:
    """Train a model: lower loss + penalties as a function of its parameters.

    Parameters
    ----------
    model : Relaxation
        Where to start; it is not changed.
    x, y : array of the model's type
        Inputs and targets, as in :meth:`Relaxation.loss`. NaN in x marks a gap, see `inputs`.
    loss : Distance
        What to lower, such as SquaredDistance, AbsoluteDistance, Huber or CrossEntropy.
    optimizer : Optimizer
        How, such as SteepestDescent, Adam or LBFGS; default steepest descent at a fixed rate of
        1e-3.
    steps : int, default 1000
        Most steps.
    batch_size : int, optional
        Samples of a step; default all. In every epoch each sample is used once, in an order of its
        own; the last step of an epoch takes what is left. Not with line searches nor LBFGS.
    seed : int, default 0
        Of the order of the samples in mini-batches; not used without `batch_size`.
    penalties : sequence of L2 or Smoothness
        Added to the loss, reported apart. Smoothness needs parameters that differ between cells.
    validation : (x, y) or (x, y, weights), optional
        Samples whose loss is evaluated before every step, with mini-batches before every epoch and
        at the end; they choose the model that is returned and steer nothing else. Weights of `loss`
        apply to them where they have the shape of one output and no others are given.
    patience : int, optional
        Stop after this many steps without a better validation loss.
    tolerance : float, default 1e-6
        Converged once the gradient norm has fallen to this part of its first value; with
        mini-batches, of the largest of the first epoch, for all steps of an epoch.
    callbacks : iterable of functions
        Called as f(state) after every step; a true result stops the fit.
    memory, threads
        As in :meth:`Relaxation.value_and_grad`, for each gradient. Beside it stand the arrays of
        the optimizer (:func:`plan`, `optimizer_bytes`), and the samples of one mini-batch.
    progress : bool or function, default False
        True shows a bar (with rich; otherwise a line on stderr); a function is called as f(state)
        about every 50 ms.
    trainable : mapping of str to bool, optional
        Parameters by name that keep their values where False; those not named are trained.
        Penalties and bounds of parameters that are kept still count: the former as a constant, the
        latter for the start.
    bounds : mapping of str to (low, high), optional
        Bounds of parameters by name, such as ``{"D": (0.0, None)}``; every step is projected on
        them. A side is None (open), a number or an array that broadcasts to the parameter; for a
        local parameter also one that broadcasts to its shape without the axes of the cells, which
        goes first where both are possible. ``np.array([0.0, -np.inf, 0.0])`` bounds the diagonal of
        a 2-D "D" from below and leaves its mixed component free.
    constraint : {None, "monotone", "stable"}, default None
        What explicit layers of ADR keep, in every cell and layer, from the start on: after each
        step the coefficients are moved to feasible ones. "stable": d_a >= 0, 2 omega sum d_a <= 1
        by shrinking d, omega sum u_a^2 / (2 d_a) <= 1 by shrinking u; mixed diffusion is left
        alone. "monotone": mixed diffusion 0, d_a >= 0, |u_a| <= 2 d_a by cutting u, sum 2 d_a <=
        R + 1 / omega by shrinking d and u alike (R >= -1 / omega). The diffusion of the scheme
        counts; with theta, omega (1 - 2 theta) stands for omega, and for "monotone" omega
        (1 - theta). Not with LBFGS, theta >= 1/2, nor a trained omega.
    inputs : {"drop", "given", "fill", "estimate"}, default "drop"
        What becomes of gaps and errors in x. "drop": targets with a gap within reach do not count;
        after a first fit, once more with the reach of its model, lead |U| + sqrt(2 D lead), where
        that is larger than the operator's. "given": x as it is, gaps are refused. "fill": gaps are
        unknowns beside the parameters, held to their prediction from observed neighbours; where a
        quarter of these or more are gaps, too, targets within reach do not count. "estimate": all
        inputs are, those observed held by ((x - estimate) / input_error)^2. The two need LBFGS and
        SquaredDistance, and start from the fit of "drop". Inputs of validation samples are never
        estimated: their targets near gaps do not count, and with "estimate" they choose and stop
        the first fit alone, for errors in them prefer the bias that is to be undone.
    input_error : float or array, optional
        Standard deviation of the errors of x, in its unit, an array of a shape that broadcasts to
        that of x; needed for "estimate". It is not read where x has no value.
    target_error : float or sequence of float, optional
        Standard deviation of what keeps y from the model's output, one for all or for each layer of
        `at`, with "fill" and "estimate". Default: the residual variance of the first fit less what
        errors of x contribute through the model; refused where that is not positive. Only ratios to
        `input_error` matter, and pairs alone do not tell them.
    checkpoint : path-like, optional
        A file for the state of the fit. It is written at the start, then every `checkpoint_every`,
        and when the fit ends, however it ends. Where it exists and is that of this fit, the fit
        goes on from there, and ends with the bits of one that was never interrupted; callbacks see
        the new steps only. Beside it LBFGS keeps a journal of its evaluations, ``NAME.journal``.
        The files stay: calling again gives the same result at once. :func:`load` reads the best
        model so far from them, after a divergence that before the step; :func:`plan` tells their
        sizes.
    checkpoint_every : float or str, default "10 min"
        Seconds, or a text with a unit out of s, min, h and d.
    allow_unconverged : bool, default False
        At depth "attractor": whether steps may lead to parameters without an attractor that is
        found for every sample. Otherwise they count as an overflow.
    depth : {None, "auto"}, default None
        "auto" chooses how many of the model's layers are kept. At most half of the steps lower the
        sum of the losses of layers 1, 2, 4, .., L, each against y; :func:`depth_profile` on the
        validation samples (without them, on x and y) then has the shallowest layer whose loss is
        within `depth_tolerance` of the least; the model is cut there, and all steps that are left
        lower its own loss. Takes y once for each of these layers; with `inputs` "drop" or "given".
    depth_tolerance : float, default 0.01
        Part of the least loss by which that of a shallower network may exceed it.

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
    CallbackError
        If a callback or the progress function raises; the fit until then is on the exception.
    FileFormatError
        If the checkpoint is damaged, or its journal does not fit.
    OSError
        If the checkpoint cannot be written at the start, or another fit writes to it.

    Warns
    -----
    UserWarning
        If gaps leave less than a quarter of the targets, or the checkpoint cannot be written later;
        once, if explicit layers start over a stability bound: which, by how much, and what helps.

    Notes
    -----
    The loop over steps runs in the core (LBFGS: in SciPy). Runs repeat bit by bit, for any number
    of threads and any budget. The first Ctrl-C ends the fit with status INTERRUPTED, a second one
    raises. With mini-batches the history holds the loss of each step's batch. With bounds, the
    gradient norm leaves out what points out of them; it knows nothing of a constraint. A gradient
    that vanishes because the output does not depend on the parameters (tanh at 290 K) is no
    minimum: where the mean of y is the better forecast, too, the status is STALLED. Where `inputs`
    or `depth` ask for several fits, history and status are those of the last one; its penalty holds
    that of the inputs. Callbacks and progress see the steps of each, and schedules of the rate
    begin anew with it.

    A checkpoint belongs to one fit: model, data and all arguments that numbers depend on are
    compared by hash, the versions of relaxon, NumPy and SciPy, the ISA level and the threads of
    BLAS as such; one that differs is refused by name. Budgets and threads may change.

    References
    ----------
    S. Succi, MEMOCS 13 (2025) 275-286, eq. 5 and section 3.

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
    check_integer("steps", steps, 1, MOST_STEPS)
    follow = _check_callbacks(callbacks)
    mode = check_choice("inputs", inputs, MODES)
    check_instance("optimizer", optimizer, KINDS)
    if mode in ("fill", "estimate") and not optimizer._takes_unknown_inputs:
        rule = f"LBFGS() with inputs={inputs!r}, which makes inputs unknowns"
        refuse("optimizer", rule, repr(optimizer), TypeError)
    choice = None
    if depth is not None:
        excess = check_depth_choice(model, depth, depth_tolerance, steps, loss, mode)
        choice = ("auto", excess)
    show = make_progress(progress)
    errors_raised: list[Exception] = []
    starts = [model]
    settings: dict[str, Any] = {
        "optimizer": optimizer,
        "batch_size": batch_size,
        "seed": seed,
        "penalties": penalties,
        "patience": patience,
        "tolerance": tolerance,
        "memory": memory,
        "threads": threads,
        "trainable": trainable,
        "constraint": constraint,
        "allow_unconverged": allow_unconverged,
        "depth": choice,
    }

    def run(
        limits: Bounds | None,
        n_steps: int,
        start: Relaxation,
        x: Array,
        y: Array,
        loss: Distance,
        validation: Validation | None,
        errors: InputErrors | None,
    ) -> tuple[Fit, Array]:
        own = settings
        best = "parameters" if validation is None else "best"
        if errors is not None and inputs == "estimate":
            # Validation inputs with errors would choose the model with the bias of these.
            own, best = {**settings, "patience": None}, "parameters"
        descent = start_descent(
            start,
            x,
            y,
            loss=loss,
            steps=n_steps,
            validation=validation,
            bounds=limits,
            input_errors=errors,
            **own,
        )
        # Once, of the first fit, when nothing is refused any more.
        if starts and constraint is None:
            warn_of_start(starts.pop())
        if kept is not None:
            kept.begin(descent, best, optimizer._has_journal)
        follower = _Follower(descent, n_steps, begin, follow, show, kept)

        def why_stalled(last: Relaxation, names: list[str], n_steps: int) -> str:
            return describe_stall(last, x, y, loss, names, n_steps, threads)

        found = _run_descent(descent, follower, optimizer, best, begin, why_stalled, kept)
        if follower.error is not None:
            errors_raised.append(follower.error)
        return found

    def fit_once(
        start: Relaxation,
        y: Array,
        loss: Distance,
        validation: Validation | None,
        limits: Bounds | None,
        n_steps: int,
    ) -> Fit:
        own_run = functools.partial(run, limits, n_steps)
        errors = (input_error, target_error)
        return fit_inputs(own_run, start, x, y, loss, validation, inputs, *errors)

    try:
        with open_checkpoint(checkpoint, checkpoint_every) as kept:
            begin -= 0.0 if kept is None else kept.seconds
            if choice is None:
                result = fit_once(model, y, loss, validation, bounds, steps)
            else:
                data = (x, y, loss, validation, bounds, steps)
                result = fit_depth(fit_once, model, *data, choice[1], mode, threads)
    finally:
        if show:
            show.close()
    for error in errors_raised:
        raise CallbackError(
            f"a callback raised {type(error).__name__} after step {len(result.history)}: {error}; "
            "the model so far is in the attribute 'fit'",
            result,
        ) from error
    return result


def _run_descent(
    descent: Descent,
    follower: _Follower,
    optimizer: Optimizer,
    best: str,
    begin: float,
    why_stalled: Callable[[Relaxation, list[str], int], str],
    checkpoint: Checkpoint | None,
) -> tuple[Fit, Array]:
    """Steps until the end; the fit, and the inputs that belong to its model."""
    try:
        found = take_steps(optimizer, descent, follower)
        follower.finish()
        if follower.error is not None and found != "diverged":
            found = "callback"
    except KeyboardInterrupt:
        descent.collect()
        found = "interrupted"
    if checkpoint is not None:
        checkpoint.save(found)
    if found == "diverged":
        diverge(descent, optimizer)
    status, history = Status[found.upper()], descent.history()
    message = status.value
    if status is Status.CONVERGED:
        names, n_steps = descent.trained_names, len(history)
        stall = why_stalled(descent.model("parameters"), names, n_steps)
        if stall:
            status, message = Status.STALLED, stall
    seconds = time.perf_counter() - begin
    return Fit(descent.model(best), history, status, message, seconds), descent.inputs(best)


def _check_callbacks(callbacks: object) -> list[Callable[[State], object]]:
    if not isinstance(callbacks, Iterable):
        fix = "put it in a list" if callable(callbacks) else ""
        refuse("callbacks", "a sequence of functions", repr(callbacks), TypeError, fix)
    follow = list(callbacks)
    for callback in follow:
        if not callable(callback):
            refuse("callbacks", "functions", repr(callback), TypeError)
    return follow
