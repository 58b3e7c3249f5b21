"""What an experiment would take from data, found without training."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..base.text import LINE, show
from ..datasets.archive import Archive
from ..datasets.attributes import kind_of
from ..datasets.candidates import candidates_of
from ..datasets.collection import expand_names
from ..datasets.coordinates import Coordinates
from ..datasets.dates import has_cftime, time_text
from ..datasets.missing import LIMITS, find_stand_ins, mask_values
from ..datasets.roles import entry_as_text, positions_of, read_roles
from ..datasets.samples import Samples
from ..datasets.selection import select_entries
from ..datasets.series import Series
from ..datasets.source import Source
from ..datasets.variable import open_dataset
from .experiment import Experiment
from .options import Options

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["Inspection", "inspect_data"]

T = TypeVar("T")
# Entries of an axis, and names of an archive, that are written out.
MOST_ENTRIES = 6
MOST_NAMES = 20
# A month or an hour of the day is worth a mean of its own where it comes back so often; a month of
# many times in fewer years.
FEWEST_RETURNS = 3
FEWEST_YEARS = 2
# Of which nothing tells whether they are even.
TWO_ENTRIES = "too few for an axis of space"
DAY = 86400.0
SHORTEST_YEAR = 360.0 * DAY


@dataclass
class Inspection:
    """What was found, and what to type.

    Attributes
    ----------
    source : str
        What was looked at.
    findings : list of (str, str)
        Topic and text; one line each.
    options : list of str
        Of ``relaxon fit``, beside the data.
    refusal : str
        Why ``relaxon fit`` refuses the data even with these options; empty where it takes them.
    """

    source: Source
    findings: list[tuple[str, str]] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    refusal: str = ""

    @property
    def command(self) -> str:
        """What to type; empty where nothing that is known here helps."""
        if self.refusal:
            return ""
        words = ["relaxon", "fit", *self.source.names, *self.options, "--out", "report"]
        return shlex.join(words)

    def add(self, topic: str, text: str) -> None:
        """One more finding."""
        self.findings.append((topic, show(text, LINE)))

    def __str__(self) -> str:
        lines = list(self.findings)
        if self.refusal:
            lines.append(("refused", self.refusal))
        width = max(len(topic) for topic, _ in lines)
        texts = [f"{topic:<{width}}  {text}".rstrip() for topic, text in lines]
        command = ["", show(self.command, None)] if self.command else []
        return "\n".join([show(self.source), *texts, *command])


def inspect_data(source: Source) -> Inspection:
    """Look at data as ``relaxon fit`` would take them, and at what keeps it from that.

    Parameters
    ----------
    source : Source
        What to look at.

    Returns
    -------
    Inspection
        Variable, axes by what they are, calendar and step of time, gaps, suspicious values, and
        options to fit it with. What a fit would refuse is a finding.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        If there is nothing to look at: no such file, or none that can be read.

    Notes
    -----
    Reads the data once more than a fit does, and trains nothing.
    """
    found = Inspection(source)
    for value in source.missing:
        found.options += ["--missing", f"{value:.9g}"]
    if source.is_archive:
        _look_at_archive(found)
    elif source.is_shipped:
        _look_at_fields(found, lambda: source.read())
    else:
        _look_at_files(found)
    return found


def _attempt(found: Inspection, make: Callable[[], T]) -> T | None:
    """What a function gives; None where it refuses, which is then the refusal."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            made = make()
        except (TypeError, ValueError) as error:
            found.refusal = " ".join(str(error).split())
            made = None
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        found.add("warning", " ".join(text.split()))
    return made


# -- archives -----------------------------------------------------------------------------------


def _look_at_archive(found: Inspection) -> None:
    archive = Archive(found.source.names[0])
    for name in archive.names[:MOST_NAMES]:
        found.add("array", f"{show(name)}: {archive.describe(name)}")
    if len(archive.names) > MOST_NAMES:
        found.add("array", f"... and {len(archive.names) - MOST_NAMES} more")
    missing = list(found.source.missing)
    for name in ("x", "y"):
        array = _attempt(found, partial(archive.read, name)) if name in archive else None
        if array is not None and array.dtype.kind == "f":
            values, _ = mask_values(array, missing)
            missing += _suspect(found, values, f"{name}: ")
    samples = _attempt(found, replace(found.source, missing=tuple(missing)).read)
    if isinstance(samples, Samples):
        _plan(found, samples)


