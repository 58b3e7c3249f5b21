"""Lift, readout and every loss, over a sample of all networks, against the complex step."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reference
import reference_ends
import registry
import relaxon as rx
from measures import bits, relative_error
from reference_ends import DISTANCES, End

STEP = 1e-30
ENDS = [
    (End(3, "tanh"), None),
    (None, End(2, "softplus")),
    (End(4), End(3)),
    (End(7, "sin"), End(5, "silu")),
    (None, None),
]
# In turn, as the ends are; their numbers have no common divisor, so that all meet.
LOSSES = [*DISTANCES, "cross-entropy", "squared", "cross-entropy", "absolute"]


@dataclass(frozen=True)
class Problem:
    """A network with ends, its numbers and a loss; everything in the case's own precision."""

    name: str
    case: registry.Case
    ended: reference_ends.Ended
    params: dict[str, Any]
    x: Any
    y: Any
    weights: Any
    at: tuple[int, ...] | None
    kind: str
    scale: float

    def model(self) -> rx.Relaxation:
        base = self.case.model()
        lift, readout = self.ended.lift, self.ended.readout
        model = rx.Relaxation(
            base.operator,
            depth=base.depth,
            activation=base.activation,
            omega=base.omega,
            bias=base.bias,
            beta=base.beta,
            trainable_omega=base.trainable_omega,
            lift=None if lift is None else rx.Lift(lift.width, lift.activation),
            readout=None if readout is None else rx.Readout(readout.width, readout.activation),
            dtype=base.dtype,
        )
        return model.with_params(self.params)

    def loss(self) -> Any:
        settings: dict[str, Any] = {"weights": self.weights, "at": self.at}
        if self.kind == "cross-entropy":
            return rx.CrossEntropy(**settings)
        distance = DISTANCES[self.kind]
        own = (self.scale,) if distance.scales else ()
        return getattr(rx, distance.constructor)(*own, **settings)

    def wide(self) -> dict[str, Any]:
        values = {name: p.astype(np.float64) for name, p in {**self.params, "x": self.x}.items()}
        if self.ended.lift is None:
            values["x"] = np.where(self.case.network.grid.exists, values["x"], 0)
        return values

    def reference_loss(self, values: dict[str, Any]) -> Any:
        params = {name: value for name, value in values.items() if name != "x"}
        z = reference_ends.outputs(self.ended, params, values["x"], self.at)
        weights = np.ones(1) if self.weights is None else self.weights.astype(np.float64)
        weights = np.broadcast_to(weights, self.y.shape)
        if self.kind == "cross-entropy":
            return reference_ends.cross_entropy(z, self.y, weights)
        if self.ended.readout is None:
            weights = np.where(self.case.network.grid.exists, weights, 0)
        return reference_ends.distance(self.kind, self.scale, z, self.y, weights)


def problems() -> list[Problem]:
    made = []
    turns = zip(registry.sample()[::5], cycle(ENDS), cycle(LOSSES), strict=False)
    for number, (case, (lift, readout), kind) in enumerate(turns):
        rng = np.random.default_rng(number)
        ended = reference_ends.Ended(case.network, lift, readout)
        if kind == "cross-entropy" and (readout is None or readout.activation != "identity"):
            kind = "huber"
        params = {name: p for name, p in case.params.items() if name != "omega"}
        for name, shape in reference_ends.parameter_shapes(ended).items():
            params[name] = (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(case.dtype)
        if "omega" in case.params:
            params["omega"] = case.params["omega"]
        n_samples = len(case.x)
        x = case.x
        if lift is not None:
            x = rng.standard_normal((n_samples, *ended.input_shape)).astype(case.dtype)
        lead = (n_samples,) if case.at is None else (n_samples, len(case.at))
        weights: Any = None
        if kind == "cross-entropy":
            y = rng.integers(0, ended.output_shape[0], lead)
            if case.weights is not None:
                weights = rng.uniform(0, 2, lead).astype(case.dtype)
                weights[rng.random(lead) < 0.3] = 0
                y[weights == 0] = -5  # never read
        else:
            y = rng.standard_normal((*lead, *ended.output_shape)).astype(case.dtype)
            if case.weights is not None:
                shape = y.shape if case.weights.ndim == case.y.ndim else ended.output_shape
                weights = rng.uniform(0, 2, shape).astype(case.dtype)
                weights[rng.random(shape) < 0.2] = 0
                y[np.broadcast_to(weights == 0, y.shape)] = np.nan
        name = f"{case.name}-{kind}"
        scale = float(rng.uniform(0.3, 1.0))
        problem = Problem(name, case, ended, params, x, y, weights, case.at, kind, scale)
        made.append(problem)
    return made


PROBLEMS = problems()
over_problems = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)


