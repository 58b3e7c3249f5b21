"""The search for attractors beside explicit layers, and beside relaxation.

    python -m bench.attractors --rounds 5

tanh with drive, R = -0.1, from z = 0, in float64. Sides take turns and count processor time of the
whole process (on two threads: wall time). An explicit layer is one of a forward pass of depth 100
over the same cells, samples and threads. Goals: on a line of 10^6 cells an iteration of Newton's
method at most 8 layers on one thread and 10 on two, at most 9 iterations to 1e-12; relaxation at
least 40 times slower at D = 10; the gradient at most 1.5 iterations more; on a plane of 256 x 256
an iteration at most 80 layers. The time of an iteration is that of a search, all set-up included,
over their number.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import relaxon as rx
from bench.measure import Array, describe_machine

REACTION = -0.1


def make_model(
    shape: tuple[int, ...], diffusion: float, depth: Any, tol: float | None = None
) -> rx.Relaxation:
    """ADR on a periodic grid; explicit layers stay within their bounds."""
    op = rx.ADR(rx.Grid(shape))
    limit = 0.4 / len(shape)
    omega = 0.5 if depth == "attractor" else min(0.5, limit / diffusion)
    search = None if tol is None else {"tol": tol}
    model = rx.Relaxation(op, depth, omega=omega, drive=True, attractor=search)
    entries = np.zeros_like(model.params["D"])
    entries[list(op.diagonal())] = diffusion
    return model.with_params({"R": np.array(REACTION), "D": entries})


def seconds(call: Callable[[], object], threads: int) -> float:
    """Of one call: processor time, with several threads wall time."""
    clock = time.process_time if threads == 1 else time.perf_counter
    start = clock()
    call()
    return clock() - start


def alternate(calls: list[Callable[[], object]], threads: int, rounds: int) -> list[float]:
    """Medians, the sides taking turns."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for side, call in zip(times, calls, strict=True):
            side.append(seconds(call, threads))
    return [statistics.median(side) for side in times]


def compare(
    shape: tuple[int, ...], batch: int, diffusion: float, tol: float, threads: int, rounds: int
) -> list[str]:
    """A row of the table."""
    x: Array = np.random.default_rng(0).standard_normal((batch, *shape))
    y = np.zeros_like(x)
    layers = make_model(shape, diffusion, 100)
    model = make_model(shape, diffusion, "attractor", tol)
    count = float(np.mean(rx.attractor(model, x, threads=threads).iterations))
    layer, search, gradient = alternate(
        [
            lambda: layers(x, threads=threads),
            lambda: model(x, threads=threads),
            lambda: model.value_and_grad(x, y, threads=threads),
        ],
        threads,
        rounds,
    )
    layer /= 100
    iteration = search / count
    per_cell = 1e9 / x.size
    numbers = [layer * per_cell, search * per_cell, iteration / layer]
    numbers.append((gradient - search) / iteration)
    return [f"{count:.1f}", *(f"{number:.2f}" for number in numbers)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="attractors beside layers")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print("\n".join(f"* {line}" for line in describe_machine(1, ("numpy", "relaxon"))))
    columns = ["cells", "D", "threads", "iterations", "layer, ns per cell", "search, ns per cell"]
    columns += ["layers per iteration", "iterations of a gradient"]
    print("\n| " + " | ".join(columns) + " |\n" + "| --- " * len(columns) + "|")
    cases: list[tuple[tuple[int, ...], int, float, float, int]]
    cases = [((1_000_000,), 1, d, 1e-12, t) for d in (1.0, 10.0, 100.0) for t in (1, 2)]
    cases += [((1000,), 1000, d, 1e-10, 1) for d in (1.0, 10.0)]
    cases += [((256, 256), 1, 1.0, 1e-10, 1)]
    for shape, batch, diffusion, tol, threads in cases:
        name = f"{batch} x " if batch > 1 else ""
        cells = [name + " x ".join(map(str, shape)), f"{diffusion:g}", str(threads)]
        cells += compare(shape, batch, diffusion, tol, threads, rounds)
        print("| " + " | ".join(cells) + " |", flush=True)
    model = make_model((1000,), 10.0, 1)
    x = np.random.default_rng(0).standard_normal((20, 1000))
    newton, relaxation = alternate(
        [
            lambda: rx.attractor(model, x, method="newton", threads=1),
            lambda: rx.attractor(model, x, method="relaxation", threads=1),
        ],
        1,
        max(rounds // 2, 1),
    )
    print(f"\n20 x 1000 cells, D = 10: relaxation takes {relaxation / newton:.0f} times as long.")


if __name__ == "__main__":
    main()
