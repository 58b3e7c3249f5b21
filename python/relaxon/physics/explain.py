"""The physics a trained model has learned, in the units of its grid and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._core import slope_at_zero
from ..base.text import LINE, show
from ..base.validate import check_instance, check_threads
from ..inputs.inputs import Inputs
from ..model.lattice import Lattice
from ..model.losses import Distance, SquaredDistance
from ..model.relaxation import Relaxation
from .coefficients import Process, read_processes
from .conditions import describe_equilibrium, describe_fixed_values
from .explanation_figure import draw_explanation
from .findings import Findings, Row, coordinates_of
from .labelled import to_dataset
from .limits import read_limits
from .remarks import read_remarks
from .stability import (
    read_stability,
)
from .standard_error import (
    StandardErrors,
    check_data,
    estimate_standard_errors,
    why_no_standard_errors,
)
from .tables import format_explanation

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import Dataset

__all__ = ["Explanation", "Process", "Row", "explain"]

Field = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Explanation(Findings):
    """Coefficients of a model in physical units; ``str`` gives a table.

    Attributes
    ----------
    processes : tuple of Process
        One entry per coefficient; empty where there is no linearisation.
    grid : Grid
        The model's grid.
    parameters : tuple of Process
        Trained numbers that are no process: "bias" and "omega", as lattice values, or "gamma".
    stability : Stability or None
        Stability and Peclet numbers; None without linearisation, for operators that reach further
        than one cell, and at depth "attractor", which has no layers.
    standard_errors : StandardErrors or None
        Of the parameters, where data were given and the parameters are homogeneous.
    note : str
        What limits the reading, empty where nothing does.
    n_layers : int or None
        Number of layers where coefficients differ between them, else None.
    scaling : Scaling or None
        Of the data the model was trained on: coordinates, and the step of time.
    remarks : tuple of Remark
        What has to be said beside coefficients.
    """

    def __str__(self) -> str:
        return format_explanation(self)

    def plot(self) -> Figure:
        """Draw the coefficients.

        Fields are drawn as lines, as maps with arrows for the velocity of a plane, or as the middle
        slice of three axes; the mean over layers where they differ between these. What is the same
        in all cells is drawn with its error bar, over the layers where it differs between them.

        Returns
        -------
        matplotlib.figure.Figure
            Made without pyplot: nothing global is touched.

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            If there is no linearisation and so nothing to draw.

        Examples
        --------
        >>> import relaxon as rx
        >>> model = rx.Relaxation(rx.ADR(rx.Grid((16,)), space="local"), depth=4)
        >>> len(rx.explain(model).plot().axes)
        3
        """
        return draw_explanation(self)

    def to_xarray(self) -> Dataset:
        """Coefficients with coordinates, units and names.

        Returns
        -------
        xarray.Dataset
            One variable for each process, such as ``R``, ``U_longitude``, ``D_latitude_longitude``
            and ``U_longitude_standard_error``, and Peclet and stability numbers. Dimensions are
            "layer" and the names of the grid's axes, in characters that netCDF takes. NaN on masked
            cells.

        Raises
        ------
        ImportError
            Without xarray.

        Examples
        --------
        >>> import relaxon as rx
        >>> grid = rx.Grid((16,), spacing=0.5, unit="km", names=("distance",))
        >>> data = rx.explain(rx.Relaxation(rx.ADR(grid, space="local"), depth=4)).to_xarray()
        >>> data["U_distance"].dims, data["distance"].attrs["units"]
        (('distance',), 'km')
        """
        return to_dataset(self)


def explain(
    model: Relaxation,
    data: tuple[NDArray[Any], NDArray[Any]] | None = None,
    loss: Distance = SquaredDistance(),  # noqa: B008 (immutable)
    threads: int | None = None,
    groups: NDArray[Any] | None = None,
    inputs: Inputs | None = None,
    fixed: Mapping[str, ArrayLike] | None = None,
) -> Explanation:
    """Read a model's weights as advection, diffusion and reaction in physical units.

    With the slope s = f'(0), the lattice coefficients R, u, d, the spacing h and the time dt per
    layer: rate = omega (s (1 + R) - 1) / dt, velocity = omega s u h / dt, diffusivity
    = omega s d h h / dt, and for moments of order k > 2: omega s W_k h^k / (k! dt), the coefficient
    of the k-th derivative.

    Parameters
    ----------
    model : Relaxation
        Any model; its ``dt`` and ``time_unit`` and its grid's spacing and unit set the units.
    data : (x, y), optional
        What the model was fitted to. Homogeneous parameters then get standard errors, from the
        Gauss-Newton Hessian and clustered by sample or by group; parameters that differ between
        cells get none, and the result says so. Default: no standard errors.
    loss : SquaredDistance, optional
        The loss that was lowered, with its weights and layers; only read with `data`.
    threads : int, optional
        As for a call of the model.
    groups : ndarray of int, shape (samples,), optional
        Samples of equal number are one cluster of the standard errors, such as the members of an
        ensemble at one time, or pairs of one series that overlap because their lead is above 1
        (:class:`relaxon.datasets.Pairs` has them); only read with `data`. Default: each sample is
        its own.
    inputs : Inputs, optional
        ``fit.inputs`` of the fit, where x has gaps or its errors were estimated: standard errors
        then are those of that fit. Without it, targets near gaps in x do not count. Pairs of one
        series share what was observed, and its errors: `groups` of consecutive times allow for it.
    fixed : mapping of str to array_like of bool, optional
        Numbers that the fit was not free to change (``trainable`` False, or equal bounds), by
        parameter: True, or an array that broadcasts to it. They count as known, and coefficients
        that depend on nothing else get no standard error.

    Returns
    -------
    Explanation
        Fields by name, units, stability, a table, figures and labelled arrays.

    Raises
    ------
    TypeError, ValueError
        If `model` is none, or `data` and `loss` do not fit it; with `data`, if the loss is no
        SquaredDistance, fewer than two clusters have a weight above 0, or `groups` are no whole
        numbers or not one for each sample, or `fixed` names no parameter or all numbers.

    Notes
    -----
    The numerical diffusion that the upwind and Lax-Wendroff schemes add is listed apart from the
    trained one. Normalisation, bias and drive are not part of the linearisation.
    Where f'(0) = 0 (relu, square) there is no linearisation, and the result says so. Moments of a
    dense matrix stand beside those of the same matrix with each row's off-diagonal entries shuffled
    (seed 0): trained dense matrices may carry no physics at all. R has no such comparison: it is
    the sum of a row, which is the same in any order.

    Stability and cell Peclet numbers take the slope s and the numerical diffusion in; see
    :class:`relaxon.physics.stability.Stability`. Activations that are steeper elsewhere than at
    zero (silu, gelu, softplus, leaky_relu) may be less stable there.

    Standard errors assume that the model is at the minimum of the loss without penalties, and that
    clusters (samples, or `groups` of them) are independent of each other; within one, residuals may
    be correlated at will. They are corrected for the leverage of each cluster (CR2) and carried
    over to physical units to first order, with the full covariance. With few clusters, a twice
    standard error covers less than 95 %: compare with Student's t of their number. Costs one
    tangent sweep per parameter, and one for each layer with targets.

    They tell how far the coefficients of the best model of this form would scatter over other
    samples of the same kind. They do not cover that the form is wrong: another equation, the error
    of scheme, grid and step (numerics, "Accuracy and limits"), or a process that is missing or not
    resolved. That can be many standard errors, and only other grids, schemes, depths and the error
    on held-out data show it.

    References
    ----------
    S. Succi, On the physical interpretation of neural PDEs, MEMOCS 13 (2025) 275-286, sections 5-7.
    A. C. Hindmarsh, P. M. Gresho, D. F. Griffiths, Int. J. Numer. Meth. Fluids 4 (1984) 853-897.
    R. M. Bell, D. F. McCaffrey, Survey Methodology 28 (2002) 169-181.

    Examples
    --------
    >>> import numpy as np
    >>> import relaxon as rx
    >>> grid = rx.Grid((16,), spacing=500.0, unit="m", names=("distance",))
    >>> model = rx.Relaxation(rx.ADR(grid), depth=4, activation="identity", dt=60.0, time_unit="s")
    >>> model = model.with_params(
    ...     {"R": np.array(0.0), "U": np.array([0.6]), "D": np.array([0.24])}
    ... )
    >>> print(rx.explain(model))
    process                   unit   value
    ------------------------  -----  -----
    reaction                  1/s    0
    advection along distance  m/s    2.5
    diffusion along distance  m^2/s  500
    <BLANKLINE>
    number                                        median  bound  over it
    --------------------------------------------  ------  -----  -------
    cell Peclet number along distance             2.5     2      100 %
    diffusive stability, 2 omega s sum d          0.24    1      0 %
    advective stability, omega s sum u^2 / (2 d)  0.375   1      0 %
    stability: 0 % of cells over the explicit bounds

    Fitted to noisy data, parameters have error bars:

    >>> x = np.random.default_rng(0).standard_normal((20, 16))
    >>> y = model(x) + 0.01 * np.random.default_rng(1).standard_normal((20, 16))
    >>> error = rx.explain(model, data=(x, y)).table()[1].standard_error
    >>> 0.0 < error < 0.01
    True
    """
    check_instance("model", model, Relaxation)
    check_instance("loss", loss, Distance)
    if threads is not None:
        check_threads(threads)
    errors, notes = None, []
    if data is not None:
        reason = why_no_standard_errors(model)
        if reason:
            check_data(model, data, loss)
            notes.append(f"no standard errors: {reason}")
        else:
            errors = estimate_standard_errors(model, data, loss, threads, groups, inputs, fixed)
    if model.beta:
        notes.append("without the soft normalisation (beta)")
    if model.normalization:
        notes.append("without the hard normalisation")
    if model.is_at_attractor:
        notes.append(describe_equilibrium(model))
    sides = describe_fixed_values(model)
    if sides:
        notes.append(sides)
    lattice = Lattice(model)
    slope = slope_at_zero(model.activation)
    if slope == 0.0:
        notes.insert(
            0,
            f"no linearisation: f'(0) = 0 for {model.activation}, so the weights are no rates of a "
            f"linear process; the lattice values are in the model's params",
        )
        return Explanation(
            (),
            model.grid,
            standard_errors=errors,
            note="\n".join(show(line, LINE) for line in notes),
            scaling=model.scaling,
        )

    def read(changes: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        return [process.values for process in read_processes(Lattice(model, changes), slope)]

    processes = read_processes(lattice, slope)
    if errors is not None:
        single = errors.propagate(read)
        means = errors.propagate(lambda changes: [values.mean() for values in read(changes)])
        processes = [
            replace(process, standard_error=error, mean_standard_error=float(mean))
            if fixed is None or np.any(error)
            else process
            for process, error, mean in zip(processes, single, means, strict=True)
        ]
    stability = None if model.is_at_attractor else read_stability(lattice, slope)
    remarks = read_remarks(
        processes,
        model.grid,
        coordinates_of(model.grid, model.scaling),
        has_bounds=model.operator.has_derivatives,
    )
    return Explanation(
        processes=tuple(processes),
        grid=model.grid,
        parameters=tuple(_other_parameters(lattice, errors)),
        stability=stability,
        standard_errors=errors,
        note="\n".join(show(line, LINE) for line in notes),
        n_layers=lattice.n_layers,
        scaling=model.scaling,
        remarks=(*remarks, *read_limits(processes, stability)),
    )


def _other_parameters(lattice: Lattice, errors: StandardErrors | None) -> list[Process]:
    """Bias and omega or gamma, where they are trained."""
    model, grid = lattice.model, lattice.grid
    processes = []
    for name in ("bias", model._rate_name):
        if name not in model.params:
            continue
        values = model.params[name].astype(np.float64)
        if model._parameters[name].is_field:
            if name != "bias":
                # In one dimension it may be written (1, N).
                values = values.reshape(grid.shape)
            if grid.mask is not None:
                values = np.where(grid.mask, values, np.nan)
        processes.append(
            Process(
                name=name,
                symbol=name,
                axes=(),
                unit=f"1/{model.time_unit}" if name == "gamma" and model.time_unit else "1",
                values=values,
                standard_error=None if errors is None else errors.standard_errors[name],
                is_layered=model._parameters[name].is_layered,
            )
        )
    return processes
