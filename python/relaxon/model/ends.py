"""Affine maps with an activation at the two ends of a network: eqs. 1 and 3 of the paper."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from .. import _core
from ..base.validate import check_integer
from .activations import check_activation

__all__ = ["Lift", "Readout"]


MOST_NUMBERS = 2**31 - 1


class End:
    """What both share: a width and an activation, checked, and as the core takes them."""

    activation: str
    _width: ClassVar[str]  # the name of the width

    def __post_init__(self) -> None:
        width = check_integer(self._width, getattr(self, self._width), 1, MOST_NUMBERS)
        object.__setattr__(self, self._width, width)
        check_activation(self.activation)

    def _core_end(self) -> _core.End:
        return _core.End(getattr(self, self._width), self.activation)


@dataclasses.dataclass(frozen=True)
class Lift(End):
    """The first state from any vector: z_0 = g(A x + a).

    Parameters
    ----------
    n_in : int
        Numbers of one input; x then has the shape (batch, n_in).
    activation : str, default "identity"
        g, as for :class:`Relaxation`.

    Raises
    ------
    TypeError, ValueError
        If `n_in` is no integer from 1 to 2^31 - 1, or the activation is misspelt.

    Notes
    -----
    Parameters of the model: "lift_weight", shape (N, n_in) with N cells of the grid in C order,
    initially normal with variance 1 / n_in (LeCun et al., 1998), and "lift_bias", shape (N,), zero.
    Rows of masked cells have no effect. 2 N n_in flops per sample, and states of all samples are
    kept.

    References
    ----------
    S. Succi, MEMOCS 13 (2025) 275-286, eq. 1. Y. LeCun, L. Bottou, G. Orr, K.-R. Müller, Efficient
    BackProp (1998).

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> op = rx.ADR(rx.Grid((32,)))
    >>> model = rx.Relaxation(op, depth=4, lift=rx.Lift(3), readout=rx.Readout(2))
    >>> model(np.ones((5, 3))).shape
    (5, 2)
    """

    n_in: int
    activation: str = "identity"
    _width: ClassVar[str] = "n_in"


@dataclasses.dataclass(frozen=True)
class Readout(End):
    """Any vector from the last state: y = g(B z_L + c).

    Parameters
    ----------
    n_out : int
        Numbers of one output; the output then has the shape (batch, n_out).
    activation : str, default "identity"
        g, as for :class:`Relaxation`.

    Raises
    ------
    TypeError, ValueError
        If `n_out` is no integer from 1 to 2^31 - 1, or the activation is misspelt.

    Notes
    -----
    Parameters of the model: "readout_weight", shape (n_out, N) with N cells of the grid in C order,
    initially normal with variance 1 / N over existing cells, and "readout_bias", shape (n_out,),
    zero. Columns of masked cells have no effect. A loss at other layers reads these out, too.
    2 N n_out flops per sample.

    References
    ----------
    S. Succi, MEMOCS 13 (2025) 275-286, eq. 3.

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((32,))), depth=4, readout=rx.Readout(10))
    >>> model.value_and_grad(np.ones((5, 32)), np.arange(5), loss=rx.CrossEntropy())[1][
    ...     "readout_weight"
    ... ].shape
    (10, 32)
    """

    n_out: int
    activation: str = "identity"
    _width: ClassVar[str] = "n_out"
