"""Which bounds of layers a model is over, in words: at the start of a fit and where it diverges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dynamics.amplification import typical_slope
from ..model.lattice import Lattice
from ..model.relaxation import Relaxation
from .numbers import format_percent
from .stability import ADVECTIVE, DIFFUSIVE, STABLE_BOUND, read_stability

__all__ = ["describe_start", "stability_number"]


def describe_start(model: Relaxation) -> str:
    """Which bounds of explicit layers a model is over, and what helps; empty where over none.

    Of ADR alone: other stencils start with a diffusion that is noise about 0.
    """
    if "scheme" not in model.operator.settings():
        return ""
    slope = typical_slope(model.activation)
    found = read_stability(Lattice(model), slope) if math.isfinite(slope) else None
    if found is None or found.share == 0.0:
        return ""
    shares = {
        DIFFUSIVE: (found.diffusive, found.diffusive_share),
        ADVECTIVE: (found.advective, found.advective_share),
    }
    texts = [
        f"{_of_theta(name, model)} = {np.nanmax(values):.3g} (stable up to {STABLE_BOUND:g}), over "
        f"it in {format_percent(share)} of cells and layers"
        for name, (values, share) in shares.items()
        if share
    ]
    return f"{' and '.join(texts)}; usual cures: {'; '.join(found.cures)}"


def stability_number(model: Relaxation, params: Mapping[str, NDArray[Any]]) -> str:
    """The larger of the two bounds that layers exceed, and where it stands.

    Parameters
    ----------
    model : Relaxation
        Operator, shapes and settings.
    params : mapping of str to array
        Values in the place of the model's, "omega" among them; they need not be finite.

    Returns
    -------
    str
        In words; empty where no bound is exceeded, and for operators without such.

    Notes
    -----
    With slope 1: that of all activations of unbounded growth far from zero, where a state that runs
    away is, except square, which has none.
    """
    found = read_stability(Lattice(model, params), slope=1.0)
    if found is None:
        return ""
    numbers = {DIFFUSIVE: found.diffusive, ADVECTIVE: found.advective}
    peaks = {
        name: np.max(values, where=~np.isnan(values), initial=-np.inf)
        for name, values in numbers.items()
    }
    name = max(peaks, key=lambda key: peaks[key])
    if np.isneginf(peaks[name]):
        return "the coefficients are no numbers any more"
    if peaks[name] <= STABLE_BOUND:
        return ""
    text = f"{_of_theta(name.replace(' s ', ' '), model)} = {peaks[name]:.3g}"
    text += f", stable up to {STABLE_BOUND:g}"
    if name == ADVECTIVE and np.isinf(peaks[name]):
        text += " (a diffusion that is not positive)"
    return text


def _of_theta(name: str, model: Relaxation) -> str:
    """The name of a number in layers of that theta."""
    return f"(1 - 2 theta) {name}" if model.theta else name
