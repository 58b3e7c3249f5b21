"""Figures of an experiment: losses, coefficients, and a forecast beside the truth.

One axis of space is drawn as a line, two as a map, of three the middle slice of the first.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .coordinates import Axis, Coordinates
from .experiment import Experiment, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["coefficient_figure", "encode_png", "loss_figure", "prediction_figure"]

Field = NDArray[np.float64]

MASK_COLOUR = "0.78"
WIDTH_INCHES = 11.0
STRIP_INCHES = 1.55
# Maps flatter than this stand below each other, others side by side.
STRIP_ASPECT = 0.2
MOST_COLUMNS = 3
ARROWS_PER_INCH = 4.4
# Of coefficients: a few cells at coasts would otherwise take the whole colour range.
COLOUR_PERCENTILE = 98.0


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


def coefficient_figure(experiment: Experiment, result: Result) -> Figure | None:
    """Maps of reaction, drift (with arrows in two dimensions) and diffusion.

    Parameters
    ----------
    experiment : Experiment
        What was run: coordinates, mask and unit of time.
    result : Result
        What it gave; the mean over layers is drawn where coefficients differ between them.

    Returns
    -------
    matplotlib.figure.Figure or None
        None where coefficients are the same in all cells.
    """
    explanation, split = result.explanation, experiment.split
    lead = 0 if explanation.n_layers is None else 1
    fields = [
        (process, process.values.mean(axis=0) if lead else process.values)
        for process in explanation.processes
        if process.values.ndim == lead + split.mask.ndim and process.symbol != "numerical D"
    ]
    if not fields:
        return None
    coordinates = split.coordinates
    step = None if split.scaling is None else split.scaling.step
    figure, panels = _panels(len(fields), coordinates)
    drift = {process.axes: values for process, values in fields if process.symbol == "U"}
    for axes, (process, values) in zip(panels, fields, strict=True):
        unit, title = process.unit, process.name.capitalize()
        if process.symbol == "R" and step is not None:
            name, length = step.rate_unit
            unit, values = f"1/{name}" if name else unit, values * length
        has_arrows = process.symbol == "U" and process.axes == (1,) and len(drift) == 2
        if has_arrows:
            title += ", with arrows"
        _draw(figure, axes, coordinates, split.mask, values, _pretty(unit), title)
        if has_arrows:
            _draw_arrows(axes, coordinates, split.mask, drift[1,], drift[0,], process.unit)
    return figure


def prediction_figure(experiment: Experiment, result: Result) -> Figure:
    """Truth, prediction and error of one held-out sample, the one whose error is the median.

    Parameters
    ----------
    experiment : Experiment
        What was run.
    result : Result
        What it gave.

    Returns
    -------
    matplotlib.figure.Figure
        Three pictures of anomalies in the unit of the data.
    """
    split = experiment.split
    scaling, held_out, mask = split.scaling, split.held_out, split.mask
    scale = 1.0 if scaling is None else scaling.scale
    truth = held_out.y.astype(np.float64) * scale
    prediction = result.prediction.astype(np.float64) * scale
    exists = mask & np.isfinite(truth)
    squares = np.where(exists, prediction - truth, 0.0) ** 2
    counts = exists.reshape(len(exists), -1).sum(axis=1)
    errors = squares.reshape(len(exists), -1).sum(axis=1) / np.maximum(counts, 1)
    chosen = int(np.argsort(errors)[len(errors) // 2])
    fields = [truth[chosen], prediction[chosen], prediction[chosen] - truth[chosen]]
    limit = float(max(np.abs(field[exists[chosen]]).max() for field in fields)) or 1.0
    unit = "" if scaling is None else scaling.unit
    titles = [
        f"Truth, {_when(experiment, chosen)}",
        "Prediction" if scaling is None else f"Prediction, {scaling.step.text(scaling.lead)} ahead",
        f"Error: root mean square {np.sqrt(errors[chosen]):.3g} {unit}".rstrip(),
    ]
    if scaling is not None and scaling.period != "none":
        # Side by side there is no room for a long line.
        separator = " " if _is_strip(split.coordinates) else "\n"
        titles[0] += f":{separator}anomaly from the {scaling.period}ly climatology"
    figure, panels = _panels(3, split.coordinates)
    for axes, title, values in zip(panels, titles, fields, strict=True):
        _draw(figure, axes, split.coordinates, exists[chosen], values, unit, title, limit)
    return figure


def encode_png(figure: Figure) -> bytes:
    """A figure as the content of a PNG file.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.

    Returns
    -------
    bytes
        The file.
    """
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    return content.getvalue()


def _figure(inches: tuple[float, float]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _aspect(coordinates: Coordinates) -> float:
    """Height over width of a map; axes of different units have no common scale."""
    upward, across = coordinates.axes[-2:]
    if upward.spacing_unit != across.spacing_unit:
        return 0.75
    heights = [axis.spacing * len(axis.values) for axis in (upward, across)]
    return heights[0] / heights[1]


def _is_strip(coordinates: Coordinates) -> bool:
    """Whether fields are so flat that they stand below each other."""
    return len(coordinates.axes) == 1 or _aspect(coordinates) < STRIP_ASPECT


def _panels(n_panels: int, coordinates: Coordinates) -> tuple[Figure, list[Axes]]:
    """A figure with panels fit for the shape of the field."""
    is_map = len(coordinates.axes) > 1
    if _is_strip(coordinates):
        n_columns, height = 1, STRIP_INCHES
    else:
        n_columns = min(n_panels, MOST_COLUMNS)
        height = min(0.75 * _aspect(coordinates) * WIDTH_INCHES / n_columns + 0.8, 6.0)
    n_rows = -(-n_panels // n_columns)
    figure = _figure((WIDTH_INCHES, height * n_rows))
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=is_map)
    for unused in panels.ravel()[n_panels:]:
        unused.remove()
    return figure, list(panels.ravel()[:n_panels])


def _draw(
    figure: Figure,
    axes: Axes,
    coordinates: Coordinates,
    mask: NDArray[np.bool_],
    values: Field,
    unit: str,
    title: str,
    limit: float | None = None,
) -> None:
    """One field: a line, a map, or the middle slice of three dimensions."""
    if len(coordinates.axes) == 3:
        first = coordinates.axes[0]
        middle = len(first.values) // 2
        title += f" ({first.name} {first.values[middle]:g} {first.unit})".replace(" )", ")")
        mask, values = mask[middle], values[middle]
        coordinates = Coordinates(coordinates.axes[1:])
    existing = np.ma.masked_where(~mask, values)
    axes.set_title(title, fontsize="medium" if _is_strip(coordinates) else "small", loc="left")
    across = coordinates.axes[-1]
    if len(coordinates.axes) == 1:
        axes.plot(across.values, existing, color="C0")
        axes.set_ylabel(unit)
        axes.grid(alpha=0.3)
    else:
        magnitudes = np.abs(values[mask]) if mask.any() else np.ones(1)
        if limit is None:
            limit = float(np.percentile(magnitudes, COLOUR_PERCENTILE)) or 1.0
        has_signs = bool(np.any(existing < 0.0))
        drawn = axes.pcolormesh(
            across.values,
            coordinates.axes[0].values,
            existing,
            shading="nearest",
            cmap="RdBu_r" if has_signs else "viridis",
            vmin=-limit if has_signs else 0.0,
            vmax=limit,
            rasterized=True,
        )
        axes.set_facecolor(MASK_COLOUR)
        extend = "neither" if magnitudes.max() <= limit else "both" if has_signs else "max"
        size: dict[str, Any] = (
            {"aspect": 8.0} if _is_strip(coordinates) else {"aspect": 25.0, "shrink": 0.8}
        )
        figure.colorbar(drawn, ax=axes, label=unit, pad=0.01, extend=extend, **size)
        _label(axes.yaxis, coordinates.axes[0])
    _label(axes.xaxis, across)
    axes.label_outer()


def _label(drawn: Any, axis: Axis) -> None:
    """Name and ticks of an axis; degrees get their direction."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    is_degrees = axis.kind and axis.spacing_unit == "m"
    unit = "" if is_degrees or not axis.unit else f" ({_pretty(axis.unit)})"
    drawn.set_label_text(f"{axis.name}{unit}")
    if not is_degrees:
        return
    if axis.is_periodic:
        drawn.set_major_locator(MultipleLocator(60.0))
    sides = ("N", "S") if axis.kind == "latitude" else ("E", "W")

    def direction(value: float, _: object) -> str:
        if axis.kind == "longitude":
            value = (value + 180.0) % 360.0 - 180.0
        if value in (0.0, -180.0):
            return f"{abs(value):g}°"
        return f"{abs(value):g}°{sides[int(value < 0.0)]}"

    drawn.set_major_formatter(FuncFormatter(direction))


