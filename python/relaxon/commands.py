"""What the commands do once their arguments are read."""

from __future__ import annotations

import math
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .base import signals
from .base.console import EXIT_BAD_INPUT, Failure, output, say
from .base.text import show

if TYPE_CHECKING:
    from .dynamics.attractor import Attractor
    from .forecasting.checks import CheckPlan
    from .forecasting.experiment import Experiment
    from .forecasting.options import Options
    from .model.prediction import Respond
    from .model.relaxation import Relaxation
    from .report.unfinished import Run

__all__ = ["attractor", "explain", "fit", "info", "inspect", "output_path", "predict", "stability"]

# Figures, summary and history; checkpoints, which hold the model, come on top.
REPORT_BYTES = 4 * 2**20
CONTINUE = "the same command with --resume continues"


def info() -> int:
    """Show the configuration."""
    from ._config import show_config

    with output():
        show_config()
    return 0


def fit(
    names: tuple[str, ...], out: Path, options: Options, resume: bool = False, restart: bool = False
) -> int:
    """Run an experiment and leave its report in a folder."""
    from .datasets.source import Source
    from .forecasting.checks import plan_checks
    from .forecasting.experiment import Experiment
    from .report.record import describe_run
    from .report.unfinished import check_unfinished, open_run

    if resume and restart:
        raise Failure("arguments '--resume' and '--restart': expected one of them, not both")
    with _folder_errors(out, code=EXIT_BAD_INPUT), _warnings():
        check_unfinished(out, resume, restart)
    with _bad_input(), _warnings():
        source = Source(names, options.variable, options.select, options.missing)
        experiment = Experiment(options, source.read())
        checks = plan_checks(experiment)
    n_fits = 1 + sum(plan.n_more for plan in checks)
    # One more while it is replaced.
    n_bytes = REPORT_BYTES + (n_fits + 1) * _checkpoint_bytes(experiment)
    signals.begin_job()
    with _folder(out, n_bytes), ExitStack() as stack:
        with _folder_errors(out), _warnings():
            run = stack.enter_context(open_run(out, describe_run(experiment), resume, restart))
        with output():
            if run.published:
                print(f"written to {show(out)}: {', '.join(run.published)}")
            elif run.is_finished:
                print(f"{show(out)} holds the finished report of this fit")
        if run.is_finished:
            return 0
        lines = experiment.describe()
        # What is known of the shipped data stands in their documentation.
        with output():
            print("\n".join(lines[:1] if source.is_shipped else lines))
        try:
            return _run(run, experiment, checks)
        except BaseException as error:
            ending = _ending(run, error)
            if ending is None:
                raise
            raise ending from error


def _run(run: Run, experiment: Experiment, checks: Sequence[CheckPlan]) -> int:
    """Train, look, and write the report."""
    from .forecasting.checks import run_checks
    from .report.folder import write_report
    from .report.terminal import print_result

    has_bar = sys.stderr.isatty()
    with _warnings():
        result = experiment.run(has_bar, run.folder / "fit.checkpoint")
        result = run_checks(checks, experiment, result, has_bar, run.folder)
    if result.is_interrupted:
        signals.accept()
    with _warnings():
        written = write_report(run.out, experiment, result, run.record)
    if not result.is_interrupted:
        run.discard()
    # After writing: whoever reads the output may have left.
    with output():
        print_result(experiment, result)
        print(f"\nwritten to {show(run.out)}: {', '.join(written)}")
    if result.is_interrupted:
        say(f"interrupted, the best model so far was kept; {CONTINUE}")
        return signals.exit_code()
    return 0


