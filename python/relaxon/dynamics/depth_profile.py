"""What each further layer is worth: loss, distance from equilibrium and size of every state."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..base.figure import make_figure
from ..base.validate import check_instance, check_threads, refuse
from ..model.losses import CrossEntropy, Distance, SquaredDistance
from ..model.relaxation import Relaxation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DepthProfile", "depth_profile", "residual"]

Array = NDArray[Any]
Numbers = NDArray[np.float64]

# Of all states of the samples that are looked at together.
MOST_BYTES = 1 << 26


@dataclasses.dataclass(frozen=True, eq=False)
class DepthProfile:
    """Result of :func:`depth_profile`: one number for each of the states z_0..z_L.

    Attributes
    ----------
    loss : array of float64, shape (L + 1,)
        Of the state as the output; infinite where it has overflowed.
    residual : array of float64, shape (L + 1,)
        max |z - f(W z - b)| over cells and samples: how far the state is from the equilibrium of
        the layer that it comes into, for z_L of the last layer.
    size : array of float64, shape (L + 1,)
        Largest |z| of the samples, |z|^2 = sum z^2 times the cell volume.
    """

    loss: Numbers
    residual: Numbers
    size: Numbers

    @property
    def best(self) -> int:
        """Layers of the state with the least loss, the first of several."""
        return int(np.argmin(self.loss))

    def plot(self) -> Figure:
        """Draw the three against the layer.

        Returns
        -------
        matplotlib.figure.Figure
            Two panels: the loss, its least value marked, and residual and size on one logarithmic
            axis. Made without pyplot: nothing global is touched.

        Raises
        ------
        ImportError
            Without matplotlib.

        Examples
        --------
        >>> import numpy as np, relaxon as rx
        >>> model = rx.Relaxation(rx.ADR(rx.Grid((32,))), depth=8)
        >>> x = np.random.default_rng(0).standard_normal((4, 32))
        >>> len(rx.depth_profile(model, x, model(x)).plot().axes)
        2
        """
        figure = make_figure((11.0, 3.8))
        left, right = figure.subplots(1, 2)
        layers = np.arange(len(self.loss))
        left.plot(layers, self.loss, marker="o", markersize=4, color="C0", label="state z")
        best = self.best
        left.plot(
            best, self.loss[best], "o", markersize=9, fillstyle="none", color="C3", label="least"
        )
        left.set(ylabel="loss")
        right.plot(layers, self.residual, marker="o", markersize=4, color="C1", label="residual")
        right.plot(layers, self.size, marker="s", markersize=4, color="C2", label="|z|")
        right.set(ylabel="max |z - f(W z - b)| and |z|")
        if np.any(self.residual > 0.0) or np.any(self.size > 0.0):
            right.set_yscale("log")
        for axes in (left, right):
            axes.set_xlabel("layer")
            axes.locator_params(axis="x", integer=True)
            axes.grid(alpha=0.3)
            axes.legend(frameon=False, fontsize="small")
        return figure


def depth_profile(
    model: Relaxation,
    x: Array,
    y: Array,
    loss: Distance = SquaredDistance(),  # noqa: B008 (immutable)
    threads: int | None = None,
) -> DepthProfile:
    """Loss, residual and size of every state on the way through the layers.

    For l = 0..L: the loss of z_l in the place of the output, max |z_l - f(W_l z_l - b_l)|, and
    |z_l|. Where the loss falls no more, further layers are of no use; where the residual falls, the
    states approach an equilibrium.

    Parameters
    ----------
    model : Relaxation
        The model. With a readout, each state is read out before it is compared.
    x, y : array
        As in :meth:`Relaxation.loss`.
    loss : Distance
        As in :meth:`Relaxation.loss`, without `at`.
    threads : int, optional
        As for a call of the model.

    Returns
    -------
    DepthProfile
        Three arrays; `best` is the depth of the least loss, and ``plot()`` draws them.

    Raises
    ------
    TypeError, ValueError
        As :meth:`Relaxation.loss`; or if the loss has layers of its own.

    Notes
    -----
    The loss of z_l is that of ``model.truncate(l)``. W_l and b_l are those of layer l, which z_l
    comes into; for z_L, which comes into none, those of the last. Costs about two forward passes;
    keeps all states of at most 64 MiB of samples, or of one.

    References
    ----------
    S. Succi, MEMOCS 13 (2025) 275-286, sections 3 and 4.

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((32,))), depth=8)
    >>> x = np.random.default_rng(0).standard_normal((4, 32))
    >>> profile = rx.depth_profile(model, x, model.trajectory(x)[:, 5])
    >>> profile.best, profile.loss.shape
    (5, (9,))
    """
    check_instance("model", model, Relaxation)
    check_instance("loss", loss, Distance)
    if loss.at is not None:
        fix = "give one without `at` and y as the output: all layers are looked at"
        refuse("loss", "one without layers of its own", repr(loss), fix=fix)
    if threads is not None:
        check_threads(threads)
    states = model._check_input(x)
    target, weights, _ = model._check_target("y", y, states, loss)
    has_labels = isinstance(loss, CrossEntropy)
    is_shared = weights is None or (not has_labels and weights.shape == model.output_shape)
    if not model._lead(states):
        states, target = states[np.newaxis], target[np.newaxis]
        weights = weights if weights is None or is_shared else weights[np.newaxis]
    n_layers, n_samples = model.depth, len(states)
    inner = model._behind_lift()
    found = np.zeros((3, n_layers + 1))
    for part in _parts(model, n_samples):
        own = weights if weights is None or is_shared else weights[part]
        n_threads = model._n_threads(threads, part.stop - part.start)
        trajectory = model.trajectory(states[part], threads=n_threads)
        for layer in range(n_layers + 1):
            z = np.ascontiguousarray(trajectory[:, layer])
            value, _ = inner._network.loss(
                inner._arrays(), z, loss._core_loss, target[part], own, [0], n_threads
            )
            with np.errstate(all="ignore"):
                distance = np.abs(residual(inner, z, min(layer, n_layers - 1), n_threads)).max()
                squares = np.square(z, dtype=np.float64).reshape(len(z), -1).sum(axis=1)
            found[0, layer] += value * (len(z) / n_samples)
            found[1, layer] = np.fmax(found[1, layer], _number(distance))
            found[2, layer] = np.fmax(found[2, layer], _number(squares.max()))
    volume = float(np.prod(model.grid.spacing))
    return DepthProfile(np.array([*map(_number, found[0])]), found[1], np.sqrt(found[2] * volume))


def residual(model: Relaxation, z: Array, layer: int, threads: int = 1) -> Array:
    """What the states lack to be in equilibrium, z - f(W z - b), in one layer.

    Parameters
    ----------
    model : Relaxation
        Without a lift: what comes in is a state.
    z : array of the model's type, shape (batch, *grid.shape)
        States, contiguous.
    layer : int
        Whose W and b.
    threads : int, default 1
        For the product.

    Returns
    -------
    array
        As z; zero on masked cells.
    """
    pre = np.empty_like(z)
    model._network.apply(model._arrays(), layer, z, pre, threads)
    bias = model.params.get("bias")
    if bias is not None:
        pre -= bias[layer] if model._parameters["bias"].is_layered else bias
    image = np.empty_like(z)
    _core.activate(model.activation, pre, image)
    mask = model.grid.mask
    return z - image if mask is None else np.where(mask, z - image, z.dtype.type(0))


def _parts(model: Relaxation, n_samples: int) -> Iterator[slice]:
    """Samples whose states are kept together."""
    one = (model.depth + 1) * model.grid.n_cells * model.dtype.itemsize
    length = max(MOST_BYTES // one, 1)
    for start in range(0, n_samples, length):
        yield slice(start, min(start + length, n_samples))


def _number(value: Any) -> float:
    """What has overflowed is infinite, not NaN."""
    return float(value) if np.isfinite(value) else np.inf
