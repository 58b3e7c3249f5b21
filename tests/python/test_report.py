"""report.html: every number is one of summary.json, and nothing outside the file is needed."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relaxon import commands
from relaxon.cli import main
from relaxon.datasets.coordinates import Coordinates
from relaxon.datasets.samples import Samples
from relaxon.datasets.series import Series
from relaxon.datasets.time_axis import TimeAxis
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import Options
from relaxon.report.folder import write_report
from relaxon.report.summary import summary_of

pytest.importorskip("matplotlib")

NAME = '<b>"t2m" & co</b>'
VOID = {"meta", "img", "link", "br", "hr", "input"}


def series(name: str = NAME) -> Series:
    degrees = ("degrees_north", "degrees_east")
    axes = (np.arange(40.0, 46.0), np.arange(-4.0, 4.0))
    names = ("latitude", "longitude")
    coordinates = Coordinates.read(
        [(n, v, {"units": u}) for n, v, u in zip(names, axes, degrees, strict=True)]
    )
    values = np.random.default_rng(4).standard_normal((80, 6, 8)).cumsum(axis=0)
    values[:, 0, 0] = np.nan
    times = np.datetime64("2021-01-01", "ns") + np.arange(80) * np.timedelta64(6, "h")
    return Series(name, "K", values, TimeAxis.read("time", times, {}), coordinates)


class Page(HTMLParser):
    """What a page says, and whether its elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.numbers: list[tuple[str, str, str]] = []
        self.bare_cells: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self._data: tuple[str, str] | None = None
        self._text = ""
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.attributes.append((tag, found))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "data":
            self._data = (str(found["data-path"]), str(found["value"]))
            self._text = ""

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "data":
            assert self._data is not None
            self.numbers.append((*self._data, self._text))
            self._data = None

    def handle_data(self, data: str) -> None:
        if self._data is not None:
            self._text += data
        elif "style" not in self._open:
            self.texts.append(data)
            if "td" in self._open and re.search(r"[0-9]", data):
                self.bare_cells.append(data)


CASES: dict[str, dict[str, Any]] = {
    "homogeneous": {},
    "layered": {"time": "layered", "scheme": "upwind"},
    "local": {"space": "local", "patience": 5},
    "local layered": {"space": "local", "time": "layered", "bias": "local"},
    "dense": {"operator": "dense"},
    "relu": {"activation": "relu"},
    "omega": {"trainable_omega": True, "bias": "homogeneous", "activation": "tanh"},
    "unstable": {"omega": 1.9, "scheme": "upwind", "anomaly": "none"},
}


@pytest.fixture(scope="module", params=CASES)
def report(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str, dict[str, Any], Path]:
    options = Options(**{"steps": 3, "depth": 3, "rate": 1e-4, **CASES[request.param]})
    experiment = Experiment(options, series())
    folder = tmp_path_factory.mktemp("report")
    write_report(folder, experiment, experiment.run(), {})
    text = (folder / "report.html").read_text(encoding="utf-8")
    summary = json.loads((folder / "summary.json").read_text())
    return request.param, text, summary, folder


def at(summary: Any, path: str) -> Any:
    for step in path.split("."):
        summary = summary[int(step)] if isinstance(summary, list) else summary[step]
    return summary


def read_number(text: str) -> float:
    plain = text.replace("\N{MINUS SIGN}", "-").replace(",", "").replace("∞", "inf")
    mantissa, _, exponent = plain.partition(" \N{MULTIPLICATION SIGN} 10")
    return float(mantissa) * 10.0 ** int(exponent or 0)


def test_every_number_is_one_of_the_summary(
    report: tuple[str, str, dict[str, Any], Path],
) -> None:
    _, text, summary, _ = report
    page = Page(text)
    assert len(page.numbers) > 30
    for path, exact, shown in page.numbers:
        value = at(summary, path)
        assert exact == str(value), path
        if shown.endswith("%"):
            assert float(shown.strip("<>% ")) / 100 == pytest.approx(value, abs=6e-4), path
            continue
        if isinstance(value, int):
            assert read_number(shown) == value, path
        else:
            # Two significant digits, or at least two decimals, are shown.
            assert read_number(shown) == pytest.approx(float(value), rel=0.06, abs=0.006), path


def test_no_number_of_a_table_comes_from_elsewhere(
    report: tuple[str, str, dict[str, Any], Path],
) -> None:
    page = Page(report[1])
    # Units carry powers in superscripts, which are no digits of a number.
    assert [
        cell for cell in page.bare_cells if re.search(r"[0-9]", cell) and "1/" not in cell
    ] == []


