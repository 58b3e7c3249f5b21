"""Implicit layers beside explicit ones on lines, per layer, and one iteration of Newton's method.

    python -m bench.implicit --rounds 6

ADR with D = 1 and omega = 1/2, theta = 1 against theta = 0, in float64. Both sides count processor
time of the whole process, so that other users of the machine hit them less, and wall time; sides
take turns. The explicit network has 100 layers, the implicit one fewer, over which the set-up of a
sweep is spread. Goals: forward and reverse at most 12 (tanh) and 4 (identity) times an explicit
layer; an iteration at most 8 explicit layers forward on one thread, 10 on two.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.linalg import solve_banded

import relaxon as rx
from bench.measure import Array, describe_machine

EXPLICIT_DEPTH, IMPLICIT_DEPTH = 100, 40
OMEGA, DIFFUSION, DRIFT, SOURCE = 0.5, 1.0, 0.1, -0.1
SIZES = ((1000, 1000), (1_000_000, 1))
TURN_SECONDS = 0.3


def make_model(n: int, activation: str, theta: float, depth: int) -> rx.Relaxation:
    """ADR on a closed line."""
    op = rx.ADR(rx.Grid((n,), boundary="neumann"))
    model = rx.Relaxation(op, depth=depth, activation=activation, omega=OMEGA, theta=theta)
    params = {"R": np.array(SOURCE), "U": np.array([DRIFT]), "D": np.array([DIFFUSION])}
    return model.with_params(params)


def count_iterations(x: Array) -> int:
    """Newton's iterations of the first tanh layer from x, in plain NumPy."""
    low, high = DIFFUSION + DRIFT / 2, DIFFUSION - DRIFT / 2
    centre = np.full(x.size, 1 + SOURCE - 2 * DIFFUSION)
    centre[0] += low
    centre[-1] += high
    z = x
    for count in range(100):
        pre = centre * z
        pre[1:] += low * z[:-1]
        pre[:-1] += high * z[1:]
        f = np.tanh(pre)
        residual = z + OMEGA * (z - f) - x
        terms = np.abs(x) + (1 + OMEGA) * np.abs(z) + OMEGA * 4 * np.abs(z).max()
        least = max(1e-13 * max(1.0, np.abs(z).max()), 4 * np.finfo(float).eps * terms.max())
        if np.abs(residual).max() <= least:
            return count
        factor = OMEGA * (1 - f**2)
        band = np.zeros((3, x.size))
        band[0, 1:] = -(factor * high)[:-1]
        band[1] = 1 + OMEGA - factor * centre
        band[2, :-1] = -(factor * low)[1:]
        z = z - solve_banded((1, 1), band, residual)
    raise RuntimeError("no convergence in 100 iterations")


def turn(call: Callable[[], object]) -> tuple[float, float]:
    """Processor and wall seconds of a call, their means over a turn."""
    call()
    start, cpu = time.perf_counter(), time.process_time()
    count = 0
    while True:
        call()
        count += 1
        wall = time.perf_counter() - start
        if wall >= TURN_SECONDS:
            return (time.process_time() - cpu) / count, wall / count


def compare(
    n: int, batch: int, activation: str, is_gradient: bool, threads: int, rounds: int
) -> tuple[float, float, float, float]:
    """Medians: ns of processor time per cell and layer, explicit and implicit, and both ratios."""
    x, y = np.random.default_rng(0).standard_normal((2, batch, n))
    models = [
        (make_model(n, activation, 0.0, EXPLICIT_DEPTH), EXPLICIT_DEPTH),
        (make_model(n, activation, 1.0, IMPLICIT_DEPTH), IMPLICIT_DEPTH),
    ]

    def call(model: rx.Relaxation) -> object:
        if is_gradient:
            return model.value_and_grad(x, y, threads=threads)
        return model(x, threads=threads)

    times: list[list[tuple[float, float]]] = [[], []]
    for number in range(rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            model, depth = models[side]
            seconds = turn(partial(call, model))
            times[side].append((seconds[0] / depth, seconds[1] / depth))
    (explicit, explicit_wall), (implicit, implicit_wall) = (
        (statistics.median(t[0] for t in side), statistics.median(t[1] for t in side))
        for side in times
    )
    scale = 1e9 / (n * batch)
    return explicit * scale, implicit * scale, implicit / explicit, implicit_wall / explicit_wall


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="implicit layers beside explicit ones")
    parser.add_argument("--rounds", type=int, default=6, help="even")
    arguments = parser.parse_args()
    columns = ["f", "N x batch", "sweep", "threads", "explicit, ns", "implicit, ns"]
    columns += ["ratio", "ratio of wall times"]
    print("\n".join(f"* {line}" for line in describe_machine(1, ("numpy", "relaxon"))))
    print("\n| " + " | ".join(columns) + " |\n" + "| --- " * len(columns) + "|")
    forward: dict[int, float] = {}  # of the long line, by threads
    for activation in ("tanh", "identity"):
        for n, batch in SIZES:
            for is_gradient in (False, True):
                for threads in (1, 2):
                    results = compare(n, batch, activation, is_gradient, threads, arguments.rounds)
                    if activation == "tanh" and not is_gradient:
                        forward[threads] = results[2 if threads == 1 else 3]
                    sweep = "forward, reverse" if is_gradient else "forward"
                    cells = [activation, f"{n} x {batch}", sweep, str(threads)]
                    cells += [f"{result:.2f}" for result in results]
                    print("| " + " | ".join(cells) + " |", flush=True)
    n = SIZES[-1][0]
    x = np.random.default_rng(0).standard_normal((1, n))
    states = make_model(n, "tanh", 1.0, IMPLICIT_DEPTH).trajectory(x)[0, :-1:8]
    count = statistics.mean(count_iterations(state) for state in states)
    print(
        f"\nA tanh layer of {n} cells takes {count:.2f} iterations on average, each of them, with "
        f"its share of the layer's ends, the time of {forward[1] / count:.1f} explicit layers on "
        f"one thread, {forward[2] / count:.1f} on two."
    )


if __name__ == "__main__":
    main()
