"""JSON as files hold it: no key twice, no number without an end, nothing out of proportion."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

__all__ = ["most_memory", "parse"]

DEEPEST = 100
LONGEST_NUMBER = 1000
# Bytes that CPython takes for what follows a character, its entry in the container included; with
# room for tables that grow.
_COSTS = {b"{": 256, b"[": 128, b":": 224, b",": 96}
_HIGH_SURROGATE = re.compile(rb"\\u[dD][89abAB]")


def parse(text: str) -> Any:
    """The value that a text stands for.

    Parameters
    ----------
    text : str
        JSON.

    Returns
    -------
    object
        Its value.

    Raises
    ------
    ValueError
        If it is no JSON, a key stands twice in an object, a number is not finite or has more than
        1000 characters, or values are nested more than 100 deep.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except RecursionError:
        _refuse_depth()
    level, depth = [value], 0
    while level:
        if depth > DEEPEST:
            _refuse_depth()
        level = [
            entry
            for holder in level
            if isinstance(holder, dict | list)
            for entry in (holder.values() if isinstance(holder, dict) else holder)
        ]
        depth += 1
    return value


def most_memory(text: bytes) -> int:
    """Bytes that a text in ASCII takes once it is parsed, at most.

    Parameters
    ----------
    text : bytes
        JSON, of whatever content.

    Returns
    -------
    int
        An upper bound: what stands within texts counts as if it were none.
    """
    characters = 2 * len(text)
    n_escaped = text.count(b"\\u")
    if n_escaped > text.count(b"\\u00"):
        # One such character makes all of its text two or four bytes wide, here and within itself.
        width = 4 if _HIGH_SURROGATE.search(text) else 2
        characters = max(characters, (len(text) - 5 * n_escaped) * 5 * width // 2)
    return characters + sum(cost * text.count(c) for c, cost in _COSTS.items())


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        left = set(found)
        for name, _ in pairs:
            if name not in left:
                raise ValueError(f"the key {name[:50]!r} stands twice")
            left.remove(name)
    return found


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _refuse_depth() -> NoReturn:
    raise ValueError(f"values are nested more than {DEEPEST} deep") from None


def _float(text: str) -> float:
    value = float(_short(text))
    if not math.isfinite(value):
        raise ValueError(f"{text[:50]} is too large a number")
    return value


def _int(text: str) -> int:
    return int(_short(text))


def _short(text: str) -> str:
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number has {len(text)} characters, more than {LONGEST_NUMBER}")
    return text
