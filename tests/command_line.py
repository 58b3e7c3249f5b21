"""The command line in a process of its own, and the files of its report."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

RELAXON = [sys.executable, "-c", "import sys; from relaxon.cli import main; sys.exit(main())"]
FIGURES = {f"{name}.png" for name in ("loss", "prediction", "coefficients", "depth", "stability")}
REPORT = {"model.safetensors", "summary.json", "history.csv", "report.html", *FIGURES}


def relaxon(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RELAXON, *arguments], capture_output=True, text=True, timeout=300, check=False, **options
    )
