"""Durable output: files that stand in full or not at all, and one writer at a time.

A file is written under a name of its own beside its target, brought to the disk and renamed. What a
process that died in between has left is known by its lock, which died with it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

__all__ = [
    "Locked",
    "check_room",
    "lock",
    "move",
    "remove",
    "remove_parts",
    "sync_folder",
    "write_atomic",
    "write_new",
    "write_together",
]

# Systems whose files can be renamed and removed while they are open.
IS_POSIX = os.name != "nt"
# What file systems without locks answer.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
_PROBE = "room"
_BLOCK_BYTES = 2**20

# Of this process. A fork hands them to its child, where they would outlive the process.
_descriptors: set[int] = set()


class Locked(BlockingIOError):
    """Another run writes to a file or folder.

    Attributes
    ----------
    pid : int or None
        Its process, where that is known.
    """

    def __init__(self, path: str | os.PathLike[str], pid: int | None = None) -> None:
        who = "another run" if pid is None else f"another run (process {pid})"
        super().__init__(errno.EWOULDBLOCK, f"{who} writes to it at the moment", os.fspath(path))
        self.pid = pid


@contextlib.contextmanager
def lock(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other writers away from a file or folder.

    Parameters
    ----------
    path : path-like
        An existing folder, or a file, which need not exist, in one.

    Yields
    ------
    None
        Until the block or the process ends, however it ends. A forked child holds no lock.

    Raises
    ------
    Locked
        If another writer holds it, in this process or elsewhere.
    OSError
        If there is no such folder, or it cannot be written to.

    Warns
    -----
    UserWarning
        If the file system has no locks: then there is none.

    Notes
    -----
    The lock is that of the operating system on a file ``.lock`` in the folder, ``.NAME.lock``
    beside a file, which goes when the block ends. One that a killed process has left holds nobody.
    """
    target = Path(path)
    place = target / ".lock" if target.is_dir() else target.with_name(f".{target.name}.lock")
    owner, descriptor = os.getpid(), _acquire(place, target)
    _descriptors.add(descriptor)
    try:
        yield
    finally:
        if os.getpid() == owner:
            _descriptors.discard(descriptor)
            try:
                if IS_POSIX:
                    # Before it is released: later it may be another's.
                    remove(place)
            finally:
                os.close(descriptor)
            if not IS_POSIX:
                # Refused where another has it open.
                with contextlib.suppress(OSError):
                    remove(place)


def _acquire(place: Path, target: Path) -> int:
    """A descriptor that holds the lock."""
    while True:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | _flag("O_NOFOLLOW"), 0o666)
        try:
            try:
                is_held = _try_lock(descriptor)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                is_held = True
                _warn(os.fspath(target.parent))
            if not is_held:
                raise Locked(target, _read_pid(descriptor))
            # Its last owner may have removed it between the two calls.
            if os.fstat(descriptor).st_nlink:
                # Windows keeps others from reading what is locked.
                os.ftruncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@functools.cache
def _warn(folder: str) -> None:
    """Once, however many files are locked in a folder."""
    text = f"{folder}: this file system has no locks; let no other run write there"
    warnings.warn(text, UserWarning, stacklevel=5)


def _try_lock(descriptor: int) -> bool:
    from filelock import lock_descriptor

    return bool(lock_descriptor(descriptor, blocking=False))


def _read_pid(descriptor: int) -> int | None:
    try:
        return int(os.read(descriptor, 32))
    except (OSError, ValueError):
        return None


