"""A forecasting experiment: split of times, baselines, training, and the table of errors.

Errors are mean squares over existing cells, in units of the variance of y about its mean over
existing cells and training samples. The loss is weighted to be that same error.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.text import LINE, show
from ..base.validate import check_dtype, check_number
from ..datasets.coordinates import Coordinates
from ..datasets.samples import Samples, block_length
from ..datasets.series import Series
from ..domain.grid import Dirichlet
from ..dynamics.attractor import Attractor, attractor
from ..dynamics.depth_profile import DepthProfile, depth_profile
from ..model.dynamics import ATTRACTOR
from ..model.gaps import answer, fill_means
from ..model.losses import SquaredDistance
from ..model.relaxation import Relaxation
from ..physics.explain import Explanation, explain
from ..physics.stability import Stability
from ..physics.stability_report import read_all
from ..training.fit import Fit, Status, fit
from ..training.optimizers import Adam, Optimizer, SteepestDescent
from ..training.penalties import Smoothness
from .attractors import has_quick_attractor, start_of_attractor
from .baselines import fit_baselines
from .bounds import (
    count_trained,
    find_bounds,
    keep_diagonal,
    move_into,
    parse_bounds,
    remarks_at_bounds,
    remarks_on_mixed,
)
from .comparison import Comparison
from .lengths import parse_spacing, parse_time_step
from .on_the_fly import fit_layers
from .options import DataTraits, Options, parse_boundary, parse_condition
from .scores import Scores
from .split import split_samples, split_series, weigh_by_area

__all__ = ["Experiment", "Result", "Row"]

Fields = NDArray[Any]

# Of errors where people read them.
ERROR_DECIMALS = 4
# What a report says of stability: within about two seconds.
MOST_VALUES, MOST_ENTRIES = 100_000_000, 200_000


@dataclass(frozen=True)
class Row:
    """One line of the table of errors."""

    name: str
    parameters: int
    dense_parameters: int
    training_error: float
    held_out_error: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Result:
    """What an experiment has found; ``prediction`` belongs to the held-out part.

    ``depth_profile`` holds the held-out error of every state z_0..z_L, taken as the prediction; at
    the attractor there are none, and ``search`` is that of the held-out part. ``stability`` is what
    can be said of the layers within seconds. ``comparisons`` puts fits at other leads and depths
    beside this one, where they were asked for; ``is_interrupted`` tells whether Ctrl-C ended any of
    the fits.
    """

    rows: tuple[Row, ...]
    fit: Fit
    explanation: Explanation
    prediction: Fields
    validation_error: float | None
    depth_profile: DepthProfile | None
    stability: Stability
    search: Attractor | None = None
    comparisons: tuple[Comparison, ...] = ()
    is_interrupted: bool = False

    @property
    def better_baselines(self) -> tuple[Row, ...]:
        """Baselines that forecast the held-out part better than the model, the best one first.

        Errors that read the same in the table, of four decimals, are none.
        """
        *baselines, model = self.rows
        worse = round(model.held_out_error, ERROR_DECIMALS)
        better = [row for row in baselines if round(row.held_out_error, ERROR_DECIMALS) < worse]
        return tuple(sorted(better, key=lambda row: row.held_out_error))


class Experiment:
    """Training on the first part of some data and a forecast of its last one.

    Parameters
    ----------
    options : Options
        Model, training and split.
    data : Series or Samples
        Fields at steps of time, or pairs.

    Attributes
    ----------
    given, options : Options
        As asked for, and with the depth and theta that follow for these data.
    split : Split
        The data in parts.
    model : Relaxation
        Where training starts; it carries the data's scaling.

    Raises
    ------
    ValueError, TypeError
        If an option is wrong; nothing has been trained then.

    Warns
    -----
    UserWarning
        If training would start outside the bounds: it then starts at the nearest of them.
    """

    def __init__(self, options: Options, data: Series | Samples) -> None:
        self.given = options
        self.options = options = options.complete(data.source)
        self.data = data
        options.check_effects(DataTraits(has_time=isinstance(data, Series)))
        dtype = check_dtype(options.dtype).name
        parts = (options.holdout, options.validation_used, dtype)
        if isinstance(data, Series):
            self.split = split_series(data, options.value("lead"), self._period, *parts)
        else:
            self.split = split_samples(data, *parts)
            if options.spacing is not None:
                shape, names = self.split.coordinates.shape, self.split.coordinates.names
                coordinates = Coordinates.lattice(shape, parse_spacing(options.spacing, names))
                self.split = replace(self.split, coordinates=coordinates)
        if options.weights == "area":
            self.split = weigh_by_area(self.split)
        # Again: only the split knows the mask.
        options.check_effects(self._traits)
        self.model = self._build_model()
        self.bounds: dict[str, tuple[Fields, Fields]] | None = None
        if options.bounds is not None:
            limits = parse_bounds(options.bounds, self.split.coordinates.names)
            self.bounds = find_bounds(self.model, limits)
            self.model, moved = move_into(self.model, self.bounds)
            if moved:
                warnings.warn(
                    f"{' and '.join(moved)} would start outside --bounds {options.bounds}: "
                    f"training starts at the nearest bound",
                    UserWarning,
                    stacklevel=2,
                )
        self.fixed: dict[str, NDArray[np.bool_]] | None = None
        if options.diffusion == "diagonal":
            self.model, self.bounds, self.fixed = keep_diagonal(self.model, self.bounds or {})
        self.optimizer = self._optimizer()
        strength = check_number("smoothness", options.smoothness_used, 0.0)
        self.penalties = (Smoothness(strength),) if strength else ()
        self._scores = Scores(self.split, self.model)
        self._scores.check(options.inputs)

    def describe(self) -> list[str]:
        """Lines on what was read and how it is cut."""
        split = self.split
        lines: list[str] = []
        cells = f"{int(split.mask.sum())} cells"
        if not isinstance(self.data, Series):
            kind = "pairs"
            if self.options.spacing is not None:
                lines += split.coordinates.describe()
            n_masked = int((~split.mask).sum())
            n_missing = int(np.isnan(self.data.y[:, split.mask]).sum())
            if n_masked:
                lines.append(f"{n_masked} cells have no value: they become the mask")
            if n_missing:
                lines.append(f"{n_missing} values of y are missing: weight 0")
        else:
            kind = f"pairs of {self.data.time.step.plural}"
            if self.data.members is not None:
                kind += f" of {len(self.data.members)} members"
            if self.data.domain:
                cells += f" of {self.data.domain}"
            assert split.scaling is not None
            lines += self.data.describe(split.scaling)
        if split.note:
            lines.append(split.note)
        numbers = f"{len(split.training)} {kind} to train on"
        if split.validation is not None:
            numbers += f", {len(split.validation)} to validate on"
        lines.insert(0, f"{numbers}, {len(split.held_out)} held out, {cells}")
        return [show(line, LINE) for line in lines]

    def learn(
        self, progress: bool = False, checkpoint: Path | None = None
    ) -> tuple[Fit, Explanation]:
        """Fit the model and read its physics; the held-out part is not looked at.

        Parameters
        ----------
        progress : bool, default False
            Whether to show a bar on stderr.
        checkpoint : Path, optional
            As for :func:`relaxon.fit`.

        Returns
        -------
        tuple of Fit and Explanation
            With standard errors where there are clusters enough.
        """
        fitted = self._fit(progress, checkpoint)
        return fitted, self._explain(fitted)

    def run(self, progress: bool = False, checkpoint: Path | None = None) -> Result:
        """Fit the baselines and the model, then look at the held-out part, once.

        Parameters
        ----------
        progress : bool, default False
            Whether to show a bar on stderr.
        checkpoint : Path, optional
            As for :func:`relaxon.fit`.

        Returns
        -------
        Result
            Table rows, the fit, and the physics of its model.
        """
        split = self.split
        fitted, explanation = self.learn(progress, checkpoint)
        model = fitted.model
        reach = self._scores.reach(model)
        training, held_out = (
            self._scores.counted(part, reach) for part in (split.training, split.held_out)
        )

        def predict(x: Fields) -> Fields:
            return answer(model, x, reach, self.options.threads)

        def row(name: str, n_parameters: int, seconds: float, *fields: Fields) -> Row:
            errors = [split.error(*pair) for pair in zip(fields, (training, held_out), strict=True)]
            n_dense = self._dense_parameters(model)
            return Row(name, n_parameters, n_dense, errors[0], errors[1], seconds)

        prediction = predict(held_out.x)
        rows = [
            row(
                baseline.name,
                baseline.n_parameters,
                baseline.seconds,
                baseline.factor * training.x,
                baseline.factor * held_out.x,
            )
            for baseline in fit_baselines(training, split.mask)
        ]
        fields = (predict(training.x), prediction)
        rows.append(row("model", count_trained(model, self.fixed), fitted.seconds, *fields))
        validation_error = None
        if split.validation is not None:
            validation = self._scores.counted(split.validation, reach)
            validation_error = split.error(predict(validation.x), validation)
        return Result(
            rows=tuple(rows),
            fit=fitted,
            explanation=explanation,
            prediction=prediction,
            validation_error=validation_error,
            depth_profile=None if model.is_at_attractor else self._depth_profile(model, held_out),
            stability=read_all(model, MOST_VALUES, MOST_ENTRIES),
            search=self._search(model, held_out) if model.is_at_attractor else None,
            is_interrupted=fitted.status is Status.INTERRUPTED,
        )

    def _explain(self, fitted: Fit) -> Explanation:
        """With standard errors where there are clusters enough."""
        training, model = self.split.training, fitted.model
        has_blocks = fitted.inputs is not None and fitted.inputs.errors is not None
        if has_blocks:
            training = replace(training, groups=self._scores.blocks(training))
        groups = training.groups
        missing = ""
        if self.options.is_on_the_fly:
            missing = "layers trained on the fly are at no minimum of the loss of all"
        elif training.n_clusters(self.split.mask) < 2:
            missing = "the training pairs are one cluster alone"
        if missing:
            explanation = explain(model)
            note = f"{explanation.note}\nno standard errors: {missing}".strip()
            explanation = replace(explanation, note=note)
        else:
            data = (training.x, training.y)
            loss, threads = self._loss, self.options.threads
            explanation = explain(model, data, loss, threads, groups, fitted.inputs, self.fixed)
        errors = explanation.standard_errors
        members = getattr(self.data, "members", None)
        lead = 1 if self.split.scaling is None else self.split.scaling.lead
        length = block_length(len(training) // (1 if members is None else len(members)), lead)
        # Pairs without times have no blocks: each is a cluster.
        if errors is not None and length > 1 and groups is not None and (has_blocks or lead > 1):
            notes = [
                *explanation.note.splitlines(),
                f"blocks are {length} consecutive times: pairs that share times share errors and "
                f"what happens in between",
            ]
            errors = replace(errors, cluster="block")
            explanation = replace(explanation, standard_errors=errors, note="\n".join(notes))
        elif errors is not None and members is not None:
            explanation = replace(explanation, standard_errors=replace(errors, cluster="time"))
        if self.bounds is None:
            return explanation
        remarks = remarks_at_bounds(model, explanation, self.bounds)
        if self.fixed is not None:
            remarks += remarks_on_mixed(explanation)
        return replace(explanation, remarks=(*explanation.remarks, *remarks))

    def _depth_profile(self, model: Relaxation, held_out: Samples) -> DepthProfile:
        x, gaps = held_out.x, self._scores.gaps(held_out)
        if gaps.any():
            x = fill_means(x, gaps, model.grid)
        loss = SquaredDistance(weights=self.split.loss_weights(held_out))
        has_end = has_quick_attractor(model, len(x))
        return depth_profile(model, x, held_out.y, loss, self.options.threads, has_end)

    def _search(self, model: Relaxation, held_out: Samples) -> Attractor:
        """The search whose ends are the forecasts; whoever made these was warned."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return attractor(model, held_out.x, threads=self.options.threads)

    @property
    def _period(self) -> str | None:
        """The climatology that is asked for; None where the data decide.

        A fixed value asks for the only one with which it is a single number.
        """
        assert isinstance(self.data, Series)
        given = self.options.anomaly or self.data.anomaly
        return "none" if given is None and self.options.has_fixed_values else given

    @property
    def _loss(self) -> SquaredDistance:
        """The squared distance that is the training error."""
        return SquaredDistance(weights=self.split.loss_weights(self.split.training))

    def _dense_parameters(self, model: Relaxation) -> int:
        """Weights a free matrix in the operator's place would have."""
        n_matrices = model.depth if self.options.value("time") == "layered" else 1
        return n_matrices * int(self.split.mask.sum()) ** 2

    @property
    def _traits(self) -> DataTraits:
        return DataTraits(
            has_time=isinstance(self.data, Series), has_mask=not self.split.mask.all()
        )

    @property
    def config(self) -> dict[str, Any]:
        """All settings that have an effect, for the summary."""
        settings = self.options.settings(self._traits)
        settings["boundary"] = self.options.boundary or ",".join(self.split.coordinates.boundary)
        if isinstance(self.data, Series):
            assert self.split.scaling is not None
            settings |= {"anomaly": self.split.scaling.period, "variable": self.data.name}
        if "select" in settings:
            settings["select"] = ", ".join(self.options.select)
        if "missing" in settings:
            settings["missing"] = ", ".join(f"{value:.9g}" for value in self.options.missing)
        return {"data": self.data.source, **settings}

    def _fit(self, progress: bool, checkpoint: Path | None) -> Fit:
        options, split = self.options, self.split
        if options.is_on_the_fly:
            return fit_layers(self.model, split.training, self._loss, options, self.penalties)
        fitted = fit(
            self.model,
            split.training.x,
            split.training.y,
            loss=self._loss,
            optimizer=self.optimizer,
            steps=options.steps,
            penalties=self.penalties,
            validation=self._validation(),
            patience=options.patience_used,
            memory=options.memory,
            threads=options.threads,
            progress=progress,
            bounds=self.bounds,
            constraint=options.constraint,
            inputs=options.inputs,
            input_error=self._in_scale(options.input_error),
            target_error=self._in_scale(options.target_error),
            checkpoint=checkpoint,
            depth="auto" if options.finds_depth else None,
        )
        if fitted.depth is None:
            return fitted
        # The layers that are left stand for all of the lead.
        dt = self.model.dt * self.model.depth / fitted.depth
        return replace(fitted, model=fitted.model._with_dt(dt))

    def _optimizer(self) -> Optimizer:
        """The optimizer; one rate for all is that of numbers of about one, which gamma dt is."""
        optimizer = self.options.build_optimizer()
        if "gamma" not in self.model.params or not isinstance(optimizer, SteepestDescent | Adam):
            return optimizer
        rate = self.options.value("rate")
        # A step of Adam has the length of the rate, others that of the rate and the slope.
        power = 1 if isinstance(optimizer, Adam) else 2
        rates = dict.fromkeys(self.model.params, rate) | {"gamma": rate / self.model.dt**power}
        return replace(optimizer, rate=rates)

    @property
    def _gamma(self) -> float | None:
        """The rate that is asked for, in the unit of printed ones, per unit of the model's time."""
        gamma, scaling = self.options.gamma, self.split.scaling
        if gamma is None or scaling is None:
            return gamma
        name, length = scaling.step.rate_unit
        return gamma / length if name else gamma

    def _in_scale(self, error: float | None) -> float | None:
        """An error in the unit of the data, in the numbers of the model."""
        scaling = self.split.scaling
        return error if error is None or scaling is None else error / scaling.scale

    def _validation(self) -> tuple[Fields, Fields, Fields] | None:
        part = self.split.validation
        if part is None:
            return None
        return (part.x, part.y, self.split.loss_weights(part))

    def _build_model(self) -> Relaxation:
        options, split, scaling = self.options, self.split, self.split.scaling

        def scaled(argument: str, condition: Any) -> Any:
            """What the model sees of a condition in the unit of the data."""
            if isinstance(condition, tuple):
                return tuple(scaled(argument, side) for side in condition)
            if scaling is None or not isinstance(condition, Dirichlet):
                return condition
            return Dirichlet(scaling.scale_number(argument, condition.value))

        boundary: Any = split.coordinates.boundary
        if options.boundary is not None:
            boundary = parse_boundary(options.boundary, split.coordinates.names)
        masked = parse_condition("mask_boundary", options.value("mask_boundary"))
        grid = split.coordinates.grid(
            None if split.mask.all() else split.mask,
            boundary=scaled("boundary", boundary),
            mask_boundary=scaled("mask_boundary", masked),
        )
        # The names among the options are texts from outside: the constructor checks them.
        settings: dict[str, Any] = {
            "activation": options.activation,
            "bias": options.bias,
            "dtype": options.dtype,
        }
        length, unit = 1.0, ""
        if scaling is not None:
            length, unit = scaling.lead_time, scaling.step.unit
        elif options.time_step is not None:
            length, unit = parse_time_step(options.time_step)
        # Given gamma, omega follows; at the attractor it counts in units alone.
        omega = None if options.gamma is not None else options.value("omega")
        model = Relaxation(
            options.build_operator(grid),
            depth=ATTRACTOR if options.is_at_attractor else options.depth_used,
            omega=1.0 if options.is_at_attractor else omega,
            gamma=self._gamma,
            beta=options.beta,
            theta=options.value("theta"),
            drive=options.drive,
            normalization=options.normalization,
            trainable_omega=options.trainable_omega,
            dt=length / options.depth_used,
            time_unit=unit,
            seed=options.seed,
            **settings,
        )
        if options.is_at_attractor:
            model = start_of_attractor(model)
        return model if scaling is None else model.with_scaling(scaling)
