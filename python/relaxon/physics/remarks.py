"""What has to be said beside coefficients: why a number is not what its name promises.

Remarks belong to an :class:`relaxon.Explanation`; the terminal, the table, ``summary.json`` and the
page show them as notes [1], [2], ... beside the numbers they concern. What looks at more than one
explanation (other leads, other depths) appends its own: ``replace(explanation,
remarks=(*explanation.remarks, Remark(...)))``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..datasets.coordinates import Coordinates
from ..domain.grid import Grid
from .coefficients import Process
from .numbers import format_number, format_percent

__all__ = ["Remark", "number_remarks", "read_remarks"]

# Waves of a few cells say little of transport.
FEWEST_CELLS = 8
WIDEST_RANGE = 1.2
# What a range of 5 to 95 % does not show is not worth a word.
LEAST_SHARE = 0.05
ANTIDIFFUSION = (
    "antidiffusion, which amplifies short waves: a sign of noise, of unresolved motion, or of an "
    "ill-posed fit"
)


@dataclass(frozen=True)
class Remark:
    """One thing to say of one coefficient.

    Attributes
    ----------
    name : str
        What kind of remark: "antidiffusion", "few cells", "uneven widths", ...
    symbol : str
        The coefficient's, as in :class:`relaxon.physics.coefficients.Process`.
    axes : tuple of int
        The grid axes of the coefficient, likewise.
    text : str
        In words, without full stop. Equal texts share one note.
    """

    name: str
    symbol: str
    axes: tuple[int, ...]
    text: str


def number_remarks(
    remarks: Iterable[Remark],
) -> tuple[tuple[str, ...], dict[tuple[str, tuple[int, ...]], str]]:
    """Notes, and which of them stand beside which coefficient.

    Parameters
    ----------
    remarks : iterable of Remark
        In order.

    Returns
    -------
    texts : tuple of str
        What notes 1, 2, ... say.
    marks : dict of (symbol, axes) to str
        For instance "[1, 3]"; coefficients without remarks are not in it.
    """
    texts: dict[str, int] = {}
    numbers: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for remark in remarks:
        number = texts.setdefault(remark.text, len(texts) + 1)
        numbers.setdefault((remark.symbol, remark.axes), []).append(number)
    marks = {key: f"[{', '.join(map(str, sorted(found)))}]" for key, found in numbers.items()}
    return tuple(texts), marks


def read_remarks(
    processes: Sequence[Process], grid: Grid, coordinates: Coordinates, has_bounds: bool
) -> tuple[Remark, ...]:
    """Remarks that follow from the coefficients and the cells they are of.

    Parameters
    ----------
    processes : sequence of Process
        All coefficients.
    grid : Grid
        Of the model.
    coordinates : Coordinates
        Of its cells.
    has_bounds : bool
        Whether the operator has diffusion as a parameter, which bounds can keep positive.

    Returns
    -------
    tuple of Remark
        Coefficients that are no diffusion but antidiffusion; axes of fewer than 8 cells; one number
        for cells whose width varies by more than 20 %.
    """
    remarks = []
    added = {p.axes: p for p in processes if p.symbol == "numerical D"}
    for process in processes:
        if process.symbol == "D" and len(set(process.axes)) == 1:
            text = _antidiffusion(process, added.get(process.axes))
            if text:
                if has_bounds:
                    text += ' (relaxon fit --bounds "D>=0" rules it out)'
                remarks.append(Remark("antidiffusion", process.symbol, process.axes, text))
        if process.symbol == "D" and len(set(process.axes)) == 2:
            text = _oblique_antidiffusion(process, processes, added)
            if text:
                remarks.append(Remark("antidiffusion", process.symbol, process.axes, text))
    for process in processes:
        if process.symbol == "numerical D":
            continue
        for axis in dict.fromkeys(process.axes):
            for name, text in _about_axis(axis, grid, coordinates, process.is_field):
                remarks.append(Remark(name, process.symbol, process.axes, text))
    return tuple(remarks)


def _antidiffusion(process: Process, added: Process | None) -> str:
    """What is to be said of a diffusivity below zero; else nothing."""
    values = process.values if added is None else process.values + added.values
    known = values[np.isfinite(values)]
    share = float(np.mean(known < 0.0)) if known.size else 0.0
    if process.is_field or process.is_layered:
        if share <= LEAST_SHARE:
            return ""
        where = "cells" if process.is_field else "layers"
        if process.is_field and process.is_layered:
            where = "cells and layers"
        return f"negative in {format_percent(share)} of {where}: {ANTIDIFFUSION}"
    if share == 0.0:
        return ""
    error = process.standard_error
    if error is not None and abs(float(process.values)) < 2.0 * float(error):
        return f"negative, but within two standard errors of zero; if real, {ANTIDIFFUSION}"
    return f"negative: {ANTIDIFFUSION}"


def _oblique_antidiffusion(
    mixed: Process, processes: Sequence[Process], added: Mapping[tuple[int, ...], Process]
) -> str:
    """What is to be said of D_ab^2 > D_aa D_bb, which no sign of a component tells; else nothing.

    Negative components along an axis have their own remark.
    """
    own = {p.axes: p.values for p in processes if p.symbol == "D"}
    along = []
    for a in mixed.axes:
        extra = added.get((a, a))
        along.append(own[a, a] if extra is None else own[a, a] + extra.values)
    is_positive = (along[0] >= 0.0) & (along[1] >= 0.0)
    excess = np.abs(mixed.values) - np.sqrt(np.where(is_positive, along[0] * along[1], np.inf))
    error = mixed.standard_error
    is_wrong = excess > (0.0 if error is None else 2.0 * error)
    known = np.isfinite(mixed.values)
    share = float(np.mean(is_wrong[known])) if known.any() else 0.0
    is_one = not (mixed.is_field or mixed.is_layered)
    if share <= (0.0 if is_one else LEAST_SHARE):
        return ""
    where = "" if is_one else f" in {format_percent(share)} of cells or layers"
    return f"larger than the diffusivities along its axes allow{where}: oblique {ANTIDIFFUSION}"


def _about_axis(
    axis: int, grid: Grid, coordinates: Coordinates, is_field: bool
) -> list[tuple[str, str]]:
    found = []
    name, n_cells = grid.names[axis], grid.shape[axis]
    if n_cells < FEWEST_CELLS:
        text = f"only {n_cells} cells along {name}: too few to tell transport from their edges"
        found.append(("few cells", text))
    widths = grid.spacing[axis] * coordinates.stretch(axis)
    if grid.mask is not None:
        widths = np.broadcast_to(widths, grid.shape)[grid.mask]
    narrowest, widest = float(widths.min()), float(widths.max())
    if not is_field and widest > WIDEST_RANGE * narrowest:
        unit, factor = grid.unit[axis], 1.0
        if unit == "m" and narrowest > 1e4:
            unit, factor = "km", 1e-3
        low, high, middle = (
            format_number(width * factor, 3)
            for width in (narrowest, widest, float(grid.spacing[axis]))
        )
        found.append(
            (
                "uneven widths",
                f"one number for cells whose width along {name} varies from {low} to {high} "
                f"{unit}: it is converted with {middle} {unit}, the width at the mean latitude",
            )
        )
    return found
