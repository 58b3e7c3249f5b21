"""Values that stand for none: what files declare as missing, and what seems to be.

The conventions are those of the NetCDF Users Guide (Unidata, Attribute Conventions), which CF takes
over: limits of packed numbers are packed numbers, unless their type is that of the unpacked ones.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base.validate import check_number, refuse

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = [
    "LIMITS",
    "StandIn",
    "check_missing",
    "check_stand_ins",
    "find_stand_ins",
    "mask_invalid",
    "mask_values",
]

# Attributes that say which values are none.
LIMITS = ("valid_range", "valid_min", "valid_max", "_FillValue", "missing_value")
# What the netCDF library writes where nothing was; bytes have no such value.
_DEFAULT_FILLS = {
    "f4": 9.969209968386869e36,
    "f8": 9.969209968386869e36,
    "i2": -32767,
    "u2": 65535,
    "i4": -2147483647,
    "u4": 4294967295,
    "i8": -9223372036854775806,
    "u8": 18446744073709551614,
}
# Numbers that programs write for nothing: nines and eights, powers of ten, ends of types.
_NINES = [float(digit * n) + f for n in (3, 4, 5, 6) for digit in "98" for f in (0.0, 0.9, 0.99)]
_HUGE = [10.0**n for n in (10, 15, 20, 25, 30, 31, 33, 34, 35, 36, 37, 38)]
_ENDS = [9.969209968386869e36, 32767.0, 32768.0, 65535.0, 2147483647.0, 2147483648.0, 3.4028235e38]
_USUAL = np.array(sorted({*_NINES, *_HUGE, *_ENDS}))
# Rounding of what was unpacked in single precision.
ROUNDING = 5e-7
# Of another number so many have to be equal, and so many different ones have to lie elsewhere.
FEWEST_EQUAL = 5
FEWEST_OTHERS = 10


@dataclasses.dataclass(frozen=True)
class StandIn:
    """One value far outside of the others that occurs as often as if it stood for gaps.

    Attributes
    ----------
    value : float
        The value.
    count, total : int
        How many are equal to it, and how many values there are.
    low, high : float
        Smallest and largest of the others.
    """

    value: float
    count: int
    total: int
    low: float
    high: float

    @property
    def number(self) -> str:
        """The value in as few digits as single precision takes."""
        single = np.float32(self.value) if abs(self.value) < 3.5e38 else self.value
        is_exact = abs(float(single) - self.value) <= ROUNDING * abs(self.value)
        return str(single if is_exact else self.value).removesuffix(".0")

    def __str__(self) -> str:
        return (
            f"{self.number} in {self.count} of {self.total} values, far outside the others "
            f"({self.low:.6g} to {self.high:.6g})"
        )


def find_stand_ins(values: NDArray[Any]) -> tuple[StandIn, ...]:
    """Values that seem to stand for gaps.

    Each is further from all others than these are from each other. It is one that programs write
    for nothing (-999, 9999, 1e20, the ends of integers and the like), or at least five are equal
    and ten different values lie elsewhere.

    Parameters
    ----------
    values : ndarray of float
        NaN where missing.

    Returns
    -------
    tuple of StandIn
        The furthest first.

    Notes
    -----
    A few passes over the values. What lies within or next to the others, such as the zeros of
    precipitation or the ends of clipped values, is never found.
    """
    others = values[np.isfinite(values)]
    total = others.size
    peeled: list[tuple[float, int]] = []
    for end in (np.min, np.max):
        while others.size and _is_usual(value := float(end(others))):
            is_equal = others == value
            peeled.append((value, int(is_equal.sum())))
            others = others[~is_equal]
    if not others.size:
        return ()
    for end in (np.min, np.max):
        value = float(end(others))
        is_equal = others == value
        n_equal = int(is_equal.sum())
        if FEWEST_EQUAL <= n_equal < others.size:
            rest = others[~is_equal]
            is_far = _is_far(value, float(rest.min()), float(rest.max()))
            if is_far and len(np.unique(rest)) >= FEWEST_OTHERS:
                peeled.append((value, n_equal))
                others = rest
    low, high = float(others.min()), float(others.max())
    found = [StandIn(v, n, total, low, high) for v, n in peeled if _is_far(v, low, high)]
    return tuple(sorted(found, key=lambda one: -abs(one.value - (low + high) / 2.0)))


def _is_usual(value: float) -> bool:
    nearest = _USUAL[int(np.argmin(np.abs(_USUAL - abs(value))))]
    return bool(abs(abs(value) - nearest) <= ROUNDING * nearest)


def _is_far(value: float, low: float, high: float) -> bool:
    return max(low - value, value - high) > high - low


def check_stand_ins(name: str, values: NDArray[Any]) -> None:
    """Refuse values among which one seems to stand for gaps.

    Parameters
    ----------
    name : str
        What the message calls them.
    values : ndarray of float
        NaN where missing.

    Raises
    ------
    ValueError
        Naming the value, how often it occurs, and what the others are.
    """
    found = find_stand_ins(values)
    if found:
        declared = " ".join(f"--missing {one.number}" for one in found)
        masked = "".join(f".where(da != {one.number})" for one in found)
        refuse(
            name,
            "values among which none stands for gaps",
            ", and ".join(map(str, found)),
            fix=f"declare it missing with {declared}, or mask it with da{masked}",
        )


def check_missing(missing: Sequence[float]) -> None:
    """Refuse what cannot stand for gaps.

    Parameters
    ----------
    missing : sequence of float
        The values.

    Raises
    ------
    TypeError, ValueError
        If one is no finite number.
    """
    for value in missing:
        check_number("missing", value)


def mask_values(
    values: NDArray[Any], missing: Sequence[float]
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Replace values that stand for gaps by NaN.

    Parameters
    ----------
    values : ndarray of float
        Not changed.
    missing : sequence of float
        The values, as they are after unpacking.

    Returns
    -------
    values : ndarray of float
        The same object where there is none.
    notes : tuple of str
        A line for each, with its count.
    """
    notes = []
    for value in missing:
        is_gap = np.abs(values - value) <= ROUNDING * abs(value)
        n_gaps = int(is_gap.sum())
        notes.append(f"{n_gaps} values are {value:.9g}, which is declared missing")
        if n_gaps:
            values = np.where(is_gap, values.dtype.type(np.nan), values)
    return values, tuple(notes)


