"""Figures of an experiment: losses, errors by layer, and a forecast beside the truth.

One axis of space is drawn as a line, two as a map, of three the middle slice of the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..forecasting.comparison import ComparedCoefficient, Comparison
from ..forecasting.experiment import Experiment, Result
from ..physics.plots import draw_field, escape, make_figure, make_panels, pretty_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["depth_figure", "depths_figure", "loss_figure", "prediction_figure", "search_figure"]

# Of searches in one panel.
MOST_LINES = 100


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
    figure = make_figure((11.0, 4.0))
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


def depth_figure(result: Result) -> Figure:
    """Held-out error of every state, taken as the prediction, its residual and its size.

    Parameters
    ----------
    result : Result
        What an experiment gave.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels, as :meth:`DepthProfile.plot` draws them: the error falls from persistence
        (z_0 = x) to the model (z_L).
    """
    assert result.depth_profile is not None
    figure = result.depth_profile.plot()
    left = figure.axes[0]
    for row, style in zip(result.rows[:2], (":", "--"), strict=True):
        left.axhline(row.held_out_error, color="0.4", linestyle=style, label=row.name)
    left.set_ylabel("held-out error / variance of y")
    left.legend(frameon=False, fontsize="small")
    return figure


def search_figure(result: Result) -> Figure:
    """Residuals of the searches for the attractors of the held-out part.

    Parameters
    ----------
    result : Result
        What an experiment at the attractor gave.

    Returns
    -------
    matplotlib.figure.Figure
        One line for each sample, at most a hundred of them.
    """
    assert result.search is not None
    figure = make_figure((11.0, 3.8))
    axes = figure.subplots()
    searches = result.search.history
    step = -(-len(searches) // MOST_LINES)
    for residuals in searches[::step]:
        drawn = np.where(residuals > 0.0, residuals, np.nan)
        axes.plot(drawn, marker="o", markersize=3, color="C0", alpha=0.5, linewidth=0.8)
    axes.set(xlabel="iteration", ylabel="max |z - f(W z - b + x)|", yscale="log")
    axes.set_title(f"Searches by {result.search.method}", loc="left", fontsize="medium")
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.3)
    return figure


def depths_figure(comparison: Comparison, chosen: int) -> Figure:
    """Coefficients of the same fit against its number of layers.

    Parameters
    ----------
    comparison : Comparison
        Of fits of several depths.
    chosen : int
        The depth of the model, which is marked.

    Returns
    -------
    matplotlib.figure.Figure
        One panel for each of U, D and R, with standard errors where there are any.
    """
    groups: dict[tuple[str, str], list[ComparedCoefficient]] = {}
    for coefficient in comparison.coefficients:
        groups.setdefault((coefficient.symbol, coefficient.unit), []).append(coefficient)
    figure = make_figure((11.0, 3.8))
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for axes, ((_, unit), coefficients) in zip(panels, groups.items(), strict=True):
        for coefficient in coefficients:
            errors = [0.0 if e is None or e == np.inf else e for e in coefficient.standard_errors]
            axes.errorbar(
                comparison.depths,
                coefficient.values,
                yerr=errors if any(errors) else None,
                marker="o",
                markersize=4,
                capsize=2,
                label=escape(coefficient.process),
            )
        axes.axvline(chosen, color="0.5", linestyle=":", label="the model")
        axes.set_xscale("log", base=2)
        axes.set_xticks(comparison.depths, [str(depth) for depth in comparison.depths])
        axes.minorticks_off()
        axes.set(xlabel="number of layers", ylabel="no unit" if unit == "1" else pretty_unit(unit))
        axes.grid(alpha=0.3)
        axes.legend(framealpha=0.9, edgecolor="none", fontsize="small")
    return figure


def prediction_figure(experiment: Experiment, result: Result) -> Figure:
    """Truth, prediction and error of the held-out sample whose error is the median.

    Parameters
    ----------
    experiment : Experiment
        What was run.
    result : Result
        What it gave.

    Returns
    -------
    matplotlib.figure.Figure
        Three pictures in the unit of the data, under a line that says which quantity they show;
        samples without targets are left out.
    """
    split = experiment.split
    scaling, held_out, mask = split.scaling, split.held_out, split.mask
    scale = 1.0 if scaling is None else scaling.scale
    truth = held_out.y.astype(np.float64) * scale
    prediction = result.prediction.astype(np.float64) * scale
    # Near a gap of the input there is no prediction.
    exists = mask & np.isfinite(truth) & np.isfinite(prediction)
    weights = np.where(exists, 1.0 if held_out.weights is None else held_out.weights, 0.0)
    exists = weights > 0.0
    squares = weights * np.where(exists, prediction - truth, 0.0) ** 2
    totals = weights.reshape(len(weights), -1).sum(axis=1)
    errors = squares.reshape(len(weights), -1).sum(axis=1) / np.where(totals > 0.0, totals, 1.0)
    # A sample without targets has no error.
    ascending = [i for i in np.argsort(errors) if totals[i] > 0.0]
    chosen = int(ascending[len(ascending) // 2])
    fields = [truth[chosen], prediction[chosen], prediction[chosen] - truth[chosen]]
    limit = float(max(np.abs(field[exists[chosen]]).max() for field in fields)) or 1.0
    unit = "" if scaling is None else scaling.unit_text
    titles = [
        f"Truth, {_when(experiment, chosen)}",
        "Prediction" if scaling is None else f"Prediction, {scaling.step.text(scaling.lead)} ahead",
        f"Error: root mean square {np.sqrt(errors[chosen]):.3g} {unit}".rstrip(),
    ]
    figure, panels = make_panels(3, split.coordinates)
    for axes, title, values in zip(panels, titles, fields, strict=True):
        draw_field(figure, axes, split.coordinates, exists[chosen], values, unit, title, limit)
    figure.suptitle(escape(split.quantity), x=0.01, ha="left", fontsize="medium")
    return figure


def _when(experiment: Experiment, sample: int) -> str:
    times = experiment.split.held_out.time
    if times is None:
        return f"held-out sample {sample}"
    text = experiment.split.time_label(times[sample])
    members = getattr(experiment.data, "members", None)
    return text if members is None else f"{text}, {members.labels[sample % len(members)]}"
