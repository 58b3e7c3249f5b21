"""Fenced code blocks of Markdown pages, and how those in Python are run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def find(text: str) -> list[tuple[str, str]]:
    """Language and body of every block."""
    return re.findall(r"^```(\S*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run_python(blocks: list[tuple[str, str]], folder: Path) -> None:
    """Run the Python blocks of a page in order in one process, warnings as errors."""
    code = "\n".join(body for language, body in blocks if language == "python")
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
