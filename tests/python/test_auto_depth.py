"""Fits that choose their depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from checkpointed import OPTIMIZERS, Killed, kill_at, over_optimizers, stop_at
from measures import bits
from relaxon.datasets.samples import Samples
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import DataTraits, Options
from relaxon.report.folder import write_report

Array = np.ndarray[Any, Any]
LINE: dict[str, Any] = {"activation": "identity", "omega": 1.0}


def ring(depth: int, **options: Any) -> rx.Relaxation:
    return rx.Relaxation(rx.ADR(rx.Grid((24,))), depth, **(LINE | options))


def smoothed(n: int = 40, layers: int = 3, noise: float = 0.02) -> tuple[Array, Array]:
    """Inputs, and what a few layers of drift and diffusion make of them."""
    random = np.random.default_rng(0)
    x = random.standard_normal((n, 24))
    true = {"R": np.array(0.0), "U": np.array([0.6]), "D": np.array([0.3])}
    y = ring(layers).with_params(true)(x)
    return x, y + noise * random.standard_normal(y.shape)


def settings_of(kind: str) -> dict[str, Any]:
    settings = {**OPTIMIZERS[kind], "tolerance": 0.0}
    optimizer = settings["optimizer"]
    if isinstance(optimizer, rx.SteepestDescent):
        settings["optimizer"] = rx.SteepestDescent(1e-4, line_search=optimizer.line_search)
    return settings


def fit_of(kind: str, steps: int = 24, **more: Any) -> rx.Fit:
    x, y = smoothed()
    return rx.fit(ring(10), x[:30], y[:30], steps=steps, depth="auto", **settings_of(kind), **more)


def test_as_many_layers_are_kept_as_the_data_need() -> None:
    x, y = smoothed()
    held_out = (x[30:], y[30:])
    found = rx.fit(
        ring(16), x[:30], y[:30], optimizer=rx.LBFGS(), steps=200, validation=held_out, depth="auto"
    )
    assert found.depth == found.model.depth
    assert found.depth_profile is not None
    losses = found.depth_profile.loss
    assert losses.shape == (17,)
    assert losses[found.depth] <= 1.01 * losses[1:].min()
    assert not (losses[1 : found.depth] <= 1.01 * losses[1:].min()).any()
    assert f"depth {found.depth} chosen out of 1 to 16" in found.message
    assert f"depth={found.depth}" in repr(found)
    # All steps that are left go to the network that was chosen.
    assert found.model.loss(*held_out) < losses[found.depth]


@over_optimizers
def test_it_is_two_fits(kind: str) -> None:
    """What is promised, done by hand."""
    x, y = smoothed()
    held_out = (x[30:], y[30:])
    settings = settings_of(kind)
    found = fit_of(kind, 25, validation=held_out)
    at = (1, 2, 4, 8, 10)
    wide, wide_held_out = (np.repeat(a[:, None], 5, axis=1) for a in (y[:30], y[30:]))
    everywhere = rx.SquaredDistance(at=at)
    validation = (x[30:], wide_held_out)
    first = rx.fit(ring(10), x[:30], wide, everywhere, steps=12, validation=validation, **settings)
    profile = rx.depth_profile(first.model, *held_out)
    depth = 1 + int(np.argmax(profile.loss[1:] <= 1.01 * profile.loss[1:].min()))
    assert found.depth == depth
    rest = 25 - len(first.history)
    second = rx.fit(
        first.model.truncate(depth), x[:30], y[:30], steps=rest, validation=held_out, **settings
    )
    assert bits(found.model.params) == bits(second.model.params)
    assert found.history == second.history
    assert found.status is second.status
    assert found.depth_profile is not None
    np.testing.assert_array_equal(found.depth_profile.loss, profile.loss)


def test_a_larger_tolerance_keeps_fewer_layers() -> None:
    fits = [fit_of("lbfgs", 60, depth_tolerance=t) for t in (0.0, 0.01, 5.0, 1e9)]
    depths = [fit.model.depth for fit in fits]
    assert depths == sorted(depths, reverse=True)
    assert depths[-1] == 1


@over_optimizers
def test_a_fit_that_is_stopped_anywhere_goes_on_with_the_same_bits(
    kind: str, tmp_path: Path
) -> None:
    whole = fit_of(kind)
    assert len(whole.history) == 12
    path = tmp_path / "fit.safetensors"
    seen: list[int] = []

    def kill(state: rx.State) -> None:
        seen.append(state.step)
        if len(seen) in (5, 16):
            raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            fit_of(kind, checkpoint=path, checkpoint_every=0, callbacks=[kill])
    stopped = fit_of(kind, checkpoint=path, callbacks=[lambda state: state.step >= 8])
    assert stopped.status is rx.Status.CALLBACK
    assert stopped.depth == whole.depth
    last = fit_of(kind, checkpoint=path)
    assert last == whole
    assert bits(last.model.params) == bits(whole.model.params)
    # It is finished: nothing is left to do.
    assert fit_of(kind, checkpoint=path, callbacks=[kill_at(1), kill_at(12)]) == whole


def test_a_checkpoint_knows_how_the_depth_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "fit.safetensors"
    fit_of("adam", 6, checkpoint=path)
    with pytest.raises(ValueError, match="other values of depth"):
        fit_of("adam", 6, checkpoint=path, depth_tolerance=0.5)


def test_a_fit_that_ends_before_the_choice_says_so() -> None:
    found = fit_of("adam", callbacks=[stop_at(2)])
    assert (found.status, found.depth, found.model.depth) == (rx.Status.CALLBACK, None, 10)
    assert "before a depth was chosen" in found.message


def test_layered_parameters_bounds_and_weights_are_cut() -> None:
    x, y = smoothed(layers=2)
    mask = np.ones(24, bool)
    mask[5] = False
    op = rx.ADR(rx.Grid((24,), mask=mask), time="layered", space="local")
    model = rx.Relaxation(op, 5, omega=np.full(5, 0.8), trainable_omega=True, activation="identity")
    weights = np.random.default_rng(1).random(y.shape)
    bounds = {"U": (np.full((5, 1, 24), -0.8), 0.9), "omega": (np.zeros(5), None)}
    found = rx.fit(
        model, x, y, rx.SquaredDistance(weights), rx.LBFGS(), 30, bounds=bounds, depth="auto"
    )
    assert found.depth is not None
    assert found.model.params["U"].shape == (found.depth, 1, 24)
    assert found.model.params["omega"].shape == (found.depth,)
    assert found.model.params["omega"].min() >= 0.0


def test_gaps_and_single_samples() -> None:
    x, y = smoothed()
    gappy = x.copy()
    gappy[3, 4] = gappy[30:, 20] = np.nan
    for validation in (None, (gappy[30:], y[30:])):
        found = rx.fit(
            ring(4), gappy[:30], y[:30], optimizer=rx.LBFGS(), steps=20,
            validation=validation, depth="auto",
        )  # fmt: skip
        assert found.depth is not None
        assert found.inputs is not None
        assert found.inputs.n_gaps == 1
    assert rx.fit(ring(4), x[0], y[0], optimizer=rx.LBFGS(), steps=8, depth="auto").depth


def test_classes() -> None:
    random = np.random.default_rng(2)
    x, labels = random.standard_normal((30, 24)), random.integers(0, 3, 30)
    model = ring(4, readout=rx.Readout(3, "identity"), activation="tanh")
    loss = rx.CrossEntropy(weights=random.random(30))
    found = rx.fit(model, x, labels, loss, rx.Adam(1e-2), 10, depth="auto", batch_size=7)
    assert found.depth == found.model.depth


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": rx.SquaredDistance(at=[1, 4])}, "'loss': .*layers 1, 2, 4"),
        ({"model": ring(1)}, "'model': expected 2 layers or more with depth='auto', got 1; give"),
        ({"steps": 1}, "'steps': expected 2 or more with depth='auto'"),
        ({"depth": 3}, r"'depth': expected None or 'auto', got 3; .*truncate"),
        ({"depth": "deep"}, "'depth': .*'auto'"),
        ({"depth_tolerance": -0.1}, "'depth_tolerance'"),
        ({"inputs": "fill"}, "'inputs': expected 'drop' or 'given' with depth='auto'"),
    ],
)
def test_what_gives_no_choice_is_refused(changes: dict[str, Any], message: str) -> None:
    x, y = smoothed()
    settings = {"steps": 4, "depth": "auto", "optimizer": rx.LBFGS(), **changes}
    model = settings.pop("model", ring(4))
    with pytest.raises((TypeError, ValueError), match=message):
        rx.fit(model, x, y, **settings)


# -- the command line -------------------------------------------------------------------------


def test_the_layers_that_are_left_stand_for_all_of_the_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    x, y = smoothed()
    settings: dict[str, Any] = {"omega": 1.0, "optimizer": "lbfgs", "steps": 40, "patience": 30}
    options = Options(depth="auto", max_depth=8, time_step="6 h", **settings)
    experiment = Experiment(options, Samples(x, y))
    assert experiment.model.depth == 8
    result = experiment.run()
    model = result.fit.model
    assert result.fit.depth == model.depth < 8
    assert model.dt * model.depth == pytest.approx(6 * 3600 if model.time_unit == "s" else 6)
    folder = tmp_path / "report"
    folder.mkdir()
    write_report(folder, experiment, result, {})
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["fit"]["depth"] == model.depth
    assert summary["config"]["depth"] == "auto"
    assert summary["config"]["max_depth"] == 8
    assert len(summary["depth_profile"]) == len(summary["depth_size"]) == model.depth + 1
    assert "--depth auto --max-depth 8" in summary["commands"][0]
    page = (folder / "report.html").read_text()
    assert f"depth {model.depth} chosen out of 1 to 8" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_depth": 4}, "'max_depth': expected no value unless --depth is auto"),
        ({"depth": "auto", "gamma": 1.0}, "'gamma': expected no value with --depth auto"),
        ({"depth": "auto", "bounds": "D>=0"}, "'bounds': expected no value with --depth auto"),
        ({"depth": "auto", "check_depth": True}, "'check_depth': .*then fit with --depth N"),
        ({"depth": "auto", "check_leads": "1,2"}, "'check_leads': .*--depth auto"),
        ({"depth": "auto", "inputs": "fill"}, "'inputs': expected drop or given"),
    ],
)
def test_options_that_need_the_depth_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Options(**options).check_effects(DataTraits())