def test_problems_meet_every_loss_end_and_precision() -> None:
    met = {(p.kind, p.ended.lift is None, p.ended.readout is None) for p in PROBLEMS}
    for kind in DISTANCES:
        for has_no_lift in (False, True):
            for has_no_readout in (False, True):
                assert (kind, has_no_lift, has_no_readout) in met
    assert ("cross-entropy", False, False) in met
    assert {p.case.dtype.name for p in PROBLEMS} == {"float32", "float64"}
    assert {p.weights is None for p in PROBLEMS} == {False, True}
    assert {p.at is None for p in PROBLEMS if p.ended.readout is not None} == {False, True}
    assert any(p.case.network.grid.mask is not None for p in PROBLEMS)


@over_problems
def test_output_and_loss_are_those_of_the_reference(problem: Problem) -> None:
    model, values = problem.model(), problem.wide()
    params = {name: value for name, value in values.items() if name != "x"}
    expected = reference_ends.outputs(problem.ended, params, values["x"])
    output = model(problem.x)
    assert output.dtype == problem.case.dtype
    assert relative_error(output, expected) <= problem.case.tolerance
    expected_loss = problem.reference_loss(values)
    found = model.loss(problem.x, problem.y, loss=problem.loss())
    assert abs(found - expected_loss) <= problem.case.tolerance * (1 + abs(expected_loss))


@over_problems
def test_gradient_along_every_array_is_that_of_the_complex_step(problem: Problem) -> None:
    model, values = problem.model(), problem.wide()
    value, grads = model.value_and_grad(problem.x, problem.y, loss=problem.loss(), input_grad=True)
    assert abs(value - model.loss(problem.x, problem.y, loss=problem.loss())) <= (
        problem.case.tolerance * (1 + abs(value))
    )
    assert list(grads) == [*model.params, "x"]
    rng = np.random.default_rng(1)
    for name, start in values.items():
        assert grads[name].dtype == problem.case.dtype
        for _ in range(2):
            dot = rng.standard_normal(start.shape)
            moved = {**values, name: start + 1j * STEP * dot}
            # Of the rest of the network, omega and what it meets become complex as well.
            expected = problem.reference_loss({k: v + 0j for k, v in moved.items()}).imag / STEP
            found = float(np.sum(grads[name].astype(np.float64) * dot))
            size = float(np.linalg.norm(grads[name].astype(np.float64)) * np.linalg.norm(dot))
            assert abs(found - expected) <= 10 * problem.case.tolerance * (size + 1e-3), name


