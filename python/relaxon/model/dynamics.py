"""How the states of a network follow each other: the kinds of its layers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .. import _core
from ..base.schema import Later, Nullable
from ..base.validate import check_choice, check_flag, check_integer, check_number, refuse
from ..operators.operator import check_depth

__all__ = ["ATTRACTOR", "DYNAMICS", "METHODS", "AtAttractor", "Explicit", "Theta", "make_dynamics"]

# What depth is where the output is the attractor.
ATTRACTOR = "attractor"
METHODS = ("auto", "newton", "anderson", "relaxation")
MOST_ITERATIONS = 2**31 - 1

NORMALIZATIONS = ("hard",)


@dataclasses.dataclass(frozen=True)
class Explicit:
    """Explicit steps, z' = (1 - omega) z + omega f(Z) - beta (|z| - 1) z, `depth` times.

    Parameters
    ----------
    depth : int
        Number of layers, at least 1.
    beta : float
        Strength of the normalisation term.
    drive : bool
        Whether the input is a source, Z = W z - b + x in every layer, and z_0 = 0.
    normalization : {None, "hard"}
        "hard": every layer ends with z / |z|.

    Raises
    ------
    TypeError, ValueError
        If one is of another type or out of range, or both normalisations are asked for.
    """

    depth: int
    beta: float
    drive: bool = dataclasses.field(default=False, kw_only=True)
    normalization: str | None = dataclasses.field(default=None, kw_only=True)

    # As model files hold them.
    kind: ClassVar[str] = "explicit"
    settings: ClassVar[dict[str, Any]] = {
        "depth": int,
        "beta": float,
        Later("drive"): bool,
        Later("normalization"): NORMALIZATIONS,
    }

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", check_depth(self.depth))
        object.__setattr__(self, "beta", check_number("beta", self.beta, 0.0))
        object.__setattr__(self, "drive", check_flag("drive", self.drive))
        if self.normalization is None:
            return
        check_choice("normalization", self.normalization, NORMALIZATIONS)
        if self.beta:
            rule = "None beside the soft normalisation, beta > 0"
            refuse("normalization", rule, repr(self.normalization), fix="take one of the two")

    @property
    def n_layers(self) -> int:
        """Layers that are computed one after the other."""
        return self.depth

    @property
    def implicitness(self) -> float:
        """Weight of a layer's end in what moves it."""
        return 0.0

    @property
    def omega_limit(self) -> float:
        """What omega stays below."""
        return 2.0 if self.implicitness < 0.5 else math.inf

    def _make_core(self, omega: str, dtype: np.dtype[Any]) -> _core.Explicit | _core.Theta:
        """The core's object; omega is "scalar", or of every "layer" or "cell"."""
        return _core.Explicit(self.depth, omega, self.beta, *self._common())

    def _common(self) -> tuple[bool, str]:
        """What stands last in the core's objects of all kinds."""
        return self.drive, self.normalization or "none"


@dataclasses.dataclass(frozen=True)
class Theta(Explicit):
    """Implicit steps: omega (f(Z) - z) is taken at the layer's end with weight `theta`.

    Parameters
    ----------
    depth, beta, drive, normalization
        As for explicit ones.
    theta : float
        Above 0 and at most 1; 1/2 is the trapezoidal rule, 1 the backward Euler step.

    Raises
    ------
    TypeError, ValueError
        If one is of another type or out of range.
    """

    theta: float

    kind: ClassVar[str] = "theta"
    settings: ClassVar[dict[str, Any]] = {**Explicit.settings, "theta": float}

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "theta", check_number("theta", self.theta, 0.0, is_open=True))
        if self.theta > 1:
            refuse("theta", "0 <= theta <= 1", self.theta)

    @property
    def implicitness(self) -> float:
        """Weight of a layer's end in what moves it."""
        return self.theta

    def _make_core(self, omega: str, dtype: np.dtype[Any]) -> _core.Theta:
        """The core's object; omega is "scalar", or of every "layer" or "cell"."""
        return _core.Theta(self.depth, omega, self.beta, self.theta, *self._common())


