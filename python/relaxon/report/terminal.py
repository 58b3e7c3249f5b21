"""What the terminal shows of a result."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..base.text import LINE, show
from ..dynamics.attractor import Attractor, AttractorStatus
from ..forecasting.experiment import Experiment, Result
from ..physics.explain import Explanation
from ..physics.numbers import format_measured
from ..physics.remarks import number_remarks
from ..physics.stability import Stability
from .layers import layer_rows, layers_of
from .summary import physics_lines, physics_of, skill_text, stability_text, value_at

__all__ = ["attractor_rows", "print_attractor", "print_layers", "print_result", "print_stability"]

# Samples whose spectra are looked at.
MOST_SPECTRA = 16
MOST_LAYERS = 24

_GRID_DIRECTIONS = {"latitude": "grid north", "longitude": "grid east"}
_DIRECTIONS = {"latitude": ("southward", "northward"), "longitude": ("westward", "eastward")}


def print_result(experiment: Experiment, result: Result) -> None:
    """Print the table of errors, how the fit ended, and the physics it learned.

    Parameters
    ----------
    experiment : Experiment
        What was run.
    result : Result
        What it gave.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for title in ("parameters", "dense W", "training", "held out", "seconds"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in result.rows:
        table.add_row(
            row.name,
            f"{row.parameters:,}",
            f"{row.dense_parameters:,}" if row.name == "model" else "",
            f"{row.training_error:.4f}",
            f"{row.held_out_error:.4f}",
            f"{row.seconds:.2f}",
        )
    # Where nothing is shown the width is rich's guess, and lines would be cut to it.
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(table)
    domain = getattr(experiment.data, "domain", "") or "existing cells"
    weighted = ", weighted by cell area" if experiment.options.weights == "area" else ""
    print(
        f"training, held out: mean squared error over {domain}{weighted}, in units of the variance "
        f"of y"
    )
    fitted = result.fit
    layers = layers_of(experiment, result)
    if layers is None:
        print(f"fit: {fitted.message} ({len(fitted.history.loss)} steps)")
    else:
        print_layers(layers)
    scaling = experiment.split.scaling
    assert fitted.inputs is not None
    known = fitted.inputs.describe(*(() if scaling is None else (scaling.scale, scaling.unit)))
    for text in (*known, skill_text(experiment, result)):
        if text:
            print(f"\n{show(text, LINE)}")
    print("\n" + _physics_text(result.explanation))
    for comparison in result.comparisons:
        print(f"\n{comparison}")
    errors = result.explanation.standard_errors
    if errors is not None:
        print(f"\n{errors}")
    if result.explanation.processes and result.explanation.note:
        print(f"\n{result.explanation.note}")
    print(f"\n{stability_text(result.stability, fitted.model)}")
    if result.search is not None:
        print(f"held-out searches by {result.search.method}: {result.search.message}")
    stability = result.explanation.stability
    if stability is not None and stability.share > 0.0:
        print(stability)


def print_layers(layers: dict[str, Any]) -> None:
    """Print what training one layer after the other has made of the losses.

    Parameters
    ----------
    layers : dict
        What :func:`layers_of` gives.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    columns, rows = layer_rows(layers, MOST_LAYERS)
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("layer", *(title for title, _, _ in columns)):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        values = (format(layers[name][row], form) for _, name, form in columns)
        table.add_row(str(row + 1), *values)
    print(f"fit: {layers['ending']}")
    Console(width=None if sys.stdout.isatty() else 100).print(table)
    for line in layers["lines"]:
        print(show(line, LINE))


def print_attractor(found: Attractor) -> None:
    """Print how a search for attractors ended, and what is known of what it found.

    Parameters
    ----------
    found : Attractor
        What :func:`relaxon.attractor` gives.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_header=False)
    table.add_column("", no_wrap=True)
    table.add_column("")
    for row in attractor_rows(found):
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def attractor_rows(found: Attractor) -> list[tuple[str, str]]:
    """What is known of the attractors that were found, in words.

    Parameters
    ----------
    found : Attractor
        What :func:`relaxon.attractor` gives.

    Returns
    -------
    list of tuple of str
        Names and values; stability of the first sixteen samples, where it is not certified.
    """
    ends, iterations, residual = (
        np.atleast_1d(values) for values in (found.status, found.iterations, found.residual)
    )
    n_found = np.count_nonzero(ends == AttractorStatus.CONVERGED)
    rows = [
        ("samples converged", f"{n_found} of {ends.size} ({found.method})"),
        ("iterations", f"{int(np.median(iterations))} in the median, at most {iterations.max()}"),
        ("largest residual", f"{residual.max():.2g}"),
    ]
    certificate, bound = found.certificate, found.error_bound
    rows.append(("certificate", "none" if certificate is None else str(certificate)))
    if bound is not None:
        rows.append(("largest error", f"at most {np.max(bound):.2g}"))
    if certificate is not None and certificate.is_certified:
        rows.append(("stable", "all, certified"))
        return rows
    if certificate is not None and certificate.mu < 1.0 and found.model.is_at_attractor:
        # Their omega is no layer's: what counts is whether there is one.
        omega = f"{certificate.omega_max:.4g}"
        rows.append(("stable", f"all, certified for layers of omega up to {omega}"))
        return rows
    radii = np.atleast_1d(found._first(MOST_SPECTRA).spectral_radius())
    n_stable = int(np.count_nonzero(radii < 1.0))
    which = f"{n_stable} of {radii.size}" + (" looked at" if radii.size < ends.size else "")
    known = radii[~np.isnan(radii)]
    largest = f", spectral radius at most {known.max():.6g}" if known.size else ""
    rows.append(("stable", which + largest))
    return rows


