"""Fits that tell physics from what merely looks like it: at other leads, and with other depths.

The time of one layer stays the same where the lead changes, as the depth changes in proportion;
with twice the depth omega is halved, so that omega times depth stays the same. Errors in the
inputs, and scales that are not resolved, change coefficients with the lead; a bound of explicit
layers, and the error of their step, with the depth.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.validate import check_instance, check_integer, refuse
from ..datasets.scaling import Scaling
from ..datasets.series import Series
from ..model.losses import SquaredDistance
from ..model.relaxation import Relaxation
from ..physics.explain import Explanation, explain
from ..training.auto_depth import spread_depths
from ..training.constraints import Bounds
from ..training.divergence import DivergenceError
from ..training.fit import Fit, Status, fit
from ..training.optimizers import Optimizer, SteepestDescent
from ..training.penalties import Penalty
from .comparison import Comparison, compare
from .experiment import Experiment, Result
from .options import Options
from .split import Split

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["CheckPlan", "check_leads", "plan_checks", "run_checks"]

_OPTIONS = {"lead": "check_leads", "depth": "check_depth"}


@dataclasses.dataclass(frozen=True)
class CheckPlan:
    """Fits to put beside that of an experiment.

    Attributes
    ----------
    kind : {"lead", "depth"}
        What differs.
    variants : tuple of Options
        Of the fits, in the order to list them.
    own : int or None
        Which of them is the experiment's; None where its depth is still to be found.
    """

    kind: str
    variants: tuple[Options, ...]
    own: int | None

    @property
    def n_more(self) -> int:
        """Fits beside the experiment's own, at most."""
        return len(self.variants) - (self.own is not None)

    def with_own(self, depth: int) -> CheckPlan:
        """Where the experiment's depth is found, with its place among the others."""
        if self.own is not None:
            return self
        others = [v for v in self.variants if v.depth != depth]
        own = dataclasses.replace(self.variants[0], depth=depth)
        variants = sorted([*others, own], key=lambda v: v.depth_used)
        return CheckPlan(self.kind, tuple(variants), variants.index(own))


def plan_checks(experiment: Experiment) -> tuple[CheckPlan, ...]:
    """The fits that an experiment's options ask for beside its own.

    Parameters
    ----------
    experiment : Experiment
        With ``check_leads``, ``check_depth`` and ``depth`` among its options: where the depth is
        found, the fits of 1, 2, 4, ... layers and of all show what it does to coefficients.

    Returns
    -------
    tuple of CheckPlan
        One for each check.

    Raises
    ------
    TypeError, ValueError
        If a lead is no whole number, too long for a part of the data, or asks for a depth that is
        none.
    """
    options = experiment.options
    plain = dataclasses.replace(options, check_leads=None, check_depth=False)
    plans = []
    if options.check_leads is not None:
        own = options.value("lead")
        leads = _read_leads("check_leads", [own, *_parse_leads(options.check_leads)])
        depths = _depths("check_leads", leads, own, options.depth_used)
        variants = tuple(
            dataclasses.replace(plain, lead=lead, depth=depth)
            for lead, depth in zip(leads, depths, strict=True)
        )
        plans.append(CheckPlan("lead", variants, leads.index(own)))
    if options.check_depth:
        deep = dataclasses.replace(plain, depth=2 * options.depth_used)
        if options.gamma is None:
            # Otherwise it follows from the shorter time of a layer.
            deep = dataclasses.replace(deep, omega=options.value("omega") / 2.0)
        plans.append(CheckPlan("depth", (plain, deep), 0))
    if options.finds_depth:
        plain = dataclasses.replace(plain, max_depth=None)
        some = (dataclasses.replace(plain, depth=n) for n in spread_depths(options.depth_used))
        plans.append(CheckPlan("depth", tuple(some), None))
    for plan in plans:
        for k, variant in enumerate(plan.variants):
            if k != plan.own:
                # Whatever is wrong with it is said before anything is trained.
                try:
                    _build(variant, experiment)
                except (TypeError, ValueError) as error:
                    name = _name(plan.kind, variant)
                    raise type(error)(
                        f"argument '{_OPTIONS[plan.kind]}': {name}: {error}"
                    ) from None
    return tuple(plans)


