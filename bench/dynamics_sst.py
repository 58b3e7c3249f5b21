"""``relaxon fit sst`` with explicit and implicit layers: what it reads off as depth grows.

    python -m bench.dynamics_sst                # about ten minutes

The first table is of fits to the 40 months to train on: errors, seconds, and the coefficients along
longitude with their standard errors. The second chooses: validation errors of fits to an earlier
part of these months, over that of damped persistence; the held-out months play no part in it. Both
take the options of the command line, but for depth and theta.
"""

from __future__ import annotations

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


def variants() -> Iterator[tuple[float, int]]:
    """Theta and depth, in the order of the tables."""
    for theta, depths in DEPTHS.items():
        for depth in depths:
            yield theta, depth


def make_experiment(theta: float, depth: int, share: float | None = None) -> Experiment:
    """That of the command line; with a share, one that watches validation months to its end."""
    options = Options(theta=theta, depth=depth)
    if share is not None:
        options = Options(theta=theta, depth=depth, patience=options.steps, validation=share)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of bounds
        return Experiment(options, Source(("sst",)).read())


def read_row(theta: float, depth: int) -> str:
    """One fit: errors, coefficients along longitude, the largest factor of a wave."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        result = make_experiment(theta, depth).run()
    row, fitted = result.rows[-1], result.fit
    found = {(p.symbol, p.axes): p for p in result.explanation.processes}
    texts = []
    for key in (("D", (1, 1)), ("U", (1,))):
        process = found[key]
        texts.append(" +- ".join(format_measured(process.typical_value, process.typical_error)))
    waves = rx.amplification(fitted.model)
    steps = len(fitted.history.loss)
    cells = [
        f"{theta:g}",
        str(depth),
        f"{row.training_error:.4f}",
        f"{row.held_out_error:.4f}",
        *texts,
        f"{waves.largest:.4f}",
        f"{steps} ({fitted.status.name.lower()})",
        f"{fitted.seconds:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def read_choice(theta: float, depth: int) -> str:
    """Last validation error over that of damped persistence, for each share."""
    ratios = []
    for share in SHARES:
        experiment = make_experiment(theta, depth, share)
        split = experiment.split
        assert split.validation is not None
        losses = experiment.learn()[0].history.validation_loss
        damped = fit_baselines(split.training, split.mask)[1]
        reference = split.error(damped.factor * split.validation.x, split.validation)
        ratios.append(float(losses[-1]) / reference)
    cells = [f"{theta:g}", str(depth), *(f"{ratio:.4f}" for ratio in ratios)]
    return f"| {' | '.join(cells)} | {np.mean(ratios):.4f} |"


def main() -> None:
    """Print both tables, line by line."""
    head: tuple[str, ...] = ("theta", "depth", "training", "held out", "D along longitude, m^2/s")
    head += ("U along longitude, m/s", "largest amplification", "steps", "seconds")
    print(f"| {' | '.join(head)} |\n{'| --- ' * len(head)}|", flush=True)
    for variant in variants():
        print(read_row(*variant), flush=True)
    shares = [f"last {share:.0%}" for share in SHARES]
    print(f"\n| theta | depth | {' | '.join(shares)} | mean |\n{'| --- ' * 6}|", flush=True)
    for variant in variants():
        print(read_choice(*variant), flush=True)


if __name__ == "__main__":
    main()