def print_stability(stability: Stability) -> None:
    """Print the table of stability numbers and what they say.

    Parameters
    ----------
    stability : Stability
        What :func:`relaxon.stability` gives.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    head, *rows = stability.rows()
    table = Table(box=box.SIMPLE_HEAD)
    for title in head:
        table.add_column(title, justify="left" if title in ("number", "kind", "where") else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    for line in stability.sentences():
        print(show(line, LINE))


def _physics_text(explanation: Explanation) -> str:
    physics = physics_of(explanation, explanation.scaling)
    if "velocity" not in physics:
        return f"learned physics: {physics['note']}"
    texts, marks = number_remarks(explanation.remarks)
    entries = []
    for line in physics_lines(physics):
        label = line.label
        value, given = value_at(physics, line.place), value_at(physics, line.error_place)
        number, error = format_measured(value, None if given is None else float(given))
        axis = explanation.coordinates.axes[line.axes[0]] if line.symbol == "U" else None
        if axis is not None and axis.is_rotated:
            # The grid's own north, which is another one at each place.
            label += f", {_GRID_DIRECTIONS[axis.kind]}"
        # Neither sign nor direction nor name belongs to what is rounded to nothing.
        is_zero = float(number) == 0.0
        unit = "" if line.unit == "1" else f" {line.unit}"
        direction = ""
        if axis is not None and not is_zero:
            number = number if value < 0.0 else f"+{number}"
            if axis.is_geographic:
                direction = f" ({_DIRECTIONS[axis.kind][value > 0.0]})"
        if line.symbol == "R":
            per = line.unit.removeprefix("1/")
            unit = "" if per == "1" else f" per {per}"
            if not is_zero:
                label, number = "damping" if value < 0.0 else "growth", number.removeprefix("-")
        text = f"{number}{unit}{direction}" + (f", standard error {error}" if error else "")
        mark = marks.get((line.symbol, line.axes), "")
        entries.append((show(label), f"{show(text)} {mark}".rstrip()))
    width = max(len(label) for label, _ in entries)
    lines = ["learned physics:", *(f"  {label:<{width}}  {text}" for label, text in entries)]
    return "\n".join([*lines, *(show(f"  [{n}] {text}", LINE) for n, text in enumerate(texts, 1))])