def run_checks(
    plans: Sequence[CheckPlan],
    experiment: Experiment,
    result: Result,
    progress: bool = False,
    checkpoints: Path | None = None,
) -> Result:
    """Fit what is planned, and put the coefficients side by side.

    Parameters
    ----------
    plans : sequence of CheckPlan
        Of the experiment.
    experiment : Experiment
        That was run.
    result : Result
        What it gave.
    progress : bool, default False
        As for :meth:`Experiment.run`.
    checkpoints : Path, optional
        A folder for the checkpoint of each fit, named after what differs, as in
        ``lead-3.checkpoint``.

    Returns
    -------
    Result
        With the comparisons, and with remarks beside the coefficients that move. A fit that
        diverges is left out, an interrupted one is the last: notes say so.
    """
    comparisons, remarks = [], list(result.explanation.remarks)
    is_interrupted = result.fit.status is Status.INTERRUPTED
    has_time = isinstance(experiment.data, Series)
    for given in plans:
        plan = given.with_own(result.fit.model.depth)
        found: list[tuple[Options, Explanation]] = []
        notes: list[str] = []
        for k, variant in enumerate(plan.variants):
            name = _name(plan.kind, variant)
            if k == plan.own:
                fitted, explanation = result.fit, result.explanation
            elif is_interrupted:
                notes.append(f"{name}: not fitted, the run was interrupted")
                continue
            else:
                place = None
                if checkpoints is not None:
                    number = variant.value("lead") if plan.kind == "lead" else variant.depth
                    place = checkpoints / f"{plan.kind}-{number}.checkpoint"
                try:
                    fitted, explanation = _build(variant, experiment).learn(progress, place)
                except DivergenceError as error:
                    notes.append(f"{name}: left out, {error}")
                    continue
                is_interrupted = fitted.status is Status.INTERRUPTED
            notes += _about(fitted, name)
            found.append((variant, explanation))
        comparison = compare(
            plan.kind,
            [variant.value("lead") if has_time else 0 for variant, _ in found],
            [variant.depth_used for variant, _ in found],
            [explanation for _, explanation in found],
            notes,
        )
        comparisons.append(comparison)
        # What an interrupted fit has read off tells nothing.
        remarks += () if is_interrupted else comparison.remarks
    explanation = dataclasses.replace(result.explanation, remarks=tuple(remarks))
    return dataclasses.replace(
        result,
        explanation=explanation,
        comparisons=tuple(comparisons),
        is_interrupted=is_interrupted,
    )


def check_leads(
    model: Relaxation,
    series: DataArray | Series,
    leads: Sequence[int],
    optimizer: Optimizer = SteepestDescent(0.01, line_search="barzilai-borwein"),  # noqa: B008
    steps: int = 500,
    penalties: Sequence[Penalty] = (),
    bounds: Bounds | None = None,
    trainable: Mapping[str, bool] | None = None,
    memory: int | str | None = None,
    threads: int | None = None,
) -> Comparison:
    """Fit a model at several leads, and compare its coefficients.

    Physics does not depend on how far ahead it is asked for. Errors in the inputs do: they bias a
    fit like smoothing and damping (or growth) within the first step, which counts less and less the
    longer the lead is. So do motions that the cells or the lead do not resolve.

    Parameters
    ----------
    model : Relaxation
        Where every fit starts, with the depth for the lead of its scaling, or where it has none for
        the first of `leads`. Each other lead has the depth in proportion, so that `dt`, the time of
        one layer, stays the same. Coefficients are those of all layers (``time="constant"``).
    series : xarray.DataArray or Series
        Fields on the model's grid, all of them to train on, at every lead. Scaled as the model's
        scaling says; without one as :func:`relaxon.datasets.from_xarray` does by default.
    leads : sequence of int
        Steps of time, two or more.
    optimizer, steps, penalties, bounds, trainable, memory, threads
        As for :func:`relaxon.fit`; default Barzilai-Borwein steps, at most 500. The loss is the
        mean square over existing cells in units of the variance of y.

    Returns
    -------
    Comparison
        Coefficients by lead with standard errors, and which of them move by more than two standard
        errors of the difference, sqrt(s^2 + t^2), from the shortest lead. Coefficients that differ
        between cells are represented by medians, have no standard errors, and none is marked.

    Raises
    ------
    TypeError, ValueError
        If a lead is no whole number or longer than the record, a depth would not be whole, the
        model has ends, layers of their own or another grid, or anything as for `fit`.
    DivergenceError
        As for `fit`.

    Notes
    -----
    Costs one fit per lead, of as many layers as the lead is long.

    Examples
    --------
    >>> import numpy as np, relaxon as rx, xarray
    >>> random = np.random.default_rng(0)
    >>> fields = [random.standard_normal(16)]
    >>> for _ in range(60):
    ...     fields.append(0.8 * np.roll(fields[-1], 1) + random.standard_normal(16))
    >>> da = xarray.DataArray(np.array(fields), dims=("time", "x"))
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((16,))), depth=2, activation="identity")
    >>> check = rx.check_leads(model, da, (1, 2))
    >>> check.heads, len(check.coefficients)
    (('lead 1, 2 layers', 'lead 2, 4 layers'), 3)
    """
    check_instance("model", model, Relaxation)
    scaling = model.scaling
    if isinstance(series, Series):
        data = series
    else:
        data = Series.read(series, order=() if scaling is None else scaling.coordinates.names)
    if isinstance(leads, str) or not isinstance(leads, Sequence):
        refuse("leads", "a sequence of integers", repr(leads), TypeError)
    if len(leads) == 0:
        refuse("leads", "two leads or more", repr(leads))
    own = check_integer("leads", leads[0], 1) if scaling is None else scaling.lead
    ascending = _read_leads("leads", list(leads))
    _check_model(model)
    depths = _depths("leads", ascending, own, model.depth)
    for lead in ascending:
        data.time.check_lead(lead)
    if scaling is None:
        scaling = data.scaling(len(data), own, data.usual_period(len(data))[0])
    else:
        scaling.check(data.coordinates, data.time.step, data.unit)
        data.check_climatology(scaling)
    _check_grid(model, scaling)
    explanations, notes = [], []
    for lead, depth in zip(ascending, depths, strict=True):
        start = _with_depth(model, depth).with_scaling(dataclasses.replace(scaling, lead=lead))
        fitted, explanation = _fit_one(
            start,
            data,
            optimizer=optimizer,
            steps=steps,
            penalties=penalties,
            bounds=bounds,
            trainable=trainable,
            memory=memory,
            threads=threads,
        )
        explanations.append(explanation)
        notes += _about(fitted, f"lead {lead}")
        if fitted.status is Status.INTERRUPTED:
            break
    n = len(explanations)
    return compare("lead", ascending[:n], depths[:n], explanations, notes)


