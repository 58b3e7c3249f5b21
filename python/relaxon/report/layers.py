"""What the report says of layers that were trained one after the other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..forecasting.experiment import Experiment, Result
from ..physics.plots import make_figure
from ..training.history import Status
from ..training.on_the_fly import OnTheFlyFit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["layer_rows", "layers_figure", "layers_of"]

MYOPIC = (
    "training on the fly is myopic: a layer does what is best for its own output, which is enough "
    "where noise limits what can be learnt; where transport must be exact, the same fit without "
    "--on-the-fly is better"
)
# Of T / V in the median.
FINE, RUNAWAY = 0.03, 0.1


def layers_of(experiment: Experiment, result: Result) -> dict[str, Any] | None:
    """Losses and energies by layer, as in ``summary.json``.

    Parameters
    ----------
    experiment : Experiment
        What was run.
    result : Result
        What it gave.

    Returns
    -------
    dict or None
        None where all layers were trained together. T / V is null without kinetic energy.
    """
    fitted = result.fit
    if not isinstance(fitted, OnTheFlyFit):
        return None
    layers = fitted.layers
    has_energy = bool(layers.kinetic_energy.any())
    ratio = float(np.median(layers.adiabaticity)) if has_energy else None
    lines = [MYOPIC]
    if ratio is not None:
        lines.append(
            f"the parameters lag behind their minimum by T / V = {ratio:.2g} in the median of the "
            f"layers (fine below {FINE:g}, running away above {RUNAWAY:g})"
        )
    columns = ["loss_before", "loss", "penalty", "kinetic_energy"]
    values: dict[str, Any] = {name: _plain(getattr(layers, name)) for name in columns}
    values["adiabaticity"] = _plain(layers.adiabaticity) if has_energy else [None] * len(layers)
    ending = f"{len(layers)} layers trained on the fly by {experiment.options.on_the_fly}"
    if fitted.status is not Status.STEPS:
        ending += f"; {fitted.message}"
    return {
        "method": experiment.options.on_the_fly,
        "layers": len(layers),
        **values,
        "median_adiabaticity": ratio,
        "ending": ending,
        "lines": lines,
    }


def layer_rows(layers: dict[str, Any], most: int) -> tuple[list[tuple[str, str, str]], list[int]]:
    """Which numbers of :func:`layers_of` a table shows.

    Parameters
    ----------
    layers : dict
        Losses and energies by layer.
    most : int
        Rows; of more layers every n-th is shown, and the last.

    Returns
    -------
    columns : list of tuple of str
        Title, name and format of each.
    rows : list of int
        Numbers of layers, from 0.
    """
    columns = [("loss before", "loss_before", ".4f"), ("loss", "loss", ".4f")]
    if any(layers["penalty"]):
        columns.append(("penalty", "penalty", ".2g"))
    if layers["median_adiabaticity"] is not None:
        columns += [("kinetic energy T", "kinetic_energy", ".2g"), ("T / V", "adiabaticity", ".2g")]
    n = layers["layers"]
    step = -(-n // most)
    return columns, sorted({*range(0, n, step), n - 1})


def layers_figure(result: Result) -> Figure:
    """Loss before and after each layer's training, and its norm of the gradient or T / V.

    Parameters
    ----------
    result : Result
        Of layers that were trained one after the other.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels.
    """
    fitted = result.fit
    assert isinstance(fitted, OnTheFlyFit)
    layers = fitted.layers
    numbers = np.arange(1, len(layers) + 1)
    figure = make_figure((11.0, 4.0))
    left, right = figure.subplots(1, 2)
    style = {"marker": "o", "markersize": 3}
    left.plot(numbers, layers.loss_before, color="C1", label="before its training", **style)
    left.plot(numbers, layers.loss, color="C0", label="after", **style)
    if np.any(layers.penalty > 0.0):
        left.plot(numbers, layers.penalty, color="C2", label="penalty", **style)
    for row, line in zip(result.rows[:2], (":", "--"), strict=True):
        left.axhline(row.training_error, color="0.4", linestyle=line, label=f"{row.name}, training")
    left.set(xlabel="layer", ylabel="mean squared error / variance of y", title="Loss by layer")
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize="small")
    if layers.kinetic_energy.any():
        right.plot(numbers, layers.adiabaticity, color="C0", **style)
        right.axhline(FINE, color="0.4", linestyle=":")
        right.axhline(RUNAWAY, color="C3", linestyle=":")
        right.set(ylabel="T / V", title="Lag behind the minimum")
    else:
        right.plot(numbers, fitted.history.gradient_norm, color="C0", **style)
        right.set(ylabel="norm of the gradient, before", title="Gradient")
    right.set(xlabel="layer", yscale="log")
    for axes in (left, right):
        axes.locator_params(axis="x", integer=True)
        axes.grid(alpha=0.3)
    return figure


def _plain(values: Any) -> list[float | str]:
    return [v if math.isfinite(v) else str(v) for v in values.tolist()]
