"""Diffusivities at the bound of explicit layers are marked as lower limits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import relaxon as rx
from relaxon import cli
from ring_data import write

WORDS = "a lower limit that the number of layers sets, not a value"


def model_of(d: float, omega: float = 0.5) -> rx.Relaxation:
    op = rx.ADR(rx.Grid((10,)))
    model = rx.Relaxation(op, depth=4, activation="identity", omega=omega)
    return model.with_params({"R": np.zeros(()), "U": np.zeros(1), "D": np.array([d])})


@pytest.mark.parametrize(
    ("d", "omega", "is_marked"),
    [(0.9, 0.5, False), (0.96, 0.5, True), (1.1, 0.5, True), (1.1, 0.4, False), (-1.1, 0.5, False)],
)
def test_where_a_diffusivity_is_marked(d: float, omega: float, is_marked: bool) -> None:
    explanation = rx.explain(model_of(d, omega))
    limits = [r for r in explanation.remarks if r.name == "explicit bound"]
    assert [(r.symbol, r.axes) for r in limits] == [("D", (0, 0))] * is_marked
    assert (WORDS in str(explanation)) == is_marked


def test_the_remark_in_words() -> None:
    (remark,) = rx.explain(model_of(1.1)).remarks
    assert remark.text == (
        "at the bound of explicit layers (2 omega s sum d = 1.1, stable up to 1): "
        f"{WORDS} (relaxon fit --check-depth shows that of twice as many)"
    )


def test_fields_are_marked_where_some_cells_are() -> None:
    mask = np.arange(21) > 0
    model = rx.Relaxation(rx.ADR(rx.Grid((21,), mask=mask), space="local"), depth=2)
    for n_over, words in ((1, ""), (2, "in 10 % of cells and layers at the bound")):
        d = np.full((1, 21), 0.1)
        d[0, 1 : 1 + n_over] = 1.2
        texts = [
            r.text for r in rx.explain(model.with_params({"D": d})).remarks if "bound" in r.text
        ]
        assert len(texts) == bool(words)
        assert all(text.startswith(words) for text in texts)


def test_both_axes_share_the_bound_and_mixed_components_have_none() -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((10, 10))), depth=2, activation="identity", omega=0.5)
    explanation = rx.explain(model.with_params({"D": np.array([0.4, 0.0, 0.7])}))
    marked = {r.axes for r in explanation.remarks if r.name == "explicit bound"}
    assert marked == {(0, 0), (1, 1)}


def test_a_wide_stencil_has_no_such_bound() -> None:
    model = rx.Relaxation(rx.Banded(rx.Grid((12,)), radius=2), depth=2, activation="identity")
    assert not any(r.name == "explicit bound" for r in rx.explain(model).remarks)


def test_terminal_summary_and_page_say_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Smoothing as strong as that asks for more than two stable layers give."""
    k = np.fft.rfftfreq(16) * 2 * np.pi
    noise = np.random.default_rng(0).standard_normal((40, 16))
    x = np.fft.irfft(np.fft.rfft(noise) * np.exp(-(k**2)), 16)
    y = np.fft.irfft(np.fft.rfft(x) * np.exp(-2.0 * k**2), 16)
    data = write(tmp_path / "a.npz", x=x, y=y)
    command = ["fit", data, "--depth", "2", "--boundary", "periodic", "--optimizer", "lbfgs"]
    assert cli.main([*command, "--out", str(tmp_path / "out")]) == 0
    assert WORDS in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert WORDS in page
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert "explicit bound" in [r["name"] for r in summary["explanation"]["remarks"]]
