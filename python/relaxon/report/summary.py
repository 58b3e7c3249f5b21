"""What an experiment has found as plain numbers: the content of ``summary.json``."""

from __future__ import annotations

import itertools
import math
import platform
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from ..datasets.scaling import Scaling
from ..dynamics.attractor import Attractor, AttractorStatus
from ..dynamics.depth_profile import DepthProfile
from ..forecasting.comparison import Comparison
from ..forecasting.experiment import Experiment, Result
from ..forecasting.options import Options
from ..model.relaxation import Relaxation
from ..physics.explain import Explanation, Process
from ..physics.stability import Stability
from ..physics.tables import readable_rows
from .layers import layers_of

__all__ = [
    "Line",
    "physics_lines",
    "physics_of",
    "skill_text",
    "stability_text",
    "summary_of",
    "value_at",
]


def summary_of(experiment: Experiment, result: Result) -> dict[str, Any]:
    """The content of ``summary.json``.

    Parameters
    ----------
    experiment : Experiment
        What was run.
    result : Result
        What it gave.

    Returns
    -------
    dict
        Rows of the table, the baselines that beat the model, physics, the explanation behind it,
        how the fit ended, layers that were trained one after the other, gaps and errors of the
        inputs, errors, residuals, |z| and distances to the attractor by layer, stability, settings,
        commands and versions. Infinite numbers are written "inf".
    """
    fitted = result.fit
    split = experiment.split
    validation = split.validation
    members = getattr(experiment.data, "members", None)
    error = result.validation_error
    return {
        "rows": [_plain(asdict(row)) for row in result.rows],
        "skill": {
            "better_baselines": [row.name for row in result.better_baselines],
            "text": skill_text(experiment, result),
        },
        "physics": physics_of(result.explanation, fitted.model.scaling),
        "explanation": _explanation(result.explanation),
        "comparisons": [_comparison(comparison) for comparison in result.comparisons],
        "fit": {
            "status": fitted.status.name.lower(),
            "message": fitted.message,
            "steps": len(fitted.history.loss),
            "depth": fitted.model.depth,
            "validation_error": None if error is None else _finite(error),
        },
        "on_the_fly": layers_of(experiment, result),
        "inputs": _inputs(experiment, result),
        "quantity": split.quantity,
        **_profile(result.depth_profile),
        "stability": _stability(result),
        "search": None if result.search is None else _search(result.search),
        "samples": {
            "training": len(split.training),
            "validation": 0 if validation is None else len(validation),
            "held_out": len(split.held_out),
            "cells": int(split.mask.sum()),
            "members": 1 if members is None else len(members),
        },
        "config": experiment.config,
        "commands": _commands(experiment),
        "version": version("relaxon"),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "scipy", "matplotlib")},
        },
    }


def skill_text(experiment: Experiment, result: Result) -> str:
    """What is to be said of a model that loses to a baseline; else nothing.

    Parameters
    ----------
    experiment : Experiment
        What was run.
    result : Result
        What it gave.

    Returns
    -------
    str
        A sentence without full stop, which names the best baseline and the others that are better.
    """
    if not result.better_baselines:
        return ""
    best, *others = result.better_baselines
    error = result.rows[-1].held_out_error
    decimals = next(n for n in range(2, 5) if f"{error:.{n}f}" != f"{best.held_out_error:.{n}f}")
    parts = "pairs" if experiment.split.scaling is None else "times"
    text = (
        f"the model is worse than {best.name} on held-out {parts} ({error:.{decimals}f} against "
        f"{best.held_out_error:.{decimals}f})"
    )
    if others:
        text += f", and than {' and '.join(row.name for row in others)}"
    return f"{text}: its coefficients describe no skill beyond that"


def _profile(profile: DepthProfile | None) -> dict[str, Any]:
    """Errors, residuals, |z| and distances by layer; without layers none."""
    columns = {"profile": "loss", "residual": "residual", "size": "size", "distance": "distance"}
    lists = {}
    for name, attribute in columns.items():
        values = None if profile is None else getattr(profile, attribute)
        lists[f"depth_{name}"] = [] if values is None else [_finite(v) for v in values.tolist()]
    return lists


