"""Archives of NumPy arrays (``.npz``), read array by array, with every header checked first."""

from __future__ import annotations

import math
import os
from typing import IO, TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..base.validate import check_file, refuse

if TYPE_CHECKING:
    from zipfile import ZipFile

__all__ = ["Archive"]

# What deflate makes of one byte at most.
MOST_DEFLATED = 1032


class Archive:
    """The arrays of an ``.npz`` file; none is read before it is asked for.

    Parameters
    ----------
    path : path-like
        The file.

    Attributes
    ----------
    names : tuple of str
        Of the arrays, in the order of the file.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or is no archive.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        check_file("DATA", self._path)
        try:
            with _open(self._path) as archive:
                members = archive.namelist()
        except MemoryError:
            raise
        except Exception as error:
            self._refuse("the file is empty" if not os.path.getsize(self._path) else error)
        self._members = {member.removesuffix(".npy"): member for member in members}
        self.names = tuple(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def check_names(self, *names: str) -> None:
        """Refuse an archive without these arrays.

        Parameters
        ----------
        *names : str
            What has to be there.

        Raises
        ------
        ValueError
            If one is not.
        """
        if not set(names) <= set(self.names):
            rule = f"array{'s' if len(names) > 1 else ''} {' and '.join(map(repr, names))}"
            refuse("DATA", rule, ", ".join(map(repr, self.names)) or "an empty file")

    def describe(self, name: str) -> str:
        """Shape and type of an array, or why it cannot be read.

        Parameters
        ----------
        name : str
            The array.

        Returns
        -------
        str
            One line.
        """
        try:
            with _open(self._path) as archive:
                shape, dtype = _read_header(archive, self._members[name])
        except MemoryError:
            raise
        except Exception as error:
            return str(error)
        return f"shape {shape}, {dtype}"

    def read(self, name: str) -> NDArray[Any]:
        """An array.

        Parameters
        ----------
        name : str
            One of the names.

        Returns
        -------
        ndarray
            Of whatever type it has, but none of Python objects.

        Raises
        ------
        ValueError
            If it is damaged, encrypted, compressed in a way that Python does not read, or holds
            Python objects.
        MemoryError
            If there is no room for what it holds.
        """
        try:
            with _open(self._path) as archive:
                _read_header(archive, self._members[name])
                with archive.open(self._members[name]) as member:
                    array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
                    # The checksum is compared at the end.
                    n_more = len(member.read(1))
        except MemoryError:
            raise
        except Exception as error:
            # Whatever the readers of formats in formats raise, what it means is this.
            self._refuse(error, name)
        if n_more:
            self._refuse("it holds more than its header tells of", name)
        return array

    def _refuse(self, reason: object, name: str = "") -> NoReturn:
        where = f"{self._path}: '{name}': " if name else f"{self._path}: "
        text = str(reason) or type(reason).__name__
        refuse("DATA", "an archive of arrays of numbers, as numpy.savez writes", where + text)


def _open(path: str) -> ZipFile:
    # Slow to load, with a module for every way of compressing.
    from zipfile import ZipFile

    return ZipFile(path)


def _read_header(archive: ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array, for which the member that holds it has to be large enough."""
    from zipfile import ZIP_DEFLATED, ZIP_STORED

    info, path = archive.getinfo(name), str(archive.filename)
    with archive.open(info) as member:
        shape, dtype, n_header_bytes = _parse(member)
    if dtype.hasobject:
        raise ValueError("an array of Python objects")
    n_bytes = math.prod(shape) * dtype.itemsize
    # What an archive says of its members may be as wrong as their headers.
    n_there, n_packed = info.file_size, min(info.compress_size, os.path.getsize(path))
    if info.compress_type == ZIP_STORED:
        n_there = min(n_there, n_packed)
    elif info.compress_type == ZIP_DEFLATED:
        n_there = min(n_there, MOST_DEFLATED * n_packed)
    if n_header_bytes + n_bytes > n_there:
        raise ValueError(
            f"an array of {n_bytes} bytes by its header, of which at most "
            f"{max(0, n_there - n_header_bytes)} are there"
        )
    return shape, dtype


def _parse(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type and length of a header."""
    beginning = member.read(len(np.lib.format.MAGIC_PREFIX) + 2)
    if not beginning.startswith(np.lib.format.MAGIC_PREFIX):
        raise ValueError("no array")
    version = tuple(beginning[-2:])
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        # Version 3 holds names of fields that no array of numbers has.
        raise ValueError(f"an array in version {'.'.join(map(str, version))} of its format")
    shape, _, dtype = readers[version](member)
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"an array of shape {shape}")
    return shape, dtype, member.tell()
