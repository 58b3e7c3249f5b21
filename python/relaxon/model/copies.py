"""Models made of a model: with other parameters, fewer layers, another grid or precision."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.validate import check_dtype, check_instance, check_integer, check_number, refuse
from ..datasets.scaling import Scaling
from ..domain.grid import Grid
from .network import Network

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CopyableNetwork"]

Array = NDArray[Any]


class CopyableNetwork(Network):
    """A network of which others are made; none of them changes."""

    # Layers that calls and products go through; -1: all.
    _end = -1

    def _until(self, layer: int) -> Self:
        """The first layers alone, for states, tangents and adjoints: parameters stay whole."""
        model = self._copy()
        model._end = layer
        return model

    def _behind_lift(self) -> Self:
        """The network that takes the first state in the place of x, without lift and drive."""
        if self._lift is None and not self.drive:
            return self
        model = self._fresh_copy()
        model._lift = None
        if self.drive:
            model._dynamics = dataclasses.replace(self._dynamics, drive=False)
        own = (item for item in self._params.items() if not item[0].startswith("lift_"))
        model._params = self._freeze(dict(own))
        return model

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
        1 / (h_a h_b), the moment k with 1 / h^k; R, omega or gamma and the time per layer stay.

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
            self._rate_name: self._parameters[self._rate_name].is_field,
            "lift": self._lift is not None,
            "readout": self._readout is not None,
        }
        for name, is_field in fields.items():
            if is_field and grid.shape != old.shape:
                rule = f"the shape {old.shape}, as {name} of the model belong to its cells"
                refuse("grid", rule, grid.shape)
        model = self._fresh_copy()
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

    def truncate(self, depth: int) -> Self:
        """The first layers as a model of its own.

        Parameters
        ----------
        depth : int
            Layers to keep, from 1 to those that there are.

        Returns
        -------
        Relaxation
            Its output is z of that layer, bit by bit that of :meth:`Relaxation.trajectory`; with a
            readout, what the same readout makes of it. Of layered parameters and rates the first
            are kept. Lift, scaling and the time per layer stay: a shorter network stands for a
            shorter time.

        Raises
        ------
        TypeError, ValueError
            If the depth is no whole number of at least 1, or beyond the model's.

        Examples
        --------
        >>> import numpy as np, relaxon as rx
        >>> model = rx.Relaxation(rx.ADR(rx.Grid((64,)), time="layered"), depth=10)
        >>> x = np.random.default_rng(0).standard_normal((5, 64))
        >>> shallow = model.truncate(4)
        >>> shallow.params["U"].shape, np.array_equal(shallow(x), model.trajectory(x)[:, 4])
        ((4, 1), True)
        """
        self._check_layers("truncate")
        n = check_integer("depth", depth, 1)
        if n > self.depth:
            refuse("depth", f"at most the depth of the model, {self.depth}", n)
        model = self._fresh_copy()
        model._dynamics = dataclasses.replace(self._dynamics, depth=n)  # type: ignore[arg-type]
        cut = {
            name: np.array(array[:n] if self._parameters[name].is_layered else array)
            for name, array in {**self._params, self._rate_name: self._own_rate}.items()
        }
        rate = cut[self._rate_name]
        if self._omega_kind == "cell" and rate.shape == (n,):
            # As many cells as layers: the shape would be taken for that of the layers.
            rate = cut[self._rate_name] = rate.reshape(1, n)
        model._set_rate(self._rate_name, rate)
        model._params = self._freeze({name: cut[name] for name in self._params})
        return model

    def _check_params(self, params: Mapping[str, ArrayLike]) -> dict[str, Array]:
        for name in params:
            if name not in self._params:
                rule = f"names out of {', '.join(self._params)}"
                fix = self._why_no_parameter(name)
                refuse("params", rule, repr(name), fix=fix)
        return {
            name: self._check_parameter(self._parameters[name], value)
            for name, value in params.items()
        }

    def _copy(self) -> Self:
        model = type(self).__new__(type(self))
        model.__dict__.update(self.__dict__)
        return model

    def _fresh_copy(self) -> Self:
        """One without what was derived from the configuration, which is to change."""
        model = self._copy()
        for cached in ("_network", "_parameters", "input_shape", "output_shape"):
            model.__dict__.pop(cached, None)
        return model

    def _with_dt(self, dt: float) -> Self:
        """A copy whose layers stand for another time."""
        model = self._fresh_copy()
        model._dt = check_number("dt", dt, 0.0, is_open=True)
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
        model._rate = self._rate.astype(model._dtype)
        model._rate.flags.writeable = False
        model._params = self._freeze(
            {name: array.astype(model._dtype) for name, array in self._params.items()}
        )
        return model
