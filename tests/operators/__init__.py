"""The operators that every law is tested with: whatever file in this folder holds an ENTRY.

In the order of the entries' positions, which the numbers of the registry's cases rest on.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from reference_operator import Entry, Operator


def find_entries() -> dict[str, Entry]:
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    found: dict[str, Entry] = {name: import_module(f"{__name__}.{name}").ENTRY for name in names}
    names.sort(key=lambda name: found[name].position)
    positions = {name: found[name].position for name in names}
    if list(positions.values()) != list(range(len(names))):
        raise ValueError(f"positions of operators: expected 0, 1, 2 and so on, got {positions}")
    return {name: found[name] for name in names}


ENTRIES = find_entries()
OPERATORS: dict[str, Operator] = {
    name: operator for entry in ENTRIES.values() for name, operator in entry.variants.items()
}
