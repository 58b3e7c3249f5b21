"""Fits whose output is the attractor: where they start.

With drive and f = identity the output answers (1 - W) z = x - b. Layers start from W near 1, where
that has no solution; here they start from W near 0, where the output is the input.
"""

from __future__ import annotations

import numpy as np

from ..model.relaxation import Relaxation

__all__ = ["has_quick_attractor", "start_of_attractor"]

# Cells of a system that is factorised, and of all samples' searches, that take about a second.
MOST_CELLS = 2**16
MOST_SEARCHED = 2**19


def has_quick_attractor(model: Relaxation, n_samples: int) -> bool:
    """Whether layers lead to an attractor that a report can look for.

    Parameters
    ----------
    model : Relaxation
        Of finite depth.
    n_samples : int
        Samples to follow.

    Returns
    -------
    bool
        False for layers that differ, are normalised or begin with a lift, and for large grids.
    """
    n_cells = model.grid.n_cells
    has_one = not (model.operator.is_layered or model.beta or model.normalization or model.lift)
    n_searches = 1 if model.activation == "identity" else n_samples
    is_small = n_cells <= MOST_CELLS and n_searches * n_cells <= MOST_SEARCHED
    return bool(has_one and model.omega.ndim == 0 and is_small and not model.operator.reads_all)


def start_of_attractor(model: Relaxation) -> Relaxation:
    """The model with 1 taken off its W.

    Parameters
    ----------
    model : Relaxation
        With its initial values.

    Returns
    -------
    Relaxation
        Of coefficients of derivatives all but that of z itself stay, and so does all noise.
    """
    changed = {}
    for name in model.operator.parameter_names():
        parameter, values = model._parameters[name], model.params[name]
        components = model.operator.components().get(name)
        if components is None or any(component.axes is None for component in components):
            # Weights and full matrices, which are 1 on the diagonal.
            changed[name] = values - np.asarray(model.operator.start(parameter), values.dtype)
            continue
        own = np.array([float(component.axes == ()) for component in components], values.dtype)
        axis = parameter.component_axis
        changed[name] = values - (own[0] if axis is None else parameter.along(axis, own))
    return model.with_params(changed)
