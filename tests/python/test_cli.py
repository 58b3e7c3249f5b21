"""The command line as a user runs it: interruptions, errors of one line, what it says of itself."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import relaxon as rx
from command_line import RELAXON, REPORT, relaxon
from printed import one_line
from relaxon import cli
from relaxon.forecasting.options import Options

INTERRUPTED = """
import signal, sys
from relaxon.cli import main
from relaxon.forecasting.experiment import Experiment

# A test run in the background of a shell passes on that SIGINT is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
run = Experiment.run
Experiment.run = lambda self, progress, checkpoint: run(
    self, lambda state: signal.raise_signal(signal.SIGINT), checkpoint
)
sys.exit(main())
"""


def test_interruption_keeps_the_best_model(tmp_path: Path) -> None:
    """Ctrl-C after the first steps of a fit that would not end by itself."""
    out = tmp_path / "report"
    endless = ["--theta", "0", "--optimizer", "fixed-rate", "--rate", "1e-6"]
    endless += ["--steps", "1000000000"]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "fit", "sst", "--out", str(out), *endless],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert "interrupted" in one_line(done.stderr)
    assert "damped persistence" in done.stdout
    assert "--resume continues" in done.stderr
    assert {path.name for path in out.iterdir()} == {*REPORT, "unfinished"}
    assert {path.name for path in (out / "unfinished").iterdir()} == {"run.json", "fit.checkpoint"}
    summary = json.loads((out / "summary.json").read_text())
    assert summary["fit"]["status"] == "interrupted"
    assert summary["fit"]["steps"] >= 1
    assert rx.load(out / "model.safetensors").depth == 10


def test_interruption_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("relaxon.datasets.source.sst", interrupt)
    assert cli.main(["fit", "sst", "--out", str(tmp_path / "out")]) == 130
    assert one_line(capsys.readouterr().err) == "relaxon: interrupted"
    assert list(tmp_path.iterdir()) == []


def test_divergence_is_one_line(tmp_path: Path) -> None:
    explicit = ["--theta", "0", "--optimizer", "fixed-rate", "--rate", "1e9"]
    done = relaxon("fit", "sst", "--out", str(tmp_path), *explicit)
    assert done.returncode == 1
    assert "step" in one_line(done.stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "sst"], "--out"),
        (["fit", "--out", "OUT"], "DATA"),
        (["fit", "era5.nc", "--out", "OUT"], "DATA"),
        (["fit", "sst", "--out", "OUT", "--depth", "ten"], "--depth"),
        (["fit", "sst", "--out", "OUT", "--depth", "0"], "depth"),
        (["fit", "sst", "--out", "OUT", "--theta", "0", "--omega", "2"], "omega"),
        (["fit", "sst", "--out", "OUT", "--space", "lokal"], "local"),
        (["fit", "sst", "--out", "OUT", "--scheme", "upwinds"], "upwind"),
        (["fit", "sst", "--out", "OUT", "--operator", "adt"], "adr"),
        (["fit", "sst", "--out", "OUT", "--operator", "moments"], "'operator': expected 'adr' or"),
        (["fit", "sst", "--out", "OUT", "--optimizer", "armido"], "armijo"),
        (["fit", "sst", "--out", "OUT", "--activation", "than"], "tanh"),
        (["fit", "sst", "--out", "OUT", "--boundary", "periodic"], "axes latitude, longitude"),
        (["fit", "sst", "--out", "OUT", "--boundary", "neuman,periodic"], "mean 'neumann'?"),
        (["fit", "sst", "--out", "OUT", "--boundary", "a,periodic"], "or a finite number"),
        (["fit", "sst", "--out", "OUT", "--boundary", "nan,periodic"], "or a finite number"),
        (["fit", "sst", "--out", "OUT", "--boundary", "neumann,0:0:0"], "0:0:0"),
        (["fit", "sst", "--out", "OUT", "--mask-boundary", "periodic"], "mask_boundary"),
        (["fit", "sst", "--out", "OUT", "--lead", "0"], "lead"),
        (["fit", "sst", "--out", "OUT", "--lead", "14"], "lead"),
        (["fit", "sst", "--out", "OUT", "--patience", "5", "--validation", "0.9"], "validation"),
        (["fit", "sst", "--out", "OUT", "--patience", "-5"], "patience"),
        (["fit", "sst", "--out", "OUT", "--space", "local", "--smoothness", "-1"], "smoothness"),
        (["fit", "sst", "--out", "OUT", "--rate", "0"], "rate"),
        (["fit", "sst", "--out", "OUT", "--memory", "lots"], "memory"),
        (["fit", "sst", "--out", "OUT", "--memory", "1 KiB"], "memory"),
        (["fit", "sst", "--out", "", "--steps", "1"], "'--out': expected a path to write to"),
        (["fit", "sst", "--out", "OUT", "--threads", "0"], "threads"),
        (["fit", "sst", "--out", "OUT", "--dtype", "float16"], "dtype"),
        (["fit", "sst", "--out", "OUT", "--dtype", "1,,2"], "dtype"),
        (["fit", "sst", "--out", "OUT", "--dtype", "1" * 5000], "dtype"),
        (["fit", "sst", "--out", "OUT", "--depht", "5"], "--depht"),
        (["train", "sst"], "train"),
    ],
)
def test_bad_options(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main([str(out) if word == "OUT" else word for word in arguments]) == 2
    captured = capsys.readouterr()
    line = one_line(captured.err)
    assert line.startswith("relaxon: ")
    assert words in line
    assert list(tmp_path.iterdir()) == []


def test_file_in_the_way(tmp_path: Path) -> None:
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        (tmp_path / "file").write_text("precious")
        done = relaxon("fit", "sst", "--out", str(out))
        assert done.returncode == 2
        assert done.stdout == ""
        assert "--out" in one_line(done.stderr)
        assert (tmp_path / "file").read_text() == "precious"
        assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file's size")
def test_no_room_is_found_out_before_training(tmp_path: Path) -> None:
    """The operating system refuses to let a file grow past 1 MB, as a full disk would."""
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))

    done = relaxon("fit", "sst", "--out", str(tmp_path / "new"), preexec_fn=limit)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "room" in one_line(done.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="permissions of folders bind neither the superuser nor Windows",
)
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        done = relaxon("fit", "sst", "--out", str(tmp_path))
    finally:
        tmp_path.chmod(0o700)
    assert done.returncode == 2
    assert "Permission denied" in one_line(done.stderr)


def test_a_reader_that_leaves_early_loses_no_report(tmp_path: Path) -> None:
    command = [*RELAXON, "fit", "sst", "--theta", "0", "--steps", "2"]
    command += ["--out", str(tmp_path / "out")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 1
    assert errors == ""
    assert {path.name for path in (tmp_path / "out").iterdir()} == REPORT


def test_info() -> None:
    done = relaxon("info")
    assert done.returncode == 0, done.stderr
    assert importlib.metadata.version("relaxon") in done.stdout
    assert "ISA level" in done.stdout


def test_help_names_every_option() -> None:
    done = relaxon("fit", "--help")
    assert done.returncode == 0
    for field in dataclasses.fields(Options):
        assert f"--{field.name.replace('_', '-')}" in done.stdout


@pytest.mark.parametrize("package", ["typer", "rich", "matplotlib"])
def test_an_absent_extra_is_one_line(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert cli.main(["info"]) == 2
    line = one_line(capsys.readouterr().err)
    assert package in line
    assert "pip install 'relaxon[cli]'" in line


def test_console_script_is_the_command_line() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="relaxon")
    assert script.load() is cli.main
