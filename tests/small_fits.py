"""A small model, data of a teacher of its kind, and every optimizer that can fit it."""

from typing import Any

import numpy as np
import pytest

import relaxon as rx


def model_of(space: Any = "homogeneous", dtype: str = "float64", **options: Any) -> rx.Relaxation:
    op = rx.ADR(rx.Grid((5, 7)), space=space)
    return rx.Relaxation(op, **{"depth": 4, "seed": 1, "dtype": dtype, **options})


def data(n: int = 11, dtype: str = "float64") -> tuple[Any, Any]:
    teacher = model_of("local", seed=9, omega=0.4)
    x = np.random.default_rng(0).standard_normal((n, 5, 7))
    return x.astype(dtype), teacher(x).astype(dtype)


OPTIMIZERS: dict[str, Any] = {
    "fixed": rx.SteepestDescent(rate=0.1),
    "momentum": rx.SteepestDescent(rate=0.05, momentum=0.7),
    "adam": rx.Adam(rate=1e-2),
    "armijo": rx.SteepestDescent(rate=1e-2, line_search="armijo"),
    "barzilai-borwein": rx.SteepestDescent(rate=1e-2, line_search="barzilai-borwein"),
    "lbfgs": rx.LBFGS(),
}
over_optimizers = pytest.mark.parametrize("kind", OPTIMIZERS)
