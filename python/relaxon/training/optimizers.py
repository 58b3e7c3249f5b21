"""Ways of going down; their names are those of the command line too."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from ..base.scalars import check_choice, check_integer, check_number, refuse
from .schedules import Schedule

# Public names, which the catalogue takes over.
__all__ = ["LBFGS", "Adam", "SteepestDescent"]

LINE_SEARCHES = ("armijo", "barzilai-borwein")
MOST_IN_SCIPY = 2**31 - 1  # its C code counts in int
ALIGNMENT = 64  # of the core's arrays, in bytes


class Optimizer:
    """What all optimizers share: how the core is told about them."""

    # Arrays of all parameters that the core keeps: those trained, those before the step, the best
    # ones, and what the rule remembers. The gradient is counted with the sweep that returns it.
    _n_copies: ClassVar[int]
    # Of these, and of the gradient, the most that a checkpoint holds.
    _n_stored: ClassVar[int]
    # Whether somebody else chooses the points: what was evaluated is then kept in a journal.
    _has_journal: ClassVar[bool] = False
    # Whether it can lower a loss of inputs beside parameters, whose scales differ.
    _takes_unknown_inputs: ClassVar[bool] = False

    @property
    def _cure(self) -> str:
        """What helps where numbers run away."""
        if self._is_line_search:
            return "lower the rate, bound the parameters (bounds=) or scale x and y"
        return "lower the rate or use a line search"

    @property
    def _rule(self) -> str:
        raise NotImplementedError

    @property
    def _schedule(self) -> Schedule | None:
        return None

    @property
    def _is_line_search(self) -> bool:
        """Whether it compares values of the loss at several points, which must be one function."""
        return False

    @property
    def _settings(self) -> dict[str, Any]:
        """Numbers of the rule, in the words of the core."""
        return {}

    def _rates(self, names: list[str]) -> dict[str, float]:
        """The rate of every parameter of a model."""
        return dict.fromkeys(names, 1.0)

    def _state_bytes(self, n_all: int, n_trained: int, item_bytes: int) -> int:
        """What a fit keeps beside the sweep: for all parameters, omega among them, and trained."""
        return self._n_copies * -(-n_all * item_bytes // ALIGNMENT) * ALIGNMENT


class _Rated(Optimizer):
    """Steps of a length that the caller gives."""

    rate: float | Mapping[str, float]
    schedule: Schedule | None

    def _check_rate(self) -> None:
        if isinstance(self.rate, Mapping):
            rates = {name: check_number("rate", value, 0.0) for name, value in self.rate.items()}
            object.__setattr__(self, "rate", rates)
            if not any(rates.values()):
                refuse("rate", "at least one rate above 0", repr(rates))
        else:
            object.__setattr__(self, "rate", check_number("rate", self.rate, 0.0, is_open=True))
        if self.schedule is not None and not callable(self.schedule):
            refuse("schedule", "a function of the step number", repr(self.schedule), TypeError)

    @property
    def _schedule(self) -> Schedule | None:
        return self.schedule

    def _rates(self, names: list[str]) -> dict[str, float]:
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


@dataclasses.dataclass(frozen=True)
class SteepestDescent(_Rated):
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
    schedule : function, optional
        Factor of the rate at each step, counted from 0: :class:`ExponentialDecay`,
        :class:`CosineDecay` or any function of the step number. Without a line search only.

    Raises
    ------
    TypeError, ValueError
        If a rate is negative or not finite, momentum out of range, or a name misspelt.

    Notes
    -----
    With bounds, every step is projected on them; momentum then remembers the way that was left, and
    line searches go along the projected path.

    References
    ----------
    S. Succi, MEMOCS 13 (2025) 275-286, eq. 5. B. Polyak, USSR Comp. Math. 4 (1964) 1-17.
    L. Armijo, Pacific J. Math. 16 (1966) 1-3. J. Barzilai, J. Borwein, IMA J. Numer. Anal. 8 (1988)
    141-148. M. Raydan, SIAM J. Optim. 7 (1997) 26-33. E. Birgin, J. Martinez, M. Raydan, SIAM J.
    Optim. 10 (2000) 1196-1211.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.SteepestDescent(rate=1e-2, line_search="armijo")
    SteepestDescent(rate=0.01, momentum=0.0, line_search='armijo', schedule=None)
    """

    rate: float | Mapping[str, float]
    momentum: float = 0.0
    line_search: str | None = None
    schedule: Schedule | None = None
    _n_copies: ClassVar[int] = 4  # v, or the gradient before
    _n_stored: ClassVar[int] = 5

    def __post_init__(self) -> None:
        self._check_rate()
        momentum = check_number("momentum", self.momentum, 0.0)
        if momentum >= 1.0:
            refuse("momentum", "a number below 1", momentum)
        object.__setattr__(self, "momentum", momentum)
        if self.line_search is not None:
            check_choice("line_search", self.line_search, LINE_SEARCHES)
            if momentum:
                refuse("momentum", "0 with a line search", momentum, fix="use a fixed rate")
            if self.schedule is not None:
                refuse(
                    "schedule",
                    "None with a line search, which finds the step itself",
                    repr(self.schedule),
                    fix="use a fixed rate",
                )

    @property
    def _rule(self) -> str:
        return self.line_search or "fixed"

    @property
    def _is_line_search(self) -> bool:
        return self.line_search is not None

    @property
    def _settings(self) -> dict[str, Any]:
        return {"momentum": self.momentum}


