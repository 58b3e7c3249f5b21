"""The names of the local nonlinearities; the core evaluates them."""

from __future__ import annotations

from ..base.validate import check_choice

__all__ = ["ACTIVATIONS", "check_activation"]

ACTIVATIONS = (
    "identity",
    "tanh",
    "logistic",
    "relu",
    "leaky_relu",
    "softplus",
    "silu",
    "gelu",
    "sin",
    "square",
    "hard_tanh",
)


def check_activation(value: object) -> str:
    """One of the names."""
    return check_choice("activation", value, ACTIVATIONS)
