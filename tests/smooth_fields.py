"""Random fields as smooth as geophysical ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def smooth(shape: tuple[int, ...], seed: int, width: float = 2.5) -> Array:
    """Periodic fields of unit variance with a Gaussian correlation; the first axis counts them."""
    random = np.random.default_rng(seed)
    axes = tuple(range(1, len(shape)))
    waves = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(n) for n in shape[1:]), indexing="ij")
    damping = np.exp(-0.5 * width**2 * sum(k**2 for k in waves))
    fields = np.fft.ifftn(
        np.fft.fftn(random.standard_normal(shape), axes=axes) * damping, axes=axes
    )
    return np.asarray(fields.real / fields.real.std())
