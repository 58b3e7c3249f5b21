"""What an experiment leaves in its folder: model, summary, history and figures."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .experiment import Experiment, Result
from .explain import Explanation, Process
from .figures import coefficient_figure, loss_figure, prediction_figure
from .files import save, write_atomic
from .plots import encode_png
from .scaling import Scaling

__all__ = [
    "coefficient_figure",
    "loss_figure",
    "physics_of",
    "prediction_figure",
    "summary_of",
    "write_report",
]


def physics_of(explanation: Explanation, scaling: Scaling | None = None) -> dict[str, Any]:
    """Velocity, diffusivity and rate of an explanation, as in ``summary.json``.

    Parameters
    ----------
    explanation : Explanation
        What has been read.
    scaling : Scaling, optional
        Of the model: its step of time makes rates readable, per month for instance. Default: rates
        as in the explanation.

    Returns
    -------
    dict
        "velocity", "diffusivity" (per axis; "mixed" for pairs of axes), "rate" and
        "numerical_diffusivity" where the scheme adds one; only a "note" where there is no
        linearisation. A unit is one text, or a list where axes differ in it (then "mixed" has its
        own, "mixed_unit"). Coefficients that differ between layers are averaged over them, those
        that differ between cells are represented by their median.
    """
    if not explanation.processes:
        return {"note": explanation.note}
    processes = {(p.symbol, p.axes): p for p in explanation.processes}
    axes = range(len(explanation.names))

    def summarise(chosen: list[Process]) -> tuple[list[float], Any]:
        units = [process.unit for process in chosen]
        return [_one_number(p, explanation) for p in chosen], (
            units[0] if len(set(units)) == 1 else units
        )

    def per_axis(symbol: str, order: int) -> dict[str, Any]:
        values, unit = summarise([processes[symbol, (a,) * order] for a in axes])
        return {"value": values, "unit": unit, "axes": list(explanation.names)}

    reaction = processes["R", ()]
    name, length = ("", 1.0) if scaling is None else scaling.step.rate_unit
    physics = {"velocity": per_axis("U", 1)}
    # Moments of order 1 stop here.
    if ("D", (0, 0)) in processes:
        physics["diffusivity"] = per_axis("D", 2)
        mixed = [p for p in explanation.processes if len(set(p.axes)) == 2]
        physics["diffusivity"]["mixed"], unit = summarise(mixed) if mixed else ([], "")
        if isinstance(physics["diffusivity"]["unit"], list) and mixed:
            physics["diffusivity"]["mixed_unit"] = unit
    physics["rate"] = {
        "value": _one_number(reaction, explanation) * length,
        "unit": f"1/{name}" if name else reaction.unit,
    }
    if ("numerical D", (0, 0)) in processes:
        physics["numerical_diffusivity"] = per_axis("numerical D", 2)
    return physics


def summary_of(experiment: Experiment, result: Result) -> dict[str, Any]:
    """The content of ``summary.json``.

    Parameters
    ----------
    experiment : Experiment
        What was run.
    result : Result
        What it gave.

    Returns
    -------
    dict
        Rows of the table, physics, how the fit ended, settings and version.
    """
    from importlib.metadata import version

    fitted = result.fit
    return {
        "rows": [asdict(row) for row in result.rows],
        "physics": physics_of(result.explanation, result.fit.model.scaling),
        "fit": {
            "status": fitted.status.name.lower(),
            "message": fitted.message,
            "steps": len(fitted.history.loss),
            "validation_error": result.validation_error,
        },
        "config": experiment.config,
        "version": version("relaxon"),
    }


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
    """
    model_path = folder / "model.safetensors"
    save(result.fit.model, model_path, extra={"data": experiment.data.source})
    summary = json.dumps(summary_of(experiment, result), indent=2, allow_nan=False) + "\n"
    contents = {"summary.json": summary.encode(), "history.csv": _history_csv(result)}
    contents["loss.png"] = encode_png(loss_figure(result))
    contents["prediction.png"] = encode_png(prediction_figure(experiment, result))
    maps = coefficient_figure(result)
    if maps is not None:
        contents["coefficients.png"] = encode_png(maps)
    else:
        # Left by an earlier run with other options, it would seem to belong to this one.
        (folder / "coefficients.png").unlink(missing_ok=True)
    for name, content in contents.items():
        write_atomic(folder / name, content)
    return [model_path, *(folder / name for name in contents)]


def _one_number(process: Process, explanation: Explanation) -> float:
    values = process.values if explanation.n_layers is None else process.values.mean(axis=0)
    return float(np.nanmedian(values))


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
