"""Pages of docs/: their Python blocks run, and the API page names everything public.

The gallery is executed when the pages are built, which .ci/run does with warnings as errors.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import code_blocks
import relaxon as rx

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
EXAMPLES = sorted((DOCS / "gallery").glob("*.py"))


def python_blocks(page: Path) -> list[tuple[str, str]]:
    return [block for block in code_blocks.find(page.read_text()) if block[0] == "python"]


def test_there_is_something_to_check() -> None:
    assert {page.stem for page in PAGES} > {"index", "notation", "numerics", "accuracy"}
    assert len(EXAMPLES) == 7
    # The build executes files of this name and shows others without results.
    assert all(example.stem.startswith("plot_") for example in EXAMPLES)


@pytest.mark.parametrize("page", [p for p in PAGES if python_blocks(p)], ids=lambda p: p.stem)
def test_python_blocks_run_in_order(page: Path, tmp_path: Path) -> None:
    code_blocks.run_python(python_blocks(page), tmp_path)


def test_every_block_names_its_language() -> None:
    for page in PAGES:
        text = page.read_text()
        assert text.count("```") == 2 * len(code_blocks.find(text)), page
        languages = {language for language, _ in code_blocks.find(text)}
        assert languages <= {"python", "sh", "text", "{toctree}"}, page


def test_api_page_names_everything_public() -> None:
    listed = set(re.findall(r"^   (\w+(?:\.\w+)?)$", (DOCS / "api.rst").read_text(), re.MULTILINE))
    public = {name for name in rx.__all__ if name != "datasets"}
    public |= {f"datasets.{name}" for name in rx.datasets.__all__}
    assert public - listed == set()