@dataclasses.dataclass(frozen=True)
class Adam(_Rated):
    """Steps of about the rate for each parameter, by running means of gradient and square.

    m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2,
    W <- W - rate m / (1 - beta1^k) / (sqrt(v / (1 - beta2^k)) + epsilon) at step k = 1, 2, ...

    Parameters
    ----------
    rate : float or mapping of str to float
        For all parameters or by name (then for every one of them); 0 keeps a parameter as it is.
    beta1, beta2 : float, in [0, 1), default 0.9 and 0.999
        Memory of the mean of the gradient and of its square.
    epsilon : float, above 0, default 1e-8
        Keeps parameters without a gradient where they are.
    schedule : function, optional
        Factor of the rate at each step, as for :class:`SteepestDescent`.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range or not finite, or a name misspelt.

    Notes
    -----
    Moments are kept in the model's type. With bounds, every step is projected on them.

    References
    ----------
    D. Kingma, J. Ba, ICLR 2015, arXiv:1412.6980, algorithm 1.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.Adam(rate=1e-2, schedule=rx.CosineDecay(500)).beta2
    0.999
    """

    rate: float | Mapping[str, float]
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    schedule: Schedule | None = None
    _n_copies: ClassVar[int] = 5  # m and v
    _n_stored: ClassVar[int] = 6

    def __post_init__(self) -> None:
        self._check_rate()
        for name in ("beta1", "beta2"):
            beta = check_number(name, getattr(self, name), 0.0)
            if beta >= 1.0:
                refuse(name, "a number below 1", beta)
            object.__setattr__(self, name, beta)
        epsilon = check_number("epsilon", self.epsilon, 0.0, is_open=True)
        object.__setattr__(self, "epsilon", epsilon)

    @property
    def _rule(self) -> str:
        return "adam"

    @property
    def _settings(self) -> dict[str, Any]:
        return {"beta_1": self.beta1, "beta_2": self.beta2, "epsilon": self.epsilon}


@dataclasses.dataclass(frozen=True)
class LBFGS(Optimizer):
    """Quasi-Newton steps of limited memory, by SciPy's L-BFGS-B.

    Parameters
    ----------
    memory : int, default 10
        Pairs of changes of parameters and gradient that model the curvature.
    max_line_search : int, default 20
        Most evaluations of loss and gradient in one step.

    Raises
    ------
    TypeError, ValueError
        If a number is not an integer of at least 1.

    Notes
    -----
    On all samples at once. SciPy works in float64; for a float32 model each point is rounded before
    it is evaluated, and so is the result. A trial that overflows is answered with the parabola
    through the last step's value and slope that has its minimum at a tenth of the way. The rate in
    the history is the length of the step over that of the gradient. The first trial step has length
    1 in the parameters, however small these are: with omega = 1, homogeneous models may end in a
    poor minimum; a smaller omega or Barzilai-Borwein steps avoid it. Of gamma it moves gamma dt,
    which has no unit. Where threadpoolctl is
    installed, BLAS is kept to one thread meanwhile: on small products its idle threads take the
    processors from the gradient (OPENBLAS_NUM_THREADS=1 does the same).

    References
    ----------
    R. Byrd, P. Lu, J. Nocedal, C. Zhu, SIAM J. Sci. Comput. 16 (1995) 1190-1208.

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> x = np.random.default_rng(0).standard_normal((20, 32))
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((32,))), depth=4, activation="identity")
    >>> fit = rx.fit(model, x, 0.5 * x, optimizer=rx.LBFGS(), tolerance=1e-4)
    >>> fit.status.name
    'CONVERGED'
    """

    memory: int = 10
    max_line_search: int = 20
    _n_copies: ClassVar[int] = 5  # the trial and its gradient
    _n_stored: ClassVar[int] = 0  # it has a journal
    _has_journal: ClassVar[bool] = True
    _takes_unknown_inputs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_integer("memory", self.memory, 1, MOST_IN_SCIPY)
        check_integer("max_line_search", self.max_line_search, 1, MOST_IN_SCIPY)

    @property
    def _cure(self) -> str:
        return "bound the parameters (bounds=), use fewer layers or scale x and y"

    @property
    def _rule(self) -> str:
        return "external"

    @property
    def _is_line_search(self) -> bool:
        return True

    def _state_bytes(self, n_all: int, n_trained: int, item_bytes: int) -> int:
        # SciPy's history and workspace, four index arrays of 32 bits, and 18 arrays at most of
        # points, gradients and bounds: 5 of quasi_newton.py, the others of SciPy.
        n_history = (2 * self.memory + 5) * n_trained + 11 * self.memory**2 + 8 * self.memory
        by_scipy = 8 * (n_history + 18 * n_trained) + 4 * 4 * n_trained
        return super()._state_bytes(n_all, n_trained, item_bytes) + by_scipy


# By the names that the command line gives them, of a rate. NumPy is not loaded for its help.
OPTIMIZERS: Mapping[str, Callable[[float], Optimizer]] = MappingProxyType(
    {
        "barzilai-borwein": lambda rate: SteepestDescent(rate, line_search="barzilai-borwein"),
        "armijo": lambda rate: SteepestDescent(rate, line_search="armijo"),
        "fixed-rate": SteepestDescent,
        "adam": Adam,
        # Its steps are as long as its line search makes them.
        "lbfgs": lambda rate: LBFGS(),
    }
)

# One of each kind that `fit` takes.
EXAMPLES: tuple[Optimizer, ...] = tuple(
    {type(made): made for made in (make(1.0) for make in OPTIMIZERS.values())}.values()
)
KINDS: tuple[type[Optimizer], ...] = tuple(map(type, EXAMPLES))
