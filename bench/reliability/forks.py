"""Sweeps on several threads in children of every kind, and where threads or memory are short.

    python -m bench.reliability.forks                    # 100 processes per case
    python -m bench.reliability.forks --runs 5 --cases "torch first,joblib loky"

Each run is a process of its own under a time limit. The table counts how runs ended; anything but
"same bits", and "MemoryError" or "no fork" where there are limits, is a fault. tests/python/
test_forks.py runs every case, too.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib.util
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# relaxon, and whatever else has threads, is imported where a case wants it.

SECONDS = 120
SAME, SHORT, NO_FORK = "same bits", "MemoryError", "no fork"
NOBODY = 65534


def sweep(threads: int = 2) -> str:
    """Digest of a gradient of whole fields, one of tiles, and two steps of a descent."""
    import numpy as np

    import relaxon as rx

    digest = hashlib.sha256()
    for shape, batch in (((24, 24), 12), ((160, 160), 1)):
        x = np.random.default_rng(0).standard_normal((batch, *shape))
        op = rx.ADR(rx.Grid(shape, boundary="neumann"), space="local")
        model = rx.Relaxation(op, depth=6, seed=1)
        _, gradients = model.value_and_grad(x, -x, threads=threads)
        rule = rx.SteepestDescent(rate=1e-3)
        fit = rx.fit(model, x, -x, optimizer=rule, steps=2, threads=threads)
        for array in (*gradients.values(), *fit.model.params.values()):
            digest.update(array.tobytes())
    return digest.hexdigest()


def outcome_of(call: Callable[[], str], expected: str) -> str:
    """How a sweep ended, in words."""
    try:
        return SAME if call() == expected else "other bits"
    except MemoryError:
        return SHORT


def in_child(call: Callable[[], str]) -> str:
    """What a call returns in a child of fork()."""
    there, here = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        code = 1
        try:
            os.write(here, call().encode())
            code = 0
        except BaseException as error:
            os.write(here, repr(error).encode())
        finally:
            os._exit(code)
    os.close(here)
    with open(there, encoding="utf-8") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"a child ended with {os.waitstatus_to_exitcode(status)}: {told}")
    return told


def check_children(digests: Sequence[str]) -> str:
    """All that children made, beside the sweep of this process on one thread."""
    return SAME if set(digests) == {sweep(1)} else "other bits"


def torch_first() -> str:
    """Torch has computed on its threads; relaxon is imported in the children alone."""
    import torch

    torch.set_num_threads(2)
    matrix = torch.ones(300, 300)
    assert float((matrix @ matrix)[0, 0]) == 300
    found = [in_child(sweep) for _ in range(3)]
    assert "relaxon" not in sys.modules
    return SAME if set(found) == {in_child(lambda: sweep(1))} else "other bits"


def sweep_first() -> str:
    """The process has swept on its threads; its children have children."""
    found = [sweep()]
    for _ in range(3):
        found += [in_child(sweep), in_child(lambda: in_child(sweep)), sweep()]
    return check_children(found)


def beside_a_sweep() -> str:
    """Forks while other threads are in the middle of sweeps."""
    is_over = threading.Event()

    def keep_sweeping() -> None:
        while not is_over.is_set():
            sweep()

    sweep()
    others = [threading.Thread(target=keep_sweeping) for _ in range(2)]
    for other in others:
        other.start()
    try:
        found = [in_child(sweep) for _ in range(5)]
    finally:
        is_over.set()
        for other in others:
            other.join()
    return check_children(found)


def within_a_sweep() -> str:
    """A signal's handler forks: the sweep ends in its parent, another one works in the child."""
    import numpy as np

    import relaxon as rx

    model = rx.Relaxation(rx.ADR(rx.Grid((64,)), space="local"), depth=2000, seed=1)
    x = np.random.default_rng(0).standard_normal((64, 64))
    children: list[int] = []

    def fork(*_: object) -> None:
        children.append(os.fork())
        if children[-1] == 0:
            signal.alarm(SECONDS)

    expected, small = model(x, threads=1), sweep(1)
    signal.signal(signal.SIGALRM, fork)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        while not children:
            result = model(x, threads=2)
        is_right = np.array_equal(result, expected)
    except RuntimeError as error:  # in the child, if the other thread was at it
        is_right = children == [0] and "forked out of a running call" in str(error)
    if children == [0]:
        os._exit(0 if is_right and sweep() == small else 1)
    _, status = os.waitpid(children[0], 0)
    is_right &= os.waitstatus_to_exitcode(status) == 0 and sweep() == small
    return SAME if is_right else "other bits"


def _pool(method: str) -> str:
    sweep()
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map_async(sweep, [2] * 4, chunksize=1).get(timeout=SECONDS)
    return check_children(found)


def joblib_loky() -> str:
    """Two workers of joblib's default kind."""
    from joblib import Parallel, delayed

    sweep()
    return check_children(Parallel(n_jobs=2, backend="loky")(delayed(sweep)(2) for _ in range(4)))


