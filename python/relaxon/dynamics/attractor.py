"""Where the layers of a model lead: the states z* = f(W z* - b) that a layer leaves as they are."""

from __future__ import annotations

import dataclasses
import enum
import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..base.cached import cached_property
from ..base.validate import check_finite, check_instance, check_shape, check_states, refuse
from ..model.dynamics import METHODS, AtAttractor, check_options
from ..model.relaxation import Relaxation
from .certificate import Certificate, certify
from .spectrum import spectral_radii

__all__ = ["Attractor", "AttractorStatus", "attractor"]

Array = NDArray[Any]

# Layers after a Newton search, from beside its end, that must not lead away, and by how much they
# may: from the end itself there would be nothing but rounding that grows.
WATCHED_LAYERS = 16
TRANSIENT = 4.0


class AttractorStatus(enum.IntEnum):
    """How the search for one sample's attractor ended.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.AttractorStatus.CONVERGED.value
    0
    """

    CONVERGED = 0
    MAX_ITERATIONS = 1
    STALLED = 2
    SINGULAR = 3
    DIVERGED = 4


_ENDS = {
    AttractorStatus.CONVERGED: "converged",
    AttractorStatus.MAX_ITERATIONS: "no convergence within max_iterations",
    AttractorStatus.STALLED: "no step lowers the residual",
    AttractorStatus.SINGULAR: "the Jacobian has no inverse",
    AttractorStatus.DIVERGED: "numbers are not finite",
}


