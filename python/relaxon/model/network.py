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
from ..domain.grid import Grid
from ..operators.operator import Operator, check_depth
from ..operators.parameters import Parameter, check_names, check_parameter, make_table
from .activations import check_activation
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
        depth: int,
        activation: str = "tanh",
        omega: float | ArrayLike = 0.5,
        bias: str | None = None,
        beta: float = 0.0,
        trainable_omega: bool = False,
        lift: Lift | None = None,
        readout: Readout | None = None,
        dt: float = 1.0,
        time_unit: str = "",
        dtype: Any = np.float64,
        seed: int = 0,
    ) -> None:
        settings = (activation, bias, beta, trainable_omega, lift, readout, dt, time_unit)
        self._configure(op, depth, *settings, dtype, seed)
        if np.asarray(omega).dtype.kind not in "fiu":
            refuse("omega", "a number or an array of numbers", repr(omega), TypeError)
        self._set_omega(np.array(omega, self._dtype, order="C"))
        self._check_omega_range()
        self._params = self._freeze(
            initial_params(self._trained(), op, self._omega, self._dtype, self._seed)
        )

    def _configure(
        self,
        op: Operator,
        depth: int,
        activation: str,
        bias: str | None,
        beta: float,
        trainable_omega: bool,
        lift: Lift | None,
        readout: Readout | None,
        dt: float,
        time_unit: str,
        dtype: Any,
        seed: int,
    ) -> None:
        """Everything but arrays."""
        check_instance("op", op, Operator)
        self._operator = op
        self._depth = check_depth(depth)
        self._activation = check_activation(activation)
        self._bias = None if bias is None else check_choice("bias", bias, BIASES)
        self._beta = check_number("beta", beta, 0.0)
        self._trainable_omega = check_flag("trainable_omega", trainable_omega)
        if lift is not None:
            check_instance("lift", lift, Lift)
        if readout is not None:
            check_instance("readout", readout, Readout)
        self._lift, self._readout = lift, readout
        self._dt = check_number("dt", dt, 0.0, is_open=True)
        self._time_unit = check_text("time_unit", time_unit)
        self._dtype = check_dtype(dtype)
        self._seed = check_integer("seed", seed, 0)
        self._scaling: Scaling | None = None

    @classmethod
    def _of_arrays(
        cls, op: Operator, params: Mapping[str, Array], omega: Array | None, **settings: Any
    ) -> Self:
        """A model of arrays of its type that are its own from now on, neither drawn nor copied.

        `omega` is None where it is among the parameters: it may have left its interval then.
        Shapes are compared before anything is allocated.
        """
        model = cls.__new__(cls)
        model._configure(op, **settings)
        is_trained = model._trainable_omega
        if is_trained and "omega" not in params:
            refuse("params", "an entry for every parameter", "none for 'omega'")
        model._set_omega(
            check_array("omega", params["omega"] if is_trained else omega, model._dtype)
        )
        if not is_trained:
            model._check_omega_range()
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
    def depth(self) -> int:
        """Number of layers."""
        return self._depth

    @property
    def activation(self) -> str:
        """Name of f."""
        return self._activation

    @property
    def omega(self) -> Array:
        """Relaxation rate, trained or not."""
        return self._params["omega"] if self._trainable_omega else self._omega

    @property
    def bias(self) -> str | None:
        """Kind of the bias."""
        return self._bias

    @property
    def beta(self) -> float:
        """Strength of the normalisation term."""
        return self._beta

    @property
    def trainable_omega(self) -> bool:
        """Whether omega is a parameter."""
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
        """Time per layer, for reports."""
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

    def _set_omega(self, omega: Array) -> None:
        shape = self.grid.shape
        if omega.ndim == 0:
            kind = "scalar"
        elif omega.shape == (self._depth,):
            kind = "layer"
        elif omega.shape in (shape, (1, *shape)[-2:]):
            kind = "cell"
        else:
            refuse(
                "omega", f"a number, ({self._depth},) per layer or {shape} per cell", omega.shape
            )
        omega.flags.writeable = False
        self._omega, self._omega_kind = omega, kind

    def _check_omega_range(self) -> None:
        omega = self._omega
        wrong = ~((omega >= 0) & (omega < 2))
        readable = self._parameters["omega"].readable(self.grid)
        if readable is not None:
            wrong &= readable
        if wrong.any():
            refuse("omega", "0 <= omega < 2", omega[wrong].flat[0])

    @cached_property
    def _network(self) -> _core.Network:
        return self._operator._core_network(
            self._depth,
            self._omega_kind,
            self._dtype,
            activation=self._activation,
            bias=self._bias or "none",
            beta=self._beta,
            lift=_core_end(self._lift),
            readout=_core_end(self._readout),
        )

    def _n_threads(self, threads: int | None, batch: int) -> int:
        """Workers for a sweep over a batch: by default no more than it keeps busy."""
        if threads is not None:
            return check_threads(threads)
        # In multiply-adds; 16 for what a layer does beside the product.
        per_cell = self._depth * (16 + self._operator._row_length())
        per_cell += self._lift.n_in if self._lift else 0
        per_cell += self._readout.n_out if self._readout else 0
        return useful_threads(batch * self.grid.n_cells * per_cell)

    @cached_property
    def _parameters(self) -> dict[str, Parameter]:
        """The table of all arrays of the core: omega last, trained or not."""
        table = make_table(self._network.arrays)
        omega = table["omega"]
        n_more = self._omega.ndim - len(omega.shape)
        # In one dimension omega per cell may be written (1, N).
        axes = ("components",) * n_more + omega.axes
        table["omega"] = dataclasses.replace(omega, shape=self._omega.shape, axes=axes)
        return table

    def _trained(self) -> dict[str, Parameter]:
        """Those of them that are parameters."""
        table = dict(self._parameters)
        if not self._trainable_omega:
            del table["omega"]
        return table

    def __call__(self, x: Array, threads: int | None = None, out: Array | None = None) -> Array:
        """Outputs; :class:`relaxon.Relaxation` computes them."""
        raise NotImplementedError

    def _freeze(self, params: dict[str, Array]) -> Mapping[str, Array]:
        for array in params.values():
            array.flags.writeable = False
        return MappingProxyType(params)

    def with_params(self, params: Mapping[str, ArrayLike]) -> Self:
        """A new model with other parameters.

        Parameters
        ----------
        params : mapping of str to array
            Arrays of the model's type and of the shapes in :attr:`params`; they are copied. Names
            that are left out keep their values.

        Returns
        -------
        Relaxation
            The new model.

        Raises
        ------
        TypeError, ValueError
            If a name is unknown, an array has another type or shape, or is not finite where cells
            exist.

        Examples
        --------
        >>> import numpy as np, relaxon as rx
        >>> model = rx.Relaxation(rx.ADR(rx.Grid((64,))), depth=10)
        >>> model.with_params({"U": np.array([0.5])}).params["U"]
        array([0.5])
        """
        checked = {name: array.copy() for name, array in self._check_params(params).items()}
        model = self._copy()
        model._params = self._freeze({**self._params, **checked})
        return model

    def with_scaling(self, scaling: Scaling | None) -> Self:
        """A new model that knows the data it was trained on.

        Parameters
        ----------
        scaling : Scaling or None
            Climatology, scale, lead and coordinates, as :func:`relaxon.datasets.from_xarray` finds
            them; of the model's grid. None takes it away. What the grid's Dirichlet conditions hold
            is in the numbers the model sees; ``scaling.scale_number`` makes them of numbers in the
            unit of the data.

        Returns
        -------
        Relaxation
            The new model; :meth:`Relaxation.predict_xarray` and reports use the scaling.

        Raises
        ------
        TypeError, ValueError
            If it is something else, or of another shape.

        Examples
        --------
        >>> import relaxon as rx
        >>> pairs = rx.datasets.from_xarray(rx.datasets.sst().to_xarray(), anomaly="month")
        >>> model = rx.Relaxation(rx.ADR(pairs.grid), depth=10).with_scaling(pairs.scaling)
        >>> model.scaling == pairs.scaling
        True
        """
        if scaling is not None:
            check_instance("scaling", scaling, Scaling)
            if scaling.coordinates.shape != self.grid.shape:
                refuse("scaling", f"one of shape {self.grid.shape}", scaling.coordinates.shape)
        model = self._copy()
        model._scaling = scaling
        return model

    def with_grid(self, grid: Grid) -> Self:
        """A new model on a finer or coarser grid, with the same physical coefficients.

        Lattice values are converted by the spacings h: the coefficient of the derivative along the
        axes a, b, ... becomes d (h_a / h'_a) (h_b / h'_b) ..., so that U goes with 1 / h, D with
        1 / (h_a h_b), the moment k with 1 / h^k; R, omega and the time per layer stay.

        Parameters
        ----------
        grid : Grid
            The new one, with the names and units of the old axes; boundary conditions and mask are
            taken from it. ``model.grid.replace(shape=..., spacing=...)`` keeps the rest.

        Returns
        -------
        Relaxation
            The new model. Numerical diffusion of the upwind and Lax-Wendroff schemes depends on the
            spacing, and is not what it was.

        Raises
        ------
        TypeError, ValueError
            If it is no grid, or of other axes; if it is a free stencil or matrix, whose entries
            belong to no derivative; if the shape is another one and anything differs between cells
            (local coefficients, bias or omega, lift, readout), for which there is no value on the
            new cells; if the model has a scaling, whose climatology is that of the old cells.

        Notes
        -----
        Stability is not checked: on a grid of half the spacing 2 omega s sum d is four times as
        large. ``rx.explain(model).stability`` tells; more layers with a smaller omega help.

        Examples
        --------
        >>> import relaxon as rx
        >>> model = rx.Relaxation(rx.ADR(rx.Grid((64,), spacing=500.0, unit="m")), depth=10)
        >>> finer = model.with_grid(model.grid.replace(shape=(128,), spacing=250.0))
        >>> float(finer.params["D"][0] / model.params["D"][0])
        4.0
        >>> [f"{rx.explain(m).processes[2].values:.1f} m^2" for m in (model, finer)]
        ['13300.5 m^2', '13300.5 m^2']
        """
        check_instance("grid", grid, Grid)
        old, kind = self.grid, type(self._operator).__name__
        if not self._operator.has_derivatives:
            rule = "a model with ADR or Moments, whose entries belong to derivatives"
            refuse("self", rule, f"one with {kind}")
        for name, mine, given in (
            ("names", old.names, grid.names),
            ("units", old.unit, grid.unit),
        ):
            if mine != given:
                fix = "model.grid.replace keeps them"
                refuse("grid", f"the {name} {mine}, those of the model", given, fix=fix)
        if self._scaling is not None:
            fix = "take it away with with_scaling(None), and give the model that of the new cells"
            refuse("self", "a model without a scaling, which is of the old cells", "one", fix=fix)
        fields = {
            "coefficients": self._operator.is_local,
            "bias": self._bias is not None and self._parameters["bias"].is_field,
            "omega": self._parameters["omega"].is_field,
            "lift": self._lift is not None,
            "readout": self._readout is not None,
        }
        for name, is_field in fields.items():
            if is_field and grid.shape != old.shape:
                rule = f"the shape {old.shape}, as {name} of the model belong to its cells"
                refuse("grid", rule, grid.shape)
        model = self._copy()
        for cached in ("_network", "_parameters", "input_shape", "output_shape"):
            model.__dict__.pop(cached, None)
        model._operator = dataclasses.replace(self._operator, grid=grid)
        params = dict(self._params)
        for name, components in self._operator.components().items():
            parameter, factors = (
                self._parameters[name],
                np.array(
                    [
                        math.prod(old.spacing[a] / grid.spacing[a] for a in component.axes or ())
                        for component in components
                    ]
                ),
            )
            axis = parameter.component_axis
            factors = factors[0] if axis is None else parameter.along(axis, factors)
            params[name] = np.asarray(self._params[name].astype(np.float64) * factors, self._dtype)
        model._params = self._freeze(model._check_params(params))
        return model

    def _check_params(self, params: Mapping[str, ArrayLike]) -> dict[str, Array]:
        for name in params:
            if name not in self._params:
                rule = f"names out of {', '.join(self._params)}"
                fix = "the model's omega is not trainable" if name == "omega" else ""
                refuse("params", rule, repr(name), fix=fix)
        return {
            name: self._check_parameter(self._parameters[name], value)
            for name, value in params.items()
        }

    def _check_parameter(self, parameter: Parameter, value: Any) -> Array:
        return check_parameter(parameter, value, self._dtype, self.grid)

    def _copy(self) -> Self:
        model = type(self).__new__(type(self))
        model.__dict__.update(self.__dict__)
        return model

    def astype(self, dtype: Any) -> Self:
        """The same model in another precision.

        Parameters
        ----------
        dtype : {"float64", "float32"}
            The type.

        Returns
        -------
        Relaxation
            A new model; parameters are rounded where that loses digits.

        Raises
        ------
        TypeError
            If the type is neither of the two.

        Examples
        --------
        >>> import relaxon as rx
        >>> rx.Relaxation(rx.ADR(rx.Grid((64,))), depth=10).astype("float32").params["D"].dtype
        dtype('float32')
        """
        model = self._copy()
        model.__dict__.pop("_network", None)
        model._dtype = check_dtype(dtype)
        model._omega = self._omega.astype(model._dtype)
        model._omega.flags.writeable = False
        model._params = self._freeze(
            {name: array.astype(model._dtype) for name, array in self._params.items()}
        )
        return model

    # -- plain Python objects --------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        names = ["operator", "depth", "activation", "bias", "beta", "trainable_omega"]
        names += ["lift", "readout", "dt", "time_unit", "dtype", "seed", "scaling"]
        return {name: getattr(self, f"_{name}") for name in names}

    def _ends(self) -> dict[str, End | None]:
        return {"lift": self._lift, "readout": self._readout}

    def _key(self) -> tuple[Any, ...]:
        arrays = {**self._params, "omega": self.omega}
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
        self._omega = np.array(self._omega)
        self._omega.flags.writeable = False

    def __repr__(self) -> str:
        omega = f"{self.omega[()]:g}" if self.omega.ndim == 0 else f"<{self.omega.shape}>"
        parts = [repr(self._operator), f"depth={self._depth}"]
        parts += [f"activation={self._activation!r}", f"omega={omega}"]
        if self._bias:
            parts.append(f"bias={self._bias!r}")
        if self._beta:
            parts.append(f"beta={self._beta:g}")
        if self._trainable_omega:
            parts.append("trainable_omega=True")
        parts += [f"{name}={end!r}" for name, end in self._ends().items() if end is not None]
        parts.append(f"dtype='{self._dtype}'")
        return f"Relaxation({', '.join(parts)})"


def _core_end(end: End | None) -> _core.End:
    """An end as the core takes it; one of no width is none."""
    return _core.End(0, "identity") if end is None else end._core_end()
