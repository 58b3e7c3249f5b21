"""Inputs as unknowns: what fits find with gaps and errors in them, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import relaxon as rx
from line_model import DEPTH, LBFGS, N_CELLS, model_of
from smooth_fields import smooth

N_SAMPLES = 40


def pairs(seed: int, noise: float, share: float, leads: tuple[int, ...] = (1,)) -> tuple[Any, ...]:
    """Inputs and targets of a drift of 0.6, a spread of 0.5 and a decay of 0.1, noise in both."""
    random = np.random.default_rng(seed + 1000)
    x = smooth((N_SAMPLES, N_CELLS), seed)
    k = 2 * np.pi * np.fft.rfftfreq(N_CELLS)
    rate = -0.6j * k - 0.5 * k**2 - 0.1
    y = np.stack([np.fft.irfft(np.fft.rfft(x) * np.exp(t * rate), N_CELLS) for t in leads], axis=1)
    seen_x = x + noise * random.standard_normal(x.shape)
    seen_y = y + noise * random.standard_normal(y.shape)
    seen_x[random.random(x.shape) < share] = np.nan
    return x, y, seen_x, seen_y


def coefficient(fit: rx.Fit, name: str) -> float:
    return float(np.ravel(fit.model.params[name])[0]) * DEPTH


@pytest.mark.parametrize(
    ("noise", "share", "leads", "within"),
    [
        (0.05, 0.0, (1,), 0.03),
        (0.2, 0.0, (1, 2, 3), 0.08),
        (0.05, 0.2, (1,), 0.06),
        (0.2, 0.2, (1, 2, 3), 0.1),
    ],
)
def test_estimated_inputs_undo_the_bias(
    noise: float, share: float, leads: tuple[int, ...], within: float
) -> None:
    x, y, seen_x, seen_y = pairs(1, noise, share, leads)
    model = model_of(depth=DEPTH * leads[-1])
    loss = rx.SquaredDistance(at=[DEPTH * lead for lead in leads])
    clean = rx.fit(model, x, y, loss=loss, optimizer=LBFGS)
    plain = rx.fit(model, np.nan_to_num(seen_x), seen_y, loss=loss, optimizer=LBFGS)
    found = rx.fit(
        model, seen_x, seen_y, loss=loss, optimizer=LBFGS, inputs="estimate", input_error=noise
    )
    truth = coefficient(clean, "D")
    assert abs(coefficient(found, "D") - truth) < within
    assert coefficient(plain, "D") - truth > 1.3 * within * (noise > 0.1 or share > 0.0)
    assert found.inputs is not None
    assert found.inputs.target_error == pytest.approx([noise] * len(leads), rel=0.1)
    # The inputs themselves are nearer to the truth than what was observed.
    assert found.inputs.x is not None
    known = np.isfinite(seen_x)
    assert np.std((found.inputs.x - x)[known]) < 0.95 * noise
    rows = rx.explain(found.model, (seen_x, seen_y), loss, inputs=found.inputs).table()
    row = next(row for row in rows if row.process.startswith("diffusion"))
    assert row.standard_error is not None
    assert 0.1 * within < row.standard_error < within
    assert abs(row.median - truth) < 3.0 * row.standard_error


def test_filled_gaps_use_all_targets() -> None:
    x, y, seen_x, seen_y = pairs(2, 0.02, 0.2)
    model, loss = model_of(), rx.SquaredDistance(at=[DEPTH])
    clean = rx.fit(model, x, y, loss=loss, optimizer=LBFGS)
    found = rx.fit(model, seen_x, seen_y, loss=loss, optimizer=LBFGS, inputs="fill")
    assert abs(coefficient(found, "D") - coefficient(clean, "D")) < 0.03
    assert found.inputs is not None
    assert found.inputs.x is not None
    known = np.isfinite(seen_x)
    assert np.array_equal(found.inputs.x[known], seen_x[known])
    assert np.std((found.inputs.x - x)[~known]) < 0.1


@pytest.mark.parametrize("options", [{"memory": "48 KiB", "threads": 1}, {"threads": 2}], ids=str)
def test_same_bits_for_any_budget_and_threads(options: dict[str, Any]) -> None:
    _, _, x, y = pairs(3, 0.1, 0.1)
    model, loss = model_of(), rx.SquaredDistance(at=[DEPTH])
    settings: dict[str, Any] = {"loss": loss, "optimizer": LBFGS, "steps": 15}
    settings |= {"inputs": "estimate", "input_error": 0.1, "target_error": 0.1}
    first, second = (rx.fit(model, x, y, **settings, **o) for o in ({"threads": 1}, options))
    assert first == second
    assert first.inputs is not None
    assert second.inputs is not None
    assert first.inputs.x is not None
    assert np.array_equal(first.inputs.x, np.asarray(second.inputs.x))


def test_float32_finds_the_same() -> None:
    _, _, x, y = pairs(4, 0.1, 0.1)
    loss = rx.SquaredDistance(at=[DEPTH])
    found = []
    for dtype in ("float64", "float32"):
        fit = rx.fit(
            model_of(dtype=dtype),
            x.astype(dtype),
            y.astype(dtype),
            loss=loss,
            optimizer=LBFGS,
            tolerance=1e-3,
            inputs="estimate",
            input_error=0.1,
        )
        assert fit.inputs is not None
        rows = rx.explain(
            fit.model, (x.astype(dtype), y.astype(dtype)), loss, inputs=fit.inputs
        ).table()
        found.append([[row.median, row.standard_error or 0.0] for row in rows[:3]])
    assert np.allclose(found[0], found[1], rtol=0.02, atol=1e-3)


def test_bounds_and_penalties_hold() -> None:
    _, _, x, y = pairs(5, 0.1, 0.05)
    loss = rx.SquaredDistance(at=[DEPTH])
    settings: dict[str, Any] = {"loss": loss, "optimizer": LBFGS, "inputs": "estimate"}
    settings |= {"input_error": 0.1, "steps": 40}
    start = model_of().with_params({"D": np.array([0.02])})
    bounded = rx.fit(start, x, y, bounds={"D": (0.0, 0.05)}, **settings)
    assert bounded.model.params["D"][0] == 0.05
    damped = rx.fit(model_of(), x, y, penalties=[rx.L2(1000.0, of="U")], **settings)
    assert abs(damped.model.params["U"][0]) < 0.02


def test_validation_does_not_bring_the_bias_back() -> None:
    _, _, x, y = pairs(5, 0.2, 0.0)
    _, _, x_later, y_later = pairs(6, 0.2, 0.0)
    loss = rx.SquaredDistance(at=[DEPTH])
    settings: dict[str, Any] = {"loss": loss, "optimizer": LBFGS, "inputs": "estimate"}
    settings |= {"input_error": 0.2, "target_error": 0.2}
    alone = rx.fit(model_of(), x, y, **settings)
    later = (x_later, y_later)
    watched = rx.fit(model_of(), x, y, validation=later, patience=3, **settings)
    assert coefficient(watched, "D") == pytest.approx(coefficient(alone, "D"), rel=1e-3)
    # Where the errors of its inputs are not known, the validation loss prefers the bias.
    losses = watched.history.validation_loss
    assert losses[0] < losses[-1]
    assert f"validation_loss={losses[-1]:.6g}" in repr(watched)


@pytest.mark.parametrize(("mode", "within"), [("fill", 0.008), ("estimate", 0.015)])
def test_clouds_do_not_overcorrect(mode: str, within: float) -> None:
    """Inside a cloud of gaps neighbours tell nothing: targets there do not count."""
    random = np.random.default_rng(3)
    grid = rx.Grid((16, 16))
    model = rx.Relaxation(rx.ADR(grid), depth=3, activation="identity", omega=0.8)
    x = random.standard_normal((40, 16, 16))
    for axis in (1, 2, 1, 2, 1, 2):
        x = (x + 0.6 * (np.roll(x, 1, axis) + np.roll(x, -1, axis))) / 1.5
    x /= np.std(x)
    y = model.with_params({"D": np.array([0.15, 0.0, 0.15])})(x)
    y += 0.1 * random.standard_normal(x.shape)
    gaps = np.zeros(x.shape, np.bool_)
    for sample in gaps:
        for _ in range(3):
            rows, columns = (np.arange(5) + random.integers(16) for _ in range(2))
            sample[np.ix_(rows % 16, columns % 16)] = True
    settings: dict[str, Any] = {"inputs": mode, "optimizer": LBFGS, "target_error": 0.1}
    if mode == "estimate":
        x = x + 0.2 * random.standard_normal(x.shape)
        settings["input_error"] = 0.2
    seen = np.where(gaps, np.nan, x)
    fit = rx.fit(model, seen, y, **settings)
    assert fit.inputs is not None
    assert fit.inputs.n_left <= fit.inputs.n_counted < fit.inputs.n_targets
    assert f"{fit.inputs.n_counted} count, the others read one" in str(fit.inputs)
    assert fit.model.params["D"][[0, 2]] == pytest.approx(0.15, abs=within)
    # Standard errors leave out the same targets: the fit is at the minimum.
    errors = rx.explain(fit.model, (seen, y), inputs=fit.inputs).standard_errors
    assert errors is not None
    assert errors.newton_step < 0.01


def test_stated_errors_are_a_floor() -> None:
    """Noise-free data: residuals say nothing, the stated errors do."""
    x, y, _, _ = pairs(8, 0.0, 0.0)
    loss = rx.SquaredDistance(at=[DEPTH])
    found = []
    for error in (0.01, 0.02):
        fit = rx.fit(
            model_of(), x, y, loss=loss, optimizer=LBFGS, inputs="estimate",
            input_error=error, target_error=error,
        )  # fmt: skip
        rows = rx.explain(fit.model, (x, y), loss, inputs=fit.inputs).table()
        found.append([row.standard_error for row in rows if row.standard_error is not None])
    assert np.allclose(np.divide(found[1], found[0])[:3], 2.0, rtol=0.05)


# -- bad arguments ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": "guess"}, "'inputs'.*'drop', 'given', 'fill', 'estimate'"),
        ({"inputs": "estimate"}, "'input_error'.*standard deviation.*None"),
        ({"input_error": 0.1}, "'input_error'.*unless inputs is 'estimate'"),
        ({"target_error": 0.1}, "'target_error'.*'estimate' or 'fill'"),
        ({"inputs": "estimate", "input_error": 0.0}, "'input_error'.*above 0"),
        ({"inputs": "estimate", "input_error": np.ones(5)}, r"'input_error'.*broadcasts to"),
        ({"inputs": "estimate", "input_error": -np.ones(8)}, "'input_error'.*above 0 .*, got -1"),
        ({"inputs": "estimate", "input_error": 0.1, "target_error": [1, 2]}, "'target_error'.*2"),
        ({"inputs": "estimate", "input_error": 0.1, "target_error": -1.0}, "'target_error'"),
        ({"inputs": "fill", "target_error": "a"}, "'target_error'.*real number, got 'a'"),
        ({"inputs": np.ones(3)}, "'inputs'.*one of 'drop'"),
        ({"input_error": np.ones((6, 8))}, r"'input_error'.*an array of shape \(6, 8\)"),
        ({"inputs": "estimate", "input_error": np.ones(8) * 1j}, "'input_error'.*complex"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], message: str) -> None:
    x = smooth((6, 8), 1)
    x[0, 0] = np.nan
    with pytest.raises((TypeError, ValueError), match=message):
        rx.fit(model_of(8, 2), x, np.zeros((6, 8)), optimizer=LBFGS, **options)


def test_what_is_wrong_is_said_before_anything_is_trained() -> None:
    x = smooth((6, 8), 1)
    options: tuple[dict[str, Any], ...] = (
        {"input_error": -np.ones(8)},
        {"input_error": 0.1, "target_error": [1, 2]},
    )

    def stop(_: rx.State) -> None:
        raise AssertionError

    for wrong in options:
        with pytest.raises(ValueError, match="_error"):
            rx.fit(
                model_of(8, 2),
                x,
                0.5 * x,
                optimizer=LBFGS,
                inputs="estimate",
                callbacks=[stop],
                **wrong,
            )


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_an_array_of_errors_is_read_where_x_has_values(share: float) -> None:
    mask = np.ones((5, 6), np.bool_)
    mask[2, 2:4] = False
    grid = rx.Grid((5, 6), boundary="neumann", mask=mask)
    model = rx.Relaxation(rx.ADR(grid), depth=2, activation="identity")
    x = smooth((12, 5, 6), 2)
    y = 0.8 * x
    x = np.where(np.random.default_rng(0).random(x.shape) < share, np.nan, x)
    settings: dict[str, Any] = {"inputs": "estimate", "target_error": 0.1, "optimizer": LBFGS}
    expected = rx.fit(model, x, y, input_error=0.1, **settings)
    for error in (
        np.where(mask, 0.1, np.nan),
        np.full((12, 1, 1), 0.1),
        np.where(np.isnan(x), np.nan, 0.1),
    ):
        found = rx.fit(model, x, y, input_error=error, **settings)
        assert found == expected
        assert found.inputs is not None
        assert "errors of 0.1 of the inputs" in str(found.inputs)


def test_a_fit_that_ends_early_has_its_inputs_and_says_what_it_is() -> None:
    x = smooth((6, 8), 1)
    settings: dict[str, Any] = {"inputs": "estimate", "input_error": 0.1, "target_error": 0.1}
    for stage in (1, 2):
        n_starts = 0

        def fail(state: rx.State, stage: int = stage) -> None:
            nonlocal n_starts
            n_starts += state.step == 1
            if n_starts == stage:
                raise KeyError

        with pytest.raises(rx.CallbackError, match="KeyError after step 1") as caught:
            rx.fit(model_of(8, 2), x, 0.5 * x, optimizer=LBFGS, callbacks=[fail], **settings)
        inputs = caught.value.fit.inputs
        assert inputs is not None
        assert (inputs.errors is None) == (stage == 1)
        assert ("ended before unknown inputs" in str(inputs)) == (stage == 1)


def test_standard_errors_are_of_the_data_of_the_fit() -> None:
    x = smooth((6, 8), 1)
    fit = rx.fit(
        model_of(8, 2),
        x,
        0.5 * x,
        optimizer=LBFGS,
        inputs="estimate",
        input_error=0.1,
        target_error=0.1,
    )
    with pytest.raises(ValueError, match=r"'inputs'.*fit to these data.*index \(0, 0\)"):
        rx.explain(fit.model, (x[::-1], 0.5 * x[::-1]), inputs=fit.inputs)


def test_what_unknown_inputs_do_not_go_with() -> None:
    x = smooth((6, 8), 1)
    settings: dict[str, Any] = {"inputs": "estimate", "input_error": 0.1, "target_error": 0.1}
    with pytest.raises(TypeError, match=r"'optimizer'.*LBFGS.*Adam"):
        rx.fit(model_of(8, 2), x, 0.5 * x, optimizer=rx.Adam(1e-3), **settings)
    with pytest.raises(TypeError, match=r"'loss'.*SquaredDistance.*Huber"):
        rx.fit(model_of(8, 2), x, 0.5 * x, loss=rx.Huber(), optimizer=LBFGS, **settings)
    with pytest.raises(ValueError, match=r"'batch_size'"):
        rx.fit(model_of(8, 2), x, 0.5 * x, batch_size=2, optimizer=LBFGS, **settings)
    for end in ({"lift": rx.Lift(8)}, {"readout": rx.Readout(8)}):
        with pytest.raises(ValueError, match=r"'inputs'.*with a lift or a readout.*'estimate'"):
            rx.fit(model_of(8, 2, **end), x, 0.5 * x, optimizer=LBFGS, **settings)
    fit = rx.fit(model_of(8, 2), x, 0.5 * x, optimizer=LBFGS, **settings)
    with pytest.raises(ValueError, match=r"'inputs'.*\(6, 8\)"):
        rx.explain(fit.model, (x[:4], 0.5 * x[:4]), inputs=fit.inputs)