def _stability(result: Result) -> dict[str, Any]:
    """What is known of the layers of the fitted model."""
    found, model = result.stability, result.fit.model
    waves, certificate, radius = found.amplification, found.certificate, found.spectral_radius
    has_radius = radius is not None and not math.isnan(radius)
    return {
        "theta": model.theta,
        "largest_amplification": None if waves is None else _finite(waves.largest),
        "spectral_radius": _finite(radius) if has_radius and radius is not None else None,
        "is_certified": None if certificate is None else certificate.is_certified,
        "mu": None if certificate is None else _finite(certificate.mu),
        "factor": None if certificate is None else _finite(certificate.factor),
        "is_stable": None if model.is_at_attractor else found.is_stable,
        "text": stability_text(found, model),
        "sentences": found.sentences(),
    }


def stability_text(stability: Stability, model: Relaxation) -> str:
    """How layers treat what is put into them, on one line.

    Parameters
    ----------
    stability : Stability
        Of the model.
    model : Relaxation
        The model.

    Returns
    -------
    str
        A sentence without full stop: theta, the numbers, and what they come down to.
    """
    certificate = stability.certificate
    if model.is_at_attractor:
        # Their omega is a matter of units: what counts is whether any does.
        if certificate is None or not certificate.mu < 1.0:
            mu = "" if certificate is None else f", mu = {certificate.mu:.5g}"
            return f"the attractor is not certified to be the only one or stable{mu}"
        return (
            f"the attractor is certified to be the only one, and stable for layers of omega up to "
            f"{certificate.omega_max:.4g} (mu = {certificate.mu:.5g})"
        )
    kind = f"{'implicit' if model.theta else 'explicit'} layers (theta = {model.theta:g})"
    numbers = []
    if stability.amplification is not None:
        numbers.append(f"largest amplification {stability.amplification.largest:.5g}")
    if stability.spectral_radius is not None and not math.isnan(stability.spectral_radius):
        numbers.append(f"spectral radius {stability.spectral_radius:.5g}")
    if certificate is not None and certificate.is_certified:
        numbers.append(f"contraction by {certificate.factor:.5g} certified")
    known = {True: "stable", False: "not stable", None: "not known to be stable"}
    verdict = known[stability.is_stable]
    if stability.is_stable is False and stability.damps_waves:
        # One-sided differences of mixed diffusion do that, and negative weights at a coast.
        verdict = "no wave grows, but a state at the sides or the mask does"
    return f"{', '.join([kind, *numbers])}: {verdict}"


def _search(search: Attractor) -> dict[str, Any]:
    """Of the held-out part: how many samples, how long, and how well."""
    bound = search.error_bound
    return {
        "samples": int(search.status.size),
        "converged": int(np.count_nonzero(search.status == AttractorStatus.CONVERGED)),
        "iterations": int(search.iterations.max()),
        "residual": _finite(float(search.residual.max())),
        "error_bound": None if bound is None else _finite(float(bound.max())),
        "method": search.method,
        "message": search.message,
    }


def _inputs(experiment: Experiment, result: Result) -> dict[str, Any]:
    """Gaps and errors of the training inputs, errors in the unit of the data."""
    inputs, scaling = result.fit.inputs, experiment.split.scaling
    assert inputs is not None
    scale, unit = (1.0, "") if scaling is None else (scaling.scale, scaling.unit)
    targets = inputs.target_error
    return {
        "mode": inputs.mode,
        "gaps": inputs.n_gaps,
        "targets": inputs.n_targets,
        "targets_left": inputs.n_left,
        "reach": None if inputs.reach is None else [list(sides) for sides in inputs.reach],
        "input_error": experiment.options.input_error,
        "target_error": None if targets is None else [scale * error for error in targets],
        "lines": inputs.describe(scale, unit),
    }


