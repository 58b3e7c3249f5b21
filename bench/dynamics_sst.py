"""``relaxon fit sst`` by theta, depth and diffusion: what chooses, and what is read off.

    python -m bench.dynamics_sst                                # all: an hour of one processor
    python -m bench.dynamics_sst --theta 1 --depth 1,2,5 --diffusion diagonal --tables fits

The first table chooses: fits to an earlier part of the 40 months to train on, and the error on the
rest, over that of damped persistence, for three parts; beside it how much larger it is than the
least, in the mean of the paired differences of months with the standard error of that mean. The
held-out months play no part in it. The second is of fits to all 40 months: errors, diffusivities
and the drift along longitude with their standard errors, the largest factor of a wave and of any
state on the masked grid, whether the layers are stable by their own report, and seconds of all
processors together. Both take the options of the command line, but for depth, theta, diffusion and
the optimizer: where fits converge, that counts in seconds alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import relaxon as rx
from relaxon.datasets.source import Source
from relaxon.forecasting.baselines import fit_baselines
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import Options
from relaxon.physics.numbers import format_measured
from relaxon.physics.stability import Stability

DEPTHS = {0.0: (1, 2, 5, 10, 20, 40), 0.5: (1, 2, 5, 10), 1.0: (1, 2, 5, 10)}
# Of the months to train on; the first is that of the command line.
SHARES = (0.15, 0.25, 0.35)
READ = {
    "D along longitude, m^2/s": ("D", (1, 1)),
    "D along latitude, m^2/s": ("D", (0, 0)),
    "mixed D, m^2/s": ("D", (0, 1)),
    "U along longitude, m/s": ("U", (1,)),
}
Months = NDArray[np.float64]


def make_experiment(options: Options) -> Experiment:
    """That of the command line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of bounds
        return Experiment(options, Source(("sst",)).read())


def read_months(options: Options, share: float) -> tuple[Months, Months]:
    """Errors of the model and of damped persistence on each validation month."""
    # Patience sets the months apart; the fit does not look at them.
    apart = dataclasses.replace(options, patience=options.steps, validation=share)
    experiment = make_experiment(apart)
    split, training = experiment.split, experiment.split.training
    assert split.validation is not None
    x, y = split.validation.x, split.validation.y[:, split.mask]
    fitted = rx.fit(
        experiment.model,
        training.x,
        training.y,
        loss=rx.SquaredDistance(weights=split.loss_weights(training)),
        optimizer=experiment.optimizer,
        steps=options.steps,
        bounds=experiment.bounds,
        threads=options.threads,
    )
    damped = fit_baselines(training, split.mask)[1]
    answers = (fitted.model(x), damped.factor * x)
    model, reference = (
        np.mean((answer[:, split.mask] - y) ** 2, axis=1) / split.variance for answer in answers
    )
    return model, reference


def print_choice(variants: list[Options], shares: tuple[float, ...]) -> None:
    """Errors on validation months over those of damped persistence, and how far from the least."""
    found = []
    for options in variants:
        found.append([read_months(options, share) for share in shares])
        ratios = (f"{model.mean() / reference.mean():.4f}" for model, reference in found[-1])
        print(*layers(options), *ratios, file=sys.stderr, flush=True)
    print_head(["theta", "depth", "diffusion", *(f"last {share:.0%}" for share in shares)])
    least = [min((row[k][0] for row in found), key=np.mean) for k in range(len(shares))]
    for options, row in zip(variants, found, strict=True):
        cells = list(layers(options))
        for (model, reference), best in zip(row, least, strict=True):
            more = (model - best) / reference.mean()
            error = more.std(ddof=1) / np.sqrt(len(more))
            ratio = model.mean() / reference.mean()
            cells.append(f"{ratio:.4f} ({more.mean():.4f} +- {error:.4f})")
        print(f"| {' | '.join(cells)} |", flush=True)


def read_row(options: Options) -> str:
    """One fit: errors, coefficients, stability."""
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        experiment = make_experiment(options)
        fitted, explanation = experiment.learn()
        seconds = time.process_time() - begin
    split, model = experiment.split, fitted.model
    errors = [split.error(model(part.x), part) for part in (split.training, split.held_out)]
    processes = {(p.symbol, p.axes): p for p in explanation.processes}
    texts = []
    for key in READ.values():
        number, error = format_measured(processes[key].typical_value, processes[key].typical_error)
        texts.append(f"{number} +- {error}" if error else number)
    stability = rx.stability(model)
    assert stability.amplification is not None
    cells = [
        *layers(options),
        *(f"{error:.4f}" for error in errors),
        *texts,
        f"{stability.amplification.largest:.4f}",
        f"{stability.spectral_radius:.4f}",
        say_stable(stability),
        f"{len(fitted.history)} ({fitted.status.name.lower()})",
        f"{seconds:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def say_stable(stability: Stability) -> str:
    """What the layers say of themselves."""
    return {True: "yes", False: "no", None: "not known"}[stability.is_stable]


def layers(options: Options) -> tuple[str, str, str]:
    """Theta, depth and diffusion, which name a row."""
    return f"{options.theta:g}", str(options.depth), str(options.diffusion)


def read_variants(arguments: argparse.Namespace) -> Iterator[Options]:
    """Theta, depth and diffusion, in the order of the tables."""
    for theta in map(float, arguments.theta.split(",")):
        depths = map(int, arguments.depth.split(",")) if arguments.depth else DEPTHS[theta]
        for depth in depths:
            for diffusion in arguments.diffusion.split(","):
                yield Options(
                    theta=theta,
                    depth=depth,
                    diffusion=diffusion,
                    optimizer=arguments.optimizer,
                    threads=arguments.threads,
                )


def print_head(names: list[str]) -> None:
    """First lines of a table."""
    print(f"| {' | '.join(names)} |\n{'| --- ' * len(names)}|", flush=True)


def main() -> None:
    """Print the tables, line by line."""
    parser = argparse.ArgumentParser(description="relaxon fit sst by theta, depth and diffusion")
    parser.add_argument("--theta", default=",".join(f"{theta:g}" for theta in DEPTHS))
    parser.add_argument("--depth", help="default: those of the table of each theta")
    parser.add_argument("--diffusion", default="full,diagonal")
    parser.add_argument("--optimizer", default="lbfgs")
    parser.add_argument("--shares", default=",".join(map(str, SHARES)))
    parser.add_argument("--tables", default="choice,fits")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    variants = list(read_variants(arguments))
    if "choice" in arguments.tables:
        print_choice(variants, tuple(map(float, arguments.shares.split(","))))
    if "fits" in arguments.tables:
        names = ["theta", "depth", "diffusion", "training", "held out", *READ]
        names += ["largest amplification", "spectral radius", "stable", "steps", "seconds"]
        print_head(names)
        for options in variants:
            print(read_row(options), flush=True)


if __name__ == "__main__":
    main()
