"""What noise and gaps in the inputs do to coefficients, and what becomes of it in the four modes.

    python -m bench.inputs [--seeds 20] [--noise 0 0.05 0.2] [--gaps 0 0.01 0.05 0.2]
                           [--kinds pairs leads driven] [--modes given drop fill estimate]

Three kinds of data on a ring of 64 cells with a drift of 0.6 cells, a diffusivity of 0.5 (driven:
0.2) and a decay of 0.1 per step, by the exact spectral propagator:

* pairs: 60 fields and what becomes of them one step later,
* leads: the same one, two and three steps later,
* driven: 240 steps of one field with fresh smooth forcing, which is process noise; neighbours in
  pairs.

Noise is white, in units of the field's standard deviation, in inputs and targets alike; gaps are
single cells. "given" reads 0 in gaps, as was done before. "estimate" is told the noise of the
inputs (1 % where there is none) and, on data without process noise, that targets have the same; on
driven data the error of the targets comes from the residuals. The truth that counts is the fit
without noise and gaps: it holds the error of the discretisation, which no treatment of inputs
undoes. Printed per cell: mean and standard deviation over seeds of D and R, the median reported
standard error, and in how many runs that fit lies within two, and within three, of them.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import relaxon as rx

Array = NDArray[np.float64]

N_CELLS, N_PAIRS, N_TIMES = 64, 60, 240
DRIFT, DECAY = 0.6, 0.1
DIFFUSIVITY = {"pairs": 0.5, "leads": 0.5, "driven": 0.2}
LEADS = {"pairs": (1,), "leads": (1, 2, 3), "driven": (1,)}
DEPTH = 10  # layers of one step
WIDTH = 2.5  # correlation length in cells
FORCING = 0.5
LEAST_ERROR = 0.01
MODES = ("given", "drop", "fill", "estimate")
BLOCK = 2  # steps of a driven field that share observations
WAVES = 2.0 * np.pi * np.fft.rfftfreq(N_CELLS)


@dataclasses.dataclass(frozen=True)
class Reading:
    """D and R of one fit, with their standard errors."""

    values: Array
    errors: Array


@dataclasses.dataclass(frozen=True)
class Data:
    """Inputs, targets (samples, leads, cells) and clusters."""

    x: Array
    y: Array
    groups: NDArray[np.int64]


def smooth(n: int, random: np.random.Generator) -> Array:
    """Fields of unit variance with a Gaussian correlation."""
    spectrum = np.fft.rfft(random.standard_normal((n, N_CELLS)))
    fields = np.fft.irfft(np.exp(-0.5 * (WIDTH * WAVES) ** 2) * spectrum, N_CELLS)
    return np.asarray(fields / fields.std())


def propagate(x: Array, kind: str, time: float) -> Array:
    """The exact solution."""
    rate = -1j * DRIFT * WAVES - DIFFUSIVITY[kind] * WAVES**2 - DECAY
    return np.asarray(np.fft.irfft(np.fft.rfft(x) * np.exp(time * rate), N_CELLS))


def clean_data(kind: str, seed: int) -> Data:
    """Without noise and gaps."""
    random = np.random.default_rng(seed)
    if kind != "driven":
        x = smooth(N_PAIRS, random)
        y = np.stack([propagate(x, kind, lead) for lead in LEADS[kind]], axis=1)
        return Data(x, y, np.arange(N_PAIRS))
    fresh = FORCING * smooth(N_TIMES, random)
    z = smooth(1, random)
    for t in range(1, N_TIMES):
        z = np.concatenate([z, propagate(z[-1:], kind, 1.0) + fresh[t]])
    return Data(z[:-1], z[1:, np.newaxis], np.arange(N_TIMES - 1) // BLOCK)


def spoil(data: Data, kind: str, noise: float, share: float, seed: int) -> Data:
    """With noise and gaps; NaN where missing. Steps of one field share theirs."""
    random = np.random.default_rng(1000 + seed)
    if kind == "driven":
        z = np.concatenate([data.x, data.y[-1]])
        z = z + noise * z.std() * random.standard_normal(z.shape)
        z[random.random(z.shape) < share] = np.nan
        return Data(z[:-1], z[1:, np.newaxis], data.groups)
    x = data.x + noise * random.standard_normal(data.x.shape)
    y = data.y + noise * random.standard_normal(data.y.shape)
    x[random.random(x.shape) < share] = np.nan
    y[random.random(y.shape) < share] = np.nan
    return Data(x, y, data.groups)


def read(data: Data, kind: str, mode: str, noise: float) -> Reading:
    """D and R of a fit, per step."""
    leads = LEADS[kind]
    op = rx.ADR(rx.Grid((N_CELLS,)), scheme="lax-wendroff")
    settings: dict[str, Any] = {"activation": "identity", "omega": 1.0, "dt": 1.0 / DEPTH}
    model = rx.Relaxation(op, depth=DEPTH * max(leads), **settings)
    known = np.isfinite(data.y)
    loss = rx.SquaredDistance(weights=None if known.all() else known, at=[DEPTH * n for n in leads])
    options: dict[str, Any] = {"inputs": mode}
    x = data.x
    if mode == "given":
        x = np.nan_to_num(x)
    if mode == "estimate":
        error = max(noise, LEAST_ERROR) * float(np.nanstd(x) if kind == "driven" else 1.0)
        options["input_error"] = error
        if kind != "driven":
            options["target_error"] = error
    with warnings.catch_warnings():
        # Few targets left: what that means is what is measured here.
        warnings.simplefilter("ignore", UserWarning)
        fit = rx.fit(
            model, x, data.y, loss=loss, optimizer=rx.LBFGS(), steps=2000, threads=1, **options
        )
    found = rx.explain(
        fit.model, (x, data.y), loss, groups=data.groups, inputs=fit.inputs, threads=1
    )
    rows = {process.symbol: process for process in found.processes}
    chosen = [rows[symbol] for symbol in ("D", "R")]
    return Reading(
        np.array([float(p.values) for p in chosen]),
        np.array([float(np.asarray(p.standard_error)) for p in chosen]),
    )


def cells(noises: Sequence[float], shares: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Noise and gaps of every cell."""
    yield from itertools.product(noises, shares)


