"""What an experiment leaves in its folder: model, summary, history and figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..base.durable import write_new
from ..forecasting.experiment import Experiment, Result
from ..model.saving import save
from ..physics.plots import try_png
from ..training.on_the_fly import OnTheFlyFit
from .figures import (
    depth_figure,
    depths_figure,
    loss_figure,
    prediction_figure,
    search_figure,
)
from .layers import layers_figure
from .page import render_page
from .publication import MODEL, discard_prepared, prepare, publish, start_preparing
from .record import extra_of
from .summary import summary_of

__all__ = ["write_report"]


def write_report(
    out: Path, experiment: Experiment, result: Result, record: Mapping[str, Any]
) -> list[str]:
    """Write everything an experiment leaves behind, all of it or nothing.

    Parameters
    ----------
    out : Path
        The report folder; the files of an earlier report are replaced.
    experiment : Experiment
        What was run.
    result : Result
        What it gave.
    record : mapping
        What tells this run from others, for the summary.

    Returns
    -------
    list of str
        Names of the files, the model first.

    Raises
    ------
    OSError
        If a file cannot be written. An earlier report is untouched then, unless a file cannot be
        renamed: what :func:`publish` has begun it can finish.

    Warns
    -----
    UserWarning
        If a figure cannot be drawn: it is left out, and the page says so.
    """
    summary = summary_of(experiment, result)
    draw_loss = layers_figure if isinstance(result.fit, OnTheFlyFit) else loss_figure
    draw_depth = depth_figure if result.search is None else search_figure
    drawings = {
        "loss": lambda: draw_loss(result),
        "depth": lambda: draw_depth(result),
        "prediction": lambda: prediction_figure(experiment, result),
    }
    if result.stability.has_numbers and result.search is None:
        drawings["stability"] = result.stability.plot
    if result.explanation.processes:
        drawings["coefficients"] = result.explanation.plot
    by_depth = next((c for c in result.comparisons if c.is_curve), None)
    if by_depth is not None:
        depth = result.fit.model.depth
        drawings["depths"] = lambda: depths_figure(by_depth, depth)
    figures = {name: try_png(name, draw) for name, draw in drawings.items()}
    contents = {f"{k}.png": png for k, png in figures.items() if isinstance(png, bytes)}
    contents["history.csv"] = _history_csv(result)
    contents["report.html"] = render_page(summary, figures).encode()
    folder = start_preparing(out)
    try:
        save(result.fit.model, folder / MODEL, extra=extra_of(experiment))
        for name, content in contents.items():
            write_new(folder / name, content)
        is_finished = not result.is_interrupted
        prepare(out, {**summary, "run": {**record, "is_finished": is_finished}})
    except OSError:
        discard_prepared(out)
        raise
    return publish(out)


def _history_csv(result: Result) -> bytes:
    history: Any = result.fit.history
    step = "step"
    columns: tuple[str, ...] = ("loss", "penalty", "validation_loss", "gradient_norm", "rate")
    if isinstance(result.fit, OnTheFlyFit):
        history = result.fit.layers
        step, columns = "layer", ("loss_before", "loss", "penalty", "kinetic_energy")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((step, *columns))
    rows = zip(*(getattr(history, name) for name in columns), strict=True)
    for number, values in enumerate(rows, start=1):
        writer.writerow((number, *("" if np.isnan(v) else repr(float(v)) for v in values)))
    return text.getvalue().encode()
