"""Checks shared by all arguments: what is wrong, with which value, and the likely fix.

Nothing here casts, clamps or copies silently. A check returns the value in the form that the core
takes: contiguous where it had to be copied, otherwise the very same object.
"""

from __future__ import annotations

import functools
import os
import re
import stat
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .scalars import PIECE
from .scalars import check_choice as check_choice
from .scalars import check_instance as check_instance
from .scalars import check_integer as check_integer
from .scalars import check_number as check_number
from .scalars import check_text as check_text
from .scalars import refuse as refuse
from .text import show

Array = NDArray[Any]

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
MOST_THREADS = 1024
# Two cores of an AMD EPYC, GCC 12, 25 November 2026: a gradient of 4096 cells times layers (2**16
# operations) is 0.9 to 1.5 times as fast on two threads as on one, of 16384 1.2 to 1.6 times.
# Beside two other busy processes the limit takes scikit-learn's estimator checks from 8.6 to 3.0 s.
OPERATIONS_PER_THREAD = 2**17


def check_flag(argument: str, value: object) -> bool:
    """True or False, and nothing that only counts as one of them."""
    if not isinstance(value, bool | np.bool_):
        refuse(argument, "True or False", repr(value), TypeError)
    return bool(value)


def check_file(argument: str, path: str, rule: str = "a file", may_be_folder: bool = False) -> None:
    """A file that can be read to its end; from a pipe or a device nothing may ever come."""
    where = show(path, PIECE) or "''"
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"argument '{argument}': expected {rule}, got {where}: there is none"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        refuse(argument, rule, f"{where}: {reason}")
    if not stat.S_ISREG(mode) and not (may_be_folder and stat.S_ISDIR(mode)):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, a device or a socket"
        refuse(argument, rule, f"{where}: {kind}")


def check_dtype(value: object) -> np.dtype[Any]:
    """float32 or float64, under any of NumPy's names."""
    try:
        dtype = np.dtype(value)  # type: ignore[call-overload]
    except Exception:  # what NumPy raises depends on the text
        refuse("dtype", "'float32' or 'float64'", repr(value), TypeError)
    if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        refuse("dtype", "'float32' or 'float64'", repr(str(dtype)), TypeError)
    return dtype  # type: ignore[no-any-return]


def check_memory(value: object) -> int:
    """Bytes of a budget: an integer, a text such as "512 MiB", or -1 for None."""
    if value is None:
        return -1
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*", value)
        if not match or match[2].upper() not in _UNITS:
            refuse(
                "memory",
                "bytes as an integer or a text such as '512 MiB'",
                repr(value),
                fix="known units are B, KB, MB, GB, TB, KiB, MiB, GiB and TiB",
            )
        n_bytes = int(min(float(match[1]) * _UNITS[match[2].upper()], 2.0**62))
        if n_bytes < 1:
            refuse("memory", "at least 1 byte", repr(value))
        return n_bytes
    return min(check_integer("memory", value, 1), 2**62)


def default_threads() -> int:
    """The smaller of the process affinity and ``OMP_NUM_THREADS``."""
    try:
        n_processors = len(os.sched_getaffinity(0))
    except AttributeError:
        n_processors = os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS")
    n_wanted = None if wanted is None else _read_thread_list(wanted)
    return max(1, min(n_processors, n_wanted or n_processors, MOST_THREADS))


@functools.lru_cache  # one warning
def _read_thread_list(text: str) -> int | None:
    """As OpenMP does: the first of the list, if every entry is a positive whole number."""
    entries = [entry.strip(" \t\n\v\f\r") for entry in text.split(",")]
    if all(re.fullmatch(r"\+?0*[1-9][0-9]{0,18}", entry) for entry in entries):
        numbers = list(map(int, entries))
        if max(numbers) < 2**63:
            return numbers[0]
    warnings.warn(
        "OMP_NUM_THREADS is ignored: expected a positive whole number, or several with commas "
        f"between them, got {show(repr(text))}",
        UserWarning,
        stacklevel=3,
    )
    return None


