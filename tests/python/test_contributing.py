"""What CONTRIBUTING says of the places that an addition touches is counted here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    "cpp",
    "python",
    "docs/api.rst",
    "tests/operators",
    # none of these may need a line for an operator
    "tests/reference.py",
    "tests/reference_operator.py",
    "tests/registry.py",
)
MOST_PLACES = 11
SUFFIXES = {".hpp", ".cpp", ".py", ".pyi", ".rst", ".txt"}


def places_of(word: str) -> set[str]:
    """Files of the sources that name an operator."""
    files = [ROOT / "CMakeLists.txt"]
    for source in SOURCES:
        path = ROOT / source
        files += [path] if path.is_file() else [p for p in path.rglob("*") if p.suffix in SUFFIXES]
    pattern = re.compile(rf"\b(make_)?{word}\b", re.IGNORECASE)
    return {p.relative_to(ROOT).as_posix() for p in files if pattern.search(p.read_text())}


@pytest.mark.skipif(not (ROOT / "CONTRIBUTING.md").exists(), reason="needs the sources")
def test_the_recipe_lists_all_places_that_name_an_operator() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    recipe = text[text.index("## Add an operator") : text.index("## Add something else")]
    listed = set(re.findall(r"`([\w./]+\.(?:hpp|cpp|pyi?|rst|txt))`", recipe))
    listed = {path for path in listed if (ROOT / path).exists()}
    # Named in passing: where its kind of reading would stand, and tools.
    others = {
        "python/relaxon/physics/coefficients.py",
        "tests/python/test_contributing.py",
        "tools/make_stubs.py",
    }
    places = places_of("banded")
    assert listed - others == places
    assert len(places) <= MOST_PLACES
