"""Standard streams that are closed, full or speak another language, and folders that are gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import relaxon as rx
from printed import one_line

PROGRAM = "import sys; from relaxon.cli import main; sys.exit(main())"
needs_posix = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full of Linux")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pairs and a model of them."""
    folder = tmp_path_factory.mktemp("streams")
    x = np.random.default_rng(0).standard_normal((12, 6))
    np.savez(folder / "x.npz", x=x, y=x)
    # The last letter turns what follows around.
    grid = rx.Grid((6,), names="λ\u202e")
    rx.Relaxation(rx.ADR(grid), depth=2).save(folder / "m.safetensors")
    return folder


def shell(
    command: str, folder: Path, before: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """A command line of a shell, with `relaxon` for the program, which does `before` first."""
    return subprocess.run(
        command.replace("relaxon", f'{sys.executable} -c "{before}{PROGRAM}"', 1),
        shell=True,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


COMMANDS = ["--help", "info", "inspect x.npz", "explain m.safetensors", "fit x.npz --out out"]


@needs_posix
@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_output_is_one_line(command: str, folder: Path) -> None:
    done = shell(f"relaxon {command} >&-", folder)
    assert done.returncode == 1
    assert one_line(done.stderr) == "relaxon: cannot write to standard output: it is closed"
    assert not (folder / "out").exists()


@needs_full
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_output_is_one_line(command: str, folder: Path) -> None:
    done = shell(f"relaxon {command} >/dev/full", folder)
    assert done.returncode == 1
    line = one_line(done.stderr)
    assert line == "relaxon: cannot write to standard output: No space left on device"
    # Found out before training.
    assert not (folder / "out").exists()


@needs_posix
@pytest.mark.parametrize("errors", ["2>&-", pytest.param("2>/dev/full", marks=needs_full)])
def test_exit_codes_need_nobody_who_listens(errors: str, folder: Path) -> None:
    done = shell(f"relaxon info {errors}", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ISA level" in done.stdout
    assert shell(f"relaxon explain none {errors} <&-", folder).returncode == 2
    assert shell(f"relaxon info {errors} >&-", folder).returncode == 1


@needs_posix
def test_a_closed_stream_is_no_file_of_ours(folder: Path) -> None:
    """The next file to be opened would get its number, and messages with it."""
    done = shell("relaxon predict m.safetensors x.npz --out y.npz 0<&- 2>&-", folder)
    assert done.returncode == 0
    assert np.load(folder / "y.npz")["y"].shape == (12, 6)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1:strict"])
def test_other_encodings(encoding: str, folder: Path) -> None:
    done = shell("relaxon explain m.safetensors", folder, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert r"advection along \u03bb\u202e" in done.stdout


@needs_posix
def test_a_folder_that_is_gone(folder: Path) -> None:
    gone = folder / "gone"
    for command, code in (("info", 0), ("fit sst --out out", 2), ("inspect x.npz", 2)):
        gone.mkdir()
        done = shell(f"relaxon {command}", gone, before="import os; os.rmdir(os.getcwd()); ")
        assert not gone.exists()
        assert done.returncode == code, done.stderr
        assert code == 0 or one_line(done.stderr).startswith("relaxon: argument")