@dataclass(frozen=True, eq=False)
class Attractor:
    """What a search for attractors found; every sample has a status of its own.

    Attributes
    ----------
    z : ndarray, shape (batch, *grid.shape) or grid.shape
        The iterates of least residual: the attractors, where converged.
    residual : ndarray of float64, shape (batch,) or ()
        max |z - f(W z - b)|, with drive max |z - f(W z - b + x)|.
    iterations : ndarray of int64, shaped as `residual`
        Newton steps, or layers.
    status : ndarray of int64, shaped as `residual`
        Values of :class:`AttractorStatus`.
    at_floor : ndarray of bool, shaped as `residual`
        Where the tolerance is below what rounding leaves, and this was taken in its place.
    method : str
        The method that was taken.
    history : tuple of ndarray
        Residuals of all iterates, one array for each sample.
    model : Relaxation
        The model.

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> op = rx.ADR(rx.Grid((64,)))
    >>> model = rx.Relaxation(op, 10, bias="homogeneous", activation="identity", omega=0.25)
    >>> params = {"R": np.array(-0.5), "U": np.zeros(1), "D": np.ones(1), "bias": np.array(0.25)}
    >>> found = rx.attractor(model.with_params(params), np.zeros(64))
    >>> found.success, float(found.z[0]), bool(found.is_stable)
    (True, -0.5, True)
    """

    z: Array
    residual: NDArray[np.float64]
    iterations: NDArray[np.int64]
    status: NDArray[np.int64]
    at_floor: NDArray[np.bool_]
    method: str
    history: tuple[NDArray[np.float64], ...]
    model: Relaxation
    _source: Array | None = field(repr=False)

    @property
    def success(self) -> bool:
        """Whether all searches converged."""
        return bool(np.all(self.status == AttractorStatus.CONVERGED))

    @property
    def message(self) -> str:
        """How they ended, in words."""
        ends, counts = np.unique(self.status, return_counts=True)
        parts = []
        for end, count in zip(ends, counts, strict=True):
            text = _ENDS[AttractorStatus(end)]
            parts.append(text if len(ends) == 1 else f"{count} of {self.status.size}: {text}")
        at_floor = int(np.count_nonzero(self.at_floor))
        if at_floor:
            worst = float(np.max(self.residual[self.at_floor]))
            parts.append(f"{at_floor} at the floor of rounding, residual {worst:.2g}")
        return "; ".join(parts)

    @cached_property
    def certificate(self) -> Certificate | None:
        """What is known without any search; found when it is first asked for.

        Certified models have one attractor. None where slopes have no bound.
        """
        return certify(self.model)

    @property
    def error_bound(self) -> NDArray[np.float64] | None:
        """At most max |z - z*|: residual / (1 - mu); None without a certificate."""
        if self.certificate is None or not self.certificate.mu < 1.0:
            return None
        return self.residual / (1.0 - self.certificate.mu)

    @property
    def is_stable(self) -> NDArray[np.bool_]:
        """Where small deviations fade, spectral radius below 1: only these are attractors."""
        stable: NDArray[np.bool_] = np.asarray(self.spectral_radius() < 1.0)
        return stable

    def spectral_radius(self) -> NDArray[np.float64]:
        """Largest modulus of the eigenvalues of a layer's Jacobian at every z.

        That of 1 - omega + omega F' A, F' the slopes f' there; of implicit layers accordingly.

        Returns
        -------
        ndarray of float64, shaped as `residual`
            NaN where z is not finite, or Arnoldi's method does not converge.

        Notes
        -----
        All eigenvalues up to 200 existing cells, else the largest by Arnoldi's method. Found once.
        """
        return self._radii

    def _first(self, n: int) -> Attractor:
        """The same of the first samples alone; of one without a batch itself."""
        if self.residual.ndim == 0:
            return self
        names = ("z", "residual", "iterations", "status", "at_floor", "history")
        cut: dict[str, Any] = {name: getattr(self, name)[:n] for name in names}
        source = None if self._source is None else self._source[:n]
        return dataclasses.replace(self, **cut, _source=source)

    @cached_property
    def _radii(self) -> NDArray[np.float64]:
        mask = self.model.grid.mask
        exists: Any = slice(None) if mask is None else np.asarray(mask).ravel()
        is_finite = np.asarray(np.isfinite(self.z).reshape(self.residual.size, -1).all(axis=1))
        radii = np.full(self.residual.size, np.nan)
        # Where f is the identity all have the same slopes.
        known: dict[bytes, float] = {}
        for sample, slope in enumerate(_slopes(self).astype(np.float64)):
            own = slope[exists]
            key = own.tobytes()
            if is_finite[sample] and key not in known:
                known[key] = float(spectral_radii(self.model, own)[0])
            radii[sample] = known[key] if is_finite[sample] else np.nan
        return radii.reshape(self.residual.shape)


