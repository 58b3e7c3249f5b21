"""What a fit refuses, and how it ends where a callback raises or Ctrl-C comes."""

import pickle
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from interruption import run_interrupted
from small_fits import OPTIMIZERS, data, model_of, over_optimizers


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": 12}, ValueError, "batch_size"),
        ({"batch_size": 2.0}, TypeError, "batch_size"),
        ({"batch_size": True}, TypeError, "batch_size"),
        ({"steps": 2**63}, ValueError, "steps"),
        ({"patience": 2**63, "validation": data()}, ValueError, "patience"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": 2**64}, ValueError, "seed"),
        ({"seed": "0"}, TypeError, "seed"),
        ({"trainable": {"V": True}}, ValueError, "trainable"),
        ({"trainable": {"omega": True}}, ValueError, "trainable"),
        ({"trainable": {"R": 0}}, TypeError, "trainable"),
        ({"trainable": ("R",)}, TypeError, "trainable"),
        ({"trainable": {"R": False, "U": False, "D": False}}, ValueError, "trainable"),
        ({"penalties": [rx.Smoothness(1.0)]}, ValueError, "penalties"),
        ({"penalties": rx.L2(1.0)}, TypeError, "penalties"),
        ({"callbacks": print}, TypeError, "callbacks"),
        ({"loss": rx.SquaredDistance(weights=np.zeros((5, 7)))}, ValueError, "weights"),
        ({"validation": (*data(2), np.zeros((2, 5, 7)))}, ValueError, "validation"),
        ({"bounds": {"R": ([[0.0], [0.0, 1.0]], None)}}, ValueError, "bounds"),
        ({"bounds": {"R": (np.ma.masked_less([-9.0], 0.0), None)}}, TypeError, "bounds"),
        ({"bounds": {"V": (0, 1)}}, ValueError, "bounds"),
        ({"bounds": {"R": 0.0}}, TypeError, "bounds"),
        ({"bounds": {"R": (0.0, 1.0, 2.0)}}, TypeError, "bounds"),
        ({"bounds": [("R", (0, 1))]}, TypeError, "bounds"),
        ({"bounds": {"R": ("low", None)}}, TypeError, "bounds"),
        ({"bounds": {"R": (True, None)}}, TypeError, "bounds"),
        ({"bounds": {"R": (float("nan"), None)}}, ValueError, "bounds"),
        ({"bounds": {"R": (1.0, -1.0)}}, ValueError, "bounds"),
        ({"bounds": {"R": (np.zeros(3), None)}}, ValueError, "bounds"),
        ({"bounds": {"D": (np.zeros((2, 3)), None)}}, ValueError, "bounds"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(options: dict[str, Any], error: Any, word: str) -> None:
    with pytest.raises(error, match=f"argument '{word}'"):
        rx.fit(model_of(), *data(), **{"steps": 2, **options})


def test_a_loss_that_no_parameter_changes_is_refused() -> None:
    x, y = data()
    with pytest.raises(ValueError, match=r"argument 'at': expected a layer above 0 to fit"):
        rx.fit(model_of(), x, y[:, np.newaxis], rx.SquaredDistance(at=[0]), steps=2)
    mask = np.ones((5, 7), bool)
    mask[2] = False
    model = rx.Relaxation(rx.ADR(rx.Grid((5, 7), mask=mask)), depth=2)
    with pytest.raises(ValueError, match=r"argument 'weights': expected .* on an existing cell"):
        rx.fit(model, x, y, rx.SquaredDistance(~mask), steps=2)
    # Out of a readout, the first state is no longer x.
    ends = model_of(readout=rx.Readout(2))
    fit = rx.fit(ends, x, y[:, np.newaxis, 0, :2].copy(), rx.SquaredDistance(at=[0]), steps=2)
    assert fit.history.gradient_norm[0] > 0.0


@pytest.mark.parametrize(
    ("make", "error", "word"),
    [
        (lambda: rx.SquaredDistance(at=np.array(3)), TypeError, "at"),  # type: ignore[arg-type]
        (lambda: rx.SquaredDistance(at=np.array([[1]])), TypeError, "at"),  # type: ignore[arg-type]
        (lambda: rx.LBFGS(max_line_search=2**31), ValueError, "max_line_search"),
        (lambda: rx.LBFGS(memory=2**31), ValueError, "memory"),
    ],
)
def test_wrong_settings_are_refused(make: Any, error: Any, word: str) -> None:
    with pytest.raises(error, match=f"argument '{word}'"):
        make()


def test_a_target_at_the_input_alone_is_refused() -> None:
    model, (x, _) = model_of(), data()
    with pytest.raises(ValueError, match="argument 'at': expected a layer above 0"):
        rx.fit(model, x, x[:, None].copy(), rx.SquaredDistance(at=[0]), steps=1)
    ended = model_of(lift=rx.Lift(3))
    vectors = np.random.default_rng(0).standard_normal((11, 3))
    fit = rx.fit(ended, vectors, x[:, None].copy(), rx.SquaredDistance(at=[0]), steps=1)
    assert not np.array_equal(fit.model.params["lift_weight"], ended.params["lift_weight"])


# -- smoothness -------------------------------------------------------------------------------


def test_smoothness_leaves_the_maps_of_the_ends_alone() -> None:
    ends: Any = {"lift": rx.Lift(3, "tanh"), "readout": rx.Readout(2, "identity")}
    model = model_of("local", **ends)
    x = np.random.default_rng(0).standard_normal((6, 3))
    fit = rx.fit(model, x, x[:, :2].copy(), steps=1, penalties=(rx.Smoothness(1.0),))
    alone = rx.fit(
        model, x, x[:, :2].copy(), steps=1, penalties=(rx.Smoothness(1.0, of=("R", "U", "D")),)
    )
    assert fit == alone


def test_smoothness_without_a_field_is_refused_and_says_where_there_is_one() -> None:
    fields = model_of("local", bias="homogeneous")
    for model, penalty, words in (
        (model_of(), rx.Smoothness(1.0), "(this model has none), got Smoothness(strength=1.0"),
        (model_of(), rx.Smoothness(1.0, of="D"), "of='D') on D; leave it out"),
        (fields, rx.Smoothness(1.0, of=("D", "bias")), "(R, U, D), got"),
        (fields, rx.Smoothness(1.0, of="bias"), "on bias; name fields in `of`"),
    ):
        with pytest.raises(
            ValueError, match="argument 'penalties': expected with Smooth"
        ) as caught:
            rx.fit(model, *data(), steps=1, penalties=[penalty])
        assert words in str(caught.value)
    rx.fit(fields, *data(), steps=1, penalties=[rx.Smoothness(1.0)])
    rx.fit(model_of(), *data(), steps=1, penalties=[rx.Smoothness(0.0)])


# -- callbacks --------------------------------------------------------------------------------


def test_an_answer_that_is_neither_true_nor_false_keeps_the_fit() -> None:
    with pytest.raises(rx.CallbackError, match="ValueError after step 1") as caught:
        rx.fit(model_of(), *data(), steps=5, callbacks=[lambda state: np.ones(3)])
    assert len(caught.value.fit.history) == 1


@over_optimizers
def test_a_callback_that_raises_ends_the_fit_and_keeps_the_best_model(kind: str) -> None:
    model, (x, y) = model_of(), data()

    def callback(state: Any) -> None:
        if state.step == 3:
            raise KeyError("no such thing")

    def run(**options: Any) -> Any:
        return rx.fit(
            model, x, y, optimizer=OPTIMIZERS[kind], validation=(x, y), steps=20, **options
        )

    with pytest.raises(rx.CallbackError, match="KeyError after step 3") as caught:
        run(callbacks=[callback])
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.fit == run(callbacks=[lambda state: state.step == 3])
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.fit == caught.value.fit


def test_a_progress_function_that_raises_does_the_same() -> None:
    def show(state: Any) -> None:
        raise ValueError("no screen")

    with pytest.raises(rx.CallbackError, match="no screen") as caught:
        rx.fit(model_of(), *data(), steps=20, progress=show)
    assert len(caught.value.fit.history) > 0


@pytest.mark.parametrize("kind", ["adam", "lbfgs"])
def test_a_progress_function_sees_the_last_step(kind: str) -> None:
    seen: list[int] = []
    fit = rx.fit(
        model_of(),
        *data(),
        optimizer=OPTIMIZERS[kind],
        steps=8,
        progress=lambda state: seen.append(state.step),
    )
    assert seen[-1] == len(fit.history)


def test_ctrl_c_ends_mini_batches_with_the_model_so_far() -> None:
    output = run_interrupted(
        """
        first = []

        def interrupt_once(state):
            if not first:
                first.append(state.step)
                interrupt_in(0.2)

        fit = rx.fit(
            model,
            x,
            y,
            optimizer=rx.Adam(1e-9),
            batch_size=3,
            steps=10**9,
            tolerance=0.0,
            progress=interrupt_once,
        )
        assert len(fit.history) >= first[0] > 0
        assert fit.model != model
        print(fit.status.name)
        """
    )
    assert output == "INTERRUPTED"


@pytest.mark.parametrize("place", ["callback", "evaluation"])
def test_ctrl_c_passes_through_scipy_with_the_model_so_far(place: str) -> None:
    """It comes at a step, not at a time: L-BFGS ends by itself after as many as rounding allows."""
    output = run_interrupted(
        f"""
        from relaxon.training.descent import Descent

        y = np.random.default_rng(1).standard_normal(x.shape)
        evaluate = Descent.evaluate
        n_steps = 0

        def count(state):
            global n_steps
            n_steps = state.step
            if n_steps == 3 and "{place}" == "callback":
                signal.raise_signal(signal.SIGINT)

        def evaluate_interrupted(self, point, gradient):
            if n_steps == 3:
                signal.raise_signal(signal.SIGINT)
            return evaluate(self, point, gradient)

        Descent.evaluate = evaluate_interrupted
        fit = rx.fit(model, x, y, optimizer=rx.LBFGS(), callbacks=[count])
        assert len(fit.history) == 3
        assert fit.model.loss(x, y) < model.loss(x, y)
        print(fit.status.name)
        """
    )
    assert output == "INTERRUPTED"
