"""The model: a network of relaxation layers and everything it computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from ..base.validate import check_number
from .differentiable import DifferentiableNetwork

if TYPE_CHECKING:
    import os

    from xarray import DataArray

__all__ = ["Relaxation"]

Array = NDArray[Any]


class Relaxation(DifferentiableNetwork):
    """A network whose layers are steps of a relaxation towards a local equilibrium.

    Z = W z - b,  z' = (1 - omega) z + omega f(Z) - beta (|z| - 1) z, `depth` times; or implicitly,
    z' + omega theta (z' - f(W z' - b)) = z + omega (1 - theta) (f(Z) - z) - beta (|z| - 1) z.
    With drive x is added to every W z - b, and z_0 = 0; hard normalisation ends a layer with
    z' / |z'|.

    Parameters
    ----------
    op : Operator
        The operator W, on its grid, such as :class:`ADR` or :class:`Dense`.
    depth : int or "attractor"
        Number of layers L, at least 1; "attractor": the output is where layers without end lead,
        z = f(W z - b), of constant coefficients and a number omega, without beta and theta. Its
        gradient is that of the equation, by one solve; omega acts on it through the lax-wendroff
        scheme alone.
    activation : str, default "tanh"
        f by its name, such as identity, tanh, logistic, relu, leaky_relu (slope 0.01), softplus,
        silu, gelu (exact), sin, square or hard_tanh; any other word is answered with all names.
    omega : float or array, optional
        Relaxation rate, 0 <= omega < 2 (from theta = 1/2 on any): a number, (L,) per layer, or
        grid.shape per cell (in one dimension (1, N) where N = L). 1 is a feed-forward layer, 0 the
        identity (but that subnormal numbers become 0, see Notes). Default: 0.5 without `gamma`.
    bias : {None, "homogeneous", "local"}, default None
        b, subtracted; a layered operator makes it layered too.
    beta : float, default 0
        Strength of the normalisation term; |z|^2 = sum z^2 times the cell volume, per sample.
    trainable_omega : bool, default False
        Whether omega, or gamma in its place, is a parameter. Training does not clip it.
    lift, readout : Lift and Readout, optional
        Affine maps with an activation before and behind the layers; without them, inputs and
        outputs are fields on the grid.
    dt : float, default 1
        Time that one layer stands for, in `time_unit`; enters reports, and results with `gamma`
        alone.
    time_unit : str, default ""
        Unit of `dt`.
    dtype : {"float64", "float32"}, default "float64"
        Type of parameters, inputs and outputs.
    seed : int, default 0
        Of the initial values: noise of 0.01 around W = I, with 0.1 on the diagonal of D.
    theta : float, default 0
        Weight of a layer's end in what moves it, from 0, explicit layers, to 1: above 0 a layer is
        solved by Newton's method, and LayerError raised where that fails. From 1/2 on no bound
        limits omega or diffusion; 1 damps the shortest waves. Lax-wendroff takes up to 1/2.
    drive : bool, default False
        True: the input is no starting state but a source that acts in every layer,
        Z = W z - b + x, on both sides of implicit ones, and z_0 = 0. With a lift the lifted field
        is the source.
    normalization : {None, "hard"}, default None
        "hard": every layer ends with z / |z|, per sample, |z| as for `beta`, beside which it is
        refused; x itself is not normalised, and 0 stays 0. For f = identity, b = 0 this is the
        power method.
    attractor : dict, optional
        With depth "attractor": method, tol and max_iterations of :func:`relaxon.attractor`.
    gamma : float or array, optional
        Relaxation rate per unit of time, at least 0, in the place of `omega` and of its shapes:
        omega = 1 - exp(-gamma dt), which relaxes exactly towards an equilibrium that stands still.

    Attributes
    ----------
    params : mapping of str to array
        The trained arrays by name, read-only: those of the operator, "bias", those of the ends,
        "omega" or "gamma".
    omega : array
        The relaxation rate, trained or not.
    gamma : array or None
        That per unit of time, where the model was given one.

    Raises
    ------
    TypeError, ValueError
        If an argument has another type or shape, is out of range, or misspelt.

    Notes
    -----
    A model is immutable: :meth:`with_params` makes a new one. Python threads may share it. Results
    have the same bits for any number of threads and any memory budget. Subnormal numbers, below
    2.2e-308 (float32: 1.2e-38) in magnitude, are taken and returned as 0 by everything that passes
    through layers.

    References
    ----------
    S. Succi, MEMOCS 13 (2025) 275-286, eqs. 1 to 3, 12 and 19.

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((64,))), depth=10)
    >>> model(np.ones((5, 64))).shape
    (5, 64)
    """

    @overload
    def __call__(
        self, x: Array, threads: int | None = None, out: Array | None = None, stop: None = None
    ) -> Array: ...
    @overload
    def __call__(
        self, x: Array, threads: int | None = None, out: Array | None = None, *, stop: float
    ) -> tuple[Array, NDArray[np.int64]]: ...
    def __call__(
        self,
        x: Array,
        threads: int | None = None,
        out: Array | None = None,
        stop: float | None = None,
    ) -> Array | tuple[Array, NDArray[np.int64]]:
        """Output of the network.

        Parameters
        ----------
        x : array of the model's type, shape (batch, *grid.shape) or grid.shape
            Inputs; masked cells are not read. With a lift, (batch, n_in) or (n_in,).
        threads : int, optional
            Default: the smaller of the process affinity and OMP_NUM_THREADS, and no more than the
            work keeps busy: one for fields and batches that take less than about 50 us.
        out : array, optional
            Where to write, of the shape below and contiguous; may be `x`, but not overlap it in
            part.
        stop : float, optional
            Tolerance, at least 0: each sample leaves after the first layer with
            max |z' - z| <= stop max(1, max |z'|), for itself. What overflows does not. Default: all
            layers.

        Returns
        -------
        y : array, shape (batch, *grid.shape) or grid.shape
            Zero on masked cells; overflow is returned as it is. With a readout, (batch, n_out) or
            (n_out,), also of samples that left early. At depth "attractor", where a search fails,
            the state of least residual, with a warning.
        n_layers : array of int64, shape (batch,) or ()
            With `stop` only: layers that each sample took.

        Raises
        ------
        TypeError, ValueError
            If an array has another type or shape, or x is not finite; or if `stop` is negative.
        LayerError
            If an implicit layer does not solve; with `stop`, for a sample that has left, too, while
            others of the batch go on.

        Notes
        -----
        About (4 K + 8) flops and one f per cell and layer, K stencil arms; allocates two states per
        thread beside the output.

        Examples
        --------
        >>> import numpy as np, relaxon as rx
        >>> model = rx.Relaxation(rx.ADR(rx.Grid((3,))), depth=1, activation="identity", omega=1.0)
        >>> pure_drift = {"R": np.array(0.0), "U": np.array([1.0]), "D": np.array([0.5])}
        >>> model.with_params(pure_drift)(np.array([1.0, 2.0, 3.0]))
        array([3., 1., 2.])

        Where a field has come to rest, further layers change nothing:

        >>> model = rx.Relaxation(rx.ADR(rx.Grid((64,))), depth=1000, activation="tanh")
        >>> y, n_layers = model(np.ones((2, 64)), stop=1e-3)
        >>> n_layers.shape, bool(n_layers.max() < 1000)
        ((2,), True)
        """
        states = self._check_input(x)
        out = self._check_out(out, (*self._lead(states), *self.output_shape), states)
        if stop is not None:
            self._check_layers("stop")
            n_layers = np.empty(self._batch(states), np.int64)
            self._network.settle(
                self._arrays(),
                states,
                out,
                check_number("stop", stop, 0.0),
                n_layers,
                self._n_threads(threads, self._batch(states)),
            )
            return out, n_layers.reshape(self._lead(states))
        unsolved = self._network.forward(
            self._arrays(),
            states,
            out,
            False,
            self._end,
            self._n_threads(threads, self._batch(states)),
        )
        self._tell_of(unsolved)
        return out

    def trajectory(self, x: Array, threads: int | None = None, out: Array | None = None) -> Array:
        """All states z_0..z_L.

        Parameters
        ----------
        x, threads
            As for a call.
        out : array, optional
            Where to write, of the shape below and contiguous; may not overlap `x`.

        Returns
        -------
        array, shape (batch, L + 1, *grid.shape) or (L + 1, *grid.shape)
            States, masked cells zero; they are not read out.

        Raises
        ------
        TypeError, ValueError
            As for a call.

        Examples
        --------
        >>> import numpy as np, relaxon as rx
        >>> model = rx.Relaxation(rx.ADR(rx.Grid((64,))), depth=10)
        >>> model.trajectory(np.ones((5, 64))).shape
        (5, 11, 64)
        """
        self._check_layers("a trajectory")
        states = self._check_input(x)
        shape = (*self._lead(states), self.depth + 1, *self.grid.shape)
        out = self._check_out(out, shape, states)
        self._network.forward(
            self._arrays(),
            states,
            out,
            True,
            self._end,
            self._n_threads(threads, self._batch(states)),
        )
        return out

    def predict_xarray(self, da: DataArray, threads: int | None = None) -> DataArray:
        """Forecast from a labelled array, in its own units.

        Parameters
        ----------
        da : xarray.DataArray
            The field the model was trained on, at any times of the same step, on the same grid; a
            single time may come without an axis of time.
        threads : int, optional
            As for a call.

        Returns
        -------
        xarray.DataArray
            As `da`, with times later by the lead.

        Raises
        ------
        ValueError
            If the model has no scaling, `da` another grid, unit or step of time or a value that
            seems to stand for gaps, the climatology none for one of its hours or months, or a
            forecast's date does not fit into the type of the times.

        Examples
        --------
        >>> import relaxon as rx
        >>> da = rx.datasets.sst().to_xarray()
        >>> pairs = rx.datasets.from_xarray(da, anomaly="month")
        >>> model = rx.Relaxation(rx.ADR(pairs.grid), depth=10).with_scaling(pairs.scaling)
        >>> ahead = model.predict_xarray(da[-1:])
        >>> str(ahead.time.values[0])[:7], ahead.attrs["units"]
        ('2010-10', 'K')
        """
        from .prediction import forecast

        return forecast(self, da, threads)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file; see :func:`relaxon.save`.

        Parameters
        ----------
        path : path-like
            File to create or replace, in one step.

        Examples
        --------
        >>> import pathlib, tempfile, relaxon as rx
        >>> model = rx.Relaxation(rx.ADR(rx.Grid((64,))), depth=10)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(pathlib.Path(folder) / "model.safetensors")
        ...     rx.load(pathlib.Path(folder) / "model.safetensors") == model
        True
        """
        from .saving import save

        save(self, path)
