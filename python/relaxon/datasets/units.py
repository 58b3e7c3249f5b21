"""Whether two texts name the same unit: spellings and synonyms, no conversions.

Symbols and their case are those of UDUNITS (CF Conventions, section 3.1): K is a kelvin, k none; M
is no metre. Words may be written in any case.
"""

from __future__ import annotations

import re

__all__ = ["is_same_unit"]

# One spelling, the symbol, for each unit that has several.
_SYNONYMS = {
    "degC": "celsius degree_celsius degrees_celsius deg_celsius degreec degreesc degree_c "
    "degrees_c deg_c degc °c °celsius ℃",
    "degF": "fahrenheit degree_fahrenheit degrees_fahrenheit degreef degree_f degrees_f deg_f degf "
    "°f ℉",
    "K": "kelvin kelvins degk deg_k degree_k degrees_k degree_kelvin degrees_kelvin °k",
    "degrees_north": "degree_north degree_n degrees_n degreen degreesn",
    "degrees_east": "degree_east degree_e degrees_e degreee degreese",
    "degrees": "degree deg °",
    "rad": "radian radians",
    "%": "percent per_cent pct",
    "1": "dimensionless unitless",
    "m": "meter meters metre metres",
    "km": "kilometer kilometers kilometre kilometres",
    "cm": "centimeter centimeters centimetre centimetres",
    "mm": "millimeter millimeters millimetre millimetres",
    "s": "sec secs second seconds",
    "min": "mins minute minutes",
    "h": "hr hrs hour hours",
    "d": "day days",
    "month": "months",
    "year": "years yr yrs",
    "g": "gram grams gramme grammes",
    "kg": "kilogram kilograms",
    "mg": "milligram milligrams",
    "ug": "microgram micrograms µg μg",
    "mol": "mole moles",
    "mmol": "millimole millimoles",
    "N": "newton newtons",
    "Pa": "pascal pascals",
    "kPa": "kilopascal kilopascals",
    "hPa": "hectopascal hectopascals mb mbar mbars millibar millibars",
    "J": "joule joules",
    "W": "watt watts",
    "V": "volt volts",
    "Hz": "hertz",
    "psu": "psu practical_salinity_unit practical_salinity_units",
    "ppm": "ppm parts_per_million",
    "ppb": "ppb parts_per_billion",
}
_SYMBOLS = {word: symbol for symbol, words in _SYNONYMS.items() for word in words.split()}
_POWERS = str.maketrans("⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹", "-+0123456789")
# Words of one unit that a space may stand between.
_PHRASES = re.compile(
    r"(?i)\b(deg|degree|degrees)[ _.]+(celsius|fahrenheit|kelvin|north|east|[cfkne])\b"
    r"|\b(per)[ _]+(cent)\b|\b(parts)[ _]+(per[ _]+[mb]illion)\b"
    r"|\b(practical)[ _]+(salinity[ _]+units?)\b"
)
_FACTOR = re.compile(r"([^\W\d]+|[%°℃℉][^\W\d]*|1)(?:\^|\*\*)?([-+]?\d+)?")


def is_same_unit(one: str, other: str) -> bool:
    """Whether two texts name the same unit.

    Parameters
    ----------
    one, other : str
        Such as "m s-1", "m/s" or "metres per second", which are all the same.

    Returns
    -------
    bool
        False for different units of one quantity, such as K and degC, and where a text that differs
        from the other cannot be read.
    """
    if one.strip() == other.strip():
        return True
    first, second = _factors(one), _factors(other)
    return first is not None and first == second


def _factors(text: str) -> dict[str, int] | None:
    """Powers of symbols; None where the text is none of these."""
    text = _PHRASES.sub(lambda m: re.sub(r"[ _.]+", "_", m[0]), text.strip().translate(_POWERS))
    text = re.sub(r"(?i)\s+per\s+", "/", text)
    text = re.sub(r"[·⋅]|(?<!\*)\*(?!\*)|(?<=\D)\.(?=\D)|(?<=\d)\.(?=[^\W\d])", " ", text)
    if not text:
        return None
    powers: dict[str, int] = {}
    for i, part in enumerate(text.split("/")):
        words = part.split()
        if not words:
            return None
        for k, word in enumerate(words):
            match = _FACTOR.fullmatch(word)
            if match is None:
                return None
            # Only the first factor behind a slash is divided by, as UDUNITS reads it.
            sign = -1 if i and k == 0 else 1
            symbol = _symbol(match[1])
            powers[symbol] = powers.get(symbol, 0) + sign * int(match[2] or 1)
    powers.pop("1", None)
    return {symbol: power for symbol, power in powers.items() if power}


def _symbol(word: str) -> str:
    """The symbol of a unit; a word that is no synonym stands for itself."""
    if word in _SYNONYMS:
        return word
    # Of one or two letters the case counts: Pa and PA, mb and Mb.
    return _SYMBOLS.get(word if len(word) < 3 and word.isascii() else word.lower(), word)
