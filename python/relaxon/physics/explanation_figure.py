"""The figure of an explanation: maps, lines, or values with error bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..base.validate import refuse
from .coefficients import Process
from .findings import Findings
from .numbers import format_measured
from .plots import (
    WIDTH_INCHES,
    draw_arrows,
    draw_field,
    escape,
    make_figure,
    make_panels,
    unit_label,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


__all__ = ["draw_explanation"]

# The number above a point is clear of the row before.
ROW_INCHES = 0.42


def draw_explanation(explanation: Findings) -> Figure:
    """All coefficients in one figure.

    Parameters
    ----------
    explanation : Findings
        What to draw.

    Returns
    -------
    matplotlib.figure.Figure
        One panel for each field, or for each kind of coefficient that is the same in all cells.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    processes = explanation.processes
    if not processes:
        refuse("self", "an explanation with a linearisation", explanation.note)
    if processes[0].is_field:
        return _draw_fields(explanation)
    if processes[0].is_layered:
        return _draw_layers(explanation)
    return _draw_values(explanation)


def _draw_fields(explanation: Findings) -> Figure:
    # Numerical diffusion is a function of the drift beside it.
    processes = [p for p in explanation.processes if p.symbol != "numerical D"]
    mask, coordinates = explanation.grid.mask, explanation.coordinates
    figure, panels = make_panels(len(processes), coordinates)
    fields = [p.values.mean(axis=0) if p.is_layered else p.values for p in processes]
    drift = {p.axes: v for p, v in zip(processes, fields, strict=True) if p.symbol == "U"}
    # Arrows of unlike units would have no direction.
    has_arrows = len(drift) == 2 and len({p.unit for p in processes if p.symbol == "U"}) == 1
    for axes, process, values in zip(panels, processes, fields, strict=True):
        unit, factor = explanation.readable_unit(process)
        title = _capital(process.name) + (", mean over layers" if process.is_layered else "")
        carries_arrows = has_arrows and process.symbol == "U" and process.axes == (1,)
        if carries_arrows:
            title += ", with arrows"
        draw_field(figure, axes, coordinates, mask, values * factor, unit_label(unit), title)
        if carries_arrows:
            draw_arrows(axes, coordinates, mask, drift[1,], drift[0,], unit_label(unit))
    return figure


def _draw_layers(explanation: Findings) -> Figure:
    groups = _groups(explanation.processes)
    n_columns = min(len(groups), 3)
    n_rows = -(-len(groups) // n_columns)
    figure = make_figure((WIDTH_INCHES, 3.2 * n_rows))
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for unused in panels[len(groups) :]:
        unused.remove()
    for axes, group in zip(panels, groups, strict=False):
        for process in group:
            unit, factor = explanation.readable_unit(process)
            axes.errorbar(
                range(len(process.values)),
                process.values * factor,
                yerr=_bars(process, factor),
                marker="o",
                capsize=3,
                label=escape(process.name),
            )
            axes.set(xlabel="layer", ylabel=escape(unit_label(unit)))
        axes.locator_params(axis="x", integer=True)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    return figure


def _draw_values(explanation: Findings) -> Figure:
    groups = _groups(explanation.processes)
    heights = [len(group) + 1.2 for group in groups]
    figure = make_figure((0.7 * WIDTH_INCHES, ROW_INCHES * sum(heights) + 0.4))
    panels = figure.subplots(
        len(groups), 1, squeeze=False, gridspec_kw={"height_ratios": heights}
    ).ravel()
    for axes, group in zip(panels, groups, strict=True):
        for row, process in enumerate(group):
            unit, factor = explanation.readable_unit(process)
            value, bars = float(process.values) * factor, _bars(process, factor)
            axes.errorbar(value, row, xerr=bars, marker="o", capsize=4, color="C0")
            error = process.standard_error
            parts = format_measured(value, None if error is None else float(error) * factor)
            axes.annotate(
                " ± ".join(filter(None, parts)).replace("-", "\N{MINUS SIGN}"),
                (value, row),
                (0, 5),
                textcoords="offset points",
                ha="center",
                fontsize="small",
            )
            axes.set_xlabel(escape(unit_label(unit)))
        axes.axvline(0.0, color="0.4", linewidth=0.8)
        axes.set_yticks(range(len(group)), [escape(_capital(p.name)) for p in group])
        axes.set_ylim(len(group) - 0.6, -0.9)
        # Numbers stand above their points, also above those at the sides.
        axes.margins(x=0.18)
        axes.grid(alpha=0.3, axis="x")
    return figure


def _groups(processes: Sequence[Process]) -> list[list[Process]]:
    """Processes that share an axis: of one unit and order."""
    groups: dict[tuple[str, int], list[Process]] = {}
    for process in processes:
        groups.setdefault((process.unit, len(process.axes)), []).append(process)
    return list(groups.values())


def _bars(process: Process, factor: float) -> NDArray[np.float64] | None:
    """Error bars; none where the data do not determine the value."""
    error = process.standard_error
    return None if error is None else np.where(np.isfinite(error), error * factor, np.nan)


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]
