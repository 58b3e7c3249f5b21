"""Time the reference tasks: relaxon beside JAX and PyTorch, interleaved in one run.

    python -m bench.peers.run --tasks P2,P3 --dtypes float64 --rounds 6 --out DIR

Before a task is timed, loss and gradients of all sides are compared on the same inputs (to 1e-9 in
float64 and 1e-3 in float32), and the loss with a plain NumPy forward pass. The table, with the
ratios aimed at, is printed and written to DIR as `peers.md` and `peers.json`.
"""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bench.measure import MIB, Array, Timing, describe_machine, interleave, is_installed
from bench.peers import numpy_task
from bench.peers.tasks import TASKS, make_inputs
from bench.peers.worker import SIDES, Evaluation, Worker

TOLERANCE = {"float64": 1e-9, "float32": 1e-3}


@dataclass(frozen=True)
class Row:
    """All sides of one task in one precision."""

    task: str
    dtype: str
    seconds: dict[str, Timing]
    peak_bytes: dict[str, int]
    disagreement: float

    @property
    def best_peer(self) -> str | None:
        """The peer with the smallest median, if any peer ran."""
        peers = [name for name in self.seconds if name != "relaxon"]
        return min(peers, key=lambda name: self.seconds[name].median) if peers else None

    @property
    def ratio(self) -> float | None:
        """Median of the best peer over the median of relaxon, if both ran."""
        if self.best_peer is None or "relaxon" not in self.seconds:
            return None
        return self.seconds[self.best_peer].median / self.seconds["relaxon"].median

    @property
    def target(self) -> float | None:
        """What the ratio aims at."""
        targets = TASKS[self.task].targets
        return targets[self.dtype] if targets else None


def difference(a: Array, b: Array) -> float:
    """max |a - b| / max |b|."""
    if a.shape != b.shape:
        raise ValueError(f"gradients of different shapes: {a.shape} and {b.shape}")
    return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))


def check_agreement(task: str, dtype: str, results: dict[str, Evaluation]) -> float:
    """Compare all sides with each other; return the largest relative difference.

    Raises
    ------
    AssertionError
        When the inputs differ, or a loss or gradient differs by more than the tolerance.
    """
    inputs = make_inputs(TASKS[task], dtype)
    expected_loss = numpy_task.loss(TASKS[task], inputs)
    reference = next(iter(results.values()))
    largest = 0.0
    for side, result in results.items():
        if result.inputs_digest != inputs.digest():
            raise AssertionError(f"{task} {dtype}: {side} computed with other inputs")
        if result.grads.keys() != inputs.params.keys():
            raise AssertionError(f"{task} {dtype}: {side} returned {sorted(result.grads)}")
        errors = {"loss": abs(result.loss - expected_loss) / expected_loss}
        errors |= {
            name: difference(grad, reference.grads[name]) for name, grad in result.grads.items()
        }
        for name, error in errors.items():
            # Negated, so that a NaN fails.
            if not error <= TOLERANCE[dtype]:
                raise AssertionError(f"{task} {dtype}: {side} differs in {name} by {error:.2e}")
        largest = max(largest, *errors.values())
    return largest


def compare(task: str, dtype: str, sides: list[str], rounds: int, threads: int) -> Row:
    """Run one task in one precision on all sides."""
    with ExitStack() as stack:
        workers = {side: stack.enter_context(Worker(side, task, dtype, threads)) for side in sides}
        results = {side: worker.evaluate() for side, worker in workers.items()}
        disagreement = check_agreement(task, dtype, results)
        seconds = interleave({side: worker.turn for side, worker in workers.items()}, rounds)
        peaks = {side: worker.peak_over_inputs() for side, worker in workers.items()}
    return Row(task, dtype, seconds, peaks, disagreement)


def physical_rate(row: Row, side: str) -> str:
    """ns per cell and layer of a sample (and step), or GFLOP/s of the dense products."""
    task, seconds = TASKS[row.task], row.seconds[side].median
    if task.n_flops is not None:
        return f"{task.n_flops / seconds * 1e-9:.3g} GFLOP/s"
    return f"{seconds / task.n_cell_updates * 1e9:.3g} ns/cell"


def markdown(header: list[str], rows: list[Row], sides: list[str]) -> str:
    """The report: machine on top, then times, then peak memory."""
    lines = [f"* {line}" for line in header]
    lines += ["", "One loss and gradient: median [min, max], rate, peak MiB above the inputs.", ""]
    columns = ["task", "dtype", *sides, "best peer / relaxon", "target", "agreement"]
    lines += ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for row in rows:
        cells = [
            f"{row.seconds[side]}, {physical_rate(row, side)}, {row.peak_bytes[side] / MIB:.1f} MiB"
            if side in row.seconds
            else "-"
            for side in sides
        ]
        cells.append("-" if row.ratio is None else f"{row.ratio:.2f} ({row.best_peer})")
        cells += ["-" if row.target is None else f"{row.target:g}", f"{row.disagreement:.0e}"]
        lines.append(f"| {row.task} | {row.dtype} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def as_json(header: list[str], rows: list[Row]) -> str:
    """The report for programs."""
    derived = ("best_peer", "ratio", "target")
    entries = [asdict(row) | {name: getattr(row, name) for name in derived} for row in rows]
    return json.dumps({"header": header, "rows": entries}, indent=2) + "\n"


def main() -> None:
    """Parse the command line, run, print and write the report."""
    parser = argparse.ArgumentParser(description="relaxon beside JAX and PyTorch")
    parser.add_argument("--tasks", default=",".join(TASKS), help=f"of {','.join(TASKS)}")
    parser.add_argument("--dtypes", default="float64,float32")
    parser.add_argument("--rounds", type=int, default=6, help="even")
    parser.add_argument("--threads", type=int, default=2, help="per side")
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    arguments = parser.parse_args()
    tasks, dtypes = arguments.tasks.split(","), arguments.dtypes.split(",")
    for name, allowed in ((tasks, TASKS), (dtypes, TOLERANCE)):
        if unknown := set(name) - set(allowed):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(allowed)}")
    arguments.out.mkdir(parents=True, exist_ok=True)

    sides = [name for name, side in SIDES.items() if is_installed(side.package)]
    packages = tuple(dict.fromkeys(SIDES[name].package for name in sides))
    header = describe_machine(arguments.threads, ("numpy", *packages))
    if absent := sorted({side.package for side in SIDES.values()} - set(packages)):
        header.append(f"not installed, hence not timed: {', '.join(absent)}")

    rows: list[Row] = []
    for task in tasks:
        runnable = sides if TASKS[task].memory is None else ["relaxon"]
        for dtype in dtypes:
            rows.append(compare(task, dtype, runnable, arguments.rounds, arguments.threads))
            # After every row, so that an interrupted run keeps what it has measured.
            report = markdown(header, rows, sides)
            (arguments.out / "peers.md").write_text(report)
            (arguments.out / "peers.json").write_text(as_json(header, rows))
    print(report)


if __name__ == "__main__":
    main()
