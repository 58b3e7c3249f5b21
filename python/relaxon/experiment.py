"""A forecasting experiment: split of times, baselines, training, and the table of errors.

Errors are mean squares over existing cells, in units of the variance of y about its mean over
existing cells and training samples. The loss is weighted to be that same error.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._validate import check_choice, check_integer
from .datasets import SeaSurfaceTemperature
from .explain import Explanation, explain
from .fit import Fit, fit
from .grid import Dirichlet, Grid
from .losses import SquaredDistance
from .model import Relaxation
from .operators import ADR, Dense
from .optimizers import SteepestDescent
from .penalties import Smoothness

__all__ = ["Experiment", "Options", "Result", "Row", "Split", "parse_boundary", "split_months"]

Fields = NDArray[Any]

SECONDS_PER_MONTH = 365.25 * 86400.0 / 12.0
TRAINING_MONTHS = 40
# Least error on the validation months within the steps that are asked for, of seven strengths and
# four patiences (bench/sst_options.py); held-out months played no part.
LOCAL_SMOOTHNESS = 10.0
LOCAL_PATIENCE = 100
OPERATORS: dict[str, type[ADR] | type[Dense]] = {"adr": ADR, "dense": Dense}
LINE_SEARCHES: dict[str, Any] = {
    "barzilai-borwein": "barzilai-borwein",
    "armijo": "armijo",
    "fixed-rate": None,
}


@dataclass(frozen=True)
class Options:
    """What the command line can set; the names are those of its options.

    ``smoothness`` and ``patience`` of None stand for what the space needs: with local coefficients
    10 and 100, with homogeneous ones neither.
    """

    operator: str = "adr"
    space: str = "homogeneous"
    time: str = "constant"
    scheme: str = "central"
    depth: int = 10
    omega: float = 0.5
    activation: str = "identity"
    bias: str | None = None
    boundary: str = "neumann,periodic"
    mask_boundary: str = "neumann"
    beta: float = 0.0
    trainable_omega: bool = False
    optimizer: str = "barzilai-borwein"
    rate: float = 0.01
    steps: int = 500
    patience: int | None = None
    validation: float = 0.15
    smoothness: float | None = None
    lead: int = 1
    memory: str | None = None
    threads: int | None = None
    dtype: str = "float64"
    seed: int = 0

    @property
    def is_local(self) -> bool:
        """Whether coefficients differ between cells."""
        return self.operator == "adr" and self.space == "local"

    @property
    def smoothness_used(self) -> float:
        """The strength of the smoothness penalty."""
        if self.smoothness is not None:
            return self.smoothness
        return LOCAL_SMOOTHNESS if self.is_local else 0.0

    @property
    def patience_used(self) -> int | None:
        """The patience; None where no validation months are set apart."""
        if self.patience is not None:
            return self.patience or None
        return LOCAL_PATIENCE if self.is_local else None


@dataclass(frozen=True, eq=False)
class Split:
    """Anomalies of a monthly series, scaled and cut into parts along time.

    Attributes
    ----------
    training, validation, held_out : tuple of ndarray, shape (pairs, *grid)
        Inputs x and targets y, `lead` months apart, both inside their part; validation may be None.
    held_out_time : ndarray of datetime64, shape (pairs,)
        Times of the held-out targets.
    climatology : ndarray, shape (12, *grid)
        Mean of each calendar month over the training part.
    scale : float
        Standard deviation of the anomalies over the training part.
    """

    training: tuple[Fields, Fields]
    validation: tuple[Fields, Fields] | None
    held_out: tuple[Fields, Fields]
    held_out_time: NDArray[np.datetime64]
    climatology: Fields
    scale: float


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
    """What an experiment has found; ``prediction`` belongs to the held-out part."""

    rows: tuple[Row, ...]
    fit: Fit
    explanation: Explanation
    prediction: Fields
    validation_error: float | None


def calendar_month(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Month of the year, 0 to 11."""
    return times.astype("datetime64[M]").astype(np.int64) % 12


