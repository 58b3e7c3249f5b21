"""What tells one run from another: its options and its data."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from ..forecasting.experiment import Experiment

__all__ = ["describe_run", "difference", "extra_of"]

# Results have the same bits whatever these are; data are compared by what they hold.
_FREE = ("threads", "memory", "data")


def describe_run(experiment: Experiment) -> dict[str, Any]:
    """What tells a run from others.

    Parameters
    ----------
    experiment : Experiment
        What is run.

    Returns
    -------
    dict
        The settings that have an effect on results, the data by name and hash, the version; and
        what else belongs to a model of this run.
    """
    settings = {k: v for k, v in experiment.config.items() if k not in _FREE}
    digest = hashlib.sha256()
    _feed(digest, experiment.data)
    data = {"name": experiment.data.source, "sha256": digest.hexdigest()}
    run = {
        "version": version("relaxon"),
        "data": data,
        "settings": settings,
        "extra": extra_of(experiment),
    }
    # As it will be read again.
    return dict(json.loads(json.dumps(run)))


def extra_of(experiment: Experiment) -> dict[str, Any]:
    """What stands beside a model in its file: its data, and what applies to others of their kind.

    Parameters
    ----------
    experiment : Experiment
        That gave the model.

    Returns
    -------
    dict
        As JSON has it.
    """
    kept = {name: list(getattr(experiment.options, name)) for name in ("select", "missing")}
    return {"data": experiment.data.source, **kept}


def difference(record: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """What a recorded run has that another has not.

    Parameters
    ----------
    record, run : mapping
        The two, from :func:`describe_run`; the former out of a file.

    Returns
    -------
    str
        In words, to follow "a fit"; "" for the same run.
    """
    found, data, own = record.get("settings"), record.get("data"), run["settings"]
    if not isinstance(found, dict) or not isinstance(data, dict):
        return "of which nothing is known"
    options = [
        f"--{name.replace('_', '-')} {_text(found.get(name))} (not {_text(own.get(name))})"
        for name in sorted({*found, *own})
        if found.get(name) != own.get(name)
    ]
    if options:
        return f"with {', '.join(options)}"
    if data.get("sha256") == run["data"]["sha256"]:
        return ""
    name, other = run["data"]["name"], data.get("name")
    if name == other:
        return f"to other data: what {name} holds has changed"
    return f"to other data: {other} (not {name})"


def _text(value: object) -> str:
    return "none" if value is None else str(value)


def _feed(digest: Any, value: object) -> None:
    """Everything that data hold, but where they come from."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if field.name not in ("source", "files", "notes"):
                digest.update(field.name.encode())
                _feed(digest, getattr(value, field.name))
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8))
    elif isinstance(value, np.ndarray | tuple | list):
        items = list(np.ravel(value)) if isinstance(value, np.ndarray) else value
        digest.update(str(len(items)).encode())
        for item in items:
            _feed(digest, item)
    else:
        digest.update(repr(value).encode())
