"""Beside the OpenMP runtimes of others in one process: torch's and scikit-learn's.

Each order of imports runs in a process of its own; a hang becomes a failure.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from itertools import permutations

import pytest

OTHERS = ["torch", "sklearn"]
MISSING = [name for name in OTHERS if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)}")

SWEEPS = """
    import hashlib

    import numpy as np

    import relaxon as rx

    op = rx.ADR(rx.Grid((60, 70)), space="local")
    x = np.random.default_rng(0).standard_normal((8, 60, 70))
    model = rx.Relaxation(op, depth=12, seed=1)

    def sweeps():
        value, grads = model.value_and_grad(x, -x, threads=2)
        fit = rx.fit(model, x, -x, optimizer=rx.SteepestDescent(rate=1e-3), steps=3, threads=2)
        arrays = (*grads.values(), *fit.model.params.values(), np.array(value))
        return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
    """

BESIDE_OTHERS = """
    import os
    import signal
    import warnings

    import torch
    from sklearn.cluster import KMeans

    # that a process with threads forks is part of this test
    warnings.simplefilter("ignore", DeprecationWarning)
    torch.set_num_threads(2)
    matrix = torch.ones(700, 700)
    found = set()
    for _ in range(2):
        assert float((matrix @ matrix)[0, 0]) == 700
        found.add(sweeps())
        KMeans(5, n_init=1, random_state=0).fit(x.reshape(-1, 7))
        found.add(sweeps())
        if hasattr(os, "fork"):
            child = os.fork()
            if child == 0:
                signal.alarm(120)
                os._exit(0 if sweeps() in found else 3)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0, status
    (digest,) = found
    print(digest)
    """


def run_python(*scripts: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(textwrap.dedent(script) for script in scripts)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def alone() -> str:
    return run_python(SWEEPS, "print(sweeps())")


@pytest.mark.parametrize("order", [*permutations(["relaxon._core", *OTHERS])], ids="-".join)
def test_same_bits_beside_other_runtimes(order: tuple[str, ...], alone: str) -> None:
    assert run_python(f"import {', '.join(order)}", SWEEPS, BESIDE_OTHERS) == alone
