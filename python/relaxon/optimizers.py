"""Ways of going down."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ._validate import check_choice, check_number, refuse

__all__ = ["SteepestDescent"]

LINE_SEARCHES = ("armijo", "barzilai-borwein")


@dataclasses.dataclass(frozen=True)
class SteepestDescent:
    """W <- W - alpha dL/dW, with a fixed rate, momentum or a line search.

    Parameters
    ----------
    rate : float or mapping of str to float
        alpha, for all parameters or by name (then for every one of them). A rate of 0 keeps a
        parameter as it is. With a line search, rates are the first trial step and the ratios
        between parameters.
    momentum : float, in [0, 1), default 0
        Heavy ball: v <- momentum v - alpha g, W <- W + v. Without a line search only.
    line_search : {None, "armijo", "barzilai-borwein"}, default None
        "armijo" halves the step until the loss falls by 1e-4 of what the slope promises, and
        starts the next one at twice the length; "barzilai-borwein" takes the secant step, cut back
        likewise against the largest of the last ten losses.

    Raises
    ------
    TypeError, ValueError
        If a rate is negative or not finite, momentum out of range, or a name misspelt.

    References
    ----------
    S. Succi, MEMOCS 13 (2025) 275-286, eq. 5. B. Polyak, USSR Comp. Math. 4 (1964) 1-17.
    L. Armijo, Pacific J. Math. 16 (1966) 1-3. J. Barzilai, J. Borwein, IMA J. Numer. Anal. 8 (1988)
    141-148. M. Raydan, SIAM J. Optim. 7 (1997) 26-33.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.SteepestDescent(rate=1e-2, line_search="armijo")
    SteepestDescent(rate=0.01, momentum=0.0, line_search='armijo')
    """

    rate: float | Mapping[str, float]
    momentum: float = 0.0
    line_search: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.rate, Mapping):
            rates = {name: check_number("rate", value, 0.0) for name, value in self.rate.items()}
            object.__setattr__(self, "rate", rates)
            if not any(rates.values()):
                refuse("rate", "at least one rate above 0", repr(rates))
        else:
            object.__setattr__(self, "rate", check_number("rate", self.rate, 0.0, is_open=True))
        momentum = check_number("momentum", self.momentum, 0.0)
        if momentum >= 1.0:
            refuse("momentum", "a number below 1", momentum)
        if self.line_search is not None:
            check_choice("line_search", self.line_search, LINE_SEARCHES)
            if momentum:
                refuse("momentum", "0 with a line search", momentum, fix="use a fixed rate")

    def rates(self, names: list[str]) -> dict[str, float]:
        """The rate of every parameter of a model."""
        if not isinstance(self.rate, Mapping):
            return dict.fromkeys(names, self.rate)
        for name in self.rate:
            if name not in names:
                refuse("rate", f"names out of {', '.join(names)}", repr(name))
        for name in names:
            if name not in self.rate:
                refuse(
                    "rate", f"an entry for every one of {', '.join(names)}", f"none for {name!r}"
                )
        return dict(self.rate)
