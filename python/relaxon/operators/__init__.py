"""Operators W: what the trained numbers of a layer mean."""

from __future__ import annotations

from .adr import ADR
from .banded import Banded
from .dense import Dense
from .moments import Moments
from .operator import Operator

__all__ = ["ADR", "OPERATORS", "Banded", "Dense", "Moments", "Operator"]

# By the names that the command line and scikit-learn's parameters give them. Model files name the
# class.
OPERATORS: dict[str, type[Operator]] = {
    "adr": ADR,
    "moments": Moments,
    "banded": Banded,
    "dense": Dense,
}
