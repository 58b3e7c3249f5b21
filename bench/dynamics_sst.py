"""``relaxon fit sst`` with explicit and implicit layers: what it reads off as depth grows.

    python -m bench.dynamics_sst                                # all: a quarter of an hour
    python -m bench.dynamics_sst --theta 0.5 --depth 1,2 --optimizer lbfgs

The first table is of fits to the 40 months to train on: errors, the coefficients along longitude
with their standard errors, the largest factor of a wave and of any state on the masked grid, and
seconds of all processors together. The second chooses: validation errors of fits to an earlier part
of these months, over that of damped persistence; the held-out months play no part in it. Both take
the options of the command line, but for depth and theta. Where a fit converges, the optimizer
counts in seconds alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
import warnings
from collections.abc import Iterator

import numpy as np

import relaxon as rx
from relaxon.datasets.source import Source
from relaxon.forecasting.baselines import fit_baselines
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import Options
from relaxon.physics.numbers import format_measured

DEPTHS = {0.0: (1, 2, 5, 10, 20, 40), 0.5: (1, 2, 5, 10), 1.0: (1, 2, 5, 10)}
# Of the months to train on; the first is that of the command line.
SHARES = (0.15, 0.25, 0.35)


def make_experiment(options: Options, share: float | None = None) -> Experiment:
    """That of the command line; with a share, one that watches validation months to its end."""
    if share is not None:
        options = dataclasses.replace(options, patience=options.steps, validation=share)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of bounds
        return Experiment(options, Source(("sst",)).read())


def read_row(options: Options) -> str:
    """One fit: errors, coefficients along longitude, stability."""
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        experiment = make_experiment(options)
        fitted, explanation = experiment.learn()
        seconds = time.process_time() - begin
        split, model = experiment.split, fitted.model
    errors = [split.error(model(part.x), part) for part in (split.training, split.held_out)]
    found = {(p.symbol, p.axes): p for p in explanation.processes}
    texts = []
    for key in (("D", (1, 1)), ("U", (1,))):
        process = found[key]
        texts.append(" +- ".join(format_measured(process.typical_value, process.typical_error)))
    stability = rx.stability(model)
    assert stability.amplification is not None
    cells = [
        f"{options.theta:g}",
        str(options.depth),
        *(f"{error:.4f}" for error in errors),
        *texts,
        f"{stability.amplification.largest:.4f}",
        f"{stability.spectral_radius:.4f}",
        f"{len(fitted.history)} ({fitted.status.name.lower()})",
        f"{seconds:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def read_choice(options: Options, shares: tuple[float, ...]) -> str:
    """Last validation error over that of damped persistence, for each share."""
    ratios = []
    for share in shares:
        experiment = make_experiment(options, share)
        split = experiment.split
        assert split.validation is not None
        losses = experiment.learn()[0].history.validation_loss
        damped = fit_baselines(split.training, split.mask)[1]
        reference = split.error(damped.factor * split.validation.x, split.validation)
        ratios.append(float(losses[-1]) / reference)
    cells = [f"{options.theta:g}", str(options.depth), *(f"{ratio:.4f}" for ratio in ratios)]
    return f"| {' | '.join(cells)} | {np.mean(ratios):.4f} |"


def read_variants(arguments: argparse.Namespace) -> Iterator[Options]:
    """Theta and depth, in the order of the tables."""
    for theta in map(float, arguments.theta.split(",")):
        depths = map(int, arguments.depth.split(",")) if arguments.depth else DEPTHS[theta]
        for depth in depths:
            yield Options(theta=theta, depth=depth, optimizer=arguments.optimizer)


def print_head(names: list[str]) -> None:
    """First lines of a table."""
    print(f"| {' | '.join(names)} |\n{'| --- ' * len(names)}|", flush=True)


def main() -> None:
    """Print the tables, line by line."""
    parser = argparse.ArgumentParser(description="relaxon fit sst by theta and depth")
    parser.add_argument("--theta", default=",".join(f"{theta:g}" for theta in DEPTHS))
    parser.add_argument("--depth", help="default: those of the table of each theta")
    parser.add_argument("--optimizer", help="default: that of relaxon fit")
    parser.add_argument("--shares", default=",".join(map(str, SHARES)))
    parser.add_argument("--tables", default="fits,choice")
    arguments = parser.parse_args()
    if "fits" in arguments.tables:
        names = ["theta", "depth", "training", "held out", "D along longitude, m^2/s"]
        names += [
            "U along longitude, m/s",
            "largest amplification",
            "spectral radius",
            "steps",
            "seconds",
        ]
        print_head(names)
        for options in read_variants(arguments):
            print(read_row(options), flush=True)
    if "choice" in arguments.tables:
        shares = tuple(map(float, arguments.shares.split(",")))
        print_head(["theta", "depth", *(f"last {share:.0%}" for share in shares), "mean"])
        for options in read_variants(arguments):
            print(read_choice(options, shares), flush=True)


if __name__ == "__main__":
    main()