def _fit_one(model: Relaxation, data: Series, **settings: Any) -> tuple[Fit, Explanation]:
    """A fit to all pairs of a series, and what it has learned."""
    scaling = model.scaling
    assert scaling is not None
    samples = data.samples(scaling, 0, len(data), model.dtype.name)
    if not samples.has_pair(scaling.mask):
        refuse("leads", "leads at which x and y both have values", scaling.lead)
    split = Split(samples, None, samples, scaling.mask, data.coordinates, scaling)
    loss = SquaredDistance(weights=split.loss_weights(samples))
    fitted = fit(model, samples.x, samples.y, loss=loss, **settings)
    if samples.n_clusters(scaling.mask) < 2:
        return fitted, explain(fitted.model)
    pairs = (samples.x, samples.y)
    return fitted, explain(
        fitted.model, pairs, loss, settings["threads"], samples.groups, fitted.inputs
    )


def _build(variant: Options, experiment: Experiment) -> Experiment:
    """An experiment on the same data, whose warnings have been given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return Experiment(variant, experiment.data)


def _parse_leads(text: str) -> list[int]:
    try:
        return [int(entry) for entry in text.split(",")]
    except ValueError:
        fix = "commas separate them"
        refuse("check_leads", "whole numbers of steps, such as 1,3,5", repr(text), fix=fix)


def _read_leads(argument: str, leads: Sequence[int]) -> list[int]:
    """Leads in ascending order, each once."""
    found = sorted({check_integer(argument, lead, 1) for lead in leads})
    if len(found) < 2:
        refuse(argument, "two leads or more, to compare", ", ".join(map(str, found)))
    return found


def _depths(argument: str, leads: Sequence[int], own: int, depth: int) -> list[int]:
    """Depths in proportion to the leads."""
    for lead in leads:
        if depth * lead % own:
            refuse(
                argument,
                f"leads for which {depth} layers for {own} steps make a whole number of layers",
                lead,
                fix=f"choose multiples of {own // np.gcd(depth, own)}, or another depth",
            )
    return [depth * lead // own for lead in leads]


def _check_model(model: Relaxation) -> None:
    if model.lift is not None or model.readout is not None:
        refuse("model", "one without lift and readout", repr(model))
    model._check_layers("check_leads")
    if getattr(model.operator, "time", "constant") == "layered" or model.omega.shape == (
        model.depth,
    ):
        refuse("model", "one set of coefficients and one omega for all layers", repr(model))


def _check_grid(model: Relaxation, scaling: Scaling) -> None:
    """That cells are those of the data."""
    grid = model.grid
    if grid.shape != scaling.coordinates.shape:
        refuse(
            "model", f"a grid of shape {scaling.coordinates.shape}, that of the data", grid.shape
        )
    mask = np.ones(grid.shape, bool) if grid.mask is None else grid.mask
    if not np.array_equal(mask, scaling.mask):
        refuse(
            "model",
            f"a mask with the {int(scaling.mask.sum())} cells of the data",
            f"one with {int(mask.sum())}",
            fix="take the grid of relaxon.datasets.from_xarray",
        )


def _with_depth(model: Relaxation, depth: int) -> Relaxation:
    return Relaxation(
        model.operator,
        depth=depth,
        activation=model.activation,
        omega=None if model.gamma is not None else model.omega,
        gamma=model.gamma,
        bias=model.bias,
        beta=model.beta,
        theta=model.theta,
        drive=model.drive,
        normalization=model.normalization,
        trainable_omega=model.trainable_omega,
        dt=model.dt,
        time_unit=model.time_unit,
        dtype=model.dtype.name,
        seed=model.seed,
    ).with_params(model.params)


def _name(kind: str, variant: Options) -> str:
    return f"lead {variant.value('lead')}" if kind == "lead" else f"{variant.depth} layers"


def _about(fitted: Fit, name: str) -> list[str]:
    return [] if fitted.status is Status.CONVERGED else [f"{name}: {fitted.message}"]
