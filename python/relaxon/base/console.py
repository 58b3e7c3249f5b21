"""What the command line says: its output, lines on stderr, and how it fails."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Not from typing, which is slow to load; type checkers know the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["EXIT_BAD_INPUT", "PROGRAM", "Failure", "open_streams", "output", "say", "show_warnings"]

PROGRAM = "relaxon"
EXIT_BAD_INPUT = 2


class Failure(Exception):
    """Ends the program with one line on stderr."""

    def __init__(self, message: str, code: int = EXIT_BAD_INPUT) -> None:
        super().__init__(message)
        self.code = code


def open_streams() -> None:
    """Make the standard streams of the process fit for anything that is printed.

    Raises
    ------
    Failure
        If standard output is closed: nothing that the program does is without output.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Else the next file to be opened would be taken for the stream.
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if sys.stdout is None:
        raise Failure("cannot write to standard output: it is closed", code=1)
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal has no letters for shall not end the program.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def show_warnings() -> None:
    """Make lines on stderr of warnings that nobody records."""

    def show_warning(message: Warning | str, *_: object, **__: object) -> None:
        say(f"warning: {message}")

    warnings.showwarning = show_warning


@contextmanager
def output() -> Iterator[None]:
    """Print in here: what is printed has been written when the block ends.

    Raises
    ------
    BrokenPipeError
        If the reader has left.
    Failure
        If it cannot be written for another reason.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
        raise
    except OSError as error:
        _silence(sys.stdout)
        raise Failure(
            f"cannot write to standard output: {error.strerror or error}", code=1
        ) from None


def say(text: str) -> None:
    """Print one line on stderr, if that is possible."""
    from .text import LINE, show

    try:
        print(f"{PROGRAM}: {show(' '.join(text.split()), LINE)}", file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    """Lead a stream to nowhere: what it still holds would fail again when the process ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
