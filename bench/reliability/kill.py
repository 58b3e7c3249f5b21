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

from relaxon.report.publication import FILES, MODEL, SUMMARY, MixedReportError, check_report

EVERY = 0.02
MIB = 2**20
MOST_RESUMES = 5
# Whatever hangs is a failure, too.
LIMIT_SECONDS = 300.0
# Room for the report, or not quite.
DISK_BYTES = 7 * MIB

SIGNALS = {"SIGKILL": 1, "SIGTERM": 1, "SIGHUP": 1, "SIGINT": 1, "SIGINT twice": 2}
LIMITS = ("RLIMIT_AS", "RLIMIT_FSIZE", "full disk")
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
    n_signals: int = 0
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
        Case("fixed-rate", [*pairs, "--rate", "1e-3", "--steps", "1500", "--patience", "0"]),
        Case("armijo", [*pairs, "--steps", "600", "--patience", "0"]),
        Case("barzilai-borwein", [*pairs, "--steps", "800", "--patience", "50"]),
        Case("adam", [*pairs, "--rate", "1e-3", "--steps", "1500", "--bias", "local"]),
        Case("lbfgs", [*pairs, "--steps", "300"]),
    ]
    for case in cases:
        case.words += ["--optimizer", case.name]
    estimate = [str(folder / "gaps.npz"), "--depth", "4", "--steps", "60"]
    return [
        *cases,
        Case("estimate", [*estimate, "--inputs", "estimate", "--input-error", "0.3"]),
        Case("check-depth", [str(folder / "pairs.npz"), "--steps", "200", "--check-depth"]),
        Case("sst", ["sst", "--steps", "30"]),
    ]


def start(case: Case, out: Path, *more: str, limits: dict[str, int] | None = None) -> list[str]:
    """The command of a fit."""
    settings = json.dumps({"every": EVERY, "limits": limits or {}})
    words = ["fit", *case.words, "--out", str(out), "--threads", "1", *more]
    return [sys.executable, "-m", "bench.reliability.start", settings, *words]


def finish(process: subprocess.Popen[str], seconds: float = LIMIT_SECONDS) -> str:
    """What a process has said on stderr, once it has ended."""
    try:
        return process.communicate(timeout=seconds)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[1] + "\nTraceback: it hung"


def spawn(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


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


def measure(case: Case, folder: Path) -> None:
    """The unbroken run."""
    out = folder / "unbroken"
    begin = time.monotonic()
    process = spawn(start(case, out))
    said = finish(process)
    if process.returncode != 0:
        raise SystemExit(f"{case.name}: the unbroken run ended with {process.returncode}: {said}")
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


def check_end(run: Run, process: subprocess.Popen[str], said: str, codes: set[int]) -> None:
    if "Traceback" in said or "Error" in said.split("\n")[-1][:40]:
        run.failures.append("traceback")
        print(f"--- {run.case}, {run.way}: {said}", flush=True)
    if process.returncode not in codes:
        run.failures.append("exit code")
        print(f"--- {run.case}, {run.way}: exit code {process.returncode}: {said}", flush=True)


def kill(case: Case, way: str, run: Run, out: Path, draw: random.Random, *more: str) -> None:
    """Start a fit, and end it by a signal at a random moment."""
    process = spawn(start(case, out, *more))
    begin = time.monotonic()
    # Half of the moments are spread over the whole life, half over what comes after the start-up.
    if draw.random() < 0.5:
        while not (out / "unfinished" / "run.json").exists() and process.poll() is None:
            time.sleep(0.01)
        begin_of_fit = time.monotonic() - begin
        delay = draw.random() * max(case.seconds - begin_of_fit, 0.2)
    else:
        delay = draw.random() * case.seconds
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)
    number = getattr(signal, way.split()[0])
    for _ in range(SIGNALS[way]):
        if process.poll() is None:
            process.send_signal(number)
            run.n_signals += 1
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(draw.random() * 0.3)
    # One that has ended before, or was about to, is no failure.
    codes = {0, -number if number == signal.SIGKILL else 128 + number}
    check_end(run, process, finish(process), codes)
    look(run, out)