@over_problems
def test_tangents_and_cotangents_are_transposes(problem: Problem) -> None:
    model = problem.model()
    rng = np.random.default_rng(2)
    dtype = problem.case.dtype
    dots = {k: rng.standard_normal(p.shape).astype(dtype) for k, p in model.params.items()}
    x_dot = rng.standard_normal(problem.x.shape).astype(dtype)
    y_dot = model.jvp(problem.x, dots, x_dot)
    y_bar = rng.standard_normal(y_dot.shape).astype(dtype)
    assert y_dot.shape == (len(problem.x), *model.output_shape)
    bars = model.vjp(problem.x, y_bar)
    directions = {**dots, "x": x_dot}
    exists = problem.case.network.grid.exists
    if problem.ended.lift is None:
        directions["x"] = np.where(exists, x_dot, 0)
    if "W" in dots:
        both = np.logical_and.outer(exists.ravel(), exists.ravel())
        directions["W"] = np.where(both, dots["W"], 0)
    left = float(np.sum(y_bar.astype(np.float64) * y_dot))
    parts = [np.sum(bars[k].astype(np.float64) * directions[k]) for k in directions]
    scale = float(np.linalg.norm(y_bar) * np.linalg.norm(y_dot)) + sum(map(abs, parts))
    assert abs(left - sum(parts)) <= 200 * np.finfo(dtype).eps * scale


@pytest.mark.parametrize("problem", PROBLEMS[::4], ids=lambda problem: problem.name)
def test_threads_and_budget_change_no_bit(problem: Problem) -> None:
    model = problem.model()
    plan = rx.plan(model, len(problem.x), threads=1, at=problem.at, input_grad=True)

    def run(threads: int, memory: int | None) -> Any:
        value, grads, counts = model._value_and_grad_counted(
            problem.x, problem.y, problem.loss(), memory, threads, True
        )
        return value, bits(grads), counts

    value, grads, counts = run(1, None)
    assert counts.evaluations == plan.evaluations
    for threads in (1, 2, 3):
        least = rx.plan(
            model, len(problem.x), threads=threads, at=problem.at, input_grad=True
        ).minimum_bytes
        for memory in (None, least, least + plan.state_bytes):
            assert run(threads, memory)[:2] == (value, grads)
        with pytest.raises(ValueError, match=rf"at least {least}"):
            run(threads, least - 1)


@over_problems
def test_shapes_are_those_of_the_core(problem: Problem) -> None:
    model = problem.model()
    own = {name: array.shape for name, array in model.params.items() if name != "omega"}
    core = [(array.name, tuple(array.shape)) for array in model._network.arrays]
    assert core == [*own.items(), ("omega", model.omega.shape)]


def test_plain_network_is_a_special_case() -> None:
    """Eqs. 1 to 3: z = g(A x + a), z' = f(W z - b), y = h(B z + c)."""
    rng = np.random.default_rng(3)
    grid = rx.Grid((6,))
    model = rx.Relaxation(
        rx.Dense(grid, time="layered"),
        depth=3,
        activation="tanh",
        omega=1.0,
        bias="local",
        lift=rx.Lift(4, "logistic"),
        readout=rx.Readout(2, "softplus"),
    )
    params = {name: rng.standard_normal(p.shape) for name, p in model.params.items()}
    x = rng.standard_normal((5, 4))
    z = 1 / (1 + np.exp(-(x @ params["lift_weight"].T + params["lift_bias"])))
    for matrix, bias in zip(params["W"], params["bias"], strict=True):
        z = np.tanh(z @ matrix.T - bias)
    expected = np.logaddexp(0, z @ params["readout_weight"].T + params["readout_bias"])
    np.testing.assert_allclose(model.with_params(params)(x), expected, rtol=1e-13)


def masked_model(**options: Any) -> rx.Relaxation:
    mask = np.array([True, False, True, True, False, True])
    grid = rx.Grid((6,), mask=mask, boundary="neumann")
    return rx.Relaxation(rx.ADR(grid), depth=2, lift=rx.Lift(3), readout=rx.Readout(2), **options)


