"""Coefficients of the same fit at several leads or depths, side by side.

Two values a and b with standard errors s and t differ where |b - a| > 2 sqrt(s^2 + t^2). Fits to
the same times share most of their errors: the difference varies by less, and few are marked that
do not differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..base.text import LINE, align, show
from ..physics.explain import Explanation
from ..physics.numbers import format_measured
from ..physics.remarks import Remark

__all__ = ["ComparedCoefficient", "Comparison", "compare"]

# Standard errors of a difference.
MOST_ERRORS = 2.0
_MEANINGS = {
    "lead": "noise in the inputs, or unresolved scales",
    "depth": "the error of steps, or a limit that the number of layers sets",
}


@dataclass(frozen=True)
class ComparedCoefficient:
    """One coefficient over all fits.

    Attributes
    ----------
    process : str
        Its name, for instance "diffusion along longitude".
    symbol : str
        "R", "U", "D", ..., as in :class:`relaxon.physics.coefficients.Process`.
    axes : tuple of int
        The grid axes it belongs to, likewise.
    unit : str
        Of the values.
    values : tuple of float
        One per fit: means over layers and medians over cells, where these differ.
    standard_errors : tuple of float or None
        One per fit; None without one.
    n_errors : float
        The largest difference from the first fit, in standard errors of the difference; 0 where
        there are none.
    farthest : int
        The fit where it is reached.
    """

    process: str
    symbol: str
    axes: tuple[int, ...]
    unit: str
    values: tuple[float, ...]
    standard_errors: tuple[float | None, ...]
    n_errors: float
    farthest: int

    @property
    def is_moved(self) -> bool:
        """Whether it differs by more than two standard errors of the difference."""
        return self.n_errors > MOST_ERRORS


@dataclass(frozen=True)
class Comparison:
    """The same fit at several leads or depths; ``str`` gives a table.

    Attributes
    ----------
    kind : {"lead", "depth"}
        What differs between the fits.
    leads : tuple of int
        Steps of time from input to output, one per fit; 0 for pairs without times.
    depths : tuple of int
        Layers, likewise.
    coefficients : tuple of ComparedCoefficient
        Over all fits.
    notes : tuple of str
        What limits the reading: fits that have not converged, coefficients without standard errors.
    """

    kind: str
    leads: tuple[int, ...]
    depths: tuple[int, ...]
    coefficients: tuple[ComparedCoefficient, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_curve(self) -> bool:
        """Whether there are depths enough to be drawn."""
        return self.kind == "depth" and len(self.depths) > 2 and bool(self.coefficients)

    @property
    def moved(self) -> tuple[ComparedCoefficient, ...]:
        """Coefficients that differ by more than two standard errors of the difference."""
        return tuple(c for c in self.coefficients if c.is_moved)

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What is to be said beside the coefficients that differ."""
        return tuple(
            Remark(f"{self.kind} check", c.symbol, c.axes, self.describe(c)) for c in self.moved
        )

    def describe(self, coefficient: ComparedCoefficient) -> str:
        """One coefficient in words.

        Parameters
        ----------
        coefficient : ComparedCoefficient
            One that has moved.

        Returns
        -------
        str
            For instance "falls from 0.77 to 0.51 m^2/s with the lead (1 to 5 steps, 8 standard
            errors of the difference): noise in the inputs, or unresolved scales".
        """
        values, k = coefficient.values, coefficient.farthest
        verb = "falls" if values[k] < values[0] else "rises"
        texts = [_text(coefficient, i, has_error=False) for i in (0, k)]
        unit = "" if coefficient.unit == "1" else f" {coefficient.unit}"
        numbers, what, steps = self.leads, "lead", "steps"
        if self.kind == "depth":
            numbers, what, steps = self.depths, "number of layers", "layers"
        return (
            f"{verb} from {texts[0]} to {texts[1]}{unit} with the {what} ({numbers[0]} to "
            f"{numbers[k]} {steps}, {coefficient.n_errors:.2g} standard errors of the difference): "
            f"{_MEANINGS[self.kind]}"
        )

    @property
    def heads(self) -> tuple[str, ...]:
        """What the fits are called, one each."""
        layers = [f"{depth} layer{'s' if depth > 1 else ''}" for depth in self.depths]
        if self.kind == "depth":
            return tuple(layers)
        return tuple(f"lead {lead}, {text}" for lead, text in zip(self.leads, layers, strict=True))

    def __str__(self) -> str:
        lines = [["process", "unit", *self.heads]]
        for c in self.coefficients:
            cells = [_text(c, i) for i in range(len(self.heads))]
            if c.is_moved:
                cells[c.farthest] += " *"
            lines.append([c.process, c.unit, *cells])
        tables = [align(lines)] if self.coefficients else []
        parts = [f"* {c.process} {self.describe(c)}" for c in self.moved]
        parts += self.notes
        return "\n".join([*tables, *(show(part, LINE) for part in parts)])


def compare(
    kind: str,
    leads: Sequence[int],
    depths: Sequence[int],
    explanations: Sequence[Explanation],
    notes: Sequence[str] = (),
) -> Comparison:
    """Put coefficients side by side.

    Parameters
    ----------
    kind : {"lead", "depth"}
        What differs between the fits.
    leads, depths : sequence of int
        Of the fits.
    explanations : sequence of Explanation
        What they have learned, of models of one form.
    notes : sequence of str
        What is known of the fits.

    Returns
    -------
    Comparison
        Of all processes but numerical diffusion, which belongs to the step and not to the data.
    """
    first, notes = explanations[0], list(notes)
    coefficients = []
    for p, process in enumerate(first.processes):
        if process.symbol == "numerical D":
            continue
        unit, factor = first.readable_unit(process)
        same = [explanation.processes[p] for explanation in explanations]
        values = np.array([process.typical_value for process in same]) * factor
        errors = [process.typical_error for process in same]
        scaled = tuple(None if error is None else error * factor for error in errors)
        distances = [_distance(values, scaled, k) for k in range(len(same))]
        farthest = int(np.argmax(distances))
        coefficients.append(
            ComparedCoefficient(
                process.name,
                process.symbol,
                process.axes,
                unit,
                tuple(map(float, values)),
                scaled,
                distances[farthest],
                farthest,
            )
        )
    if not coefficients:
        notes.append(first.note.partition("\n")[0])
    elif all(error is None for c in coefficients for error in c.standard_errors):
        notes.append("no standard errors: medians are listed, and none is marked")
    return Comparison(kind, tuple(leads), tuple(depths), tuple(coefficients), tuple(notes))


def _distance(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], errors: Sequence[float | None], k: int
) -> float:
    """Of the k-th value from the first one, in standard errors of the difference."""
    if errors[0] is None or errors[k] is None:
        return 0.0
    error = math.hypot(errors[0], errors[k] or 0.0)
    return float(abs(values[k] - values[0]) / error) if 0.0 < error < math.inf else 0.0


def _text(coefficient: ComparedCoefficient, k: int, has_error: bool = True) -> str:
    number, error = format_measured(coefficient.values[k], coefficient.standard_errors[k])
    return f"{number} +- {error}" if error and has_error else number
