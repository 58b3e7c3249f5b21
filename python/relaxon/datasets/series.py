"""Fields at steps of time, read from any labelled array, and pairs cut from them."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base.validate import refuse
from .candidates import attributes_among, candidates_of
from .coordinates import Coordinates
from .decoding import decode_times
from .missing import LIMITS, check_stand_ins, mask_invalid, mask_values
from .roles import (
    Members,
    axes_text,
    check_roles,
    has_dates,
    positions_of,
    positions_over,
    read_members,
    read_roles,
    scalar_latitude,
    time_dim,
)
from .samples import Samples, block_length
from .scaling import MOST, Scaling, share_of_means
from .time_axis import Step, TimeAxis

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["Series"]

Fields = NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """One field at steps of time.

    Attributes
    ----------
    name, unit : str
        Of the field.
    values : ndarray of float64, shape (times, *coordinates.shape)
        NaN where missing; axes of space ascending. Of an ensemble (times, members,
        *coordinates.shape).
    time : TimeAxis
        The times.
    coordinates : Coordinates
        The axes of space.
    source : str
        Where it comes from, for reports.
    files : tuple of str
        Names to read it by once more; empty where `source` is one.
    domain : str
        What its existing cells are called, such as "sea"; "" for no name.
    anomaly : {"none", "mean", "month", "hour"}, optional
        The climatology to remove where nothing else is asked for. Default: what the values suggest,
        see :meth:`usual_period`.
    members : Members, optional
        Of an ensemble. They share climatology and scale; each has its own pairs.
    notes : tuple of str
        Lines on what was found while reading.
    """

    name: str
    unit: str
    values: Fields = dataclasses.field(repr=False)
    time: TimeAxis
    coordinates: Coordinates
    source: str = ""
    files: tuple[str, ...] = ()
    domain: str = ""
    anomaly: str | None = None
    members: Members | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def fields(self, begin: int, end: int) -> tuple[Fields, NDArray[Any]]:
        """Fields of a part of the times, those of all members one by one, and their times.

        Parameters
        ----------
        begin, end : int
            First time, and the one behind the last.

        Returns
        -------
        values : ndarray, shape (times of the part * members, *coordinates.shape)
            A view; members of one time follow each other.
        times : ndarray
            One for each field.
        """
        values = self.values[begin:end].reshape(-1, *self.coordinates.shape)
        return values, self.repeat(self.time.values[begin:end])

    def repeat(self, per_time: NDArray[Any]) -> NDArray[Any]:
        """What belongs to times, for each of their members."""
        return per_time if self.members is None else np.repeat(per_time, len(self.members))

    @classmethod
    def read(
        cls,
        da: DataArray,
        source: str = "",
        order: tuple[str, ...] = (),
        step: Step | None = None,
        missing: Sequence[float] = (),
        files: tuple[str, ...] = (),
    ) -> Series:
        """Read a labelled array.

        Parameters
        ----------
        da : xarray.DataArray
            One axis of time (or, where `step` is given, a single time), one to three of space, and
            those of an ensemble's members; axes of a single entry are left out.
        source : str
            Where it comes from.
        order : tuple of str, optional
            Names of the axes of space in the order to have them in, where they are these; default
            that of `da`.
        step : Step, optional
            Of time, where it is known: any times will do then, and one is enough.
        missing : sequence of float
            Values that stand for gaps, beside what attributes and the netCDF library call missing.
        files : tuple of str, optional
            As the attribute.

        Returns
        -------
        Series
            With ascending axes, in double precision.

        Raises
        ------
        TypeError, ValueError
            If it holds no real numbers, has no time axis or no (or too many) axes of space, or one
            that is none of these, a coordinate is not monotone or uneven, a value is infinite, all
            are missing, or one of them seems to stand for gaps.

        Warns
        -----
        UserWarning
            If positions of cells are given for pairs of axes, whose spacing is then not known, or
            as :meth:`Coordinates.read`.
        """
        if not (hasattr(da, "dims") and hasattr(da, "dtype")):
            given: Any = da
            names = ", ".join(candidates_of(given)) if hasattr(given, "data_vars") else ""
            fix = f"choose a variable of it: {names}" if names else ""
            refuse("da", "an xarray.DataArray", type(given).__name__, TypeError, fix)
        name = str(da.name or "data")
        # What another precision cannot hold would be taken for missing.
        if da.dtype.kind != "f" or da.dtype.itemsize not in (4, 8):
            kinds = "floating-point numbers"
            kinds += " of 32 or 64 bits" if da.dtype.kind == "f" else ""
            refuse(name, kinds, str(da.dtype), TypeError, _number_fix(da.dtype))
        da = mask_invalid(decode_times(da))
        time_name = time_dim(da, name)
        if time_name not in da.dims:
            if step is None:
                refuse(name, "one time axis", f"a single '{time_name}' and {axes_text(da)}")
            da = da.expand_dims(time_name)
        da = da.squeeze([d for d in da.dims if d != time_name and da.sizes[d] == 1])
        roles = read_roles(da, name, order)
        check_roles(da, name, roles)
        members = read_members(da, roles.members)
        dims = order if sorted(roles.space) == sorted(order) else roles.space
        time = TimeAxis.read(time_name, da[time_name].values, da[time_name].attrs, step)
        coordinates = Coordinates.read(
            [(dim, *positions_of(da, dim)) for dim in dims], scalar_latitude(da)
        )
        _warn_of_planes(da, coordinates)
        values = da.transpose(time_name, *roles.members, *dims).values.astype(np.float64)
        if members is not None:
            values = values.reshape(len(time.values), len(members), *coordinates.shape)
        if time.is_flipped:
            values = values[::-1]
        values, notes = mask_values(np.ascontiguousarray(coordinates.flip(values)), missing)
        if np.isinf(values).any():
            index = tuple(int(i) for i in np.argwhere(np.isinf(values))[0])
            refuse(name, "finite or missing values", f"an infinite one at index {index}")
        if np.isnan(values).all():
            refuse(name, "at least one value", "none: all values are missing")
        check_stand_ins(name, values)
        values.flags.writeable = False
        return cls(
            name,
            str(da.attrs.get("units", "")),
            values,
            time,
            coordinates,
            source,
            files,
            members=members,
            notes=notes,
        )

    def usual_period(self, n_times: int) -> tuple[str, str]:
        """The climatology to remove from the first times where none is asked for.

        Parameters
        ----------
        n_times : int
            How many.

        Returns
        -------
        period : str
            `anomaly` where the series has one; else "mean" where the means of the cells hold more
            than half of the variance, for what stands still would hide what moves, and "none"
            otherwise.
        note : str
            The sentence that has to be said then, or "".
        """
        if self.anomaly is not None:
            return self.anomaly, ""
        share = share_of_means(self.fields(0, n_times)[0])
        if share <= MOST:
            return "none", ""
        held = f"the mean of each cell holds {share:.0%} of the variance: it is removed"
        return "mean", f"{held} (anomaly 'none' keeps it)"

    def scaling(self, n_times: int, lead: int, period: str) -> Scaling:
        """Climatology and scale of the first times.

        Parameters
        ----------
        n_times : int
            How many.
        lead : int
            Steps from input to output.
        period : {"month", "hour", "mean", "none"}
            What the climatology repeats with.

        Returns
        -------
        Scaling
            Of this series' name, unit, step and coordinates.

        Raises
        ------
        ValueError
            As :meth:`Scaling.fit`, and if the times have no such period.
        """
        self.time.check_period(period)
        return Scaling.fit(
            *self.fields(0, n_times),
            period=period,
            lead=lead,
            step=self.time.step,
            coordinates=self.coordinates,
            name=self.name,
            unit=self.unit,
        )

    def check_climatology(self, scaling: Scaling) -> None:
        """Refuse times with values at whose month or hour a scaling has no climatology."""
        values, times = self.fields(0, len(self))
        has_values = np.isfinite(values[:, scaling.mask]).any(axis=1)
        scaling.check_times(self.time.name, times[has_values])

    def samples(self, scaling: Scaling, begin: int, end: int, dtype: str = "float64") -> Samples:
        """Pairs of fields within a part of the times.

        Parameters
        ----------
        scaling : Scaling
            Climatology, scale and lead.
        begin, end : int
            First time, and the one behind the last.
        dtype : str
            Precision of the result.

        Returns
        -------
        Samples
            Those pairs of the time axis that lie within the part. Missing values are NaN; a
            missing target has the weight 0. Those of an ensemble follow each other by time and
            member. The members of one time are one group; with a lead above 1 blocks of consecutive
            times are, see :func:`block_length`.
        """
        times, mask = self.time.values[begin:end], scaling.mask
        anomaly = scaling.apply(*self.fields(begin, end)).astype(dtype)
        i, j = self.time.pairs(scaling.lead)
        is_inside = (i >= begin) & (j < end)
        i, j = i[is_inside] - begin, j[is_inside] - begin
        n_members = 1 if self.members is None else len(self.members)
        x, y = (
            anomaly.reshape(len(times), n_members, *mask.shape)[k].reshape(-1, *mask.shape)
            for k in (i, j)
        )
        is_missing = np.isnan(y) & mask
        weights = ~is_missing if is_missing.any() else None
        later = self.repeat(times[j])
        for array in (x, y, later) if weights is None else (x, y, later, weights):
            array.flags.writeable = False
        length = block_length(len(i), scaling.lead) if scaling.lead > 1 else 1
        groups = None
        if length > 1 or self.members is not None:
            groups = self.repeat((i if length > 1 else np.arange(len(i))) // length)
        return Samples(x, y, weights, later, groups=groups)

    def label(self, fields: Fields, times: NDArray[Any], da: DataArray) -> DataArray:
        """Fields as a labelled array like the one that was read.

        Parameters
        ----------
        fields : ndarray, shape (len(times), *coordinates.shape)
            With ascending axes; as `values`, of an ensemble.
        times : ndarray
            Their times, in the unit of the axis.
        da : xarray.DataArray
            What was read.

        Returns
        -------
        xarray.DataArray
            Name, attributes, type, and axes of `da` in their order and direction; its coordinates
            but those along time or, where `da` has a single time, of dates. Attributes that name
            variables which are not among these stay behind.
        """
        from xarray import DataArray

        da, time_name = decode_times(da), self.time.name
        is_single = time_name not in da.dims
        if is_single:
            dates = [str(c) for c in da.coords if c != time_name and has_dates(da[c].values)]
            da = da.drop_vars(dates).expand_dims(time_name)
        like = da.squeeze([d for d in da.dims if d != time_name and da.sizes[d] == 1])
        if self.time.is_flipped:
            fields, times = fields[::-1], times[::-1]
        coords = {name: c for name, c in like.coords.items() if time_name not in c.dims}
        coords[time_name] = (time_name, times, like[time_name].attrs)
        members = ((), ()) if self.members is None else (self.members.names, self.members.shape)
        fields = self.coordinates.flip(fields).astype(da.dtype)
        labelled = DataArray(
            fields.reshape(len(times), *members[1], *self.coordinates.shape),
            coords,
            (time_name, *members[0], *self.coordinates.names),
            name=da.name,
            # What was not measured is not bound to what could be.
            attrs={key: value for key, value in da.attrs.items() if key not in LIMITS},
        )
        for one in (labelled, *labelled.coords.values()):
            one.attrs = attributes_among(one.attrs, set(coords))
        ordered: DataArray = labelled.transpose(*like.dims)
        return ordered.isel({time_name: 0}) if is_single else ordered

    def describe(self, scaling: Scaling) -> list[str]:
        """Lines on what was read: members, axes, odd steps of time, missing values."""
        lines = [*self.coordinates.describe(), *self.time.describe(scaling.lead), *self.notes]
        if self.members is not None:
            lines.insert(
                0,
                f"{self.members}: each with its own pairs; those of one time are one cluster of "
                f"the standard errors",
            )
        values, times = self.fields(0, len(self))
        mask = scaling.mask
        if not mask.all():
            n_seen = int((np.isfinite(values).any(axis=0) & ~mask).sum())
            line = f"{(~mask).sum()} of {mask.size} cells have no value"
            if n_seen:
                line += " at the times of the climatology"
            line += ": they become the mask"
            if n_seen:
                line += f", though {n_seen} of them {'has' if n_seen == 1 else 'have'} values here"
            lines.append(line)
        n_missing = int(np.isnan(scaling.apply(values, times))[:, mask].sum())
        if n_missing:
            share = n_missing / (len(values) * int(mask.sum()))
            lines.append(
                f"{n_missing} values ({share:.2%}) of the other cells are missing: weight 0 as "
                f"targets, gaps as inputs"
            )
        return lines


def _warn_of_planes(da: DataArray, coordinates: Coordinates) -> None:
    """Say once that cells have positions, and that the spacing of the axes does not follow."""
    lattice = [axis.name for axis in coordinates.axes if not axis.unit]
    planes = positions_over(da, tuple(lattice))
    if planes:
        warnings.warn(
            f"axes {', '.join(map(repr, lattice))} keep lattice units: positions of the cells are "
            f"given for all of them together ({', '.join(planes)}), so that their spacing is not "
            f"known; data on even axes of their own have one",
            UserWarning,
            stacklevel=4,
        )


def _number_fix(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "m":
        return "open the file with decode_timedelta=False: then they are numbers with a unit"
    is_number = dtype.kind in "iub" or "float" in dtype.name
    return "convert it with da.astype('float64')" if is_number else ""
