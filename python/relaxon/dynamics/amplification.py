"""What a layer multiplies waves by: the symbol of W, slope and theta included.

With the weights w_j of the stencil, W^(k) = sum_j w_j exp(i j.k), for ADR

    W^(k) = 1 + R - i sum_a u_a sin k_a - 2 sum_a d_aa (1 - cos k_a)
            - 2 sum_{a<b} D_ab sin k_a sin k_b,

and for a wave exp(i k.q) about a state where f has the slope s, l = s W^(k) - 1:

    G(k) = (1 + omega (1 - theta) l) / (1 - omega theta l)

References: J. G. Charney, R. Fjortoft, J. von Neumann, Tellus 2 (1950) 237-254.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._core import slope_at_zero, slope_range
from ..base.validate import check_instance, refuse
from ..model.lattice import Lattice
from ..model.network import Network
from ..model.relaxation import Relaxation
from .certificate import describe_place
from .stencils import Arms, stencil_arms

__all__ = ["Amplification", "amplification", "typical_slope", "why_no_amplification"]

Field = NDArray[np.float64]
Waves = NDArray[np.complex128]

# Per axis, where the grid does not say which waves there are.
POINTS = 129
# Values of G: about 20 s, and those that are kept.
MOST_VALUES = 1_000_000_000
MOST_KEPT = 2**25
CHUNK_WAVES, CHUNK_SETS = 2**12, 2**5


@dataclass(frozen=True, eq=False)
class Amplification:
    """The factors by which a layer multiplies waves.

    Attributes
    ----------
    wavenumbers : ndarray of float64, shape (*waves, ndim)
        k along every axis in radians per cell.
    factor : ndarray of complex128, shape waves or (L, *waves), or None
        G, per layer where layers differ. None where cells differ, and above 2^25 numbers.
    modulus : ndarray of float64, shape waves
        |G|, the largest of all layers and cells.
    largest : float
        The largest modulus.
    layer, cell : int or None, tuple of int or None
        Where that is; None where they are all alike.
    wavenumber : tuple of float
        k there.
    layers : ndarray of float64, shape () or (L,)
        The largest modulus of every layer.
    slope : float
        s, f'(0); for relu, whose slope there is that of neither side, 1.
    is_exact : bool
        Whether the factors are the eigenvalues of a layer: those of a homogeneous operator at the
        wave numbers 2 pi m / n of a grid that is periodic along all axes. Else they are those of an
        infinite lattice at 129 wave numbers along every axis from -pi to pi.

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=4, activation="identity", omega=1.0)
    >>> model = model.with_params({"R": np.array(0.0), "U": np.zeros(1), "D": np.array([0.75])})
    >>> waves = rx.amplification(model)
    >>> waves.largest, waves.wavenumber == (np.pi,), waves.is_exact
    (2.0, True, True)
    """

    wavenumbers: Field
    factor: Waves | None
    modulus: Field
    largest: float
    layer: int | None
    cell: tuple[int, ...] | None
    wavenumber: tuple[float, ...]
    layers: Field
    slope: float
    is_exact: bool

    def __str__(self) -> str:
        lengths = [f"{2.0 * math.pi / abs(k):.3g}" if k else "infinite" for k in self.wavenumber]
        wave = (
            f"a wave of length {' x '.join(lengths)} cells" if any(self.wavenumber) else "the mean"
        )
        place = describe_place(self.layer, self.cell)
        where = f" ({place})" if place else ""
        return f"largest amplification {self.largest:.6g}, of {wave}{where}, slope {self.slope:g}"


def typical_slope(activation: str) -> float:
    """f'(0), or where that is 0 the largest slope; infinite where there is none."""
    return slope_at_zero(activation) or slope_range(activation)[1]


def why_no_amplification(model: Network, most_values: int = MOST_VALUES) -> str:
    """Why a model's layers have no factor for waves; empty where they have."""
    if not math.isfinite(typical_slope(model.activation)):
        return f"no amplification: f'(0) = 0 for {model.activation}, and no slope is the largest"
    lattice = Lattice(model)
    if stencil_arms(model.operator, lattice) is None:
        kind = type(model.operator).__name__
        return f"no amplification: waves are no eigenvectors of {kind}, which is no stencil"
    n_sets = math.prod(_sets_of(lattice))
    waves = POINTS**model.grid.ndim
    if not _is_exact(lattice) and n_sets * waves > most_values:
        return (
            f"no amplification: {n_sets} sets of coefficients at {waves} wave numbers are too many "
            f"(a model of fewer cells or layers has it)"
        )
    return ""


