"""An experiment as one page of HTML that opens without a network.

Every number on it is written from ``summary.json``: a ``data`` element carries the exact value and
where it stands in the summary. Styles and figures are part of the file; there are no scripts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import PurePath
from string import Template
from typing import Any

from ..physics.numbers import format_measured, format_number, format_percent
from ..physics.remarks import Remark, number_remarks
from .layers import layer_rows
from .markup import (
    Place,
    as_data,
    as_figure,
    as_mark,
    as_number,
    as_sentence,
    as_table,
    as_text,
    as_unit,
)
from .summary import physics_lines, value_at

__all__ = ["render_page"]

# Longer tables are folded.
MOST_ROWS = 24


def render_page(summary: Mapping[str, Any], figures: Mapping[str, bytes | str]) -> str:
    """The report.

    Parameters
    ----------
    summary : mapping
        The content of ``summary.json``.
    figures : mapping of str to bytes or str
        PNG files: "loss", "depth", "prediction", and "coefficients", "stability" and "depths" where
        there are any; a text where one could not be drawn, which says why.

    Returns
    -------
    str
        The page.
    """
    page = _Page(summary)
    folder = resources.files("relaxon.report")
    template = Template((folder / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=page.title(),
        style=(folder / "page.css").read_text(encoding="utf-8"),
        lead=page.lead(),
        results=page.results(),
        inputs=page.inputs(),
        skill=page.skill(),
        physics=page.physics(),
        explanation=page.explanation(),
        coefficients=page.coefficients(figures.get("coefficients")),
        prediction=as_figure(
            figures["prediction"],
            "Truth, prediction and error of one held-out sample",
            "Truth, prediction and error of one held-out sample: the one whose error is the median "
            f"of all. Shown: {summary['quantity']}. The three share their scale. "
            "Cells that are masked, or have no value or forecast, are left out.",
        ),
        depths=as_figure(
            figures.get("depths"),
            "Learned coefficients against the number of layers",
            "Coefficients of the same fit with other numbers of layers, and standard errors; the "
            "dotted line marks this model. What still moves with the depth says more of the layers "
            "than of the data.",
        ),
        stability=page.stability(figures.get("stability")),
        depth_title="Error by layer" if summary["search"] is None else "Searches",
        depth=page.depth(figures["depth"]),
        depth_table=page.depth_table(),
        loss=page.loss(figures["loss"]),
        fit=page.fit(),
        config=page.config(),
        commands=page.commands(),
        versions=page.versions(),
    )


class _Page:
    """Writes parts of the summary as HTML."""

    def __init__(self, summary: Mapping[str, Any]) -> None:
        self._summary = summary

    # -- numbers ---------------------------------------------------------------------------------

    def number(self, *path: str | int, form: str = "") -> str:
        """The number at a place of the summary, by a format or in four significant digits."""
        value = self._value(*path)
        if value is None or isinstance(value, str):
            return as_number(value, path, value or "")
        return as_number(value, path, format(value, form) if form else format_number(value))

    def measured(self, value: Place, error: Place) -> tuple[str, str]:
        """The numbers at two places, the second the standard error of the first."""
        number, given = self._value(*value), self._value(*error)
        texts = format_measured(number, None if given is None else float(given))
        return as_number(number, value, texts[0]), as_number(given, error, texts[1])

    def share(self, *path: str | int) -> str:
        """A share at a place of the summary, in per cent."""
        value = self._value(*path)
        return as_data(value, path, as_text(format_percent(value)))

    def _value(self, *path: str | int) -> Any:
        return value_at(self._summary, path)

    # -- sections --------------------------------------------------------------------------------

    def title(self) -> str:
        config = self._summary["config"]
        name, variable = PurePath(config["data"]).name, config.get("variable")
        text = f"Fit to {name}" if variable in (None, name) else f"Fit to {name}, {variable}"
        return as_text(text)

    def lead(self) -> str:
        rows = {row["name"]: i for i, row in enumerate(self._summary["rows"])}
        model = rows["model"]
        facts = [
            ("held-out error", self.number("rows", model, "held_out_error", form=".4f")),
            (
                "damped persistence",
                self.number("rows", rows["damped persistence"], "held_out_error", form=".4f"),
            ),
            ("parameters", self.number("rows", model, "parameters", form=",")),
            (
                "steps" if self._summary["on_the_fly"] is None else "layers on the fly",
                self.number("fit", "steps", form=","),
            ),
            ("seconds", self.number("rows", model, "seconds", form=".2f")),
        ]
        return "\n".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)

    def results(self) -> str:
        head = ["", "parameters", "dense W", "training error", "held-out error", "seconds"]
        body = []
        for i, row in enumerate(self._summary["rows"]):
            is_model = row["name"] == "model"
            dense = self.number("rows", i, "dense_parameters", form=",") if is_model else ""
            body.append(
                [
                    as_text(row["name"]),
                    self.number("rows", i, "parameters", form=","),
                    dense,
                    self.number("rows", i, "training_error", form=".4f"),
                    self.number("rows", i, "held_out_error", form=".4f"),
                    self.number("rows", i, "seconds", form=".2f"),
                ]
            )
        samples = self._summary["samples"]
        parts = [f"{self.number('samples', 'training', form=',')} to train on"]
        if samples["validation"]:
            parts.append(f"{self.number('samples', 'validation', form=',')} to validate on")
        parts.append(f"{self.number('samples', 'held_out', form=',')} held out")
        if samples["members"] > 1:
            parts[-1] += f", of {self.number('samples', 'members', form=',')} members"
        is_weighted = self._summary["config"].get("weights") == "area"
        weighted = ", weighted by cell area" if is_weighted else ""
        caption = (
            f"Mean squared errors over existing cells{weighted}, in units of the variance of y. "
            f"Pairs: {', '.join(parts)}; {self.number('samples', 'cells', form=',')} cells."
        )
        return as_table(head, body, caption, strong=len(body) - 1)

    def inputs(self) -> str:
        """Gaps in the inputs, and errors that were assumed."""
        lines = self._summary["inputs"]["lines"]
        return "\n".join(f"<p>{as_text(as_sentence(line))}.</p>" for line in lines)

    def skill(self) -> str:
        """What is to be known before the physics is read."""
        text = self._summary["skill"]["text"]
        return f"<p><strong>{as_text(as_sentence(text))}.</strong></p>" if text else ""

    def physics(self) -> str:
        """What coefficients come down to, where there is more than one of a kind."""
        physics = self._summary["physics"]
        table = self._summary["explanation"]["table"]
        if not any(row["layer"] is not None or row["low"] != row["high"] for row in table):
            return ""
        lines = physics_lines(physics)
        has_errors = any(value_at(physics, line.error_place) is not None for line in lines)
        head = ["", "value", *(["± standard error"] if has_errors else []), "unit"]
        _, marks = self._remarks()
        body = []
        for line in lines:
            places = ("physics", *line.place), ("physics", *line.error_place)
            value, error = self.measured(*places)
            label = as_text(line.label) + as_mark(marks.get((line.symbol, line.axes), ""))
            body.append([label, value, *([error] if has_errors else []), as_unit(line.unit)])
        what = "Means over layers and medians over cells, where coefficients differ between these."
        return as_table(head, body, what)

    def coefficients(self, figure: bytes | str | None) -> str:
        table = self._summary["explanation"]["table"]
        has_units = any(row["unit"] != "1" for row in table)
        units = "physical units" if has_units else "units of one cell and one lead"
        if any(row["low"] != row["high"] for row in table):
            return as_figure(
                figure,
                "Learned coefficients over the grid",
                f"Learned coefficients in {units}; of maps, colours end at the 98th percentile of "
                f"the magnitude, and grey cells do not exist.",
            )
        return as_figure(
            figure,
            "Learned coefficients with error bars",
            f"Learned coefficients in {units}, with standard errors where there are any.",
        )

    def explanation(self) -> str:
        table = self._summary["explanation"]["table"]
        rows = list(enumerate(table))
        parts = [self._coefficients([(i, r) for i, r in rows if r["bound"] is None])]
        parts.append(self._notes())
        parts.append(self._stability([(i, r) for i, r in rows if r["bound"] is not None]))
        note = self._summary["explanation"]["note"]
        parts += [f"<p>{as_text(as_sentence(line))}.</p>" for line in note.splitlines()]
        parts.append(self._standard_errors())
        parts += [self._comparison(c) for c in range(len(self._summary["comparisons"]))]
        return "\n".join(part for part in parts if part)

    def _coefficients(self, rows: list[tuple[int, Any]]) -> str:
        if not rows:
            return ""
        table = [row for _, row in rows]
        has_ranges = any(row["low"] != row["high"] for row in table)
        has_layers = any(row["layer"] is not None for row in table)
        has_errors = any(row["standard_error"] is not None for row in table)
        columns = [("5 %", "low"), ("95 %", "high")] if has_ranges else []
        if any(row["null_low"] is not None for row in table):
            columns += [("5 %, shuffled", "null_low"), ("95 %, shuffled", "null_high")]
        head = ["process", *(["layer"] if has_layers else [])]
        head += ["median" if has_ranges else "value", *(["± standard error"] if has_errors else [])]
        head += [*(name for name, _ in columns), "unit"]
        _, marks = self._remarks()
        names = {r["process"]: marks[r["symbol"], tuple(r["axes"])] for r in self._said()}
        body = []
        for i, row in rows:
            place = ("explanation", "table", i)
            value, error = self.measured((*place, "median"), (*place, "standard_error"))
            line = [as_text(row["process"]) + as_mark(names.get(row["process"], ""))]
            line += [self.number(*place, "layer", form="d")] if has_layers else []
            line += [value, *([error] if has_errors else [])]
            line += [self.number(*place, key) for _, key in columns]
            body.append([*line, as_unit(row["unit"])])
        caption = "All coefficients"
        caption += ": median and 5 to 95 % range over existing cells." if has_ranges else "."
        return as_table(head, body, caption, is_long=len(body) > MOST_ROWS)

    def _said(self) -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = self._summary["explanation"]["remarks"]
        return said

    def _remarks(self) -> tuple[tuple[str, ...], dict[tuple[str, tuple[int, ...]], str]]:
        """Notes, and what stands beside coefficients."""
        return number_remarks(
            Remark(said["name"], said["symbol"], tuple(said["axes"]), said["text"])
            for said in self._said()
        )

    def _notes(self) -> str:
        """The notes themselves."""
        texts, _ = self._remarks()
        items = (f"[{n}] {as_text(text)}." for n, text in enumerate(texts, start=1))
        return "".join(f"<p>{item}</p>" for item in items)

    def _stability(self, rows: list[tuple[int, Any]]) -> str:
        stability = self._summary["explanation"]["stability"]
        if stability is None:
            return (
                "<p>Stability numbers are known for layers with a linearisation and three-point "
                "stencils only.</p>"
                if self._summary["search"] is None
                else ""
            )
        has_layers = any(row["layer"] is not None for _, row in rows)
        has_ranges = any(row["low"] != row["high"] for _, row in rows)
        place = ("explanation", "table")
        head = ["number", *(["layer"] if has_layers else []), "median"]
        head += [*(["5 %", "95 %"] if has_ranges else []), "bound", "cells over it"]
        body = []
        for i, row in rows:
            line = [as_text(row["process"])]
            line += [self.number(*place, i, "layer", form="d")] if has_layers else []
            line.append(self.number(*place, i, "median"))
            if has_ranges:
                line += [self.number(*place, i, "low"), self.number(*place, i, "high")]
            line += [self.number(*place, i, "bound", form="g"), self.share(*place, i, "share_over")]
            body.append(line)
        has_bounds = any("Peclet" not in row["process"] for _, row in rows)
        caption = "monotone (no new extrema) up to a cell Peclet number of 2."
        if has_bounds:
            caption = f"explicit layers: stable up to 1 in both stability numbers, {caption}"
        share = self.share("explanation", "stability", "share")
        theta = self.number("stability", "theta", form="g")
        text = f"<p>{share} of cells are over the explicit stability bounds."
        if not has_bounds:
            text = f"<p>Layers of theta = {theta} have no stability bounds: none has from 1/2 on."
        if stability["cures"]:
            cures = "".join(f"<li>{as_text(cure)}</li>" for cure in stability["cures"])
            text += f" The usual cures:</p><ul>{cures}</ul>"
        else:
            text += "</p>"
        table = as_table(head, body, as_sentence(caption), is_long=len(body) > MOST_ROWS)
        return table + text

    def _standard_errors(self) -> str:
        errors = self._summary["explanation"]["standard_errors"]
        if errors is None:
            return ""
        place = ("explanation", "standard_errors")
        cluster = as_text(errors["cluster"])
        hessian = "profiled" if errors["profiled"] else "Gauss-Newton"
        text = (
            f"<p>Standard errors come from the {hessian} Hessian and are clustered by {cluster} "
            f"({self.number(*place, 'samples', form=',')} {cluster}s), corrected for leverage. "
            f"They assume that {cluster}s are independent of each other, whatever the correlation "
            f"within one; {cluster}s that follow each other in time may not be, and errors are "
            "then too small. They also assume that the model is at the minimum of the loss without "
            "penalties: another Gauss-Newton step would move a parameter by at most "
            f"{self.number(*place, 'newton_step', form='.2g')} standard errors.</p>"
        )
        if errors["undetermined"]:
            items = "".join(f"<li>{as_text(line)}</li>" for line in errors["undetermined"])
            text += (
                "<details><summary>Combinations of lattice values that the data do not determine"
                f"</summary><ul>{items}</ul></details>"
            )
        return text

    def _comparison(self, c: int) -> str:
        """The same fit at several leads or depths."""
        comparison, place = self._summary["comparisons"][c], ("comparisons", c, "coefficients")
        body = []
        for i, row in enumerate(comparison["coefficients"]):
            cells = []
            for k in range(len(comparison["heads"])):
                at = (*place, i)
                value, error = self.measured((*at, "values", k), (*at, "standard_errors", k))
                mark = "*" if row["text"] and k == row["farthest"] else ""
                cells.append(f"{value} ± {error}{mark}" if error else f"{value}{mark}")
            body.append([as_text(row["process"]), *cells, as_unit(row["unit"])])
        caption = f"The same fit with another {comparison['kind']}, and standard errors."
        moved = (
            f"* {row['process']} {row['text']}" for row in comparison["coefficients"] if row["text"]
        )
        lines = (f"<p>{as_text(line)}.</p>" for line in (*moved, *comparison["notes"]))
        return as_table(["process", *comparison["heads"], "unit"], body, caption) + "".join(lines)

    def stability(self, figure: bytes | str | None) -> str:
        """Theta, what is known of the layers, and factors of waves."""
        stability = self._summary["stability"]
        lines = "".join(f"<li>{as_text(line)}</li>" for line in stability["sentences"])
        text = f"<p>{as_text(as_sentence(stability['text']))}.</p>"
        if lines:
            text += f"<details><summary>In words</summary><ul>{lines}</ul></details>"
        return text + as_figure(
            figure,
            "Factors of waves, and stability numbers beside their bounds",
            "Factors by which a layer multiplies waves, where there are any, and numbers that are "
            "stable, or certified to contract, below 1.",
        )

    def depth(self, figure: bytes | str) -> str:
        """The way through the layers, or of the searches for attractors."""
        search = self._summary["search"]
        if search is None:
            has_end = _are_finite(self._summary["depth_distance"])
            distance = ", max |z - z*| their distance to the attractor z*" if has_end else ""
            return as_figure(
                figure,
                "Held-out error, residual and size of the state of each layer",
                "Left: error of the state of each layer taken as the prediction, on held-out "
                f"pairs, in units of the variance of y ({self._summary['quantity']}). Right: how "
                "far the states are from the equilibrium of their layer, max |z - f(W z - b)|, and "
                f"the largest |z| of a sample{distance}.",
            )
        text = (
            f"<p>{self.number('search', 'converged', form=',')} of "
            f"{self.number('search', 'samples', form=',')} held-out searches have converged, in at "
            f"most {self.number('search', 'iterations', form=',')} iterations, to a residual of at "
            f"most {self.number('search', 'residual', form='.2g')}"
        )
        if search["error_bound"] is not None:
            text += (
                "; the attractor is then no further away than "
                f"{self.number('search', 'error_bound', form='.2g')}"
            )
        return f"{text}.</p>" + as_figure(
            figure,
            "Residuals of the searches for attractors",
            "How far the iterates of each held-out sample are from equilibrium, max |z - f(W z - b "
            "+ x)| over cells.",
        )

    def depth_table(self) -> str:
        """Numbers of all layers; nothing where there are none."""
        errors, distances = self._summary["depth_profile"], self._summary["depth_distance"]
        if not errors:
            return ""
        columns = [
            ("held-out error", "depth_profile", ".4f"),
            ("residual", "depth_residual", ".3g"),
        ]
        columns.append(("largest |z|", "depth_size", ".4g"))
        if _are_finite(distances):
            columns.append(("distance to z*", "depth_distance", ".3g"))
        body = [
            [str(layer), *(self.number(name, layer, form=form) for _, name, form in columns)]
            for layer in range(len(errors))
        ]
        head = ["layer", *(title for title, _, _ in columns)]
        table = as_table(head, body, "Error, residual and size of the state by layer.")
        return f"<details><summary>The numbers</summary>{table}</details>"

    def fit(self) -> str:
        fit, layers = self._summary["fit"], self._summary["on_the_fly"]
        if layers is not None:
            lines = (layers["ending"], *layers["lines"])
            text = "".join(f"<p>{as_text(as_sentence(line))}.</p>" for line in lines)
            return text + self._layers()
        text = f"{self.number('fit', 'steps', form=',')} steps; {as_text(fit['message'])}."
        if fit["validation_error"] is not None:
            error = self.number("fit", "validation_error", form=".4f")
            text += f" The error on the validation pairs, which chose the model, is {error}."
        return f"<p>{text}</p>"

    def _layers(self) -> str:
        columns, rows = layer_rows(self._summary["on_the_fly"], MOST_ROWS)
        body = [
            [str(row + 1), *(self.number("on_the_fly", n, row, form=f) for _, n, f in columns)]
            for row in rows
        ]
        what = "Training loss of every layer's output, before and after its own training"
        return as_table(["layer", *(title for title, _, _ in columns)], body, f"{what}.")

    def loss(self, figure: bytes | str) -> str:
        """Losses against steps, or layers that were trained one after the other."""
        if self._summary["on_the_fly"] is None:
            return as_figure(
                figure,
                "Training loss, validation loss and gradient norm against the step",
                "Loss (mean squared error in units of the variance of y) and norm of the gradient "
                "against the step.",
            )
        has_energy = self._summary["on_the_fly"]["median_adiabaticity"] is not None
        right = "T / V, kinetic energy over loss" if has_energy else "norm of the gradient before"
        return as_figure(
            figure,
            "Training loss by layer",
            "Left: loss (mean squared error in units of the variance of y) of the output of every "
            f"layer, before and after its own training. Right: {right}.",
        )

    def config(self) -> str:
        items = []
        for name, value in self._summary["config"].items():
            if isinstance(value, bool) or value is None or not isinstance(value, int | float):
                words = {None: "none", True: "yes", False: "no"}
                text = as_text(words[value] if value in (None, True, False) else str(value))
            else:
                text = self.number("config", name, form="g" if isinstance(value, float) else "d")
            items.append(f"<div><dt>{as_text(name.replace('_', ' '))}</dt><dd>{text}</dd></div>")
        return "\n".join(items)

    def commands(self) -> str:
        return "\n".join(as_text(command, None) for command in self._summary["commands"])

    def versions(self) -> str:
        versions = {"relaxon": self._summary["version"], **self._summary["versions"]}
        return ", ".join(as_text(f"{name} {number}") for name, number in versions.items())


def _are_finite(distances: Sequence[float | str]) -> bool:
    return bool(distances) and all(math.isfinite(float(distance)) for distance in distances)