def attractor(
    model: Relaxation,
    x: Array,
    start: Array | None = None,
    method: str | None = None,
    tol: float | None = None,
    max_iterations: int | None = None,
    threads: int | None = None,
) -> Attractor:
    """Where the layers of a model lead: z* = f(W z* - b), with drive z* = f(W z* - b + x).

    Parameters
    ----------
    model : Relaxation
        A model of constant coefficients, of any depth, without beta, normalization and lift; omega
        a number.
    x : array of the model's type, shape (batch, *grid.shape) or grid.shape
        The states to start from; with drive the sources.
    start : array, optional
        Where to start, shaped as x. Default: x, with drive zero. A model with a certificate
        (:func:`stability`) has one attractor, and starts from zero where that is nearer.
    method : {"auto", "newton", "anderson", "relaxation"}, optional
        "newton": damped Newton steps, by LU inside the band on lines, BiCGSTAB on planes and in
        volumes, LU of full matrices and of linear equations; where none lowers the residual,
        implicit steps that follow the relaxation. "anderson": mixing of the last five layers.
        "relaxation": the layers themselves, slowly, but into the attractor in whose basin the start
        is. "auto": Newton's, for full matrices of more than 2000 cells Anderson's. Default: the
        model's, if its depth is "attractor", else "auto".
    tol : float, optional
        A search ends where max |F| <= tol max(1, max |z|), F = z - f(W z - b), or where rounding
        leaves no less. Default: 1e-10, in float32 1e-5.
    max_iterations : int, optional
        Default: 200 Newton steps, 5000 of Anderson's, 100 000 layers.
    threads : int, optional
        As for a call of the model; samples are shared among them.

    Returns
    -------
    Attractor
        With a status for every sample; no search raises.

    Raises
    ------
    TypeError, ValueError
        If the model has no attractor of this kind, or an argument another type or shape.

    Warns
    -----
    RuntimeWarning
        If Newton's method ended, without a certificate, where layers lead away from.

    Notes
    -----
    Newton's method and Anderson's also find unstable states, which are no attractors: see
    :attr:`Attractor.is_stable`. Bits of a sample do not depend on the others, but for full
    matrices.

    References
    ----------
    S. Succi, MEMOCS 13 (2025) 275-286, secs. 3 and 4. H. F. Walker, P. Ni, SIAM J. Numer. Anal. 49
    (2011) 1715-1735.

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> op = rx.ADR(rx.Grid((64,)))
    >>> model = rx.Relaxation(op, depth="attractor", drive=True)
    >>> model = model.with_params({"R": np.array(-0.1), "U": np.zeros(1), "D": np.full(1, 100.0)})
    >>> found = rx.attractor(model, np.sin(np.arange(64.0)))
    >>> found.message, found.method
    ('converged', 'newton')
    """
    search = _settings(model, method, tol, max_iterations)
    states = _check_states("x", x, model)
    if start is None:
        start = np.zeros_like(states) if model.drive else states
    else:
        start = _check_states("start", start, model)
        check_shape("start", start, states.shape)
    source = states if model.drive else None
    z = np.empty_like(start)
    n_threads = model._n_threads(threads, model._batch(states))
    found = _find(model, search, source, start, z, None, n_threads)
    status, iterations, residual, at_floor, methods, histories, mu, omega_max = found
    result = Attractor(
        z=_without_gaps(z, model),
        residual=residual.reshape(model._lead(states)),
        iterations=iterations.reshape(model._lead(states)),
        status=status.reshape(model._lead(states)),
        at_floor=at_floor.reshape(model._lead(states)),
        method=METHODS[int(methods[0])],
        history=tuple(histories),
        model=model,
        _source=source,
    )
    # At depth "attractor" there are no layers of a given omega that could miss it.
    is_led = mu < 1.0 and (model.is_at_attractor or float(model.omega) <= omega_max)
    if not is_led:
        _warn_of_unstable(result, n_threads)
    return result


def _settings(
    model: Relaxation, method: str | None, tol: float | None, max_iterations: int | None
) -> AtAttractor:
    """The search that is asked for, the model's own where nothing else is said."""
    check_instance("model", model, Relaxation)
    if model.operator.is_layered:
        fix = "layers with coefficients of their own share no attractor"
        refuse("model", "one of constant coefficients", "a layered operator", fix=fix)
    if model.beta:
        refuse("model", "one with beta=0, whose layers act on cells alone", f"beta={model.beta:g}")
    if model.normalization:
        rule = "one without normalization, whose layers act on cells alone"
        refuse("model", rule, f"normalization={model.normalization!r}")
    if model.omega.ndim > 0:
        refuse("model", "one with a number omega", f"omega of shape {model.omega.shape}")
    if model.lift is not None:
        fix = "a model without ends takes states"
        refuse("model", "one without a lift", repr(model.lift), fix=fix)
    own = model._dynamics
    options: dict[str, Any] = {"method": "auto", "tol": None, "max_iterations": None}
    if isinstance(own, AtAttractor):
        options = {name: getattr(own, name) for name in options}
    given = {"method": method, "tol": tol, "max_iterations": max_iterations}
    options |= check_options("", {name: v for name, v in given.items() if v is not None})
    search = AtAttractor.of_options(model.drive, options)
    if search.method == "relaxation" and model.theta:
        fix = "a model with theta=0 has the same attractors"
        rule = "another one than 'relaxation', which takes explicit layers"
        refuse("method", rule, f"theta={model.theta:g}", fix=fix)
    return search


