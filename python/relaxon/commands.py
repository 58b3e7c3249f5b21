"""What the commands do once their arguments are read."""

from __future__ import annotations

import math
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import signals
from .console import PROGRAM, Failure, output, say

if TYPE_CHECKING:
    from xarray import DataArray

    from .forecasting.options import Options
    from .model import Relaxation

__all__ = ["explain", "fit", "info", "inspect", "predict"]

# Figures, summary and history; the model comes on top.
REPORT_BYTES = 4 * 2**20


def info() -> int:
    """Show the configuration."""
    from ._config import show_config

    with output():
        show_config()
    return 0


def fit(names: tuple[str, ...], out: Path, options: Options) -> int:
    """Run an experiment and leave its report in a folder."""
    from .datasets.source import Source
    from .forecasting.checks import plan_checks, run_checks
    from .forecasting.experiment import Experiment
    from .report.folder import write_report
    from .report.terminal import print_result
    from .training.fit import DivergenceError

    with _bad_input(), _warnings():
        source = Source(names, options.variable, options.select, options.missing)
        experiment = Experiment(options, source.read())
        checks = plan_checks(experiment)
    model = experiment.model
    n_bytes = sum(value.nbytes for value in model.params.values())
    if model.scaling is not None:
        n_bytes += model.scaling.climatology.nbytes
    signals.begin_job()
    with _folder(out, REPORT_BYTES + n_bytes):
        lines = experiment.describe()
        # What is known of the shipped data stands in their documentation.
        with output():
            print("\n".join(lines[:1] if source.is_shipped else lines))
        try:
            with _bad_input(), _warnings():
                result = experiment.run(progress=sys.stderr.isatty())
                result = run_checks(checks, experiment, result, progress=sys.stderr.isatty())
        except DivergenceError as error:
            raise Failure(str(error), code=1) from None
        if result.is_interrupted:
            signals.accept()
        try:
            with _warnings():
                written = write_report(out, experiment, result)
        except OSError as error:
            raise Failure(f"cannot write to {out}: {error}", code=1) from None
    # After writing: whoever reads the output may have left.
    with output():
        print_result(experiment, result)
        print(f"\nwritten to {out}: {', '.join(path.name for path in written)}")
    if result.is_interrupted:
        say("interrupted, the best model so far was kept")
        return signals.exit_code()
    return 0


def predict(
    model_path: Path,
    names: tuple[str, ...],
    out: Path,
    variable: str | None,
    select: tuple[str, ...],
    missing: tuple[float, ...],
) -> int:
    """Apply a saved model to data and write the forecast."""
    from .datasets.prediction import forecast, forecast_archive
    from .datasets.source import Source
    from .durable import write_atomic

    if out.suffix not in (".npz", ".nc"):
        raise Failure(f"argument '--out': expected a name that ends in .npz or .nc, got {out}")
    with _bad_input():
        source = Source(names, variable, select, missing)
    if source.is_archive and out.suffix == ".nc":
        raise Failure(f"argument '--out': expected .npz, as for the data, got {out}")
    if not out.parent.is_dir():
        raise Failure(f"argument '--out': expected a file in an existing folder, got {out}")
    model, extra = _load(model_path)
    if model.scaling is None and not source.is_archive:
        raise Failure(
            f"argument 'DATA': expected a .npz file with an array x, as this model was made from "
            f"pairs without times and coordinates, got {source}"
        )
    missing = tuple(dict.fromkeys((*extra.get("missing", ()), *missing)))
    with _bad_input(), _warnings():
        if source.is_archive:
            content = _npz(forecast_archive(model, names[0], missing))
        else:
            known = None if model.scaling is None else model.scaling.name
            data = source.open(known, tuple(extra.get("select", ())))
            later = forecast(model, data, missing=missing)
            signals.begin_job()
            content = _encode(later, out.suffix)
    signals.begin_job()
    try:
        write_atomic(out, content)
    except OSError as error:
        raise Failure(f"cannot write {out}: {error.strerror or error}", code=1) from None
    with output():
        print(f"written: {out}")
    return 0


def explain(model_path: Path, out: Path | None) -> int:
    """Print the physics of a saved model; with a folder, write table and figure, too."""
    from .durable import write_atomic
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
        with _folder(out, sum(map(len, contents.values()))):
            try:
                if "explanation.png" not in contents:
                    # Left by an earlier run, it would seem to belong to this one.
                    (out / "explanation.png").unlink(missing_ok=True)
                for name, content in contents.items():
                    write_atomic(out / name, content)
            except OSError as error:
                raise Failure(f"cannot write to {out}: {error}", code=1) from None
    with output():
        print(explanation)
        if not why_no_standard_errors(model):
            print(
                "standard errors need the data: those of relaxon fit stand in its summary.json, "
                "relaxon.explain(model, data=(x, y)) gives others"
            )
        if out is not None:
            print(f"\nwritten to {out}: {', '.join(contents)}")
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


def _load(path: Path) -> tuple[Relaxation, dict[str, Any]]:
    """The model in a file, and what else stands there."""
    from .files import FileFormatError, read

    try:
        found = read(path)
        return found.model, found.extra
    except (FileFormatError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).removeprefix(f"{path}: ")
        raise Failure(f"argument 'MODEL': expected a model file, got {path}: {reason}") from error


def _npz(arrays: dict[str, Any]) -> bytes:
    import io

    import numpy as np

    from .datasets.dates import pack_times

    if "time" in arrays:
        arrays = arrays | pack_times(arrays["time"])
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def _encode(later: DataArray, suffix: str) -> bytes:
    import tempfile

    from .datasets.roles import time_dim

    if suffix == ".npz":
        times = later[time_dim(later, "forecast")].values
        return _npz({"y": later.values, "time": times})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "forecast.nc"
        later.to_netcdf(path)
        return path.read_bytes()


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
    """Warnings become lines on stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        say(f"warning: {warning.message}")


@contextmanager
def _folder(out: Path, n_bytes: int) -> Iterator[None]:
    """Make the folder and find out now, not after training, whether the report fits into it.

    Folders made here go again if nothing came to stand in them.
    """
    if out.exists() and not out.is_dir():
        raise Failure(f"argument '--out': expected a folder, got {out}: a file stands there")
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    probe = out / f".{PROGRAM}-{os.getpid()}.probe"
    try:
        try:
            out.mkdir(parents=True, exist_ok=True)
            try:
                with open(probe, "xb") as file:
                    file.write(bytes(n_bytes))
                    file.flush()
                    os.fsync(file.fileno())
            finally:
                probe.unlink(missing_ok=True)
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
