"""A report as one unit: prepared aside, published at once, compared where it is read.

    OUT/unfinished/report/   all its files, summary.json with the hashes of the others as the last
    OUT/                     where they are then renamed to, again summary.json as the last

A process that is killed in between leaves the old report, the new one, or files that the summary
beside them does not list. These are refused by name, and :func:`publish` goes on with the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..base.durable import move, remove, remove_parts, sync_folder, write_atomic

__all__ = [
    "FIGURES",
    "FILES",
    "MODEL",
    "SUMMARY",
    "UNFINISHED",
    "MixedReportError",
    "check_report",
    "discard_prepared",
    "is_prepared",
    "prepare",
    "prepared_folder",
    "publish",
    "read_summary",
    "start_preparing",
    "what_is_mixed",
]

MODEL, SUMMARY, UNFINISHED = "model.safetensors", "summary.json", "unfinished"
FIGURE_NAMES = ("loss", "depth", "prediction", "coefficients", "stability", "depths")
FIGURES = tuple(f"{name}.png" for name in FIGURE_NAMES)
# In the order in which they are listed.
FILES = (MODEL, SUMMARY, "history.csv", *FIGURES, "report.html")
BLOCK_BYTES = 2**20


class MixedReportError(ValueError):
    """The files of a report folder do not belong together."""


def prepared_folder(out: Path) -> Path:
    """Where the report of a folder is prepared."""
    return out / UNFINISHED / "report"


def prepare(out: Path, summary: Mapping[str, Any]) -> None:
    """Make the report that stands in its folder aside complete.

    Parameters
    ----------
    out : Path
        The report folder. All files but the summary stand in :func:`prepared_folder`, on the disk.
    summary : mapping
        What ``summary.json`` shall hold beside their hashes.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    folder = prepared_folder(out)
    files = {name: _hash(folder / name) for name in FILES if (folder / name).exists()}
    text = json.dumps({**summary, "files": files}, indent=2, allow_nan=False) + "\n"
    write_atomic(folder / SUMMARY, text.encode())
    sync_folder(folder.parent)


def is_prepared(out: Path) -> bool:
    """Whether a report is complete and not yet published, or published in part."""
    folder = prepared_folder(out)
    files = _files_of(read_summary(folder))
    return files is not None and all(
        any(_hash(place / name) == expected for place in (folder, out))
        for name, expected in files.items()
    )


def publish(out: Path) -> list[str]:
    """Rename the files of a prepared report into their folder; begun, it is gone on with.

    Parameters
    ----------
    out : Path
        The report folder; files of an earlier report that this one lacks go.

    Returns
    -------
    list of str
        The names of the files.

    Raises
    ------
    OSError
        If that is refused; what remains to be done can be done later.
    """
    folder = prepared_folder(out)
    files = _files_of(read_summary(folder)) or {}
    for name in files:
        # Those that are missing have been renamed before.
        with contextlib.suppress(FileNotFoundError):
            move(folder / name, out / name)
    for name in FIGURES:
        if name not in files:
            # Left by an earlier run, it would seem to belong to this one.
            remove(out / name)
    move(folder / SUMMARY, out / SUMMARY)
    sync_folder(out)
    with contextlib.suppress(OSError):
        os.rmdir(folder)
    return [name for name in FILES if name in files or name == SUMMARY]


def start_preparing(out: Path) -> Path:
    """The folder for a new report, empty."""
    discard_prepared(out)
    folder = prepared_folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def discard_prepared(out: Path) -> None:
    """Remove what has been prepared."""
    folder = prepared_folder(out)
    if not folder.exists():
        return
    # Without it the others are not taken for a report.
    for name in (SUMMARY, *FILES):
        remove(folder / name)
    remove_parts(folder, *FILES)
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def read_summary(folder: Path) -> dict[str, Any] | None:
    """What stands in the ``summary.json`` of a folder; None where nothing can be read."""
    try:
        found = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def what_is_mixed(folder: Path) -> str:
    """The first file of a report that is missing or another one; "" where there is none."""
    for name, expected in (_files_of(read_summary(folder)) or {}).items():
        found = _hash(folder / name)
        if found is None:
            return f"{name} is missing"
        if found != expected:
            return f"{name} is not the file that {SUMMARY} lists"
    return ""


def check_report(path: Path) -> None:
    """Refuse a file out of a report whose files do not belong together.

    Parameters
    ----------
    path : Path
        Any file; one that no report lists passes.

    Raises
    ------
    MixedReportError
        If a file of the report is missing or another one, or its publication was cut off.
    """
    folder = path.parent
    files = _files_of(read_summary(folder))
    if files is None:
        # Published for the first time, and cut off.
        coming = _files_of(read_summary(prepared_folder(folder))) or {}
        problem = f"{SUMMARY} is missing" if path.name in coming else ""
    else:
        problem = what_is_mixed(folder) if path.name in files else ""
    if problem:
        is_cut_off = prepared_folder(folder).exists()
        fix = (
            "its run is not done, or was killed, and --resume finishes it"
            if is_cut_off
            else "run the fit again, or copy the file elsewhere to read it alone"
        )
        raise MixedReportError(f"{folder} is no whole report: {problem}; {fix}")


def _files_of(summary: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Hashes of the files of a report; None where a summary, as of old, lists none."""
    files = None if summary is None else summary.get("files")
    if not isinstance(files, dict):
        return None
    return {name: str(expected) for name, expected in files.items() if name in FILES}


def _hash(path: Path) -> str | None:
    """SHA-256 of a file; None where there is none."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return digest.hexdigest()