def useful_threads(n_operations: int) -> int:
    """As many of :func:`default_threads` as a sweep of so many multiply-adds keeps busy.

    Waking a worker and waiting for it pays from some tens of microseconds of work on, more where
    the processors have other things to do.
    """
    most = n_operations // OPERATIONS_PER_THREAD
    return 1 if most < 2 else min(most, default_threads())


def check_threads(value: object) -> int:
    """A number of threads that was asked for."""
    return check_integer("threads", value, 1, MOST_THREADS)


def read_array(argument: str, value: object) -> Array:
    """An array of whatever NumPy takes for one."""
    _check_unmasked(argument, value)
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        refuse(argument, "an array", repr(value), kind, str(error))


def _check_unmasked(argument: str, value: object) -> None:
    """NumPy would read what lies under the mask."""
    if type(value) is not np.ndarray and hasattr(value, "mask") and np.ma.is_masked(value):
        fix = "use .filled(np.nan), and weights of 0 or the grid's mask for what is missing"
        refuse(argument, "an array without masked entries", "a masked array", TypeError, fix)


def check_array(argument: str, value: object, dtype: np.dtype[Any]) -> Array:
    """An array of exactly this type; copied only where its memory is not contiguous."""
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        refuse(
            argument, f"a NumPy array of {dtype}", f"{type(value).__name__} {value!r}", TypeError
        )
    _check_unmasked(argument, value)
    array = np.asarray(value)
    if array.dtype != dtype:
        # Types such as bfloat16 are void to NumPy.
        is_number = array.dtype.kind in "fiu" or "float" in array.dtype.name
        fix = f"convert it with .astype('{dtype}')" if is_number else ""
        refuse(argument, f"an array of {dtype}", f"one of {array.dtype}", TypeError, fix)
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned):
        array = array.copy(order="C")
    return array


def check_shape(argument: str, array: Array, expected: Sequence[str | int]) -> None:
    """A shape given by numbers, and by words where any length of at least 1 will do."""
    shape = array.shape
    fits = len(shape) == len(expected) and all(
        length > 0 if isinstance(want, str) else length == want
        for length, want in zip(shape, expected, strict=True)
    )
    if fits:
        return
    fixed = sorted(want for want in expected if isinstance(want, int))
    fix = ""
    if len(shape) == len(expected) or len(shape) == len(fixed):
        same = sorted(shape[len(shape) - len(fixed) :]) == fixed
        fix = "are the axes swapped?" if same or sorted(shape[: len(fixed)]) == fixed else ""
    if 0 in shape:
        fix = "the batch is empty"
    refuse(argument, _shape_text(expected), _shape_text(shape), fix=fix)


def _shape_text(shape: Iterable[str | int]) -> str:
    words = [str(word) for word in shape]
    return f"({words[0]},)" if len(words) == 1 else f"({', '.join(words)})"


def check_states(argument: str, value: object, shape: tuple[int, ...], dtype: Any) -> Array:
    """(batch, *shape), or one state of that shape."""
    array = check_array(argument, value, dtype)
    check_state_shape(argument, array, shape)
    return array


def check_state_shape(argument: str, array: Array, shape: tuple[int, ...]) -> None:
    """(batch, *shape), or that of one state."""
    if array.shape != shape and (array.shape[1:] != shape or not array.size):
        check_shape(argument, array, ("batch", *shape))


def check_finite(
    argument: str, array: Array, mask: Array | None = None, weights: Array | None = None
) -> None:
    """No NaN or Inf where the array is read; mask and weights repeat along it."""
    flat = _core.first_non_finite(array, mask, weights)
    if flat >= 0:
        index = tuple(int(i) for i in np.unravel_index(flat, array.shape))
        raise ValueError(
            f"argument '{argument}': expected finite numbers, got {array[index]} at index {index}"
        )


def per_axis(argument: str, value: object, ndim: int, types: type | tuple[type, ...]) -> list[Any]:
    """One value for all axes, or a sequence with one for each."""
    if isinstance(value, types):
        return [value] * ndim
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, tuple | list):
        refuse(argument, "one value, or one for each axis", repr(value), TypeError)
    if len(value) != ndim:
        refuse(argument, f"{ndim} entries, one for each axis", f"{len(value)}: {value!r}")
    return list(value)