def _forget_locks() -> None:
    for descriptor in _descriptors:
        os.close(descriptor)
    _descriptors.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


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
        If the folder cannot be written to or is full, or something that is no file stands there; no
        trace is left then. What killed processes have left of the same file goes.
    """
    target = Path(path)
    write_together(target.parent, {target.name: content})


def write_together(
    folder: str | os.PathLike[str], contents: Mapping[str, bytes], absent: Iterable[str] = ()
) -> None:
    """Write files that belong together: a new one never stands beside an old one.

    Parameters
    ----------
    folder : path-like
        Where they are to stand.
    contents : mapping of str to bytes
        All of the content of each, by name. A process that dies leaves the old ones, or the first
        of the new ones alone, or all, each in full.
    absent : iterable of str
        Others of the same kind, which are not to stand beside these.

    Raises
    ------
    OSError
        As :func:`write_atomic`; the old files stand as they were, unless one cannot be renamed.
    """
    place = Path(folder)
    targets = [place / name for name in contents]
    for target in targets:
        if target.exists() and not target.is_file():
            # Renaming would replace a device, too.
            raise OSError(errno.EEXIST, "something that is no file stands there", str(target))
    remove_parts(place, *contents)
    parts: list[Path] = []
    try:
        for target, content in zip(targets, contents.values(), strict=True):
            part, descriptor = _open_part(target)
            parts.append(part)
            try:
                _write(descriptor, content)
            finally:
                os.close(descriptor)
        for name in (*absent, *list(contents)[1:]):
            remove(place / name)
        for part, target in zip(parts, targets, strict=True):
            os.replace(part, target)
    except BaseException:
        for part in parts:
            remove(part)
        raise
    sync_folder(place)


def write_new(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file that does not exist; its folder is for the caller to bring to the disk.

    Parameters
    ----------
    path : path-like
        The file.
    content : bytes
        All of its content.

    Raises
    ------
    OSError
        If it exists or cannot be written; part of it may stand there then.
    """
    # Not tempfile: its files are private to the owner, these shall follow the umask.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _flag("O_BINARY"), 0o666)
    try:
        _write(descriptor, content)
    finally:
        os.close(descriptor)


def move(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Rename a file over another, at once; folders are for the caller to bring to the disk."""
    os.replace(source, target)


def remove(path: str | os.PathLike[str]) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def check_room(folder: str | os.PathLike[str], n_bytes: int) -> None:
    """Find out whether so much can be written, by writing it.

    Parameters
    ----------
    folder : path-like
        Where.
    n_bytes : int
        How much.

    Raises
    ------
    OSError
        If it cannot.
    """
    place = Path(folder)
    remove_parts(place, _PROBE)
    part, descriptor = _open_part(place / _PROBE)
    try:
        for begin in range(0, n_bytes, _BLOCK_BYTES):
            _write_all(descriptor, bytes(min(_BLOCK_BYTES, n_bytes - begin)))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
        remove(part)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Bring to the disk which files stand in a folder."""
    if not IS_POSIX:  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot; what has been renamed stands all the same.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def remove_parts(folder: str | os.PathLike[str], *names: str) -> None:
    """Remove what killed processes have left of files that they were writing.

    Parameters
    ----------
    folder : path-like
        Where these were to stand.
    *names : str
        Their names.

    Notes
    -----
    Nothing happens where locks do not tell the dead from the living: on file systems without them,
    and on Windows.
    """
    if not IS_POSIX:
        return
    form = re.compile(rf"\.({'|'.join(map(re.escape, names))})\.[0-9a-f]{{8}}\.part")
    with os.scandir(folder) as entries:
        parts = [entry.path for entry in entries if form.fullmatch(entry.name)]
    for part in parts:
        with contextlib.suppress(OSError):
            descriptor = os.open(part, os.O_RDWR | _flag("O_NOFOLLOW"))
            try:
                if _try_lock(descriptor):
                    os.unlink(part)
            finally:
                os.close(descriptor)


def _open_part(target: Path) -> tuple[Path, int]:
    """A new file beside another, and a descriptor whose lock says that its writer lives."""
    while True:
        part = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _flag("O_BINARY")
        descriptor = os.open(part, flags, 0o666)
        try:
            if not IS_POSIX:
                return part, descriptor
            try:
                is_held = _try_lock(descriptor)
            except OSError:
                # Without locks it is taken for dead by none.
                return part, descriptor
            # Another writer may have taken it for a dead one's before it was locked.
            if is_held and os.fstat(descriptor).st_nlink:
                return part, descriptor
        except BaseException:
            os.close(descriptor)
            remove(part)
            raise
        os.close(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    """All of it, to the disk."""
    _write_all(descriptor, content)
    os.fsync(descriptor)


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _flag(name: str) -> int:
    """One of those that not all systems have."""
    return int(getattr(os, name, 0))