@dataclasses.dataclass(frozen=True)
class AtAttractor:
    """No layers, but where they lead: the output is the attractor, z = f(W z - b).

    Parameters
    ----------
    drive : bool
        Whether the input is a source, z = f(W z - b + x), instead of the start of the search.
    method : {"auto", "newton", "anderson", "relaxation"}
        How it is looked for; see :func:`relaxon.attractor`.
    tol : float or None
        Where the search ends; None: 1e-10, in float32 1e-5.
    max_iterations : int or None
        Of a sample's search; None: what is usual for the method.

    Raises
    ------
    TypeError, ValueError
        If one is of another type or out of range.
    """

    drive: bool
    method: str = "auto"
    tol: float | None = None
    max_iterations: int | None = None

    kind: ClassVar[str] = ATTRACTOR
    settings: ClassVar[dict[str, Any]] = {
        "drive": bool,
        "method": METHODS,
        "tol": Nullable(float),
        "max_iterations": Nullable(int),
    }

    depth: ClassVar[str] = ATTRACTOR
    n_layers: ClassVar[int] = 1
    beta: ClassVar[float] = 0.0
    normalization: ClassVar[str | None] = None
    implicitness: ClassVar[float] = 0.0
    omega_limit: ClassVar[float] = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "drive", check_flag("drive", self.drive))
        options = {name: getattr(self, name) for name in ("method", "tol", "max_iterations")}
        for name, value in check_options("attractor: ", options).items():
            object.__setattr__(self, name, value)

    @classmethod
    def of_options(cls, drive: bool, options: Mapping[str, Any] | None) -> AtAttractor:
        """Of the arguments `drive` and `attractor` of a model.

        Parameters
        ----------
        drive : bool
            As above.
        options : mapping or None
            Any of method, tol and max_iterations.

        Returns
        -------
        AtAttractor
            The kind of layers.

        Raises
        ------
        TypeError, ValueError
            If an option is unknown, of another type or out of range.
        """
        if options is not None and not isinstance(options, Mapping):
            rule = "None or a dict of method, tol and max_iterations"
            refuse("attractor", rule, repr(options), TypeError)
        names = [field.name for field in dataclasses.fields(cls)[1:]]
        for name in options or {}:
            if name not in names:
                refuse("attractor", f"any of {', '.join(names)}", repr(name))
        return cls(drive, **(options or {}))

    def _make_core(self, omega: str, dtype: np.dtype[Any]) -> _core.Attractor:
        """The core's object."""
        return _core.Attractor(
            omega, self.drive, self.method, self.tolerance(dtype), self.max_iterations or 0
        )

    def tolerance(self, dtype: np.dtype[Any]) -> float:
        """Where the search ends for numbers of this type.

        Parameters
        ----------
        dtype : numpy.dtype
            Of the states.

        Returns
        -------
        float
            `tol`, or what is usual.
        """
        usual = 1e-10 if dtype == np.float64 else 1e-5
        return usual if self.tol is None else self.tol

    def chosen(self) -> dict[str, Any]:
        """What is not left at its default, as the argument `attractor` takes it.

        Returns
        -------
        dict of str to object
            Some of method, tol and max_iterations.
        """
        own = dataclasses.fields(self)[1:]
        return {f.name: v for f in own if (v := getattr(self, f.name)) != f.default}


def check_options(prefix: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Method, tol and max_iterations of a search, each where it is given.

    Parameters
    ----------
    prefix : str
        What messages put before the names.
    options : mapping
        Some of the three by name.

    Returns
    -------
    dict of str to object
        The same, as plain Python values.

    Raises
    ------
    TypeError, ValueError
        If one is of another type or out of range.
    """
    checked = dict(options)
    if "method" in checked:
        check_choice(f"{prefix}method", checked["method"], METHODS)
    if checked.get("tol") is not None:
        checked["tol"] = check_number(f"{prefix}tol", checked["tol"], 0.0, is_open=True)
    if checked.get("max_iterations") is not None:
        limit = check_integer(
            f"{prefix}max_iterations", checked["max_iterations"], 1, MOST_ITERATIONS
        )
        checked["max_iterations"] = limit
    return checked


DYNAMICS = {dynamics.kind: dynamics for dynamics in (Explicit, Theta, AtAttractor)}


def make_dynamics(
    depth: int | str,
    beta: float,
    theta: float,
    drive: bool = False,
    normalization: str | None = None,
    attractor: Mapping[str, Any] | None = None,
) -> Explicit | AtAttractor:
    """The kind of layers that a model is told.

    Parameters
    ----------
    depth, beta, theta, drive, normalization, attractor
        As for :class:`relaxon.Relaxation`.

    Returns
    -------
    Explicit, Theta or AtAttractor
        Explicit where theta is 0.

    Raises
    ------
    TypeError, ValueError
        As those.
    """
    theta = check_number("theta", theta, 0.0)
    if isinstance(depth, str):
        if depth != ATTRACTOR:
            refuse("depth", f"a number of layers or {ATTRACTOR!r}", repr(depth), TypeError)
        beta = check_number("beta", beta, 0.0)
        for name, value in (("beta", beta), ("theta", theta), ("normalization", normalization)):
            if value:
                rule = f"none beside depth={ATTRACTOR!r}, which has no steps"
                refuse(name, rule, repr(value), fix=f"leave {name} out, or give a number of layers")
        return AtAttractor.of_options(drive, attractor)
    if attractor is not None:
        refuse("attractor", f"None without depth={ATTRACTOR!r}", repr(attractor))
    if not theta:
        return Explicit(depth, beta, drive=drive, normalization=normalization)
    return Theta(depth, beta, theta, drive=drive, normalization=normalization)