# -- files --------------------------------------------------------------------------------------


def _look_at_files(found: Inspection) -> None:
    source = found.source
    names = expand_names(source.names)
    if len(names) > 1:
        found.add("files", f"{len(names)}, joined along time")
    with open_dataset(names[0]) as dataset:
        variable = _look_at_variables(found, dataset)
    if variable is None:
        _attempt(found, source.open)
        return
    for choice in source.select:
        found.options += ["--select", choice]
    da = _attempt(found, lambda: source.open(variable))
    if da is None:
        return
    select = _look_at_axes(found, da)
    for choice in select:
        da = select_entries(da, [choice])
    gaps = _look_at_values(found, da)
    _look_at_fields(found, lambda: Series.read(da, str(source), missing=gaps, files=source.names))


def _look_at_variables(found: Inspection, dataset: Dataset) -> str | None:
    """The variable to fit, where there is one."""
    candidates = candidates_of(dataset)
    given = found.source.variable
    variable = given if given is not None else (candidates or (None,))[0]
    if variable is None or variable not in dataset.data_vars:
        found.add("variables", ", ".join(map(str, dataset.variables)) or "none")
        return None
    if given is not None or len(candidates) > 1:
        found.options += ["--variable", variable]
    data = dataset[variable]
    axes = ", ".join(f"{dim} ({data.sizes[dim]})" for dim in data.dims)
    unit = f", in {data.attrs['units']}" if "units" in data.attrs else ", without a unit"
    long_name = f", {data.attrs['long_name']}" if "long_name" in data.attrs else ""
    found.add("variable", f"{variable}{long_name}{unit}: {axes}")
    others = [name for name in candidates if name != variable]
    if others:
        refused = "" if given is not None else "; fit refuses to choose without --variable"
        found.add("others", f"{', '.join(others)}{refused}")
    helpers = [str(n) for n in dataset.data_vars if str(n) not in (*candidates, variable)]
    if helpers:
        found.add("helpers", ", ".join(helpers))
    attributes = {**data.encoding, **data.attrs}
    declared = [
        # Text of the number in its own precision.
        f"{key} {np.asarray(attributes[key])!s}"
        for key in LIMITS
        if key in attributes and not np.any(attributes[key] != attributes[key])
    ]
    if declared:
        is_packed = not {"scale_factor", "add_offset"}.isdisjoint(attributes)
        stored = " (numbers as stored)" if is_packed else ""
        found.add("declared", f"missing by attributes: {', '.join(declared)}{stored}")
    return variable


def _look_at_axes(found: Inspection, da: DataArray) -> list[str]:
    """Choices of entries that leave time, space and members."""
    try:
        roles = read_roles(da, str(da.name))
    except ValueError:
        # Reading the series says it once more, and that is the refusal.
        return []
    left_out = dict(roles.others)
    space = list(roles.space)
    for dim in roles.space:
        values, attributes = positions_of(da, dim)
        is_vertical = not kind_of(dim, attributes)[0]
        if len(space) == 1 or not is_vertical:
            continue
        if reason := _why_left_out(dim, values, len(space)):
            space.remove(dim)
            left_out[dim] = reason
    choices = []
    for dim, reason in left_out.items():
        values = da[dim].values
        is_number = values.dtype.kind in "iuf"
        texts = [f"{entry:g}" if is_number else entry_as_text(entry) for entry in values]
        without = "takes it for space" if reason == TWO_ENTRIES else "refuses it"
        text = f"{dim}: {len(texts)} entries ({_few(texts)}), {reason}"
        found.add("left out", f"{text}; fit {without} without --select")
        choices.append(f"{dim}={entry_as_text(values[(len(values) - 1) // 2])}")
        found.options += ["--select", choices[-1]]
    for dim in map(str, da.dims):
        if da.sizes[dim] == 1 and dim != roles.time:
            found.add("left out", f"{dim}: one entry ({entry_as_text(da[dim].values[0])})")
    return choices