def physics_of(explanation: Explanation, scaling: Scaling | None = None) -> dict[str, Any]:
    """Velocity, diffusivity and rate of an explanation, as in ``summary.json``.

    Parameters
    ----------
    explanation : Explanation
        What has been read.
    scaling : Scaling, optional
        Of the model: its step of time makes rates readable, per month for instance. Default: rates
        as in the explanation.

    Returns
    -------
    dict
        "velocity", "diffusivity" (per axis; "mixed" for pairs of axes), "rate" and
        "numerical_diffusivity" where the scheme adds one; only a "note" where there is no
        linearisation. A unit is one text, or a list where axes differ in it (then "mixed" has its
        own, "mixed_unit"). Coefficients that differ between layers are averaged over them, those
        that differ between cells are represented by their median. Beside each "value" stands its
        "standard_error" ("mixed_standard_error" beside "mixed"), null where there is none.
    """
    if not explanation.processes:
        return {"note": explanation.note}
    processes = {(p.symbol, p.axes): p for p in explanation.processes}
    axes = range(len(explanation.names))

    def summarise(chosen: list[Process]) -> tuple[list[float], list[float | str | None], Any]:
        units = [process.unit for process in chosen]
        return (
            [p.typical_value for p in chosen],
            [_one_error(p) for p in chosen],
            units[0] if len(set(units)) == 1 else units,
        )

    def per_axis(symbol: str, order: int) -> dict[str, Any]:
        values, errors, unit = summarise([processes[symbol, (a,) * order] for a in axes])
        names = list(explanation.names)
        return {"value": values, "standard_error": errors, "unit": unit, "axes": names}

    reaction = processes["R", ()]
    name, length = ("", 1.0) if scaling is None else scaling.step.rate_unit
    physics = {"velocity": per_axis("U", 1)}
    # Moments of order 1 stop here.
    if ("D", (0, 0)) in processes:
        physics["diffusivity"] = per_axis("D", 2)
        mixed = [p for p in explanation.processes if len(set(p.axes)) == 2]
        values, errors, unit = summarise(mixed) if mixed else ([], [], "")
        physics["diffusivity"] |= {"mixed": values, "mixed_standard_error": errors}
        if isinstance(physics["diffusivity"]["unit"], list) and mixed:
            physics["diffusivity"]["mixed_unit"] = unit
    physics["rate"] = {
        "value": reaction.typical_value * length,
        "standard_error": _one_error(reaction, length),
        "unit": f"1/{name}" if name else reaction.unit,
    }
    if ("numerical D", (0, 0)) in processes:
        physics["numerical_diffusivity"] = per_axis("numerical D", 2)
    return physics


class Line(NamedTuple):
    """One number of the physics, as terminal and page list them.

    ``place`` and ``error_place`` lead to it and to its standard error within the physics.
    """

    label: str
    symbol: str
    axes: tuple[int, ...]
    place: tuple[str | int, ...]
    error_place: tuple[str | int, ...]
    unit: str


