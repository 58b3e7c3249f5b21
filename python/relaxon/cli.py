"""The command line: ``relaxon fit``, ``inspect``, ``predict``, ``explain``, ``stability`` ..."""

# Whatever else is imported comes after main has installed the signals.

import sys

from .base.signals import finish, install

# Not from typing, which is slow to load; type checkers know the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Default: those of the process, which then is the command line and nothing else: signals end
        it in one line, as the standard streams can.

    Returns
    -------
    int
        Exit code: 0, 1 (training or writing failed, or memory ran out), 2 (bad input) or 128 and
        the number of the signal that has interrupted it, as 130.
    """
    if arguments is not None:
        return _run(arguments)
    install()
    code = _run(sys.argv[1:], is_process=True)
    finish()
    return code


def _run(arguments: list[str], is_process: bool = False) -> int:
    from .base import signals

    try:
        if is_process:
            from .base.console import open_streams, show_warnings

            open_streams()
            show_warnings()
        job = _parse(arguments)
        if not callable(job):
            return int(job or 0)  # of --help, which leaves nothing to do
        _load_core()
        code = job()
        signals.check()
        return code
    except BaseException as error:
        if signals.is_pending():
            # Whatever became of the interruption on its way here.
            signals.leave()
        return _end(error)


def _end(error: BaseException) -> int:
    """Say in one line why the program ends; what nobody has foreseen goes on."""
    from .base import signals
    from .base.console import Failure, say

    if isinstance(error, Failure):
        say(str(error))
        return error.code
    if isinstance(error, KeyboardInterrupt):
        say("interrupted")
        return signals.exit_code()
    if isinstance(error, MemoryError | ImportError | Warning):
        # A package that is there and broken, or a warning that -W error has raised.
        say(str(error) or "out of memory")
        return 1
    if isinstance(error, BrokenPipeError):
        return 1  # the reader of our output has left
    raise error


def _parse(arguments: list[str]) -> "Callable[[], int] | int | None":
    """The job that was asked for, or an exit code."""
    from importlib.util import find_spec

    from .base.console import PROGRAM, Failure, output

    try:
        for name in ("matplotlib", "rich", "typer"):
            if find_spec(name) is None:
                raise ModuleNotFoundError(name=name)
        import typer
    except ModuleNotFoundError as error:
        raise Failure(
            f"the command line needs {error.name}; install it with: pip install 'relaxon[cli]'"
        ) from None
    from .grammar import make_app

    command = typer.main.get_command(make_app())
    try:
        with output():
            job: Callable[[], int] | int | None = command.main(
                arguments or ["--help"], prog_name=PROGRAM, standalone_mode=False
            )
            return job
    except Failure:
        raise
    except Exception as error:
        # Usage errors are click's; some versions of typer bring their own copy of click.
        show = getattr(error, "format_message", None)
        if show is None:
            raise
        context = getattr(error, "ctx", None)
        command_path = PROGRAM if context is None else context.command_path
        raise Failure(f"{show()} (see '{command_path} --help')") from None


def _load_core() -> None:
    """Find out first whether this machine can run the core that is asked for."""
    from .base.console import Failure

    try:
        from . import _core  # noqa: F401
    except (ImportError, RuntimeError, ValueError) as error:
        raise Failure(str(error)) from None
