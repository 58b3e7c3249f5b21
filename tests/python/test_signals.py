"""Signals that end the command line: at any moment one line, and the exit code of the signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from printed import one_line

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
INTERRUPTED = "relaxon: interrupted"

# Tests that are run with nohup or in the background of a shell pass on what is ignored.
USUAL = """
    import signal
    for name in ("SIGHUP", "SIGTERM"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    """

# Sends itself a signal at the n-th file or module that is opened once the handlers stand: moments
# all over the run, the same in each.
SENDER = """
    import sys

    def watch(event, arguments):
        global n_seen
        if event == "import" and arguments[0] == "relaxon.base.console" and n_seen is None:
            n_seen = 0
        elif event in ("import", "open") and n_seen is not None:
            n_seen += 1
            if n_seen == moment:
                signal.raise_signal(number)

    n_seen = None
    number, moment = int(sys.argv.pop(1)), int(sys.argv.pop(1))
    sys.addaudithook(watch)
    from relaxon.cli import main
    code = main()
    if moment == 0:
        print(n_seen)
    sys.exit(code)
    """


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(USUAL) + textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def moments(n: int, *arguments: str) -> list[int]:
    """Some moments of a run, the first and the last among them."""
    n_seen = int(run(SENDER, str(int(signal.SIGINT)), "0", *arguments).stdout.split()[-1])
    return [1 + i * (n_seen - 1) // (n - 1) for i in range(n)]


def test_a_signal_during_start_up_is_one_line() -> None:
    for i, moment in enumerate(moments(12, "inspect", "sst")):
        number = SIGNALS[i % len(SIGNALS)]
        done = run(SENDER, str(int(number)), str(moment), "inspect", "sst")
        assert done.returncode == 128 + number, (moment, done.stderr)
        assert one_line(done.stderr) == INTERRUPTED


def test_a_signal_during_a_fit_is_one_line(tmp_path: Path) -> None:
    fit = ["fit", "sst", "--theta", "0", "--steps", "2", "--out"]
    for i, moment in enumerate(moments(6, *fit, str(tmp_path / "whole"))):
        number = SIGNALS[i % len(SIGNALS)]
        out = tmp_path / str(moment)
        done = run(SENDER, str(int(number)), str(moment), *fit, str(out))
        assert done.returncode == 128 + number, (moment, done.stderr)
        assert one_line(done.stderr).startswith(INTERRUPTED)
        names = [path.name for path in out.iterdir()] if out.exists() else []
        assert not [name for name in names if name.endswith((".part", ".probe"))]


# A job that comes to pieces in the ways in which libraries take an interruption.
JOB = """
    import sys, weakref
    from relaxon import cli, commands
    from relaxon.base import signals

    class Thing:
        pass

    def send(*ignored):
        signal.raise_signal(signal.SIGTERM)

    def turn_into_another():
        try:
            send()
        except KeyboardInterrupt as error:
            raise ImportError("multiarray failed to import") from error

    def turn_into_a_failure():
        with commands._bad_input():
            turn_into_another()

    def turn_into_a_figure_less():
        from relaxon.physics.plots import try_png
        try_png("loss", turn_into_another)
        return 0

    def drop():
        try:
            send()
        except BaseException:
            pass
        return 0

    def drop_in_a_callback():
        thing = Thing()
        reference = weakref.ref(thing, send)
        del thing
        while True:
            pass

    def drop_in_a_finalizer():
        Thing.__del__ = send
        Thing()
        while True:
            pass

    def send_twice():
        try:
            send()
        finally:
            signal.raise_signal(signal.SIGINT)

    def end_in_order():
        try:
            send()
        except KeyboardInterrupt:
            signals.accept()
        raise commands.Failure("the disk is full", code=1)

    def after_the_end():
        import atexit
        atexit.register(send)
        return 0

    def job():
        signals.begin_job()
        return globals()[sys.argv[2]]()

    commands.info = job
    sys.argv = [sys.argv[0], "info", sys.argv[1]]
    cli._parse = lambda arguments: job
    sys.exit(cli.main())
    """


@pytest.mark.parametrize(
    ("way", "code", "line"),
    [
        ("send", 143, INTERRUPTED),
        ("turn_into_another", 143, INTERRUPTED),
        ("turn_into_a_failure", 143, INTERRUPTED),
        ("turn_into_a_figure_less", 143, INTERRUPTED),
        ("drop", 143, INTERRUPTED),
        ("drop_in_a_callback", 143, INTERRUPTED),
        ("drop_in_a_finalizer", 143, INTERRUPTED),
        ("send_twice", 143, INTERRUPTED),
        ("end_in_order", 1, "relaxon: the disk is full"),
    ],
)
def test_what_libraries_make_of_a_signal(way: str, code: int, line: str) -> None:
    done = run(JOB, way)
    assert (done.returncode, one_line(done.stderr)) == (code, line)


def test_a_signal_after_the_job_changes_nothing() -> None:
    done = run(JOB, "after_the_end")
    assert (done.returncode, done.stderr) == (0, "")


IGNORED = """
    import sys
    for name in ("SIGHUP", "SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    from relaxon import cli

    def job():
        for name in ("SIGHUP", "SIGINT", "SIGTERM"):
            signal.raise_signal(getattr(signal, name))
        return 0

    cli._parse = lambda arguments: job
    sys.exit(cli.main())
    """


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no nohup")
def test_what_was_ignored_at_start_stays_ignored() -> None:
    done = run(IGNORED)
    assert (done.returncode, done.stderr) == (0, "")


LIBRARY = """
    before = [signal.getsignal(number) for number in signal.valid_signals()]
    import sys
    hooks = sys.excepthook, sys.unraisablehook
    import relaxon as rx
    from relaxon import cli
    from relaxon.base import signals
    cli.main(["info"])
    rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=2)
    assert before == [signal.getsignal(number) for number in signal.valid_signals()]
    assert hooks == (sys.excepthook, sys.unraisablehook)
    """


def test_the_library_leaves_handlers_alone() -> None:
    done = run(LIBRARY)
    assert done.returncode == 0, done.stderr


def test_help_needs_nothing_slow() -> None:
    script = "import sys; from relaxon.cli import main; main(); print(*sys.modules)"
    for command in ([], ["fit"], ["predict"]):
        done = run(script, *command, "--help")
        assert done.returncode == 0, done.stderr
        slow = {"numpy", "scipy", "matplotlib", "xarray", "rich", "relaxon._core"}
        assert slow & set(done.stdout.splitlines()[-1].split()) == set()


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process that is sent a signal")
@pytest.mark.parametrize("number", SIGNALS)
def test_signals_of_the_system_keep_the_best_model(number: int, tmp_path: Path) -> None:
    """As Ctrl-C does: sent from outside, in the middle of a fit that would not end by itself."""
    command = ["fit", "sst", "--out", str(tmp_path / "out"), "--theta", "0"]
    command += ["--steps", "1000000000", "--optimizer", "fixed-rate", "--rate", "1e-6"]
    program = textwrap.dedent(USUAL) + "from relaxon.cli import main\nraise SystemExit(main())"
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", program, *command], stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 128 + number
    assert one_line(errors).startswith(INTERRUPTED)
