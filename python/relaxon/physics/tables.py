"""Tables of an explanation as plain text and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from ..base.text import LINE, align, quote_cell, show
from .findings import Findings, Row
from .numbers import format_measured, format_number, format_percent
from .remarks import number_remarks

__all__ = ["format_csv", "format_explanation", "readable_rows"]


def format_explanation(explanation: Findings) -> str:
    """The rows of an explanation, and what stands below them.

    Parameters
    ----------
    explanation : Findings
        What to show.

    Returns
    -------
    str
        One table of coefficients, in units that people read, with remarks below it, one of Peclet
        and stability numbers, and notes.
    """
    rows = readable_rows(explanation)
    parts = []
    coefficients = [row for row in rows if row.bound is None]
    if coefficients:
        texts, marks = number_remarks(explanation.remarks)
        marked = {p.name: marks.get((p.symbol, p.axes), "") for p in explanation.processes}
        lines = [align(_coefficient_lines(coefficients, marked))]
        lines += [show(f"[{n}] {text}", LINE) for n, text in enumerate(texts, start=1)]
        parts.append("\n".join(lines))
    if explanation.stability is not None:
        numbers = [row for row in rows if row.bound is not None]
        parts.append(f"{align(_stability_lines(numbers))}\n{explanation.stability}")
    notes = [explanation.note] if explanation.note else []
    if explanation.standard_errors is not None:
        notes.append(str(explanation.standard_errors))
    if notes:
        parts.append("\n".join(notes))
    return "\n\n".join(parts)


def readable_rows(explanation: Findings) -> tuple[Row, ...]:
    """Rows of the table, rates per hour or month of the data's step instead of per second."""
    known = (*explanation.processes, *explanation.parameters)
    units = {p.name: explanation.readable_unit(p) for p in known}
    numbers = ("median", "low", "high", "null_low", "null_high", "standard_error")
    rows = []
    for row in explanation.table():
        unit, factor = units.get(row.process, (row.unit, 1.0))
        values = {name: getattr(row, name) for name in numbers}
        scaled: dict[str, Any] = {n: None if v is None else v * factor for n, v in values.items()}
        rows.append(replace(row, unit=unit, **scaled))
    return tuple(rows)


def format_csv(rows: Iterable[Row]) -> str:
    """Rows as comma-separated values, with a header; what a row does not have is empty.

    A text that a spreadsheet would compute begins with an apostrophe.
    """
    text = io.StringIO()
    names = [field.name for field in fields(Row)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = asdict(row).items()
        writer.writerow({n: quote_cell(c) if isinstance(c, str) else c for n, c in cells})
    return text.getvalue()


def _coefficient_lines(rows: Sequence[Row], marks: Mapping[str, str]) -> list[list[str]]:
    has_layers = any(row.layer is not None for row in rows)
    has_errors = any(row.standard_error is not None for row in rows)
    has_ranges = any(row.low != row.high for row in rows)
    has_null = any(row.null_low is not None for row in rows)
    head = ["process", *(["layer"] if has_layers else []), "unit"]
    head += ["median" if has_ranges else "value"]
    head += ["+-"] if has_errors else []
    head += ["5-95 %"] if has_ranges else []
    head += ["5-95 %, shuffled"] if has_null else []
    lines = [head]
    for row in rows:
        line = [f"{row.process} {marks.get(row.process, '')}".rstrip()]
        line += ["" if row.layer is None else str(row.layer)] if has_layers else []
        value, error = format_measured(row.median, row.standard_error)
        line += [row.unit, value, *([error] if has_errors else [])]
        if has_ranges:
            line.append(_range(row.low, row.high))
        if has_null:
            line.append(_range(row.null_low, row.null_high))
        lines.append(line)
    return lines


def _stability_lines(rows: Sequence[Row]) -> list[list[str]]:
    has_layers = any(row.layer is not None for row in rows)
    has_ranges = any(row.low != row.high for row in rows)
    head = ["number", *(["layer"] if has_layers else []), "median"]
    head += [*(["5-95 %"] if has_ranges else []), "bound", "over it"]
    lines = [head]
    for row in rows:
        line = [row.process, *(["" if row.layer is None else str(row.layer)] if has_layers else [])]
        line += [format_number(row.median), *([_range(row.low, row.high)] if has_ranges else [])]
        line += [f"{row.bound:g}", format_percent(row.share_over or 0.0)]
        lines.append(line)
    return lines


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None or low == high:
        return ""
    return f"{format_number(low)} to {format_number(high)}"
