"""The names of the local nonlinearities; the core evaluates them."""

from __future__ import annotations

from .. import _core
from ..base.validate import check_choice

__all__ = ["ACTIVATIONS", "check_activation"]

ACTIVATIONS: tuple[str, ...] = tuple(_core.activations())


def check_activation(value: object) -> str:
    """One of the names."""
    return check_choice("activation", value, ACTIVATIONS)
