"""Journals of evaluations: how a fit by an optimizer without a state to save is resumed.

L-BFGS lives in SciPy, which neither gives out nor takes its state. It is a function of what the
objective has answered: run again from the start with the answers of the journal, it asks for the
same points and arrives where it was.

A journal is a file of records behind one line that names the format. A record is one byte for its
kind, its content, and a checksum (BLAKE2b, 16 bytes) of both; numbers are little-endian:

    S  a fit begins: its digest (32 bytes)
    E  an evaluation: hash of the point (16 bytes), loss, penalty, gradient of all parameters
    V  a validation loss
    G  number of evaluations that could not be written (64 bits): they are made again

What a dying process has written in part fails its checksum and is cut off.
"""

from __future__ import annotations

import hashlib
import os
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.container import FileFormatError

__all__ = ["Evaluation", "Journal", "record_bytes"]

Array = NDArray[Any]
Evaluation = tuple[float, float, Array]

HEADER = b"relaxon journal 1\n"
CHECKSUM_BYTES = 16
POINT_BYTES = 16
DIGEST_BYTES = 32


def record_bytes(n_parameters: int, item_bytes: int) -> int:
    """Bytes of one evaluation in a journal.

    Parameters
    ----------
    n_parameters : int
        Of all arrays, those that are kept included.
    item_bytes : int
        Of the model's type.

    Returns
    -------
    int
        Kind, hash, two numbers, gradient and checksum.
    """
    return 1 + POINT_BYTES + 2 * 8 + n_parameters * item_bytes + CHECKSUM_BYTES


class Journal:
    """The journal of one fit, read from its beginning and then written at its end.

    Parameters
    ----------
    path : Path
        The file; made if missing.

    Raises
    ------
    FileFormatError
        If it is no journal.
    OSError
        If it cannot be read or made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open(path, "r+b" if path.exists() else "x+b")  # noqa: SIM115 - see close
        self._n_unwritten = 0
        self._n_skipped = 0
        self.is_replaying = True
        header = self._file.read(len(HEADER))
        if HEADER.startswith(header) and header != HEADER:
            self._file.seek(0)
            self._file.truncate()
            self._file.write(HEADER)
            self._file.flush()
        elif header != HEADER:
            self._file.close()
            raise FileFormatError(f"{path}: no journal of a fit")
        self._end = len(HEADER)

    def close(self) -> None:
        """Put the file away."""
        self._file.close()

    def sync(self) -> None:
        """Have all records on disk."""
        os.fsync(self._file.fileno())

    def begin(self, digest: bytes, item_bytes: int, n_parameters: int) -> bool:
        """A fit begins.

        Parameters
        ----------
        digest : bytes
            Of what it is made of.
        item_bytes, n_parameters : int
            Of the model's type; of all arrays.

        Returns
        -------
        bool
            Whether the journal, where it has more, goes on with a fit of this digest.
        """
        self._dtype = np.dtype(f"<f{item_bytes}")
        self._n = n_parameters
        known = self._take(b"S")
        if known is None:
            self._append(b"S", digest)
            return True
        return known == digest

    def take_evaluation(self, point: Array) -> Evaluation | None:
        """What an evaluation of a point gave; None where it has to be made.

        Parameters
        ----------
        point : float64 array
            All parameters.

        Returns
        -------
        loss, penalty, gradient
            As they were.

        Raises
        ------
        FileFormatError
            If the journal has another point there.
        """
        if self._n_skipped:
            self._n_skipped -= 1
            return None
        content = self._take(b"E", b"G")
        if content is None:
            return None
        if len(content) == 8:
            self._n_skipped = int.from_bytes(content, "little") - 1
            return None
        if content[:POINT_BYTES] != _hash(point):
            raise FileFormatError(
                f"{self.path}: the journal has another point there: SciPy computes differently "
                f"here; remove the checkpoint and its journal to start anew"
            )
        loss, penalty = struct.unpack_from("<2d", content, POINT_BYTES)
        gradient = np.frombuffer(content, self._dtype, offset=POINT_BYTES + 16)
        return loss, penalty, gradient.astype(self._dtype.newbyteorder("="), copy=False)

    def add_evaluation(self, point: Array, loss: float, penalty: float, gradient: Array) -> None:
        """An evaluation was made.

        Parameters
        ----------
        point : float64 array
            All parameters.
        loss, penalty : float
            There.
        gradient : float64 array
            Numbers of the model's type.
        """
        if self.is_replaying:
            # It is one of those that are missing.
            return
        numbers = struct.pack("<2d", loss, penalty)
        self._append(b"E", _hash(point) + numbers + gradient.astype(self._dtype).tobytes())

    def take_validation(self) -> float:
        """The validation loss at this place; NaN where there is none."""
        if self._n_skipped:
            return float("nan")
        content = self._take(b"V", is_optional=True)
        return float("nan") if content is None else float(struct.unpack("<d", content)[0])

    def add_validation(self, loss: float) -> None:
        """A validation loss was found.

        Parameters
        ----------
        loss : float
            Of the point accepted last.
        """
        if not self.is_replaying:
            self._append(b"V", struct.pack("<d", loss))

    def _take(self, *kinds: bytes, is_optional: bool = False) -> bytes | None:
        """The next record; None, and from here on the journal is written, where there is none."""
        if not self.is_replaying:
            return None
        kind = self._file.read(1)
        sizes = {
            b"S": DIGEST_BYTES,
            b"E": POINT_BYTES + 16 + self._n * self._dtype.itemsize,
            b"V": 8,
            b"G": 8,
        }
        content = self._file.read(sizes[kind]) if kind in sizes else b""
        checksum = self._file.read(CHECKSUM_BYTES)
        if not kind or checksum != _hash(kind, content):
            self.is_replaying = False
            self._file.seek(self._end)
            self._file.truncate()
            return None
        if kind not in kinds:
            self._file.seek(self._end)
            if is_optional:
                return None
            raise FileFormatError(
                f"{self.path}: expected a record {b' or '.join(kinds).decode()}, got "
                f"{kind.decode()} at byte {self._end}"
            )
        self._end += 1 + len(content) + CHECKSUM_BYTES
        return content

    def _append(self, kind: bytes, content: bytes) -> None:
        records = kind + content + _hash(kind, content)
        if self._n_unwritten:
            gap = self._n_unwritten.to_bytes(8, "little")
            records = b"G" + gap + _hash(b"G", gap) + records
        try:
            # Whatever an interrupted call has left behind the last whole record is written over.
            self._file.seek(self._end)
            self._file.truncate()
            self._file.write(records)
            self._file.flush()
        except OSError as error:
            if not self._n_unwritten:
                warnings.warn(
                    f"cannot write {self.path}: {error.strerror or error}; training goes on, and a "
                    f"resumed fit evaluates again what is missing",
                    UserWarning,
                    stacklevel=2,
                )
            self._n_unwritten += kind == b"E"
            return
        self._end += len(records)
        self._n_unwritten = 0


def _hash(*parts: Any) -> bytes:
    digest = hashlib.blake2b(digest_size=CHECKSUM_BYTES)
    for part in parts:
        digest.update(part)
    return digest.digest()
