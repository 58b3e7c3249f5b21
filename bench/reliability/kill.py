"""Fits that are killed at a random moment, resumed, and compared with those that ran through.

    python -m bench.reliability.kill --runs 300
    python -m bench.reliability.kill --runs 40 --seconds 120     # short form

Each run is `relaxon fit` in a process of its own, by one of the optimizers, on small data, with a
checkpoint every 20 ms. It ends by a signal at a random moment, from the start of Python to the end,
or by a limit: the size of its memory or of its files, or a full disk (a small tmpfs, where root may
mount one). Then it is resumed, some after a second kill, until it is done. What has to be the same
as in the unbroken run: model and history, bit by bit. Fails if any run ends otherwise, if a mixed
folder is read as if it were whole, if anything is left, or if a traceback is shown.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from relaxon.report.publication import (
    MODEL,
    SUMMARY,
    UNFINISHED,
    MixedReportError,
    check_report,
)

EVERY = 0.02
# Of the runs that draw figures, which takes longer than all the rest.
FIGURES_SHARE = 0.2
MIB = 2**20
# Whatever hangs is a failure, too.
LIMIT_SECONDS = 300.0
# Room for the report, or not quite.
DISK_BYTES = 16 * MIB

# As the console script, which installs the signals with its first line; then it says so.
PROGRAM = """
from relaxon.base import signals
signals.install()
import os, sys
os.write(int(sys.argv.pop(1)), b"1")
from bench.reliability.start import main
sys.exit(main())
"""

SIGNALS = {"SIGKILL": 1, "SIGTERM": 1, "SIGHUP": 1, "SIGINT": 1, "SIGINT twice": 2}
# Where limits are drawn from: too small to begin with, up to enough.
LIMITS = {"RLIMIT_AS": (150 * MIB, 800 * MIB), "RLIMIT_FSIZE": (2**10, 5 * MIB)}
FULL_DISK = "full disk"
FAILURES = ("another digest", "not finished", "mixed folder", "leftover", "traceback", "exit code")


@dataclass
class Case:
    """One kind of fit."""

    name: str
    words: list[str]
    seconds: float = 0.0
    digest: str = ""


@dataclass
class Run:
    """What became of one fit."""

    case: str
    way: str
    n_hits: int = 0
    n_early: int = 0
    n_cut_off: int = 0
    failures: list[str] = field(default_factory=list)


def make_cases(folder: Path) -> list[Case]:
    """Small data, and a command for each optimizer and for fits that are several."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((60, 32))
    np.savez(folder / "pairs.npz", x=x, y=0.9 * np.roll(x, 1, axis=1) + 0.1 * x)
    holes = np.where(draw.random(x.shape) < 0.02, np.nan, x)
    np.savez(folder / "gaps.npz", x=holes, y=0.9 * np.roll(x, 1, axis=1))
    pairs = [str(folder / "pairs.npz"), "--depth", "8", "--space", "local", "--smoothness", "0.1"]
    cases = [
        Case("fixed-rate", [*pairs, "--rate", "1e-3", "--steps", "6000", "--patience", "0"]),
        Case("armijo", [*pairs, "--steps", "3000", "--patience", "0"]),
        Case("barzilai-borwein", [*pairs, "--steps", "4000", "--patience", "400"]),
        Case("adam", [*pairs, "--rate", "1e-3", "--steps", "3000", "--patience", "0"]),
        Case("lbfgs", [*pairs, "--steps", "3000", "--patience", "0"]),
    ]
    for case in cases:
        case.words += ["--optimizer", case.name]
    estimate = [str(folder / "gaps.npz"), "--depth", "4", "--steps", "60"]
    return [
        *cases,
        Case("estimate", [*estimate, "--inputs", "estimate", "--input-error", "0.3"]),
        Case("check-depth", [str(folder / "pairs.npz"), "--steps", "200", "--check-depth"]),
        Case("sst", ["sst", "--theta", "0", "--steps", "15"]),
    ]


