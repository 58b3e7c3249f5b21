"""relaxon stability: the table on stdout and the figure in a folder; relaxon fit --constraint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from relaxon.cli import main

pytest.importorskip("typer")
pytest.importorskip("matplotlib")


def saved(folder: Path, model: rx.Relaxation) -> str:
    path = folder / "model.safetensors"
    model.save(path)
    return str(path)


def line(**options: Any) -> rx.Relaxation:
    model = rx.Relaxation(rx.ADR(rx.Grid((16,), names="x")), depth=4, omega=0.5, **options)
    return model.with_params({"R": np.array(-0.1), "U": np.array([0.2]), "D": np.array([0.3])})


def test_it_prints_what_the_library_finds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stability", saved(tmp_path, line())]) == 0
    out = capsys.readouterr().out
    found = rx.stability(line())
    assert "\n".join(found.sentences()) in out
    for row in found.rows():
        for text in row:
            assert text in out
    for kind in ("bound", "certificate"):
        assert kind in out
    assert list(tmp_path.iterdir()) == [tmp_path / "model.safetensors"]


def test_the_figure_goes_into_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["stability", saved(tmp_path, line(theta=1.0)), "--out", str(out)]) == 0
    assert (out / "stability.png").read_bytes().startswith(b"\x89PNG")
    assert "written to" in capsys.readouterr().out


def test_a_bad_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no").write_bytes(b"nothing")
    assert main(["stability", str(tmp_path / "no")]) == 2
    assert "argument 'MODEL'" in capsys.readouterr().err


MASK = np.ones((5, 7), bool)
MASK[1, 2] = False
FIGURES: dict[str, tuple[rx.Relaxation, int]] = {
    "line": (line(), 2),
    "layers": (rx.Relaxation(rx.ADR(rx.Grid((8,)), time="layered"), depth=3), 2),
    # The map of waves has a colour bar.
    "plane": (rx.Relaxation(rx.ADR(rx.Grid((5, 7))), depth=3), 3),
    "local": (rx.Relaxation(rx.ADR(rx.Grid((5, 7), mask=MASK), space="local"), depth=2), 6),
    "local line": (rx.Relaxation(rx.ADR(rx.Grid((9,)), space="local"), depth=2), 3),
    "space": (rx.Relaxation(rx.ADR(rx.Grid((3, 4, 5))), depth=2), 3),
    "dense": (rx.Relaxation(rx.Dense(rx.Grid((6,))), depth=2), 1),
    "square": (rx.Relaxation(rx.Banded(rx.Grid((6,)), radius=2), depth=2, activation="square"), 1),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_kind_of_model_has_a_figure(name: str) -> None:
    model, n_axes = FIGURES[name]
    figure = rx.stability(model).plot()
    figure.canvas.draw()
    assert len(figure.axes) == n_axes


def test_what_explain_gives_has_no_figure() -> None:
    found = rx.explain(line()).stability
    assert found is not None
    with pytest.raises(ValueError, match=r"relaxon\.stability"):
        found.plot()


def test_fit_takes_a_constraint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((12, 9))
    np.savez(tmp_path / "xy.npz", x=x, y=np.roll(x, 1, axis=1))
    data, out = str(tmp_path / "xy.npz"), tmp_path / "out"
    options = ["--constraint", "monotone", "--steps", "20", "--out", str(out)]
    assert main(["fit", data, *options]) == 0
    params = rx.load(out / "model.safetensors").params
    assert abs(params["U"][0]) <= 2 * params["D"][0]
    assert json.loads((out / "summary.json").read_text())["config"]["constraint"] == "monotone"
    capsys.readouterr()
    options[-1] = str(tmp_path / "other")
    assert main(["fit", data, *options, "--operator", "dense"]) == 2
    assert "choose --operator adr" in capsys.readouterr().err
    assert main(["fit", data, *options, "--optimizer", "lbfgs"]) == 2
    assert "SteepestDescent" in capsys.readouterr().err
