"""Laws of every operator: its matrix, its transpose, linearity, memory layouts, random grids."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
import reference_grid
import registry
import relaxon as rx
from measures import relative_error
from operators import ENTRIES
from reference_operator import Operator

over_the_registry = pytest.mark.parametrize("case", registry.sample(), ids=lambda case: case.name)


def arguments(case: registry.Case, layer: int) -> dict[str, Any]:
    """What apply and to_dense need beside the state."""
    names = case.operator().parameter_shapes(case.network.depth)
    omega = np.asarray(case.params.get("omega", case.network.omega))
    return {
        "params": {name: case.params[name] for name in names},
        "layer": layer,
        "omega": case.network.rate(omega, layer).astype(case.dtype),
    }


def states(case: registry.Case, n_samples: int, seed: int = 7) -> Any:
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n_samples, *case.network.grid.shape)).astype(case.dtype)
    return np.where(case.network.grid.exists, z, 0).astype(case.dtype)


@over_the_registry
def test_parameter_shapes(case: registry.Case) -> None:
    network = case.network
    expected = registry.parameter_shapes(network, case.space, bias=None)
    assert dict(case.operator().parameter_shapes(network.depth)) == expected
    model = case.model()
    assert {name: value.shape for name, value in model.params.items()} == {
        name: value.shape for name, value in case.params.items()
    }
    own = {name: array.shape for name, array in model.params.items() if name != "omega"}
    core = [(array.name, tuple(array.shape)) for array in model._network.arrays]
    assert core == [*own.items(), ("omega", model.omega.shape)]


@over_the_registry
def test_assembled_entries_are_the_matrix(case: registry.Case) -> None:
    operator = case.operator()
    for layer in (0, case.network.depth - 1):
        given_ = arguments(case, layer)
        matrix, shift = operator._assemble(**given_)
        assert relative_error(matrix, operator.to_dense(**given_)) <= 10 * case.tolerance
        nothing = np.zeros(case.network.grid.shape, case.dtype)
        expected = operator.apply(z=nothing, **given_).ravel()
        assert np.max(np.abs(shift - expected)) <= case.tolerance


@over_the_registry
def test_matrix_and_apply_agree_with_the_reference(case: registry.Case) -> None:
    operator = case.operator()
    for layer in (0, case.network.depth - 1):
        given_ = arguments(case, layer)
        omega = case.wide(given_["omega"])
        z = states(case, 3)
        matrix = operator.to_dense(**given_)
        expected = reference.to_dense(case.network, case.wide_params, layer, omega)
        assert relative_error(matrix, expected) <= case.tolerance

        image = operator.apply(z=z, **given_)
        assert image.dtype == case.dtype
        wide = reference.apply(case.network, case.wide_params, case.wide(z), layer, omega)
        assert relative_error(image, wide) <= case.tolerance

        offset = operator.apply(z=np.zeros_like(z[0]), **given_)
        product = (z.reshape(3, -1) @ matrix.T).reshape(z.shape) + offset
        assert relative_error(product, wide) <= case.tolerance


@over_the_registry
def test_transpose(case: registry.Case) -> None:
    """<W z, g> = <z, W^T g>, up to rounding of the sum without its signs."""
    for layer in (0, case.network.depth - 1):
        given_ = arguments(case, layer)
        operator = case.operator()
        z, g = states(case, 2, seed=8), states(case, 2, seed=9)
        # a matrix may contain omega, which must be 1 here for the layer to be W alone
        given_["omega"] = np.ones_like(given_["omega"])
        time = {"layer": 0} if case.network.is_layered else {}
        params = {
            name: value[layer : layer + 1] if time else value
            for name, value in given_["params"].items()
        }
        model = rx.Relaxation(
            operator, depth=1, activation="identity", omega=1.0, dtype=case.dtype
        ).with_params(params)
        image = operator.apply(z=z, **given_) - operator.apply(z=np.zeros_like(z), **given_)
        pulled = model.vjp(z, g)["x"]
        matrix = np.abs(operator.to_dense(**given_)).astype(np.float64)
        flat_z, flat_g = np.abs(z.reshape(2, -1)), np.abs(g.reshape(2, -1))
        scale = float(np.sum((flat_z @ matrix.T) * flat_g)) + float(np.sum(flat_g))
        left = np.sum(image.astype(np.float64) * g)
        right = np.sum(z.astype(np.float64) * pulled)
        assert abs(left - right) <= 20 * np.finfo(case.dtype).eps * scale


@pytest.mark.parametrize("case", registry.sample()[::5], ids=lambda case: case.name)
def test_linearity(case: registry.Case) -> None:
    operator, given_ = case.operator(), arguments(case, 0)
    z, w = states(case, 2, seed=10), states(case, 2, seed=11)
    offset = operator.apply(z=np.zeros_like(z), **given_)
    combined = operator.apply(z=(2 * z - 0.5 * w).astype(case.dtype), **given_) - offset
    separate = 2 * (operator.apply(z=z, **given_) - offset) - 0.5 * (
        operator.apply(z=w, **given_) - offset
    )
    assert relative_error(combined, case.wide(separate)) <= case.tolerance


def layouts(x: Any) -> dict[str, Any]:
    """The same numbers in other memory layouts."""
    big = np.full((*x.shape[:-1], 2 * x.shape[-1]), 9.0, x.dtype)
    big[..., ::2] = x
    return {
        "every-second": big[..., ::2],
        "fortran": np.asfortranarray(x),
        "reversed": np.ascontiguousarray(x[:, ::-1])[:, ::-1],
        "read-only": np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
        "unaligned": np.frombuffer(b"_" + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
    }


@pytest.mark.parametrize("case", registry.sample()[::20], ids=lambda case: case.name)
def test_memory_layouts_make_no_difference(case: registry.Case) -> None:
    model = case.model()
    x = np.where(case.network.grid.exists, case.x, 0).astype(case.dtype)
    expected = model(x)
    gradient = model.value_and_grad(x, case.y, loss=case.loss(), input_grad=True)[1]
    for name, other in layouts(x).items():
        before = other.copy()
        np.testing.assert_array_equal(model(other), expected, err_msg=name)
        _, grads = model.value_and_grad(other, case.y, loss=case.loss(), input_grad=True)
        for key, grad in grads.items():
            np.testing.assert_array_equal(grad, gradient[key], err_msg=f"{name} {key}")
        np.testing.assert_array_equal(other, before)


@pytest.mark.parametrize("case", registry.sample()[::20], ids=lambda case: case.name)
def test_samples_are_independent_of_their_neighbours(case: registry.Case) -> None:
    """One sample alone, without a batch axis or anywhere in a batch, has the same output."""
    model = case.model()
    rng = np.random.default_rng(12)
    x = rng.standard_normal((19, *case.network.grid.shape)).astype(case.dtype)
    together = model(x)
    for sample in (0, 7, 18):
        alone = model(x[sample])
        assert alone.shape == case.network.grid.shape
        assert relative_error(alone, case.wide(together[sample])) <= case.tolerance
    assert relative_error(model(x[::-1]), case.wide(together[::-1])) <= case.tolerance


def test_out_is_filled_and_returned() -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((9,))), depth=3, seed=1)
    x = np.linspace(-1, 1, 18).reshape(2, 9)
    out = np.full_like(x, np.nan)
    assert model(x, out=out) is out
    np.testing.assert_array_equal(out, model(x))
    states_ = np.empty((2, 4, 9))
    assert model.trajectory(x, out=states_) is states_
    np.testing.assert_array_equal(states_, model.trajectory(x))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("case", registry.sample()[::20], ids=lambda case: case.name)
def test_out_may_be_the_input(case: registry.Case, threads: int) -> None:
    model = case.model()
    x = np.random.default_rng(12).standard_normal((19, *case.network.grid.shape))
    x = x.astype(case.dtype)
    expected = model(x)
    assert model(x, threads=threads, out=x) is x
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("make", ["tiles", "dense", "lift", "readout", "lift and readout"])
def test_out_may_be_the_input_of_other_sweeps(make: str, threads: int) -> None:
    grid = rx.Grid((20_000,) if make == "tiles" else (300,))
    model = rx.Relaxation(
        rx.Dense(grid) if make == "dense" else rx.ADR(grid),
        depth=2,
        lift=rx.Lift(300) if "lift" in make else None,
        readout=rx.Readout(300) if "readout" in make else None,
        seed=1,
    )
    x = np.random.default_rng(1).standard_normal((40, *model.input_shape))
    expected = model(x)
    model(x, threads=threads, out=x)
    np.testing.assert_array_equal(x, expected)


def test_masked_rows_and_columns_of_a_dense_matrix_are_not_read() -> None:
    mask = np.array([True, False, True, True, False])
    matrix = np.random.default_rng(2).standard_normal((5, 5))
    results = []
    for filler in (0.0, np.nan):
        filled = np.where(mask[:, None] & mask[None, :], matrix, filler)
        model = rx.Relaxation(rx.Dense(rx.Grid((5,), mask=mask)), depth=3).with_params(
            {"W": filled}
        )
        results.append((model(np.ones((2, 5))), model.vjp(np.ones((2, 5)), np.ones((2, 5)))))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    for name in ("W", "x"):
        np.testing.assert_array_equal(results[0][1][name], results[1][1][name])
    assert np.all(results[1][1]["W"][1] == 0)
    assert np.all(results[1][1]["W"][:, 4] == 0)


def test_rows_of_the_moment_operator_have_its_moments() -> None:
    for order in range(1, 9):
        operator = rx.Moments(rx.Grid((19,)), order=order, space="local")
        moments = np.random.default_rng(order).standard_normal((order + 1, 19))
        matrix = operator.to_dense({"moments": moments})
        distance = np.arange(19) - 9.0
        for k in range(order + 1):
            scale = np.sum(np.abs(distance**k * matrix[9]))
            assert abs(np.sum(distance**k * matrix[9]) - moments[k, 9]) <= 1e-13 * scale
        if order % 2:
            top = np.sum(distance ** (order + 1) * matrix[9])
            assert abs(top) <= 1e-13 * np.sum(np.abs(distance ** (order + 1) * matrix[9]))


sides = st.one_of(
    st.just(("periodic", "periodic")),
    st.tuples(
        *2 * [st.one_of(*map(st.just, reference_grid.ONE_SIDED), st.floats(-2, 2, width=32))]
    ),
)


@st.composite
def grids(draw: Any, operator: Operator, ndim: int) -> reference_grid.Grid:
    largest = {1: 40, 2: 8, 3: 5}[ndim]
    shape = tuple(draw(st.integers(operator.fewest_cells, largest)) for _ in range(ndim))
    n_cells = int(np.prod(shape))
    of_mask = draw(st.sampled_from(registry.axes_of(operator, ndim)["mask"]))
    mask = None
    if of_mask != "none":
        cells = draw(st.lists(st.booleans(), min_size=n_cells, max_size=n_cells))
        cells[draw(st.integers(0, n_cells - 1))] = True
        mask = np.array(cells).reshape(shape)
    mask_boundary = draw(st.floats(-2, 2, width=32)) if of_mask == "dirichlet" else "neumann"
    restricted = operator.axes(ndim).get("sides")
    boundary = draw(st.sampled_from(restricted) if restricted else st.tuples(*ndim * [sides]))
    return reference_grid.Grid(shape, boundary, (0.5,) * ndim, mask, mask_boundary)


@st.composite
def networks(draw: Any) -> tuple[reference.Network, str, int]:
    variants = draw(st.sampled_from([entry.variants for entry in ENTRIES.values()]))
    operator = draw(st.sampled_from(list(variants.values())))
    ndim = draw(st.sampled_from(operator.dimensions))
    axes = registry.axes_of(operator, ndim)
    network = reference.Network(
        draw(grids(operator, ndim)),
        operator,
        depth=draw(st.integers(1, 4)),
        activation=draw(st.sampled_from(["identity", "tanh", "silu", "hard_tanh"])),
        omega=np.asarray(0.5),
        time=draw(st.sampled_from(axes["time"])),
        beta=draw(st.sampled_from([0.0, 0.1])),
    )
    return network, draw(st.sampled_from(axes["space"])), draw(st.integers(0, 2**31))


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(networks(), st.integers(1, 20))
def test_random_grids_agree_with_the_reference(
    drawn: tuple[reference.Network, str, int], n_samples: int
) -> None:
    network, space, seed = drawn
    rng = np.random.default_rng(seed)
    shape = (n_samples, *network.grid.shape)
    x, y = 0.5 * rng.standard_normal(shape), rng.standard_normal(shape)
    x[:, ~network.grid.exists] = np.nan
    y[:, ~network.grid.exists] = np.nan
    params = registry.draw_params(rng, network, space, "homogeneous")
    case = registry.Case("random", network, params, x, y, space=space, bias="homogeneous")
    value, grads = case.model().value_and_grad(x, y, input_grad=True)
    expected, expected_grads = case.reference_value_and_grad()
    assert abs(value - expected) <= 1e-11 * expected
    floor = 1e-12 * max(float(np.abs(grad).max()) for grad in expected_grads.values())
    for name, grad in expected_grads.items():
        # a single existing cell can make a whole gradient cancel: rounding is then all there is
        assert np.abs(grads[name] - grad).max() <= 1e-11 * np.abs(grad).max() + floor, name