def _draw_arrows(
    axes: Axes,
    coordinates: Coordinates,
    mask: NDArray[np.bool_],
    across: Field,
    upward: Field,
    unit: str,
) -> None:
    box = axes.get_position()
    figure = axes.get_figure()
    assert figure is not None
    inches = figure.get_size_inches() if hasattr(figure, "get_size_inches") else (WIDTH_INCHES, 4.0)
    n_arrows = [
        max(1, round(ARROWS_PER_INCH * float(size)))
        for size in (box.height * inches[1], box.width * inches[0])
    ]
    slices = tuple(
        slice((n // count) // 2, None, max(1, n // count))
        for n, count in zip(mask.shape, n_arrows, strict=True)
    )
    u, v = (np.where(mask, field, np.nan)[slices] for field in (across, upward))
    typical = float(np.nanpercentile(np.hypot(u, v), 90.0)) or 1.0
    arrows = axes.quiver(
        coordinates.axes[1].values[slices[1]],
        coordinates.axes[0].values[slices[0]],
        u,
        v,
        angles="uv",
        scale=typical * 0.85 * u.shape[1],
        width=0.055 / u.shape[1],
        headwidth=4.0,
        color="black",
    )
    key = float(f"{typical:.1g}")
    # Above the map where the title leaves room, else below the colour bar.
    x, y, side = (0.93, 1.12, "E") if _is_strip(coordinates) else (1.12, 0.06, "S")
    axes.quiverkey(arrows, x, y, key, f"{key:g} {unit}", labelpos=side, fontproperties={"size": 8})


def _when(experiment: Experiment, sample: int) -> str:
    times = experiment.split.held_out.time
    if times is None:
        return f"held-out sample {sample}"
    if times.dtype.kind != "M":
        return str(times[sample])
    assert experiment.split.scaling is not None
    return str(
        np.datetime_as_string(
            times[sample], unit="M" if experiment.split.scaling.step.n_months else "m"
        )
    )


def _pretty(unit: str) -> str:
    return unit.replace("^2", "²").replace("^3", "³").replace("^4", "⁴")
