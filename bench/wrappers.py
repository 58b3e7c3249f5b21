"""What the wrappers cost beyond what they wrap: `python -m bench.wrappers`, in microseconds.

Torch and jax beside the same machinery around the bare core calls on arrays made before, so that
the difference is what the wrapper adds; and beside the same machinery around nothing. The
regressor beside its validation and the model's own call.
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


def nothing() -> None:
    pass


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    x = np.random.default_rng(0).standard_normal((4, 16))
    model = rx.Relaxation(rx.ADR(rx.Grid((16,)), space="local"), depth=1)
    y_bar = np.ones_like(x)
    arrays, out = model._arrays(), np.empty_like(x)
    grads, x_bar = model._gradient_arrays(), np.empty_like(x)
    slots = model._gradient_slots(grads)

    def core_forward() -> None:
        model._network.forward(arrays, x, out, False, -1, 1)

    def core_vjp() -> None:
        model._network.vjp(arrays, x, y_bar, slots, x_bar, -1, -1, False, 1)

    def core() -> None:
        core_forward()
        core_vjp()

    layer = RelaxationLayer(model, threads=1)
    tensor, bar = torch.from_numpy(x).requires_grad_(), torch.from_numpy(y_bar)
    wanted = (tensor, *layer.parameters())
    ready = torch.from_numpy(out)
    bars = tuple(torch.from_numpy(array) for array in (x_bar, *grads))

    def torch_bare(forward: Any, vjp: Any) -> Any:
        class Bare(torch.autograd.Function):
            """Keeps its inputs, calls the core and returns what lies ready."""

            @staticmethod
            def forward(ctx: Any, *operands: Any) -> Any:
                ctx.save_for_backward(*operands)
                forward()
                return ready.detach()

            @staticmethod
            def backward(ctx: Any, _: Any) -> Any:
                _, *_ = ctx.saved_tensors
                vjp()
                return bars

        return lambda: Bare.apply(*wanted)

    def torch_step(forward: Any) -> Any:
        return lambda: torch.autograd.grad(forward(), wanted, bar)

    def torch_forward() -> Any:
        with torch.no_grad():
            return layer(tensor)

    params = {name: jax.numpy.asarray(array) for name, array in model.params.items()}
    operand = jax.numpy.asarray(x)
    operand_shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    shapes = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in (x, *grads)]

    def jax_bare(forward: Any, vjp: Any) -> Any:
        """By the same way back to Python as the wrapper's."""

        def call(function: Any, shapes: Any, *operands: Any) -> Any:
            callback = buffer_callback(lambda *_: function(), shapes, vmap_method="expand_dims")
            return callback(*operands)

        @jax.custom_vjp
        def bare(params: Any, x: Any) -> Any:
            return call(forward, operand_shape, x, *(params[name] for name in model.params))

        def backward(kept: Any, y_bar: Any) -> Any:
            params, x = kept
            operands = (params[name] for name in model.params)
            x_bar, *bars = call(vjp, shapes, x, y_bar, *operands)
            return dict(zip(model.params, bars, strict=True)), x_bar

        bare.defvjp(lambda params, x: (bare(params, x), (params, x)), backward)
        return bare

    def jax_forward(f: Any) -> Any:
        compiled = jax.jit(f)
        return lambda: jax.block_until_ready(compiled(params, operand))

    def jax_step(f: Any) -> Any:
        return jax_forward(jax.value_and_grad(lambda p, x: f(p, x).sum(), (0, 1)))

    regressor = RelaxationRegressor(depth=1, steps=1, threads=1, tolerance=0.9)
    regressor.fit(x, x[:, 0])
    from sklearn.utils.validation import check_is_fitted, validate_data

    def validate() -> Any:
        check_is_fitted(regressor, "model_")
        valid = validate_data(regressor, x, reset=False, dtype=np.float64, order="C")
        return regressor.model_(valid, threads=1)

    relax, bare = relaxation(model, threads=1), jax_bare(core_forward, core_vjp)
    torch_core = torch_bare(core_forward, core_vjp)
    turns = {
        "torch, no_grad": (core_forward, torch_forward),
        "torch, forward": (torch_core, lambda: layer(tensor)),
        "torch, forward and backward": (torch_step(torch_core), torch_step(lambda: layer(tensor))),
        "jax, forward": (jax_forward(bare), jax_forward(relax)),
        "jax, forward and backward": (jax_step(bare), jax_step(relax)),
        "sklearn, predict": (validate, lambda: regressor.predict(x)),
        "torch, around nothing": (torch_step(torch_bare(nothing, nothing)),),
        "jax, around nothing": (jax_step(jax_bare(nothing, nothing)),),
        "core, forward and backward": (core,),
    }
    timed = {
        f"{name} {i}": (lambda call=call: seconds_per_call(call, TURN))
        for name, calls in turns.items()
        for i, call in enumerate(calls)
    }
    timings = interleave(timed, ROUNDS)
    print(f"{'':28} {'bare':>30} {'wrapper':>30} {'more, us':>9}")
    for name, calls in turns.items():
        found = [timings[f"{name} {i}"] for i in range(len(calls))]
        more = f"{1e6 * (found[1].median - found[0].median):9.1f}" if len(found) == 2 else ""
        print(f"{name:28} " + " ".join(f"{timing!s:>30}" for timing in found), more)


if __name__ == "__main__":
    main()
