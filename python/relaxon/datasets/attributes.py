"""What the attributes of a coordinate say: its unit, and what it is on a sphere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["DEGREES", "kind_of", "unit_of"]

DEGREES = re.compile(r"degrees?(_?(north|east|n|e))?", re.IGNORECASE)
_NORTH = re.compile(r"degrees?_?(north|n)", re.IGNORECASE)
_EAST = re.compile(r"degrees?_?(east|e)", re.IGNORECASE)
_GEOGRAPHIC = {"lat": "latitude", "lon": "longitude", "latitude": "latitude"}
_GEOGRAPHIC |= {"longitude": "longitude"}
# On a sphere whose poles lie elsewhere.
_ROTATED = {"rlat": "latitude", "rlon": "longitude"}
_ROTATED |= {"grid_latitude": "latitude", "grid_longitude": "longitude"}
# What data write where there is no unit; those of vertical levels are udunits' own.
_NO_UNIT = re.compile(
    r"1|-+|#|n\.?/?a\.?|none|no[ _]units?|unit-?less|dimension-?less|index|number|counts?"
    r"|(grid[ _]?)?(cells?|points?)|levels?|layers?|sigma_levels?",
    re.IGNORECASE,
)


def unit_of(attributes: Mapping[str, Any]) -> str:
    """The unit among the attributes of a coordinate; "" where there is none, as "1" says, too."""
    unit = attributes.get("units", "")
    if not isinstance(unit, str):
        return repr(unit)
    return "" if _NO_UNIT.fullmatch(unit.strip()) else unit.strip()


def kind_of(name: str, attributes: Mapping[str, Any]) -> tuple[str, bool]:
    """What a coordinate is on a sphere, by its standard name, its name or its unit.

    Parameters
    ----------
    name : str
        Its name.
    attributes : mapping
        "standard_name" and "units" are looked at.

    Returns
    -------
    kind : {"latitude", "longitude", ""}
        "" for neither.
    is_rotated : bool
        Whether that sphere's poles are not those of the earth.
    """
    standard, unit = str(attributes.get("standard_name", "")), unit_of(attributes)
    if standard in _GEOGRAPHIC:
        return _GEOGRAPHIC[standard], False
    for word in (standard, name.lower()):
        if word in _ROTATED:
            return _ROTATED[word], True
    if _NORTH.fullmatch(unit):
        return "latitude", False
    if _EAST.fullmatch(unit):
        return "longitude", False
    return _GEOGRAPHIC.get(name.lower(), ""), False
