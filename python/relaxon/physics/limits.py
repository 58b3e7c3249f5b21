"""Diffusion that stands at the bound of explicit layers: a lower limit, not a value.

Where data ask for more smoothing than L stable layers give, a fit ends where 2 omega s sum_a d_a is
about 1, and the diffusivity that is read off grows with L.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .coefficients import Process
from .numbers import format_percent
from .remarks import LEAST_SHARE, Remark
from .stability import DIFFUSIVE, STABLE_BOUND, Stability

__all__ = ["NEAR_BOUND", "read_limits"]

# A fit ends on either side of the bound, a few per cent from it.
NEAR_BOUND = 0.95 * STABLE_BOUND


def read_limits(processes: Sequence[Process], stability: Stability | None) -> tuple[Remark, ...]:
    """Remarks on diffusivities that the number of layers limits.

    Parameters
    ----------
    processes : sequence of Process
        All coefficients.
    stability : Stability or None
        Of the same model; None for operators without such a bound.

    Returns
    -------
    tuple of Remark
        One for the diffusivity along each axis where it is positive and the diffusive stability
        number is at least 0.95 (in more than 5 % of cells and layers, where they differ).
    """
    if stability is None:
        return ()
    numbers = stability.diffusive[~np.isnan(stability.diffusive)]
    share = float(np.mean(numbers >= NEAR_BOUND))
    if share <= LEAST_SHARE:
        return ()
    place = "" if numbers.size == 1 else f"in {format_percent(share)} of cells and layers "
    text = (
        f"{place}at the bound of explicit layers ({DIFFUSIVE} = {np.median(numbers):.3g}, stable "
        f"up to {STABLE_BOUND:g}): a lower limit that the number of layers sets, not a value "
        "(relaxon fit --check-depth shows that of twice as many)"
    )
    return tuple(
        Remark("explicit bound", process.symbol, process.axes, text)
        for process in processes
        if process.symbol == "D"
        and len(set(process.axes)) == 1
        and float(np.nanmedian(process.values)) > 0.0
    )