def amplification(model: Relaxation) -> Amplification:
    """The factors by which the layers of a model multiply waves.

    G(k) = (1 + omega (1 - theta) l) / (1 - omega theta l), l = s W^(k) - 1, with the symbol W^ of
    the stencil and the slope s = f'(0): frozen coefficients, where these differ between cells.

    Parameters
    ----------
    model : Relaxation
        A model of a stencil operator.

    Returns
    -------
    Amplification
        Factors, the largest of them, and where it is.

    Raises
    ------
    TypeError, ValueError
        If `model` is none, its operator no stencil, its activation square, or the waves are too
        many (a billion of them, over all cells and layers).

    Notes
    -----
    Two multiplications and additions per arm, wave, cell and layer. Bias, boundaries, mask and beta
    do not count. Frozen factors are neither necessary nor sufficient for what the network does:
    :func:`relaxon.stability` tells what is.

    References
    ----------
    J. G. Charney, R. Fjortoft, J. von Neumann, Tellus 2 (1950) 237-254.

    Examples
    --------
    The trapezoidal rule leaves short waves undamped, the backward Euler step does not:

    >>> import numpy as np, relaxon as rx
    >>> params = {"R": np.array(0.0), "U": np.zeros(1), "D": np.array([100.0])}
    >>> def shortest(theta):
    ...     op = rx.ADR(rx.Grid((16,)))
    ...     model = rx.Relaxation(op, depth=1, activation="identity", theta=theta)
    ...     return float(rx.amplification(model.with_params(params)).factor[8].real)
    >>> round(shortest(0.5), 2), round(shortest(1.0), 3)
    (-0.98, 0.005)
    """
    check_instance("model", model, Relaxation)
    reason = why_no_amplification(model)
    if reason:
        refuse(
            "model", "one whose layers multiply waves", reason.removeprefix("no amplification: ")
        )
    lattice = Lattice(model)
    arms = stencil_arms(model.operator, lattice)
    assert arms is not None
    sets = _sets_of(lattice)
    offsets, even, odd = _pair_arms(arms, sets)
    slope = typical_slope(model.activation)
    even, odd = slope * even, slope * odd
    omega = np.broadcast_to(lattice.omega, sets).ravel()
    is_exact = _is_exact(lattice)
    wavenumbers = _wavenumbers(model.grid.shape, is_exact)
    waves = wavenumbers.reshape(-1, wavenumbers.shape[-1])
    exists = _existing_sets(lattice, sets)
    keeps = not lattice.is_spread and omega.size * len(waves) <= MOST_KEPT
    factor = np.empty((omega.size if keeps else 0, len(waves)), np.complex128)
    modulus = np.zeros(len(waves))
    peaks = np.zeros(omega.size)
    peak, best = -1.0, (0, 0)
    # G(-k) is the conjugate of G(k), and the infinite lattice has both.
    start = 0 if is_exact else len(waves) // 2
    for some_waves in _pieces(start, len(waves), CHUNK_WAVES):
        phase = offsets @ waves[some_waves].T
        cosine, sine = np.cos(phase), np.sin(phase)
        for some_sets in _pieces(0, exists.size, CHUNK_SETS):
            chosen = exists[some_sets]
            rate = omega[chosen, np.newaxis]
            # By BLAS the bits would depend on its threads.
            real = np.einsum("as,aw->sw", even[:, chosen], cosine) - 1.0
            imaginary = np.einsum("as,aw->sw", odd[:, chosen], sine)
            size = _modulus(real, imaginary, rate, model.theta)
            if keeps:
                growth = real + 1j * imaginary
                factor[chosen, some_waves] = _factor(growth, rate, model.theta)
            modulus[some_waves] = np.maximum(modulus[some_waves], size.max(axis=0))
            peaks[chosen] = np.maximum(peaks[chosen], size.max(axis=1))
            row, column = divmod(int(size.argmax()), size.shape[1])
            if size[row, column] > peak:
                peak = float(size[row, column])
                best = (int(chosen[row]), some_waves.start + column)
    modulus[:start] = modulus[::-1][:start]
    factor[:, :start] = factor[:, ::-1][:, :start].conj()
    layer, *cell = np.unravel_index(best[0], sets)
    layers = peaks.reshape(sets[0], -1).max(axis=1)
    lead = () if lattice.n_layers is None else (sets[0],)
    shape = wavenumbers.shape[:-1]
    return Amplification(
        wavenumbers=wavenumbers,
        factor=factor.reshape(*lead, *shape) if keeps else None,
        modulus=modulus.reshape(shape),
        largest=peak,
        layer=None if lattice.n_layers is None else int(layer),
        cell=tuple(map(int, cell)) if lattice.is_spread else None,
        wavenumber=tuple(map(float, waves[best[1]])),
        layers=layers.reshape(lead),
        slope=slope,
        is_exact=is_exact,
    )


