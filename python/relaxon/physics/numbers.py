"""How numbers are written: as many digits as their standard errors allow."""

from __future__ import annotations

import math

__all__ = ["format_measured", "format_number", "format_percent"]

# People write no exponent in between.
SMALLEST, LARGEST = 1e-4, 1e7
ERROR_DIGITS = 2
# Of a number of double precision; what an error below that would ask for is not there.
MOST_DIGITS = 15


def format_number(value: float, digits: int = 4) -> str:
    """A number in so many significant digits, without an exponent where people would write none."""
    text = f"{value:.{digits}g}"
    if "e+" in text and abs(value) < LARGEST:
        text = f"{float(text):.0f}"
    return "0" if text == "-0" else text


def format_percent(share: float) -> str:
    """A share in per cent; what is not quite none or all does not read like it."""
    percent = 100.0 * share
    if 0.0 < percent < 0.05:
        return "< 0.1 %"
    if 99.95 < percent < 100.0:
        return "> 99.9 %"
    return f"{percent:.3g} %"


def format_measured(value: float, error: float | None = None) -> tuple[str, str]:
    """A number and its standard error, to the same decimal place.

    Parameters
    ----------
    value : float
        The number.
    error : float, optional
        Its standard error; without one, and where it is 0 or no finite number, nothing limits the
        digits of the value.

    Returns
    -------
    value : str
        To the decimal place of the error's second significant digit, else in four significant
        digits; never a negative zero.
    error : str
        In two significant digits; "" without one.

    Examples
    --------
    >>> format_measured(12870.4, 783.0), format_measured(-0.06803, 0.0112)
    (('12870', '780'), ('-0.068', '0.011'))
    >>> format_measured(3.21e-7, 4e-8), format_measured(-2e-5, 0.0062), format_measured(0.125)
    (('3.21e-07', '4.0e-08'), ('0.0000', '0.0062'), ('0.125', ''))
    """
    if error is None or error == 0.0 or not math.isfinite(error) or not math.isfinite(value):
        return format_number(value), "" if error is None else format_number(error, ERROR_DIGITS)
    error = abs(error)
    error_place = _exponent(error, ERROR_DIGITS) - (ERROR_DIGITS - 1)
    place = error_place
    if value:
        place = max(place, _exponent(value) - (MOST_DIGITS - 1))
    return _to_place(value, place, max(abs(value), error)), _to_place(error, error_place, error)


def _to_place(value: float, place: int, size: float) -> str:
    """A number rounded to 10^place; its exponent, where it has one, is that of `size`."""
    if SMALLEST <= size < LARGEST:
        text = f"{round(value, -place):.{max(-place, 0)}f}"
    else:
        exponent = max(_exponent(size, max(_exponent(size) - place + 1, 1)), place)
        text = f"{value / 10.0**exponent:.{exponent - place}f}e{exponent:+03d}"
    is_zero = not any(digit in "123456789" for digit in text.partition("e")[0])
    if is_zero:
        # Nothing is left that an exponent could scale.
        return "0" if "e" in text else text.removeprefix("-")
    return text


def _exponent(value: float, digits: int = MOST_DIGITS) -> int:
    """The power of ten of the first digit, once the number is rounded to so many."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])
