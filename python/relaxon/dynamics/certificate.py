"""Contraction that holds for every state: from the rows of W and the slopes of the activation.

With slopes of f between lo and hi, p_i = A_ii and q_i = sum_{j != i} |A_ij|, e = omega (1 - theta):

    mu_i      = max over phi in {lo, hi} of phi p_i + |phi| q_i,      mu = max mu_i
    factor    = max_i max_phi (|1 - e_i + e_i phi p_i| + e_i |phi| q_i)
                / min_i (1 + omega_i theta (1 - mu_i))
    omega_max = 1 / (1 - min(0, min_i min_phi phi p_i))

For theta = 0 `factor` is the largest max-norm of a layer's Jacobian over all slopes in that box,
else an upper bound of it. It is 1 - omega (1 - mu) for omega <= omega_max.

References: S. Jafarpour, A. Davydov, A. Proskurnikov, F. Bullo, NeurIPS 2021, arXiv:2106.03194.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._core import slope_range
from ..base.validate import check_number, refuse
from ..model.network import Network
from .matrices import layer_rates, layer_rows, place_of

__all__ = ["Certificate", "certify", "why_no_certificate"]

Field = NDArray[np.float64]


@dataclass(frozen=True)
class Certificate:
    """What a network's layers do to the distance of any two states, in the largest difference.

    Where `is_certified` is true and all layers share one operator, there is exactly one attractor
    z* = f(W z* - b), and max|z_{l+1} - z*| <= factor max|z_l - z*| from every state. The distance
    to it is at most max|z - f(W z - b)| / (1 - mu).

    Attributes
    ----------
    mu : float
        Largest one-sided growth rate of f(W z - b); below 1 there is one attractor. The largest of
        all layers where these differ.
    factor : float
        Largest factor of a layer; infinite where an implicit layer may have no solution.
    omega_max : float
        Up to this omega an explicit layer contracts by 1 - omega (1 - mu).
    layer : int or None
        Where the largest factor is; None where all layers are alike.
    cell : tuple of int
        Likewise.
    is_layered : bool
        Whether layers have operators of their own: they then share no attractor, and `factor` holds
        for the distance of two states.

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> op = rx.ADR(rx.Grid((64,)))
    >>> model = rx.Relaxation(op, depth=10, activation="identity", omega=0.5)
    >>> model = model.with_params({"R": np.array(-0.2), "U": np.zeros(1), "D": np.array([0.25])})
    >>> certificate = rx.stability(model).certificate
    >>> certificate.is_certified, round(certificate.mu, 12), round(certificate.factor, 12)
    (True, 0.8, 0.9)
    >>> certificate.layers_per_decade, certificate.depth(1e-6, residual=1.0)
    (22, 147)
    """

    mu: float
    factor: float
    omega_max: float
    layer: int | None
    cell: tuple[int, ...]
    is_layered: bool

    @property
    def is_certified(self) -> bool:
        """Whether mu and factor are below 1."""
        return self.mu < 1.0 and self.factor < 1.0

    @property
    def layers_per_decade(self) -> int:
        """Layers that bring states ten times closer to each other; refused where not certified."""
        self._check()
        return math.ceil(math.log(10.0) / -math.log(self.factor)) if self.factor > 0.0 else 1

    def depth(self, tolerance: float, residual: float) -> int:
        """Layers after which the attractor is near, whatever the state is like.

        L = ceil(log(tolerance (1 - mu) / residual) / log factor), so that max|z_L - z*| is at most
        `tolerance`.

        Parameters
        ----------
        tolerance : float
            Largest difference that may be left, above 0.
        residual : float
            max|z_0 - f(W z_0 - b)| of the first state.

        Returns
        -------
        int
            At least 0.

        Raises
        ------
        TypeError, ValueError
            If a number is out of range, or nothing is certified.

        Examples
        --------
        >>> import relaxon as rx
        >>> model = rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=2, activation="logistic")
        >>> rx.stability(model).certificate.depth(1e-3, residual=1.0)
        16
        """
        tolerance = check_number("tolerance", tolerance, 0.0, is_open=True)
        residual = check_number("residual", residual, 0.0)
        self._check()
        if self.is_layered:
            rule = "a certificate of layers that share one operator"
            fix = "states of others approach each other, but no attractor"
            refuse("self", rule, "one of layered coefficients", fix=fix)
        distance = residual / (1.0 - self.mu)
        if distance <= tolerance:
            return 0
        if self.factor == 0.0:
            return 1
        return math.ceil(math.log(tolerance / distance) / math.log(self.factor))

    def _check(self) -> None:
        if not self.is_certified:
            rule = "a certificate with mu and factor below 1"
            refuse("self", rule, f"mu = {self.mu:.6g}, factor = {self.factor:.6g}")

    def __str__(self) -> str:
        numbers = f"mu = {self.mu:.6g}, factor = {self.factor:.6g}"
        if not self.is_certified:
            place = describe_place(self.layer, self.cell)
            if self.mu < 1.0 and not self.is_layered:
                return (
                    f"there is one attractor, mu = {self.mu:.6g}; that layers lead to it is not "
                    f"certified: factor = {self.factor:.6g} ({place}), which has to be below 1"
                )
            return f"not certified: {numbers} ({place}); both have to be below 1"
        near = "each other" if self.is_layered else "the attractor"
        decade = f"{self.layers_per_decade} layers bring states ten times nearer to {near}"
        return f"certified: {numbers}; {decade}"


def why_no_certificate(model: Network) -> str:
    """Why slopes and rows say nothing of a model's layers; empty where they do."""
    if not math.isfinite(slope_range(model.activation)[1]):
        return f"no certificate: the slopes of {model.activation} have no bound"
    if model.beta:
        return "no certificate: the soft normalisation (beta) couples all cells"
    return ""


