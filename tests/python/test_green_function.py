"""Green's function: recorded cases, SciPy's inverse, equilibria, and what has no inverse."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import registry
import relaxon as rx
from measures import relative_error

Array = np.ndarray[Any, Any]

ENTRIES_OF = json.loads((registry.CONFORMANCE / "dynamics.json").read_text())
RECORDED = [entry for entry in ENTRIES_OF if entry["kind"] == "green"]


def recorded_arrays(name: str) -> dict[str, Array]:
    with np.load(registry.CONFORMANCE / "dynamics.npz") as archive:
        return {k.partition("/")[2]: v for k, v in archive.items() if k.split("/")[0] == name}


def test_all_cases_are_here() -> None:
    assert len(RECORDED) == 4


@pytest.mark.parametrize("entry", RECORDED, ids=lambda entry: entry["name"])
def test_recorded_case(entry: dict[str, Any]) -> None:
    arrays = recorded_arrays(entry["name"])
    params = {k.removeprefix("param."): v for k, v in arrays.items() if k.startswith("param.")}

    def condition(value: Any) -> Any:
        return value if isinstance(value, str) else rx.Dirichlet(value)

    grid = rx.Grid(
        tuple(entry["shape"]),
        boundary=tuple((condition(side),) * 2 for side in entry["boundary"]),
        mask=arrays.get("mask"),
    )
    op: Any = rx.Dense(grid)
    if entry["operator"] == "adr":
        op = rx.ADR(grid, space=entry["space"], scheme=entry["scheme"])
    green = rx.green_function(op, params)
    assert relative_error(green, arrays["green"]) <= 1e-11
    shift = op.apply({k: v for k, v in params.items() if k != "bias"}, np.zeros(grid.shape))
    exists = np.ones(grid.shape, bool) if grid.mask is None else grid.mask
    source = np.where(exists, params["bias"] - shift, 0.0)
    z = (green @ source.ravel()).reshape(grid.shape)
    assert relative_error(z, arrays["output"]) <= 1e-11
    model = rx.Relaxation(op, "attractor", "identity", bias="local").with_params(params)
    found = rx.attractor(model, np.zeros(grid.shape), tol=1e-13)
    assert found.success
    assert relative_error(found.z, arrays["output"]) <= 1e-11


def make_case(kind: str) -> tuple[Any, dict[str, Array]]:
    """An operator with an inverse, and its parameters."""
    random = np.random.default_rng(3)
    sides: Any = {"line": "periodic", "wide": "neumann", "free": "neumann", "dense": "periodic"}
    if kind == "line":
        grid = rx.Grid((30,), boundary="periodic")
        return rx.ADR(grid, scheme="upwind"), {
            "R": np.array(-0.2),
            "U": np.array([0.7]),
            "D": np.array([1.5]),
        }
    if kind in sides:
        grid = rx.Grid((14,), boundary=sides[kind])
        operators: dict[str, Callable[[], Any]] = {
            "wide": lambda: rx.Moments(grid, order=4),
            "free": lambda: rx.Banded(grid, radius=2, space="local"),
            "dense": lambda: rx.Dense(grid),
        }
        op = operators[kind]()
        start = rx.Relaxation(op, 1).params
        return op, {n: 0.5 * v + 0.05 * random.standard_normal(v.shape) for n, v in start.items()}
    boundary: Any = {
        "plane": ("neumann", "periodic"),
        "values": ((rx.Dirichlet(0.4), "neumann"), rx.Dirichlet(-1.0)),
        "space": ("neumann", "periodic", rx.Dirichlet(0.2)),
        "wave": (rx.Dirichlet(0.1),),
    }[kind]
    shape = {"plane": (6, 7), "values": (5, 6), "space": (3, 4, 5), "wave": (12,)}[kind]
    mask = random.random(shape) > 0.2 if kind in ("plane", "values") else None
    masked: Any = rx.Dirichlet(0.3) if kind == "values" else "neumann"
    grid = rx.Grid(shape, boundary=boundary, mask=mask, mask_boundary=masked)
    scheme = "lax-wendroff" if kind == "wave" else "central"
    op = rx.ADR(grid, space="local", scheme=scheme)
    params = {n: 0.1 * random.standard_normal(s) for n, s in op.parameter_shapes(1).items()}
    for axis, component in enumerate(op.diagonal()):
        params["D"][component] = 0.5 + axis
    params["R"] = -0.3 - np.abs(params["R"])
    return op, params


KINDS = ("line", "wide", "free", "dense", "plane", "values", "space", "wave")


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_inverse_that_scipy_finds(kind: str) -> None:
    from scipy.linalg import inv

    op, params = make_case(kind)
    omega = 0.7 if kind == "wave" else None
    matrix = op.to_dense(params, omega=omega)
    exists = np.ones(len(matrix), bool) if op.grid.mask is None else op.grid.mask.ravel()
    expected = np.zeros_like(matrix)
    block = np.ix_(exists, exists)
    expected[block] = inv(matrix[block] - np.eye(exists.sum()))
    green = rx.green_function(op, params, omega=omega)
    assert green.dtype == np.float64
    assert relative_error(green, expected) <= 1e-11
    np.testing.assert_array_equal(green[~exists], 0.0)
    # Columns on request have the same bits, one of a masked cell is zero.
    numbers = [0, 5, len(matrix) - 1, int(np.flatnonzero(~exists)[0]) if not exists.all() else 1]
    cells = [tuple(map(int, c)) for c in np.transpose(np.unravel_index(numbers, op.grid.shape))]
    chosen: Any = cells if op.grid.ndim > 1 else numbers
    some = rx.green_function(op, params, chosen, omega)
    assert relative_error(some, green[:, numbers]) <= 1e-13


@pytest.mark.parametrize("drive", [False, True])
@pytest.mark.parametrize("kind", [k for k in KINDS if k != "wave"])
def test_equilibria_are_sums_of_responses(kind: str, drive: bool) -> None:
    op, params = make_case(kind)
    model = rx.Relaxation(op, "attractor", "identity", 0.1, "local", drive=drive)
    b, x = np.random.default_rng(1).standard_normal((2, *op.grid.shape))
    model = model.with_params({**params, "bias": b})
    shift = op.apply(params, np.zeros(op.grid.shape))
    source = b - shift - (x if drive else 0.0)
    exists = np.ones(op.grid.shape, bool) if op.grid.mask is None else op.grid.mask
    z = rx.green_function(op, model.params) @ np.where(exists, source, 0.0).ravel()
    found = rx.attractor(model, x, tol=1e-13)
    assert found.success
    assert relative_error(found.z, z.reshape(op.grid.shape)) <= 1e-10
    # Amplitudes and superposition hold where nothing else adds to the source.
    if drive and not shift.any():
        still = model.with_params({"bias": np.zeros(op.grid.shape)})
        parts = rx.attractor(still, np.stack([x, b, 2.0 * x - 3.0 * b]), tol=1e-13).z
        assert relative_error(2.0 * parts[0] - 3.0 * parts[1], parts[2]) <= 1e-10


def test_a_monotone_operator_responds_with_one_sign() -> None:
    op, params = make_case("line")
    assert (rx.green_function(op, params) < 0.0).all()


def waves(shape: tuple[int, ...], reaction: float, diffusion: float) -> tuple[Any, dict[str, Any]]:
    op = rx.ADR(rx.Grid(shape, names=("y", "x")[-len(shape) :]))
    diagonal = np.zeros(len(shape) * (len(shape) + 1) // 2)
    diagonal[op.diagonal()] = diffusion
    return op, {"R": np.array(reaction), "U": np.zeros(len(shape)), "D": diagonal}


@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
@pytest.mark.parametrize("diffusion", [1e-4, 0.3, 100.0])
@pytest.mark.parametrize("shape", [(40,), (8, 9)])
def test_a_constant_that_nothing_holds_is_named(
    boundary: str, diffusion: float, shape: tuple[int, ...]
) -> None:
    op, params = waves(shape, 0.0, diffusion)
    op = rx.ADR(op.grid.replace(boundary=boundary))
    with pytest.raises(ValueError, match="no source holds: constant; R below 0 or a Dirichlet"):
        rx.green_function(op, params)
    rx.green_function(op, {**params, "R": np.array(-1e-9)})
    held = rx.ADR(op.grid.replace(boundary=rx.Dirichlet(0.0)))
    rx.green_function(held, params)


def test_a_wave_that_nothing_holds_is_named_by_its_number() -> None:
    op, params = waves((12,), 0.2 * (2 - 2 * np.cos(2 * np.pi * 3 / 12)), 0.2)
    with pytest.raises(ValueError, match=r"wave number 2 pi 3 / 12 along x; change R"):
        rx.green_function(op, params)
    op, params = waves((6, 8), 0.4 * (1 - np.cos(2 * np.pi / 6)) + 0.4 * 2.0, 0.2)
    with pytest.raises(ValueError, match="2 pi 1 / 6 along y, 2 pi 4 / 8 along x"):
        rx.green_function(op, params)
    dense = rx.Dense(rx.Grid((5,)))
    matrix = np.eye(5) + np.outer([1.0, 2, 3, 4, 5], [1.0, -1, 0, 0, 0])
    with pytest.raises(ValueError, match=r"eigenvalue .* holds: not constant"):
        rx.green_function(dense, {"W": matrix})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cells": [12]}, "within"),
        ({"cells": [-1]}, "within"),
        ({"cells": [(0, 1)]}, "indices of cells"),
        ({"cells": [0.5]}, "indices of cells"),
        ({"cells": []}, "indices of cells"),
        ({"params": {"R": np.array(0.1)}}, "params"),
        ({"params": 3}, "mapping"),
        ({"op": 3}, "op"),
        ({"op": rx.ADR(rx.Grid((12,)), time="layered")}, "layered"),
        ({"op": rx.ADR(rx.Grid((12,)), scheme="lax-wendroff")}, "omega"),
        ({"params": waves((12,), np.nan, 0.2)[1]}, "finite"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], words: str) -> None:
    op, params = waves((12,), -0.1, 0.2)
    with pytest.raises((TypeError, ValueError), match=words):
        rx.green_function(**{"op": op, "params": params, **changes})


@pytest.mark.parametrize("omega", [np.nan, -1.0, "fast", [0.5, 0.5]])
def test_a_rate_that_is_none_is_refused_whatever_the_scheme(omega: Any) -> None:
    op, params = waves((8,), -0.3, 1.0)
    with pytest.raises((TypeError, ValueError), match="argument 'omega'"):
        rx.green_function(op, params, omega=omega)


def test_what_does_not_fit_into_memory_says_how_to_ask_for_less() -> None:
    op, params = waves((2200, 2200), -0.3, 1.0)
    with pytest.raises(MemoryError, match="ask for fewer with cells="):
        rx.green_function(op, params)
