"""The search for attractors beside JAX: its Newton, with a tridiagonal solve, and its Anderson.

    taskset -c 0 python -m bench.peers.attractors --rounds 6

z* = tanh(W z* - b + x) on lines of 1000 cells with Dirichlet values, coefficients of each cell
(R = -0.1), from z = 0 to a residual of 1e-10, in float64, on the one core that the process is
bound to. JAX: jit; Newton's method for 1000 samples at once with `lax.linalg.tridiagonal_solve`,
steps halved until the residual falls, until the last sample is there; Anderson's mixing of the last
five (Walker, Ni 2011) with the regularised normal equations that deep equilibrium models use, for
200 samples. Ours: the output of a model, no matter which samples are beside a sample. The results
of both sides are compared before they are timed; they take turns and count wall time.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import relaxon as rx
from bench.measure import Array, describe_machine, interleave

N_CELLS = 1000
TOLERANCE = 1e-10
REACTION = -0.1
HISTORY = 5
RIDGE = 1e-12


def make_model(diffusion: float) -> rx.Relaxation:
    """ADR with coefficients of each cell; omega as explicit layers allow it."""
    grid = rx.Grid((N_CELLS,), boundary=rx.Dirichlet(0.0))
    op = rx.ADR(grid, space="local")
    omega = min(0.5, 0.4 / diffusion)
    model = rx.Relaxation(op, "attractor", omega=omega, drive=True, attractor={"tol": TOLERANCE})
    return model.with_params(
        {"R": np.full(N_CELLS, REACTION), "D": np.full((1, N_CELLS), diffusion)}
    )


def diagonals(model: rx.Relaxation) -> tuple[Any, Any, Any]:
    """W below, on and above its diagonal."""
    matrix = np.asarray(model.operator.to_dense(model.params))
    below = np.concatenate([[0.0], np.diagonal(matrix, -1)])
    above = np.concatenate([np.diagonal(matrix, 1), [0.0]])
    return jnp.asarray(below), jnp.asarray(np.diagonal(matrix)), jnp.asarray(above)


def apply(matrix: tuple[Any, Any, Any], z: Any) -> Any:
    """W z."""
    below, centre, above = matrix
    edge = jnp.zeros_like(z[..., :1])
    left = jnp.concatenate([edge, z[..., :-1]], -1)
    right = jnp.concatenate([z[..., 1:], edge], -1)
    return below * left + centre * z + above * right


@partial(jax.jit, static_argnums=2)
def newton(matrix: tuple[Any, Any, Any], x: Any, tolerance: float) -> Any:
    """All samples until the last one is there."""

    def residual(z: Any) -> tuple[Any, Any]:
        f = jnp.tanh(apply(matrix, z) + x)
        return z - f, f

    def size(value: Any) -> Any:
        return jnp.max(jnp.abs(value), -1, keepdims=True)

    def goes_on(state: tuple[Any, Any, Any]) -> Any:
        return jnp.max(jnp.abs(state[1])) > tolerance

    def step(state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        z, value, f = state
        slope = 1 - f * f
        below, centre, above = (-slope * diagonal for diagonal in matrix)
        solved = lax.linalg.tridiagonal_solve(below, 1 + centre, above, value[..., None])[..., 0]
        before = size(value)

        def is_long(trial: tuple[Any, ...]) -> Any:
            return jnp.any(size(trial[2]) > jnp.maximum(before, tolerance))

        def halve(trial: tuple[Any, ...]) -> tuple[Any, ...]:
            t = jnp.where(size(trial[2]) > before, trial[0] / 2, trial[0])
            moved = z - t * solved
            return (t, moved, *residual(moved))

        whole = z - solved
        first = (jnp.ones_like(before), whole, *residual(whole))
        _, z, value, f = lax.while_loop(is_long, halve, first)
        return z, value, f

    start = jnp.zeros_like(x)
    return lax.while_loop(goes_on, step, (start, *residual(start)))[0]


@partial(jax.jit, static_argnums=(2, 3))
def anderson(matrix: tuple[Any, Any, Any], x: Any, tolerance: float, omega: float) -> Any:
    """All samples until the last one is there."""

    def relax(z: Any) -> Any:
        return (1 - omega) * z + omega * jnp.tanh(apply(matrix, z) + x)

    def goes_on(state: tuple[Any, ...]) -> Any:
        return state[-1] > tolerance * omega

    def step(state: tuple[Any, ...]) -> tuple[Any, ...]:
        k, inputs, outputs, _ = state
        changes = outputs - inputs
        gram = jnp.einsum("bin,bjn->bij", changes, changes)
        is_filled = jnp.arange(HISTORY) < k
        scale = jnp.trace(gram, axis1=1, axis2=2)[:, None, None] + 1e-300
        one = is_filled.astype(x.dtype)
        gram = jnp.where(is_filled[:, None] & is_filled, gram / scale, 0.0)
        gram = gram + RIDGE * jnp.eye(HISTORY) + jnp.diag(1 - one)
        weights = jnp.linalg.solve(gram, jnp.broadcast_to(one, gram.shape[:2])[..., None])[..., 0]
        weights = weights * one / jnp.sum(weights * one, 1, keepdims=True)
        z = jnp.einsum("bi,bin->bn", weights, outputs)
        later = relax(z)
        place = k % HISTORY
        inputs, outputs = inputs.at[:, place].set(z), outputs.at[:, place].set(later)
        return k + 1, inputs, outputs, jnp.max(jnp.abs(later - z))

    empty = jnp.zeros((x.shape[0], HISTORY, x.shape[1]), x.dtype)
    first = relax(jnp.zeros_like(x))
    start = (1, empty, empty.at[:, 0].set(first), jnp.asarray(jnp.inf))
    k, _, outputs, _ = lax.while_loop(goes_on, step, start)
    return outputs[:, (k - 1) % HISTORY]


def timed(call: Callable[[], object]) -> Callable[[], float]:
    """Seconds of a call."""

    def turn() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return turn


def compare(diffusion: float, batch: int, other: Callable[..., Any], rounds: int) -> list[str]:
    """A row of the table."""
    x: Array = np.random.default_rng(0).standard_normal((batch, N_CELLS))
    model = make_model(diffusion)
    matrix, on_device = diagonals(model), jnp.asarray(x)
    search = partial(model, x, threads=1)
    found, expected = search(), np.asarray(other(matrix, on_device))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)
    times = interleave(
        {
            "relaxon": timed(search),
            "JAX": timed(lambda: jax.block_until_ready(other(matrix, on_device))),
        },
        rounds,
    )
    ours, theirs = (1e9 * times[name].median / x.size for name in ("relaxon", "JAX"))
    return [f"{ours:.0f}", f"{theirs:.0f}", f"{theirs / ours:.1f}"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="attractors beside JAX")
    parser.add_argument("--rounds", type=int, default=6)
    rounds = parser.parse_args().rounds
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", True)
    if len(os.sched_getaffinity(0)) > 1:
        parser.error("bind the process to one core, for instance with 'taskset -c 0'")
    print("\n".join(f"* {line}" for line in describe_machine(1, ("numpy", "jax", "relaxon"))))
    print("\n| D | JAX's method | relaxon, ns per cell | JAX, ns per cell | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for diffusion in (1.0, 10.0):
        omega = min(0.5, 0.4 / diffusion)
        others: dict[str, tuple[int, Callable[..., Any]]] = {
            "Newton": (1000, partial(newton, tolerance=TOLERANCE)),
            "Anderson": (200, partial(anderson, tolerance=TOLERANCE, omega=omega)),
        }
        for name, (batch, other) in others.items():
            cells = [f"{diffusion:g}", name, *compare(diffusion, batch, other, rounds)]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
