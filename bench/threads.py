"""Two threads against one, interleaved: a single large 3-D sample, and the batch of P2.

    python -m bench.threads --rounds 6

The large sample is one gradient of 128^3 cells through four layers with local coefficients, where
threads can only share cells; P2 has 64 samples for them to share. Goal: at least 1.6.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from functools import partial

from bench.measure import Timing, describe_machine, interleave, seconds_per_call
from bench.peers.relaxon_task import make_model
from bench.peers.tasks import TASKS, Task, make_inputs

CASES: Mapping[str, Task] = {
    "3-D, 128^3, local, L = 4, batch 1": Task((128, 128, 128), depth=4, batch=1),
    "P2": TASKS["P2"],
}
TURN_SECONDS = 0.5


def compare(task: Task, dtype: str, rounds: int) -> dict[str, Timing]:
    """Time one gradient with one and with two threads in the same process."""
    inputs = make_inputs(task, dtype)
    model = make_model(task, inputs)

    def turn(threads: int) -> float:
        call = partial(model.value_and_grad, inputs.x, inputs.y, threads=threads)
        return seconds_per_call(call, TURN_SECONDS)

    return interleave({str(threads): partial(turn, threads) for threads in (1, 2)}, rounds)


def main() -> None:
    """Run all cases in both precisions and print the table."""
    parser = argparse.ArgumentParser(description="two threads against one")
    parser.add_argument("--rounds", type=int, default=6, help="even")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "2"

    lines = [f"* {line}" for line in describe_machine(2, ("numpy", "relaxon"))]
    lines += ["", "| task | dtype | 1 thread | 2 threads | speed-up |", "| --- " * 5 + "|"]
    for name, task in CASES.items():
        for dtype in ("float64", "float32"):
            times = compare(task, dtype, arguments.rounds)
            ratio = times["1"].median / times["2"].median
            lines.append(f"| {name} | {dtype} | {times['1']} | {times['2']} | {ratio:.2f} |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
