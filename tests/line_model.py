"""Linear models on a ring of cells, of eight layers for a unit of time."""

from __future__ import annotations

from typing import Any

import relaxon as rx

N_CELLS, DEPTH = 48, 8
LBFGS = rx.LBFGS()


def model_of(n: int = N_CELLS, depth: int = DEPTH, **options: Any) -> rx.Relaxation:
    op = rx.ADR(rx.Grid((n,)), scheme="lax-wendroff")
    settings: dict[str, Any] = {"activation": "identity", "omega": 1.0, "dt": 1.0 / DEPTH}
    return rx.Relaxation(op, depth=depth, **(settings | options))
