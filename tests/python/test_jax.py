"""The function for JAX: its gradients are ours, under jit and vmap as well."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import relaxon as rx

jax = pytest.importorskip("jax")
from relaxon.jax import relaxation  # noqa: E402

ENDS = {"lift": rx.Lift(3), "readout": rx.Readout(2, "tanh")}


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def model(dtype: str = "float64", **options: Any) -> rx.Relaxation:
    operator = rx.ADR(rx.Grid((4, 6), boundary=("neumann", "periodic")), space="local")
    return rx.Relaxation(operator, depth=3, bias="local", dtype=dtype, seed=4, **options)


def sample(shape: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def assert_same(got: Any, expected: Any) -> None:
    assert set(got) == set(expected)
    assert all(np.array_equal(got[name], expected[name]) for name in expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lead", [(), (5,)])
@pytest.mark.parametrize("is_jitted", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"trainable_omega": True}, ENDS, {"drive": True, "normalization": "hard"}],
    ids=["", "omega", "end", "drive"],
)
def test_output_and_gradients_are_ours(
    options: dict[str, Any], is_jitted: bool, lead: tuple[int, ...], dtype: str
) -> None:
    ours = model(dtype, **options)
    f = jax.jit(relaxation(ours)) if is_jitted else relaxation(ours)
    x = sample((*lead, *ours.input_shape), dtype)
    y_bar = sample((*lead, *ours.output_shape), dtype, seed=1)
    y, pull_back = jax.vjp(f, dict(ours.params), x)
    bars, x_bar = pull_back(jax.numpy.asarray(y_bar))
    assert y.dtype == dtype
    assert np.array_equal(y, ours(x))
    assert_same({**bars, "x": x_bar}, ours.vjp(x, y_bar))


def test_training_loop_goes_down_on_our_gradients() -> None:
    ours = model()
    f = relaxation(ours)
    x, y = sample((8, 4, 6)), sample((8, 4, 6), seed=1)

    def distance(params: Any) -> Any:
        return jax.numpy.sum((f(params, x) - y) ** 2) / 8

    step = jax.jit(jax.value_and_grad(distance))
    params: Any = dict(ours.params)
    losses = []
    for _ in range(10):
        value, grads = step(params)
        now = ours.with_params({name: np.asarray(array) for name, array in params.items()})
        own_value, own_grads = now.value_and_grad(x, y)
        assert float(value) == pytest.approx(own_value, rel=1e-13)
        for name, grad in grads.items():
            np.testing.assert_allclose(grad, own_grads[name], rtol=1e-11, atol=1e-13)
        params = {name: array - 1e-2 * grads[name] for name, array in params.items()}
        losses.append(float(value))
    assert np.all(np.diff(losses) < 0)


def test_vmap_over_inputs_parameters_and_both() -> None:
    ours = model(trainable_omega=True)
    f = relaxation(ours)
    params = dict(ours.params)
    other = ours.with_params({name: 0.5 * array for name, array in params.items()})
    stacked = {name: np.stack([params[name], other.params[name]]) for name in params}
    x = sample((2, 4, 6))
    y_bar = jax.numpy.asarray(sample((2, 4, 6), seed=1))
    np.testing.assert_allclose(jax.vmap(f, (None, 0))(params, x), ours(x), rtol=1e-13)
    cube = sample((3, 2, 4, 6))
    nested = jax.vmap(jax.vmap(f, (None, 0)), (None, 0))(params, cube)
    np.testing.assert_allclose(nested[2], ours(cube[2]), rtol=1e-13)

    def pull_back(params: Any, x: Any, y_bar: Any) -> Any:
        return jax.vjp(f, params, x)[1](y_bar)

    for axes in ((0, None), (None, 0), (0, 0)):
        p = stacked if axes[0] == 0 else params
        got = jax.jit(jax.vmap(f, axes))(p, x[0] if axes[1] is None else x)
        back = jax.vmap(pull_back, (*axes, 0))(p, x[0] if axes[1] is None else x, y_bar)
        for i in range(2):
            here = other if axes[0] == 0 and i else ours
            x_here = x[0] if axes[1] is None else x[i]
            np.testing.assert_allclose(got[i], here(x_here), rtol=1e-13)
            expected = here.vjp(x_here, np.asarray(y_bar[i]))
            assert_same(
                {**{name: bar[i] for name, bar in back[0].items()}, "x": back[1][i]}, expected
            )


def test_not_a_number_flows_through() -> None:
    ours = model()
    x = sample((2, 4, 6))
    x[0, 0, 0] = np.nan
    y = np.asarray(relaxation(ours)(dict(ours.params), x))
    assert np.isnan(y[0]).any()
    assert not np.isnan(y[1]).any()


def test_refusals() -> None:
    ours = model()
    f, params, x = relaxation(ours), dict(ours.params), sample((2, 4, 6))
    with pytest.raises(TypeError, match=r"argument 'x'.*float32"):
        f(params, x.astype("float32"))
    with pytest.raises(ValueError, match="argument 'params': expected exactly the names"):
        f({}, x)
    with pytest.raises(ValueError, match="argument 'U'"):
        f({**params, "U": params["D"][0]}, x)
    with pytest.raises(ValueError, match="are the axes swapped"):
        f(params, x.transpose(0, 2, 1))
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        jax.grad(lambda x: jax.grad(lambda x: f(params, x).sum())(x).sum())(x)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(f, (params, x), (params, x))
    jax.config.update("jax_enable_x64", False)
    with pytest.raises(TypeError, match="jax_enable_x64"):
        f(params, x)


ONE_PROCESSOR = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, relaxon as rx
from relaxon.jax import relaxation
model = rx.Relaxation(rx.ADR(rx.Grid((256, 256)), space="local"), depth=2, dtype="float32")
f, x = relaxation(model), jax.numpy.ones((4, 256, 256), "float32")
step = jax.jit(jax.grad(lambda p, x: (f(p, 1.5 * x) ** 2).mean() + f(p, x).mean()))
for _ in range(3):
    jax.block_until_ready(step(dict(model.params), x))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_large_operands_on_one_processor_do_not_hang() -> None:
    subprocess.run([sys.executable, "-c", ONE_PROCESSOR], check=True, timeout=300)
