"""Options of ``relaxon fit --space local``, scanned without a look at the held-out times.

    python -m bench.options sst
    python -m bench.options era5 ../shared/data/era5_uk_t2m_2019_03.nc

sst: smoothness and patience on the validation months, one fit per smoothness, as long as the
greatest patience asks for; what a smaller patience would have returned is read from its history.

era5: scheme, smoothness and number of steps. One share of the training times to validate on is 84
hours, a single weather situation. So the origin rolls: records that end at 388, 465 and 558 hours
(where the held-out times begin) are each fitted and tested as ``relaxon fit`` would do it, at leads
of 6 and 3 hours. The measure is the error over that of damped persistence per cell; the options
are those whose worst of the six is least. The descent is L-BFGS: it goes down in every step, so a
number of steps says how far it went, while steps of Barzilai and Borwein may go up in between.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import relaxon as rx
from relaxon.cli import main as relaxon
from relaxon.datasets.series import Series
from relaxon.datasets.time_axis import TimeAxis
from relaxon.datasets.variable import open_variable
from relaxon.forecasting.baselines import fit_baselines
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import Options

SMOOTHNESS = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
PATIENCE = (10, 30, 100, 300)
# Upper bounds of the descent: that of the command line, and one that lets patience decide.
STEPS = (500, 3000)

SCHEMES = ("central", "upwind")
ORIGINS = (388, 465, 558)
LEADS = (6, 3)
ROLLING_SMOOTHNESS = (3.0, 10.0, 30.0, 100.0)
STRETCHES = (3, 5, 7, 10, 15, 20, 30, 40)

Losses = NDArray[np.float64]


def validation_losses(smoothness: float) -> Losses:
    """Validation loss after each step of one fit of the command line."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--space", "local", "--smoothness", smoothness, "--patience", max(PATIENCE)]
        command = ["fit", "sst", *options, "--steps", max(STEPS), "--out", folder]
        if code := relaxon([str(word) for word in command]):
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


def patience_table(losses: dict[float, Losses], steps: int) -> Iterator[str]:
    """Rows of smoothness, columns of patience: validation loss (steps taken)."""
    yield f"validation loss (steps taken), at most {steps} steps:\n"
    yield "| smoothness | " + " | ".join(f"patience {p}" for p in PATIENCE) + " |"
    yield "| --- " * (len(PATIENCE) + 1) + "|"
    for smoothness, history in losses.items():
        stops = [stop(history[:steps], patience) for patience in PATIENCE]
        cells = " | ".join(f"{loss:.4f} ({n})" for loss, n in stops)
        yield f"| {smoothness:g} | {cells} |"


def scan_patience() -> None:
    """Fit the shipped data with each smoothness and print a table for each bound of the steps."""
    losses = {s: validation_losses(s) for s in SMOOTHNESS}
    for steps in STEPS:
        print("\n".join(patience_table(losses, steps)), end="\n\n")


def ratios(series: Series, lead: int, scheme: str, smoothness: float) -> list[float]:
    """Error over that of damped persistence per cell, after each number of steps."""
    options = Options(
        lead=lead,
        anomaly="hour",
        space="local",
        depth=8,
        scheme=scheme,
        smoothness=smoothness,
        patience=0,
        optimizer="lbfgs",
    )
    experiment = Experiment(options, series)
    split = experiment.split
    test, training = split.held_out, split.training
    damped = fit_baselines(training, split.mask)[-1]
    reference = split.error(damped.factor * test.x, test)
    found = []

    def look(state: rx.State) -> None:
        if state.step in STRETCHES:
            found.append(split.error(state.model(test.x), test) / reference)

    rx.fit(
        experiment.model,
        training.x,
        training.y,
        loss=rx.SquaredDistance(weights=split.loss_weights(training)),
        optimizer=experiment.optimizer,
        steps=max(STRETCHES),
        penalties=experiment.penalties,
        callbacks=[look],
    )
    # A fit that converges earlier stays where it is.
    return found + found[-1:] * (len(STRETCHES) - len(found))


def scan_rolling(path: str) -> None:
    """Fit records that end earlier and print mean and worst ratio per scheme and smoothness."""
    whole = Series.read(open_variable(path, "t2m"))
    records = [
        dataclasses.replace(
            whole,
            values=whole.values[:end],
            time=TimeAxis.read(whole.time.name, whole.time.values[:end], {}),
        )
        for end in ORIGINS
    ]
    print("error over that of damped persistence per cell, mean (worst) of six:\n")
    print("| scheme | smoothness | " + " | ".join(f"{n} steps" for n in STRETCHES) + " |")
    print("| --- " * (len(STRETCHES) + 2) + "|")
    for scheme, strength in itertools.product(SCHEMES, ROLLING_SMOOTHNESS):
        table = np.array(
            [ratios(r, lead, scheme, strength) for r, lead in itertools.product(records, LEADS)]
        )
        cells = [f"{m:.3f} ({w:.3f})" for m, w in zip(table.mean(0), table.max(0), strict=True)]
        print(f"| {scheme} | {strength:g} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Scan one data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=("sst", "era5"))
    parser.add_argument("file", nargs="?", help="of era5")
    arguments = parser.parse_args()
    if arguments.data == "sst":
        scan_patience()
    elif arguments.file is None:
        parser.error("era5 needs its file")
    else:
        scan_rolling(arguments.file)


if __name__ == "__main__":
    main()
