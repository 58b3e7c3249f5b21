"""Processes that die in the middle of what they write, at a chosen call of the operating system."""

from __future__ import annotations

import contextlib
import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

# Reading and closing leave nothing behind.
CALLS = ("open", "write", "fsync", "replace", "unlink", "mkdir", "rmdir")
DEAD = 99


Act = Callable[[int, Callable[[], Any], str, tuple[Any, ...]], Any]


@contextlib.contextmanager
def counted(act: Act) -> Iterator[None]:
    """All calls go through `act(number, call, name, arguments)`, counted from 1."""
    numbers = itertools.count(1)
    real = {name: getattr(os, name) for name in CALLS}

    def wrap(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if name == "open" and not arguments[1] & os.O_CREAT:
                return real[name](*arguments, **options)
            return act(next(numbers), lambda: real[name](*arguments, **options), name, arguments)

        return call

    for name in CALLS:
        setattr(os, name, wrap(name))
    try:
        yield
    finally:
        for name in CALLS:
            setattr(os, name, real[name])


def list_calls(job: Callable[[], object]) -> list[str]:
    """The calls of a job, by name."""
    names = []

    def note(number: int, call: Callable[[], Any], name: str, arguments: tuple[Any, ...]) -> Any:
        names.append(name)
        return call()

    with counted(note):
        job()
    return names


def run_and_die(job: Callable[[], int], number: int) -> int:
    """Exit code of a forked child that runs a job and dies at a call; of a write half is done."""

    def die(n: int, call: Callable[[], Any], name: str, arguments: tuple[Any, ...]) -> Any:
        if n < number:
            return call()
        if name == "write":
            # The real one is behind the wrapper that is being called.
            with open(arguments[0], "wb", closefd=False, buffering=0) as file:
                file.write(bytes(arguments[1])[: len(arguments[1]) // 2])
        os._exit(DEAD)

    def doomed() -> int:
        with counted(die):
            return job()

    return in_child(doomed)


def in_child(job: Callable[[], int]) -> int:
    """Exit code of a forked child that runs a job."""
    with warnings.catch_warnings():
        # That other threads do not live on in the child is known.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = job()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
