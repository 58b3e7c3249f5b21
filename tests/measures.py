"""Measures that the tests compare by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def relative_error(actual: Array, expected: Array) -> float:
    """max|a - b| / max|b|; where b is all zero, max|a|."""
    assert actual.shape == expected.shape
    scale = np.abs(expected).max()
    error = np.abs(np.asarray(actual, expected.dtype) - expected).max()
    return float(error / scale if scale > 0 else error)


def assert_all_close(
    actual: Mapping[str, Array], expected: Mapping[str, Array], tolerance: float
) -> None:
    """Same names, and every array within ``tolerance`` by :func:`relative_error`."""
    assert actual.keys() == expected.keys()
    errors = {name: relative_error(actual[name], expected[name]) for name in expected}
    assert max(errors.values()) <= tolerance, errors


def bits(arrays: Mapping[str, Array]) -> dict[str, bytes]:
    """What "bitwise equal" compares."""
    return {name: np.ascontiguousarray(value).tobytes() for name, value in arrays.items()}


def taylor_order(value: Callable[[float], float], slope: float) -> float:
    """Measured order of |F(h) - F(0) - h F'(0)| as h -> 0: 2 if ``slope`` is F'(0), else 1."""
    steps = 2.0 ** -np.arange(8.0, 14.0)
    start = value(0.0)
    remainders = [abs(value(step) - start - step * slope) for step in steps]
    return float(np.polyfit(np.log(steps), np.log(remainders), 1)[0])


def orders(errors: list[float], refinement: float = 2.0) -> list[float]:
    """Measured orders of convergence between successive refinements."""
    return [float(np.log(coarse / fine) / np.log(refinement)) for coarse, fine in pairwise(errors)]
