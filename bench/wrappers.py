"""What the wrappers cost beyond what they wrap: `python -m bench.wrappers`, in microseconds.

Torch beside the core calls of forward and vjp, and beside an autograd function that returns arrays
made before (which torch itself takes); jax beside the same function with callbacks that do
nothing; the regressor beside its validation and the model's own call.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

from typing import Any

import jax
import numpy as np
import torch
from jax.experimental.buffer_callback import buffer_callback

import relaxon as rx
from bench.measure import interleave, seconds_per_call
from relaxon.jax import relaxation
from relaxon.sklearn import RelaxationRegressor
from relaxon.torch import RelaxationLayer

ROUNDS = 40
TURN = 0.005


class Empty(torch.autograd.Function):
    """Keeps its inputs and returns what lies ready."""

    @staticmethod
    def forward(ctx: Any, ready: Any, bars: Any, x: Any, *params: Any) -> Any:
        ctx.save_for_backward(x, *params)
        ctx.bars = bars
        return ready.detach()

    @staticmethod
    def backward(ctx: Any, y_bar: Any) -> Any:
        _, *_ = ctx.saved_tensors
        return None, None, *ctx.bars


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    x = np.random.default_rng(0).standard_normal((4, 16))
    model = rx.Relaxation(rx.ADR(rx.Grid((16,)), space="local"), depth=1)
    y_bar = np.ones_like(x)
    arrays, out = model._arrays(), np.empty_like(x)
    grads, slots, x_bar = model._gradient_arrays(x)

    def core() -> None:
        model._network.forward(arrays, x, out, False, 1)
        model._network.vjp(arrays, x, y_bar, slots, x_bar, -1, 1)

    layer = RelaxationLayer(model, threads=1)
    tensor, bar = torch.from_numpy(x).requires_grad_(), torch.from_numpy(y_bar)
    wanted = (tensor, *layer.parameters())

    ready, bars = torch.from_numpy(out), [torch.zeros_like(wished) for wished in wanted]

    def torch_empty() -> Any:
        return torch.autograd.grad(Empty.apply(ready, bars, *wanted), wanted, bar)

    def torch_forward() -> Any:
        with torch.no_grad():
            return layer(tensor)

    params = {name: jax.numpy.asarray(array) for name, array in model.params.items()}
    operand = jax.numpy.asarray(x)

    # By the same way back to Python as the wrapper's, with nothing done there.
    names = list(model.params)
    operand_shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    shapes = [jax.ShapeDtypeStruct(grads[name].shape, x.dtype) for name in ("x", *names)]

    def nothing(*_: Any) -> None:
        pass

    def call(shapes: Any, *operands: Any) -> Any:
        return buffer_callback(nothing, shapes, vmap_method="expand_dims")(*operands)

    @jax.custom_vjp
    def empty(params: Any, x: Any) -> Any:
        return call(operand_shape, x, *(params[name] for name in names))

    def empty_backward(kept: Any, y_bar: Any) -> Any:
        params, x = kept
        operands = (params[name] for name in names)
        x_bar, *bars = call(shapes, x, y_bar, *operands)
        return dict(zip(names, bars, strict=True)), x_bar

    empty.defvjp(lambda params, x: (empty(params, x), (params, x)), empty_backward)

    def step(f: Any) -> Any:
        compiled = jax.jit(jax.value_and_grad(lambda p, x: f(p, x).sum(), (0, 1)))
        return lambda: jax.block_until_ready(compiled(params, operand))

    regressor = RelaxationRegressor(depth=1, steps=1, threads=1, tolerance=0.9)
    regressor.fit(x, x[:, 0])
    from sklearn.utils.validation import check_is_fitted, validate_data

    def validate() -> Any:
        check_is_fitted(regressor, "model_")
        valid = validate_data(regressor, x, reset=False, dtype=np.float64, order="C")
        return regressor.model_(valid, threads=1)

    turns = {
        "core forward": lambda: model._network.forward(arrays, x, out, False, 1),
        "torch forward": torch_forward,
        "core forward + vjp": core,
        "torch, empty function": torch_empty,
        "torch forward + backward": lambda: torch.autograd.grad(layer(tensor), wanted, bar),
        "jax, empty callbacks": step(empty),
        "jax": step(relaxation(model, threads=1)),
        "sklearn, empty": validate,
        "sklearn predict": lambda: regressor.predict(x),
    }
    timed = {name: (lambda call=call: seconds_per_call(call, TURN)) for name, call in turns.items()}
    for name, timing in interleave(timed, ROUNDS).items():
        print(f"{name:26} {timing}")


if __name__ == "__main__":
    main()
