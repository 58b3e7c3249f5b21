"""Drawing of fields over coordinates: one axis as a line, two as a map, of three the middle slice.

Figures are made through the object interface of matplotlib with the Agg backend; no global setting
is read or changed.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base import signals
from ..base.figure import make_figure
from ..base.text import show
from ..datasets.axis import Axis
from ..datasets.coordinates import Coordinates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "WIDTH_INCHES",
    "draw_arrows",
    "draw_field",
    "encode_png",
    "escape",
    "is_strip",
    "make_figure",
    "make_panels",
    "pretty_unit",
    "try_png",
]

Field = NDArray[np.float64]

MASK_COLOUR = "0.78"
WIDTH_INCHES = 11.0
STRIP_INCHES = 1.55
# Maps flatter than this stand below each other, others side by side.
STRIP_ASPECT = 0.2
MOST_COLUMNS = 3
# Between longitudes all the way round, whose names have to stand side by side.
DEGREES, DEGREES_OF_STRIPS = 90.0, 60.0
ARROWS_PER_INCH = 4.4
# Of coefficients: a few cells at coasts would otherwise take the whole colour range.
COLOUR_PERCENTILE = 98.0
# Between a line and its frame.
LINE_MARGIN = 0.05
NO_UNIT = "no unit"
# Characters of a title or label.
LABEL = 120
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


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
    # matplotlib would write its version and its web address into the file.
    figure.savefig(content, format="png", dpi=130, metadata={"Software": None})
    return content.getvalue()


def try_png(name: str, draw: Callable[[], Figure]) -> bytes | str:
    """A figure as the content of a PNG file, or why there is none.

    Numbers shall not get lost for a picture of them.

    Parameters
    ----------
    name : str
        What the warning calls it.
    draw : callable
        Makes the figure.

    Returns
    -------
    bytes or str
        The file, or the reason.

    Warns
    -----
    UserWarning
        If drawing fails: which figure, and why.
    """
    try:
        return encode_png(draw())
    except Exception as error:
        # Of an interruption matplotlib may have made another exception.
        signals.check()
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        warnings.warn(
            f"the figure '{name}' could not be drawn: {reason}", UserWarning, stacklevel=2
        )
        return reason


def _aspect(coordinates: Coordinates) -> float:
    """Height over width of a map; axes of different units have no common scale."""
    upward, across = coordinates.axes[-2:]
    if upward.spacing_unit != across.spacing_unit:
        return 0.75
    heights = [axis.spacing * len(axis.values) for axis in (upward, across)]
    return heights[0] / heights[1]


def is_strip(coordinates: Coordinates) -> bool:
    """Whether fields are so flat that they stand below each other."""
    return len(coordinates.axes) == 1 or _aspect(coordinates) < STRIP_ASPECT


def make_panels(nmake_panels: int, coordinates: Coordinates) -> tuple[Figure, list[Axes]]:
    """A figure with panels fit for the shape of the field."""
    is_map = len(coordinates.axes) > 1
    if is_strip(coordinates):
        n_columns, height = 1, STRIP_INCHES
    else:
        n_columns = min(nmake_panels, MOST_COLUMNS)
        height = min(0.75 * _aspect(coordinates) * WIDTH_INCHES / n_columns + 0.8, 6.0)
    n_rows = -(-nmake_panels // n_columns)
    figure = make_figure((WIDTH_INCHES, height * n_rows))
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=is_map)
    for unused in panels.ravel()[nmake_panels:]:
        unused.remove()
    return figure, list(panels.ravel()[:nmake_panels])


def draw_field(
    figure: Figure,
    axes: Axes,
    coordinates: Coordinates,
    mask: NDArray[np.bool_] | None,
    values: Field,
    unit: str,
    title: str,
    limit: float | None = None,
) -> None:
    """One field: a line, a map, or the middle slice of three dimensions.

    The scale of values ends at `limit`, by default where those of a line or most of a map do.
    """
    if len(coordinates.axes) == 3:
        first = coordinates.axes[0]
        middle = len(first.values) // 2
        title += f" ({first.name} {first.values[middle]:g} {first.unit})".replace(" )", ")")
        mask, values = None if mask is None else mask[middle], values[middle]
        coordinates = Coordinates(coordinates.axes[1:])
    exists = np.isfinite(values) if mask is None else mask & np.isfinite(values)
    existing = np.ma.masked_where(~exists, values)
    degrees = DEGREES_OF_STRIPS if is_strip(coordinates) else DEGREES
    axes.set_title(
        escape(title), fontsize="medium" if is_strip(coordinates) else "small", loc="left"
    )
    across = coordinates.axes[-1]
    if len(coordinates.axes) == 1:
        axes.plot(across.values, existing, color="C0")
        axes.set_ylabel(escape(unit))
        axes.grid(alpha=0.3)
        if limit is not None:
            low = -limit if np.any(existing < 0.0) else 0.0
            axes.set_ylim(low - LINE_MARGIN * limit, (1.0 + LINE_MARGIN) * limit)
    else:
        magnitudes = np.abs(values[exists]) if exists.any() else np.ones(1)
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
            {"aspect": 8.0} if is_strip(coordinates) else {"aspect": 25.0, "shrink": 0.8}
        )
        figure.colorbar(drawn, ax=axes, label=escape(unit), pad=0.01, extend=extend, **size)
        _label(axes.yaxis, coordinates.axes[0], degrees)
    _label(axes.xaxis, across, degrees)
    axes.label_outer()


def _label(drawn: Any, axis: Axis, degrees: float) -> None:
    """Name and ticks of an axis, so many degrees apart where it goes all the way round.

    Degrees of the earth get their direction.
    """
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    is_degrees = axis.kind and axis.spacing_unit == "m"
    unit = "" if is_degrees or not axis.unit else f" ({pretty_unit(axis.unit)})"
    drawn.set_label_text(escape(f"{axis.name}{unit}"))
    if not is_degrees:
        return
    if axis.is_periodic:
        drawn.set_major_locator(MultipleLocator(degrees))
    sides = ("N", "S") if axis.kind == "latitude" else ("E", "W")

    def direction(value: float, _: object) -> str:
        if axis.kind == "longitude":
            value = (value + 180.0) % 360.0 - 180.0
        if not axis.is_geographic:
            return f"{value:g}°".replace("-", "\N{MINUS SIGN}")
        if value in (0.0, -180.0):
            return f"{abs(value):g}°"
        return f"{abs(value):g}°{sides[int(value < 0.0)]}"

    drawn.set_major_formatter(FuncFormatter(direction))


def draw_arrows(
    axes: Axes,
    coordinates: Coordinates,
    mask: NDArray[np.bool_] | None,
    across: Field,
    upward: Field,
    unit: str,
) -> None:
    """Arrows of a plane's velocity over its map, as many as can be told apart."""
    box = axes.get_position()
    figure: Any = axes.get_figure()
    inches = figure.get_size_inches()
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
    if not np.isfinite(u).any():
        return
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
    length = f"{key:g}" if unit == NO_UNIT else f"{key:g} {unit}"
    # Above the map where the title leaves room, else below the colour bar.
    x, y, side = (0.93, 1.12, "E") if is_strip(coordinates) else (1.12, 0.06, "S")
    axes.quiverkey(arrows, x, y, key, escape(length), labelpos=side, fontproperties={"size": 8})


def unit_label(unit: str) -> str:
    """A unit as the label of an axis."""
    return NO_UNIT if unit == "1" else pretty_unit(unit)


def pretty_unit(unit: str) -> str:
    """A unit with raised powers."""
    return re.sub(r"\^(-?\d+)", lambda match: match[1].translate(_SUPERSCRIPTS), unit)


def escape(text: str) -> str:
    """Text for matplotlib as it is, cut to what a label holds: dollars would start a formula."""
    return show(text, LABEL).replace("$", r"\$")
