"""What a gradient will store and compute again, told before it runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base.validate import (
    check_choice,
    check_flag,
    check_instance,
    check_integer,
    check_memory,
    refuse,
)
from ..inputs.inputs import MODES
from ..model.losses import SquaredDistance
from ..model.relaxation import Relaxation
from ..model.saving import pack
from .journal import record_bytes
from .optimizers import EXAMPLES, Optimizer

__all__ = ["Plan", "plan"]


@dataclasses.dataclass(frozen=True)
class Plan:
    """Plan of a gradient; bytes are exact, evaluations are counted in layers of one sample.

    Attributes
    ----------
    n_layers : int
        Layers that the sweep reaches: the highest with a target.
    segment : int
        Layers that the schedule treats as one step; 1 unless a large field is cut into tiles.
    n_snapshots : int
        States stored per block in flight; the input costs none.
    blocks_in_flight : int
        Blocks of samples worked on at the same time.
    store_all : bool
        Whether every state is stored.
    advances : int
        Forward evaluations, recomputation included. With ``segment == 1`` the least possible for
        the snapshots: r l - C(m + r, m + 1), m = n_snapshots + 1, r least with C(m + r, m) >= l.
    evaluations : int
        Advances, one evaluation per reversed layer, and those that lead to the last state.
    state_bytes, fixed_bytes, block_bytes : int
        One snapshot; coefficients, gradient sums and returned arrays; one block in flight.
    total_bytes, minimum_bytes : int
        What the call allocates; the least budget that would do. Of implicit layers and
        attractors, without what is made where the quick way fails: on lines the general solver (for
        rows that want exchanges and steps that are shortened), elsewhere a sparse LU after 300
        iterations.
    optimizer_bytes : dict of str to int
        What :func:`fit` keeps beside, by class of optimizer, with all parameters trained and no
        bounds; part neither of the total nor of the budget. Unknown inputs count like parameters,
        with what is known of them and their standard deviations beside; how gaps hang on their
        neighbours comes on top. Arrays of all parameters, each rounded up to 64 bytes: the present,
        the previous and the best ones; for SteepestDescent the velocity, or with a line search
        (Armijo, Barzilai-Borwein) the previous gradient; for Adam the two means; for LBFGS a trial
        point and its gradient. LBFGS adds, for n parameters and its default memory m,
        (2 m + 5) n + 11 m^2 + 8 m float64 numbers of history and workspace of SciPy, and 160 n
        bytes for points, gradients and indices of its loop (an upper bound for SciPy 1.12 to 1.17;
        older ones hold ten arrays more). Bounds add two arrays more.
    checkpoint_bytes : dict of str to int
        Arrays in the file that ``fit(..., checkpoint=)`` writes, by class of optimizer, at most: of
        all parameters those of its state and the gradient, and one model. Numbers of the steps (40
        bytes for each) and a header of some KiB come on top. LBFGS stores the model alone.
    journal_bytes : int
        Of one evaluation in the journal that LBFGS keeps beside its checkpoint; a step makes one or
        a few.
    """

    n_layers: int
    segment: int
    n_snapshots: int
    blocks_in_flight: int
    store_all: bool
    advances: int
    evaluations: int
    state_bytes: int
    fixed_bytes: int
    block_bytes: int
    total_bytes: int
    minimum_bytes: int
    optimizer_bytes: dict[str, int] = dataclasses.field(hash=False)
    checkpoint_bytes: dict[str, int] = dataclasses.field(hash=False)
    journal_bytes: int


def plan(
    model: Relaxation,
    batch: int = 1,
    memory: int | str | None = None,
    threads: int | None = None,
    at: Sequence[int] | None = None,
    input_grad: bool = False,
    inputs: str = "given",
) -> Plan:
    """Plan :meth:`Relaxation.value_and_grad` without running it.

    Parameters
    ----------
    model : Relaxation
        The model.
    batch : int, default 1
        Number of samples.
    memory, threads, input_grad
        As for the gradient.
    at : sequence of int, optional
        Layers with targets.
    inputs : {"given", "drop", "fill", "estimate"}, default "given"
        As for :func:`fit`: with "fill" and "estimate" inputs are unknowns, too. Their gradient is
        part of the sweep, and of the optimizers LBFGS alone takes them.

    Returns
    -------
    Plan
        What the core's own counters will show.

    Raises
    ------
    TypeError, ValueError
        If an argument makes no sense or the budget is below the minimum, which is stated.

    References
    ----------
    A. Griewank, A. Walther, ACM TOMS 26 (2000) 19-45.

    Examples
    --------
    >>> import relaxon as rx
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((256,))), depth=1000)
    >>> plan = rx.plan(model, batch=1, memory="64 KiB", threads=1)
    >>> plan.store_all
    False
    >>> plan.optimizer_bytes["Adam"]
    320
    """
    check_instance("model", model, Relaxation)
    layers = SquaredDistance(at=at).at or (model.n_layers,)
    if max(layers) > model.n_layers:
        refuse("at", f"layers from 0 to the depth, {model.n_layers}", max(layers))
    batch = check_integer("batch", batch, 1)
    has_unknowns = check_choice("inputs", inputs, MODES) in ("fill", "estimate")
    found = model._network.plan(
        batch,
        check_memory(memory),
        model._n_threads(threads, batch),
        list(layers),
        model.trainable_omega,
        check_flag("input_grad", input_grad) or has_unknowns,
    )
    counts = found.evaluations
    n_unknown = batch * int(np.prod(model.input_shape)) if has_unknowns else 0
    values: dict[str, Any] = {
        "advances": counts.advances,
        "evaluations": counts.evaluations,
        "optimizer_bytes": _optimizer_bytes(model, n_unknown),
        "checkpoint_bytes": _checkpoint_bytes(model, n_unknown),
        "journal_bytes": record_bytes(_n_all(model, n_unknown), model.dtype.itemsize),
    }
    names = [field.name for field in dataclasses.fields(Plan) if field.name not in values]
    return Plan(**values, **{name: getattr(found, name) for name in names})


def _optimizer_bytes(model: Relaxation, n_unknown: int) -> dict[str, int]:
    n_all = _n_all(model, n_unknown)
    n_trained = sum(array.size for array in model.params.values()) + n_unknown
    item_bytes = model.dtype.itemsize
    # Known values, their deviations, and the inputs as they are moved; scales and products with
    # them, in double precision.
    extra = n_unknown * (3 * item_bytes + 4 * 8)
    return {
        type(optimizer).__name__: optimizer._state_bytes(n_all, n_trained, item_bytes) + extra
        for optimizer in _optimizers(n_unknown)
    }


def _checkpoint_bytes(model: Relaxation, n_unknown: int) -> dict[str, int]:
    n_bytes = _n_all(model, n_unknown) * model.dtype.itemsize
    n_model = sum(array.nbytes for array in pack(model)[0].values())
    return {
        type(optimizer).__name__: optimizer._n_stored * n_bytes + n_model
        for optimizer in _optimizers(n_unknown)
    }


def _n_all(model: Relaxation, n_unknown: int) -> int:
    """Numbers in one array of all parameters."""
    return sum(array.size for array in model._arrays()) + n_unknown


def _optimizers(n_unknown: int) -> tuple[Optimizer, ...]:
    return tuple(o for o in EXAMPLES if o._takes_unknown_inputs or not n_unknown)
