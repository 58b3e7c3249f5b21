"""What a run that is not finished keeps in its folder: ``OUT/unfinished``.

    run.json            options, data and version of the run, and whether it has diverged
    NAME.checkpoint     the state of each fit, as `relaxon.fit` writes it
    report/             the report, until it is published
    .run.json.lock      held by the run while it lives

The folder goes when the report of a finished run is published.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..base.durable import lock, remove, remove_parts, sync_folder, write_atomic
from .publication import (
    FILES,
    UNFINISHED,
    discard_prepared,
    is_prepared,
    prepared_folder,
    publish,
    read_summary,
    what_is_mixed,
)
from .record import difference

__all__ = ["FolderError", "Run", "check_unfinished", "extra_beside", "open_run"]

RUN = "run.json"
_CHECKPOINT = r"[a-z]+(-\d+)?\.checkpoint"
# What killed processes leave beside them: locks, and parts of files.
_LEFT = r"\..+\.lock|\..+\.[0-9a-f]{8}\.part"
_OWN = re.compile(rf"run\.json|{_CHECKPOINT}(\.journal)?|{_LEFT}")
_OWN_REPORT = re.compile(rf"{'|'.join(map(re.escape, FILES))}|{_LEFT}")


class FolderError(Exception):
    """A folder cannot be used as it is asked for; the message says why, and what to do."""


@dataclasses.dataclass
class Run:
    """A run that holds its folder.

    Attributes
    ----------
    out : Path
        The report folder.
    record : dict
        What ``run.json`` holds.
    is_finished : bool
        Whether there is nothing left to do.
    published : list of str
        Files of a report that the run before had completed, published now.
    """

    out: Path
    record: dict[str, Any]
    is_finished: bool = False
    published: list[str] = dataclasses.field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Where its state stands."""
        return self.out / UNFINISHED

    @property
    def has_checkpoint(self) -> bool:
        """Whether training has begun."""
        return _has_checkpoint(self.folder)

    def diverge(self, message: str) -> None:
        """Write down that the fit has ended without a result."""
        _write_record(self.folder, {**self.record, "diverged": message})

    def discard(self) -> None:
        """Remove its state: the report is published, or there will be none."""
        _discard(self.out)


def extra_beside(checkpoint: Path) -> dict[str, Any]:
    """What `extra_of` its experiment gave, for a checkpoint in a folder; nothing elsewhere.

    Parameters
    ----------
    checkpoint : Path
        Any file.

    Returns
    -------
    dict
        From the run that it lies beside.
    """
    folder = checkpoint.parent
    record = _read_record(folder.parent) if folder.name == UNFINISHED else None
    extra = (record or {}).get("extra")
    return extra if isinstance(extra, dict) else {}


def check_unfinished(out: Path, resume: bool, restart: bool) -> None:
    """Refuse a folder with an unfinished fit; before data are read, which may take long.

    Parameters
    ----------
    out : Path
        The report folder.
    resume, restart : bool
        Whether it is asked to continue or to discard such a fit.

    Raises
    ------
    FolderError
        If neither is asked for and there is one, or what stands there is not relaxon's.
    Locked
        If another run writes to the folder.
    """
    folder = out / UNFINISHED
    _check_own(folder)
    if not folder.exists():
        return
    # Another run that lives is no unfinished one; it may end at any moment.
    with contextlib.suppress(FileNotFoundError), lock(folder / RUN):
        _refuse_unfinished(out, resume, restart)


@contextlib.contextmanager
def open_run(out: Path, run: Mapping[str, Any], resume: bool, restart: bool) -> Iterator[Run]:
    """Hold a report folder, and find out what is left to do in it.

    Parameters
    ----------
    out : Path
        An existing folder.
    run : mapping
        From :func:`relaxon.report.record.describe_run`.
    resume, restart : bool
        Whether to continue or to discard what is unfinished.

    Yields
    ------
    Run
        Until its block ends no other run may write to the folder.

    Raises
    ------
    FolderError
        If the folder holds something unfinished and neither is asked for, or what it holds is not
        of this run.
    Locked
        If another run writes to it.
    OSError
        If it cannot be written to.
    """
    folder = out / UNFINISHED
    _check_own(folder)
    with _hold(folder):
        _refuse_unfinished(out, resume, restart)
        remove_parts(out, *FILES)
        record = _read_record(out)
        if record is not None:
            # Of a damaged file nothing is known; fits compare for themselves.
            differing = difference(record, run) if record else ""
            if _is_worth_keeping(out, record) and not restart:
                if differing:
                    raise FolderError(
                        f"{out} holds an unfinished fit {differing}: --resume continues it with "
                        f"the same options and data, --restart discards it"
                    )
            elif restart or differing or not resume or _is_published(out, record):
                record = None
        found = Run(out, record or {"id": secrets.token_hex(8), **run})
        if record is None:
            _discard(out)
            if resume and _has_finished_report(out, run):
                found.is_finished = True
        elif is_prepared(out):
            found.published = publish(out)
            found.is_finished = _is_published(out, record)
            if found.is_finished:
                _discard(out)
        if found.is_finished:
            yield found
            return
        discard_prepared(out)
        _write_record(folder, found.record)
        sync_folder(out)
        try:
            yield found
        finally:
            if not _has_checkpoint(folder):
                _discard(out)


