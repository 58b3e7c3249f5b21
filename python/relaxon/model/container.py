"""Containers: safetensors with checksums and a configuration as JSON in the metadata.

Model files and checkpoints are containers of different formats; ``docs/file-format.md`` describes
the bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from io import BufferedReader
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..base import schema, strict_json
from ..base.schema import shown
from ..base.text import show
from ..base.validate import check_text

__all__ = ["FileFormatError", "encode", "read", "refuse"]

# safetensors itself refuses longer headers.
LARGEST_HEADER_BYTES = 100_000_000
# NumPy before 2.0 has no more.
MOST_AXES = 32
# Beside twice the bytes of the file: what its header may take once it is parsed.
HEADER_MEMORY = 8 * 2**20

_DTYPES = {f"{kind}{8 * n}": f"<{kind.lower()}{n}" for kind in "FIU" for n in (2, 4, 8)}
_DTYPES |= {"I8": "i1", "U8": "u1", "BOOL": "?"}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}

_METADATA = {
    "format": str,
    "format_version": str,
    "header_sha256": str,
    "tensors_sha256": str,
    "configuration": str,
}
_ENTRY = {"dtype": tuple(_DTYPES), "shape": [int], "data_offsets": [int]}

_HEADER_CHECKSUM = re.compile(rb'"header_sha256":"([0-9a-f]{64})"')
_NO_CHECKSUM = b"0" * 64


class FileFormatError(ValueError):
    """A file is not of its format, is truncated or corrupted, or is of a newer format version.

    Parameters
    ----------
    message : str
        The file and what is wrong with it; kept on one line, and short.
    """

    def __init__(self, message: str) -> None:
        super().__init__(show(message, 700))


@dataclasses.dataclass(frozen=True)
class _Entry:
    """Where an array lies, counted from the end of the header."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