def split_months(
    data: SeaSurfaceTemperature, lead: int, validation: float | None, dtype: str = "float64"
) -> Split:
    """Cut a monthly series into training, validation and held-out pairs.

    The first 40 months are for training; of these the last share `validation` is set apart where it
    is given. Between two parts the pairs that would reach across are left out, `lead` of them.
    Climatology and scale come from the training part alone.

    Parameters
    ----------
    data : SeaSurfaceTemperature
        The series.
    lead : int
        Months from x to y.
    validation : float or None
        Share of the training months to validate on.
    dtype : str
        Precision of the result.

    Returns
    -------
    Split
        The parts.

    Raises
    ------
    ValueError
        If a part is left without pairs, or a calendar month without training data.
    """
    n_months = len(data.time)
    held_out_months = n_months - TRAINING_MONTHS
    if not 1 <= lead < held_out_months:
        raise ValueError(
            f"argument 'lead': expected 1 to {held_out_months - 1} months, got {lead}; "
            f"the held-out part has {held_out_months} months"
        )
    cut = TRAINING_MONTHS
    if validation is not None:
        validation_months = round(validation * TRAINING_MONTHS)
        cut -= validation_months
        if validation_months <= lead or cut < 12 + lead:
            raise ValueError(
                f"argument 'validation': expected a share of the {TRAINING_MONTHS} training months "
                f"that leaves a pair to validate on and a year to train on, got {validation} with "
                f"lead {lead}"
            )
    month = calendar_month(data.time)
    past = data.temperature[:cut]
    climatology = np.stack([past[month[:cut] == m].mean(axis=0) for m in range(12)])
    anomaly = data.temperature - climatology[month]
    scale = float(anomaly[:cut, data.mask].std())
    anomaly = (anomaly / scale).astype(dtype)

    def pairs(begin: int, end: int) -> tuple[Fields, Fields]:
        return anomaly[begin : end - lead], anomaly[begin + lead : end]

    return Split(
        training=pairs(0, cut),
        validation=None if validation is None else pairs(cut, TRAINING_MONTHS),
        held_out=pairs(TRAINING_MONTHS, n_months),
        held_out_time=data.time[TRAINING_MONTHS + lead :],
        climatology=climatology,
        scale=scale,
    )


def parse_boundary(text: str) -> tuple[Any, ...]:
    """Read boundary conditions as written on the command line.

    Parameters
    ----------
    text : str
        One entry per axis, separated by commas: "periodic", "neumann", a number (the value of a
        Dirichlet condition), or two of these for the low and the high side, as in "neumann:0".

    Returns
    -------
    tuple
        As :class:`Grid` takes it.
    """
    axes = []
    for entry in text.split(","):
        sides = tuple(_parse_condition(side.strip()) for side in entry.split(":"))
        if len(sides) > 2:
            raise ValueError(
                f"argument 'boundary': expected one condition or low:high per axis, got {entry!r}"
            )
        axes.append(sides[0] if len(sides) == 1 else sides)
    return tuple(axes)


def _parse_condition(text: str) -> Any:
    try:
        return Dirichlet(float(text))
    except ValueError:
        return text


