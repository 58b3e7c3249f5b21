"""What JSON values have to look like: which keys there are, and of which type each value is.

A kind is ``int``, ``float``, ``str`` or ``bool``; ``dict`` for any object; a tuple of texts, of
which the value is one; ``[kind]`` for a list; a dict of kinds for an object with exactly these
keys; or :class:`Nullable`, :class:`Either` and :class:`Cases`. Ranges and whatever concerns more
than one value are for the constructors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .text import show
from .validate import refuse

__all__ = ["Cases", "Either", "Later", "Nullable", "check", "shown"]

Kind = Any

# Beyond these, a whole number is not the same as a float.
LARGEST_EXACT = 2**53
_NAMES = {
    int: "an integer",
    float: "a number",
    str: "a text",
    bool: "true or false",
    dict: "an object",
}


class Later(str):
    """A key that came later within its version of a format: it may be absent, which says no."""

    __slots__ = ()


@dataclasses.dataclass(frozen=True)
class Nullable:
    """A value of one kind, or null."""

    kind: Kind


@dataclasses.dataclass(frozen=True)
class Either:
    """An object of one kind, or one of some texts."""

    texts: tuple[str, ...]
    fields: dict[str, Kind]


@dataclasses.dataclass(frozen=True)
class Cases:
    """An object whose other keys depend on the text under one of them."""

    key: str
    fields: Mapping[str, dict[str, Kind]]


def check(place: str, value: Any, kind: Kind) -> Any:
    """A value, which has to be of a kind.

    Parameters
    ----------
    place : str
        Where it stands, for the message.
    value : object
        What JSON gave.
    kind : kind
        What is expected.

    Returns
    -------
    object
        The value; whole numbers where any are expected, as floats.

    Raises
    ------
    TypeError, ValueError
        If a value is of another kind, a key is missing or unknown.
    """
    if isinstance(kind, type):
        return _check_scalar(place, value, kind)
    if isinstance(kind, Nullable):
        return None if value is None else check(place, value, kind.kind)
    if isinstance(kind, tuple):
        if not isinstance(value, str) or value not in kind:
            refuse(place, f"one of {', '.join(map(repr, kind))}", shown(value))
        return value
    if isinstance(kind, list):
        if not isinstance(value, list):
            refuse(place, "a list", shown(value), TypeError)
        return [check(f"{place}[{i}]", entry, kind[0]) for i, entry in enumerate(value)]
    if isinstance(kind, Either):
        return check(place, value, kind.fields if isinstance(value, dict) else kind.texts)
    if not isinstance(value, dict):
        refuse(place, "an object", shown(value), TypeError)
    if isinstance(kind, Cases):
        case = check(f"{place}.{kind.key}", value.get(kind.key), tuple(kind.fields))
        kind = {kind.key: str, **kind.fields[case]}
    return _check_fields(place, value, kind)


def _check_scalar(place: str, value: Any, kind: type) -> Any:
    # Not isinstance: booleans are integers to Python.
    if kind is float and type(value) is int and abs(value) <= LARGEST_EXACT:
        return float(value)
    if type(value) is not kind:
        refuse(place, _NAMES[kind], shown(value), TypeError)
    return value


def _check_fields(place: str, value: dict[str, Any], fields: dict[str, Kind]) -> dict[str, Any]:
    for name in value:
        if name not in fields:
            refuse(place, f"keys out of {', '.join(fields)}", shown(name))
    for name in fields:
        if name not in value and not isinstance(name, Later):
            refuse(place, f"a key {str(name)!r}", "none")
    return {name: check(f"{place}.{name}", entry, fields[name]) for name, entry in value.items()}


def shown(value: Any) -> str:
    """A value of JSON for a message: few characters, however large it is."""
    if isinstance(value, str):
        return show(repr(value[:60]), 60)
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "null" if value is None else show(str(value), 60)