def _ending(run: Run, error: BaseException) -> Failure | None:
    """What to say of a run that ends early, whose state lies in its folder."""
    from .training.fit import DivergenceError

    # First: libraries make other exceptions of interruptions.
    if isinstance(error, KeyboardInterrupt) or signals.is_pending():
        signals.accept()
        return Failure(f"interrupted; {CONTINUE}", signals.exit_code())
    if isinstance(error, BrokenPipeError):
        return None
    if isinstance(error, OSError):
        return Failure(f"cannot write to {run.out}: {error}; {CONTINUE}", code=1)
    if isinstance(error, DivergenceError):
        with suppress(OSError):
            run.diverge(str(error))
        kept = run.folder / "fit.checkpoint"
        text = f"; the model before it is kept in {kept}" if run.has_checkpoint else ""
        return Failure(f"{error}{text}", code=1)
    if isinstance(error, TypeError | ValueError | ImportError):
        message = _for_files(str(error))
        # What is refused before anything is trained leaves none.
        if run.has_checkpoint:
            message = message.replace("argument 'checkpoint'", "argument '--resume'")
            message = message.replace(", or give another path", "")
            message += f"; --restart discards what {run.folder} holds"
        return Failure(message)
    return None


def predict(
    model_path: str,
    names: tuple[str, ...],
    out: Path,
    variable: str | None,
    select: tuple[str, ...],
    missing: tuple[float, ...],
) -> int:
    """Apply a saved model to data and write the forecast."""
    _respond(model_path, names, out, variable, select, missing)
    return 0


def attractor(
    model_path: str,
    names: tuple[str, ...],
    out: Path,
    variable: str | None,
    select: tuple[str, ...],
    missing: tuple[float, ...],
) -> int:
    """Write where the layers of a saved model lead from data, and print how sure that is."""
    from .dynamics.attractor import attractor as search
    from .report.terminal import print_attractor

    found: list[Attractor] = []

    def respond(model: Any, x: Any, threads: int | None) -> Any:
        found.append(search(model, x, threads=threads))
        return found[-1].z

    _respond(model_path, names, out, variable, select, missing, respond)
    with output():
        print_attractor(found[0])
    if not found[0].success:
        say(f"warning: {found[0].message}; the states of least residual were written")
    return 0


def _respond(
    model_path: str,
    names: tuple[str, ...],
    out: Path,
    variable: str | None,
    select: tuple[str, ...],
    missing: tuple[float, ...],
    respond: Respond | None = None,
) -> None:
    """Write what a saved model makes of data: its outputs, or what else it is asked for."""
    from .base.durable import write_atomic
    from .datasets.encoding import encode_array, encode_npz
    from .datasets.source import Source
    from .model.prediction import forecast, forecast_archive

    options: dict[str, Any] = {} if respond is None else {"respond": respond}

    if out.suffix not in (".npz", ".nc"):
        raise Failure(f"argument '--out': expected a name that ends in .npz or .nc, got {out}")
    with _bad_input():
        source = Source(names, variable, select, missing)
    if source.is_archive and out.suffix == ".nc":
        raise Failure(f"argument '--out': expected .npz, as for the data, got {out}")
    if not out.parent.is_dir():
        raise Failure(f"argument '--out': expected a file in an existing folder, got {out}")
    _check_writable(out)
    model, extra = _load(model_path)
    notes = _notes(model_path, extra)
    if model.scaling is None and not source.is_archive:
        raise Failure(
            f"argument 'DATA': expected a .npz file with an array x, as this model was made from "
            f"pairs without times and coordinates, got {source}"
        )
    missing = tuple(dict.fromkeys((*notes["missing"], *missing)))
    with _bad_input(), _warnings():
        if source.is_archive:
            content = encode_npz(forecast_archive(model, names[0], missing, **options))
        else:
            known = None if model.scaling is None else model.scaling.name
            data = source.open(known, tuple(notes["select"]))
            later = forecast(model, data, missing=missing, **options)
            signals.begin_job()
            content = encode_array(later, out.suffix)
    signals.begin_job()
    try:
        write_atomic(out, content)
    except OSError as error:
        raise Failure(f"cannot write {out}: {error.strerror or error}", code=1) from None
    with output():
        print(f"written: {show(out)}")


