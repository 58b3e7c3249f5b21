"""Checkpoints: the state of a fit in one file, from which it goes on bit by bit.

The file is that of the best model so far, with all that going on takes among its `extra` values.
A fit may consist of several descents, one after the other (`inputs`). Each is known by digests of
all that its numbers depend on, so that a file is never taken for that of another fit.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .. import _core
from ..base import durable
from ..base.validate import check_integer, check_number, refuse
from ..model import container
from ..model.loading import read
from ..model.saving import save
from .journal import Journal

if TYPE_CHECKING:
    from .descent import Descent

__all__ = ["Checkpoint", "check_interval", "open_checkpoint"]

DIGEST_BYTES = 32

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def check_interval(value: object) -> float:
    """Seconds of a stretch of time: a number of them, or a text such as "10 min"."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]+)\s*", value)
        if not match or match[2] not in _SECONDS:
            refuse(
                "checkpoint_every",
                "seconds, or a text such as '10 min'",
                repr(value),
                fix=f"known units are {', '.join(_SECONDS)}",
            )
        return float(match[1]) * _SECONDS[match[2]]
    return check_number("checkpoint_every", value, 0.0)


@contextlib.contextmanager
def open_checkpoint(path: Any, every: Any) -> Iterator[Checkpoint | None]:
    """The checkpoint of a fit, held against other writers.

    Parameters
    ----------
    path : path-like or None
        Its file.
    every : float or str
        Time between two writes.

    Yields
    ------
    Checkpoint or None
        None without a path.

    Raises
    ------
    TypeError, ValueError
        If an argument makes no sense.
    FileFormatError
        If the file is damaged or no checkpoint.
    OSError
        If its folder cannot be written to, or another fit writes to it.
    """
    seconds = check_interval(every)
    if path is None:
        yield None
        return
    try:
        target = Path(path)
    except TypeError:
        refuse("checkpoint", "a path or None", repr(path), TypeError)
    if target.is_dir() or not target.name:
        refuse("checkpoint", "a file", f"the folder {target}", fix="name a file in it")
    with durable.lock(target):
        checkpoint = Checkpoint(target, seconds)
        try:
            yield checkpoint
        finally:
            checkpoint.close()