def report(
    kind: str,
    modes: Sequence[str],
    noises: Sequence[float],
    shares: Sequence[float],
    n_seeds: int,
    tell: Callable[[str], None] = print,
) -> dict[str, list[NDArray[np.bool_]]]:
    """Print the table of one kind of data; hits within two standard errors per mode and cell."""
    clean = [read(clean_data(kind, seed), kind, "given", 0.0) for seed in range(n_seeds)]
    truth = np.mean([reading.values for reading in clean], axis=0)
    tell(
        f"\n{kind}: truth D {DIFFUSIVITY[kind]}, R {-DECAY}; without noise and gaps "
        f"D {truth[0]:.4f}, R {truth[1]:.4f} (mean of {n_seeds})\n"
    )
    tell(
        "| noise | gaps | mode | D | spread | error | R | spread | error "
        "| within 2 (D, R) | within 3 |"
    )
    tell("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    hits: dict[str, list[NDArray[np.bool_]]] = {mode: [] for mode in modes}
    for (noise, share), mode in itertools.product(cells(noises, shares), modes):
        found = [
            read(spoil(clean_data(kind, seed), kind, noise, share, seed), kind, mode, noise)
            for seed in range(n_seeds)
        ]
        values = np.array([reading.values for reading in found])
        errors = np.array([reading.errors for reading in found])
        ratios = np.abs(values - [reading.values for reading in clean]) / errors
        hits[mode].append(ratios <= 2.0)
        within = [np.count_nonzero(ratios <= limit, axis=0) for limit in (2.0, 3.0)]
        columns = []
        for k, digits in enumerate((3, 4)):
            columns += [
                f"{values[:, k].mean():.{digits}f}",
                f"{values[:, k].std():.{digits}f}",
                f"{np.median(errors[:, k]):.{digits}f}",
            ]
        counts = [f"{n[0]}, {n[1]} of {n_seeds}" for n in within]
        tell(f"| {noise:.0%} | {share:.0%} | {mode} | {' | '.join([*columns, *counts])} |")
    return hits


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each kind of data, and the share of hits of each mode."""
    parser = argparse.ArgumentParser(description="Noise and gaps in inputs, in four modes.")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.05, 0.2])
    parser.add_argument("--gaps", type=float, nargs="+", default=[0.0, 0.01, 0.05, 0.2])
    parser.add_argument("--kinds", nargs="+", default=list(LEADS), choices=list(LEADS))
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    given = parser.parse_args(arguments)
    pooled: dict[str, list[NDArray[np.bool_]]] = {mode: [] for mode in given.modes}
    for kind in given.kinds:
        hits = report(kind, given.modes, given.noise, given.gaps, given.seeds)
        if kind != "driven":
            for mode, found in hits.items():
                pooled[mode] += found
    print("\nwithin two standard errors of the fit without noise and gaps, no process noise:\n")
    for mode, found in pooled.items():
        if found:
            least = min(int(hit.sum(axis=0).min()) for hit in found)
            share = f"{np.mean(found):.1%} of all runs"
            print(f"* {mode}: {share}, {least} of {given.seeds} in the worst cell")


if __name__ == "__main__":
    main()
