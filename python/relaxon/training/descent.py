"""The core's descent as Python holds it: everything checked and handed over, and its records."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..base.validate import (
    check_flag,
    check_instance,
    check_integer,
    check_memory,
    check_number,
    refuse,
)
from ..inputs.input_errors import InputErrors, parameter_scales
from ..model.losses import Distance
from ..model.relaxation import Relaxation
from ..model.saving import pack
from .constraints import Bounds, check_bounds, check_constraint, check_trainable
from .history import History
from .journal import Journal
from .optimizers import KINDS, Optimizer
from .penalties import L2, Penalty, Smoothness
from .schedules import factors

__all__ = [
    "MOST_STEPS",
    "STRETCH_SECONDS",
    "Descent",
    "check_reach",
    "penalty_terms",
    "start_descent",
]

# The core comes back to Python at least this often.
STRETCH_SECONDS = 0.05
# It counts them in 64 bits.
MOST_STEPS = 2**63 - 1
Array = NDArray[Any]
Validation = tuple[Array, Array] | tuple[Array, Array, Array]


class Descent:
    """The core's descent and the records of its steps.

    Attributes
    ----------
    start : Relaxation
        The model at the start.
    bounds : pair of float64 arrays, or None
        Low and high bounds of all parameters, one array behind the other.
    trained : array of bool
        Which of these are trained.
    trained_names : list of str
        Names of the trained parameters.
    scales : float64 array, or None
        Lengths of the trained ones at which their curvatures are alike, where inputs are unknowns
        or gamma has a unit; those of the inputs' deviations are 1.
    has_validation : bool
        Whether there are validation samples.
    journal : Journal or None
        What evaluations of an external optimizer are taken from, while it has them, and added to.
    """

    def __init__(
        self,
        start: Relaxation,
        core: Any,
        x: Array,
        bounds: tuple[list[Array], list[Array]] | None,
        is_trained: list[bool],
        n_threads: int,
        scales: NDArray[np.float64] | None,
        problem: dict[str, Any],
    ) -> None:
        self.start = start
        self._core = core
        self._x = x
        self._n_threads = n_threads
        self._problem = problem
        self._records: list[NDArray[np.float64]] = []
        self.journal: Journal | None = None
        self.has_validation = problem["validation"] is not None
        sizes = [array.size for array in start._arrays()]
        self.trained_names = [
            name for name, chosen in zip(start._parameters, is_trained, strict=True) if chosen
        ]
        trained = np.repeat(is_trained, sizes)
        self._n_unknown = x.size if problem["inputs"][0] is not None else 0
        self.trained = np.concatenate([trained, np.ones(self._n_unknown, np.bool_)])
        self.scales = None if scales is None else _wide(scales[trained], self._n_unknown, 1.0)
        self.bounds = None
        if bounds is not None:
            low, high = (_flat(side) for side in bounds)
            n = self._n_unknown
            self.bounds = (_wide(low, n, -np.inf), _wide(high, n, np.inf))

    @property
    def step(self) -> int:
        """Steps taken."""
        return int(self._core.step)

    @property
    def last_record(self) -> NDArray[np.float64]:
        """The values of the last step."""
        return next(
            (table[-1] for table in reversed(self._records) if len(table)), np.full(5, np.nan)
        )

    def advance(self, max_steps: int) -> str:
        """Take steps for a while."""
        status: str = self._core.advance(max_steps, STRETCH_SECONDS)
        self.collect()
        return status

    def evaluate(self, point: Array, gradient: Array) -> float:
        """Loss with penalties at a point of all parameters, and its gradient."""
        if self.journal is None:
            return float(self._core.evaluate(point, gradient))
        known = self.journal.take_evaluation(point)
        if known is None:
            value = float(self._core.evaluate(point, gradient))
            loss, penalty = self._core.trial_value
            self.journal.add_evaluation(point, loss, penalty, gradient)
            return value
        loss, penalty, slopes = known
        self._core.replay(point, slopes, loss, penalty)
        gradient[:] = slopes
        return loss + penalty

    def accept(self) -> None:
        """Make the point evaluated last the present one."""
        self._core.accept()
        self.collect()

    def judge(self) -> str:
        """Whether to go on from the present point."""
        if self.journal is None or not self.has_validation:
            return str(self._core.judge())
        self._core.replay_validation(self.journal.take_validation())
        verdict = str(self._core.judge())
        self.journal.add_validation(self._core.validation_loss)
        return verdict

    @property
    def is_replaying(self) -> bool:
        """Whether steps are still those of a journal."""
        return self.journal is not None and self.journal.is_replaying

    def collect(self) -> None:
        """Fetch the records of steps that are not known yet."""
        n_known = sum(map(len, self._records))
        self._records.append(self._core.records()[: self.step - n_known])

    def arrays(self, which: str) -> dict[str, Array]:
        """The present "parameters", the "best" or the "previous" ones, by name; the rate too."""
        arrays = [np.empty_like(array) for array in self.start._arrays()]
        getattr(self._core, f"copy_{which}")(arrays)
        return dict(zip(self.start._parameters, arrays, strict=True))

    def model(self, which: str) -> Relaxation:
        """The model with the "parameters", the "best" or the "previous" ones."""
        arrays = self.arrays(which)
        return self.start.with_params({name: arrays[name] for name in self.start.params})

    def inputs(self, which: str) -> Array:
        """The inputs that belong to the present "parameters" or the "best" ones."""
        if not self._n_unknown:
            return self._x
        moved = np.empty_like(self._x)
        self._core.copy_inputs(moved, which == "best")
        return moved

    def point(self) -> NDArray[np.float64]:
        """The start, one array behind the other; unknown inputs have no deviations yet."""
        return _wide(_flat(list(self.arrays("parameters").values())), self._n_unknown, 0.0)

    def unsolved(self) -> str | None:
        """What the forward pass with the present parameters leaves unsolved, in words."""
        present = list(self.arrays("parameters").values())
        inputs = self.inputs("parameters")
        model = self.start
        out = np.empty((*model._lead(inputs), *model.output_shape), model.dtype)
        return model._network.forward(present, inputs, out, False, -1, self._n_threads)

    def find_extreme(self) -> _core.Extreme:
        """Where the forward pass with the present parameters leaves the finite numbers."""
        present = list(self.arrays("parameters").values())
        inputs = self.inputs("parameters")
        return self.start._network.find_extreme(present, inputs, self._n_threads)

    def history(self) -> History:
        """The records of all steps."""
        return History(*(column.copy() for column in self._table().T))

    def _table(self) -> NDArray[np.float64]:
        return np.concatenate([*self._records, np.empty((0, 5))])

    def state(self) -> dict[str, Array]:
        """Copies of all that the next step depends on, and the records, by name."""
        return {**self._core.state(), "records": self._table()}

    def resume(self, state: Mapping[str, Array]) -> None:
        """Take up the state of another descent on the same problem.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is no such state.
        """
        records = state["records"]
        if records.dtype != np.float64 or records.shape != (int(state["counts"][0]), 5):
            raise ValueError(f"records of {records.dtype}, shape {records.shape}")
        self._core.resume({name: array for name, array in state.items() if name != "records"})
        self._records = [records]

    def digests(self) -> dict[str, str]:
        """Digests of all that the numbers of this descent depend on, by name of an argument."""
        tensors, configuration = pack(self.start)
        model = (repr(configuration), *(part for item in sorted(tensors.items()) for part in item))
        return {"model": _digest(model), **{k: _digest(v) for k, v in self._problem.items()}}


def start_descent(
    model: Relaxation,
    x: Array,
    y: Array,
    *,
    loss: Distance,
    optimizer: Optimizer,
    steps: int,
    batch_size: int | None,
    seed: int,
    penalties: Sequence[Penalty],
    validation: Validation | None,
    patience: int | None,
    tolerance: float,
    memory: int | str | None,
    threads: int | None,
    trainable: Mapping[str, bool] | None,
    bounds: Bounds | None,
    constraint: str | None = None,
    input_errors: InputErrors | None,
    depth: tuple[str, float] | None = None,
    allow_unconverged: bool = False,
) -> Descent:
    """Everything checked and handed to the core; `depth`: how that of the model is chosen."""
    check_instance("optimizer", optimizer, KINDS)
    states = model._check_input(x)
    target, weights, at = model._check_target("y", y, states, loss)
    check_reach(model, weights, at)
    order = list(model._parameters)
    trained = check_trainable(model, trainable)
    rates = optimizer._rates(list(model.params))
    used = [rates[name] if trained.get(name, False) else 0.0 for name in order]
    if not any(used):
        refuse("trainable", "a parameter with a rate above 0", repr(trainable))
    checked = check_bounds(model, bounds)
    limits = None if checked is None else _limit_arrays(model, checked, order)
    moves = {name: rate > 0.0 for name, rate in zip(order, used, strict=True)}
    kept = check_constraint(model, constraint, optimizer, moves, checked)
    held_out = None if validation is None else _check_validation(model, validation, loss)
    if patience is not None:
        check_integer("patience", patience, 1, MOST_STEPS)
        if validation is None:
            refuse("patience", "None without validation data", patience, fix="give validation=")
    tolerance = check_number("tolerance", tolerance, 0.0)
    n_samples = model._batch(states)
    batch = _check_batch_size(batch_size, n_samples, optimizer)
    n_threads = model._n_threads(threads, batch or n_samples)
    scales = unknowns = None
    if input_errors is not None:
        links = (input_errors.gaps, input_errors.neighbours, input_errors.factors)
        unknowns = (input_errors.spread, input_errors.strength, *links)
        scales = parameter_scales(model, states, y, loss, input_errors.strength)
    elif "gamma" in model.params and model.dt != 1.0:
        # The others are lattice values, numbers of about one, and so is gamma dt.
        units = {name: 1.0 / model.dt if name == "gamma" else 1.0 for name in order}
        sizes = [array.size for array in model._arrays()]
        scales = np.repeat(list(units.values()), sizes)
    multipliers = factors(optimizer._schedule, steps)
    terms = penalty_terms(model, penalties, order)
    options = _core.DescentOptions(
        rule=optimizer._rule,
        rates=used,
        factors=multipliers,
        **{"momentum": 0.0, "beta_1": 0.0, "beta_2": 0.0, "epsilon": 1.0, **optimizer._settings},
        tolerance=tolerance,
        n_steps=steps,
        patience=-1 if patience is None else patience,
    )
    kind = _core.DescentFloat64 if model.dtype == np.float64 else _core.DescentFloat32
    core = kind(
        network=model._network,
        start=model._arrays(),
        bounds=limits,
        constraint=kept,
        x=states,
        input_errors=unknowns,
        loss=loss._core_loss,
        y=target,
        weights=weights,
        at=at,
        validation=held_out,
        penalties=terms,
        batch_size=batch,
        seed=check_integer("seed", seed, 0, 2**64 - 1),
        memory=check_memory(memory),
        threads=n_threads,
        wants_omega=model.trainable_omega,
        allows_unsolved=check_flag("allow_unconverged", allow_unconverged),
        options=options,
    )
    # A schedule is a function, rates depend on names: what they come to counts.
    own = {k: v for k, v in vars(optimizer).items() if k not in ("rate", "schedule")}
    kinds = (type(optimizer).__name__, sorted(own.items()))
    problem = {
        "x": states,
        "y": target,
        "loss": (type(loss).__name__, sorted(loss._own_settings().items()), tuple(at), weights),
        "optimizer": (*kinds, multipliers),
        "trainable": used,
        "steps": steps,
        "batch_size": batch,
        "seed": seed if batch else None,
        "penalties": terms,
        "validation": held_out,
        "patience": patience,
        "tolerance": tolerance,
        "bounds": limits,
        "constraint": kept,
        "inputs": (unknowns, scales),
    }
    if allow_unconverged:
        problem["allow_unconverged"] = True
    if depth is not None:
        problem["depth"] = depth
    is_trained = [rate > 0.0 for rate in used]
    return Descent(model, core, states, limits, is_trained, n_threads, scales, problem)


def _digest(value: object) -> str:
    """Of nested sequences of arrays and plain values."""
    digest = hashlib.blake2b(digest_size=16)

    def add(part: object) -> None:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        elif isinstance(part, tuple | list):
            digest.update(f"{type(part).__name__} of {len(part)}".encode())
            for entry in part:
                add(entry)
        else:
            digest.update(f"{part!r};".encode())

    add(value)
    return digest.hexdigest()


def _wide(values: NDArray[np.float64], n_more: int, value: float) -> NDArray[np.float64]:
    return np.concatenate([values, np.full(n_more, value)])


def _flat(arrays: list[Array]) -> NDArray[np.float64]:
    return np.concatenate([array.ravel() for array in arrays], dtype=np.float64)


def _limit_arrays(
    model: Relaxation, limits: Mapping[str, tuple[Array, Array]], order: list[str]
) -> tuple[list[Array], list[Array]]:
    sides = [limits.get(name, (model._rate, model._rate)) for name in order]
    return [low for low, _ in sides], [high for _, high in sides]


def _check_batch_size(batch_size: int | None, n_samples: int, optimizer: Optimizer) -> int:
    """Samples of a batch; 0 for all at once."""
    if batch_size is None:
        return 0
    check_integer("batch_size", batch_size, 1)
    if optimizer._is_line_search:
        refuse(
            "batch_size",
            f"None with {optimizer!r}, whose line search needs the same loss at every point",
            batch_size,
            fix="use a fixed rate or Adam",
        )
    if batch_size > n_samples:
        refuse("batch_size", f"at most the number of samples, {n_samples}", batch_size)
    return batch_size


def check_reach(model: Relaxation, weights: Array | None, at: Sequence[int]) -> None:
    """That the loss reads anything, and anything that the parameters change."""
    if not any(at) and model.lift is None and model.readout is None:
        fix = "without a lift the state of layer 0 is x itself"
        refuse("at", "a layer above 0 to fit", repr(tuple(at)), fix=fix)
    if weights is None:
        return
    mask = None if model.readout is not None else model.grid.mask
    read = weights if mask is None else weights.reshape(-1, mask.size)[:, mask.ravel()]
    if not read.any():
        place = "" if mask is None else " on an existing cell"
        rule = f"at least one above 0{place}"
        refuse("weights", rule, f"{read.size} zeros", fix="nothing would be read")


def _check_validation(
    model: Relaxation, validation: Validation, loss: Distance
) -> tuple[Array, Array, Array | None]:
    if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
        refuse("validation", "(x, y) or (x, y, weights)", type(validation).__name__, TypeError)
    try:
        states = model._check_input(validation[0])
        shared = loss.weights is not None and loss.weights.shape == model.output_shape
        weights = validation[2] if len(validation) == 3 else loss.weights if shared else None
        own = loss.with_weights(weights)
        target, weights, layers = model._check_target("y", validation[1], states, own)
        check_reach(model, weights, layers)
    except (TypeError, ValueError) as error:
        raise type(error)(f"argument 'validation': {error}") from None
    return states, target, weights


def penalty_terms(
    model: Relaxation, penalties: Sequence[Penalty], order: list[str]
) -> list[tuple[str, float, int]]:
    """Kind, strength and number among the arrays in `order`, as the core takes them."""
    if not isinstance(penalties, Iterable):
        fix = "put it in a list" if isinstance(penalties, Penalty) else ""
        refuse("penalties", "a sequence of penalties", repr(penalties), TypeError, fix)
    terms = []
    for penalty in penalties:
        check_instance("penalties", penalty, (L2, Smoothness))
        kind, names = "l2", penalty.names(list(model.params))
        if isinstance(penalty, Smoothness):
            kind, names = "smoothness", _check_fields(model, penalty, names)
        terms += [(kind, penalty.strength, order.index(name)) for name in names]
    return terms


def _check_fields(model: Relaxation, penalty: Smoothness, names: list[str]) -> list[str]:
    """Those that differ between cells; the others have no gradient to penalise."""
    fields = [name for name in names if model._parameters[name].is_field]
    wanted = fields[:1] if penalty.of is None else names
    if penalty.strength > 0.0 and (not wanted or len(fields) < len(wanted)):
        known = [name for name in model.params if model._parameters[name].is_field]
        refuse(
            "penalties",
            "with Smoothness, parameters that differ between cells"
            f" ({', '.join(known) if known else 'this model has none'})",
            f"{penalty!r} on {', '.join(name for name in names if name not in fields)}",
            fix="name fields in `of`" if known else "leave it out, or use local coefficients",
        )
    return fields
