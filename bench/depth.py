"""P11, a million layers within a budget, against P2, which stores everything: one thread each.

    python -m bench.depth --rounds 6

The ratio is that of their times per cell and layer, over the schedule's recomputation factor: layer
evaluations of P11's plan over those of one that stores everything. Goal: at most 2.5.
"""

from __future__ import annotations

import argparse
from functools import partial

import relaxon as rx
from bench.measure import describe_machine, interleave, seconds_per_call
from bench.peers.relaxon_task import build, make_model
from bench.peers.tasks import TASKS, make_inputs

TURN_SECONDS = 0.5


def recomputation(dtype: str) -> float:
    """Layer evaluations of P11 within its budget over those with everything stored."""
    task = TASKS["P11"]
    model = make_model(task, make_inputs(task, dtype))
    within, stored = (
        rx.plan(model, batch=task.batch, memory=memory, threads=1).evaluations
        for memory in (task.memory, None)
    )
    return within / stored


def main() -> None:
    """Run both tasks in both precisions and print the table."""
    parser = argparse.ArgumentParser(description="P11 against P2")
    parser.add_argument("--rounds", type=int, default=6, help="even")
    arguments = parser.parse_args()
    columns = ["dtype", "P2", "P11", "P2, ns/cell", "P11, ns/cell", "recomputation", "ratio"]
    lines = [f"* {line}" for line in describe_machine(1, ("numpy", "relaxon"))]
    lines += ["", "| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for dtype in ("float64", "float32"):
        calls = {
            name: build(TASKS[name], make_inputs(TASKS[name], dtype), threads=1)
            for name in ("P2", "P11")
        }
        times = interleave(
            {name: partial(seconds_per_call, call, TURN_SECONDS) for name, call in calls.items()},
            arguments.rounds,
        )
        per_cell = {
            name: timing.median / TASKS[name].n_cell_updates * 1e9 for name, timing in times.items()
        }
        factor = recomputation(dtype)
        ratio = per_cell["P11"] / per_cell["P2"] / factor
        cells = [dtype, *map(str, times.values()), *(f"{ns:.2f}" for ns in per_cell.values())]
        cells += [f"{factor:.2f}", f"{ratio:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