def explain(model_path: str, out: Path | None) -> int:
    """Print the physics of a saved model; with a folder, write table and figure, too."""
    from .base.durable import lock, write_together
    from .physics.explain import explain as read
    from .physics.plots import try_png
    from .physics.standard_error import why_no_standard_errors
    from .physics.tables import format_csv, readable_rows

    model, _ = _load(model_path)
    with _bad_input():
        explanation = read(model)
    if out is not None:
        contents = {"explanation.csv": format_csv(readable_rows(explanation)).encode()}
        if explanation.processes:
            with _warnings():
                figure = try_png("explanation", explanation.plot)
            if isinstance(figure, bytes):
                contents["explanation.png"] = figure
        signals.begin_job()
        n_bytes = sum(map(len, contents.values()))
        with _folder(out, n_bytes), _folder_errors(out), lock(out):
            # A figure left by an earlier run would seem to belong to this one.
            write_together(out, contents, absent=["explanation.png"])
    with output():
        print(explanation)
        if not why_no_standard_errors(model):
            print(
                "standard errors need the data: those of relaxon fit stand in its summary.json, "
                "relaxon.explain(model, data=(x, y)) gives others"
            )
        if out is not None:
            print(f"\nwritten to {show(out)}: {', '.join(contents)}")
    return 0


def stability(model_path: str, out: Path | None) -> int:
    """Print the stability of a saved model; with a folder, write the figure, too."""
    from .base.durable import lock, write_together
    from .physics.plots import try_png
    from .physics.stability_report import stability as read
    from .report.terminal import print_stability

    model, _ = _load(model_path)
    with _bad_input(), _warnings():
        found = read(model)
    contents = {}
    if out is not None:
        with _warnings():
            figure = try_png("stability", found.plot)
        if isinstance(figure, bytes):
            contents["stability.png"] = figure
        signals.begin_job()
        n_bytes = sum(map(len, contents.values()))
        with _folder(out, n_bytes), _folder_errors(out), lock(out):
            write_together(out, contents, absent=["stability.png"])
    with output():
        print_stability(found)
        if contents:
            print(f"\nwritten to {show(out)}: {', '.join(contents)}")
    return 0


def inspect(
    names: tuple[str, ...],
    variable: str | None,
    select: tuple[str, ...],
    missing: tuple[float, ...],
) -> int:
    """Print what a fit would take from data, and what to type for it."""
    from .datasets.source import Source
    from .forecasting.inspection import inspect_data

    with _bad_input():
        text = _for_files(str(inspect_data(Source(names, variable, select, missing))))
    with output():
        print(text)
    return 0


def output_path(text: str) -> Path:
    """A path to write to; Path would take an empty one for the current folder."""
    reason = ""
    try:
        os.stat(text)
    except (FileNotFoundError, NotADirectoryError):
        reason = "" if text else "nothing"
    except (OSError, ValueError) as error:
        reason = f"{text}: {getattr(error, 'strerror', None) or error}"
    if reason:
        raise Failure(f"argument '--out': expected a path to write to, got {reason}")
    return Path(text)


def _check_writable(path: Path) -> None:
    """Find out first whether a file can be written, under the longest name that it takes."""
    from .base.durable import remove, write_new

    if path.exists() and not path.is_file():
        raise Failure(f"argument '--out': expected a file, got {path}: something else stands there")
    probe = path.with_name(f".{path.name}.{os.getpid():08x}.part")
    try:
        try:
            write_new(probe, b"")
        finally:
            remove(probe)
    except OSError as error:
        reason = error.strerror or error
        raise Failure(
            f"argument '--out': expected a file that can be written, got {path}: {reason}"
        ) from None


