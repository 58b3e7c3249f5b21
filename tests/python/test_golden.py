"""Model files of former versions load for ever, to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import relaxon as rx
from golden_models import digests, models

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
FILES = sorted(GOLDEN.glob("*/*.safetensors"))


def test_every_version_has_its_files() -> None:
    versions = {path.parent.name for path in FILES}
    assert {"1ef25b8", "db07b4f"} <= versions
    for version in versions:
        assert {path.stem for path in FILES if path.parent.name == version} == set(models())


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}, {path.stem}")
def test_a_former_file_loads(path: Path, tmp_path: Path) -> None:
    facts = json.loads(path.with_suffix(".json").read_text())
    model = rx.load(path)
    assert repr(model) == facts["repr"]
    assert repr(model.grid) == facts["grid"]
    assert digests(model) == facts["arrays"]
    rx.save(model, tmp_path / "again")
    assert rx.load(tmp_path / "again") == model


@pytest.mark.parametrize("name", models())
def test_the_same_seed_still_gives_the_same_model(name: str) -> None:
    """What a constructor draws is part of what files and papers rely on."""
    path = GOLDEN / "db07b4f" / f"{name}.safetensors"
    assert rx.load(path) == models()[name]
