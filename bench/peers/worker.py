"""One side in a process of its own.

Each side lives in its own process for the whole comparison of a task, because each brings its own
thread pool and allocator, JAX's precision is a setting of the process, and memory can be told apart
only between processes. Between turns it blocks on its pipe; pools that still spin after a call
(OpenMP run times do so for some milliseconds, which makes their own next call faster) are given
time to fall asleep by the parent before the next side's turn.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from bench.measure import Array, peak_bytes, reset_peak, seconds_per_call
from bench.peers.tasks import TASKS, make_inputs

SLEEP_SECONDS = 0.05
TURN_SECONDS = 0.2


@dataclass(frozen=True)
class Side:
    """A package, the module that runs tasks with it, and the options of its `build`."""

    package: str
    module: str
    options: Mapping[str, Any] = field(default_factory=dict)


SIDES: Mapping[str, Side] = {
    "relaxon": Side("relaxon", "bench.peers.relaxon_task"),
    "JAX": Side("jax", "bench.peers.jax_task", {"checkpoint": False}),
    "JAX, checkpoint": Side("jax", "bench.peers.jax_task", {"checkpoint": True}),
    "PyTorch": Side("torch", "bench.peers.torch_task"),
}


@dataclass(frozen=True)
class Evaluation:
    """What a side computed, and a digest of the arrays it started from."""

    loss: float
    grads: dict[str, Array]
    inputs_digest: str


class Worker:
    """The parent's end of one side's process."""

    def __init__(self, side: str, task: str, dtype: str, threads: int) -> None:
        # Read by the OpenMP run times and BLAS libraries when they are loaded, so it has to stand
        # in the environment that the process inherits.
        os.environ["OMP_NUM_THREADS"] = str(threads)
        context = multiprocessing.get_context("spawn")
        self._pipe, other_end = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(other_end, side, task, dtype, threads), daemon=True
        )
        self._process.start()
        other_end.close()
        self._receive()
        self._baseline_bytes = reset_peak(self._pid)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(timeout=10)
        self._process.kill()

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def evaluate(self) -> Evaluation:
        """Compute once (compiling, where the side compiles) and return the result."""
        result = self._ask("evaluate")
        assert isinstance(result, Evaluation)
        return result

    def turn(self) -> float:
        """Seconds per evaluation, or per step of descent, over one turn."""
        time.sleep(SLEEP_SECONDS)
        return float(self._ask("turn"))

    def peak_over_inputs(self) -> int:
        """Peak bytes of one warm evaluation above the process as it was with inputs only."""
        reset_peak(self._pid)
        self._ask("call")
        return peak_bytes(self._pid) - self._baseline_bytes

    def _ask(self, command: str) -> Any:
        self._pipe.send(command)
        return self._receive()

    def _receive(self) -> Any:
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


def _serve(pipe: Connection, side_name: str, task_name: str, dtype: str, threads: int) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    try:
        side, task = SIDES[side_name], TASKS[task_name]
        inputs = make_inputs(task, dtype)
        build = importlib.import_module(side.module).build
        call = build(task, inputs, threads, **side.options)
        pipe.send("ready")
        while True:
            command = pipe.recv()
            if command == "evaluate":
                loss, grads = call()
                pipe.send(Evaluation(loss, grads, inputs.digest()))
            elif command == "turn":
                pipe.send(seconds_per_call(call, TURN_SECONDS) / (task.n_steps or 1))
            else:
                call()
                pipe.send("done")
    except EOFError:
        return
    except Exception as error:
        pipe.send(error)
