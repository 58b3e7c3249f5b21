"""What the terminal shows of a result."""

from __future__ import annotations

import sys
from typing import Any

from ..datasets.coordinates import Coordinates
from ..forecasting.experiment import Experiment, Result
from ..physics.tables import format_number
from .summary import mixed_components, physics_of

__all__ = ["print_result"]

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
    print(f"training, held out: mean squared error over {domain}, in units of the variance of y")
    fitted = result.fit
    print(f"fit: {fitted.message} ({len(fitted.history.loss)} steps)")
    physics = physics_of(result.explanation, fitted.model.scaling)
    print("\n" + _physics_text(physics, experiment.split.coordinates))
    errors = result.explanation.standard_errors
    if errors is not None:
        print(f"\n{errors}")
    stability = result.explanation.stability
    if stability is not None and stability.share > 0.0:
        print(f"\n{stability}")


def _physics_text(physics: dict[str, Any], coordinates: Coordinates) -> str:
    if "velocity" not in physics:
        return f"learned physics: {physics['note']}"
    entries = []
    velocity = physics["velocity"]
    for axis, v, unit, error in zip(
        coordinates.axes, *_with_units(velocity), velocity["standard_error"], strict=True
    ):
        direction = f" ({_DIRECTIONS[axis.kind][v > 0.0]})" if axis.kind else ""
        number = _with_unit(v, unit, {"m/s": "+.4f"}, "+.4g")
        entries.append((f"drift along {axis.name}", number + direction + _with_error(error)))
    for key in ("diffusivity", "numerical_diffusivity"):
        if key in physics:
            entry, label = physics[key], key.replace("_", " ")
            values = list(zip(entry["axes"], *_with_units(entry), strict=True))
            labels = [f"{label} along {name}" for name, _, _ in values]
            mixed = mixed_components(entry)
            labels += [f"{label}, {pair}" for pair, _, _ in mixed]
            numbers = [(v, unit) for _, v, unit in (*values, *mixed)]
            errors = [*entry["standard_error"], *entry.get("mixed_standard_error", ())]
            entries += [
                (text, _with_unit(v, unit, {"m^2/s": ".0f"}, ".4g") + _with_error(error))
                for text, (v, unit), error in zip(labels, numbers, errors, strict=True)
            ]
    rate, unit = physics["rate"]["value"], physics["rate"]["unit"].removeprefix("1/")
    error = physics["rate"]["standard_error"]
    per = "" if unit == "1" else f" per {unit}"
    entries.append(
        ("damping" if rate < 0.0 else "growth", f"{abs(rate):.3f}{per}" + _with_error(error))
    )
    width = max(len(label) for label, _ in entries)
    return "\n".join(
        ["learned physics:", *(f"  {label:<{width}}  {text}" for label, text in entries)]
    )


def _with_units(entry: dict[str, Any]) -> tuple[list[float], list[str]]:
    unit = entry["unit"]
    return entry["value"], unit if isinstance(unit, list) else [unit] * len(entry["value"])


def _with_unit(value: float, unit: str, formats: dict[str, str], other: str) -> str:
    return f"{value:{formats.get(unit, other)}}{'' if unit == '1' else f' {unit}'}"


def _with_error(error: float | str | None) -> str:
    """A standard error to stand behind a value and its unit."""
    if error is None:
        return ""
    return f", standard error {error if isinstance(error, str) else format_number(error, 2)}"
