"""Layered networks out of the registry, and what training them on the fly is to give."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import pytest

import registry
import relaxon as rx
from reference_on_the_fly import Found, Training, train

__all__ = ["N_CASES", "cases", "expect", "least_memory", "loss_of", "settings"]

N_CASES = 27


@cache
def cases() -> tuple[registry.Case, ...]:
    """Layered stencils out of the registry: all families, sides, masks, shapes of parameters."""
    rng = np.random.default_rng(5)
    found: list[registry.Case] = []
    while len(found) < N_CASES:
        index = int(rng.integers(registry.n_combinations()))
        chosen = registry.choices(index)
        is_wanted = chosen["operator"] != "dense" and chosen["time"] == "layered"
        is_wanted &= chosen["ndim"] == 1 + len(found) % 3
        if is_wanted and chosen["loss"] != "at" and not chosen["omega"].startswith("trained"):
            found.append(registry.combination(index))
    return tuple(found)


def settings(number: int) -> dict[str, Any]:
    """Loss, target and penalty, changing from case to case."""
    kind, scale = [("squared", 1.0), ("absolute", 0.3), ("huber", 0.4)][number % 3]
    return {
        "loss": kind,
        "scale": scale,
        "target": ["final", "path"][number // 3 % 2],
        "l2": [0.0, 0.03][number // 2 % 2],
        "smoothness": [0.0, 0.0, 3.0][number % 5 % 3],
    }


def expect(case: registry.Case, **options: Any) -> Found:
    weights = None if case.weights is None else case.wide(case.weights)
    data: dict[str, Any] = {"x": case.wide(case.x), "y": case.wide(case.y), "weights": weights}
    return train(Training(case.network, **data, **options), case.wide_params)


def loss_of(kind: str, scale: float, weights: Any) -> Any:
    if kind == "squared":
        return rx.SquaredDistance(weights)
    return rx.AbsoluteDistance(scale, weights) if kind == "absolute" else rx.Huber(scale, weights)


def least_memory(model: rx.Relaxation, x: Any, y: Any, **options: Any) -> int:
    with pytest.raises(ValueError, match="at least") as caught:
        rx.fit_on_the_fly(model, x, y, memory=1, threads=1, **options)
    found = re.search(r"at least (\d+) bytes", str(caught.value))
    assert found
    return int(found[1])


def fitted(case: Any, own: dict[str, Any], steps: dict[str, Any]) -> rx.OnTheFlyFit:
    """The package's fit of a case with settings of its own."""
    penalties: list[Any] = [rx.L2(own["l2"])] if own["l2"] else []
    fields = [n for n, v in case.params.items() if case.network.is_field(n, v[0])]
    if own["smoothness"] and fields:
        penalties.append(rx.Smoothness(own["smoothness"], of=tuple(fields)))
    loss = loss_of(own["loss"], own["scale"], case.weights)
    options = {"loss": loss, "penalties": penalties, "target": own["target"], **steps}
    return rx.fit_on_the_fly(case.model(), case.x, case.y, **options)
