"""Archives that are damaged or lie: one line each, and no more memory than they hold."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import relaxon as rx
from printed import one_line
from relaxon import cli
from relaxon.datasets.archive import Archive
from relaxon.datasets.samples import read_samples

X = np.random.default_rng(0).standard_normal((12, 6))
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


def with_header(text: str, data: bytes = bytes(96), version: int = 1) -> bytes:
    padded = (text + "\n").encode("latin1")
    length = struct.pack("<H" if version == 1 else "<I", len(padded))
    return b"\x93NUMPY" + bytes([version, 0]) + length + padded + data


def of_shape(shape: str, dtype: str = "'<f8'") -> bytes:
    return with_header(f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}")


def archive(path: Path, content: bytes, compression: int = STORED, name: str = "x.npy") -> Path:
    """An archive with the same member as x and y."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "w", compression) as file:
            file.writestr(name, content)
            file.writestr("y.npy", content)
    return path


def change_fields(path: Path, local: int, central: int, form: str, *values: int) -> Path:
    """Other numbers in the headers of all members, by their offsets."""
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        at = content.find(mark)
        while at >= 0:
            struct.pack_into(form, content, at + offset, *values)
            at = content.find(mark, at + 4)
    path.write_bytes(content)
    return path


def replace(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


def break_middle(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    for i in range(60, 160):
        content[i] ^= 0x5A
    path.write_bytes(content)
    return path


def cut(path: Path, n_bytes: int) -> Path:
    path.write_bytes(path.read_bytes()[:n_bytes])
    return path


GOOD = npy(X)
BROKEN: dict[str, tuple[Callable[[Path], Path], str]] = {
    "cut member": (lambda p: archive(p, GOOD[:-40]), "at most 536 are there"),
    "cut header": (lambda p: archive(p, GOOD[:20]), "'x': EOF"),
    "text": (lambda p: archive(p, b"hello"), "'x': no array"),
    "pickle": (lambda p: archive(p, b"\x80\x04N."), "'x': no array"),
    "objects": (lambda p: archive(p, npy(np.array([None, {}], object))), "of Python objects"),
    "structured objects": (
        lambda p: archive(p, of_shape("(3, 4)", "[('a', '|O')]")),
        "of Python objects",
    ),
    "version": (lambda p: archive(p, b"\x93NUMPY\x09\x00" + GOOD[8:]), "version 9.0"),
    "names of fields": (lambda p: archive(p, with_header("{}", version=3)), "version 3.0"),
    "no dictionary": (lambda p: archive(p, with_header("[1]")), "not a dictionary"),
    "open bracket": (lambda p: archive(p, with_header("{'descr':")), "'x': "),
    "deep": (lambda p: archive(p, with_header("(" * 3000 + ")" * 3000)), "'x': "),
    "signs": (lambda p: archive(p, with_header("-" * 5000 + "1")), "'x': "),
    "long header": (lambda p: archive(p, with_header("{}" + " " * 10**5, version=2)), "'x': "),
    "huge": (lambda p: archive(p, of_shape(f"({10**30}, 2)")), "at most 96 are there"),
    "100 GB": (lambda p: archive(p, of_shape("(12500000000, 1)")), "at most 96 are there"),
    "100 GB, deflated": (
        lambda p: archive(p, of_shape("(12500000000, 1)"), DEFLATED),
        "at most 96 are there",
    ),
    "lying member": (
        lambda p: change_fields(
            archive(p, of_shape("(500000000, 1)"), DEFLATED), 22, 24, "<I", 2**32 - 16
        ),
        "of 4000000000 bytes by its header",
    ),
    "negative": (lambda p: archive(p, of_shape("(-3, -4)")), "shape (-3, -4)"),
    "truths": (lambda p: archive(p, of_shape("(True, 4)")), "shape (True, 4)"),
    "small": (lambda p: archive(p, of_shape("(2, 4)")), "more than its header tells of"),
    "axes": (lambda p: archive(p, of_shape(str((1,) * 100))), "'x': "),
    "nested": (lambda p: archive(p, of_shape("(1,)", "[('a','<f8',(9**9, 9))]")), "'x': "),
    "checksum": (lambda p: replace(archive(p, GOOD), GOOD[-8:], bytes(8)), "CRC"),
    "encrypted": (lambda p: change_fields(archive(p, GOOD), 6, 8, "<H", 1), "encrypted"),
    "patched": (lambda p: change_fields(archive(p, GOOD), 6, 8, "<H", 0x20), "flag bit 5"),
    "compression": (lambda p: change_fields(archive(p, GOOD), 8, 10, "<H", 97), "not supported"),
    "zip version": (lambda p: change_fields(archive(p, GOOD), 4, 6, "<H", 99), "version 9.9"),
    "deflate": (lambda p: break_middle(archive(p, GOOD, DEFLATED)), "'x': "),
    "bzip2": (lambda p: break_middle(archive(p, GOOD, zipfile.ZIP_BZIP2)), "'x': "),
    "lzma": (lambda p: break_middle(archive(p, GOOD, zipfile.ZIP_LZMA)), "'x': "),
    "no sizes": (lambda p: change_fields(archive(p, GOOD), 18, 20, "<II", 0, 0), "'x': "),
    "name": (lambda p: archive(p, GOOD, name="x\x1b[31m\n.npy"), r"got 'x\x1b[31m\n', 'y'"),
    "long name": (lambda p: archive(p, GOOD, name="x" * 60000), "xxx..."),
    "folder": (lambda p: archive(p, b"", name="x.npy/"), "got 'x.npy/', 'y'"),
    "cut archive": (lambda p: cut(archive(p, GOOD), 300), "not a zip file"),
    "complex": (lambda p: archive(p, npy(X + 1j)), "float64, got complex128"),
    "structured": (lambda p: archive(p, npy(np.zeros(3, [("a", "f8")]))), "float64, got [('a'"),
    "words": (lambda p: archive(p, npy(np.full((3, 4), "a"))), "float64, got <U1"),
    "big-endian": (lambda p: archive(p, npy(X.astype(">f8"))), "got >f8; save it as x.astype"),
    "a number": (lambda p: archive(p, npy(np.float64(3.0))), "shape (samples"),
    "no samples": (lambda p: archive(p, npy(X[:0])), "'x': "),
    "no cells": (lambda p: archive(p, npy(X[:, :0])), "'x': "),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    rx.Relaxation(rx.ADR(rx.Grid((6,))), depth=2).save(path)
    return path


@pytest.mark.parametrize("case", BROKEN)
def test_broken_archives_are_one_line(
    case: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = BROKEN[case]
    path = str(make(tmp_path / "a.npz"))
    for command in (
        ["fit", path, "--out", str(tmp_path / "out")],
        ["predict", str(model), path, "--out", str(tmp_path / "y.npz")],
    ):
        assert cli.main(command) == 2
        line = one_line(capsys.readouterr().err)
        assert words in line, line
        assert line.isprintable()
        assert len(line) < 2500
    # It lists what is there, and says what a fit would refuse.
    code = cli.main(["inspect", path])
    captured = capsys.readouterr()
    assert code == 2 or "refused" in captured.out
    assert all(line.isprintable() for line in (captured.out + captured.err).splitlines())
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("compression", [STORED, DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_sound_archives_are_read(compression: int, tmp_path: Path) -> None:
    found = Archive(archive(tmp_path / "a.npz", npy(np.asfortranarray(X)), compression))
    assert found.names == ("x", "y")
    assert np.array_equal(found.read("x"), X)
    assert found.describe("x") == "shape (12, 6), float64"


def test_what_nobody_asks_for_is_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=X, notes=np.array(["made by hand"]))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as file:
        file.writestr("more.npy", npy(np.array([None], object)))
        file.writestr("readme.txt", "hello")
    assert np.array_equal(read_samples(tmp_path / "a.npz").x, X)
    assert Archive(tmp_path / "a.npz").describe("readme.txt") == "no array"
