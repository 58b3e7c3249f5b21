"""The model as a regressor of scikit-learn, whose conventions hold in this module."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .base.validate import check_choice, check_flag, check_instance, refuse
from .domain.grid import Dirichlet, Grid
from .model.ends import Readout
from .model.losses import SquaredDistance
from .model.relaxation import Relaxation
from .operators import OPERATORS, Operator
from .training.fit import Status, fit
from .training.optimizers import LBFGS, Optimizer
from .training.penalties import L2, Penalty, Smoothness

try:
    from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import r2_score
    from sklearn.utils import check_array, check_random_state
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ModuleNotFoundError as error:
    if error.name is None or error.name.split(".")[0] != "sklearn":
        raise
    raise ModuleNotFoundError(
        "relaxon.sklearn needs scikit-learn; install it with: pip install 'relaxon[sklearn]'",
        name="sklearn",
    ) from error

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RelaxationRegressor"]

Array = NDArray[Any]


class RelaxationRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Least squares with a relaxation network, by scikit-learn's rules.

    Without a grid the features are the cells of a 1-D grid and a readout gives the targets:
    y = B z_L + c. With one, rows of X and y are flattened fields on it: y = z_L.

    Parameters
    ----------
    grid : Grid, optional
        Where the fields live.
    boundary : condition or pair, default "neumann"
        Of the 1-D grid; not used with `grid`.
    operator : str or callable, default "adr"
        W by the name that the command line knows it by, with the settings below; or what makes it
        of the grid.
    order : int, default 2
        Order of the moments; not used by other operators.
    radius : int, default 1
        Of a free stencil; not used by other operators.
    space : {"local", "homogeneous"}, default "local"
        Coefficients per cell or for all; not used by "dense".
    time : {"constant", "layered"}, default "constant"
        Coefficients for all layers or per layer.
    scheme : str, default "central"
        Of "adr".
    depth, activation, omega, bias, beta, theta, gamma, dt, trainable_omega, drive, normalization
        As for :class:`relaxon.Relaxation`; default depth 4.
    optimizer : Optimizer, optional
        As for :func:`relaxon.fit`. Default ``rx.LBFGS()``, which needs no tuning.
    steps, tolerance, batch_size
        As for :func:`relaxon.fit`; default 500 and 1e-4.
    scale : bool, default True
        Whether the model works on numbers of about 1: ``(X - mean_) / scale_`` with one mean and
        one standard deviation of all columns. With a grid y is of the same field and taken
        likewise, without one by its own mean and deviation. Predictions are in the units of y;
        Dirichlet values are in those of X.
    l2, smoothness : float, default 0
        Strengths of :class:`relaxon.L2` on all parameters and of :class:`relaxon.Smoothness`, which
        needs coefficients per cell.
    random_state : int, RandomState or None
        Of the initial values and the order of mini-batches.
    memory, threads
        As for :func:`relaxon.fit`; threads also of `predict`.
    verbose : bool, default False
        Whether fits show their progress.

    Attributes
    ----------
    model_ : Relaxation
        The trained model.
    mean_, scale_ : float
        Of X; 0 and 1 without `scale`.
    y_mean_, y_scale_ : float
        Of y; with a grid those of X.
    history_ : History
        Loss and more per step, of scaled numbers.
    n_iter_ : int
        Steps made.
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    Raises
    ------
    TypeError, ValueError
        From `fit`, if an argument makes no sense.

    Warns
    -----
    ConvergenceWarning
        If `steps` did not suffice, or no parameter changes the output (any more).

    Notes
    -----
    X and y are converted as scikit-learn does: float32 stays, anything else becomes float64. One
    scale for all columns keeps their differences, which the dynamics lives on; where columns are of
    different units, put a ``StandardScaler`` before it. Means and deviations are weighted as the
    samples are, and leave masked cells out. With a readout the first c is the mean of y.

    Examples
    --------
    >>> import numpy as np
    >>> from relaxon.sklearn import RelaxationRegressor
    >>> X = np.random.default_rng(0).standard_normal((100, 8))
    >>> y = X[:, 0] - 2.0 * X[:, 3]
    >>> RelaxationRegressor(activation="identity").fit(X, y).score(X, y) > 0.99
    True
    """

    def __init__(
        self,
        grid: Grid | None = None,
        *,
        boundary: Any = "neumann",
        operator: str | Callable[[Grid], Operator] = "adr",
        order: int = 2,
        radius: int = 1,
        space: str = "local",
        time: str = "constant",
        scheme: str = "central",
        depth: int = 4,
        activation: str = "tanh",
        omega: Any = None,
        bias: str | None = None,
        beta: float = 0.0,
        theta: float = 0.0,
        gamma: Any = None,
        dt: float = 1.0,
        trainable_omega: bool = False,
        optimizer: Optimizer | None = None,
        steps: int = 500,
        tolerance: float = 1e-4,
        batch_size: int | None = None,
        scale: bool = True,
        l2: float = 0.0,
        smoothness: float = 0.0,
        random_state: Any = None,
        memory: int | str | None = None,
        threads: int | None = None,
        verbose: bool = False,
        drive: bool = False,
        normalization: str | None = None,
    ) -> None:
        self.grid = grid
        self.boundary = boundary
        self.operator = operator
        self.order = order
        self.radius = radius
        self.space = space
        self.time = time
        self.scheme = scheme
        self.depth = depth
        self.activation = activation
        self.omega = omega
        self.bias = bias
        self.beta = beta
        self.theta = theta
        self.gamma = gamma
        self.dt = dt
        self.trainable_omega = trainable_omega
        self.optimizer = optimizer
        self.steps = steps
        self.tolerance = tolerance
        self.batch_size = batch_size
        self.scale = scale
        self.l2 = l2
        self.smoothness = smoothness
        self.random_state = random_state
        self.memory = memory
        self.threads = threads
        self.verbose = verbose
        self.drive = drive
        self.normalization = normalization

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new model.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Inputs; with a grid, n_features is its number of cells, and masked ones may be NaN.
        y : array-like, shape (n_samples,) or (n_samples, n_outputs)
            Targets; with a grid, n_outputs is its number of cells, and masked ones are not read.
        sample_weight : array-like, shape (n_samples,), optional
            Weights of the samples' squared errors; their scale does not matter.

        Returns
        -------
        RelaxationRegressor
            Itself.
        """
        if self._is_masked():
            y = self._without_masked(y)
        X, y = validate_data(
            self,
            X,
            y,
            dtype=[np.float64, np.float32],
            order="C",
            multi_output=True,
            y_numeric=True,
            ensure_all_finite=not self._is_masked(),
        )
        y = y.astype(X.dtype, order="C", copy=False)
        self._is_flat = y.ndim == 1
        targets = y.reshape(len(y), -1)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=X.dtype)
            if (weights < 0).any() or not weights.any():
                refuse("sample_weight", "weights of at least 0, not all 0", weights.min())
            weights = weights * (len(weights) / weights.sum())
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self._find_scales(X, targets, weights)
        X = _scaled(X, self.mean_, self.scale_)
        targets = _scaled(targets, self.y_mean_, self.y_scale_)
        model = self._start(X.shape[1], targets, weights, X.dtype, seed)
        targets = targets.reshape(-1, *model.output_shape)
        if weights is not None:
            lead = (-1, *[1] * len(model.output_shape))
            weights = np.ascontiguousarray(np.broadcast_to(weights.reshape(lead), targets.shape))
        penalties: list[Penalty] = [L2(self.l2)] if self.l2 else []
        penalties += [Smoothness(self.smoothness)] if self.smoothness else []
        result = fit(
            model,
            X.reshape(-1, *model.input_shape),
            targets,
            loss=SquaredDistance(weights=weights),
            optimizer=LBFGS() if self.optimizer is None else self.optimizer,
            steps=self.steps,
            batch_size=self.batch_size,
            seed=seed,
            penalties=penalties,
            tolerance=self.tolerance,
            memory=self.memory,
            threads=self.threads,
            progress=bool(self.verbose),
        )
        if result.status is Status.STEPS:
            warnings.warn(
                f"{self.steps} steps did not bring the gradient down to {self.tolerance:g} of its "
                "first value; more steps or scaled data (StandardScaler) may help",
                ConvergenceWarning,
                stacklevel=2,
            )
        if result.status is Status.STALLED:
            fix = "" if self.scale else ", as scale=True does"
            warnings.warn(f"{result.message}{fix}", ConvergenceWarning, stacklevel=2)
        self.model_ = result.model
        self.history_ = result.history
        self.n_iter_ = len(result.history)
        return self

    def predict(self, X: Any) -> Array:
        """Outputs of the trained model.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        array, shape (n_samples,) or (n_samples, n_outputs)
            As y was.
        """
        check_is_fitted(self, "model_")
        X = validate_data(
            self,
            X,
            reset=False,
            dtype=self.model_.dtype,
            order="C",
            ensure_all_finite=not self._is_masked(),
        )
        X = _scaled(X, self.mean_, self.scale_)
        out = self.model_(X.reshape(-1, *self.model_.input_shape), threads=self.threads)
        kind = out.dtype.type
        if (self.y_mean_, self.y_scale_) != (0.0, 1.0):
            out = out * kind(self.y_scale_) + kind(self.y_mean_)
        return out.reshape(-1) if self._is_flat else out.reshape(len(out), -1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R^2 of the prediction, the mean of all outputs; masked cells do not count.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        float
            1 where the prediction is exact, 0 where it is as good as the mean of y.
        """
        if not self._is_masked():
            return float(super().score(X, y, sample_weight))
        y, predicted = self._without_masked(y), self.predict(X)
        exists = self._cells()
        return float(r2_score(y[:, exists], predicted[:, exists], sample_weight=sample_weight))

    def _find_scales(self, X: Array, targets: Array, weights: Array | None) -> None:
        """Set the scales of X and y."""
        self.mean_, self.scale_ = self.y_mean_, self.y_scale_ = 0.0, 1.0
        if not check_flag("scale", self.scale):
            return
        read = X[:, self._cells()] if self._is_masked() else X
        self.mean_, self.scale_ = self.y_mean_, self.y_scale_ = _mean_and_deviation(read, weights)
        if self.grid is None:
            self.y_mean_, self.y_scale_ = _mean_and_deviation(targets, weights)

    def _is_masked(self) -> bool:
        return isinstance(self.grid, Grid) and self.grid.mask is not None

    def _cells(self) -> Array:
        """Which columns are cells that exist."""
        assert self.grid is not None
        mask: Array = np.asarray(self.grid.mask).ravel()
        return mask

    def _without_masked(self, y: Any) -> Array:
        """A copy of fields with zeros where no cell is: those numbers are not read."""
        fields: Array = check_array(y, ensure_all_finite=False, copy=True, input_name="y")
        exists = self._cells()
        if fields.shape[1] != len(exists):
            refuse("y", f"{len(exists)} columns, one for each cell of the grid", fields.shape[1])
        fields[:, ~exists] = 0
        return fields

    def _start(
        self, n_features: int, targets: Array, weights: Array | None, dtype: Any, seed: int
    ) -> Relaxation:
        """The model before training."""
        grid = self.grid
        if grid is None:
            grid = Grid((n_features,), boundary=_one_axis(self.boundary))
        else:
            check_instance("grid", grid, Grid)
            n_cells = int(np.prod(grid.shape))
            for name, n in (("X", n_features), ("y", targets.shape[1])):
                if n != n_cells:
                    refuse(name, f"{n_cells} columns, one for each cell of {grid.shape}", n)
        model = Relaxation(
            self._operator(_scaled_grid(grid, self.mean_, self.scale_)),
            depth=self.depth,
            activation=self.activation,
            omega=self.omega,
            bias=self.bias,
            beta=self.beta,
            theta=self.theta,
            drive=self.drive,
            normalization=self.normalization,
            gamma=self.gamma,
            dt=self.dt,
            trainable_omega=self.trainable_omega,
            readout=Readout(targets.shape[1]) if self.grid is None else None,
            dtype=dtype,
            seed=seed,
        )
        if self.grid is not None:
            return model
        mean = np.average(targets, axis=0, weights=weights).astype(dtype)
        return model.with_params({"readout_bias": mean})

    def _operator(self, grid: Grid) -> Operator:
        if callable(self.operator):
            made: Operator = self.operator(grid)
            return made
        kind = OPERATORS[check_choice("operator", self.operator, tuple(OPERATORS))]
        return kind(grid, **{name: getattr(self, name) for name in kind.settings()})


