"""L-BFGS: SciPy chooses the points, the core evaluates, records and judges them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .descent import Descent
from .optimizers import LBFGS
from .steps import Follower, take_steps

__all__: list[str] = []

Vector = NDArray[np.float64]


class _Stop(Exception):
    """Leaves SciPy's loop."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class _Search:
    """The function that SciPy lowers, of the trained parameters in units of their scales."""

    def __init__(self, descent: Descent, on_step: Callable[[], bool]) -> None:
        self._descent = descent
        self._on_step = on_step
        self._point = descent.point()
        start = self._point[descent.trained]
        self._here = self._tried = self._try(_scaled(start, descent.scales, inverse=True))
        self.n_trials = self.n_finite = 0

    @property
    def start(self) -> Vector:
        return self._here[0]

    def _try(self, v: Vector) -> tuple[Vector, float, Vector]:
        scales = self._descent.scales
        self._point[self._descent.trained] = _scaled(v, scales)
        gradient = np.empty_like(self._point)
        value = self._descent.evaluate(self._point, gradient)
        return v.copy(), value, _scaled(gradient[self._descent.trained], scales)

    def value_and_gradient(self, v: Vector) -> tuple[float, Vector]:
        if np.array_equal(v, self._here[0]):
            return self._here[1], self._here[2]
        self._tried = self._try(v)
        _, value, gradient = self._tried
        self.n_trials += 1
        if np.isfinite(value) and np.all(np.isfinite(gradient)):
            self.n_finite += 1
            return value, gradient
        # The parabola from the last point and its slope with the minimum at a tenth of the way: the
        # line search would make nothing of an infinity.
        here, height, slopes = self._here
        return height + 4.0 * abs(float(slopes @ (v - here))), -9.0 * slopes

    def accept(self, v: Vector) -> None:
        if not np.array_equal(v, self._tried[0]):
            self._tried = self._try(v)
        self._here = self._tried
        self.n_trials = self.n_finite = 0
        self._descent.accept()
        if self._on_step():
            raise _Stop("callback")
        verdict = self._descent.judge()
        if verdict != "running":
            raise _Stop(verdict)


@take_steps.register
def _(optimizer: LBFGS, descent: Descent, follower: Follower) -> str:
    """Steps of L-BFGS-B until the end; how it ended."""
    from scipy.optimize import Bounds, minimize

    verdict = descent.judge()
    if verdict != "running":
        return verdict
    search = _Search(descent, follower)
    limits: Any = None
    if descent.bounds is not None:
        sides = (side[descent.trained] for side in descent.bounds)
        limits = Bounds(*(_scaled(side, descent.scales, inverse=True) for side in sides))
    try:
        with _single_threaded_blas():
            minimize(
                search.value_and_gradient,
                search.start,
                jac=True,
                method="L-BFGS-B",
                bounds=limits,
                callback=search.accept,
                options={
                    "maxcor": optimizer.memory,
                    "maxls": optimizer.max_line_search,
                    # The core judges; SciPy stops where no step lowers the value any more.
                    "ftol": 0.0,
                    "gtol": 0.0,
                    "maxiter": follower.n_steps,
                    "maxfun": (follower.n_steps + 1) * (optimizer.max_line_search + 1),
                },
            )
    except _Stop as stop:
        return stop.status
    return "diverged" if search.n_trials and not search.n_finite else "converged"


def _scaled(values: Vector, scales: Vector | None, inverse: bool = False) -> Vector:
    if scales is None:
        return values
    return values / scales if inverse else values * scales


def _single_threaded_blas() -> AbstractContextManager[object]:
    """SciPy's products are small here: their idle threads would only keep the core's waiting."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits
