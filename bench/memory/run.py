"""Peak resident memory of one gradient under several byte budgets.

    python -m bench.memory.run --out DIR

Each measurement is a fresh process: it builds model and inputs, makes one tiny call of the same
kind and waits; the parent resets the peak of its resident set (5 into /proc/PID/clear_refs), lets
it compute one gradient of all parameters and of the input, and reads VmHWM while the returned
arrays are still alive. The run fails when a peak exceeds 110 % of its budget, when two budgets give
different bits, or when the deep network's cotangent vanishes or explodes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

import relaxon as rx
from bench.measure import MIB, describe_machine, digest, peak_bytes, reset_peak
from bench.memory.cases import BUDGETS, CASES

ALLOWED_RATIO = 1.10
ALLOWED_GROWTH = 1e3


@dataclass(frozen=True)
class Facts:
    """What the measured process reports after its peak has been read."""

    budget_bytes: int
    seconds: float
    evaluations: int
    digest: str
    first_cotangent: float
    last_cotangent: float

    @property
    def growth(self) -> float:
        """Norm of the first cotangent over that of the last, or its inverse where that is > 1."""
        ratio = self.first_cotangent / self.last_cotangent
        return max(ratio, 1 / ratio)


@dataclass(frozen=True)
class Measurement:
    """One case under one budget; bytes."""

    case: str
    dtype: str
    is_minimum: bool
    baseline: int
    peak: int
    facts: Facts

    @property
    def ratio(self) -> float:
        """Peak above the baseline over the stated budget."""
        return (self.peak - self.baseline) / self.facts.budget_bytes


def measure(case: str, dtype: str, budget: int | None, threads: int) -> Measurement:
    """Run one case in a fresh process and read its peak from outside.

    Parameters
    ----------
    case, dtype
        Key of `CASES`, and the model's precision.
    budget
        In bytes; None is the smallest that the plan accepts.
    threads
        Of the call.
    """
    context = multiprocessing.get_context("spawn")
    pipe, other_end = context.Pipe()
    process = context.Process(
        target=_compute, args=(other_end, case, dtype, budget, threads), daemon=True
    )
    process.start()
    # Only the child may hold its end: if it dies, recv must see the end of file and not wait.
    other_end.close()
    assert process.pid is not None
    pipe.recv()
    baseline = reset_peak(process.pid)
    pipe.send("compute")
    pipe.recv()
    peak = peak_bytes(process.pid)
    pipe.send("report")
    facts = pipe.recv()
    process.join()
    return Measurement(case, dtype, budget is None, baseline, peak, facts)


def _compute(pipe: Connection, name: str, dtype: str, budget: int | None, threads: int) -> None:
    case = CASES[name](dtype)
    batch = len(case.x)
    if budget is None:
        budget = rx.plan(
            case.model, batch=batch, memory=None, threads=threads, input_grad=True
        ).minimum_bytes
    case.tiny_model.value_and_grad(
        case.tiny_x, case.tiny_y, memory=budget, threads=threads, input_grad=True
    )
    pipe.send("ready")
    pipe.recv()
    start = time.perf_counter()
    _, grads = case.model.value_and_grad(
        case.x, case.y, memory=budget, threads=threads, input_grad=True
    )
    seconds = time.perf_counter() - start
    pipe.send("computed")
    pipe.recv()
    plan = rx.plan(case.model, batch=batch, memory=budget, threads=threads, input_grad=True)
    last = 2 * (case.model(case.x, threads=threads) - case.y) / batch
    pipe.send(
        Facts(
            budget_bytes=budget,
            seconds=seconds,
            evaluations=plan.evaluations,
            digest=digest(grads),
            first_cotangent=float(np.linalg.norm(grads["x"])),
            last_cotangent=float(np.linalg.norm(last)),
        )
    )


def violations(measurements: list[Measurement]) -> list[str]:
    """Say which promises the measurements break."""
    broken = []
    digests: dict[tuple[str, str], str] = {}
    for m in measurements:
        where = f"{m.case} {m.dtype}, {m.facts.budget_bytes / MIB:.1f} MiB"
        if m.ratio > ALLOWED_RATIO:
            broken.append(f"{where}: peak is {m.ratio:.3f} times the budget")
        if digests.setdefault((m.case, m.dtype), m.facts.digest) != m.facts.digest:
            broken.append(f"{where}: other bits than under the first budget")
        # Negated, so that a NaN is a violation.
        if m.case == "depth 1e5" and not m.facts.growth <= ALLOWED_GROWTH:
            broken.append(f"{where}: cotangent norms differ by {m.facts.growth:.3g}")
    return broken


def markdown(header: list[str], measurements: list[Measurement]) -> str:
    """The report: machine on top, one row per case and budget."""
    lines = [f"* {line}" for line in header]
    lines += [
        "",
        "| case | dtype | budget MiB | peak above baseline MiB | ratio | baseline MiB "
        "| layer evaluations | s | norm of first / last cotangent | sha256 of the gradient |",
        "| --- " * 10 + "|",
    ]
    for m in measurements:
        facts = m.facts
        budget = f"{facts.budget_bytes / MIB:.2f}{' (least)' if m.is_minimum else ''}"
        lines.append(
            f"| {m.case} | {m.dtype} | {budget} | {(m.peak - m.baseline) / MIB:.2f} "
            f"| {m.ratio:.3f} | {m.baseline / MIB:.1f} | {facts.evaluations} "
            f"| {facts.seconds:.3g} | {facts.first_cotangent:.4g} / {facts.last_cotangent:.4g} "
            f"| {facts.digest[:16]} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the command line, measure, print and write the report."""
    parser = argparse.ArgumentParser(description="peak memory of one gradient")
    parser.add_argument("--cases", default=",".join(CASES), help=f"of {','.join(CASES)}")
    parser.add_argument("--dtypes", default="float64,float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    arguments = parser.parse_args()
    cases = arguments.cases.split(",")
    if unknown := set(cases) - set(CASES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(CASES)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    # Inherited by the measured processes: the pool is never larger than the call's.
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)

    header = describe_machine(arguments.threads, ("numpy", "relaxon"))
    measurements = [
        measure(case, dtype, budget, arguments.threads)
        for case in cases
        for dtype in arguments.dtypes.split(",")
        for budget in (mib and mib * MIB for mib in BUDGETS[case])
    ]
    report = markdown(header, measurements)
    print(report)
    (arguments.out / "memory.md").write_text(report)
    entries = [asdict(m) | {"ratio": m.ratio} for m in measurements]
    (arguments.out / "memory.json").write_text(
        json.dumps({"header": header, "measurements": entries}, indent=2) + "\n"
    )
    if broken := violations(measurements):
        sys.exit("\n".join(broken))


if __name__ == "__main__":
    main()
