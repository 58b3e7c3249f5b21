"""Drawing of fields over a grid: one axis as a line, two as a map, of three the middle slice.

Figures are made through the object interface of matplotlib with the Agg backend; no global setting
is read or changed.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .grid import Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Axis",
    "axes_of",
    "draw_arrows",
    "draw_field",
    "encode_png",
    "make_figure",
    "make_panels",
    "pretty_unit",
]

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
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, eq=False)
class Axis:
    """Positions of cells along one axis, for drawing."""

    name: str
    values: Field
    unit: str
    spacing: float


def axes_of(grid: Grid) -> tuple[Axis, ...]:
    """The axes of a grid."""
    return tuple(
        Axis(name, origin + spacing * np.arange(n, dtype=np.float64), unit, spacing)
        for name, origin, spacing, n, unit in zip(
            grid.names, grid.origin, grid.spacing, grid.shape, grid.unit, strict=True
        )
    )


def make_figure(inches: tuple[float, float]) -> Figure:
    """An empty figure."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ImportError(
            f"figures need {error.name}; install it with: pip install 'relaxon[cli]'"
        ) from None
    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def encode_png(figure: Figure) -> bytes:
    """A figure as the content of a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    return content.getvalue()


def make_panels(n_panels: int, space: Sequence[Axis]) -> tuple[Figure, list[Axes]]:
    """A figure with panels fit for the shape of a field."""
    is_map = len(space) > 1
    if _is_strip(space):
        n_columns, height = 1, STRIP_INCHES
    else:
        n_columns = min(n_panels, MOST_COLUMNS)
        height = min(0.75 * _aspect(space) * WIDTH_INCHES / n_columns + 0.8, 6.0)
    n_rows = -(-n_panels // n_columns)
    figure = make_figure((WIDTH_INCHES, max(height * n_rows, 2.0)))
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=is_map)
    for unused in panels.ravel()[n_panels:]:
        unused.remove()
    return figure, list(panels.ravel()[:n_panels])


def draw_field(
    figure: Figure,
    axes: Axes,
    space: Sequence[Axis],
    mask: NDArray[np.bool_] | None,
    values: Field,
    unit: str,
    title: str,
    limit: float | None = None,
) -> None:
    """One field with its colour bar, labels and title.

    Parameters
    ----------
    figure, axes
        Where to draw.
    space : sequence of Axis
        One to three axes.
    mask : ndarray of bool or None
        True where cells exist.
    values : ndarray
        The field.
    unit, title : str
        Of the field.
    limit : float, optional
        End of the colour range. Default: the 98th percentile of the magnitude.
    """
    if len(space) == 3:
        first = space[0]
        middle = len(first.values) // 2
        title += f" ({_axis_label(first.name, '')} {first.values[middle]:g} {first.unit})".replace(
            " )", ")"
        )
        mask, values = None if mask is None else mask[middle], values[middle]
        space = space[1:]
    exists = np.isfinite(values) if mask is None else mask & np.isfinite(values)
    existing = np.ma.masked_where(~exists, values)
    axes.set_title(_plain(title), fontsize="medium", loc="left")
    across = space[-1]
    if len(space) == 1:
        axes.plot(across.values, existing, color="C0")
        axes.set_ylabel(_plain(unit))
        axes.grid(alpha=0.3)
    else:
        magnitudes = np.abs(values[exists]) if exists.any() else np.ones(1)
        if limit is None:
            limit = float(np.percentile(magnitudes, COLOUR_PERCENTILE)) or 1.0
        has_signs = bool(np.any(existing < 0.0))
        drawn = axes.pcolormesh(
            across.values,
            space[0].values,
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
            {"aspect": 8.0} if _is_strip(space) else {"aspect": 25.0, "shrink": 0.8}
        )
        figure.colorbar(drawn, ax=axes, label=_plain(unit), pad=0.01, extend=extend, **size)
        axes.set_ylabel(_axis_label(space[0].name, space[0].unit))
    axes.set_xlabel(_axis_label(across.name, across.unit))
    axes.label_outer()


def draw_arrows(
    axes: Axes,
    space: Sequence[Axis],
    mask: NDArray[np.bool_] | None,
    across: Field,
    upward: Field,
    unit: str,
) -> None:
    """Arrows of a plane's velocity over its map, as many as can be told apart."""
    figure: Any = axes.get_figure()
    inches = figure.get_size_inches()
    box = axes.get_position()
    n_arrows = [
        max(1, round(ARROWS_PER_INCH * float(size)))
        for size in (box.height * inches[1], box.width * inches[0])
    ]
    slices = tuple(
        slice((n // count) // 2, None, max(1, n // count))
        for n, count in zip(across.shape, n_arrows, strict=True)
    )
    u, v = (
        (field if mask is None else np.where(mask, field, np.nan))[slices]
        for field in (across, upward)
    )
    lengths = np.hypot(u, v)
    if not np.isfinite(lengths).any():
        return
    typical = float(np.nanpercentile(lengths, 90.0)) or 1.0
    arrows = axes.quiver(
        space[1].values[slices[1]],
        space[0].values[slices[0]],
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
    x, y, side = (0.93, 1.12, "E") if _is_strip(space) else (1.12, 0.06, "S")
    axes.quiverkey(
        arrows, x, y, key, _plain(f"{key:g} {unit}"), labelpos=side, fontproperties={"size": 8}
    )


def pretty_unit(unit: str) -> str:
    """A unit with raised powers."""
    return re.sub(r"\^(-?\d+)", lambda match: match[1].translate(_SUPERSCRIPTS), unit)


def _axis_label(name: str, unit: str) -> str:
    return _plain(f"{name or '(no name)'} ({pretty_unit(unit)})" if unit else name or "(no name)")


def _plain(text: str) -> str:
    """Text as it is: dollars would start a formula."""
    return text.replace("$", r"\$")


def _aspect(space: Sequence[Axis]) -> float:
    """Height over width of a map; axes of different units have no common scale."""
    upward, across = space[-2:]
    if upward.unit != across.unit:
        return 0.75
    heights = [axis.spacing * len(axis.values) for axis in (upward, across)]
    return heights[0] / heights[1]


def _is_strip(space: Sequence[Axis]) -> bool:
    """Whether fields are so flat that they stand below each other."""
    return len(space) == 1 or _aspect(space) < STRIP_ASPECT
