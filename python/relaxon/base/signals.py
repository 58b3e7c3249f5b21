"""Signals that end the command line: Ctrl-C, and those of schedulers and of lost connections.

Until a job has something to lose, a signal ends the process at once: an exception out of the middle
of an import may come out as anything. From then on it raises KeyboardInterrupt. Libraries turn that
into other exceptions, print it where nothing can be raised, or drop it; so a signal counts as
pending until somebody says that the job has ended as it asks.

Only the command line installs this: the library leaves the handlers of its caller alone.
"""

import os
import signal
import sys

# Not from typing, which is slow to load; type checkers know the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import NoReturn

__all__ = ["accept", "begin_job", "check", "exit_code", "finish", "install", "is_pending", "leave"]

# Windows lacks the first.
NAMES = ("SIGHUP", "SIGINT", "SIGTERM")
LINE = b"relaxon: interrupted\n"
# For whatever dropped an exception to return.
AGAIN_SECONDS = 0.02


class _State:
    """What has come so far, and what the next signal does."""

    installed: tuple[int, ...] = ()
    first: int | None = None
    is_pending = False
    has_job = False
    is_leaving = False


_state = _State()


def install() -> None:
    """Make this process the command line, for which signals end in one line and an exit code.

    What is ignored when the process starts stays ignored: so ``nohup`` and shells, for jobs in the
    background, ask for it. To be called from the main thread.
    """
    for name in NAMES:
        number = getattr(signal, name, None)
        usual = (signal.SIG_DFL, signal.default_int_handler)
        if number is not None and signal.getsignal(number) in usual:
            signal.signal(number, _handle)
            _state.installed += (number,)
    sys.excepthook = _end_uncaught
    sys.unraisablehook = _raise_again


def begin_job() -> None:
    """From now on there is something to lose: signals raise KeyboardInterrupt."""
    _state.has_job = True


def check() -> None:
    """Raise KeyboardInterrupt where a library has dropped one.

    Raises
    ------
    KeyboardInterrupt
        If a signal is pending.
    """
    if _state.is_pending:
        raise KeyboardInterrupt


def accept() -> None:
    """Say that the job has ended as the signals so far ask; failures from now on are others."""
    _state.is_pending = False


def is_pending() -> bool:
    """Whether a signal has come and was not accepted."""
    return _state.is_pending


def exit_code() -> int:
    """128 and the number of the first signal, as shells have it.

    Returns
    -------
    int
        That of Ctrl-C where no signal has come: the library may be interrupted by other means.
    """
    return 128 + (_state.first or signal.SIGINT)


def leave() -> "NoReturn":
    """End the process with one line and the exit code of the first signal."""
    _state.is_leaving = True
    try:
        os.write(2, LINE)
        if _state.has_job:
            sys.stdout.flush()
    except Exception:
        pass  # nobody is there to read it
    # Not sys.exit: what libraries do at exit may stumble over what was interrupted.
    os._exit(exit_code())


def finish() -> None:
    """Ignore signals from now on: the job is done, only the interpreter has to end."""
    for number in _state.installed:
        signal.signal(number, signal.SIG_IGN)


def _handle(number: int, frame: "FrameType | None") -> None:
    if _state.is_leaving:
        os._exit(exit_code())
    _state.first = _state.first or number
    _state.is_pending = True
    if not _state.has_job:
        leave()
    raise KeyboardInterrupt


def _end_uncaught(
    kind: type[BaseException], error: BaseException, trace: "TracebackType | None"
) -> None:
    """The exception hook, for signals after the program's own last handler."""
    if _state.is_pending:
        leave()
    sys.__excepthook__(kind, error, trace)


def _raise_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """The hook for exceptions in finalizers and callbacks, out of which nothing can be raised."""
    if not _state.is_pending:
        sys.__unraisablehook__(unraisable)
        return
    import _thread
    import threading

    def raise_again() -> None:
        if _state.is_pending:
            _thread.interrupt_main(signal.Signals(_state.first or signal.SIGINT))

    try:
        # Raised here, it would be dropped like the one before.
        timer = threading.Timer(AGAIN_SECONDS, raise_again)
        timer.daemon = True
        timer.start()
    except RuntimeError:
        leave()  # no thread to be had
