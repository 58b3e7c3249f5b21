"""Fits with checkpoints that are stopped or killed, by every optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import relaxon as rx
from small_fits import with_others

Fields = Any

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "fixed": {"optimizer": rx.SteepestDescent(rate=0.1)},
    "momentum": {
        "optimizer": rx.SteepestDescent(0.05, momentum=0.7, schedule=rx.CosineDecay(12)),
        "batch_size": 4,
        "seed": 5,
    },
    "adam": {"optimizer": rx.Adam({"R": 1e-2, "U": 2e-2, "D": 0.0}), "batch_size": 3},
    "armijo": {"optimizer": rx.SteepestDescent(10.0, line_search="armijo")},
    "barzilai-borwein": {"optimizer": rx.SteepestDescent(1.0, line_search="barzilai-borwein")},
    "lbfgs": {"optimizer": rx.LBFGS(memory=3)},
}
# And one of every kind that is not among them.
_known = {kind: settings["optimizer"] for kind, settings in OPTIMIZERS.items()}
OPTIMIZERS |= {
    kind: {"optimizer": optimizer}
    for kind, optimizer in with_others(_known, rate=1e-2).items()
    if kind not in OPTIMIZERS
}
over_optimizers = pytest.mark.parametrize("kind", OPTIMIZERS)
over_types = pytest.mark.parametrize("dtype", ["float32", "float64"])


def model_of(dtype: str = "float64", **options: Any) -> rx.Relaxation:
    mask = np.ones((5, 7), bool)
    mask[2, 3] = False
    op = rx.ADR(rx.Grid((5, 7), mask=mask), space="local")
    return rx.Relaxation(op, **{"depth": 3, "seed": 1, "dtype": dtype, **options})


def data(n: int = 11, dtype: str = "float64") -> tuple[Fields, Fields]:
    teacher = model_of(seed=9, omega=0.4)
    x = np.random.default_rng(0).standard_normal((n, 5, 7))
    return x.astype(dtype), teacher(x).astype(dtype)


def arguments(kind: str, dtype: str = "float64") -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Of a fit that uses everything."""
    x, y = data(14, dtype)
    settings: dict[str, Any] = {
        "steps": 12,
        "patience": 11,
        "tolerance": 0.0,
        "validation": (x[11:], y[11:]),
        "penalties": [rx.Smoothness(1e-3), rx.L2(1e-3)],
        "bounds": {"U": (-0.05, 0.05)},
        **OPTIMIZERS[kind],
    }
    return (model_of(dtype), x[:11], y[:11]), settings


def train(args: Any, settings: Any, **more: Any) -> rx.Fit:
    model, x, y = args
    return rx.fit(model, x, y, **settings, **more)


def stop_at(*steps: int) -> Any:
    return lambda state: state.step in steps


class Killed(BaseException):
    """Ends a fit as nothing that it knows."""


def kill_at(step: int) -> Any:
    def callback(state: rx.State) -> None:
        if state.step == step:
            raise Killed

    return callback
