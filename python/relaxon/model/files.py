"""Model files: safetensors with the configuration as JSON in its metadata.

``docs/file-format.md`` describes the format. Nothing in a file is executed: no pickle, and names in
the configuration are looked up in fixed tables.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.durable import write_atomic
from . import container, packing
from .container import FileFormatError
from .packing import check_configuration, pack, unpack
from .relaxation import Relaxation

__all__ = ["FileFormatError", "ModelFile", "encode", "load", "pack", "read", "save", "unpack"]

FORMAT = "relaxon model"
FORMAT_VERSION = 1

_FIELDS = {"written_by": str, **packing.FIELDS, "extra": dict}
_EXTRA = "extra."


@dataclasses.dataclass(frozen=True, eq=False)
class ModelFile:
    """What a model file holds.

    Attributes
    ----------
    model : Relaxation
        The model with its parameters.
    extra : dict
        What was given to :func:`save` as ``extra``; arrays come back as arrays.
    """

    model: Relaxation
    extra: dict[str, Any]


def save(
    model: Relaxation, path: str | os.PathLike[str], extra: Mapping[str, Any] | None = None
) -> None:
    """Write a model to a file, whole or not at all.

    Parameters
    ----------
    model : Relaxation
        The model.
    path : path-like
        The file; an existing one is replaced only after the new one is complete on disk.
    extra : mapping of str, optional
        What else belongs to the model (scaling, climatology, source of the data): arrays of numbers
        or booleans, or whatever JSON can hold; long lists belong into arrays. Default: nothing.

    Raises
    ------
    TypeError
        If a value of `extra` is neither an array of numbers nor JSON that :func:`load` would read:
        nested more than 100 deep, a number of more than 1000 digits, too much to stand beside the
        arrays; or if the operator is of a class of your own.
    OSError
        If the file cannot be written.

    Notes
    -----
    The file holds the exact bits of the parameters: ``load`` gives a model that is equal. The same
    model gives the same bytes, and so does what was read from a file of this version of relaxon.

    Examples
    --------
    >>> import tempfile, relaxon as rx
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rx.save(model, folder + "/model.safetensors")
    ...     rx.load(folder + "/model.safetensors") == model
    True
    """
    write_atomic(path, encode(model, extra))


def encode(model: Relaxation, extra: Mapping[str, Any] | None = None) -> bytes:
    """The bytes of a model file.

    Parameters
    ----------
    model, extra
        As for :func:`save`.

    Returns
    -------
    bytes
        What :func:`save` writes.

    Raises
    ------
    TypeError
        As :func:`save`.
    """
    tensors, configuration = pack(model)
    plain: dict[str, Any] = {}
    for name, value in (extra or {}).items():
        if isinstance(value, np.ndarray):
            if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
                raise TypeError(
                    f"argument 'extra': expected arrays of numbers or booleans, "
                    f"got dtype {value.dtype} for {name!r}"
                )
            tensors[f"{_EXTRA}{name}"] = value
        else:
            plain[name] = value
    configuration = {"written_by": _written_by(), **configuration, "extra": plain}
    try:
        text = json.dumps(configuration, allow_nan=False)
        return container.encode(FORMAT, FORMAT_VERSION, tensors, text)
    except (RecursionError, TypeError, ValueError) as error:
        raise TypeError(f"argument 'extra': expected arrays or JSON values: {error}") from None


def load(path: str | os.PathLike[str]) -> Relaxation:
    """Read a model from a file.

    Parameters
    ----------
    path : path-like
        A file written by :func:`save`.

    Returns
    -------
    Relaxation
        A model equal to the one saved.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If the file is truncated, corrupted, no model file, or of a newer format version; or if
        anything in it is not as :func:`save` writes it, or would be refused by the constructors.

    Notes
    -----
    Takes little more memory than the arrays of the file, at most three times its bytes and 8 MiB;
    sizes are compared first.
    """
    return read(path).model


def read(path: str | os.PathLike[str]) -> ModelFile:
    """Read a model together with the ``extra`` values saved beside it.

    Parameters
    ----------
    path : path-like
        A file written by :func:`save`.

    Returns
    -------
    ModelFile
        The model and the extra values.

    Raises
    ------
    FileNotFoundError, FileFormatError
        As :func:`load`.
    """
    where = os.fsdecode(path)
    found, tensors = container.read(path, FORMAT, FORMAT_VERSION)
    configuration = check_configuration(where, found, _FIELDS)
    del configuration["written_by"]
    extra = configuration.pop("extra")
    own: dict[str, NDArray[Any]] = {}
    for name, array in tensors.items():
        if not name.startswith(_EXTRA):
            own[name] = array
        elif extra.setdefault(name.removeprefix(_EXTRA), array) is not array:
            container.refuse(where, f"extra {name.removeprefix(_EXTRA)!r} stands there twice")
    return ModelFile(unpack(where, configuration, own), extra)


@functools.cache
def _written_by() -> str:
    from importlib.metadata import version

    return f"relaxon {version('relaxon')}"
