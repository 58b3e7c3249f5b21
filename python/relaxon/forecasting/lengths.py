"""Lengths of cells and of the step of time as the command line writes them: "0.05,0.1", "5 km"."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NoReturn

from ..base.validate import refuse
from ..datasets.axis import LONGEST, SHORTEST

__all__ = ["parse_spacing", "parse_time_step"]

_LENGTH = re.compile(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*((?:[^\W\d]|[%°µ]).*?)?\s*")
_DEGREES = re.compile(r"deg(ree)?s?\b.*|degrees?_.*|°.*", re.IGNORECASE)


def parse_spacing(text: str, axes: Sequence[str]) -> tuple[tuple[float, str], ...]:
    """Read the spacing of cells.

    Parameters
    ----------
    text : str
        A number with or without a unit for all axes, or one for each, separated by commas.
    axes : sequence of str
        Names of the axes.

    Returns
    -------
    tuple of (float, str)
        Length and unit, one per axis; a unit that follows the last number alone is that of all.

    Raises
    ------
    ValueError
        If there are more or fewer entries than axes, one is no positive length, some have a unit
        and others none, or units are degrees, which have no length.
    """
    entries = text.split(",")
    if len(entries) not in (1, len(axes)):
        names = f"the axis {axes[0]}" if len(axes) == 1 else f"each of the axes {', '.join(axes)}"
        rule = f"one length for {names}" + ("" if len(axes) == 1 else ", or one for all")
        refuse("spacing", rule, repr(text), fix="commas separate them")
    lengths = [_parse("spacing", entry, "5 km") for entry in entries]
    if any(_DEGREES.fullmatch(unit) for _, unit in lengths):
        fix = "give metres: degrees differ in them with the latitude"
        refuse("spacing", "lengths", repr(text), fix=fix)
    *others, last = (unit for _, unit in lengths)
    if not any(others):
        lengths = [(length, last) for length, _ in lengths]
    elif not all((*others, last)):
        refuse("spacing", "units for all axes, or one behind the last number", repr(text))
    return tuple(lengths * (len(axes) if len(lengths) == 1 else 1))


def parse_time_step(text: str) -> tuple[float, str]:
    """Read the time from x to y.

    Parameters
    ----------
    text : str
        A number with or without a unit, such as "3 h".

    Returns
    -------
    tuple of (float, str)
        Time and unit.

    Raises
    ------
    ValueError
        If it is no positive time.
    """
    return _parse("time_step", text, "3 h")


def _parse(argument: str, text: str, example: str) -> tuple[float, str]:
    def fail() -> NoReturn:
        rule = f"a number above 0 and, if it has one, its unit, such as '{example}'"
        refuse(argument, rule, repr(text))

    found = _LENGTH.fullmatch(text)
    if found is None:
        fail()
    try:
        length = float(found[1])
    except ValueError:
        fail()
    if not 0.0 < length < math.inf:
        fail()
    if not SHORTEST <= length <= LONGEST:
        refuse(argument, f"a number from {SHORTEST:g} to {LONGEST:g}", repr(text))
    return length, found[2] or ""
