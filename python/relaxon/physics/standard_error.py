"""Error bars of homogeneous parameters from the Gauss-Newton Hessian, clustered.

With residuals r_n, weights w_n and the exact Jacobian J_n of sample n (one tangent sweep per
parameter):

    H = sum_n J_n^T w_n J_n,  g_n = J_n^T w_n r_n,
    covariance = H^-1 (sum_n g'_n g'_n^T) H^-1,  g'_n = (1 - A_n H^-1)^(-1/2) g_n,
    A_n = J_n^T w_n J_n.

Residuals of a field are correlated within a sample and count as one observation (a cluster).
Samples that are correlated with each other form one cluster n together: g_n and A_n are sums over
them. A fitted model draws the residuals of a cluster towards zero by its leverage A_n H^-1, which
makes the plain sandwich too small with few clusters; g'_n undoes it (CR2: without bias where
residuals are equally large and uncorrelated, whatever the number of clusters).

References: K.-Y. Liang, S. L. Zeger, Biometrika 73 (1986) 13-22; R. M. Bell, D. F. McCaffrey,
Survey Methodology 28 (2002) 169-181.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.text import LINE, show
from ..base.validate import check_instance, check_shape, read_array, refuse
from ..inputs.inputs import Inputs, known_inputs
from ..model.losses import Distance, SquaredDistance
from ..model.relaxation import Relaxation
from .profiled_error import profile

__all__ = ["StandardErrors", "estimate_standard_errors", "why_no_standard_errors"]

Field = NDArray[np.float64]
Array = NDArray[Any]

JACOBIAN_BYTES = 64 * 2**20
# Of combinations that stay open; a layered model can have as many as parameters.
MOST_LINES = 4
LEAST_PART = 1e-3
# Of Hessians by differences, in their largest eigenvalue.
DIFFERENCE_ROUNDING = 1e-9
# Far below rounding: derivatives by a step along the imaginary axis have no cancellation.
COMPLEX_STEP = 1e-30


@dataclass(frozen=True, eq=False)
class StandardErrors:
    """Covariance of a model's parameters, as lattice values.

    Attributes
    ----------
    labels : tuple of str
        One for each trained number, in the order of ``params``, flattened, without those that were
        fixed.
    values : dict of str to ndarray
        The parameters.
    standard_errors : dict of str to ndarray of float64
        Shaped as the parameters; infinite where the data do not determine them, 0 where they were
        fixed.
    covariance : ndarray of float64, shape (p, p)
        Of the combinations that the data determine.
    undetermined : tuple of str
        Combinations of parameters that the data do not determine, in words.
    n_samples : int
        Clusters: samples, or groups of samples, with any weight above 0.
    newton_step : float
        The largest change of a parameter, in its standard errors, that one more Gauss-Newton step
        would make: far below 1 at the end of a fit.
    cluster : str
        What one cluster is, in the singular: "sample", or "group" where groups were given.
    is_profiled : bool
        Whether inputs were unknowns beside the parameters.
    """

    labels: tuple[str, ...]
    values: dict[str, Array]
    standard_errors: dict[str, Field]
    covariance: Field
    undetermined: tuple[str, ...]
    n_samples: int
    newton_step: float
    _estimate: _Estimate
    _is_free: NDArray[np.bool_]
    cluster: str = "sample"
    is_profiled: bool = False

    def propagate(self, function: Callable[[Mapping[str, Array]], Sequence[Array]]) -> list[Field]:
        """Standard errors of what depends on the parameters, to first order.

        Parameters
        ----------
        function : function
            Takes a mapping of parameters, complex ones too, and returns arrays; analytic where it
            is used.

        Returns
        -------
        list of ndarray of float64
            One for each array, of its shape; infinite where the data do not determine it, 0 where
            it depends on nothing but what was fixed.
        """
        columns = []
        for name, value in self.values.items():
            for index in np.ndindex(value.shape):
                stepped = np.array(value, np.complex128)
                stepped[index] += 1j * COMPLEX_STEP
                columns.append([a.imag / COMPLEX_STEP for a in function({name: stepped})])
        gradients = [np.stack(group, axis=-1) for group in zip(*columns, strict=True)]
        return [self._estimate.standard_error(g[..., self._is_free]) for g in gradients]

    def __str__(self) -> str:
        hessian = "profiled" if self.is_profiled else "Gauss-Newton"
        lines = [
            f"standard errors: {hessian} Hessian, clustered by {self.cluster} "
            f"({self.n_samples} {self.cluster}s), corrected for leverage. Assumed: {self.cluster}s "
            "are independent of each other, whatever the correlation within one; the model is at "
            "the minimum of this loss without penalties (another Gauss-Newton step: at most "
            f"{self.newton_step:.2g} standard errors)"
        ]
        if self.is_profiled:
            lines.append("the inputs were unknowns, and their errors count as they were stated")
        lines += [f"the data do not determine {text}" for text in self.undetermined[:MOST_LINES]]
        if len(self.undetermined) > MOST_LINES:
            lines.append(f"... and {len(self.undetermined) - MOST_LINES} combinations more")
        return "\n".join(show(line, LINE) for line in lines)


def why_no_standard_errors(model: Relaxation) -> str:
    """Why a model's parameters get no error bars; empty where they do."""
    if any("cells" in model._parameters[name].axes for name in model.operator.parameter_names()):
        return "the weights of a dense matrix get none"
    if model.lift is not None or model.readout is not None:
        return "models with a lift or a readout get none"
    local = [name for name in model.params if model._parameters[name].is_field]
    if local:
        return f"parameters that differ between cells get none ({', '.join(local)})"
    if not model.params:
        return "the model has no parameters"
    return ""


