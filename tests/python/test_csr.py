"""An operator with data of its own, on whole fields: against stencils, and through every door."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import registry
import relaxon as rx
from csr import Csr
from measures import relative_error
from reference_operator import StencilOperator
from relaxon.model import format as model_format

STENCILS = [
    case for case in registry.sample() if isinstance(case.network.operator, StencilOperator)
]
GRID = rx.Grid((6,), mask=np.array([True, True, False, True, True, True]))


def pattern_of(matrix: Any) -> dict[str, Any]:
    """The places of a matrix that are not zero."""
    rows, columns = np.nonzero(matrix)
    counts = np.bincount(rows, minlength=len(matrix))
    return {"indptr": np.append(0, np.cumsum(counts)), "indices": columns}


def sparse_twin(case: registry.Case) -> tuple[rx.Relaxation, rx.Relaxation]:
    """The model of a stencil, and one of its matrices; the bias holds what boundaries add."""
    model = case.model()
    grid, operator = model.grid, model.operator
    own = {name: model.params[name] for name in operator.parameter_names()}
    omega, bias = model._parameters["omega"], model.params.get("bias", np.zeros(()))
    matrices, biases = [], []
    for layer in range(model.depth):
        rate = model.omega[layer] if omega.is_layered else model.omega
        rate = rate.reshape(grid.shape) if omega.is_field else rate
        matrix, shift = operator._assemble(own, layer if operator.is_layered else 0, rate)
        matrices.append(matrix)
        own_bias = bias[layer] if operator.is_layered and bias.ndim else bias
        biases.append(np.broadcast_to(own_bias, grid.shape) - shift.reshape(grid.shape))
    places = pattern_of(np.any(np.array(matrices) != 0, axis=0))
    twin = rx.Relaxation(
        Csr(grid, time="layered", **places),
        depth=model.depth,
        activation=model.activation,
        omega=model.omega,
        bias="local",
        beta=model.beta,
        dtype=model.dtype,
    )
    rows = np.repeat(np.arange(len(places["indptr"]) - 1), np.diff(places["indptr"]))
    data = np.array([matrix[rows, places["indices"]] for matrix in matrices])
    values = {"data": data, "bias": np.array(biases)}
    return model, twin.with_params({k: v.astype(model.dtype) for k, v in values.items()})


@pytest.mark.parametrize("case", STENCILS, ids=lambda case: case.name)
def test_every_stencil_is_a_sparse_matrix(case: registry.Case) -> None:
    model, twin = sparse_twin(case)
    rng = np.random.default_rng(5)
    y_bar, x_dot = (rng.standard_normal(case.x.shape).astype(case.dtype) for _ in range(2))
    tolerance = 20 * case.tolerance
    assert relative_error(twin.trajectory(case.x), model.trajectory(case.x)) <= tolerance
    bars, expected = twin.vjp(case.x, y_bar), model.vjp(case.x, y_bar)
    assert relative_error(bars["x"], expected["x"]) <= tolerance
    if case.bias == "local":
        total = bars["bias"] if model.operator.is_layered else bars["bias"].sum(axis=0)
        assert relative_error(total, expected["bias"]) <= tolerance
    assert relative_error(twin.jvp(case.x, {}, x_dot), model.jvp(case.x, {}, x_dot)) <= tolerance
    data_dot = rng.standard_normal(bars["data"].shape).astype(case.dtype)
    y_dot = twin.jvp(case.x, {"data": data_dot}).astype(np.float64)
    forward, reverse = np.vdot(y_bar, y_dot), np.vdot(bars["data"].astype(np.float64), data_dot)
    size = np.linalg.norm(y_bar) * np.linalg.norm(y_dot)
    assert abs(forward - reverse) <= tolerance * max(size, 1e-30)


def small(**options: Any) -> rx.Relaxation:
    matrix = np.eye(6) + np.diag(np.ones(5), 1) + np.diag(np.ones(4), -2)
    return rx.Relaxation(Csr(GRID, **pattern_of(matrix)), depth=3, **options)


@pytest.fixture
def is_known() -> Iterator[pytest.MonkeyPatch]:
    """Files know the operator."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(model_format.OPERATOR_CLASSES, "Csr", Csr)
        kinds = model_format.FIELDS["operator"].fields
        patch.setitem(kinds, "Csr", model_format.plain_settings(Csr))
        yield patch