def certify(model: Network) -> Certificate | None:
    """The certificate of a model.

    Parameters
    ----------
    model : Network
        Any model; a lift and a readout do not count.

    Returns
    -------
    Certificate or None
        None where :func:`why_no_certificate` says why.

    Notes
    -----
    One pass over the entries of W, of every layer that has its own; no layer is evaluated. In
    double precision, whatever the model's.
    """
    if why_no_certificate(model):
        return None
    theta = model.theta
    slopes = np.array(slope_range(model.activation))[:, np.newaxis]
    found = []
    for rate, (own, others) in zip(layer_rates(model), layer_rows(model), strict=True):
        explicit = rate * (1.0 - theta)
        pull = slopes * own
        growth = (pull + np.abs(slopes) * others).max(axis=0)
        reach = np.abs(1.0 - explicit + explicit * pull) + explicit * np.abs(slopes) * others
        reach = reach.max(axis=0)
        hold = 1.0 + rate * theta * (1.0 - growth)
        least = float(hold.min())
        factor = float(reach.max()) / least if least > 0.0 else math.inf
        # Without explicit part all cells reach alike.
        worst = int(reach.argmax()) if theta < 1.0 else int(hold.argmin())
        found.append((float(growth.max()), factor, 1.0 - min(0.0, float(pull.min())), worst))
    layer = max(range(len(found)), key=lambda index: found[index][1])
    return Certificate(
        mu=max(entry[0] for entry in found),
        factor=found[layer][1],
        omega_max=1.0 / max(entry[2] for entry in found),
        layer=layer if len(found) > 1 else None,
        cell=place_of(model, found[layer][3]),
        is_layered=model.operator.is_layered,
    )


def describe_place(layer: int | None, cell: tuple[int, ...] | None) -> str:
    """In words: "layer 3, cell (4, 5)"; empty where there is nothing to tell apart."""
    parts = [] if layer is None else [f"layer {layer}"]
    if cell is not None:
        parts.append(f"cell {cell[0] if len(cell) == 1 else cell}")
    return ", ".join(parts)