def _load(path: str) -> tuple[Relaxation, dict[str, Any]]:
    """The model in a file, and what else stands there."""
    from .base.validate import check_file
    from .model.loading import FileFormatError, read
    from .report.publication import MixedReportError, check_report
    from .report.unfinished import extra_beside

    with _bad_input():
        check_file("MODEL", path, "a model file")
    try:
        check_report(Path(path))
        found = read(path)
        return found.model, extra_beside(Path(path)) | found.extra
    except MixedReportError as error:
        raise Failure(f"argument 'MODEL': {error}") from None
    except FileFormatError as error:
        reason = str(error).removeprefix(f"{show(path)}: ")
    except OSError as error:
        reason = error.strerror or str(error)
    raise Failure(f"argument 'MODEL': expected a model file, got {path}: {reason}")


def _notes(path: str, extra: dict[str, Any]) -> dict[str, Any]:
    """What a fit noted beside its model for forecasts of other data."""
    from .base.schema import check

    kinds = {"select": [str], "missing": [float]}
    try:
        notes: dict[str, Any] = check("extra", {k: extra.get(k, []) for k in kinds}, kinds)
    except (TypeError, ValueError) as error:
        raise Failure(f"argument 'MODEL': expected a model of a fit, got {path}: {error}") from None
    return notes


def _checkpoint_bytes(experiment: Experiment) -> int:
    """Of one fit; what it writes down of its steps is small, or not known before."""
    from .training.budget import plan

    n_samples, inputs = len(experiment.split.training), experiment.options.inputs
    planned = plan(experiment.model, batch=n_samples, inputs=inputs)
    return planned.checkpoint_bytes[type(experiment.optimizer).__name__]


@contextmanager
def _folder_errors(out: Path, code: int = 1) -> Iterator[None]:
    """A folder that is not to be used says why in one line."""
    from .base.durable import Locked
    from .report.unfinished import FolderError

    try:
        yield
    except FolderError as error:
        raise Failure(f"argument '--out': {error}") from None
    except Locked as error:
        who = "another run" if error.pid is None else f"another run, process {error.pid},"
        raise Failure(f"argument '--out': {who} writes to {out} at the moment") from None
    except OSError as error:
        raise Failure(f"cannot write to {out}: {error.strerror or error}", code) from None


@contextmanager
def _bad_input() -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError, ImportError) as error:
        raise Failure(_for_files(str(error))) from error
    except OSError as error:
        reason = f"cannot read {error.filename}: {error.strerror}" if error.filename else str(error)
        raise Failure(reason) from error


def _for_files(message: str) -> str:
    """What the library says of an array, said of the file that holds it."""
    message = message.replace("argument 'da'", "argument 'DATA'")
    if re.search(r"\bda\.\w", message) and not re.search("--(select|missing)", message):
        message += " (da: the variable as xarray opens it; da.to_netcdf writes a new file)"
    return message


@contextmanager
def _warnings() -> Iterator[None]:
    """Warnings, and what libraries log as such, become lines on stderr, each once."""
    import logging

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    messages: list[str] = []
    handler = Lines(logging.WARNING)
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            yield
    finally:
        logging.getLogger().removeHandler(handler)
    for text in dict.fromkeys([*messages, *(str(warning.message) for warning in caught)]):
        say(f"warning: {text}")


@contextmanager
def _folder(out: Path, n_bytes: int) -> Iterator[None]:
    """Make the folder and find out now, not after training, whether the report fits into it.

    Folders made here go again if nothing came to stand in them.
    """
    from .base.durable import check_room

    if out.exists() and not out.is_dir():
        raise Failure(f"argument '--out': expected a folder, got {out}: a file stands there")
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        try:
            out.mkdir(parents=True, exist_ok=True)
            check_room(out, n_bytes)
        except OSError as error:
            reason = error.strerror or str(error)
            raise Failure(
                f"argument '--out': expected a folder with room for {math.ceil(n_bytes / 1e6)} MB, "
                f"got {out}: {reason}"
            ) from None
        yield
    finally:
        for folder in missing:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