def check_data(
    model: Relaxation, data: tuple[Array, Array], loss: Distance
) -> tuple[Array, Array, Array | None, list[int]]:
    """Input, target, weights and layers, as the core takes them."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        refuse("data", "a pair (x, y)", type(data).__name__, TypeError)
    x = model._check_input(data[0])
    return x, *model._check_target("y", data[1], x, loss)


def estimate_standard_errors(
    model: Relaxation,
    data: tuple[Array, Array],
    loss: Distance,
    threads: int | None = None,
    groups: Array | None = None,
    inputs: Inputs | None = None,
    fixed: Mapping[str, ArrayLike] | None = None,
) -> StandardErrors:
    """Standard errors of homogeneous parameters.

    Parameters
    ----------
    model : Relaxation
        At the minimum of the loss.
    data : (x, y)
        What it was fitted to, at least two samples with a weight above 0.
    loss : SquaredDistance
        What was lowered; weights, layers and mask count.
    threads : int, optional
        As for a call of the model.
    groups : ndarray of int, shape (samples,), optional
        Samples of equal number are one cluster: those that share what is not in the model, such as
        the members of an ensemble at one time. Default: each sample is its own.
    inputs : Inputs, optional
        Of the fit, where x has gaps or errors: ``fit.inputs``. Without it, targets near gaps in x
        do not count.
    fixed : mapping of str to array_like of bool, optional
        Numbers that the fit was not free to change, by parameter: an array that broadcasts to it.

    Returns
    -------
    StandardErrors
        Covariance and standard errors as lattice values.

    Raises
    ------
    TypeError, ValueError
        If the loss is another one, the arrays do not fit, `groups` are no whole numbers or not one
        for each sample, `fixed` names no parameter or all numbers, or there is one cluster only,
        or one only that has a weight above 0 on an existing cell.

    Notes
    -----
    One tangent sweep per parameter and layer with targets, in blocks of samples of at most 64 MiB;
    p^2 numbers are kept for each cluster. Where inputs were unknowns, the score is the profiled one
    and the Hessian its derivative, by differences (`profiled_error`).
    """
    check_instance("loss", loss, SquaredDistance)
    data, loss = known_inputs(model, data, loss, inputs)
    unknowns = None if inputs is None else inputs.errors
    x, y, weights, at = check_data(model, data, loss)
    if x.ndim == model.grid.ndim or len(x) < 2:
        refuse("data", "at least 2 samples, the clusters of the errors", "1 sample")
    clusters, cluster = _check_groups(groups, len(x))
    is_free = _find_free(model, fixed)
    labels = [label for name in model.params for label in _labels(model, name)]
    n_clusters = int(clusters.max()) + 1
    grams = np.zeros((n_clusters, len(labels), len(labels)))
    scores = np.zeros((n_clusters, len(labels)))
    is_counted = np.zeros(n_clusters, dtype=bool)
    n_values = begin = 0
    parts = (
        _gauss_newton(model, x, y, weights, at, threads)
        if unknowns is None
        else iter([profile(model, y, loss, unknowns, threads)])
    )
    for gram, score, has_weight, n in parts:
        own = clusters[begin : begin + len(gram)]
        begin += len(gram)
        np.add.at(grams, own, gram)
        np.add.at(scores, own, score)
        is_counted[own] |= has_weight
        n_values += n
    n_samples = int(is_counted.sum())
    if n_samples < 2:
        refuse(
            "data",
            f"at least 2 {cluster}s with a weight above 0, the clusters of the errors",
            f"{n_samples} of {n_clusters}",
        )
    estimate = _Estimate(
        grams[:, is_free][:, :, is_free],
        scores[:, is_free],
        n_values * np.finfo(np.float64).eps
        + (model.n_layers * float(np.finfo(model.dtype).eps)) ** 2
        + (0.0 if unknowns is None else DIFFERENCE_ROUNDING),
        unknowns is not None,
    )
    values = {name: np.asarray(value) for name, value in model.params.items()}
    free = estimate.standard_error(np.eye(int(is_free.sum())))
    errors = np.zeros(len(labels))
    errors[is_free] = free
    labels = [label for label, chosen in zip(labels, is_free, strict=True) if chosen]
    ends = np.cumsum([value.size for value in values.values()])[:-1]
    return StandardErrors(
        labels=tuple(labels),
        values=values,
        standard_errors={
            name: part.reshape(values[name].shape)
            for name, part in zip(values, np.split(errors, ends), strict=True)
        },
        covariance=estimate.covariance,
        undetermined=tuple(estimate.describe(tuple(labels), cluster)),
        n_samples=n_samples,
        newton_step=estimate.newton_step(free),
        _estimate=estimate,
        _is_free=is_free,
        cluster=cluster,
        is_profiled=unknowns is not None,
    )


def _find_free(model: Relaxation, fixed: Mapping[str, ArrayLike] | None) -> NDArray[np.bool_]:
    """Whether the fit could change each number, in the order of the labels."""
    if fixed is not None and not (isinstance(fixed, Mapping) and {*fixed} <= {*model.params}):
        names = ", ".join(model.params)
        refuse("fixed", f"a mapping of names out of {names}", repr(fixed), TypeError)
    parts = []
    for name, value in model.params.items():
        is_fixed = read_array("fixed", (fixed or {}).get(name, False))
        try:
            spread = np.broadcast_to(is_fixed, value.shape)
        except ValueError:
            rule = f"for {name!r} an array of bool that broadcasts to {value.shape}"
            refuse("fixed", rule, f"one of shape {is_fixed.shape}")
        parts.append(~spread.astype(np.bool_).ravel())
    is_free = np.concatenate(parts)
    if not is_free.any():
        refuse("fixed", "a number that was free", "none")
    return is_free


def _gauss_newton(
    model: Relaxation,
    x: Array,
    y: Array,
    weights: Array | None,
    at: list[int],
    threads: int | None,
) -> Iterator[tuple[Field, Field, NDArray[np.bool_], int]]:
    """J^T w J and J^T w r of samples, which have a weight above 0, and the number of these."""
    for jacobian, residual, weight in _blocks(model, x, y, weights, at, threads):
        weighted = jacobian * weight[:, :, np.newaxis]
        yield (
            np.matmul(weighted.transpose(0, 2, 1), jacobian),
            np.einsum("nkp,nk->np", weighted, residual),
            np.asarray(weight.any(axis=1)),
            int(np.count_nonzero(weight)),
        )


def _check_groups(groups: Array | None, n_samples: int) -> tuple[NDArray[np.int64], str]:
    """A number from 0 on for the cluster of each sample, and what one cluster is called."""
    if groups is None:
        return np.arange(n_samples), "sample"
    numbers = read_array("groups", groups)
    if numbers.dtype.kind not in "iu":
        refuse("groups", "an array of whole numbers", f"one of {numbers.dtype}", TypeError)
    check_shape("groups", numbers, (n_samples,))
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64), "group"


class _Estimate:
    """Covariance in the directions that the data determine.

    Parameters are scaled to a unit diagonal of H, and whitened by the eigenvectors of the scaled H
    with eigenvalues above the rounding of its sums and of the sweeps. With `is_scaled`, H is in
    units of stated errors: no variance is smaller than that of H^-1.
    """

    def __init__(
        self, grams: Field, scores: Field, rounding: float, is_scaled: bool = False
    ) -> None:
        hessian = grams.sum(axis=0)
        diagonal = np.diag(hessian)
        self._is_seen = diagonal > 0.0
        self._scale = np.sqrt(np.where(self._is_seen, diagonal, 1.0))
        values, vectors = np.linalg.eigh(hessian / np.multiply.outer(self._scale, self._scale))
        self._tolerance = float(np.sqrt(rounding))
        is_kept = values > rounding * max(values[-1], 1.0)
        self._null = vectors[:, ~is_kept]
        self._whitener = vectors[:, is_kept] / np.sqrt(values[is_kept])
        to_white = self._whitener / self._scale[:, np.newaxis]
        leverages, directions = np.linalg.eigh(to_white.T @ grams @ to_white)
        slack = 1.0 - leverages
        is_free = slack > self._tolerance
        # Directions that one cluster alone determines: its residual there is zero, whatever its
        # error.
        self._blind = np.concatenate(
            [v[:, ~free] for v, free in zip(directions, is_free, strict=True)], axis=1
        )
        factors = np.where(is_free, 1.0 / np.sqrt(np.where(is_free, slack, 1.0)), 0.0)
        white_scores = scores @ to_white
        turned = np.einsum("nij,ni->nj", directions, white_scores) * factors
        adjusted = np.einsum("nij,nj->ni", directions, turned)
        self._covariance = adjusted.T @ adjusted
        if is_scaled:
            variances, axes = np.linalg.eigh(self._covariance)
            self._covariance = (axes * np.maximum(variances, 1.0)) @ axes.T
        self._step = -to_white @ white_scores.sum(axis=0)
        self.covariance: Field = to_white @ self._covariance @ to_white.T

    def standard_error(self, gradients: Field) -> Field:
        """Of quantities with these gradients with respect to the parameters (last axis)."""
        scaled = gradients / self._scale
        white = scaled @ self._whitener
        variances = np.einsum("...i,ij,...j->...", white, self._covariance, white)
        is_open = _leans(scaled, self._null, self._tolerance)
        is_open |= _leans(white, self._blind, self._tolerance)
        return np.where(is_open, np.inf, np.sqrt(np.maximum(variances, 0.0)))

    def newton_step(self, errors: Field) -> float:
        """The largest change of a parameter that one more step would make, in standard errors."""
        moves = np.abs(self._step)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(moves > 0.0, moves / errors, 0.0)
        return float(ratios.max())

    def describe(self, labels: tuple[str, ...], cluster: str) -> Iterator[str]:
        """Combinations of parameters that stay open."""
        for label, is_seen in zip(labels, self._is_seen, strict=True):
            if not is_seen:
                yield f"{label}: the output does not depend on it"
        null = self._null[self._is_seen]
        null = null[:, np.abs(null).max(axis=0, initial=0.0) > self._tolerance]
        seen = [label for label, is_seen in zip(labels, self._is_seen, strict=True) if is_seen]
        for direction in _sparse_basis(null) / self._scale[self._is_seen]:
            yield (
                f"{_combination(direction, seen)}: "
                "a change in this proportion leaves the output as it is"
            )
        if self._blind.size:
            directions = (self._whitener @ self._blind).T / self._scale
            for direction in _sparse_basis(directions.T):
                yield (
                    f"the error of {_combination(direction, list(labels))}: one {cluster} alone "
                    "determines it"
                )


def _leans(gradients: Field, directions: Field, tolerance: float) -> NDArray[np.bool_]:
    """Whether gradients have a part along any of the unit vectors."""
    lengths = np.linalg.norm(gradients, axis=-1)
    parts = np.abs(gradients @ directions).max(axis=-1, initial=0.0)
    return np.asarray(parts > tolerance * lengths)


def _sparse_basis(vectors: Field) -> Field:
    """Rows that span what the columns span, with the unit matrix among their entries."""
    if not vectors.size:
        return np.empty((0, len(vectors)))
    from scipy.linalg import qr

    _, r, pivots = qr(vectors.T, mode="economic", pivoting=True)
    rank = int(np.count_nonzero(np.abs(np.diag(r)) > 1e-6 * abs(r[0, 0])))
    rows = np.linalg.solve(r[:rank, :rank], r[:rank])
    basis = np.empty_like(rows)
    basis[:, pivots] = rows
    return basis


def _combination(direction: Field, labels: Sequence[str]) -> str:
    """A direction in words, its largest part being 1."""
    direction = direction / direction[np.argmax(np.abs(direction))]
    parts = [
        f"{weight:.3g} {label}"
        for weight, label in zip(direction, labels, strict=True)
        if abs(weight) > LEAST_PART
    ]
    return " : ".join(parts) if len(parts) > 1 else parts[0].removeprefix("1 ")


def _blocks(
    model: Relaxation,
    x: Array,
    y: Array,
    weights: Array | None,
    at: list[int],
    threads: int | None,
) -> Iterator[tuple[Field, Field, Field]]:
    """Jacobian (n, values, p), residual and weight (n, values) of some samples after the others."""
    cells = model.output_shape
    shape = (len(x), len(at), *cells)
    target = np.asarray(y).reshape(shape)
    # Weights of one field hold for all samples and layers, those of the target's shape stand apart.
    weight = np.broadcast_to(
        np.ones(())
        if weights is None
        else weights
        if weights.shape == cells
        else weights.reshape(shape),
        shape,
    )
    if model.grid.mask is not None:
        weight = np.where(model.grid.mask, weight, 0.0)
    tangents = [
        (name, index) for name, array in model.params.items() for index in np.ndindex(array.shape)
    ]
    n_values = int(np.prod(shape[1:]))
    size = max(1, JACOBIAN_BYTES // (8 * n_values * len(tangents)))
    for begin in range(0, len(x), size):
        part = np.ascontiguousarray(x[begin : begin + size])
        n = len(part)
        jacobian = np.zeros((n, len(at), *cells, len(tangents)))
        states = np.empty((n, len(at), *cells))
        for k, layer in enumerate(at):
            network = model._until(layer)
            states[:, k] = network(part, threads=threads)
            for i, (name, index) in enumerate(tangents):
                direction = np.zeros(model.params[name].shape, model.dtype)
                direction[index] = 1
                jacobian[:, k, ..., i] = network.jvp(part, {name: direction}, threads=threads)
        chosen = slice(begin, begin + n)
        is_read = weight[chosen] > 0.0
        residual = np.where(is_read, states - target[chosen], 0.0)
        if not (np.isfinite(residual).all() and np.isfinite(jacobian).all()):
            refuse("data", "inputs that the model answers with finite numbers", "an overflow")
        yield (
            jacobian.reshape(n, n_values, -1),
            residual.reshape(n, n_values),
            np.asarray(weight[chosen], np.float64).reshape(n, n_values),
        )


def _labels(model: Relaxation, name: str) -> Iterator[str]:
    """A name for each number of a parameter that is no field."""
    parameter = model._parameters[name]
    components = model.operator.components().get(name)
    if components is not None:
        labels = [component.label for component in components]
    else:
        n = math.prod(parameter.shape[parameter.is_layered :])
        labels = [name] if n == 1 else [f"{name} {i}" for i in range(n)]
    for layer in range(model.n_layers if parameter.is_layered else 1):
        for label in labels:
            yield f"{label} (layer {layer})" if parameter.is_layered else label