class Experiment:
    """Training on the first months of a series and a forecast of its last ones.

    Parameters
    ----------
    options : Options
        Model, training and split.
    data : SeaSurfaceTemperature
        The series.

    Raises
    ------
    ValueError, TypeError
        If an option is wrong; nothing has been computed then.
    """

    def __init__(self, options: Options, data: SeaSurfaceTemperature) -> None:
        self.options = options
        self.data = data
        check_integer("lead", options.lead, 1)
        check_choice("operator", options.operator, tuple(OPERATORS))
        check_choice("optimizer", options.optimizer, tuple(LINE_SEARCHES))
        self.model = self._build_model()
        share = None if options.patience_used is None else options.validation
        self.split = split_months(data, options.lead, share, self.model.dtype.name)
        self._variance = float(self.split.training[1][:, data.mask].var(dtype=np.float64))
        self.optimizer = SteepestDescent(
            rate=options.rate, line_search=LINE_SEARCHES[options.optimizer]
        )
        strength = options.smoothness_used
        self.penalties = (Smoothness(strength),) if strength else ()

    def run(self, progress: bool = False) -> Result:
        """Fit the baselines and the model, then look at the held-out part, once.

        Parameters
        ----------
        progress : bool, default False
            Whether to show a bar on stderr.

        Returns
        -------
        Result
            Table rows, the fit, and the physics of its model.
        """
        split = self.split
        fitted = self._fit(progress)
        model = fitted.model

        def predict(x: Fields) -> Fields:
            return model(x, threads=self.options.threads)

        prediction = predict(split.held_out[0])
        return Result(
            rows=(
                *self._baseline_rows(),
                self._row(
                    "model",
                    model.n_parameters,
                    fitted.seconds,
                    predict(split.training[0]),
                    prediction,
                ),
            ),
            fit=fitted,
            explanation=explain(model),
            prediction=prediction,
            validation_error=None
            if split.validation is None
            else self._error(predict(split.validation[0]), split.validation[1]),
        )

    @property
    def dense_parameters(self) -> int:
        """Weights a free matrix in the operator's place would have."""
        n_matrices = self.options.depth if self.options.time == "layered" else 1
        return n_matrices * int(self.data.mask.sum()) ** 2

    @property
    def config(self) -> dict[str, Any]:
        """All settings, for the summary."""
        settings = asdict(self.options)
        settings["smoothness"] = self.options.smoothness_used
        settings["patience"] = self.options.patience_used
        return {"data": "sst", **settings}

    def _fit(self, progress: bool) -> Fit:
        options, mask = self.options, self.data.mask
        weight = 1.0 / (mask.sum() * self._variance)
        return fit(
            self.model,
            *self.split.training,
            loss=SquaredDistance(weights=np.full(mask.shape, weight, dtype=self.model.dtype)),
            optimizer=self.optimizer,
            steps=options.steps,
            penalties=self.penalties,
            validation=self.split.validation,
            patience=options.patience_used,
            memory=options.memory,
            threads=options.threads,
            progress=progress,
        )

    def _baseline_rows(self) -> list[Row]:
        x, y = self.split.training
        future = self.split.held_out[0]
        rows = [self._row("persistence", 0, 0.0, x, future)]
        for name, axes in (
            ("damped persistence", (0, 1, 2)),
            ("damped persistence per cell", (0,)),
        ):
            start = time.perf_counter()
            factor = _damping(x, y, self.data.mask, axes)
            seconds = time.perf_counter() - start
            n_factors = int(self.data.mask.sum()) if factor.ndim else 1
            rows.append(self._row(name, n_factors, seconds, factor * x, factor * future))
        return rows

    def _row(
        self, name: str, n_parameters: int, seconds: float, fitted: Fields, forecast: Fields
    ) -> Row:
        return Row(
            name=name,
            parameters=n_parameters,
            dense_parameters=self.dense_parameters,
            training_error=self._error(fitted, self.split.training[1]),
            held_out_error=self._error(forecast, self.split.held_out[1]),
            seconds=seconds,
        )

    def _error(self, prediction: Fields, truth: Fields) -> float:
        difference = (prediction - truth)[:, self.data.mask].astype(np.float64)
        return float(np.mean(difference**2)) / self._variance

    def _build_model(self) -> Relaxation:
        options, data = self.options, self.data
        grid = Grid(
            data.mask.shape,
            spacing=data.spacing,
            boundary=parse_boundary(options.boundary),
            mask=data.mask,
            mask_boundary=_parse_condition(options.mask_boundary),
            names=("latitude", "longitude"),
            unit=(data.spacing_unit, data.spacing_unit),
        )
        # The names among the options are texts from outside: the constructors check them.
        family: dict[str, Any] = {"time": options.time}
        if options.operator == "adr":
            family |= {"space": options.space, "scheme": options.scheme}
        settings: dict[str, Any] = {
            "activation": options.activation,
            "bias": options.bias,
            "dtype": options.dtype,
        }
        return Relaxation(
            OPERATORS[options.operator](grid, **family),
            depth=options.depth,
            omega=options.omega,
            beta=options.beta,
            trainable_omega=options.trainable_omega,
            # A depth of zero is for the model to refuse, not for this division.
            dt=options.lead * SECONDS_PER_MONTH / max(options.depth, 1),
            time_unit="s",
            seed=options.seed,
            **settings,
        )


def _damping(x: Fields, y: Fields, mask: NDArray[np.bool_], axes: tuple[int, ...]) -> Fields:
    """The factor a that makes a x closest to y, one for all or one per cell."""
    x, y = np.where(mask, x, 0.0), np.where(mask, y, 0.0)
    power = np.sum(x * x, axis=axes)
    return np.asarray(np.sum(x * y, axis=axes) / np.where(power > 0.0, power, 1.0))
