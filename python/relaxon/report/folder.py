"""What an experiment leaves in its folder: model, summary, history and figures."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np

from ..durable import write_atomic
from ..files import save
from ..forecasting.experiment import Experiment, Result
from ..physics.plots import try_png
from .figures import depth_figure, loss_figure, prediction_figure
from .page import render_page
from .summary import summary_of

__all__ = ["write_report"]


def write_report(folder: Path, experiment: Experiment, result: Result) -> list[Path]:
    """Write everything an experiment leaves behind, each file whole or not at all.

    Parameters
    ----------
    folder : Path
        An existing folder; files of the same names are replaced.
    experiment : Experiment
        What was run.
    result : Result
        What it gave.

    Returns
    -------
    list of Path
        The files, the model first.

    Raises
    ------
    OSError
        If a file cannot be written.

    Warns
    -----
    UserWarning
        If a figure cannot be drawn: it is left out, and the page says so.
    """
    model_path = folder / "model.safetensors"
    # What applies to other data of this kind, too.
    kept = {name: list(getattr(experiment.options, name)) for name in ("select", "missing")}
    extra = {"data": experiment.data.source, **kept}
    save(result.fit.model, model_path, extra=extra)
    summary = summary_of(experiment, result)
    drawings = {
        "loss": lambda: loss_figure(result),
        "depth": lambda: depth_figure(result),
        "prediction": lambda: prediction_figure(experiment, result),
    }
    if result.explanation.processes:
        drawings["coefficients"] = result.explanation.plot
    figures = {name: try_png(name, draw) for name, draw in drawings.items()}
    text = json.dumps(summary, indent=2, allow_nan=False) + "\n"
    contents = {"summary.json": text.encode(), "history.csv": _history_csv(result)}
    for name in ("loss", "depth", "prediction", "coefficients"):
        figure = figures.get(name)
        if isinstance(figure, bytes):
            contents[f"{name}.png"] = figure
        else:
            # Left by an earlier run, it would seem to belong to this one.
            (folder / f"{name}.png").unlink(missing_ok=True)
    contents["report.html"] = render_page(summary, figures).encode()
    for name, content in contents.items():
        write_atomic(folder / name, content)
    return [model_path, *(folder / name for name in contents)]


def _history_csv(result: Result) -> bytes:
    history = result.fit.history
    columns = ("loss", "penalty", "validation_loss", "gradient_norm", "rate")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("step", *columns))
    rows = zip(*(getattr(history, name) for name in columns), strict=True)
    for step, values in enumerate(rows, start=1):
        writer.writerow((step, *("" if np.isnan(v) else repr(float(v)) for v in values)))
    return text.getvalue().encode()
