"""A gradient that vanishes because nothing depends on the parameters is no convergence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reference_ends
import relaxon as rx
from relaxon import cli
from relaxon.training.stall import describe_stall
from ring_data import write
from small_fits import with_others

OPTIMIZERS: dict[str, Any] = with_others(
    {
        "fixed": rx.SteepestDescent(rate=1e-3),
        "barzilai-borwein": rx.SteepestDescent(rate=1e-3, line_search="barzilai-borwein"),
        "adam": rx.Adam(rate=1e-3),
        "lbfgs": rx.LBFGS(),
    },
    rate=1e-3,
)

DISTANCES = [getattr(rx, d.constructor)(*d.scales[:1]) for d in reference_ends.DISTANCES.values()]


def tanh(**settings: Any) -> rx.Relaxation:
    return rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=3, activation="tanh", **settings)


def fields(mean: float, seed: int = 0) -> Any:
    return mean + np.random.default_rng(seed).standard_normal((20, 8))


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_saturated_tanh_stalls(optimizer: Any) -> None:
    x = fields(290.0)
    fit = rx.fit(tanh(), x, np.roll(x, 1, 1), optimizer=optimizer, steps=5)
    assert fit.status is rx.Status.STALLED
    assert len(fit.history) == 0
    assert fit.message.startswith("stalled: no parameter changes the output")
    assert "tanh" in fit.message
    assert re.search(r"x is about 290 \+- 0\.9\d and y 290 \+- 0\.9\d: scale", fit.message)


def test_weights_masks_and_layers_are_minded() -> None:
    mask = np.ones(8, dtype=bool)
    mask[2] = False
    x = fields(290.0)
    y = np.stack([x, x], axis=1)
    # Neither what does not exist nor what has no weight is read.
    y[..., 2] = np.nan
    weights = np.ones(y.shape)
    weights[0], y[0] = 0.0, np.nan
    model = rx.Relaxation(rx.ADR(rx.Grid((8,), mask=mask)), depth=3, activation="tanh")
    loss = rx.SquaredDistance(weights=weights, at=(1, 3))
    fit = rx.fit(model, x, y, loss=loss, optimizer=rx.LBFGS(), steps=5)
    assert fit.status is rx.Status.STALLED
    assert re.search(r"y 290 \+- 0\.9\d: scale", fit.message)


def test_dead_relu_stalls() -> None:
    x = fields(-50.0)
    model = rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=2, activation="relu", omega=1.0)
    assert rx.fit(model, x, x + 50.0, optimizer=rx.LBFGS()).status is rx.Status.STALLED


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_a_start_at_the_optimum_has_converged(optimizer: Any) -> None:
    model, x = tanh(), fields(0.0)
    fit = rx.fit(model, x, model(x), optimizer=optimizer, steps=5)
    assert fit.status is rx.Status.CONVERGED


@pytest.mark.filterwarnings("ignore:training starts over a bound")
def test_an_optimum_worse_than_the_mean_is_one() -> None:
    # Without a bias no coefficients reach y = 290: the best there are are no stall.
    x = fields(0.0)
    model = rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=2, activation="identity")
    y = 290.0 + fields(0.0, seed=1)
    first = rx.fit(model, x, y, optimizer=rx.LBFGS(), steps=200, tolerance=1e-9)
    again = rx.fit(first.model, x, y, optimizer=rx.LBFGS(), steps=200, tolerance=0.9)
    assert again.status is rx.Status.CONVERGED


def test_saturated_where_it_should_be_has_converged() -> None:
    # The mean of y is no better.
    x = fields(290.0)
    model = tanh(omega=1.0)
    assert rx.fit(model, x, np.ones_like(x), optimizer=rx.LBFGS()).status is rx.Status.CONVERGED


def test_labels_have_no_mean() -> None:
    x = fields(290.0)
    model = tanh(readout=rx.Readout(3))
    labels = np.arange(20) % 3
    fit = rx.fit(model, x, labels, loss=rx.CrossEntropy(), optimizer=rx.LBFGS(), steps=3)
    assert fit.status is not rx.Status.STALLED


@pytest.mark.parametrize("loss", DISTANCES, ids=repr)
def test_other_distances_have_means_too(loss: Any) -> None:
    x = fields(290.0)
    fit = rx.fit(tanh(), x, np.roll(x, 1, 1), loss=loss, optimizer=rx.LBFGS())
    assert fit.status is rx.Status.STALLED
    # The same loss of the mean as the core's, for a model that gives a constant.
    y = fields(0.0)
    constant = rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=1, activation="tanh", omega=0.0)
    assert loss._terms(0.3 - y).sum() / len(y) == pytest.approx(
        constant.loss(np.full_like(y, 0.3), y, loss), rel=1e-12
    )


def test_it_says_whether_steps_were_taken() -> None:
    model, x = tanh(), fields(290.0)
    texts = [
        describe_stall(model, x, x, rx.SquaredDistance(), list(model.params), n_steps, None)
        for n_steps in (0, 7)
    ]
    assert "where training starts (tanh" in texts[0]
    assert "where training ends (tanh" in texts[1]
    assert describe_stall(model, fields(0.0), x, rx.SquaredDistance(), ["R"], 0, None) == ""


def test_saturated_pairs_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = 290.0 + np.random.default_rng(1).standard_normal((40, 10))
    data = write(tmp_path / "a.npz", x=x, y=np.roll(x, 1, axis=1))
    command = ["fit", data, "--activation", "tanh", "--steps", "30", "--depth", "2"]
    assert cli.main([*command, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "fit: stalled: no parameter changes the output" in printed
    assert re.search(r"x is about 290 \+- .*scale both", printed)
    assert "e+00" not in printed
    assert "converged" not in (tmp_path / "out" / "report.html").read_text()