def test_masked_cells_have_no_part_in_the_ends() -> None:
    model = masked_model()
    assert model.n_parameters == 3 + 4 * (3 + 1) + 2 * (4 + 1)
    x, y = np.ones((5, 3)), np.zeros((5, 2))
    grads = model.value_and_grad(x, y)[1]
    gone = ~model.grid.mask
    for name, part in (
        ("lift_weight", grads["lift_weight"][gone]),
        ("lift_bias", grads["lift_bias"][gone]),
        ("readout_weight", grads["readout_weight"][:, gone]),
    ):
        np.testing.assert_array_equal(part, 0, err_msg=name)
        assert np.all(np.any(np.atleast_2d(grads[name]) != 0))
    moved = {name: p.copy() for name, p in model.params.items()}
    moved["lift_weight"][gone], moved["readout_weight"][:, gone] = 1e30, -1e30
    np.testing.assert_array_equal(model.with_params(moved)(x), model(x))
    np.testing.assert_array_equal(model.trajectory(x)[..., gone], 0)


def test_initial_values_keep_signals_at_their_size() -> None:
    grid = rx.Grid((400,))
    model = rx.Relaxation(rx.ADR(grid), depth=1, lift=rx.Lift(300), readout=rx.Readout(200))
    assert model.params["lift_weight"].std() == pytest.approx(300**-0.5, rel=0.02)
    assert model.params["readout_weight"].std() == pytest.approx(400**-0.5, rel=0.02)
    np.testing.assert_array_equal(model.params["lift_bias"], 0)
    np.testing.assert_array_equal(model.params["readout_bias"], 0)
    plain = rx.Relaxation(rx.ADR(grid), depth=1)
    for name in plain.params:
        np.testing.assert_array_equal(plain.params[name], model.params[name])


def test_one_sample_may_come_without_a_batch() -> None:
    model = masked_model()
    x = np.random.default_rng(4).standard_normal((7, 3))
    together = model(x)
    np.testing.assert_array_equal(model(x[2]), together[2])
    out = np.empty((7, 2))
    assert model(x, out=out) is out
    np.testing.assert_array_equal(out, together)
    assert model.trajectory(x[0]).shape == (3, 6)
    grads = model.vjp(x[2], np.ones(2))
    assert grads["x"].shape == (3,)
    assert model.loss(x[2], np.array(1), loss=rx.CrossEntropy()) > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_models_with_ends_are_plain_objects(dtype: str, tmp_path: Path) -> None:
    model = masked_model(dtype=dtype, seed=7)
    model.save(tmp_path / "model.safetensors")
    x = np.ones((2, 3), dtype)
    for other in (
        rx.load(tmp_path / "model.safetensors"),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        model.astype(dtype),
    ):
        assert other == model
        assert hash(other) == hash(model)
        np.testing.assert_array_equal(other(x), model(x))
    assert model.astype("float32")(x.astype("float32")).dtype == np.float32
    assert "lift=Lift(n_in=3, activation='identity')" in repr(model)
    other = rx.Relaxation(model.operator, depth=2, lift=rx.Lift(3), readout=rx.Readout(2, "tanh"))
    assert other.with_params(dict(model.astype("float64").params)) != model


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (rx.Lift(np.int64(3), "tanh"), "Lift(n_in=3, activation='tanh')"),
        (rx.Readout(n_out=3), "Readout(n_out=3, activation='identity')"),
    ],
    ids=["lift", "readout"],
)
def test_ends_are_frozen_settings(end: Any, text: str) -> None:
    assert repr(end) == text
    for other in (pickle.loads(pickle.dumps(end)), copy.deepcopy(end), dataclasses.replace(end)):
        assert other == end
        assert hash(other) == hash(end)
    size, activation = dataclasses.asdict(end).values()
    assert type(size) is int
    assert size == 3
    assert type(end)(4, activation) != end
    with pytest.raises(dataclasses.FrozenInstanceError):
        end.activation = "sin"
    assert end not in (rx.Lift(3), rx.Readout(3, "tanh"))


