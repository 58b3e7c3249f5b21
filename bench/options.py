"""Options of ``relaxon fit --space local``, scanned on validation times alone.

    python -m bench.options sst
    python -m bench.options era5 ../shared/data/era5_uk_t2m_2019_03.nc

One fit per scheme and smoothness, as long as the greatest patience asks for; what a smaller
patience would have returned is read from its history. The held-out times are not looked at.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relaxon.cli import main as relaxon

PATIENCE = (10, 30, 100, 300)

Losses = NDArray[np.float64]


@dataclass(frozen=True)
class Scan:
    """What is scanned on one data set.

    ``steps`` are upper bounds of the descent: that of the command line, and for small data one that
    lets patience decide.
    """

    options: tuple[str, ...]
    smoothness: tuple[float, ...]
    schemes: tuple[str, ...] = ("central",)
    patience: tuple[int, ...] = PATIENCE
    steps: tuple[int, ...] = (500,)


SCANS = {
    "sst": Scan((), (0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0), steps=(500, 3000)),
    "era5": Scan(
        ("--variable", "t2m", "--lead", "6", "--anomaly", "hour", "--depth", "8"),
        (0.1, 0.3, 1.0, 10.0, 100.0),
        ("central", "upwind", "lax-wendroff"),
        PATIENCE[:2],
    ),
}


def validation_losses(data: str, scan: Scan, scheme: str, smoothness: float) -> Losses:
    """Validation loss after each step of one fit of the command line."""
    settings = {
        "--scheme": scheme,
        "--smoothness": smoothness,
        "--patience": max(scan.patience),
        "--steps": max(scan.steps),
    }
    words = [str(word) for word in itertools.chain.from_iterable(settings.items())]
    with tempfile.TemporaryDirectory() as folder:
        command = ["fit", data, *scan.options, "--space", "local", *words, "--out", folder]
        if code := relaxon(command):
            raise SystemExit(code)
        history = np.genfromtxt(Path(folder) / "history.csv", delimiter=",", names=True)
    return np.asarray(history["validation_loss"])


def stop(losses: Losses, patience: int) -> tuple[float, int]:
    """Return the least loss before `patience` steps without a better one, and the steps taken."""
    best = 0
    for step, loss in enumerate(losses):
        if loss < losses[best]:
            best = step
        if step - best >= patience:
            return float(losses[best]), step + 1
    return float(losses[best]), losses.size


def table(
    losses: dict[tuple[str, float], Losses], patience: Sequence[int], steps: int
) -> Iterator[str]:
    """Rows of scheme and smoothness, columns of patience: validation loss (steps taken)."""
    yield f"validation loss (steps taken), at most {steps} steps:\n"
    yield "| scheme | smoothness | " + " | ".join(f"patience {p}" for p in patience) + " |"
    yield "| --- " * (len(patience) + 2) + "|"
    for (scheme, smoothness), history in losses.items():
        stops = [stop(history[:steps], p) for p in patience]
        cells = " | ".join(f"{loss:.4f} ({n})" for loss, n in stops)
        yield f"| {scheme} | {smoothness:g} | {cells} |"


def main() -> None:
    """Run the fits and print a table for each bound of the steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scan", choices=SCANS)
    parser.add_argument("data", nargs="?", default="sst", help="the file, for all but sst")
    arguments = parser.parse_args()
    scan = SCANS[arguments.scan]
    losses = {
        case: validation_losses(arguments.data, scan, *case)
        for case in itertools.product(scan.schemes, scan.smoothness)
    }
    for steps in scan.steps:
        print("\n".join(table(losses, scan.patience, steps)), end="\n\n")


if __name__ == "__main__":
    main()
