"""Models of known coefficients on a line in metres, and noisy data of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import relaxon as rx

Array = NDArray[Any]
GRID = rx.Grid((12,), spacing=500.0, unit="m", names=("distance",))
TIME: dict[str, Any] = {"dt": 60.0, "time_unit": "s"}
TRUE: dict[str, Any] = {"R": -0.1, "U": np.array([0.4]), "D": np.array([0.3])}


def model_of(operator: Any = None, params: Any = None, **options: Any) -> rx.Relaxation:
    settings: dict[str, Any] = {"depth": 4, "activation": "tanh", **TIME, **options}
    model = rx.Relaxation(rx.ADR(GRID) if operator is None else operator, **settings)
    arrays = TRUE if params is None else params
    return model.with_params({k: np.asarray(v, model.dtype) for k, v in arrays.items()})


def noisy(model: rx.Relaxation, n_samples: int = 15, seed: int = 0) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    x = random.standard_normal((n_samples, *model.grid.shape)).astype(model.dtype)
    noise = random.standard_normal((n_samples, *model.grid.shape)).astype(model.dtype)
    return x, model(x) + model.dtype.type(0.01) * noise
