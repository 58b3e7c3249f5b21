"""Names, units and attributes that terminals, pages, spreadsheets or figures would obey."""

from __future__ import annotations

import contextlib
import csv
import html.parser
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import relaxon as rx
from relaxon import cli

xarray = pytest.importorskip("xarray")
pytest.importorskip("netCDF4")

FIT = ["--steps", "2", "--anomaly", "none", "--check-depth"]
# As attributes: no letter is forbidden there.
UNIT = "=1+1\x1b[31m\n\nrelaxon: all is well\u202e\x9b2J"
LONG_NAME = "<script>alert(1)</script>\r" + "x" * 200_000
# As names, among which netCDF allows neither control characters nor slashes.
FIELD = "wave$\\frac{<b>\u202e"
AXIS = "_$x_{$$ '\"><img src=x>\u2066 [red]{0}%s"


class Run(NamedTuple):
    code: int
    out: str
    err: str


def run(*arguments: str) -> Run:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(list(arguments))
    return Run(code, out.getvalue(), err.getvalue())


def commands(folder: Path, field: str, axis: str, unit: str, long_name: str) -> dict[str, Run]:
    """What all commands print for a field of these names."""
    random = np.random.default_rng(0)
    values = np.cumsum(random.standard_normal((30, 6, 7)), axis=0)
    coords: dict[str, Any] = {"time": np.arange(30).astype("M8[D]").astype("M8[ns]")}
    for name, n in ((axis, 6), (f"{axis}2", 7)):
        coords[name] = (name, np.arange(float(n)), {"units": unit, "long_name": long_name})
    attributes = {"units": unit, "long_name": long_name, "comment": unit}
    da = xarray.DataArray(values, coords, tuple(coords), name=field, attrs=attributes)
    da.to_netcdf(folder / "data.nc")
    data, model = str(folder / "data.nc"), str(folder / "report" / "model.safetensors")
    return {
        "fit": run("fit", data, *FIT, "--out", str(folder / "report")),
        "inspect": run("inspect", data),
        "explain": run("explain", model, "--out", str(folder / "explanation")),
        "predict": run("predict", model, data, "--out", str(folder / "later.nc")),
        "refused": run("fit", data, "--select", f"{axis}=99", "--out", str(folder / "other")),
    }


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    return commands(tmp_path_factory.mktemp("plain"), "wave", "x", "km", "waves")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def hostile(folder: Path) -> dict[str, Run]:
    return commands(folder, FIELD, AXIS, UNIT, LONG_NAME)


@pytest.mark.parametrize("command", ["fit", "inspect", "explain", "predict", "refused"])
def test_the_terminal_gets_the_same_lines(
    command: str, plain: dict[str, Run], hostile: dict[str, Run]
) -> None:
    mine, theirs = hostile[command], plain[command]
    assert mine.code == theirs.code == (2 if command == "refused" else 0), mine.err
    assert len(mine.out.splitlines()) == len(theirs.out.splitlines())
    lines = (mine.out + mine.err).splitlines()
    assert [line for line in lines if not line.isprintable()] == []
    assert max(map(len, lines)) < 2500
    assert all(line.startswith("relaxon: ") for line in mine.err.splitlines())


def test_units_are_shown_escaped(hostile: dict[str, Run]) -> None:
    assert r"=1+1\x1b[31m\n\nrelaxon: all is well\u202e\x9b2J" in hostile["inspect"].out
    assert "<script>alert(1)</script>" in hostile["inspect"].out


class Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


@pytest.mark.usefixtures("hostile")
def test_the_page_has_no_tags_but_its_own(folder: Path) -> None:
    text = (folder / "report" / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert {"script", "b"}.isdisjoint(tags.found)
    assert len(tags.sources) == 5
    assert all(source.startswith("data:image/png;base64,") for source in tags.sources)
    assert [line for line in text.splitlines() if not line.isprintable()] == []
    assert len(text.replace("".join(tags.sources), "")) < 2_000_000


@pytest.mark.usefixtures("hostile")
def test_figures_are_drawn(folder: Path) -> None:
    for name in ("report/coefficients.png", "report/prediction.png", "explanation/explanation.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("hostile")
def test_cells_are_text_or_numbers(folder: Path) -> None:
    content = (folder / "explanation" / "explanation.csv").read_text(encoding="utf-8")
    with io.StringIO(content, newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["unit"][:5] for row in rows} >= {"'=1+1"}
    assert any(row["median"].startswith("-") for row in rows)
    for cell in (cell for row in rows for cell in row.values() if cell):
        assert cell.isprintable()
        if cell[0] in "=+-@":
            float(cell)


@pytest.mark.usefixtures("hostile")
def test_files_keep_names_as_they_are(folder: Path) -> None:
    summary = json.loads((folder / "report" / "summary.json").read_text())
    assert summary["physics"]["velocity"]["axes"] == [AXIS, f"{AXIS}2"]
    with xarray.open_dataset(folder / "later.nc") as later:
        assert later[FIELD].attrs["units"] == UNIT
        assert later[FIELD].attrs["long_name"] == LONG_NAME


def explained(name: str, folder: Path) -> Run:
    """What is printed of a model whose axis and units have a name."""
    grid = rx.Grid((6,), names=name, unit=name or "1", boundary=rx.Dirichlet(1.0))
    model = rx.Relaxation(rx.ADR(grid), depth=2, time_unit=name)
    model.save(folder / "m.safetensors")
    return run("explain", str(folder / "m.safetensors"), "--out", str(folder / "out"))


@pytest.fixture(scope="module")
def n_lines(tmp_path_factory: pytest.TempPathFactory) -> int:
    return len(explained("x", tmp_path_factory.mktemp("x")).out.splitlines())


@pytest.mark.parametrize(
    "name",
    ["a\nb\x1b[31m", "x" * 200_000, "漢" * 5000, "", "$", "\\frac{$x$", "\0", "=1"],
    ids=["control", "long", "wide", "empty", "dollar", "formula", "null", "equals"],
)
def test_names_in_models(name: str, n_lines: int, tmp_path: Path) -> None:
    done = explained(name, tmp_path)
    assert done.code == 0, done.err
    lines = (done.out + done.err).splitlines()
    assert [line for line in lines if not line.isprintable()] == []
    assert max(map(len, lines)) < 2500
    assert len(done.out.splitlines()) == n_lines
    assert (tmp_path / "out" / "explanation.png").exists()