def test_what_is_shown(report: tuple[str, str, dict[str, Any], Path]) -> None:
    name, text, summary, folder = report
    shown = {path for path, _, _ in Page(text).numbers}
    for i in range(4):
        assert {f"rows.{i}.training_error", f"rows.{i}.held_out_error"} <= shown
    assert {f"depth_profile.{layer}" for layer in range(4)} <= shown
    for i, row in enumerate(summary["explanation"]["table"]):
        assert f"explanation.table.{i}.median" in shown
        if row["standard_error"] is not None:
            assert f"explanation.table.{i}.standard_error" in shown
        if row["bound"] is not None:
            assert f"explanation.table.{i}.share_over" in shown
    assert text.count("<img ") == len(list(folder.glob("*.png"))) == (4 if name == "relu" else 5)
    assert "Explicit layers (theta = 0)" in text
    has_errors = name in ("homogeneous", "layered", "omega", "unstable", "relu")
    assert (summary["explanation"]["standard_errors"] is not None) == has_errors
    assert ("Standard errors come from" in text) == has_errors
    assert ("no standard errors" in text.lower()) == (not has_errors)
    stability = summary["explanation"]["stability"]
    if name == "unstable":
        assert stability["share"] > 0
        assert "usual cures" in text
    if stability is not None:
        assert ("usual cures" in text) == (stability["share"] > 0)


def test_nothing_outside_the_file_is_named(report: tuple[str, str, dict[str, Any], Path]) -> None:
    text = report[1]
    without_pictures = re.sub(r'src="data:image/png;base64,[A-Za-z0-9+/=]+"', "", text)
    assert not re.search(r"https?:|//|url\(|@import|<script|<link|\bsrc=|xmlns", without_pictures)
    for tag, attributes in Page(text).attributes:
        for name in ("href", "src", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/png;base64,")), tag
    for path in report[3].glob("*.png"):
        assert b"http" not in path.read_bytes()


def test_pictures_have_texts_and_sizes(report: tuple[str, str, dict[str, Any], Path]) -> None:
    page = Page(report[1])
    pictures = [attributes for tag, attributes in page.attributes if tag == "img"]
    assert all(p["alt"] and int(p["width"] or 0) > 300 for p in pictures)
    assert report[1].count("<figcaption>") == len(pictures)
    assert dict(page.attributes)["html"]["lang"] == "en"


def test_names_from_files_are_text(report: tuple[str, str, dict[str, Any], Path]) -> None:
    text = report[1]
    assert NAME not in text
    assert "&lt;b&gt;" in text
    assert any(NAME in part for part in Page(text).texts)


def test_depth_profile_goes_from_persistence_to_the_model(
    report: tuple[str, str, dict[str, Any], Path],
) -> None:
    rows = {row["name"]: row["held_out_error"] for row in report[2]["rows"]}
    profile = report[2]["depth_profile"]
    assert profile[0] == pytest.approx(rows["persistence"], rel=1e-12)
    assert profile[-1] == pytest.approx(rows["model"], rel=1e-12)


def test_physics_and_table_agree() -> None:
    experiment = Experiment(Options(steps=3, depth=3, time="layered"), series())
    result = experiment.run()
    summary = summary_of(experiment, result)
    rows = summary["explanation"]["table"]
    layers = [r["median"] for r in rows if r["process"] == "advection along longitude"]
    assert summary["physics"]["velocity"]["value"][1] == pytest.approx(np.mean(layers))
    error = result.explanation.processes[2].mean_standard_error
    assert summary["physics"]["velocity"]["standard_error"][1] in (error, str(error))
    rates = [r for r in rows if r["process"] == "reaction"]
    assert rates[0]["unit"] == summary["physics"]["rate"]["unit"] == "1/hour"
    mean = np.mean([r["median"] for r in rates])
    assert summary["physics"]["rate"]["value"] == pytest.approx(mean)


def test_the_command_repeats_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("typer")
    options = Options(
        steps=7, depth=3, space="local", trainable_omega=True, boundary="neumann,0:neumann"
    )
    experiment = Experiment(options, dataclasses.replace(series(), source="my data/a b.nc"))
    given: list[tuple[tuple[str, ...], Path, Options]] = []

    def remember(names: tuple[str, ...], out: Path, chosen: Options, *flags: bool) -> int:
        assert flags == (False, False)
        given.append((names, out, chosen))
        return 0

    monkeypatch.setattr(commands, "fit", remember)
    words = shlex.split(summary_of(experiment, experiment.run())["commands"][0])
    assert words[0] == "relaxon"
    assert main(words[1:]) == 0
    assert given == [(("my data/a b.nc",), Path("report"), options)]
    # Defaults are left out.
    assert "--seed" not in words


def test_pairs_without_times(tmp_path: Path) -> None:
    fields = np.random.default_rng(0).standard_normal((41, 5, 7))
    experiment = Experiment(Options(steps=2, depth=2), Samples(fields[:-1], fields[1:]))
    write_report(tmp_path, experiment, experiment.run(), {})
    assert "Fit to" in (tmp_path / "report.html").read_text(encoding="utf-8")
