"""A small model, data of a teacher of its kind, and every optimizer that can fit it."""

from typing import Any

import numpy as np
import pytest

import relaxon as rx
from relaxon.training import optimizers


def model_of(space: Any = "homogeneous", dtype: str = "float64", **options: Any) -> rx.Relaxation:
    op = rx.ADR(rx.Grid((5, 7)), space=space)
    return rx.Relaxation(op, **{"depth": 4, "seed": 1, "dtype": dtype, **options})


def data(n: int = 11, dtype: str = "float64") -> tuple[Any, Any]:
    teacher = model_of("local", seed=9, omega=0.4)
    x = np.random.default_rng(0).standard_normal((n, 5, 7))
    return x.astype(dtype), teacher(x).astype(dtype)


def with_others(known: dict[str, Any], rate: float) -> dict[str, Any]:
    """Optimizers by name, and one of every kind that is not among them."""
    kinds = {type(optimizer) for optimizer in known.values()}
    others = {name: make(rate) for name, make in optimizers.OPTIMIZERS.items()}
    return known | {name: o for name, o in others.items() if type(o) not in kinds}


OPTIMIZERS: dict[str, Any] = with_others(
    {
        "fixed": rx.SteepestDescent(rate=0.1),
        "momentum": rx.SteepestDescent(rate=0.05, momentum=0.7),
        "adam": rx.Adam(rate=1e-2),
        "armijo": rx.SteepestDescent(rate=1e-2, line_search="armijo"),
        "barzilai-borwein": rx.SteepestDescent(rate=1e-2, line_search="barzilai-borwein"),
        "lbfgs": rx.LBFGS(),
    },
    rate=1e-2,
)
over_optimizers = pytest.mark.parametrize("kind", OPTIMIZERS)
