"""A sparse operator with data of its own: what an operator costs that is no stencil."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relaxon import _core
from relaxon.base.validate import refuse
from relaxon.operators.operator import TIMES, Data, Operator, setting
from relaxon.operators.parameters import Parameter


@dataclasses.dataclass(frozen=True, eq=False)
class Csr(Operator):
    """A matrix whose entries are trained and whose pattern is given."""

    indptr: NDArray[np.int64] = setting(Data("int64"))
    indices: NDArray[np.int64] = setting(Data("int64"))
    time: str = setting(TIMES, "constant")

    reads_all = True

    def _check(self) -> None:
        n = int(np.prod(self.grid.shape))
        if self.indptr.shape != (n + 1,):
            refuse("indptr", f"shape ({n + 1},)", self.indptr.shape)
        if self.indices.ndim != 1:
            refuse("indices", "one axis", self.indices.shape)

    def _make_core(self) -> _core.Operator:
        return _core.csr(self.indptr.tolist(), self.indices.tolist(), self.is_layered)

    def start(self, parameter: Parameter) -> NDArray[Any]:
        """The identity, as far as the pattern has its entries."""
        rows = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        return np.asarray(rows == self.indices, np.float64)
