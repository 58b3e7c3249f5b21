"""Threads of two kinds: the core's own, and Python threads that share a model."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from measures import bits
from relaxon.base.validate import _read_thread_list, default_threads


def make_model(dtype: str = "float64") -> Any:
    mask = np.random.default_rng(1).random((12, 20)) > 0.2
    grid = rx.Grid((12, 20), boundary=("neumann", "periodic"), mask=mask)
    return rx.Relaxation(rx.ADR(grid, space="local"), depth=15, beta=0.02, dtype=dtype, seed=2)


def inputs(n: int) -> list[Any]:
    rng = np.random.default_rng(3)
    return [rng.standard_normal((2, 3, 12, 20)) for _ in range(n)]


def test_python_threads_share_a_model() -> None:
    model = make_model()

    def work(pair: Any) -> tuple[bytes, float, dict[str, bytes]]:
        x, y = pair
        value, grads = model.value_and_grad(x, y, memory="1 MiB", threads=2, input_grad=True)
        return model(x, threads=2).tobytes(), value, bits(grads)

    pairs = inputs(40)
    expected = [work(pair) for pair in pairs]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, pairs)) == expected


def test_python_threads_fit_at_the_same_time() -> None:
    model = make_model()

    def work(pair: Any) -> dict[str, bytes]:
        x, y = pair
        optimizer = rx.SteepestDescent(rate=1e-3, line_search="armijo")
        return bits(rx.fit(model, x, y, optimizer=optimizer, steps=15, threads=2).model.params)

    pairs = inputs(6)
    expected = [work(pair) for pair in pairs]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, pairs)) == expected


def run_python(script: str, timeout: float = 300, **environment: str) -> str:
    """Output of a script in a fresh interpreter; a hang becomes a failure."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("threads", [0, -2])
def test_impossible_thread_counts_are_refused(threads: int) -> None:
    model = make_model()
    x, y = inputs(1)[0]
    calls: list[Callable[[], Any]] = [
        lambda: model(x, threads=threads),
        lambda: model.trajectory(x, threads=threads),
        lambda: model.value_and_grad(x, y, threads=threads),
        lambda: model.vjp(x, y, threads=threads),
        lambda: rx.fit(model, x, y, steps=1, threads=threads),
        lambda: rx.plan(model, batch=3, memory=None, threads=threads),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=rf"threads.*{threads}"):
            call()


@pytest.mark.parametrize("threads", ["2", 1.5])
def test_thread_counts_are_integers(threads: Any) -> None:
    with pytest.raises(TypeError, match="threads"):
        make_model()(inputs(1)[0][0], threads=threads)


def test_more_threads_than_work() -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((3,))), depth=2, seed=1)
    x = np.ones((1, 3))
    np.testing.assert_array_equal(model(x, threads=64), model(x, threads=1))


@pytest.mark.parametrize("limit", ["1", "2"])
def test_the_environment_limits_the_default(limit: str) -> None:
    """OMP_NUM_THREADS changes no bit either."""
    script = """
        import hashlib

        import numpy as np

        import relaxon as rx

        model = rx.Relaxation(rx.ADR(rx.Grid((200,)), space="local"), depth=30, seed=1)
        x = np.random.default_rng(0).standard_normal((16, 200))
        _, grads = model.value_and_grad(x, np.zeros_like(x))
        print(hashlib.sha256(b"".join(grad.tobytes() for grad in grads.values())).hexdigest())
        """
    one = run_python(script, OMP_NUM_THREADS="1")
    assert run_python(script, OMP_NUM_THREADS=limit) == one


@pytest.mark.parametrize("text", ["1", " 1 ", "+1", "01", "1,8", "1 , 2,\t3", str(2**63 - 1)])
def test_thread_lists_are_read_as_openmp_reads_them(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    most = default_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert default_threads() == min(int(text.split(",")[0]), most)


# What GCC 12's OpenMP calls an invalid value.
NO_LISTS = ["\u00b2", "\u0661", "0", "-1", "1.0", "0x1", "1 2", "1,", ",1", "1,,2", "1,0", "1,x"]
NO_LISTS += ["", "  ", "two", str(2**63), "1" * 5000, "\x1b[31m"]


@pytest.mark.parametrize("text", NO_LISTS, ids=ascii)
def test_other_thread_lists_are_ignored_with_one_warning(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    most = default_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    _read_thread_list.cache_clear()
    with pytest.warns(UserWarning, match=r"^OMP_NUM_THREADS is ignored: .{1,400}$"):
        assert default_threads() == most
    assert default_threads() == most
    assert rx.show_config("dicts")["threads"].startswith(f"{most} ")


@pytest.mark.parametrize("threads", ["1", "2"])
def test_python_ends_beside_a_sweep(threads: str) -> None:
    """Threads that are still at it neither hold the process up nor end it."""
    script = f"""
        import threading

        import numpy as np

        import relaxon as rx

        model = rx.Relaxation(rx.ADR(rx.Grid((64,)), space="local"), depth=5000, seed=1)
        x = np.random.default_rng(0).standard_normal((64, 64))
        is_at_it = threading.Barrier(3)

        def keep_sweeping():
            is_at_it.wait()
            while True:
                model(x, threads={threads})

        for _ in range(2):
            threading.Thread(target=keep_sweeping, daemon=True).start()
        is_at_it.wait()
        print("done")
        """
    assert run_python(script).strip() == "done"


def test_the_default_is_no_more_than_the_work_keeps_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    most = default_threads()
    small = rx.Relaxation(rx.ADR(rx.Grid((16,))), depth=4)
    assert small._n_threads(None, batch=16) == 1
    assert small._n_threads(None, batch=10_000) == most
    assert small._n_threads(5, batch=1) == 5
    dense = rx.Relaxation(rx.Dense(rx.Grid((512,))), depth=4)
    assert dense._n_threads(None, batch=1) == most
    wide = rx.Relaxation(rx.ADR(rx.Grid((16,))), depth=4, lift=rx.Lift(20_000))
    assert wide._n_threads(None, batch=1) == most
