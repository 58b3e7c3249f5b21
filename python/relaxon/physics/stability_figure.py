"""The figure of stability numbers: factors of waves, and numbers beside their bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.coordinates import Coordinates
from ..dynamics.amplification import Amplification
from ..dynamics.certificate import Certificate, describe_place
from .numbers import format_number
from .plots import WIDTH_INCHES, draw_field, escape, make_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_stability"]

Field = NDArray[np.float64]

HEIGHT_INCHES = 3.6
BOUND: dict[str, Any] = {"color": "C3", "linestyle": "--", "linewidth": 1.0}
# A number that is infinite stands here, in units of its bound.
MOST_DRAWN = 1e3


def draw_stability(
    amplification: Amplification | None,
    numbers: Mapping[str, Field],
    certificate: Certificate | None,
    spectral_radius: float | None,
    coordinates: Coordinates,
) -> Figure:
    """Factors of waves on the left, numbers in units of their bounds on the right.

    Parameters
    ----------
    amplification : Amplification or None
        Without one its panel is left out.
    numbers : mapping of str to array
        Numbers of layers and cells, whose bound is 1.
    certificate : Certificate or None
        Its factor and mu stand among them where nothing differs between layers and cells.
    spectral_radius : float or None
        Likewise.
    coordinates : Coordinates
        Of the cells.

    Returns
    -------
    matplotlib.figure.Figure
        Made without pyplot.
    """
    shape = coordinates.shape
    fields = {
        name: values for name, values in numbers.items() if values.shape[-len(shape) :] == shape
    }
    # In one dimension as many layers as cells look alike; these are then drawn as layers.
    is_local = bool(fields) and all(values.size > 1 for values in fields.values())
    if amplification is not None and amplification.cell is None:
        is_local = False
    n_panels = int(amplification is not None) + (len(fields) if is_local else 1)
    figure = make_figure((WIDTH_INCHES, HEIGHT_INCHES))
    panels = list(figure.subplots(1, n_panels, squeeze=False).ravel())
    if amplification is not None:
        _draw_waves(figure, panels.pop(0), amplification, coordinates.names)
    if not is_local:
        _draw_numbers(panels[0], numbers, amplification, certificate, spectral_radius)
        return figure
    mask = None
    for axes, (name, values) in zip(panels, fields.items(), strict=True):
        worst = values.reshape(-1, *shape)
        with np.errstate(invalid="ignore"):
            largest = np.where(np.isnan(worst).all(axis=0), np.nan, np.fmax.reduce(worst, axis=0))
        title = name + (", largest of all layers" if len(worst) > 1 else "")
        capped = np.minimum(largest, MOST_DRAWN)
        draw_field(figure, axes, coordinates, mask, capped, "stable up to 1", title)
        # Panels of fields share their axes; here others stand beside them.
        axes.tick_params(labelleft=True)
        if len(shape) == 1:
            axes.axhline(1.0, **BOUND)
    return figure


def _draw_waves(figure: Figure, axes: Axes, waves: Amplification, names: Sequence[str]) -> None:
    """|G| over wave numbers: curves on a line, a map of two axes, of three the middle slice."""
    k, modulus = waves.wavenumbers / np.pi, waves.modulus
    place = describe_place(waves.layer, waves.cell)
    note = f"largest {format_number(waves.largest)}" + (f" ({place})" if place else "")
    shared = [] if waves.layer is None else ["layers"]
    shared += [] if waves.cell is None else ["cells"]
    title = f"|G|, {note}" + (f"; largest of all {' and '.join(shared)}" if shared else "")
    ndim = k.shape[-1]
    if ndim == 3:
        middle = int(np.unravel_index(int(modulus.argmax()), modulus.shape)[0])
        title += f"; k = {k[middle, 0, 0, 0]:.2f} pi along {names[0]}"
        k, modulus = k[middle, ..., 1:], modulus[middle]
    axes.set_title(title, fontsize="small", loc="left")
    if ndim == 1:
        order = np.argsort(_centred(k[:, 0]))
        across = _centred(k[:, 0])[order]
        if waves.factor is not None and waves.factor.ndim == 2:
            for layer, factor in enumerate(waves.factor):
                shade = 0.15 + 0.7 * layer / max(len(waves.factor) - 1, 1)
                axes.plot(across, np.abs(factor[order]), color=str(shade), linewidth=0.8)
        axes.plot(across, modulus[order], color="C0", marker="." if len(across) < 65 else "")
        axes.axhline(1.0, **BOUND)
        axes.set(xlabel="wave number (pi per cell)", ylabel="|G|", xlim=(-1.0, 1.0))
        axes.set_ylim(0.0, 1.05 * max(1.0, float(np.minimum(modulus, MOST_DRAWN).max())))
        axes.grid(alpha=0.3)
        return
    rows, columns = _centred(k[:, 0, 0]), _centred(k[0, :, 1])
    by_row, by_column = np.argsort(rows), np.argsort(columns)
    limit = max(1.0, float(np.minimum(modulus, MOST_DRAWN).max()))
    drawn = axes.pcolormesh(
        columns[by_column],
        rows[by_row],
        modulus[np.ix_(by_row, by_column)],
        shading="nearest",
        cmap="viridis",
        vmin=0.0,
        vmax=limit,
        rasterized=True,
    )
    if modulus.max() > 1.0 and min(modulus.shape) > 1:
        values = modulus[np.ix_(by_row, by_column)]
        axes.contour(columns[by_column], rows[by_row], values, [1.0], colors="C3", linewidths=1.0)
    labels = [escape(f"wave number along {name} (pi per cell)") for name in names[-2:]]
    axes.set(xlabel=labels[1], ylabel=labels[0])
    figure.colorbar(drawn, ax=axes, label="|G|", pad=0.01)


def _centred(k: Field) -> Field:
    """Wave numbers in units of pi between -1 and 1."""
    return np.where(k > 1.0, k - 2.0, k)


def _draw_numbers(
    axes: Axes,
    numbers: Mapping[str, Field],
    amplification: Amplification | None,
    certificate: Certificate | None,
    spectral_radius: float | None,
) -> None:
    """Over layers where they differ between them, else points; the bound of all is 1."""
    series = dict(numbers)
    if amplification is not None:
        series["amplification, max |G|"] = amplification.layers
    if any(values.size > 1 for values in series.values()):
        for name, values in series.items():
            layers = np.minimum(values, MOST_DRAWN)
            axes.plot(range(len(layers)), layers, marker="o", label=name)
        axes.axhline(1.0, **BOUND)
        axes.set(xlabel="layer", ylabel="stable up to 1")
        axes.locator_params(axis="x", integer=True)
        axes.set_ylim(bottom=0.0)
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
        return
    if spectral_radius is not None:
        series["spectral radius"] = np.asarray(spectral_radius)
    if certificate is not None:
        series["certificate, factor"] = np.asarray(certificate.factor)
        series["certificate, mu"] = np.asarray(certificate.mu)
    largest = max((1.0, *(float(values) for values in series.values())))
    for row, values in enumerate(series.values()):
        value = float(values)
        axes.plot(min(value, MOST_DRAWN), row, marker="o", color="C0")
        axes.annotate(
            format_number(value).replace("-", "\N{MINUS SIGN}"),
            (min(value, MOST_DRAWN), row),
            (0, 5),
            textcoords="offset points",
            ha="center",
            fontsize="small",
        )
    axes.axvline(1.0, **BOUND)
    axes.set_yticks(range(len(series)), list(series))
    axes.set_ylim(len(series) - 0.6, -0.9)
    axes.set_xlabel("below 1: stable, contracting")
    axes.margins(x=0.1)
    left, right = axes.get_xlim()
    axes.set_xlim(min(0.0, left), max(right, 1.1 * min(MOST_DRAWN, largest)))
    axes.grid(alpha=0.3, axis="x")