def _why_left_out(dim: str, values: Any, n_axes: int) -> str:
    """Why an axis of space beside others had better be one entry; empty where it may stay."""
    if not _is_even(dim, values):
        return "uneven"
    if len(values) == 2:
        return TWO_ENTRIES
    return "one axis too many" if n_axes > 3 else ""


def _is_even(dim: str, values: Any) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Coordinates.read([(dim, values, {})])
    except ValueError:
        return False
    return True


def _look_at_values(found: Inspection, da: DataArray) -> tuple[float, ...]:
    """Values that seem to stand for gaps, which are declared then."""
    given = found.source.missing
    if da.dtype.kind != "f":
        return given
    values, notes = mask_values(da.values, given)
    for note in notes:
        found.add("declared", note)
    return (*given, *_suspect(found, values))


def _suspect(found: Inspection, values: Any, where: str = "") -> list[float]:
    """Values that seem to stand for gaps."""
    stand_ins = find_stand_ins(values)
    for one in stand_ins:
        found.add("suspicious", f"{where}{one}; fit refuses it without --missing")
        found.options += ["--missing", one.number]
    return [one.value for one in stand_ins]


# -- fields -------------------------------------------------------------------------------------


def _look_at_fields(found: Inspection, read: Callable[[], Any]) -> None:
    series = _attempt(found, read)
    if not isinstance(series, Series):
        return
    _look_at_times(found, series)
    for line in series.coordinates.describe():
        found.add("space", line)
    if series.members is not None:
        prefix = f"{series.members.names[0]} "
        found.add("members", f"{series.members} ({_few(series.members.labels, prefix)})")
    is_gap = np.isnan(series.fields(0, len(series))[0])
    never = is_gap.all(axis=0)
    if never.any():
        found.add("masked", f"{int(never.sum())} of {never.size} cells, without any value")
    share = float(is_gap[:, ~never].mean())
    found.add("gaps", f"{share:.2%} of the values of the other cells" if share else "none")
    _plan(found, series)


def _look_at_times(found: Inspection, series: Series) -> None:
    time = series.time
    first, last = (time_text(t, time.step.unit) for t in (time.values[0], time.values[-1]))
    calendar = ", numbers without a calendar"
    if time.step.has_dates:
        is_cftime = has_cftime(time.values)
        calendar = f", calendar {time.values[0].calendar if is_cftime else 'standard'}"
    step = time.step.text(1)
    text = f"{time.name}: {len(series)} times, {first} to {last}, step {step}{calendar}"
    found.add("time", text + (", descending" if time.is_flipped else ""))
    for line in time.describe(1):
        found.add("time", line)


def _plan(found: Inspection, data: Series | Samples) -> None:
    """Options of an experiment that takes the data, and what it would do."""
    experiment = None
    for period in (*_periods(data), None):
        found.refusal = ""
        experiment = _attempt(found, partial(Experiment, Options(anomaly=period), data))
        if experiment is not None:
            break
    if experiment is None:
        return
    if period is not None:
        found.options += ["--anomaly", period]
        found.add("anomaly", f"{period}: a mean for each {period} comes off")
    found.add("fit", experiment.describe()[0])
    if experiment.split.note:
        found.add("anomaly", experiment.split.note)


def _periods(data: Series | Samples) -> list[str]:
    """Climatologies that times come back to often enough."""
    if not isinstance(data, Series) or not data.time.step.has_dates:
        return []
    if data.anomaly is not None:
        return []
    step, length = data.time.step, len(data) * data.time.step.length
    n_years = FEWEST_RETURNS if step.n_months else FEWEST_YEARS
    if length >= n_years * SHORTEST_YEAR:
        return ["month"]
    return ["hour"] if step.length <= DAY / 2 and length >= FEWEST_RETURNS * DAY else []


def _few(entries: Sequence[str], prefix: str = "") -> str:
    """Entries of an axis, the inner ones left out where they are many."""
    texts = [entry.removeprefix(prefix) for entry in entries]
    if len(texts) <= MOST_ENTRIES:
        return ", ".join(texts)
    return f"{', '.join(texts[:3])}, ..., {texts[-1]}"
