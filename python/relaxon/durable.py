"""Durable output: files that stand in full or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

__all__ = ["write_atomic"]


def write_atomic(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that, whatever happens, the old or the new content stands there in full.

    Parameters
    ----------
    path : path-like
        The file to create or replace.
    content : bytes
        All of its content.

    Raises
    ------
    OSError
        If the folder cannot be written to or is full; no trace is left then.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    # Not tempfile: its files are private to the owner, this one shall follow the umask.
    file = open(part, "xb")  # noqa: SIM115 - only a file made here may be unlinked
    try:
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if os.name == "nt":  # where folders cannot be opened
        return
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