def _pair_arms(arms: Arms, sets: tuple[int, ...]) -> tuple[Field, Field, Field]:
    """Offsets of arms and their opposites once each; sum and difference of the two weights.

    Sum w_j exp(i j.k) is the sum of the former times cos j.k, and i times the latter times sin j.k.
    """
    pairs: dict[tuple[int, ...], list[Field]] = {}
    for offset, weight in arms:
        opposite = tuple(-j for j in offset)
        spread = np.broadcast_to(weight, sets).ravel()
        even, odd = pairs.setdefault(max(offset, opposite), [np.zeros(spread.size)] * 2)
        sign = 1.0 if offset >= opposite else -1.0
        pairs[max(offset, opposite)] = [even + spread, odd + sign * spread]
    even, odd = (np.stack([pair[i] for pair in pairs.values()]) for i in range(2))
    return np.array(list(pairs), np.float64), even, odd


def _factor(growth: Waves, rate: Field, theta: float) -> Waves:
    with np.errstate(divide="ignore", invalid="ignore"):
        explicit = 1.0 + rate * (1.0 - theta) * growth
        return explicit / (1.0 - rate * theta * growth) if theta else explicit


def _modulus(real: Field, imaginary: Field, rate: Field, theta: float) -> Field:
    """That of the factor, where l = real + i imaginary; infinite where a layer has no solution."""
    explicit, implicit = rate * (1.0 - theta), rate * theta
    square = (1.0 + explicit * real) ** 2 + (explicit * imaginary) ** 2
    if theta:
        with np.errstate(divide="ignore", invalid="ignore"):
            square /= (1.0 - implicit * real) ** 2 + (implicit * imaginary) ** 2
        np.nan_to_num(square, copy=False, nan=np.inf, posinf=np.inf)
    return np.asarray(np.sqrt(square))


def _is_exact(lattice: Lattice) -> bool:
    grid = lattice.grid
    is_ring = all(low == high == "periodic" for low, high in grid.boundary)
    return is_ring and grid.mask is None and not lattice.is_spread


def _sets_of(lattice: Lattice) -> tuple[int, ...]:
    space = lattice.grid.shape if lattice.is_spread else (1,) * lattice.grid.ndim
    return (lattice.n_layers or 1, *space)


def _existing_sets(lattice: Lattice, sets: tuple[int, ...]) -> NDArray[np.intp]:
    exists = np.ones(sets, np.bool_)
    if lattice.is_spread and lattice.grid.mask is not None:
        exists &= lattice.grid.mask
    return np.flatnonzero(exists)


def _wavenumbers(shape: tuple[int, ...], is_exact: bool) -> Field:
    if is_exact:
        axes = [2.0 * np.pi * np.arange(n) / n for n in shape]
    else:
        axes = [np.linspace(-np.pi, np.pi, POINTS)] * len(shape)
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def _pieces(start: int, stop: int, length: int) -> Iterator[slice]:
    for begin in range(start, stop, length):
        yield slice(begin, min(begin + length, stop))
