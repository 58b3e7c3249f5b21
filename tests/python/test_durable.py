"""Durable output: no name ever holds half a file, and one writer at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from relaxon.base import durable

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows locks and forks otherwise")


def run(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


HOLD = """
import sys
from relaxon.base import durable
with durable.lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["", "fit.checkpoint"])
def test_one_writer_at_a_time(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    with run(HOLD, target) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(durable.Locked) as raised, durable.lock(target):
            pass
        assert raised.value.filename == str(target)
        if os.name != "nt":
            assert raised.value.pid == other.pid
            assert f"process {other.pid}" in str(raised.value)
        other.communicate()
    with durable.lock(target), pytest.raises(durable.Locked), durable.lock(target):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    with run(HOLD, tmp_path) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.kill()
    with durable.lock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@posix_only
def test_a_forked_child_keeps_no_lock(tmp_path: Path) -> None:
    script = """
import os, sys, time
from relaxon.base import durable
with durable.lock(sys.argv[1]):
    read, write = os.pipe()
    begun, begin = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.write(begin, b"1")
        sys.stdout.close()
        os.read(read, 1)  # until the file is removed, long after the parent has gone
        while os.path.exists(sys.argv[2]):
            time.sleep(0.02)
        # Unwinding here must not touch the lock of another.
        raise SystemExit
    # What a child does first, it does when the system lets it.
    os.read(begun, 1)
    print("forked", flush=True)
    os.kill(os.getpid(), 9)
"""
    flag, folder = tmp_path / "flag", tmp_path / "folder"
    flag.touch()
    folder.mkdir()
    with run(script, folder, flag) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "forked\n"
        other.wait()
        with durable.lock(folder):
            flag.unlink()
            time.sleep(0.1)
            assert (folder / ".lock").exists()
    assert list(folder.iterdir()) == []


@posix_only
def test_many_that_wait_for_a_lock_exclude_each_other(tmp_path: Path) -> None:
    """The file goes with each release: who has opened it before must not take it for the lock."""
    script = """
import sys, os
from relaxon.base import durable
folder, n = sys.argv[1], 0
while n < 200:
    try:
        with durable.lock(folder):
            os.close(os.open(folder + "/alone", os.O_CREAT | os.O_EXCL))
            os.unlink(folder + "/alone")
            n += 1
    except durable.Locked:
        pass
"""
    others = [run(script, tmp_path) for _ in range(3)]
    for other in others:
        other.communicate()
    assert [other.returncode for other in others] == [0, 0, 0]
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def no_locks(descriptor: int) -> bool:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(durable, "_try_lock", no_locks)
    with pytest.warns(UserWarning, match="no locks") as caught, durable.lock(tmp_path):
        pass
    assert caught[0].filename == __file__
    with durable.lock(tmp_path):
        pass  # it has been said
    durable.write_atomic(tmp_path / "file", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@posix_only
def test_parts_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    script = """
import os, sys
from relaxon.base import durable
real = os.write
def write(descriptor, content):
    written = real(descriptor, content[:3])
    print("half", flush=True)
    sys.stdin.readline()
    return written
os.write = write
durable.write_atomic(sys.argv[1], b"content")
"""
    target = tmp_path / "file"
    foreign = [".file.12345678.part.txt", ".file.old.part", ".other.12345678.part"]
    for name in foreign:
        (tmp_path / name).write_bytes(b"not ours")
    with run(script, target) as living, run(script, target) as dying:
        for other in (living, dying):
            assert other.stdout is not None
            other.stdout.readline()
        dying.kill()
        dying.wait()
        durable.write_atomic(target, b"new")
        assert len(list(tmp_path.glob(".file.????????.part"))) == 1
        living.communicate("\n\n\n")
        assert living.returncode == 0
    assert target.read_bytes() == b"content"
    assert {path.name for path in tmp_path.iterdir()} == {"file", *foreign}


@posix_only
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match="no file"):
            durable.write_atomic(tmp_path / name, b"content")
    assert (tmp_path / "pipe").is_fifo()
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "folder"}


def test_new_files_replace_nothing(tmp_path: Path) -> None:
    durable.write_new(tmp_path / "file", b"content")
    with pytest.raises(FileExistsError):
        durable.write_new(tmp_path / "file", b"other")
    assert (tmp_path / "file").read_bytes() == b"content"


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def short(descriptor: int, content: Any) -> int:
        return write(descriptor, bytes(content)[:2])

    monkeypatch.setattr(os, "write", short)
    durable.write_atomic(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
