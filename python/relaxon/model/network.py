"""Configuration and parameters of a model, apart from what it computes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..base.cached import cached_property
from ..base.validate import (
    check_array,
    check_choice,
    check_dtype,
    check_flag,
    check_instance,
    check_integer,
    check_number,
    check_text,
    check_threads,
    refuse,
    useful_threads,
)
from ..datasets.scaling import Scaling
from ..operators.operator import Operator
from ..operators.parameters import Parameter, check_names, check_parameter, make_table
from .activations import check_activation
from .dynamics import ATTRACTOR, AtAttractor, Explicit, make_dynamics
from .ends import End, Lift, Readout
from .initial_values import initial_params

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Network"]

BIASES = ("homogeneous", "local")
Array = NDArray[Any]


class Network:
    """An immutable configuration with its parameter arrays; :class:`relaxon.Relaxation` runs it."""

    def __init__(
        self,
        op: Operator,
        depth: int | str,
        activation: str = "tanh",
        omega: float | ArrayLike | None = None,
        bias: str | None = None,
        beta: float = 0.0,
        trainable_omega: bool = False,
        lift: Lift | None = None,
        readout: Readout | None = None,
        dt: float = 1.0,
        time_unit: str = "",
        dtype: Any = np.float64,
        seed: int = 0,
        theta: float = 0.0,
        drive: bool = False,
        normalization: str | None = None,
        attractor: Mapping[str, Any] | None = None,
        gamma: float | ArrayLike | None = None,
    ) -> None:
        check_instance("op", op, Operator)
        settings = (activation, bias, trainable_omega, lift, readout, dt, time_unit)
        dynamics = make_dynamics(depth, beta, theta, drive, normalization, attractor)
        self._configure(op, dynamics, *settings, dtype, seed)
        name, rate = _choose_rate(omega, gamma)
        self._set_rate(name, np.array(rate, self._dtype, order="C"))
        self._check_rate_range()
        self._params = self._freeze(
            initial_params(self._trained(), op, self._rate, self._dtype, self._seed)
        )

    def _configure(
        self,
        op: Operator,
        dynamics: Explicit | AtAttractor,
        activation: str,
        bias: str | None,
        trainable_omega: bool,
        lift: Lift | None,
        readout: Readout | None,
        dt: float,
        time_unit: str,
        dtype: Any,
        seed: int,
    ) -> None:
        """Everything but arrays."""
        self._operator = op
        self._dynamics = dynamics
        if dynamics.implicitness > 0.5 and op.uses_omega:
            rule = "theta <= 1/2, beyond which the term of the lax-wendroff scheme amplifies"
            refuse("theta", rule, dynamics.implicitness)
        self._activation = check_activation(activation)
        self._bias = None if bias is None else check_choice("bias", bias, BIASES)
        self._trainable_omega = check_flag("trainable_omega", trainable_omega)
        if lift is not None:
            check_instance("lift", lift, Lift)
        if readout is not None:
            check_instance("readout", readout, Readout)
        self._lift, self._readout = lift, readout
        if self.is_at_attractor:
            self._check_attractor()
        self._dt = check_number("dt", dt, 0.0, is_open=True)
        self._time_unit = check_text("time_unit", time_unit)
        self._dtype = check_dtype(dtype)
        self._seed = check_integer("seed", seed, 0)
        self._scaling: Scaling | None = None

    @classmethod
    def _of_arrays(
        cls,
        op: Operator,
        params: Mapping[str, Array],
        rate_name: str,
        rate: Array | None,
        **settings: Any,
    ) -> Self:
        """A model of arrays of its type that are its own from now on, neither drawn nor copied.

        The rate, "omega" or "gamma", is None where it is among the parameters: it may have left its
        interval then. Shapes are compared before anything is allocated.
        """
        model = cls.__new__(cls)
        model._configure(op, **settings)
        is_trained = model._trainable_omega
        if is_trained and rate_name not in params:
            refuse("params", "an entry for every parameter", f"none for {rate_name!r}")
        found = check_array(rate_name, params[rate_name] if is_trained else rate, model._dtype)
        model._set_rate(rate_name, found)
        if not is_trained:
            model._check_rate_range()
        table = model._trained()
        check_names("params", params, list(table))
        model._params = model._freeze(
            {name: model._check_parameter(p, params[name]) for name, p in table.items()}
        )
        return model

    # -- configuration ------------------------------------------------------------------------

    @property
    def operator(self) -> Operator:
        """The operator W."""
        return self._operator

    @property
    def grid(self) -> Any:
        """The operator's grid."""
        return self._operator.grid

    @property
    def depth(self) -> Any:
        """Number of layers, or "attractor"."""
        return self._dynamics.depth

    @property
    def n_layers(self) -> int:
        """Number of layers that are computed: the depth, or 1 at the attractor."""
        return self._dynamics.n_layers

    @property
    def is_at_attractor(self) -> bool:
        """Whether the output is the attractor instead of a layer's."""
        return self.depth == ATTRACTOR  # type: ignore[no-any-return]

    def _check_layers(self, purpose: str) -> None:
        """Refuse what only layers have."""
        if self.is_at_attractor:
            fix = "the layers that lead there are those of a model with a number for its depth"
            refuse("model", f"a number of layers, for {purpose}", f"depth={self.depth!r}", fix=fix)

    @property
    def activation(self) -> str:
        """Name of f."""
        return self._activation

    @property
    def omega(self) -> Array:
        """Relaxation rate, trained or not; 1 - exp(-gamma dt) where the model has a gamma."""
        if self._rate_name == "omega":
            return self._own_rate
        omega = np.empty(self._rate.shape, self._dtype)
        self._network.omega(self._own_rate, omega)
        omega.flags.writeable = False
        return omega

    @property
    def gamma(self) -> Array | None:
        """Relaxation rate per time, trained or not; None where the model was given omega."""
        return self._own_rate if self._rate_name == "gamma" else None

    @property
    def _own_rate(self) -> Array:
        """The array of the core's table that stands last, omega or gamma."""
        return self._params[self._rate_name] if self._trainable_omega else self._rate

    @property
    def bias(self) -> str | None:
        """Kind of the bias."""
        return self._bias

    @property
    def beta(self) -> float:
        """Strength of the normalisation term."""
        return self._dynamics.beta

    @property
    def theta(self) -> float:
        """Weight of a layer's end in what moves it; 0: explicit layers."""
        return self._dynamics.implicitness

    @property
    def drive(self) -> bool:
        """Whether the input is a source in every layer, not the first state."""
        return self._dynamics.drive

    @property
    def normalization(self) -> str | None:
        """Whether every layer ends with z / |z|: "hard" or None."""
        return self._dynamics.normalization

    @property
    def trainable_omega(self) -> bool:
        """Whether omega, or gamma in its place, is a parameter."""
        return self._trainable_omega

    @property
    def lift(self) -> Lift | None:
        """The map from x to the first state; None where x is that state."""
        return self._lift

    @property
    def readout(self) -> Readout | None:
        """The map from the last state to the output; None where that state is the output."""
        return self._readout

    @cached_property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input: the grid's, or (n_in,) with a lift."""
        shape: tuple[int, ...] = self.grid.shape
        return shape if self._lift is None else (self._lift.n_in,)

    @cached_property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one output: the grid's, or (n_out,) with a readout."""
        shape: tuple[int, ...] = self.grid.shape
        return shape if self._readout is None else (self._readout.n_out,)

    @property
    def dt(self) -> float:
        """Time per layer, for reports and beside gamma."""
        return self._dt

    @property
    def time_unit(self) -> str:
        """Unit of `dt`."""
        return self._time_unit

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of parameters, inputs and outputs."""
        return self._dtype

    @property
    def seed(self) -> int:
        """Seed of the initial values."""
        return self._seed

    @property
    def params(self) -> Mapping[str, Array]:
        """Trained arrays by name, read-only."""
        return self._params

    @property
    def scaling(self) -> Scaling | None:
        """Between the data and the model's numbers, where known; see :meth:`with_scaling`."""
        return self._scaling

    @property
    def n_parameters(self) -> int:
        """Number of trained numbers, those of existing cells only."""
        return sum(self._parameters[name].n_trained(self.grid) for name in self._params)

    def _check_attractor(self) -> None:
        """What the attractor of one layer cannot have."""
        if self._operator.is_layered:
            fix = "a layered operator has no single attractor; give it time='constant'"
            refuse("op", f"constant coefficients with depth={ATTRACTOR!r}", "layered ones", fix=fix)
        if self._lift is not None and not self.drive:
            rule = f"None with depth={ATTRACTOR!r} but without drive, where the input is forgotten"
            refuse("lift", rule, repr(self._lift), fix="give drive=True")

    def _set_rate(self, name: str, rate: Array) -> None:
        shape = self.grid.shape
        if self.is_at_attractor and rate.ndim > 0:
            refuse(name, f"a number with depth={ATTRACTOR!r}", f"shape {rate.shape}")
        if rate.ndim == 0:
            kind = "scalar"
        elif rate.shape == (self.n_layers,):
            kind = "layer"
        elif rate.shape in (shape, (1, *shape)[-2:]):
            kind = "cell"
        else:
            refuse(name, f"a number, ({self.depth},) per layer or {shape} per cell", rate.shape)
        rate.flags.writeable = False
        self._rate_name, self._rate, self._omega_kind = name, rate, kind

    def _check_rate_range(self) -> None:
        name, rate = self._rate_name, self._rate
        limit = self._dynamics.omega_limit if name == "omega" else math.inf
        wrong = ~((rate >= 0) & (rate < limit))
        readable = self._parameters[name].readable(self.grid)
        if readable is not None:
            wrong &= readable
        if wrong.any():
            is_bound = limit < math.inf and limit <= rate.max()
            fix = "layers with theta of at least 1/2 take any" if is_bound else ""
            refuse(name, f"0 <= {name} < {limit:g}", rate[wrong].flat[0], fix=fix)

    @cached_property
    def _network(self) -> _core.Network:
        return self._operator._core_network(
            self._dynamics._make_core(self._omega_kind, self._dtype),
            self._dtype,
            activation=self._activation,
            bias=self._bias or "none",
            lift=_core_end(self._lift),
            readout=_core_end(self._readout),
            gamma_dt=self._dt if self._rate_name == "gamma" else 0.0,
        )

    def _n_threads(self, threads: int | None, batch: int) -> int:
        """Workers for a sweep over a batch: by default no more than it keeps busy."""
        if threads is not None:
            return check_threads(threads)
        # In multiply-adds; 16 for what a layer does beside the product.
        n_layers = 50 if self.is_at_attractor else self.depth
        per_cell = n_layers * (16 + self._operator._row_length())
        per_cell += self._lift.n_in if self._lift else 0
        per_cell += self._readout.n_out if self._readout else 0
        return useful_threads(batch * self.grid.n_cells * per_cell)

    @cached_property
    def _parameters(self) -> dict[str, Parameter]:
        """The table of all arrays of the core: omega or gamma last, trained or not."""
        table = make_table(self._network.arrays)
        rate = table[self._rate_name]
        n_more = self._rate.ndim - len(rate.shape)
        # In one dimension omega per cell may be written (1, N).
        axes = ("components",) * n_more + rate.axes
        table[rate.name] = dataclasses.replace(rate, shape=self._rate.shape, axes=axes)
        return table

    def _trained(self) -> dict[str, Parameter]:
        """Those of them that are parameters."""
        table = dict(self._parameters)
        if not self._trainable_omega:
            del table[self._rate_name]
        return table

    def __call__(self, x: Array, threads: int | None = None, out: Array | None = None) -> Array:
        """Outputs; :class:`relaxon.Relaxation` computes them."""
        raise NotImplementedError

    def _why_no_parameter(self, name: object) -> str:
        """A hint for those who take omega or gamma for a parameter."""
        if name == self._rate_name:
            return f"the model's {name} is not trainable"
        return f"the model has {self._rate_name}" if name in ("omega", "gamma") else ""

    def _freeze(self, params: dict[str, Array]) -> Mapping[str, Array]:
        for array in params.values():
            array.flags.writeable = False
        return MappingProxyType(params)

    def _check_parameter(self, parameter: Parameter, value: Any) -> Array:
        return check_parameter(parameter, value, self._dtype, self.grid)

    # -- plain Python objects --------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        names = ["operator", "dynamics", "activation", "bias", "trainable_omega"]
        names += ["lift", "readout", "dt", "time_unit", "dtype", "seed", "scaling"]
        return {name: getattr(self, f"_{name}") for name in names}

    def _ends(self) -> dict[str, End | None]:
        return {"lift": self._lift, "readout": self._readout}

    def _key(self) -> tuple[Any, ...]:
        arrays = {**self._params, self._rate_name: self._own_rate}
        contents = sorted((name, a.shape, a.tobytes()) for name, a in arrays.items())
        return (*self._settings().values(), tuple(contents))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Network) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __getstate__(self) -> dict[str, Any]:
        cached = ("_network", "_parameters")
        state = {name: value for name, value in self.__dict__.items() if name not in cached}
        return {**state, "_params": dict(self._params)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._params = self._freeze({name: np.array(a) for name, a in state["_params"].items()})
        self._rate = np.array(self._rate)
        self._rate.flags.writeable = False

    def __repr__(self) -> str:
        rate = self._own_rate
        text = f"{rate[()]:g}" if rate.ndim == 0 else f"<{rate.shape}>"
        parts = [repr(self._operator), f"depth={self.depth!r}"]
        parts += [f"activation={self._activation!r}", f"{self._rate_name}={text}"]
        if self._rate_name == "gamma":
            parts.append(f"dt={self._dt:g}")
        if self._bias:
            parts.append(f"bias={self._bias!r}")
        if self.beta:
            parts.append(f"beta={self.beta:g}")
        if self.theta:
            parts.append(f"theta={self.theta:g}")
        if self.drive:
            parts.append("drive=True")
        if self.normalization:
            parts.append(f"normalization={self.normalization!r}")
        if isinstance(self._dynamics, AtAttractor) and self._dynamics.chosen():
            parts.append(f"attractor={self._dynamics.chosen()!r}")
        if self._trainable_omega:
            parts.append("trainable_omega=True")
        parts += [f"{name}={end!r}" for name, end in self._ends().items() if end is not None]
        parts.append(f"dtype='{self._dtype}'")
        return f"Relaxation({', '.join(parts)})"


def _choose_rate(omega: Any, gamma: Any) -> tuple[str, Any]:
    """Name and value of the rate that the model is told."""
    if omega is not None and gamma is not None:
        fix = "give one of them: omega = 1 - exp(-gamma dt)"
        refuse("gamma", "None beside omega", repr(gamma), fix=fix)
    name, rate = ("omega", 0.5 if omega is None else omega) if gamma is None else ("gamma", gamma)
    if np.asarray(rate).dtype.kind not in "fiu":
        refuse(name, "a number or an array of numbers", repr(rate), TypeError)
    return name, rate


def _core_end(end: End | None) -> _core.End:
    """An end as the core takes it; one of no width is none."""
    return _core.End(0, "identity") if end is None else end._core_end()