def limit(case: Case, way: str, run: Run, out: Path, draw: random.Random) -> None:
    """Run a fit under a limit that may be too small for it."""
    sizes = {"RLIMIT_AS": (150 * MIB, 1500 * MIB), "RLIMIT_FSIZE": (2**10, 5 * MIB)}
    low, high = sizes[way]
    process = spawn(start(case, out, limits={way: draw.randrange(low, high)}))
    said = finish(process)
    run.n_signals += process.returncode != 0
    # What Python and NumPy say when they cannot even be loaded is not for relaxon to say.
    is_ours = way == "RLIMIT_FSIZE" or "relaxon: " in said
    if is_ours:
        check_end(run, process, said, {0, 1, 2})
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
    process = spawn(start(case, out))
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(draw.random() * case.seconds)
    ballast = out.parent / "ballast"
    with contextlib.suppress(OSError), open(ballast, "wb") as file:
        while True:
            file.write(bytes(2**14))
            file.flush()
    said = finish(process)
    run.n_signals += process.returncode != 0
    check_end(run, process, said, {0, 1, 2})
    look(run, out)
    ballast.unlink()


def resume(case: Case, run: Run, out: Path) -> None:
    """Resume until it is done, and compare."""
    for _ in range(MOST_RESUMES):
        process = spawn(start(case, out, "--resume"))
        check_end(run, process, finish(process), {0})
        if process.returncode == 0:
            break
    else:
        run.failures.append("not finished")
        return
    if digest_of(out) != case.digest:
        run.failures.append("another digest")
    if not is_whole(out):
        run.failures.append("mixed folder")
    left = {str(path.relative_to(out)) for path in out.rglob("*")} ^ set(FILES)
    # The figure of what is the same everywhere is left out.
    if left:
        run.failures.append("leftover")
        print(f"--- {run.case}, {run.way}: left or missing: {sorted(left)}", flush=True)


def one_run(case: Case, way: str, folder: Path, draw: random.Random) -> Run:
    run = Run(case.name, way)
    out = folder / "out"
    if way == "full disk":
        with small_disk(folder / "disk") as disk:
            fill_disk(case, run, disk / "out", draw)
            resume(case, run, disk / "out")
        return run
    if way in SIGNALS:
        kill(case, way, run, out, draw)
        if draw.random() < 0.25:
            kill(case, draw.choice(list(SIGNALS)), run, out, draw, "--resume")
    else:
        limit(case, way, run, out, draw)
    resume(case, run, out)
    shutil.rmtree(out)
    return run


def show(runs: list[Run]) -> None:
    """Counts by way and by case."""
    for title, key in (("ended by", "way"), ("fit", "case")):
        columns = ("runs", "hit", "cut off", "as unbroken", *FAILURES)
        print(f"\n{title:18}" + "".join(f"{name:>16}" for name in columns))
        groups = collections.defaultdict(list)
        for run in runs:
            groups[getattr(run, key)].append(run)
            groups["all"].append(run)
        for name in [*sorted(groups.keys() - {"all"}), "all"]:
            group = groups[name]
            counts = [
                len(group),
                sum(run.n_signals > 0 for run in group),
                sum(run.n_cut_off > 0 for run in group),
                sum(not run.failures for run in group),
                *(sum(kind in run.failures for run in group) for kind in FAILURES),
            ]
            print(f"{name:18}" + "".join(f"{count:16}" for count in counts))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin none later")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = make_cases(folder)
        ways = [*SIGNALS, *LIMITS]
        if not can_mount(folder):
            print("no tmpfs can be mounted here: the disk is never full")
            ways.remove("full disk")
        runs: list[Run] = []
        while len(runs) < options.runs and time.monotonic() - begin < options.seconds:
            case = cases[len(runs) % len(cases)]
            if not case.digest:
                measure(case, folder)
                print(f"{case.name}: {case.seconds:.1f} s, {case.digest[:16]}", flush=True)
            # Signals four times as often as limits.
            way = draw.choice([*SIGNALS] * 4 + ways[len(SIGNALS) :] * 2)
            runs.append(one_run(case, way, folder, draw))
    show(runs)
    n_good = sum(not run.failures for run in runs)
    n_mixed = sum("mixed folder" in run.failures for run in runs)
    n_left = sum("leftover" in run.failures for run in runs)
    n_traces = sum("traceback" in run.failures for run in runs)
    print(
        f"\n{n_good} of {len(runs)} end as the unbroken run; mixed folders {n_mixed}, leftovers "
        f"{n_left}, tracebacks {n_traces}; seed {options.seed}, {time.monotonic() - begin:.0f} s"
    )
    return 0 if n_good == len(runs) else 1


if __name__ == "__main__":
    sys.exit(main())