def encode(
    format_name: str, version: int, tensors: Mapping[str, NDArray[Any]], configuration: str
) -> bytes:
    """The bytes of a container.

    Parameters
    ----------
    format_name : str
        As ``"relaxon model"``.
    version : int
        Of that format.
    tensors : mapping of str to ndarray
        Arrays of numbers of at most 64 bits, or booleans.
    configuration : str
        JSON in ASCII, as ``json.dumps`` writes it.

    Returns
    -------
    bytes
        The same for the same content.

    Raises
    ------
    TypeError, ValueError
        If an array is of another type, or :func:`read` would refuse the file: long lists belong
        into arrays.
    """
    if not configuration.isascii():
        raise ValueError("expected a configuration in ASCII")
    strict_json.parse(configuration)
    layout: dict[str, Any] = {}
    chunks: list[memoryview] = []
    end = 0
    # Wider numbers first, so that every array stays aligned to its own item size.
    for name in sorted(tensors, key=lambda n: (-tensors[n].dtype.itemsize, n)):
        array = tensors[name]
        dtype = array.dtype.newbyteorder("<")
        if dtype not in _NAMES:
            raise TypeError(f"expected arrays of numbers or booleans, got {dtype} for {name!r}")
        begin, end = end, end + array.nbytes
        layout[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
        chunks.append(_bytes_of(np.ascontiguousarray(array, dtype)))
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    metadata = {
        "format": format_name,
        "format_version": str(version),
        "header_sha256": _NO_CHECKSUM.decode(),
        "tensors_sha256": digest.hexdigest(),
        "configuration": configuration,
    }
    text = json.dumps({"__metadata__": metadata, **layout}, separators=(",", ":"))
    text += " " * (-len(text) % 8)
    _parse_header(text, metadata["header_sha256"], format_name, version)
    header, prefix = text.encode(), len(text).to_bytes(8, "little")
    _check_size(header, 8 + len(header) + end)
    checksum = hashlib.sha256(prefix + header).hexdigest().encode()
    begin, stop = next(_HEADER_CHECKSUM.finditer(header)).span(1)
    return b"".join([prefix, header[:begin], checksum, header[stop:], *chunks])


def read(
    path: str | os.PathLike[str], format_name: str, newest: int
) -> tuple[int, Any, dict[str, NDArray[Any]]]:
    """What a container holds.

    Parameters
    ----------
    path : path-like
        The file.
    format_name : str
        The format that is expected.
    newest : int
        Its newest version that is known.

    Returns
    -------
    version : int
        That of its format.
    configuration : object
        As JSON gives it: what :func:`relaxon.base.schema.check` is for.
    tensors : dict of str to ndarray
        The arrays, each in memory of its own; their names, types and shapes are as the file has
        them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If the file is truncated, corrupted, of another format or of a newer version. Sizes and the
        header's checksum are checked before any memory for arrays is allocated.

    Notes
    -----
    Takes the bytes of the arrays once, and for the header at most twice those of the file and
    8 MiB.
    """
    where = os.fsdecode(path)
    kind = os.stat(path).st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # opening a folder has an error of its own
        refuse(where, "expected a file, got a pipe or a device")
    with open(path, "rb") as file:
        n_bytes = os.fstat(file.fileno()).st_size
        try:
            text, checksum = _read_header(file, n_bytes, format_name.removeprefix("relaxon "))
            begin = 8 + len(text)
            entries, metadata = _parse_header(text, checksum, format_name, newest)
            del text
            expected = begin + max((entry.end for entry in entries), default=0)
            if n_bytes != expected:
                raise ValueError(
                    f"expected {expected} bytes, got {n_bytes}: the file is truncated or corrupted"
                )
            # Popped, so that the text is gone once it is read.
            configuration = strict_json.parse(metadata.pop("configuration"))
            version = int(metadata["format_version"])
            tensors = _read_arrays(file, entries, metadata["tensors_sha256"])
        except (TypeError, ValueError) as error:
            refuse(where, str(error))
    return version, configuration, tensors


def refuse(where: str, reason: str) -> NoReturn:
    """Raise a FileFormatError that names the file."""
    raise FileFormatError(f"{show(where)}: {show(reason, 400)}") from None


def _bytes_of(array: NDArray[Any]) -> memoryview:
    """Those of a contiguous array, in place."""
    return array.reshape(-1).view(np.uint8).data


def _check_size(header: bytes, file_bytes: int) -> None:
    is_long = len(header) > LARGEST_HEADER_BYTES
    if is_long or strict_json.most_memory(header) > 2 * file_bytes + HEADER_MEMORY:
        raise ValueError("its configuration holds more values than fit beside its arrays")


def _read_header(file: BufferedReader, file_bytes: int, kind: str) -> tuple[str, str]:
    """The header and its checksum, which is right."""
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or length > min(file_bytes - 8, LARGEST_HEADER_BYTES):
        raise ValueError(f"no {kind} file, or a truncated or corrupted one ({file_bytes} bytes)")
    header = file.read(length)
    places = [match.span(1) for match in _HEADER_CHECKSUM.finditer(header)]
    if len(places) != 1:
        raise ValueError(f"no {kind} file, or a corrupted one: its header has no checksum")
    begin, end = places[0]
    digest = hashlib.sha256(prefix)
    view = memoryview(header)
    for part in (view[:begin], _NO_CHECKSUM, view[end:]):
        digest.update(part)
    checksum = digest.hexdigest()
    if checksum.encode() != header[begin:end]:
        raise ValueError("the checksum of its header does not match: the file is corrupted")
    if not header.isascii():
        raise ValueError("its header is no ASCII")
    _check_size(header, file_bytes)
    return header.decode("ascii"), checksum


def _parse_header(
    text: str, checksum: str, format_name: str, newest: int
) -> tuple[list[_Entry], dict[str, str]]:
    """Arrays in the order of their bytes, and the metadata."""
    layout = strict_json.parse(text)
    if not isinstance(layout, dict) or not isinstance(layout.get("__metadata__"), dict):
        raise ValueError("its header has no metadata")
    found = layout.pop("__metadata__")
    if found.get("format") != format_name:
        given = found.get("format")
        raise ValueError(f"expected the format {format_name!r}, got {shown(given)}")
    version = found.get("format_version")
    if not isinstance(version, str) or not re.fullmatch(r"[1-9][0-9]{0,8}", version):
        raise ValueError(f"expected a format version, a whole number, got {shown(version)}")
    if int(version) > newest:
        raise ValueError(
            f"format version {version} is newer than {newest}, the newest that this relaxon reads; "
            f"install a newer relaxon"
        )
    metadata = schema.check("__metadata__", found, _METADATA)
    if metadata["header_sha256"] != checksum:
        raise ValueError("the checksum of its header stands elsewhere")
    entries = [_check_entry(name, entry) for name, entry in layout.items()]
    return sorted(entries, key=lambda entry: (entry.begin, entry.end)), metadata


def _check_entry(name: str, value: Any) -> _Entry:
    check_text("name of an array", name)
    place = f"array {shown(name)}"
    entry = schema.check(place, value, _ENTRY)
    dtype, shape, offsets = np.dtype(_DTYPES[entry["dtype"]]), entry["shape"], entry["data_offsets"]
    is_shape = len(shape) <= MOST_AXES and len(offsets) == 2
    if not is_shape or not all(0 <= n < 2**63 for n in (*shape, *offsets)):
        raise ValueError(f"{place}: its shape or place is no such")
    if dtype.itemsize * math.prod(shape) != offsets[1] - offsets[0]:
        raise ValueError(f"{place}: its shape does not fit its bytes")
    return _Entry(name, dtype, tuple(shape), *offsets)


def _read_arrays(
    file: BufferedReader, entries: list[_Entry], checksum: str
) -> dict[str, NDArray[Any]]:
    """Arrays that follow each other without gaps."""
    digest = hashlib.sha256()
    tensors: dict[str, NDArray[Any]] = {}
    end = 0
    for entry in entries:
        if entry.begin != end:
            raise ValueError("the places of its arrays overlap or leave gaps")
        end = entry.end
        array = np.empty(entry.shape, entry.dtype)
        view = _bytes_of(array)
        if file.readinto(view) != array.nbytes:
            raise ValueError("the file was cut while it was read")
        digest.update(view)
        tensors[entry.name] = array.astype(entry.dtype.newbyteorder("="), copy=False)
    if digest.hexdigest() != checksum:
        raise ValueError("the checksum of its arrays does not match: the file is corrupted")
    for name, array in tensors.items():
        if array.dtype == np.bool_ and array.view(np.uint8).max(initial=0) > 1:
            raise ValueError(f"array {shown(name)}: some booleans are neither 0 nor 1")
    return tensors
