"""Paths that lead to no file or folder: one line each, before anything is read or trained."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import relaxon as rx
from printed import one_line
from relaxon import cli

LONG = "a" * 300
DEEP = "a/" * 2100
needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
needs_links = pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with pairs, a model of them and what is no file."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).standard_normal((12, 6))
    np.savez("x.npz", x=x, y=x)
    rx.Relaxation(rx.ADR(rx.Grid((6,))), depth=2).save("m.safetensors")
    for suffix in ("", ".npz", ".nc"):
        Path(f"folder{suffix}").mkdir()
        if hasattr(os, "mkfifo"):
            os.mkfifo(f"pipe{suffix}")
        if os.name != "nt":
            Path(f"loop{suffix}").symlink_to(f"loop{suffix}")
    return tmp_path


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    before = sorted(os.listdir("."))
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    line = one_line(captured.err)
    assert line.isprintable()
    assert len(line) < 2500
    assert sorted(os.listdir(".")) == before
    return line


IN_THE_WAY = [
    pytest.param("pipe", marks=needs_fifo),
    pytest.param("loop", marks=needs_links),
    LONG,
    DEEP,
    "a\0b",
    "",
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", [*IN_THE_WAY, "x.npz", os.devnull])
def test_reports_need_a_folder(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["fit", "x.npz"], ["explain", "m.safetensors"]):
        assert "argument '--out': expected a" in refused([*command, "--out", name], capsys)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "name",
    [
        *IN_THE_WAY,
        pytest.param("pipe.npz", marks=needs_fifo),
        pytest.param("loop.npz", marks=needs_links),
        "folder.npz",
        f"{LONG}.npz",
        # A name that a file may have, and the file beside it under which it is written may not.
        f"{LONG[:245]}.npz",
        "a\0b.npz",
    ],
)
def test_forecasts_need_a_file(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(["predict", "m.safetensors", "x.npz", "--out", name], capsys)
    assert "argument '--out': expected a" in line


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "name",
    [
        *IN_THE_WAY,
        *(pytest.param(f"pipe{suffix}", marks=needs_fifo) for suffix in (".npz", ".nc")),
        *(pytest.param(f"loop{suffix}", marks=needs_links) for suffix in (".npz", ".nc")),
        *("folder", "folder.npz", "folder.nc", os.devnull, "none.npz", "a\nb.nc", "\x1b[31m.npz"),
        "\udcff.nc",
        "[a-",
    ],
)
def test_data_need_a_file(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing waits for what may never come."""
    pytest.importorskip("netCDF4")
    commands = [["fit", name, "--out", "out"], ["inspect", name]]
    commands.append(["predict", "m.safetensors", name, "--out", "y.npz"])
    for command in commands:
        assert "argument 'DATA': expected" in refused(command, capsys)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", [*IN_THE_WAY, "folder", "x.npz", os.devnull, "none", "a\nb"])
def test_models_need_a_file(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["explain", name], ["predict", name, "x.npz", "--out", "y.npz"]):
        assert "argument 'MODEL': expected a model file, got" in refused(command, capsys)
