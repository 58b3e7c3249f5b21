"""Containers: safetensors with checksums and a configuration as JSON in the metadata.

Model files and checkpoints are containers of different formats; ``docs/file-format.md`` describes
the bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

__all__ = ["FileFormatError", "encode", "read", "refuse"]

# safetensors itself refuses longer headers.
LARGEST_HEADER_BYTES = 100_000_000

_HEADER_CHECKSUM = re.compile(rb'"header_sha256":"([0-9a-f]{64})"')
_NO_CHECKSUM = b'"header_sha256":"' + b"0" * 64 + b'"'


class FileFormatError(ValueError):
    """A file is not of its format, is truncated or corrupted, or is of a newer format version."""


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
        Arrays of numbers or booleans.
    configuration : str
        JSON.

    Returns
    -------
    bytes
        The same for the same content.
    """
    data_layout: dict[str, Any] = {}
    chunks: list[bytes] = []
    end = 0
    # Wider numbers first, so that every array stays aligned to its own item size.
    for name in sorted(tensors, key=lambda n: (-tensors[n].dtype.itemsize, n)):
        array = tensors[name]
        chunks.append(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
        begin, end = end, end + len(chunks[-1])
        data_layout[name] = {
            "dtype": _dtype_name(array.dtype),
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    data = b"".join(chunks)
    metadata = {
        "format": format_name,
        "format_version": str(version),
        "header_sha256": "0" * 64,
        "tensors_sha256": hashlib.sha256(data).hexdigest(),
        "configuration": configuration,
    }
    header = json.dumps({"__metadata__": metadata, **data_layout}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    prefix = len(header).to_bytes(8, "little")
    checksum = hashlib.sha256(prefix + header).hexdigest().encode()
    return prefix + header.replace(_NO_CHECKSUM, b'"header_sha256":"' + checksum + b'"', 1) + data


def read(
    path: str | os.PathLike[str], format_name: str, newest: int
) -> tuple[Any, dict[str, NDArray[Any]]]:
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
    configuration : object
        As JSON gives it.
    tensors : dict of str to ndarray
        The arrays.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If the file is truncated, corrupted, of another format or of a newer version. Sizes and the
        header's checksum are checked before any memory for arrays is allocated.
    """
    import safetensors
    import safetensors.numpy

    where = os.fspath(path)
    with open(where, "rb") as file:
        n_bytes = os.fstat(file.fileno()).st_size
        prefix, header, metadata = _read_header(file, n_bytes, where, format_name, newest)
        data = file.read()
    if hashlib.sha256(data).hexdigest() != metadata.get("tensors_sha256"):
        refuse(where, "the checksum of its arrays does not match: the file is corrupted")
    try:
        tensors: dict[str, NDArray[Any]] = safetensors.numpy.load(prefix + header + data)
        configuration = json.loads(metadata["configuration"])
    except (KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        refuse(where, f"its content cannot be read ({error})")
    return configuration, tensors


def refuse(where: str, reason: str) -> NoReturn:
    """Raise a FileFormatError that names the file."""
    raise FileFormatError(f"{where}: {reason}") from None


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return "BOOL" if dtype.kind == "b" else f"{dtype.kind.upper()}{8 * dtype.itemsize}"


def _read_header(
    file: Any, file_bytes: int, where: str, format_name: str, newest: int
) -> tuple[bytes, bytes, dict[str, str]]:
    prefix: bytes = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or length > file_bytes - 8 or length > LARGEST_HEADER_BYTES:
        refuse(where, f"no model file, or a truncated or corrupted one ({file_bytes} bytes)")
    header: bytes = file.read(length)
    found = _HEADER_CHECKSUM.findall(header)
    if len(found) != 1:
        refuse(where, "no model file, or a corrupted one: its header has no checksum")
    blank = _HEADER_CHECKSUM.sub(_NO_CHECKSUM, header)
    if hashlib.sha256(prefix + blank).hexdigest().encode() != found[0]:
        refuse(where, "the checksum of its header does not match: the file is corrupted")
    try:
        layout = json.loads(header)
        metadata: dict[str, str] = layout.pop("__metadata__")
        version = int(metadata["format_version"])
        data_bytes = max((entry["data_offsets"][1] for entry in layout.values()), default=0)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        refuse(where, f"no model file ({error})")
    if version > newest:
        refuse(
            where,
            f"format version {version} is newer than {newest}, the newest that this "
            f"relaxon reads; install a newer relaxon",
        )
    if metadata.get("format") != format_name:
        refuse(where, f"expected the format {format_name!r}, got {metadata.get('format')!r}")
    if file_bytes != 8 + length + data_bytes:
        refuse(
            where,
            f"expected {8 + length + data_bytes} bytes, got {file_bytes}: the file is truncated "
            f"or corrupted",
        )
    return prefix, header, metadata
