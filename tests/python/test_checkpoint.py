"""Fits that are broken off and go on: the same bits as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from checkpointed import (
    Killed,
    arguments,
    kill_at,
    model_of,
    over_optimizers,
    over_types,
    stop_at,
    train,
)
from measures import bits
from relaxon.base import durable
from relaxon.model import loading
from relaxon.training import checkpoint as checkpoints
from relaxon.training.journal import record_bytes


@over_types
@over_optimizers
def test_a_fit_that_is_stopped_again_and_again_ends_with_the_same_bits(
    kind: str, dtype: str, tmp_path: Path
) -> None:
    args, settings = arguments(kind, dtype)
    whole = train(
        args,
        settings,
    )
    assert len(whole.history) == 12
    path = tmp_path / "fit.safetensors"
    for step in (1, 2, 5, 9):
        part = train(args, settings, checkpoint=path, callbacks=[stop_at(step)])
        assert part.status is rx.Status.CALLBACK
        assert len(part.history) == step
        # Another number of threads and another budget are the same fit.
        settings |= {"threads": 1 + (step == 5), "memory": "1 MiB"}
    last = train(args, settings, checkpoint=path)
    assert last == whole
    assert bits(last.model.params) == bits(whole.model.params)
    # It is finished: nothing is left to do.
    again = train(args, settings, checkpoint=path, callbacks=[kill_at(12)])
    assert again == whole


@over_optimizers
def test_what_is_killed_goes_on_from_its_last_checkpoint(kind: str, tmp_path: Path) -> None:
    args, settings = arguments(kind)
    whole = train(
        args,
        settings,
    )
    path = tmp_path / "fit.safetensors"
    for step in (4, 7):
        with pytest.raises(Killed):
            train(args, settings, checkpoint=path, checkpoint_every=0, callbacks=[kill_at(step)])
    seen = []
    last = train(args, settings, checkpoint=path, callbacks=[lambda state: seen.append(state.step)])
    assert last == whole
    assert seen[0] in (7, 8)  # of steps that were not written, the last
    assert seen[-1] == 12


@pytest.mark.filterwarnings("ignore:training starts over a bound")
@pytest.mark.parametrize("inputs", ["drop", "fill", "estimate"])
def test_every_descent_of_a_fit_goes_on(inputs: str, tmp_path: Path) -> None:
    """With gaps there are two or three, one after the other."""
    spread = {"R": 0.0, "U": [0.1, 0.1], "D": [0.3, 0.0, 0.3]}
    model = rx.Relaxation(rx.ADR(rx.Grid((12, 14))), depth=8, activation="identity", omega=1.0)
    model = model.with_params({k: np.array(v) for k, v in spread.items()})
    x = np.random.default_rng(0).standard_normal((12, 12, 14))
    y = 0.9 * model(x)
    x[np.random.default_rng(3).random(x.shape) < 0.01] = np.nan
    errors = {"input_error": 0.1, "target_error": 0.1} if inputs == "estimate" else {}
    settings: dict[str, Any] = {
        "optimizer": rx.LBFGS() if inputs != "drop" else rx.SteepestDescent(1e-6),
        "steps": 6,
        "inputs": inputs,
        **errors,
    }
    args, calls = (model, x, y), []
    whole = train(args, settings, callbacks=[lambda state: calls.append(state.step)])
    assert calls.count(1) >= 2
    path = tmp_path / "fit.safetensors"
    for k in (2, 4, 3, 2):
        left = [k]

        def callback(state: rx.State, left: list[int] = left) -> None:
            left[0] -= 1
            if not left[0]:
                raise Killed

        with pytest.raises(Killed):
            train(args, settings, checkpoint=path, checkpoint_every=0, callbacks=[callback])
    last = train(args, settings, checkpoint=path)
    assert last == whole
    assert last.inputs is not None
    assert whole.inputs is not None
    assert str(last.inputs) == str(whole.inputs)


def test_a_diverging_fit_leaves_the_model_before_and_diverges_again(tmp_path: Path) -> None:
    args, settings = arguments("fixed")
    path = tmp_path / "fit.safetensors"
    settings |= {"optimizer": rx.SteepestDescent(1e30), "bounds": None, "validation": None}
    settings |= {"patience": None}
    with pytest.raises(rx.DivergenceError) as first:
        train(args, settings, checkpoint=path)
    assert rx.load(path) == first.value.model
    with pytest.raises(rx.DivergenceError) as second:
        train(args, settings, checkpoint=path)
    assert str(second.value) == str(first.value)
    assert second.value.model == first.value.model


@over_optimizers
def test_load_reads_the_best_model_so_far(kind: str, tmp_path: Path) -> None:
    args, settings = arguments(kind)
    path = tmp_path / "fit.safetensors"
    part = train(args, settings, checkpoint=path, callbacks=[stop_at(5)])
    assert rx.load(path) == part.model


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"steps": 13}, "steps"),
        ({"seed": 6}, "seed"),
        ({"batch_size": 5}, "batch_size"),
        ({"optimizer": rx.SteepestDescent(0.05, momentum=0.7)}, "optimizer"),
        ({"optimizer": rx.SteepestDescent(0.06, momentum=0.7)}, "trainable"),
        ({"penalties": [rx.L2(1e-3)]}, "penalties"),
        ({"bounds": None}, "bounds"),
        ({"patience": 10}, "patience"),
        ({"tolerance": 1e-9}, "tolerance"),
        ({"trainable": {"U": False}}, "trainable"),
        ({"loss": rx.Huber(1.0)}, "loss"),
        ({"loss": rx.SquaredDistance(weights=np.full((5, 7), 2.0))}, "loss"),
    ],
)
def test_another_fit_is_refused_by_what_differs(
    changed: dict[str, Any], named: str, tmp_path: Path
) -> None:
    args, settings = arguments("momentum")
    path = tmp_path / "fit.safetensors"
    train(args, settings, checkpoint=path, callbacks=[stop_at(2)])
    content = path.read_bytes()
    with pytest.raises(ValueError, match=f"^argument 'checkpoint': .*{named}"):
        train(args, {**settings, **changed}, checkpoint=path)
    assert path.read_bytes() == content


def test_other_data_and_another_model_are_refused(tmp_path: Path) -> None:
    (model, x, y), settings = arguments("lbfgs")
    path = tmp_path / "fit.safetensors"
    train((model, x, y), settings, checkpoint=path, callbacks=[stop_at(2)])
    other = x.copy()
    other[3, 0, 0] = np.nextafter(other[3, 0, 0], 2.0)
    x_validation, y_validation = settings["validation"]
    for named, args, changed in (
        ("values of x;", (model, other, y), {}),
        ("values of y;", (model, x, y + 1e-9), {}),
        ("values of model;", (model_of(seed=2), x, y), {}),
        ("values of validation;", (model, x, y), {"validation": (x_validation, y_validation + 1)}),
    ):
        with pytest.raises(ValueError, match=named):
            train(args, {**settings, **changed}, checkpoint=path)


def test_other_versions_levels_and_libraries_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args, settings = arguments("adam")
    path = tmp_path / "fit.safetensors"
    train(args, settings, checkpoint=path, callbacks=[stop_at(2)])
    here = checkpoints._environment()
    for name in here:
        monkeypatch.setattr(checkpoints, "_environment", lambda k=name: {**here, k: "other"})
        with pytest.raises(ValueError, match=f"^argument 'checkpoint': .*{name}, other"):
            train(args, settings, checkpoint=path)


def test_damaged_files_and_others_are_refused(tmp_path: Path) -> None:
    args, settings = arguments("armijo")
    path = tmp_path / "fit.safetensors"
    rx.save(args[0], path)
    with pytest.raises(ValueError, match="a model file"):
        train(args, settings, checkpoint=path)
    path.unlink()
    train(args, settings, checkpoint=path, callbacks=[stop_at(2)])
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    with pytest.raises(rx.FileFormatError, match="truncated"):
        train(args, settings, checkpoint=path)
    with pytest.raises(ValueError, match="argument 'checkpoint': expected a file"):
        train(args, settings, checkpoint=tmp_path)
    with pytest.raises(FileNotFoundError):
        train(args, settings, checkpoint=tmp_path / "none" / "fit")
    with pytest.raises(TypeError, match="argument 'checkpoint'"):
        train(args, settings, checkpoint=3)


@pytest.mark.parametrize(
    "name", ["counts", "numbers", "records", "parameters", "best", "previous_gradient"]
)
def test_states_that_no_fit_has_are_refused(name: str, tmp_path: Path) -> None:
    args, settings = arguments("armijo")
    path = tmp_path / "fit.safetensors"
    train(args, settings, checkpoint=path, callbacks=[stop_at(2)])
    found = loading.read(path)
    array = found.extra[f"descent 0.{name}"]
    hostile: list[Any] = [None, array[:-1], array.astype(np.float32)]
    if name == "counts":
        hostile += [array + 100, -array - 1]
    if name == "best":
        hostile += [np.full_like(array, np.nan)]
    for value in hostile:
        extra = {**found.extra, f"descent 0.{name}": value}
        if value is None:
            del extra[f"descent 0.{name}"]
        rx.save(found.model, path, extra=extra)
        with pytest.raises(rx.FileFormatError, match="its state is none of this fit"):
            train(args, settings, checkpoint=path)


@pytest.mark.parametrize("value", ["10 minutes", "-1 s", "", -1.0, float("nan"), True, None])
def test_stretches_of_time_that_are_none(value: Any, tmp_path: Path) -> None:
    args, settings = arguments("fixed")
    with pytest.raises((TypeError, ValueError), match="argument 'checkpoint_every'"):
        train(args, settings, checkpoint=tmp_path / "fit", checkpoint_every=value)


def test_times_with_units() -> None:
    texts = ("90 s", "10 min", "1.5h", "2 d")
    assert [checkpoints.check_interval(text) for text in texts] == [90.0, 600.0, 5400.0, 172800.0]


def test_training_goes_on_where_files_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("adam", "lbfgs"):
        args, settings = arguments(kind)
        whole = train(
            args,
            settings,
        )
        path = tmp_path / kind
        full = OSError(28, "No space left on device")
        n_left = [1]

        def fail(*args: Any, n_left: list[int] = n_left, full: OSError = full) -> None:
            n_left[0] -= 1
            if n_left[0] < 0:
                raise full

        with monkeypatch.context() as patch:
            write = durable.write_atomic
            patch.setattr(
                "relaxon.model.saving.write_atomic", lambda *a, w=write, f=fail: (f(), w(*a))[1]
            )
            with pytest.warns(UserWarning, match="No space left on device; training goes on") as w:
                assert (
                    train(args, settings, checkpoint=path, checkpoint_every=0).model == whole.model
                )
            assert len(w) == 1
        assert train(args, settings, checkpoint=path) == whole


@over_types
@over_optimizers
def test_the_plan_tells_the_sizes(kind: str, dtype: str, tmp_path: Path) -> None:
    (model, x, y), settings = arguments(kind, dtype)
    path = tmp_path / "fit"
    fitted = rx.fit(model, x, y, checkpoint=path, callbacks=[stop_at(4)], **settings)
    planned = rx.plan(model, len(x))
    name = type(settings["optimizer"]).__name__
    n_bytes = path.stat().st_size
    most = planned.checkpoint_bytes[name]
    header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    stored = n_bytes - header - len(fitted.history) * 40 * (name != "LBFGS")
    n_one = sum(array.nbytes for array in model._arrays())
    # The counts and numbers of the state are few; some rules store no gradient between steps.
    assert most - n_one <= stored <= most + 300
    if kind == "lbfgs":
        n_numbers = sum(array.size for array in model._arrays())
        assert planned.journal_bytes == record_bytes(n_numbers, model.dtype.itemsize)
        n_journal = (tmp_path / "fit.journal").stat().st_size
        assert n_journal >= 5 * planned.journal_bytes


def test_one_fit_at_a_time_writes_to_a_checkpoint(tmp_path: Path) -> None:
    args, settings = arguments("adam")
    path = tmp_path / "fit"

    def again(state: rx.State) -> None:
        with pytest.raises(BlockingIOError, match="another run"):
            train(args, settings, checkpoint=path)
        raise Killed

    with pytest.raises(Killed):
        train(args, settings, checkpoint=path, callbacks=[again])
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["fit"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL")
@pytest.mark.parametrize("optimizer", ['SteepestDescent(1.0, line_search="armijo")', "LBFGS()"])
def test_a_process_killed_at_any_time_goes_on(optimizer: str, tmp_path: Path) -> None:
    """Where it dies depends on the machine; what comes out does not."""
    script = f"""
        import sys
        import numpy as np
        import relaxon as rx

        model = rx.Relaxation(rx.ADR(rx.Grid((64,)), space="local"), depth=10, seed=1)
        x = np.random.default_rng(0).standard_normal((8, 64))
        checkpoint = sys.argv[1] or None
        fit = rx.fit(model, x, np.roll(x, 1, axis=1), optimizer=rx.{optimizer}, steps=30,
                     tolerance=0.0, checkpoint=checkpoint, checkpoint_every=0,
                     callbacks=[lambda state: print(state.step, flush=True)])
        print("ended", fit.model.params["U"].tobytes().hex()[:64], len(fit.history))
    """

    def run(path: str, n_lines: int) -> str:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), path],
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        assert process.stdout is not None
        last = ""
        for k, line in enumerate(process.stdout):
            last = line
            if k == n_lines:
                process.kill()
        process.stdout.close()
        process.wait()
        return last

    whole = run("", 10**9)
    assert whole.startswith("ended")
    path = str(tmp_path / "fit")
    for n_lines in (0, 11):
        assert not run(path, n_lines).startswith("ended")
    assert run(path, 10**9) == whole
