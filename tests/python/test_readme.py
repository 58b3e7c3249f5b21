"""Every code block and command of README.md runs, and its result table is what the command prints.

A block's language decides: ``python`` blocks run in order in one process, ``sh`` blocks line by
line, ``text`` blocks show output or formulas. Set-up by pip cannot run inside the tests it makes
possible: here its extra is looked up in the package's metadata; .ci/run runs the line itself.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

import code_blocks

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = code_blocks.find(README)
COMMANDS = [
    command.strip()
    for language, body in BLOCKS
    if language == "sh"
    for line in body.splitlines()
    if line.strip() and not line.lstrip().startswith("#")
    for command in line.split("&&")
]
SCRIPTS = Path(sys.executable).parent


def test_blocks_are_closed_and_name_their_language() -> None:
    assert README.count("```") == 2 * len(BLOCKS)
    assert {language for language, _ in BLOCKS} <= {"python", "sh", "text"}
    assert "python" in {language for language, _ in BLOCKS}


def test_both_commands_of_the_set_up_are_there() -> None:
    shell = "\n".join(body for language, body in BLOCKS if language == "sh")
    lines = [line.strip() for line in shell.splitlines()]
    assert 'pip install ".[cli]" && relaxon fit sst --out sst-report' in lines
    assert 'pip install ".[test]" && pytest' in lines


def test_python_blocks_run_in_order(tmp_path: Path) -> None:
    code_blocks.run_python(BLOCKS, tmp_path)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("pip ")])
def test_pip_asks_for_an_extra_that_exists(command: str) -> None:
    words = shlex.split(command)
    assert words[:2] == ["pip", "install"]
    offered = metadata("relaxon").get_all("Provides-Extra")
    for requirement in words[2:]:
        extras = re.fullmatch(r"\.\[([a-z,]+)\]", requirement)
        assert extras, requirement
        assert set(extras[1].split(",")) <= set(offered or [])


def test_no_command_goes_untested() -> None:
    assert {c.split()[0] for c in COMMANDS} <= {"pip", "pytest", "relaxon"}
    assert [c for c in COMMANDS if c.startswith("pytest") and c != "pytest"] == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which the README's relaxon commands have run, in order."""
    folder = tmp_path_factory.mktemp("readme")
    for command in (c for c in COMMANDS if c.startswith("relaxon ")):
        words = shlex.split(command)
        result = subprocess.run(
            [SCRIPTS / words[0], *words[1:]],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert result.returncode == 0, f"{command}\n{result.stderr}"
    return folder


def test_result_table_is_what_the_main_job_reports(folder: Path) -> None:
    summary = json.loads((folder / "sst-report" / "summary.json").read_text())
    names = [row["name"] for row in summary["rows"]]
    assert len(names) == 4
    for row in summary["rows"]:
        lines = [
            line.strip().strip("|│┃").strip()
            for line in README.splitlines()
            if re.match(rf"[\s|│┃]*{re.escape(row['name'])}\s*(\||│|┃|\s\s|$)", line)
        ]
        assert lines, f"no row {row['name']!r} in README.md"
        shown = [float(number) for number in re.findall(r"\d+\.\d+", " ".join(lines))]
        for error in (row["training_error"], row["held_out_error"]):
            # The table has three decimals; the last one may differ between ISA levels.
            assert min(abs(error - number) for number in shown) < 1.5e-3, (row["name"], error)