def test_data_are_part_of_the_operator(tmp_path: Path, is_known: pytest.MonkeyPatch) -> None:
    model = small()
    op = model.operator
    assert isinstance(op, Csr)
    assert model.n_parameters == op.n_parameters(3) == 15
    again = pickle.loads(pickle.dumps(model))
    assert again == model
    assert hash(again.operator) == hash(op)
    other = Csr(GRID, indptr=op.indptr, indices=op.indices[::-1].copy())
    assert other != op
    with pytest.raises(ValueError, match="read-only"):
        again.operator.indices[0] = 3
    rx.save(model, tmp_path / "model")
    assert rx.load(tmp_path / "model") == model
    is_known.undo()
    with pytest.raises(TypeError, match="one of relaxon's own operators"):
        rx.save(model, tmp_path / "other")
    text = r"its operator 'Csr' is none that this version knows \(ADR.*written by 'relaxon"
    with pytest.raises(rx.FileFormatError, match=text):
        rx.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("argument", "value", "error", "text"),
    [
        ("indptr", np.arange(5), ValueError, r"argument 'indptr': expected shape \(7,\)"),
        ("indptr", np.arange(7.0), TypeError, "argument 'indptr': expected an array of int64"),
        ("indices", [0, 1], TypeError, "argument 'indices': expected a NumPy array of int64"),
        ("indices", np.full(6, 9), ValueError, "argument 'indices': numbers of cells, got 9"),
        ("indptr", np.arange(7)[::-1].copy(), ValueError, "argument 'indptr': ascending from 0"),
    ],
)
def test_wrong_data_are_named(argument: str, value: Any, error: Any, text: str) -> None:
    right = {"indptr": np.arange(7), "indices": np.arange(6)}
    with pytest.raises(error, match=text):
        rx.Relaxation(Csr(GRID, **{**right, argument: value}), depth=2)


@pytest.mark.usefixtures("is_known")
def test_budgets_and_threads_change_no_bit() -> None:
    model = small(bias="local", activation="gelu", omega=0.3, beta=0.1)
    x = np.random.default_rng(0).standard_normal((5, 6))
    plan = rx.plan(model, 5)
    right = model.value_and_grad(x, -x, threads=1)
    for memory in (plan.minimum_bytes, plan.total_bytes):
        for threads in (1, 2):
            value, gradients = model.value_and_grad(x, -x, memory=memory, threads=threads)
            assert value == right[0]
            assert all(np.array_equal(gradients[name], right[1][name]) for name in gradients)


def test_it_is_explained_by_its_moments() -> None:
    """Its matrix is that of ADR, so its moments are R, U and D."""
    grid = rx.Grid((16,), spacing=0.5, unit="m")
    truth = {"R": np.array(-0.1), "U": np.array([0.3]), "D": np.array([0.2])}
    matrix = rx.ADR(grid).to_dense(truth)
    places = pattern_of(matrix)
    model = rx.Relaxation(Csr(grid, **places), depth=2, activation="identity", dt=2.0)
    rows = np.repeat(np.arange(16), np.diff(places["indptr"]))
    model = model.with_params({"data": matrix[rows, places["indices"]]})
    expected = rx.explain(
        rx.Relaxation(rx.ADR(grid), depth=2, activation="identity", dt=2.0).with_params(truth)
    )
    found = rx.explain(model)
    assert "diffusion" in str(found)
    for symbol in ("R", "U", "D"):
        assert np.allclose(found.fields[symbol], expected.fields[symbol])
    assert {process.symbol for process in found.processes} == {"R", "U", "D"}


def test_it_learns_through_scikit_learn() -> None:
    pytest.importorskip("sklearn")
    from relaxon.sklearn import RelaxationRegressor

    matrix = np.eye(6) + np.diag(np.ones(5), 1)
    make = functools.partial(Csr, **pattern_of(matrix))
    x = np.random.default_rng(0).standard_normal((80, 6))
    regressor = RelaxationRegressor(operator=make, depth=2, activation="identity", steps=60)
    score = regressor.fit(x, x @ np.array([1.0, -2.0, 0.0, 0.5, 0.0, 1.0])).score(
        x, x @ np.array([1.0, -2.0, 0.0, 0.5, 0.0, 1.0])
    )
    assert score > 0.9


def test_it_is_a_torch_layer() -> None:
    torch = pytest.importorskip("torch")
    from relaxon.torch import RelaxationLayer

    model = small()
    layer = RelaxationLayer(model)
    x = torch.ones((2, 6), dtype=torch.float64, requires_grad=True)
    layer(x).sum().backward()
    expected = model.vjp(np.ones((2, 6)), np.ones((2, 6)))
    assert np.array_equal(x.grad.numpy(), expected["x"])
    named = dict(layer.named_parameters())
    assert any(np.array_equal(p.grad.numpy(), expected["data"]) for p in named.values())
