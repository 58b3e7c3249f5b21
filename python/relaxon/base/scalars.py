"""Checks of single numbers and words, and how all checks refuse; NumPy is not loaded for them."""

from __future__ import annotations

import difflib
import math
import numbers
import re
from collections.abc import Sequence
from typing import NoReturn

from .text import show

# Characters of each part of a message.
PIECE = 500


def refuse(
    argument: str, rule: str, value: object, error: type[Exception] = ValueError, fix: str = ""
) -> NoReturn:
    """Raise ``error`` naming argument, rule, value and fix, on one line of bounded length."""
    text = f"argument '{show(argument)}': expected {_line(rule)}, got {_line(value)}"
    raise error(text + (f"; {_line(fix)}" if fix else ""))


def _line(text: object) -> str:
    # NumPy writes arrays on several lines, each after blanks.
    return show(re.sub(r"\n +", " ", str(text)), PIECE)


def check_text(argument: str, value: object) -> str:
    """A text that files can hold: one without halves of surrogate pairs."""
    if not isinstance(value, str):
        refuse(argument, "a text", show(repr(value)), TypeError)
    try:
        value.encode()
    except UnicodeEncodeError:
        refuse(argument, "a text of Unicode characters", show(ascii(value)))
    return value


def check_choice(argument: str, value: object, choices: Sequence[str]) -> str:
    """One of a few names; a misspelt one is answered with the nearest."""
    if not isinstance(value, str):
        refuse(argument, f"one of {', '.join(map(repr, choices))}", repr(value), TypeError)
    if value not in choices:
        near = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
        fix = f"did you mean '{near[0]}'?" if near else ""
        refuse(argument, f"one of {', '.join(map(repr, choices))}", repr(value), fix=fix)
    return value


def check_integer(argument: str, value: object, least: int, most: int | None = None) -> int:
    """A whole number within bounds; booleans and fractions are something else."""
    # An int by far the most often, and abstract classes are slow.
    if type(value) is not int and (
        isinstance(value, bool) or not isinstance(value, numbers.Integral)
    ):
        refuse(argument, "an integer", repr(value), TypeError)
    number = int(value)
    if number < least or (most is not None and number > most):
        rule = f"at least {least}" if most is None else f"an integer from {least} to {most}"
        refuse(argument, rule, number)
    return number


def check_number(
    argument: str, value: object, least: float = -math.inf, is_open: bool = False
) -> float:
    """A finite real number, at least (or, if ``is_open``, above) a bound."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        refuse(argument, "a real number", repr(value), TypeError)
    number = float(value)
    if not math.isfinite(number):
        refuse(argument, "a finite number", number)
    if number < least or (is_open and number == least):
        refuse(argument, f"a number {'above' if is_open else 'of at least'} {least:g}", number)
    return number


def check_instance(argument: str, value: object, types: type | tuple[type, ...]) -> None:
    """An object of one of relaxon's own classes."""
    if not isinstance(value, types):
        known = types if isinstance(types, tuple) else (types,)
        refuse(argument, " or ".join(t.__name__ for t in known), repr(value), TypeError)