def mask_invalid(da: DataArray) -> DataArray:
    """NaN for values that attributes or the netCDF library call missing.

    Parameters
    ----------
    da : xarray.DataArray
        Unpacked numbers; how they were packed is known from its encoding.

    Returns
    -------
    xarray.DataArray
        Without the attributes and the encoding that say so, where they were used: they have no
        meaning for other values.

    Raises
    ------
    ValueError
        If nothing is left.

    Warns
    -----
    UserWarning
        If more than half of the values lie outside of the limits, or limits cannot be understood.
    """
    if da.dtype.kind != "f":
        return da
    name, values = str(da.name or "data"), da.values
    is_known = np.isfinite(values)
    is_gap = np.zeros(values.shape, bool)
    for value in _fills(da):
        is_gap |= np.abs(values - value) <= ROUNDING * abs(value)
    for attribute, low, high in _limits(da, name):
        with np.errstate(invalid="ignore"):
            is_outside = (values < low) | (values > high)
        n_outside, n_known = int((is_outside & ~is_gap).sum()), int((is_known & ~is_gap).sum())
        text = f"{n_outside} of {n_known} values outside its {attribute}"
        if 0 < n_outside == n_known:
            fix = f"if the attribute is wrong, leave it out: del da.attrs[{attribute!r}]"
            refuse(name, f"values from {low:g} to {high:g}, its {attribute}", text, fix=fix)
        if 2 * n_outside > n_known:
            limits = f"{low:g} to {high:g}"
            warnings.warn(f"'{name}': {text}, {limits}, are missing", UserWarning, stacklevel=3)
        is_gap |= is_outside
    if is_gap.any():
        da = da.copy(data=np.where(is_gap, values.dtype.type(np.nan), values))
    elif not any(attribute in da.attrs for attribute in LIMITS) and not da.encoding:
        return da
    da = da.copy(deep=False)
    da.attrs = {key: value for key, value in da.attrs.items() if key not in LIMITS}
    da.encoding = {}
    return da


def _packing(da: DataArray) -> tuple[np.dtype[Any], float, float]:
    """Type of the numbers in the file, scale and offset."""
    dtype = np.dtype(da.encoding.get("dtype", da.dtype))
    scale, offset = (
        float(np.asarray(da.encoding.get(key, default)).ravel()[0])
        for key, default in (("scale_factor", 1.0), ("add_offset", 0.0))
    )
    return dtype, scale, offset


def _fills(da: DataArray) -> Iterator[float]:
    """Values that are missing, as unpacked numbers."""
    dtype, scale, offset = _packing(da)
    has_fill = any(key in da.encoding for key in ("_FillValue", "missing_value"))
    yield _DEFAULT_FILLS["f4"]
    if dtype.kind == "f" or not has_fill:
        fill = _DEFAULT_FILLS.get(dtype.str[1:])
        if fill is not None and (scale, offset) != (1.0, 0.0):
            yield fill * scale + offset
    # Among the attributes they stand where nobody has decoded them.
    for key in ("_FillValue", "missing_value"):
        for value in _numbers(da.attrs.get(key)):
            yield float(value)


def _limits(da: DataArray, name: str) -> Iterator[tuple[str, float, float]]:
    """Attribute, smallest and largest value that is valid, as unpacked numbers."""
    dtype, scale, offset = _packing(da)
    for attribute, n in (("valid_range", 2), ("valid_min", 1), ("valid_max", 1)):
        if attribute not in da.attrs:
            continue
        found = _numbers(da.attrs[attribute])
        if len(found) != n:
            number = "two numbers" if n == 2 else "a number"
            warnings.warn(
                f"'{name}': the attribute {attribute} is not used: expected {number}, got "
                f"{da.attrs[attribute]!r}",
                UserWarning,
                stacklevel=4,
            )
            continue
        limits = np.where(np.isnan(found), np.inf, found.astype(np.float64))
        if str(da.encoding.get("_Unsigned", "")).lower() == "true":
            limits = np.where(limits < 0.0, limits + 2.0 ** (8 * dtype.itemsize), limits)
        low = -math.inf if attribute == "valid_max" or math.isinf(limits[0]) else limits[0]
        high = math.inf if attribute == "valid_min" else limits[-1]
        # Limits of a wider type than the packed numbers' are meant for the unpacked ones.
        is_wider = found.dtype.kind == "f" and found.itemsize > dtype.itemsize
        if not is_wider and (dtype.kind == "f" or found.dtype.kind in "iu"):
            low, high = sorted((low * scale + offset, high * scale + offset))
        # Half a step of packed numbers, which rounding does not reach.
        step = abs(scale) / 2.0 if dtype.kind in "iu" else 0.0
        rounding = 4.0 * float(np.finfo(da.dtype).eps)
        yield (
            attribute,
            low - max(step, rounding * abs(low)),
            high + max(step, rounding * abs(high)),
        )


def _numbers(value: Any) -> NDArray[Any]:
    """An attribute's numbers; none where it is a text."""
    array = np.atleast_1d(np.asarray(value)) if value is not None else np.empty(0)
    return array.ravel() if array.dtype.kind in "iuf" else np.empty(0)