def test_ends_train() -> None:
    """Classes that only the position of a bump tells apart."""
    rng = np.random.default_rng(5)
    place = rng.uniform(0, 32, 200)
    x = np.exp(-0.1 * (np.arange(32.0) - place[:, np.newaxis]) ** 2)
    labels = (place // 8).astype(int)
    model = rx.Relaxation(rx.ADR(rx.Grid((32,))), depth=3, readout=rx.Readout(4))
    optimizer = rx.SteepestDescent(rate=0.1, line_search="barzilai-borwein")
    fit = rx.fit(model, x, labels, loss=rx.CrossEntropy(), optimizer=optimizer, steps=200)
    assert np.mean(fit.model(x).argmax(axis=1) == labels) > 0.95


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rx.Lift(0), "argument 'n_in': expected an integer from 1 to 2147483647, got 0"),
        (lambda: rx.Lift("3"), "argument 'n_in': expected an integer"),  # type: ignore[arg-type]
        (
            lambda: rx.Readout(0),
            "argument 'n_out': expected an integer from 1 to 2147483647, got 0",
        ),
        (lambda: rx.Readout(2.0), "argument 'n_out': expected an int"),  # type: ignore[arg-type]
        (lambda: rx.Lift(3, "tahn"), "argument 'activation': .*did you mean 'tanh'"),
        (lambda: rx.Readout(3, "tahn"), "argument 'activation': .*did you mean 'tanh'"),
        (lambda: masked_model(dtype="float32")(np.ones((2, 3))), "argument 'x'.*float32"),
        (lambda: masked_model()(np.ones((2, 4))), r"argument 'x': expected \(batch, 3\)"),
        (lambda: masked_model()(np.full((2, 3), np.nan)), "argument 'x': expected finite"),
        (
            lambda: masked_model().loss(np.ones((2, 3)), np.ones((2, 6))),
            r"argument 'y': expected \(2, 2\), got \(2, 6\)",
        ),
        (
            lambda: masked_model().with_params({"lift_weight": np.ones((3, 6))}),
            r"argument 'lift_weight': expected \(6, 3\), got \(3, 6\); are the axes swapped",
        ),
        (
            lambda: masked_model().with_params({"readout_bias": np.array([1.0, np.inf])}),
            "argument 'readout_bias': expected finite numbers",
        ),
        (
            lambda: rx.Relaxation(rx.ADR(rx.Grid((4,))), depth=1, lift=3),  # type: ignore[arg-type]
            "argument 'lift': expected Lift, got 3",
        ),
    ],
)
def test_wrong_ends_are_refused(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 2]), "labels from 0 to 1, got 2 at index"),
        (np.array([0, -1]), "labels from 0 to 1, got -1 at index"),
        (np.array([0.0, 1.0]), "labels, an array of integers, got one of float64"),
        (np.array([True, False]), "labels, an array of integers, got one of bool"),
        (np.array([0, 1, 1]), r"expected \(2,\), got \(3,\)"),
        (np.array([[0], [1]]), r"expected \(2,\), got \(2, 1\)"),
    ],
)
def test_wrong_labels_are_refused(labels: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        masked_model().loss(np.ones((2, 3)), labels, loss=rx.CrossEntropy())


def test_cross_entropy_needs_a_readout_that_is_affine() -> None:
    grid = rx.Grid((6,))
    for readout in (None, rx.Readout(2, "tanh")):
        model = rx.Relaxation(rx.ADR(grid), depth=1, readout=readout)
        with pytest.raises(ValueError, match="a Readout of activation 'identity'"):
            model.loss(np.ones((2, 6)), np.array([0, 1]), loss=rx.CrossEntropy())


def test_reference_of_the_layers_is_the_same() -> None:
    """Without ends the two references agree: one of them is pinned by recorded cases."""
    problem = next(p for p in PROBLEMS if p.ended.lift is None and p.ended.readout is None)
    values = problem.wide()
    params = {name: value for name, value in values.items() if name != "x"}
    np.testing.assert_array_equal(
        reference_ends.outputs(problem.ended, params, values["x"]),
        reference.forward(problem.case.network, params, values["x"]),
    )
