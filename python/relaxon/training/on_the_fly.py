"""Training on the fly: each layer lowers the loss on its own, with the state it is given held."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..base.validate import (
    check_choice,
    check_instance,
    check_integer,
    check_memory,
    check_number,
    refuse,
)
from ..model.losses import CrossEntropy, Distance, SquaredDistance
from ..model.relaxation import Relaxation
from .descent import check_reach, penalty_terms
from .divergence import DivergenceError
from .history import History, Status
from .penalties import Penalty
from .result import Fit

__all__ = ["LayerHistory", "OnTheFlyFit", "fit_on_the_fly"]

Array = NDArray[Any]

METHODS = ("newton", "descent", "second-order")


@dataclasses.dataclass(frozen=True, eq=False)
class LayerHistory:
    """What training on the fly has gone through: one entry per layer.

    Attributes
    ----------
    loss_before, loss : array of float64
        Loss of the layer's output against its target, with the parameters of the layer before and
        with its own.
    penalty : array of float64
        The penalties on its own parameters.
    kinetic_energy : array of float64
        T = sum_j M_j |v_j|^2 / 2 behind the steps of the layer; 0 but for "second-order".
    """

    loss_before: NDArray[np.float64]
    loss: NDArray[np.float64]
    penalty: NDArray[np.float64]
    kinetic_energy: NDArray[np.float64]

    @property
    def adiabaticity(self) -> NDArray[np.float64]:
        """T / V, V = loss + penalty: how far the parameters lag behind their minimum.

        A median below 0.03 is fine, one above 0.1 runs away.
        """
        value = self.loss + self.penalty
        return np.divide(
            self.kinetic_energy, value, out=np.zeros_like(value), where=self.kinetic_energy > 0
        )

    def __len__(self) -> int:
        return len(self.loss)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class OnTheFlyFit(Fit):
    """Result of :func:`fit_on_the_fly`: a :class:`Fit` whose history has one entry per layer.

    Attributes
    ----------
    layers : LayerHistory
        Loss before and after, and kinetic energy, of every layer.
    """

    layers: LayerHistory = dataclasses.field(kw_only=True)


def fit_on_the_fly(
    model: Relaxation,
    x: Array,
    y: Array,
    method: str = "newton",
    inner_steps: int | None = None,
    ridge: float = 1e-2,
    rate: float = 1.0,
    mass: float = 1.0,
    friction: float = 0.3,
    tau: float = 1.0,
    target: str = "final",
    loss: Distance = SquaredDistance(),  # noqa: B008 (immutable)
    penalties: Sequence[Penalty] = (),
    memory: int | str | None = None,
    threads: int | None = None,
) -> OnTheFlyFit:
    """Train the layers of a model one after the other, in a single pass.

    Each layer lowers V(p), the loss of layer(z; p) against its target plus penalties, while its
    state z is held; then z <- layer(z; p), and the next layer begins from these p. The chain rule
    never crosses a layer:

        newton         p <- p - (H + ridge tr(H)/n 1)^-1 V'(p)
        descent        p <- p - rate V'(p) / (n H_j)
        second-order   v += tau/2 a(p); p += tau v; v += tau/2 a(p); v *= exp(-friction tau)

    with a(p) = -M^-1 V'(p), M_j = mass n H_j. H is the Gauss-Newton matrix of the layer, one in
    every cell for local coefficients, and tr(H)/n its mean over the cells; n counts the parameters
    of a cell, H_j is the largest diagonal entry of the array j.

    The end z' of an implicit layer answers to what moves in one cell by J^-1, J = 1 + omega theta
    (1 - f'(Z') W), in all cells. V' is exact, by one solve with the transpose of J per sample. The
    matrix C^T J^-T w J^-1 C, with C = dr/dp at held z' and the curvature w of the loss, is H where
    all coefficients are shared. It couples all cells where some are local; there H is

        H = C^T diag(q) C,   q = |J^-T (w |J^-1 1|)|

    whose blocks are cells. It lies above the other (so that a step lowers V but for curvature of
    the activation, if less far) where J^-1 has no negative entries, as of monotone operators, and
    where coefficients are about the same in all cells and diffusion is not negative. Elsewhere it
    need not: a step of "newton" or "descent" after which V has not fallen by a quarter of what V'
    promises, or a layer has no end, is halved, up to ten times, and else not taken; and a layer
    begins from the parameters of the first where V is less with these. "second-order" does neither:
    with theta it is for parameters that hardly move.

    Parameters
    ----------
    model : Relaxation
        Layers, explicit or with theta, with a stencil operator of ``time="layered"``, without lift
        and readout. The parameters of its first layer are where the first layer starts; the others
        are not read.
    x, y : array of the model's type, shape (batch, *grid.shape) or grid.shape
        Inputs and targets, as in :func:`fit`, without gaps in x.
    method : {"newton", "descent", "second-order"}, default "newton"
        How V is lowered. "second-order" gives the parameters velocities that go on from layer to
        layer, as Car and Parrinello do.
    inner_steps : int, optional
        Steps per layer; default 1, with theta, where V is no parabola, 5, with "second-order" 10.
    ridge : float, above 0, default 1e-2
        With "newton".
    rate : float, above 0, default 1
        With "descent"; up to 1 V never rises but for curvature of the activation.
    mass, friction, tau : float, default 1, 0.3 and 1
        With "second-order": mass and tau above 0, friction at least 0.
    target : {"final", "path"}, default "final"
        What layer l is compared with: y, or x + (l + 1)/L (y - x).
    loss : Distance
        SquaredDistance, AbsoluteDistance or Huber, with weights. For the latter two H takes
        d'(r)/r for the curvature, that of the parabola that touches the loss from above.
    penalties : sequence of L2 or Smoothness
        On the parameters of the layer, part of V. Smoothness couples the cells: a Newton step then
        takes conjugate gradients, with the blocks of the cells as preconditioner.
    memory : int or str, optional
        Bytes, or a text such as "512 MiB", that the call may take beside the model. It takes the
        same for every depth; a budget that is too small is refused.
    threads : int, optional
        As in :meth:`Relaxation.value_and_grad`.

    Returns
    -------
    OnTheFlyFit
        The layered model; status STEPS; `layers` with the loss of every layer, before and after,
        kinetic energy and adiabaticity.

    Raises
    ------
    TypeError, ValueError
        If an argument makes no sense; the message names it, the rule and the value.
    DivergenceError
        If V is not finite or exceeds 10 times its first value (of the first layer's output against
        y), or an implicit layer does not solve; on the exception is the best model: the layers
        until V was least.

    Notes
    -----
    It is myopic: a layer does what is best for its own output. Where noise limits what can be
    learnt, this is enough; where transport must be exact, back-propagation (:func:`fit`) is two
    orders of magnitude better, and a model trained on the fly is a start for it. With "newton" and
    one inner step it costs as much as 4 to 5 forward passes where coefficients are local, 6 to 10
    where they are not; with theta a step takes two forward passes and three linear solves per
    sample (1 + n where coefficients are shared), and one forward pass more wherever it is halved.

    Memory beside the model: two states of all samples (three with drive; six and eight with theta,
    and its solvers, and n fields per thread where coefficients are shared), and for every cell
    n (n + 3) / 2 sums, whatever the depth. Runs repeat bit by bit for any number of threads. The
    first Ctrl-C ends the call with the layers that are done, status INTERRUPTED.

    References
    ----------
    S. Succi, MEMOCS 13 (2025) 275-286, sec. 7. R. Car, M. Parrinello, Phys. Rev. Lett. 55 (1985)
    2471.

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> x = np.random.default_rng(0).standard_normal((100, 32))
    >>> y = 0.5 * (x + np.roll(x, 1, axis=1))
    >>> operator = rx.ADR(rx.Grid((32,)), space="local", time="layered")
    >>> model = rx.Relaxation(operator, depth=5, activation="identity")
    >>> fit = rx.fit_on_the_fly(model, x, y)
    >>> bool(fit.model.loss(x, y) < 1e-3 * model.loss(x, y)), len(fit.layers)
    (True, 5)
    """
    begin = time.perf_counter()
    check_instance("model", model, Relaxation)
    _check_model(model)
    check_choice("method", method, METHODS)
    if inner_steps is None:
        inner_steps = 10 if method == "second-order" else 5 if model.theta else 1
    check_instance("loss", loss, Distance)
    if isinstance(loss, CrossEntropy):
        rule = "SquaredDistance, AbsoluteDistance or Huber, which compare every layer's state"
        refuse("loss", rule, repr(loss), fix="use fit for classes out of a readout")
    if loss.at is not None:
        fix = "leave out `at`; target='path' gives every layer a target of its own"
        refuse("loss", "one without layers of its own", repr(loss), fix=fix)
    states = model._check_input(x)
    goal, weights, at = model._check_target("y", y, states, loss)
    check_reach(model, weights, at)
    options = _core.OnTheFlyOptions(
        method=method,
        inner_steps=check_integer("inner_steps", inner_steps, 1),
        ridge=check_number("ridge", ridge, 0.0, is_open=True),
        rate=check_number("rate", rate, 0.0, is_open=True),
        mass=check_number("mass", mass, 0.0, is_open=True),
        friction=check_number("friction", friction, 0.0),
        tau=check_number("tau", tau, 0.0, is_open=True),
        target=check_choice("target", target, ("final", "path")),
    )
    params = {name: np.array(array) for name, array in model.params.items()}
    kind = _core.OnTheFlyFloat64 if model.dtype == np.float64 else _core.OnTheFlyFloat32
    core = kind(
        network=model._network,
        parameters=list(params.values()),
        omega=model.omega,
        x=states,
        loss=loss._core_loss,
        y=goal,
        weights=weights,
        penalties=penalty_terms(model, penalties, list(model._parameters)),
        memory=check_memory(memory),
        threads=model._n_threads(threads, model._batch(states)),
        options=options,
    )
    status = Status.STEPS
    try:
        is_fine = core.run()
    except KeyboardInterrupt:
        if not len(core.records()):
            raise
        is_fine, status = True, Status.INTERRUPTED
    before, penalty_before, norms, after, penalty, energy = core.records().T.copy()
    layers = LayerHistory(before, after, penalty, energy)
    n_layers = len(layers)
    if not is_fine:
        _diverge(model, params, layers, before[0] + penalty_before[0], core.failure())
    trained = _first_layers(model, params, n_layers)
    step = {"newton": 1.0, "descent": rate, "second-order": tau}[method]
    blank = np.full(n_layers, np.nan)
    history = History(before, penalty_before, blank, norms, np.full(n_layers, float(step)))
    message = status.value
    if status is Status.INTERRUPTED:
        message += f" after {n_layers} of {model.depth} layers, which the model has"
    seconds = time.perf_counter() - begin
    return OnTheFlyFit(trained, history, status, message, seconds, layers=layers)


def _check_model(model: Relaxation) -> None:
    """Refuse what has no layers that can be trained apart."""
    if model.is_at_attractor:
        fix = "give the model a number of layers"
        refuse("model", "layers that follow each other", f"depth={model.depth!r}", fix=fix)
    if not model.operator.is_layered:
        rule = "an operator whose layers have parameters of their own"
        refuse("model", rule, repr(model.operator), fix="give the operator time='layered'")
    if model.operator.reads_all:
        kind = type(model.operator).__name__
        refuse("model", "an operator that is a stencil", kind, fix="use fit for free matrices")
    for name, value, fix in (
        ("lift", model.lift, "compare states: put the map into x, or use fit"),
        ("readout", model.readout, "compare states, or use fit"),
        ("normalization", model.normalization, "use beta, or fit"),
        ("trainable_omega", model.trainable_omega, "keep the rate fixed, or use fit"),
    ):
        if value:
            refuse("model", f"one without {name}", f"{name}={value!r}", fix=fix)


def _first_layers(model: Relaxation, params: dict[str, Array], n: int) -> Relaxation:
    cut = model if n == model.depth else model.truncate(n)
    return cut.with_params({name: array[:n] for name, array in params.items()})


def _diverge(
    model: Relaxation, params: dict[str, Array], layers: LayerHistory, first: float, failure: str
) -> NoReturn:
    """Raise with the layers until V was least; with the model given where there are none."""
    layer = len(layers) - 1
    value = layers.loss + layers.penalty
    best, moved = model, ""
    cure = "start from smaller parameters (model.with_params), or scale x and y"
    if np.isfinite(first) and not (failure and layer == 0):
        cure = (
            "more friction or inner steps, or a smaller tau (second-order), a smaller rate "
            "(descent) or a larger ridge (newton) help"
        )
    if model.theta and layers.kinetic_energy.any():
        cure = "method='newton' or 'descent', whose steps implicit layers may halve, help"
    if layer > 0:
        best = _first_layers(model, params, int(np.argmin(value[:layer])) + 1)
        if layers.kinetic_energy.any():
            ratio = np.median(layers.adiabaticity[:layer])
            moved = f", T / V was {ratio:.3g} in the median of the layers before"
    why = f"the loss with penalties is {value[layer]:.3g}, that of the first layer was {first:.3g}"
    message = f"diverged in layer {layer}: {failure or why}{moved}; {cure}"
    raise DivergenceError(message, layer + 1, layer, (), best)
