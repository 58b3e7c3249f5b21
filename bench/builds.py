"""Two builds of relaxon beside each other: times of the tasks, import, wheel.

    pip install --no-deps --target OLD old.whl && pip install --no-deps --target NEW new.whl
    python -m bench.builds OLD NEW --rounds 20 --out report

Each build runs in a process of its own; both take turns, and every second round in reverse order.
Of the ratios new / old of a round, the table shows the median and the interval in which the median
lies with 95 %, by the ranks of the sorted ratios. A build is slower where it lies above 1.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from scipy.stats import binom

from bench.measure import describe_machine
from bench.peers.tasks import TASKS
from bench.peers.worker import Worker


def start(build: Path, task: str, dtype: str, threads: int) -> Worker:
    """A process with the task, of a build: a new one takes over the paths of this one."""
    sys.path.insert(0, str(build))
    try:
        return Worker("relaxon", task, dtype, threads)
    finally:
        sys.path.remove(str(build))


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """Median, and the ranks between which it lies with a probability of at least 95 %."""
    ordered, n = sorted(ratios), len(ratios)
    rank = int(binom.ppf(0.025, n, 0.5))
    if binom.cdf(rank - 1, n, 0.5) > 0.025 or rank < 1:
        raise ValueError(f"argument 'rounds': too few for an interval, got {n}")
    return statistics.median(ordered), ordered[rank - 1], ordered[n - rank]


def compare(builds: list[Path], task: str, dtype: str, rounds: int, threads: int) -> list[float]:
    """Ratios new / old of all rounds."""
    with ExitStack() as stack:
        workers = [stack.enter_context(start(build, task, dtype, threads)) for build in builds]
        for worker in workers:
            worker.evaluate()
        ratios = []
        for number in range(rounds):
            order = workers if number % 2 == 0 else workers[::-1]
            seconds = {worker: worker.turn() for worker in order}
            ratios.append(seconds[workers[1]] / seconds[workers[0]])
    return ratios


def import_seconds(build: Path) -> float:
    """Of `import relaxon` in a process of its own, the interpreter's own start included."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "import relaxon; relaxon.Grid"],
        check=True,
        env={"PYTHONPATH": str(build)},
    )
    return time.perf_counter() - began


def core_bytes(build: Path) -> int:
    """Of the compiled modules."""
    return sum(path.stat().st_size for path in (build / "relaxon").glob("*_core_v*.so"))


def main() -> None:
    """Parse the command line, run, print and write the report."""
    parser = argparse.ArgumentParser(description="two builds of relaxon")
    parser.add_argument("builds", type=Path, nargs=2, metavar="OLD NEW")
    parser.add_argument("--tasks", default=",".join(TASKS), help="default: all")
    parser.add_argument("--dtypes", default="float64,float32")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows: dict[str, list[float]] = {}
    for line in describe_machine(options.threads, ("numpy",)):
        print(f"* {line}")
    print("\n| task | dtype | new / old | 95 % |\n| --- | --- | --- | --- |")
    for task in options.tasks.split(","):
        for dtype in options.dtypes.split(","):
            ratios = compare(options.builds, task, dtype, options.rounds, options.threads)
            rows[f"{task} {dtype}"] = ratios
            median, low, high = interval(ratios)
            print(f"| {task} | {dtype} | {median:.3f} | {low:.3f} to {high:.3f} |", flush=True)
    loads = [[import_seconds(build) for build in options.builds] for _ in range(options.rounds)]
    rows["import"] = [new / old for old, new in loads]
    median, low, high = interval(rows["import"])
    print(f"| import | | {median:.3f} | {low:.3f} to {high:.3f} |")
    sizes = [core_bytes(build) for build in options.builds]
    print(f"\ncompiled modules: {sizes[0]} and {sizes[1]} bytes")
    options.out.mkdir(parents=True, exist_ok=True)
    record = {"builds": [str(build) for build in options.builds], "ratios": rows, "bytes": sizes}
    (options.out / "builds.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
