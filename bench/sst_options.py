"""Smoothness and patience of ``relaxon fit sst --space local``, scanned on validation months alone.

    python -m bench.sst_options

One fit per smoothness, as long as the greatest patience asks for; what a smaller patience would
have returned is read from its history. The held-out months are not looked at.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relaxon.cli import main as relaxon

SMOOTHNESS = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
PATIENCE = (10, 30, 100, 300)
# Upper bounds of the descent: that of the command line, and one that lets patience decide.
STEPS = (500, 3000)


def validation_losses(smoothness: float, patience: int, steps: int) -> NDArray[np.float64]:
    """Validation loss after each step of one fit of the command line."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--space", "local", "--smoothness", smoothness, "--patience", patience]
        arguments = ["fit", "sst", *options, "--steps", steps, "--out", folder]
        if code := relaxon([str(argument) for argument in arguments]):
            raise SystemExit(code)
        history = np.genfromtxt(Path(folder) / "history.csv", delimiter=",", names=True)
    return np.asarray(history["validation_loss"])


def stop(losses: NDArray[np.float64], patience: int) -> tuple[float, int]:
    """Return the least loss before `patience` steps without a better one, and the steps taken."""
    best = 0
    for step, loss in enumerate(losses):
        if loss < losses[best]:
            best = step
        if step - best >= patience:
            return float(losses[best]), step + 1
    return float(losses[best]), losses.size


def table(losses: dict[float, NDArray[np.float64]], steps: int) -> Sequence[str]:
    """Rows of smoothness, columns of patience: validation loss (steps taken)."""
    lines = [
        f"validation loss (steps taken), at most {steps} steps:",
        "",
        "| smoothness | " + " | ".join(f"patience {p}" for p in PATIENCE) + " |",
        "| --- " * (len(PATIENCE) + 1) + "|",
    ]
    for smoothness, history in losses.items():
        stops = [stop(history[:steps], patience) for patience in PATIENCE]
        lines.append(f"| {smoothness:g} | " + " | ".join(f"{v:.4f} ({n})" for v, n in stops) + " |")
    return lines


def main() -> None:
    """Run the fits and print a table for each bound of the steps."""
    losses = {s: validation_losses(s, max(PATIENCE), max(STEPS)) for s in SMOOTHNESS}
    for steps in STEPS:
        print("\n".join(table(losses, steps)), end="\n\n")


if __name__ == "__main__":
    main()
