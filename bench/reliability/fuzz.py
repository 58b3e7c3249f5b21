"""Damaged model files, by the million: refused with one line, or loaded and saved again unchanged.

    python -m bench.reliability.fuzz --n 1000000 --processes 2

Half of the files have checksums that fit their damage. Case number i is the same for the same seed,
wherever it runs: `--first i --n 1` repeats it and `--keep FOLDER` keeps those that fail.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from relaxon.model import loading, saving
from relaxon.model.container import FileFormatError

from .corpus import corpus
from .damage import Damage, apart

LONGEST_MESSAGE = 800
MOST_LAYERS, MOST_CELLS = 50, 1000
# What a worker may map beyond what it has after its start.
MEMORY = 2**30
CHUNK = 200
# Seconds.
LONGEST_START = 300.0


@dataclasses.dataclass
class Counts:
    """What became of damaged files.

    Attributes
    ----------
    accepted, refused : Counter
        By "stale" and "fitting" checksums.
    failures : dict of int to str
        What must not be, by case number.
    crashes, hangs : list of int
        Case numbers.
    peak_bytes : int
        Most resident memory over that after the undamaged files.
    """

    accepted: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    refused: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    failures: dict[int, str] = dataclasses.field(default_factory=dict)
    crashes: list[int] = dataclasses.field(default_factory=list)
    hangs: list[int] = dataclasses.field(default_factory=list)
    peak_bytes: int = 0

    def add(self, other: Counts) -> None:
        """Those of another part."""
        self.accepted += other.accepted
        self.refused += other.refused
        self.failures |= other.failures
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes)

    @property
    def is_clean(self) -> bool:
        """Nothing but files refused, and files that load and save as they are."""
        return not (self.failures or self.crashes or self.hangs)

    def __str__(self) -> str:
        kinds = collections.Counter(text for text in self.failures.values())
        n = sum(self.accepted.values()) + sum(self.refused.values()) + len(self.failures)
        n += len(self.crashes) + len(self.hangs)
        lines = [f"{n} files"]
        for name in ("stale", "fitting"):
            lines.append(
                f"{name} checksums: {self.accepted[name]} accepted, {self.refused[name]} refused"
            )
        lines.append(f"failures {len(self.failures)}")
        for text, count in kinds.most_common(40):
            first = min(i for i, other in self.failures.items() if other == text)
            lines.append(f"  {count} x {text} (first: {first})")
        lines.append(f"crashes {len(self.crashes)} {self.crashes[:10]}")
        lines.append(f"hangs {len(self.hangs)} {self.hangs[:10]}")
        lines.append(
            f"peak memory over that of the undamaged files: {self.peak_bytes / 2**20:.0f} MiB"
        )
        return "\n".join(lines)


def judge(content: bytes, is_sealed: bool, path: Path) -> bool:
    """Whether a file is accepted; AssertionError where it should not have been, or is changed."""
    path.write_bytes(content)
    try:
        found = loading.read(path)
    except FileFormatError as error:
        text = str(error)
        assert text.isprintable(), "a message of more than one line"
        assert len(text) <= LONGEST_MESSAGE, "a message too long"
        return False
    if not is_sealed:
        # Cut from two files, one of them may be whole.
        assert content in corpus().values(), "accepted with stale checksums"
        return True
    saved = saving.encode(found.model, found.extra)
    assert told(saved) == told(content), "saved with another content"
    path.write_bytes(saved)
    again = loading.read(path)
    assert saving.encode(again.model, again.extra) == saved, "saved again with other bytes"
    repr(found.model)
    model = found.model
    if model.n_layers <= MOST_LAYERS and model.grid.n_cells <= MOST_CELLS:
        with warnings.catch_warnings():
            # Damaged coefficients may have no attractor.
            warnings.simplefilter("ignore", RuntimeWarning)
            model(np.zeros(model.input_shape, model.dtype), threads=1)
    return True


def told(content: bytes) -> tuple[Any, ...]:
    """What a file says: its configuration but who wrote it, and the bytes of its arrays."""
    layout, _, configuration, data = apart(content)
    del configuration["written_by"]
    for axis in configuration.get("scaling", {"axes": []})["axes"]:
        axis.setdefault("is_rotated", False)  # what its absence says
    arrays = [
        (name, entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
        for name, entry in sorted(layout.items())
    ]
    return json.dumps(_plain(configuration), sort_keys=True), arrays


def _plain(value: Any) -> Any:
    """Numbers as texts: JSON does not tell 1 from 1.0."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return repr(float(value)) if abs(value) <= 2**53 else repr(value)


def peak() -> int:
    """Most resident memory so far, in bytes; 0 where it is not known."""
    try:
        import resource
    except ImportError:
        return 0
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else 1024 * used


