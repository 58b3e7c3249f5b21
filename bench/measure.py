"""What the benchmarks share: interleaved rounds, resident memory, the machine's description."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

MIB = 2**20


@dataclass(frozen=True)
class Timing:
    """Seconds per call over all rounds."""

    median: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, seconds: list[float]) -> Timing:
        """Summarise one side's rounds."""
        return cls(statistics.median(seconds), min(seconds), max(seconds))

    def __str__(self) -> str:
        scale, unit = (1e3, "ms") if self.median >= 1e-3 else (1e6, "us")
        low, high = self.minimum * scale, self.maximum * scale
        return f"{self.median * scale:.4g} {unit} [{low:.4g}, {high:.4g}]"


def interleave(turns: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Timing]:
    """Give every side one turn per round, every second round in reverse order.

    A slow drift of the machine (clock, temperature, other users) then meets all sides alike, and
    with an even count no side is always measured behind the same neighbour.

    Parameters
    ----------
    turns
        Per side, a call that runs its turn and returns seconds per evaluation.
    rounds
        Even and positive.
    """
    if rounds < 2 or rounds % 2:
        raise ValueError(f"argument 'rounds': must be even and positive, got {rounds}")
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds):
        order = list(turns) if number % 2 == 0 else list(turns)[::-1]
        for name in order:
            seconds[name].append(turns[name]())
    return {name: Timing.of(values) for name, values in seconds.items()}


def seconds_per_call(call: Callable[[], object], at_least: float) -> float:
    """Mean duration of a call, repeated until `at_least` seconds have passed."""
    # One call beforehand wakes the pool and fills the caches that other sides have emptied.
    call()
    count = 0
    start = time.perf_counter()
    while True:
        call()
        count += 1
        elapsed = time.perf_counter() - start
        if elapsed >= at_least:
            return elapsed / count


def digest(arrays: Mapping[str, Array]) -> str:
    """SHA-256 over the bytes of named arrays, in the order of their names."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        sha.update(np.ascontiguousarray(arrays[name]).data)
    return sha.hexdigest()


def reset_peak(pid: int) -> int:
    """Reset the peak resident set of a process to its present one, and return that in bytes."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak_bytes(pid)


def peak_bytes(pid: int) -> int:
    """Peak resident set (VmHWM) of a process since its last reset, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{pid}/status has no VmHWM")


def is_installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def describe_machine(threads: int, packages: tuple[str, ...]) -> list[str]:
    """Lines for the top of a report: everything a second run has to match to be comparable."""
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{name} {importlib.metadata.version(name)}" for name in packages]
    model = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    lines = [
        f"date: {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        f"machine: {model[0] if model else platform.machine()}, "
        f"{len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.release()}",
        f"load average at the start: {os.getloadavg()[0]:.2f}",
        f"threads per side: {threads}",
        f"versions: {', '.join(versions)}",
    ]
    if "relaxon" in packages:
        import relaxon as rx

        config = rx.show_config("dicts")
        lines += [f"{key}: {config[key]}" for key in ("relaxon", "compiler", "ISA level")]
    return lines
