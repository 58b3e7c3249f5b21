"""Write python/relaxon/_core.pyi from the compiled module of the installed package.

Usage: python tools/make_stubs.py [--check]

With --check nothing is written; the exit status is 1 when the file differs from what would be.
"""

from __future__ import annotations

import argparse
import difflib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import relaxon._core as core

TARGET = Path(__file__).resolve().parents[1] / "python" / "relaxon" / "_core.pyi"

HEADER = '''\
"""The compiled core; written by tools/make_stubs.py, not by hand."""
'''


def generate() -> str:
    """Text of the stub: that of the loaded ISA module, under the name that hides the level."""
    module = f"_core_{core.isa_level}"
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(
            [
                *(sys.executable, "-m", "pybind11_stubgen", f"relaxon.{module}"),
                *("--output-dir", directory, "--exit-code"),
            ],
            check=True,
            stdin=subprocess.DEVNULL,
        )
        text = (Path(directory) / "relaxon" / f"{module}.pyi").read_text()
    body = text[text.index("from __future__") :].replace(module, "_core")
    # The values of strings differ between levels, their type does not.
    body = re.sub(r"^(\w+: str) = .*$", r"\1", body, flags=re.MULTILINE)
    opening = "__all__: list[str] = ["
    return HEADER + body.replace(opening, opening + "'isa_level', ", 1) + "isa_level: str\n"


def main() -> int:
    """Write the stub, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    text = generate()
    if not check:
        TARGET.write_text(text)
        return 0
    present = TARGET.read_text() if TARGET.exists() else ""
    difference = "".join(
        difflib.unified_diff(
            present.splitlines(keepends=True), text.splitlines(keepends=True), "present", "expected"
        )
    )
    print(difference, end="")
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