def physics_lines(physics: Mapping[str, Any]) -> list[Line]:
    """The numbers of :func:`physics_of`, in the order in which people read them.

    Parameters
    ----------
    physics : mapping
        With a linearisation.

    Returns
    -------
    list of Line
        Drift and diffusivities along each axis and of each pair of axes, then the rate.
    """
    lines = []
    kinds = (
        ("velocity", "drift", "U"),
        ("diffusivity", "diffusivity", "D"),
        ("numerical_diffusivity", "numerical diffusivity", "numerical D"),
    )
    for key, label, symbol in kinds:
        entry = physics.get(key)
        if entry is None:
            continue
        names = entry["axes"]
        for a, (name, unit) in enumerate(zip(names, _each(entry["unit"], len(names)), strict=True)):
            axes = (a,) if symbol == "U" else (a, a)
            places = (key, "value", a), (key, "standard_error", a)
            lines.append(Line(f"{label} along {name}", symbol, axes, *places, unit))
        n_mixed = len(entry.get("mixed", ()))
        # Numerical diffusivity has no mixed components.
        units = _each(entry.get("mixed_unit", entry["unit"]), n_mixed) if n_mixed else []
        pairs = list(itertools.combinations(range(len(names)), 2))[:n_mixed]
        for i, (axes, unit) in enumerate(zip(pairs, units, strict=True)):
            # There is one in a plane; in space they bear the names of their axes.
            pair = " and ".join(names[a] for a in axes) if len(names) > 2 else ""
            places = (key, "mixed", i), (key, "mixed_standard_error", i)
            lines.append(Line(f"{label}, mixed {pair}".rstrip(), symbol, axes, *places, unit))
    rate = ("rate", "value"), ("rate", "standard_error")
    return [*lines, Line("rate", "R", (), *rate, physics["rate"]["unit"])]


def value_at(values: Any, place: Iterable[str | int]) -> Any:
    """What stands at a place of nested mappings and sequences."""
    for step in place:
        values = values[step]
    return values


def _each(unit: str | list[str], n: int) -> list[str]:
    return unit if isinstance(unit, list) else [unit] * n


def _explanation(explanation: Explanation) -> dict[str, Any]:
    """The whole table, stability, standard errors and remarks."""
    stability = explanation.stability
    errors = explanation.standard_errors
    names = {(p.symbol, p.axes): p.name for p in explanation.processes}
    return {
        "table": [_plain(asdict(row)) for row in readable_rows(explanation)],
        "stability": None
        if stability is None
        else {
            "share": stability.share,
            "diffusive_share": stability.diffusive_share,
            "advective_share": stability.advective_share,
            "peclet_share": list(stability.peclet_share),
            "cures": list(stability.cures),
        },
        "standard_errors": None
        if errors is None
        else {
            "samples": errors.n_samples,
            "cluster": errors.cluster,
            "profiled": errors.is_profiled,
            "newton_step": _finite(errors.newton_step),
            "undetermined": list(errors.undetermined),
        },
        "remarks": [
            {"process": names[remark.symbol, remark.axes], **asdict(remark)}
            for remark in explanation.remarks
        ],
        "note": explanation.note,
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    """The same fit at several leads or depths."""
    coefficients = []
    for c in comparison.coefficients:
        errors = [None if error is None else _finite(error) for error in c.standard_errors]
        text = comparison.describe(c) if c.is_moved else ""
        coefficients.append(
            asdict(c) | {"standard_errors": errors, "n_errors": _finite(c.n_errors), "text": text}
        )
    return asdict(comparison) | {"heads": list(comparison.heads), "coefficients": coefficients}


def _commands(experiment: Experiment) -> list[str]:
    """What to type for the same experiment, with the options that differ from their defaults."""
    sources = getattr(experiment.data, "files", ()) or (experiment.data.source,)
    words = ["relaxon", "fit", *sources]
    for field in fields(Options):
        value = getattr(experiment.given, field.name)
        for entry in value if isinstance(value, tuple) else [value]:
            if entry != field.default:
                words.append(f"--{field.name.replace('_', '-')}")
                words += [] if entry is True else [str(entry)]
    chosen = [word for choice in experiment.options.select for word in ("--select", choice)]
    model = "report/model.safetensors"
    return [
        shlex.join([*words, "--out", "report"]),
        shlex.join(["relaxon", "explain", model]),
        shlex.join(["relaxon", "predict", model, *sources, *chosen, "--out", "forecast.npz"]),
    ]


def _one_error(process: Process, factor: float = 1.0) -> float | str | None:
    error = process.typical_error
    return None if error is None else _finite(error * factor)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {k: _finite(v) if isinstance(v, float) else v for k, v in row.items()}


def _finite(value: float) -> float | str:
    """JSON has no infinite numbers."""
    return value if math.isfinite(value) else str(value)