def _mean_and_deviation(columns: Array, weights: Array | None) -> tuple[float, float]:
    """Of all entries; the deviation is 1 where they do not vary. Missing ones are for the model."""
    known = np.isfinite(columns)
    counts = known if weights is None else known * weights.astype(np.float64)[:, np.newaxis]
    total = counts.sum(dtype=np.float64)
    values = np.where(known, columns, 0.0).astype(np.float64)
    mean = float(np.sum(counts * values) / total)
    deviation = math.sqrt(float(np.sum(counts * (values - mean) ** 2) / total))
    # The deviation of a constant is that of its rounding.
    is_constant = deviation <= 4.0 * float(np.finfo(columns.dtype).eps) * abs(mean)
    return mean, 1.0 if is_constant else deviation


def _scaled(columns: Array, mean: float, scale: float) -> Array:
    """In the type of the columns; the very same where there is nothing to do."""
    if mean == 0.0 and scale == 1.0:
        return columns
    kind = columns.dtype.type
    return np.asarray((columns - kind(mean)) / kind(scale))


def _scaled_grid(grid: Grid, mean: float, scale: float) -> Grid:
    """The grid with its Dirichlet values in the numbers that the model sees."""

    def scaled(condition: Any) -> Any:
        is_value = isinstance(condition, Dirichlet)
        return Dirichlet((condition.value - mean) / scale) if is_value else condition

    return grid.replace(
        boundary=tuple((scaled(low), scaled(high)) for low, high in grid.boundary),
        mask_boundary=scaled(grid.mask_boundary),
    )


def _one_axis(boundary: Any) -> Any:
    """A condition of the only axis, or a pair of them."""
    is_pair = isinstance(boundary, Sequence) and not isinstance(boundary, str | Dirichlet)
    return (tuple(boundary),) if is_pair else boundary