class Digests:
    """A data set whose items are sweeps."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> str:
        if index < 4:
            return sweep()
        raise IndexError(index)


def data_loader() -> str:
    """Two workers of torch's DataLoader, after sweeps and torch's own work in the parent."""
    import torch
    from torch.utils.data import DataLoader

    torch.set_num_threads(2)
    matrix = torch.ones(300, 300)
    found = [sweep()]
    assert float((matrix @ matrix)[0, 0]) == 300
    loader: Any = DataLoader(Digests(), batch_size=None, num_workers=2, timeout=SECONDS)
    found += list(loader)
    return check_children(found)


def _under_limits(resource_name: str, limits: Sequence[int], threads: int) -> str:
    """Sweeps in a process and in its child under each limit; what they end with, counted."""
    import resource

    kind = getattr(resource, resource_name)
    expected = sweep(1)  # all is imported now, and no thread made
    ends: Counter[str] = Counter()

    def limited(limit: int) -> str:
        if os.geteuid() == 0:
            os.setuid(NOBODY)  # the superuser may have any number of processes
        before = resource.getrlimit(kind)
        resource.setrlimit(kind, (limit, before[1]))
        told = [outcome_of(lambda: sweep(threads), expected)]
        try:
            told.append(in_child(lambda: outcome_of(lambda: sweep(threads), expected)))
        except BlockingIOError:
            told.append(NO_FORK)
        except RuntimeError as error:
            told.append(str(error))
        resource.setrlimit(kind, before)
        return "\n".join(told)

    for limit in limits:
        try:
            ends.update(in_child(functools.partial(limited, limit)).splitlines())
        except RuntimeError as error:
            ends[str(error)] += 1
    return ", ".join(f"{n} {end}" for end, n in sorted(ends.items()))


def few_threads() -> str:
    """RLIMIT_NPROC from 4 to 200."""
    return _under_limits("RLIMIT_NPROC", range(4, 201, 14), threads=64)


def little_memory() -> str:
    """RLIMIT_AS from what is mapped to 24 MiB more."""
    sweep(1)
    with open("/proc/self/statm", encoding="ascii") as file:
        mapped = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    limits = [mapped + n * 2**20 for n in (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24)]
    return _under_limits("RLIMIT_AS", limits, threads=8)


HAS_FORK = hasattr(os, "fork")
IS_LINUX = sys.platform.startswith("linux")
# Name: what runs, what has to be installed, and whether this system has what it takes.
CASES: dict[str, tuple[Callable[[], str], tuple[str, ...], bool]] = {
    "torch first": (torch_first, ("torch",), HAS_FORK),
    "sweep first": (sweep_first, (), HAS_FORK),
    "beside a sweep": (beside_a_sweep, (), HAS_FORK),
    "within a sweep": (within_a_sweep, (), HAS_FORK),
    "multiprocessing fork": (lambda: _pool("fork"), (), HAS_FORK),
    "multiprocessing forkserver": (lambda: _pool("forkserver"), (), HAS_FORK),
    "multiprocessing spawn": (lambda: _pool("spawn"), (), True),
    "joblib loky": (joblib_loky, ("joblib",), True),
    "DataLoader": (data_loader, ("torch",), True),
    "few threads": (few_threads, (), IS_LINUX),
    "little memory": (little_memory, (), IS_LINUX),
}


def lacks(name: str) -> str:
    """Why a case cannot run here; an empty text if it can."""
    _, modules, is_possible = CASES[name]
    if not is_possible:
        return f"not on {platform.system()}"
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    return f"needs {' and '.join(missing)}" if missing else ""


def run(name: str) -> str:
    """How a case ends in a process of its own."""
    # Threads of NumPy's BLAS, which nothing here needs, know no limits.
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "bench.reliability.forks", "--here", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env=environment,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=2 * SECONDS)
        except subprocess.TimeoutExpired:
            if HAS_FORK:
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.communicate()
            return "a hang"
    if process.returncode != 0:
        return f"exit code {process.returncode}: {errors.strip().splitlines()[-1:]}"
    return output.strip()


def main() -> None:
    """Run cases and print how they ended."""
    parser = argparse.ArgumentParser(description="sweeps in forked children and under limits")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--here", choices=CASES, help="one case in this process")
    arguments = parser.parse_args()
    if arguments.here:
        # That a process with threads forks is the point.
        warnings.simplefilter("ignore", DeprecationWarning)
        print(CASES[arguments.here][0]())
        return
    print("| case | runs | s | ends |", "| --- " * 4 + "|", sep="\n")
    for name in arguments.cases.split(","):
        reason, start = lacks(name), time.perf_counter()
        ends = Counter(run(name) for _ in range(0 if reason else arguments.runs))
        told = reason or "; ".join(f"{n} x {end}" for end, n in ends.most_common())
        print(
            f"| {name} | {ends.total()} | {time.perf_counter() - start:.0f} | {told} |", flush=True
        )


if __name__ == "__main__":
    main()