class Process:
    """A fit in a process of its own."""

    def __init__(
        self, case: Case, out: Path, draw: random.Random, *more: str, **limits: int
    ) -> None:
        figures = draw.random() < FIGURES_SHARE
        settings = json.dumps({"every": EVERY, "figures": figures, "limits": limits})
        words = ["fit", *case.words, "--out", str(out), "--threads", "1", *more]
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(writing), settings, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            pass_fds=[writing],
        )
        os.close(writing)

    @property
    def has_begun(self) -> bool:
        """Whether its first line had been reached; asked once."""
        try:
            return os.read(self._reading, 1) == b"1"
        except BlockingIOError:
            return False

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def wait(self, seconds: float) -> None:
        """Until it ends, or so long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def finish(self) -> str:
        """What it has said on stderr when it has ended."""
        try:
            said = self.process.communicate(timeout=LIMIT_SECONDS)[1]
        except subprocess.TimeoutExpired:
            self.process.kill()
            said = f"{self.process.communicate()[1]}\nTraceback: it hung"
        os.close(self._reading)
        return said

    @property
    def code(self) -> int:
        return int(self.process.returncode)


def digest_of(out: Path) -> str:
    """Of model and history; that holds no times."""
    found = hashlib.sha256()
    for name in (MODEL, "history.csv"):
        found.update((out / name).read_bytes())
    return found.hexdigest()


def is_whole(out: Path) -> bool:
    files = json.loads((out / SUMMARY).read_text())["files"]
    return all(
        hashlib.sha256((out / name).read_bytes()).hexdigest() == expected
        for name, expected in files.items()
        if (out / name).exists()
    )


def measure(case: Case, folder: Path, draw: random.Random) -> None:
    """The unbroken run."""
    out = folder / "unbroken"
    begin = time.monotonic()
    process = Process(case, out, draw)
    said = process.finish()
    if process.code != 0:
        raise SystemExit(f"{case.name}: the unbroken run ended with {process.code}: {said}")
    case.seconds, case.digest = time.monotonic() - begin, digest_of(out)
    shutil.rmtree(out)


def look(run: Run, out: Path) -> None:
    """Whether what a killed run has left would be read as if it were whole."""
    if not (out / MODEL).exists():
        return
    try:
        check_report(out / MODEL)
    except MixedReportError:
        run.n_cut_off += 1
        return
    if not (out / SUMMARY).exists() or not is_whole(out):
        run.failures.append("mixed folder")


def check_end(run: Run, code: int, said: str, codes: set[int]) -> None:
    """No traceback, and one of the exit codes."""
    found = (["traceback"] if "Traceback" in said else []) + (
        ["exit code"] if code not in codes else []
    )
    if found:
        run.failures += found
        print(f"--- {run.case}, {run.way}: exit code {code}: {said}", flush=True)


def kill(case: Case, way: str, run: Run, out: Path, draw: random.Random, *more: str) -> None:
    """Start a fit, and end it by a signal at a random moment."""
    begin = time.monotonic()
    process = Process(case, out, draw, *more)
    # Half of the moments are spread over the whole life, half over what comes after the start-up.
    delay = draw.random() * case.seconds
    if draw.random() < 0.5:
        while not (out / UNFINISHED / "run.json").exists() and process.is_running:
            time.sleep(0.005)
        delay = draw.random() * max(case.seconds - (time.monotonic() - begin), 0.2)
    process.wait(delay)
    number = getattr(signal, way.split()[0])
    is_ours = process.has_begun
    for _ in range(SIGNALS[way]):
        if process.is_running:
            process.process.send_signal(number)
            run.n_hits += 1
            process.wait(draw.random() * 0.3)
    said = process.finish()
    # Other work on the machine makes lives longer and shorter.
    case.seconds *= 1.02 if run.n_hits else 0.9
    if is_ours:
        # One that was about to end has ended.
        codes = {0, -number if number == signal.SIGKILL else 128 + number}
        check_end(run, process.code, said, codes)
    else:
        run.n_early += 1
    look(run, out)


def limit(case: Case, way: str, run: Run, out: Path, draw: random.Random) -> None:
    """Run a fit under a limit that may be too small for it."""
    low, high = LIMITS[way]
    process = Process(case, out, draw, **{way: draw.randrange(low, high)})
    said = process.finish()
    run.n_hits += process.code != 0
    # What Python and NumPy say when they cannot even be loaded is not for relaxon to say.
    if way == "RLIMIT_FSIZE" or "relaxon: " in said:
        check_end(run, process.code, said, {0, 1, 2})
    look(run, out)


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    place.mkdir()
    options = f"size={DISK_BYTES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        place.rmdir()


def can_mount(folder: Path) -> bool:
    try:
        with small_disk(folder / "probe"):
            return True
    except (OSError, subprocess.CalledProcessError):
        shutil.rmtree(folder / "probe", ignore_errors=True)
        return False


def fill_disk(case: Case, run: Run, out: Path, draw: random.Random) -> None:
    """Run a fit whose disk somebody else fills at a random moment."""
    process = Process(case, out, draw)
    process.wait(draw.random() * case.seconds)
    ballast = out.parent / "ballast"
    with contextlib.suppress(OSError), open(ballast, "wb") as file:
        while True:
            file.write(bytes(2**14))
            file.flush()
    said = process.finish()
    run.n_hits += process.code != 0
    check_end(run, process.code, said, {0, 1, 2})
    look(run, out)
    ballast.unlink()


def resume(case: Case, run: Run, out: Path, draw: random.Random) -> None:
    """Resume until it is done, and compare."""
    process = Process(case, out, draw, "--resume")
    said = process.finish()
    check_end(run, process.code, said, {0})
    if process.code != 0:
        run.failures.append("not finished")
        return
    if digest_of(out) != case.digest:
        run.failures.append("another digest")
    if not is_whole(out):
        run.failures.append("mixed folder")
    listed = {SUMMARY, *json.loads((out / SUMMARY).read_text())["files"]}
    left = {str(path.relative_to(out)) for path in out.rglob("*")} ^ listed
    if left:
        run.failures.append("leftover")
        print(f"--- {run.case}, {run.way}: left or missing: {sorted(left)}", flush=True)


def one_run(case: Case, way: str, folder: Path, draw: random.Random) -> Run:
    run = Run(case.name, way)
    out = folder / "out"
    if way == FULL_DISK:
        with small_disk(folder / "disk") as disk:
            fill_disk(case, run, disk / "out", draw)
            resume(case, run, disk / "out", draw)
        return run
    if way in SIGNALS:
        kill(case, way, run, out, draw)
        if draw.random() < 0.25:
            kill(case, draw.choice(list(SIGNALS)), run, out, draw, "--resume")
    else:
        limit(case, way, run, out, draw)
    resume(case, run, out, draw)
    shutil.rmtree(out)
    return run


def show(runs: list[Run]) -> None:
    """Counts by way and by case."""
    columns = ("runs", "hit", "start-up", "cut off", "as unbroken")
    for title, key in (("ended by", "way"), ("fit", "case")):
        print(f"\n{title:18}" + "".join(f"{name:>13}" for name in columns))
        groups = collections.defaultdict(list)
        for run in runs:
            groups[getattr(run, key)].append(run)
        for name, group in [*sorted(groups.items()), ("all", runs)]:
            counts = [
                len(group),
                sum(run.n_hits > 0 for run in group),
                sum(run.n_early > 0 for run in group),
                sum(run.n_cut_off > 0 for run in group),
                sum(not run.failures for run in group),
            ]
            print(f"{name:18}" + "".join(f"{count:13}" for count in counts))
    counts_of = collections.Counter(kind for run in runs for kind in set(run.failures))
    print("\n" + ", ".join(f"{kind}: {counts_of[kind]}" for kind in FAILURES))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=300, help="hit by a signal")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin none later")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = make_cases(folder)
        # Signals more often than limits.
        ways = [*SIGNALS] * 4 + [*LIMITS] * 2
        if can_mount(folder):
            ways += [FULL_DISK] * 2
        else:
            print("no tmpfs can be mounted here: the disk is never full")
        runs: list[Run] = []
        # Those that ended before, or by a limit, do not count.
        while sum(run.n_hits > 0 and run.way in SIGNALS for run in runs) < options.runs:
            if time.monotonic() - begin > options.seconds:
                break
            case = cases[len(runs) % len(cases)]
            if not case.digest:
                measure(case, folder, draw)
                print(f"{case.name}: {case.seconds:.1f} s, {case.digest[:16]}", flush=True)
            runs.append(one_run(case, draw.choice(ways), folder, draw))
            if len(runs) % 25 == 0:
                n_bad = sum(bool(run.failures) for run in runs)
                print(f"{len(runs)} runs, {n_bad} failed", flush=True)
    show(runs)
    n_good = sum(not run.failures for run in runs)
    n_hit = sum(run.n_hits > 0 and run.way in SIGNALS for run in runs)
    print(
        f"{n_good} of {len(runs)} runs, {n_hit} of them hit by signals, end as the unbroken one; "
        f"seed {options.seed}, {time.monotonic() - begin:.0f} s"
    )
    return 0 if n_good == len(runs) else 1


if __name__ == "__main__":
    sys.exit(main())
