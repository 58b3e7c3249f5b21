"""What an experiment leaves in its folder: model, summary, history and figures."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .datasets import SeaSurfaceTemperature
from .experiment import SECONDS_PER_MONTH, Experiment, Result
from .explain import Explanation, Process
from .files import save, write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "coefficient_figure",
    "loss_figure",
    "physics_of",
    "prediction_figure",
    "summary_of",
    "write_report",
]

Field = NDArray[np.float64]

LAND_COLOUR = "0.78"
STRIP_INCHES = (11.0, 1.55)
# Of coefficients: a few cells at coasts would otherwise take the whole colour range.
COLOUR_PERCENTILE = 98.0


def physics_of(explanation: Explanation) -> dict[str, Any]:
    """Velocity, diffusivity and rate of an explanation, as in ``summary.json``.

    Parameters
    ----------
    explanation : Explanation
        With times in s and one unit of length on all axes.

    Returns
    -------
    dict
        "velocity", "diffusivity" (per axis; "mixed" for pairs of axes), "rate" per month, and
        "numerical_diffusivity" where the scheme adds one; only a "note" where there is no
        linearisation. Coefficients that differ between layers are averaged over them, those that
        differ between cells are represented by their median.
    """
    if not explanation.processes:
        return {"note": explanation.note}
    processes = {(p.symbol, p.axes): p for p in explanation.processes}
    axes = range(len(explanation.names))

    def per_axis(symbol: str, order: int) -> dict[str, Any]:
        chosen = [processes[symbol, (a,) * order] for a in axes]
        return {
            "value": [_one_number(p, explanation) for p in chosen],
            "unit": chosen[0].unit,
            "axes": list(explanation.names),
        }

    reaction = processes["R", ()]
    physics = {
        "velocity": per_axis("U", 1),
        "diffusivity": per_axis("D", 2),
        "rate": {
            "value": _one_number(reaction, explanation) * SECONDS_PER_MONTH,
            "unit": "1/month",
        },
    }
    physics["diffusivity"]["mixed"] = [
        _one_number(p, explanation) for p in explanation.processes if len(set(p.axes)) == 2
    ]
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
        "physics": physics_of(result.explanation),
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
    data, split = experiment.data, experiment.split
    model_path = folder / "model.safetensors"
    save(
        result.fit.model,
        model_path,
        extra={
            "data": "sst",
            "lead": experiment.options.lead,
            "lead_unit": "month",
            "unit": data.unit,
            "scale": split.scale,
            "climatology": split.climatology,
            "latitude": data.latitude,
            "longitude": data.longitude,
        },
    )
    summary = json.dumps(summary_of(experiment, result), indent=2, allow_nan=False) + "\n"
    contents = {"summary.json": summary.encode(), "history.csv": _history_csv(result)}
    contents["loss.png"] = _png(loss_figure(result))
    contents["prediction.png"] = _png(prediction_figure(experiment, result))
    maps = coefficient_figure(data, result.explanation)
    if maps is not None:
        contents["coefficients.png"] = _png(maps)
    else:
        # Left by an earlier run with other options, it would seem to belong to this one.
        (folder / "coefficients.png").unlink(missing_ok=True)
    for name, content in contents.items():
        write_atomic(folder / name, content)
    return [model_path, *(folder / name for name in contents)]


def loss_figure(result: Result) -> Figure:
    """Loss, validation loss, penalty and gradient norm against the step.

    Parameters
    ----------
    result : Result
        What an experiment gave.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels.
    """
    figure = _figure((11.0, 4.0))
    left, right = figure.subplots(1, 2)
    history = result.fit.history
    steps = np.arange(1, len(history.loss) + 1)
    left.plot(steps, history.loss, color="C0", label="training")
    if np.isfinite(history.validation_loss).any():
        left.plot(steps, history.validation_loss, color="C1", label="validation")
    if np.any(history.penalty > 0.0):
        left.plot(steps, history.penalty, color="C2", label="penalty")
    for row, style in zip(result.rows[:2], (":", "--"), strict=True):
        left.axhline(
            row.training_error, color="0.4", linestyle=style, label=f"{row.name}, training"
        )
    left.set(xlabel="step", ylabel="mean squared error / variance of y", title="Loss")
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize="small")
    right.plot(steps, history.gradient_norm, color="C0")
    right.set(xlabel="step", ylabel="norm of the gradient", yscale="log", title="Gradient")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


def coefficient_figure(data: SeaSurfaceTemperature, explanation: Explanation) -> Figure | None:
    """Maps of reaction, drift (with arrows) and diffusion.

    Parameters
    ----------
    data : SeaSurfaceTemperature
        Coordinates and land.
    explanation : Explanation
        Coefficients; the mean over layers is drawn where these differ.

    Returns
    -------
    matplotlib.figure.Figure or None
        None where coefficients are the same in all cells.
    """
    lead = 0 if explanation.n_layers is None else 1
    maps = {
        (p.symbol, p.axes): p.values.mean(axis=0) if lead else p.values
        for p in explanation.processes
        if p.values.ndim == lead + data.mask.ndim
    }
    if not maps:
        return None
    eastward, northward = maps["U", (1,)], maps["U", (0,)]
    panels = [
        ("Reaction", maps["R", ()] * SECONDS_PER_MONTH, "1/month"),
        ("Drift: eastward component, with arrows", eastward, "m/s"),
        ("Diffusion along latitude", maps["D", (0, 0)], "m²/s"),
        ("Diffusion along longitude", maps["D", (1, 1)], "m²/s"),
        ("Diffusion, mixed", maps["D", (0, 1)], "m²/s"),
    ]
    figure = _figure((STRIP_INCHES[0], STRIP_INCHES[1] * len(panels)))
    for i, (axes, (title, values, unit)) in enumerate(
        zip(figure.subplots(len(panels), 1, sharex=True), panels, strict=True)
    ):
        _draw_map(figure, axes, data, values, unit, title)
        if i == 1:
            _draw_arrows(axes, data, eastward, northward)
        if i < len(panels) - 1:
            axes.set_xlabel("")
    return figure


def prediction_figure(experiment: Experiment, result: Result) -> Figure:
    """Truth, prediction and error of one held-out month, the one whose error is the median.

    Parameters
    ----------
    experiment : Experiment
        What was run.
    result : Result
        What it gave.

    Returns
    -------
    matplotlib.figure.Figure
        Three maps of temperature anomalies in K.
    """
    data, split = experiment.data, experiment.split
    truth = split.held_out[1].astype(np.float64) * split.scale
    prediction = result.prediction.astype(np.float64) * split.scale
    errors = np.mean((prediction - truth)[:, data.mask] ** 2, axis=1)
    chosen = int(np.argsort(errors)[len(errors) // 2])
    month = np.datetime_as_string(split.held_out_time[chosen], unit="M")
    fields = [truth[chosen], prediction[chosen], prediction[chosen] - truth[chosen]]
    limit = float(max(np.abs(field[data.mask]).max() for field in fields)) or 1.0
    figure = _figure((STRIP_INCHES[0], STRIP_INCHES[1] * 3))
    lead = experiment.options.lead
    titles = [
        f"Truth, {month}: anomaly from the monthly climatology",
        f"Prediction, from {lead} month{'s' if lead > 1 else ''} before",
        f"Error: root mean square {np.sqrt(errors[chosen]):.2f} K",
    ]
    panels = figure.subplots(3, 1, sharex=True)
    for axes, title, values in zip(panels, titles, fields, strict=True):
        _draw_map(figure, axes, data, values, data.unit, title, limit)
        if axes is not panels[-1]:
            axes.set_xlabel("")
    return figure


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


def _figure(inches: tuple[float, float]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    return content.getvalue()


def _draw_map(
    figure: Figure,
    axes: Axes,
    data: SeaSurfaceTemperature,
    values: Field,
    unit: str,
    title: str,
    limit: float | None = None,
) -> None:
    sea = np.ma.masked_where(~data.mask, values)
    if limit is None:
        limit = float(np.percentile(np.abs(values[data.mask]), COLOUR_PERCENTILE)) or 1.0
    has_signs = bool(np.any(sea < 0.0))
    drawn = axes.pcolormesh(
        data.longitude,
        data.latitude,
        sea,
        shading="nearest",
        cmap="RdBu_r" if has_signs else "viridis",
        vmin=-limit if has_signs else 0.0,
        vmax=limit,
        rasterized=True,
    )
    axes.set_facecolor(LAND_COLOUR)
    axes.set_title(title, fontsize="medium", loc="left")
    axes.set_xlabel("longitude")
    axes.set_ylabel("latitude")
    axes.set_xticks(range(0, 361, 60), ["0°", "60°E", "120°E", "180°", "120°W", "60°W", "0°"])
    axes.set_yticks([-4, 0, 4], ["4°S", "0°", "4°N"])
    magnitudes = np.abs(values[data.mask])
    extend = "neither" if magnitudes.max() <= limit else "both" if has_signs else "max"
    figure.colorbar(drawn, ax=axes, label=unit, pad=0.01, aspect=8, extend=extend)


def _draw_arrows(
    axes: Axes, data: SeaSurfaceTemperature, eastward: Field, northward: Field
) -> None:
    rows, columns = slice(2, None, 4), slice(4, None, 9)
    u = np.where(data.mask, eastward, np.nan)[rows, columns]
    v = np.where(data.mask, northward, np.nan)[rows, columns]
    typical = float(np.nanpercentile(np.hypot(u, v), 90.0)) or 1.0
    arrows = axes.quiver(
        data.longitude[columns],
        data.latitude[rows],
        u,
        v,
        angles="uv",
        scale=typical * 40.0,
        width=0.0012,
        headwidth=4.0,
        color="black",
    )
    key = float(f"{typical:.1g}")
    axes.quiverkey(
        arrows, 0.93, 1.12, key, f"{key:g} m/s", labelpos="E", fontproperties={"size": 8}
    )