class Checkpoint:
    """The file of a fit.

    Parameters
    ----------
    path : Path
        The file, read if it exists. The journal of L-BFGS stands beside it, as ``NAME.journal``.
    every : float
        Seconds between two writes.

    Attributes
    ----------
    seconds : float
        That the fit had taken when the file was written.
    """

    def __init__(self, path: Path, every: float) -> None:
        self._path = path
        self._every = every
        self._journal: Journal | None = None
        self._descents: list[dict[str, Any]] = []
        self._arrays: list[dict[str, NDArray[Any]]] = []
        self._known: list[tuple[dict[str, Any], int]] = []
        self._known_arrays: dict[str, NDArray[Any]] = {}
        self._environment = _environment()
        self._began = time.perf_counter()
        self._written_at = self._began
        self._has_failed = False
        self.seconds = 0.0
        if path.exists():
            self._read()

    def _read(self) -> None:
        where, extra = os.fspath(self._path), read(self._path).extra
        if "checkpoint" not in extra:
            refuse("checkpoint", "the file of a fit, or none", f"a model file, {where}")
        try:
            entry = extra["checkpoint"]
            environment = dict(entry["environment"])
            self.seconds = check_number("seconds", entry["seconds"], 0.0)
            self._known = [
                (dict(one["digests"]), check_integer("n_steps", one["n_steps"], 0))
                for one in entry["descents"]
            ]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            container.refuse(where, f"its checkpoint makes no sense ({error})")
        self._known_arrays = {k: v for k, v in extra.items() if k != "checkpoint"}
        for name, value in self._environment.items():
            if environment.get(name) != value:
                refuse(
                    "checkpoint",
                    f"the file of a fit with the same {name}, {value}",
                    f"{self._path} of one with {environment.get(name)}",
                    fix="bits would differ; continue it there, or give another path",
                )

    def begin(self, descent: Descent, best: str, uses_journal: bool) -> None:
        """A descent begins: take up its state, if the file has it.

        Parameters
        ----------
        descent : Descent
            At its start.
        best : {"parameters", "best"}
            Which of its parameters are to be read from the file; those before a step that diverged
            in any case.
        uses_journal : bool
            Whether its state is a journal.

        Raises
        ------
        ValueError
            If the file is that of another fit.
        FileFormatError
            If the state in it makes no sense.
        """
        digests = descent.digests()
        k = len(self._descents)
        is_known = k < len(self._known)
        known, n_steps = self._known[k] if is_known else ({}, 0)
        if is_known:
            self._compare(digests, known)
        self._descents.append({"digests": digests, "n_steps": n_steps})
        self._arrays.append({})
        if uses_journal:
            self._begin_journal(descent, digests, n_steps)
        elif is_known:
            self._resume(descent, f"descent {k}.")
        self._descent, self._best = descent, best
        self._uses_journal = uses_journal
        if not is_known:
            self._write("running")

    def _compare(self, digests: dict[str, str], known: dict[str, Any]) -> None:
        differing = [name for name in digests if known.get(name) != digests[name]]
        if differing:
            refuse(
                "checkpoint",
                f"the file of this fit, or none, at {self._path}",
                f"that of one with other values of {', '.join(differing)}",
                fix="give the same arguments to continue it, or another path",
            )

    def _resume(self, descent: Descent, prefix: str) -> None:
        names = [name for name in self._known_arrays if name.startswith(prefix)]
        state = {name.removeprefix(prefix): self._known_arrays.pop(name) for name in names}
        try:
            descent.resume(state)
            # Present parameters may have run away, these not.
            for which in ("previous", "best"):
                descent.model(which)
        except (KeyError, TypeError, ValueError) as error:
            container.refuse(os.fspath(self._path), f"its state is none of this fit ({error})")
        self._arrays[-1] = state

    def _begin_journal(self, descent: Descent, digests: dict[str, str], n_steps: int) -> None:
        path = self._path.with_name(f"{self._path.name}.journal")
        if self._journal is None:
            if n_steps and not path.exists():
                warnings.warn(
                    f"{path} is missing: the fit begins anew, though {self._path} tells of "
                    f"{n_steps} steps",
                    UserWarning,
                    stacklevel=2,
                )
            self._journal = Journal(path)
        digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        for name, value in {**self._environment, **digests}.items():
            digest.update(f"{name}={value}\n".encode())
        item_bytes = descent.start.dtype.itemsize
        if not self._journal.begin(digest.digest(), item_bytes, len(descent.trained)):
            refuse(
                "checkpoint",
                f"the journal of this fit, or none, at {path}",
                "that of another",
                fix="remove it, or give another path",
            )
        descent.journal = self._journal

    def tick(self) -> None:
        """Write the file if it is time to."""
        if time.perf_counter() - self._written_at >= self._every:
            self.save("running")

    def save(self, status: str) -> None:
        """Write the file.

        Parameters
        ----------
        status : str
            How the descent stands.

        Warns
        -----
        UserWarning
            If it cannot be written: training goes on.
        """
        if len(self._descents) < len(self._known):
            # It knows more.
            return
        try:
            self._write(status)
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                reason = error.strerror or error
                warnings.warn(
                    f"cannot write the checkpoint {self._path}: {reason}; training goes on",
                    UserWarning,
                    stacklevel=2,
                )
            self._has_failed = True
            self._written_at = time.perf_counter()

    def _write(self, status: str) -> None:
        descent = self._descent
        if self._journal is not None:
            self._journal.sync()
        self._descents[-1]["n_steps"] = descent.step
        self._arrays[-1] = {} if self._uses_journal else descent.state()
        arrays = {
            f"descent {k}.{name}": array
            for k, state in enumerate(self._arrays)
            for name, array in state.items()
        }
        entry = {
            "environment": self._environment,
            "seconds": self.seconds + time.perf_counter() - self._began,
            "status": status,
            "descents": self._descents,
        }
        which = "previous" if status == "diverged" else self._best
        save(descent.model(which), self._path, extra={"checkpoint": entry, **arrays})
        self._written_at = time.perf_counter()

    def close(self) -> None:
        """Put the journal away."""
        if self._journal is not None:
            self._journal.close()


def _environment() -> dict[str, str]:
    """What bits depend on beside a fit's arguments."""
    import importlib.metadata

    versions = {name: importlib.metadata.version(name) for name in ("relaxon", "numpy", "scipy")}
    return {"ISA level": _core.isa_level, **versions, "BLAS": _blas()}


def _blas() -> str:
    """Libraries of linear algebra and their threads, as far as that can be told."""
    import scipy.linalg  # noqa: F401 - loads its own

    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
        settings = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
        return " ".join(settings) or f"{os.cpu_count()} processors"
    found = [entry for entry in threadpool_info() if entry["user_api"] == "blas"]
    # Others may have brought more.
    own = [e for e in found if "numpy" in e["filepath"] or "scipy" in e["filepath"]] or found
    texts = {
        f"{e['internal_api']} {e['version']} {e.get('architecture', '')} {e['num_threads']} threads"
        for e in own
    }
    return ", ".join(sorted(texts))