def limit_memory() -> None:
    """Nothing may take the machine along."""
    if sys.platform != "linux":
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


Task = Callable[[int, range, frozenset[int], Any, Connection, "str | None"], None]


def work(
    seed: int, cases: range, skip: frozenset[int], now: Any, results: Connection, keep: str | None
) -> None:
    """Judge cases; a child process. `now` is the number of the case at hand."""
    warnings.simplefilter("error")
    damage = Damage(list(corpus().values()))
    with tempfile.TemporaryDirectory(dir=_memory_folder()) as folder:
        path = Path(folder) / "model.safetensors"
        for content in corpus().values():
            assert judge(content, True, path)
        before = peak()
        limit_memory()
        counts = Counts()
        for number, i in enumerate(cases, start=1):
            now.value = i
            if i not in skip:
                content, is_sealed = damage(seed, i)
                kind = "fitting" if is_sealed else "stale"
                try:
                    is_accepted = judge(content, is_sealed, path)
                except Exception as error:
                    counts.failures[i] = _in_short(error)
                    if keep is not None:
                        (Path(keep) / f"{seed}-{i}.safetensors").write_bytes(content)
                else:
                    (counts.accepted if is_accepted else counts.refused)[kind] += 1
            if number % CHUNK == 0 or number == len(cases):
                counts.peak_bytes = max(peak() - before, 0)
                results.send((number, counts))
                counts = Counts()
    results.close()


def _in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:110].replace("\n", " ")


def _memory_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


class Worker:
    """A process that judges cases, and is replaced where one of them ends or stops it."""

    def __init__(self, task: Task, seed: int, cases: range, keep: str | None, patience: float):
        self.task, self.seed, self.cases, self.keep = task, seed, cases, keep
        self.patience = patience
        self.skip: frozenset[int] = frozenset()
        self.counts = Counts()
        self.start()

    def start(self) -> None:
        """A process for the cases that are left."""
        context = multiprocessing.get_context("spawn")
        self.results, end = context.Pipe(duplex=False)
        self.now = context.Value("q", -1, lock=False)
        arguments = (self.seed, self.cases, self.skip, self.now, end, self.keep)
        self.process: BaseProcess = context.Process(target=self.task, args=arguments, daemon=True)
        self.process.start()
        end.close()
        self.begin, self.seen, self.since = self.cases, -1, time.monotonic()

    def look(self) -> None:
        """Take results; replace a process that has ended early or stands still."""
        try:
            while self.results.poll():
                number, counts = self.results.recv()
                self.counts.add(counts)
                self.cases = self.begin[number:]
        except EOFError:
            self.process.join()
        if not self.process.is_alive():
            if self.cases:
                self.give_up(self.counts.crashes)
            return
        if self.now.value != self.seen:
            self.seen, self.since = self.now.value, time.monotonic()
        elif time.monotonic() - self.since > (self.patience if self.seen >= 0 else LONGEST_START):
            self.process.kill()
            self.process.join()
            self.give_up(self.counts.hangs)

    def give_up(self, blame: list[int]) -> None:
        """Leave the case at hand out; those before it that were not yet told are judged again."""
        case = self.now.value
        if case < 0:
            raise RuntimeError("a worker did not start")
        blame.append(case)
        self.skip |= {case}
        self.start()


def run(
    n: int,
    processes: int = 1,
    seed: int = 0,
    first: int = 0,
    keep: str | None = None,
    patience: float = 20.0,
    tell: bool = False,
    task: Task = work,
) -> Counts:
    """Judge the cases from `first` to `first + n - 1`.

    `patience` is how many seconds one may take.
    """
    workers = [
        Worker(task, seed, range(first + k, first + n, processes), keep, patience)
        for k in range(min(processes, n))
    ]
    begin = told_at = time.monotonic()
    while any(worker.cases for worker in workers):
        wait([worker.results for worker in workers if worker.cases], timeout=1.0)
        for worker in workers:
            if worker.cases:
                worker.look()
        if tell and time.monotonic() - told_at > 60.0:
            told_at = time.monotonic()
            left = sum(len(worker.cases) for worker in workers)
            print(f"{told_at - begin:.0f} s: {n - left} of {n}", file=sys.stderr, flush=True)
    total = Counts()
    for worker in workers:
        worker.process.join()
        total.add(worker.counts)
        total.crashes += worker.counts.crashes
        total.hangs += worker.counts.hangs
    return total


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10_000, help="number of files")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--keep", help="folder for the files that fail")
    options = parser.parse_args()
    begin = time.monotonic()
    counts = run(options.n, options.processes, options.seed, options.first, options.keep, tell=True)
    seconds = time.monotonic() - begin
    print(counts)
    print(f"{seconds:.0f} s, {1e3 * seconds * options.processes / options.n:.2f} ms per file")
    return 0 if counts.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
