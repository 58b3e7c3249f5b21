"""Which variables of a data set are fields, and which only describe others.

Conventions for climate and forecast metadata (CF) and for unstructured grids (UGRID): what bounds,
grid mappings, cell measures and the like are, the attributes say that name them.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

from .attributes import kind_of, unit_of
from .decoding import is_since
from .roles import has_time

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["attributes_among", "candidates_of", "with_positions"]

# Attributes of a variable whose words are names of variables that describe it.
_NAMING = re.compile(
    r"coordinates|.*_coordinates|bounds|climatology|grid_mapping|cell_measures|formula_terms"
    r"|ancillary_variables|nodes|node_count|part_node_count|interior_ring|geometry|mesh"
    r"|location_index_set|.*_connectivity|tie_point_mapping|coordinate_interpolation"
)
# Where no attribute names them.
_BOUNDS = re.compile(r"(.+)_(bnds|bounds|vertices|vertex|edges)", re.IGNORECASE)


def candidates_of(dataset: Dataset) -> tuple[str, ...]:
    """Names of the variables that may be the field.

    Parameters
    ----------
    dataset : xarray.Dataset
        Its times decoded or not.

    Returns
    -------
    tuple of str
        Variables of numbers with an axis that no other one names as its bounds, grid mapping, cell
        measure, ancillary variable, coordinate or the like, and that are no flags, no positions and
        no times. Where some have an axis of time, those alone; of them,
        those with another axis beside.
    """
    named = _named(dataset)
    found = [
        str(name)
        for name, data in dataset.data_vars.items()
        if str(name) not in named and _is_field(dataset, str(name), data)
    ]
    with_time = [name for name in found if has_time(dataset[name])]
    with_space = [name for name in with_time if dataset[name].ndim > 1]
    return tuple(with_space or with_time or found)


def with_positions(dataset: Dataset) -> Dataset:
    """The same with latitudes and longitudes as coordinates, whether a variable names them or not.

    Parameters
    ----------
    dataset : xarray.Dataset
        A data set.

    Returns
    -------
    xarray.Dataset
        Shares the values.
    """
    positions = [str(name) for name, data in dataset.data_vars.items() if _is_position(name, data)]
    changed: Dataset = dataset.set_coords(positions)
    return changed


def attributes_among(attributes: Mapping[Any, Any], names: Container[str]) -> dict[Any, Any]:
    """Attributes without those that name variables which are not there.

    Parameters
    ----------
    attributes : mapping
        Of a variable.
    names : container of str
        The variables that are there.

    Returns
    -------
    dict
        All attributes but bounds, ancillary variables and the like that are elsewhere.
    """
    return {
        key: value
        for key, value in attributes.items()
        if not _is_naming(key, value) or all(word in names for word in _words(value))
    }


def _is_naming(key: Any, value: Any) -> bool:
    return isinstance(value, str) and _NAMING.fullmatch(str(key)) is not None


def _words(value: str) -> list[str]:
    """Names of variables; words before a colon say what they are."""
    return [word.strip(",()") for word in value.split() if not word.endswith(":")]


def _named(dataset: Dataset) -> set[str]:
    """What the attributes of all variables name; some of these xarray keeps as encoding."""
    named: set[str] = set()
    for name, data in dataset.variables.items():
        for key, value in {**data.encoding, **data.attrs}.items():
            if _is_naming(key, value):
                named.update(word.strip(":,()") for word in value.split())
        bounds = _BOUNDS.fullmatch(str(name))
        if bounds and bounds[1] in dataset.variables:
            named.add(str(name))
    return named


def _is_field(dataset: Dataset, name: str, data: DataArray) -> bool:
    attributes = {**data.encoding, **data.attrs}
    return bool(
        data.ndim
        and data.dtype.kind in "iufc"
        and not {"flag_values", "flag_masks", "flag_meanings", "cf_role", "grid_mapping_name"}
        & set(attributes)
        and not is_since(unit_of(attributes))
        and not _is_position(name, data)
        # A variable over a pair of bounds.
        and not {str(dim) for dim in data.dims} & {"bnds", "nbnd", "bounds", "nv", "tbnd"}
    )


def _is_position(name: Any, data: DataArray) -> bool:
    """Whether values are latitudes or longitudes: by standard name, or by name and unit."""
    kind, _ = kind_of(str(name), data.attrs)
    is_named = data.attrs.get("standard_name") in ("latitude", "longitude")
    return bool(data.ndim and kind and (is_named or unit_of(data.attrs).startswith("degree")))