@contextlib.contextmanager
def _hold(folder: Path) -> Iterator[None]:
    """The lock of a folder that is made for it, and goes with it where nothing else is left."""
    try:
        with contextlib.ExitStack() as stack:
            while True:
                folder.mkdir(exist_ok=True)
                # Whoever held it may just have removed it.
                with contextlib.suppress(FileNotFoundError):
                    stack.enter_context(lock(folder / RUN))
                    break
            yield
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _refuse_unfinished(out: Path, resume: bool, restart: bool) -> None:
    record = _read_record(out)
    if not (resume or restart) and record is not None and _is_worth_keeping(out, record):
        raise FolderError(
            f"{out} holds an unfinished fit: the same command with --resume continues it, with "
            f"--restart discards it"
        )


def _check_own(folder: Path) -> None:
    """That nothing but what a run writes stands in the folder."""
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise FolderError(f"{folder} is no folder, but the state of the fit is to stand there")
    prepared = prepared_folder(folder.parent)
    foreign = _list_foreign(folder, _OWN, prepared.name) + _list_foreign(prepared, _OWN_REPORT)
    if foreign:
        names = ", ".join(sorted(foreign)[:3]) + (", ..." if len(foreign) > 3 else "")
        raise FolderError(f"{folder} holds what no fit has written: {names}; move it elsewhere")


def _list_foreign(folder: Path, own: re.Pattern[str], inner: str = "") -> list[str]:
    """Names in a folder that are not a run's own, or no files; a run may be at work there."""
    foreign = []
    with contextlib.suppress(FileNotFoundError):
        for path in list(folder.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                mode = path.lstat().st_mode
                is_own = stat.S_ISREG(mode) and own.fullmatch(path.name)
                if not is_own and not (stat.S_ISDIR(mode) and path.name == inner):
                    foreign.append(path.name)
    return foreign


def _discard(out: Path) -> None:
    """Remove the state of a run; ``run.json`` last, so that it can be gone on with."""
    folder = out / UNFINISHED
    discard_prepared(out)
    held = (RUN, f".{RUN}.lock")
    names = [path.name for path in folder.iterdir() if path.name not in held]
    for name in [*filter(_OWN.fullmatch, names), RUN]:
        remove(folder / name)


def _has_checkpoint(folder: Path) -> bool:
    return any(folder.glob("*.checkpoint"))


def _is_worth_keeping(out: Path, record: Mapping[str, Any]) -> bool:
    """Whether a run has left anything that would be lost with it."""
    if "diverged" in record or _is_published(out, record):
        return False
    return _has_checkpoint(out / UNFINISHED) or is_prepared(out)


def _is_published(out: Path, record: Mapping[str, Any]) -> bool:
    """Whether the report of a run is finished and stands in its folder."""
    published = _published_run(out)
    return (
        published is not None
        and "id" in record
        and published.get("id") == record["id"]
        and bool(published.get("is_finished"))
    )


def _has_finished_report(out: Path, run: Mapping[str, Any]) -> bool:
    """Whether the report of this very run stands in the folder, finished and whole."""
    if read_summary(out) is None:
        return False
    published = _published_run(out)
    if published is None:
        raise FolderError(
            f"{out} holds a report that does not tell of which run it is: without --resume it is "
            f"replaced"
        )
    differing = difference(published, run)
    if differing:
        raise FolderError(
            f"{out} holds the report of a fit {differing}: without --resume it is replaced"
        )
    return bool(published.get("is_finished")) and not what_is_mixed(out)


def _published_run(out: Path) -> dict[str, Any] | None:
    published = (read_summary(out) or {}).get("run")
    return published if isinstance(published, dict) else None


def _read_record(out: Path) -> dict[str, Any] | None:
    """What ``run.json`` holds; of a damaged one that nothing is known."""
    try:
        found = json.loads((out / UNFINISHED / RUN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        found = {}
    return found if isinstance(found, dict) else {}


def _write_record(folder: Path, record: Mapping[str, Any]) -> None:
    write_atomic(folder / RUN, (json.dumps(record, indent=2) + "\n").encode())