def _check_states(argument: str, states: Any, model: Relaxation) -> Array:
    array = check_states(argument, states, model.grid.shape, model.dtype)
    check_finite(argument, array, model.grid.mask)
    return array


def _without_gaps(states: Array, model: Relaxation) -> Array:
    """States with zeros on masked cells, where the caller's may be anything."""
    mask = model.grid.mask
    return states if mask is None else np.where(mask, states, model.dtype.type(0))


def _find(
    model: Relaxation,
    search: AtAttractor | _core.Attractor,
    source: Array | None,
    start: Array,
    z: Array,
    slopes: Array | None,
    threads: int,
) -> tuple[Any, ...]:
    """Status, iterations, residual, whether at the floor, method and history of every sample.

    Last mu and omega_max of the certificate, no numbers where there is none.
    """
    if isinstance(search, AtAttractor):
        search = search._make_core("scalar", model.dtype)
    network = model.operator._core_network(
        search, model.dtype, activation=model.activation, bias=model.bias or "none"
    )
    arrays = {**model.params, "omega": model.omega}
    own = [arrays[array.name] for array in network.arrays]
    sources = None if source is None else _without_gaps(source, model)
    starts = _without_gaps(start, model)
    found: tuple[Any, ...] = network.find_attractors(
        own, sources, starts, z, slopes, slopes is None, threads
    )
    return found


def _slopes(result: Attractor) -> Array:
    """F' of W z - b at the states that were found, one row for each sample."""
    model = result.model
    slopes, z = np.empty_like(result.z), np.empty_like(result.z)
    _find(model, _layers(model, 1), result._source, result.z, z, slopes, 1)
    return slopes.reshape(-1, math.prod(model.grid.shape))


def _layers(model: Relaxation, n: int) -> _core.Attractor:
    """So many layers, whatever they lead to."""
    return _core.Attractor("scalar", model.drive, "relaxation", -1.0, n)


def _warn_of_unstable(result: Attractor, threads: int) -> None:
    """Layers lead to attractors; where they lead away, it is none."""
    model = result.model
    if result.method != "newton" or model.theta:
        return
    if not model.is_at_attractor and result.certificate and result.certificate.is_certified:
        return
    converged = result.status == AttractorStatus.CONVERGED
    if not converged.any():
        return
    z = np.empty_like(result.z)
    search = _layers(model, WATCHED_LAYERS)
    beside = _beside(result)
    histories = _find(model, search, result._source, beside, z, None, threads)[5]
    grown = np.array([h[-1] > TRANSIENT * h[0] for h in histories])
    is_left = grown.reshape(converged.shape) & converged
    if is_left.any():
        sample = int(np.flatnonzero(is_left)[0])
        warnings.warn(
            f"layers lead away from the state that was found for sample {sample}"
            f"{_others(int(is_left.sum()) - 1)}: it is no attractor (is_stable tells); "
            f"method='relaxation' stays in the basin of the start",
            RuntimeWarning,
            stacklevel=3,
        )


def _beside(result: Attractor) -> Array:
    """The states that were found, moved by half of their digits, each cell up or down."""
    shape = result.model.grid.shape
    z = result.z.reshape(-1, *shape)
    sizes = np.maximum(1.0, np.abs(z).reshape(len(z), -1).max(axis=1))
    moves = math.sqrt(np.finfo(z.dtype).eps) * np.random.default_rng(0).choice([-1.0, 1.0], shape)
    moved = z + np.multiply.outer(sizes, moves)
    return np.asarray(moved.reshape(result.z.shape).astype(z.dtype, copy=False))


def _others(count: int) -> str:
    return f" and {count} others" if count else ""
