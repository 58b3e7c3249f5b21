"""Digests of what a build computes, to be compared with those of another build.

    python -m bench.bits --out NEW.json
    PYTHONPATH=OTHER python -m bench.bits --out OLD.json
    python -m bench.bits --compare OLD.json NEW.json

Every recorded case, every sample of the tests' registry in both precisions, and deep and large
networks: outputs, states, loss, gradients under two budgets and numbers of threads, transposed and
tangent products, initial values; and short fits of every optimizer. The comparison fails where one
digest differs. Bits belong to an ISA level: compare builds at the same (RELAXON_ISA).
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import registry
import relaxon as rx
from bench.measure import digest
from bench.memory.cases import CASES

Calls = Iterator[tuple[str, Callable[[], Any]]]


def digest_of(result: Any) -> str:
    """Of an array, of arrays by name, or of a value with such."""
    value, named = result if isinstance(result, tuple) else (0.0, result)
    named = dict(named) if isinstance(named, Mapping) else {"output": named}
    return digest({**named, "value": np.asarray(value)})


def calls_of(model: rx.Relaxation, x: Any, y: Any, loss: Any) -> Calls:
    """What is computed with one model."""
    rng = np.random.default_rng(0)
    y_bar = rng.standard_normal((len(x), *model.output_shape)).astype(model.dtype)
    dots = {n: rng.standard_normal(a.shape).astype(a.dtype) for n, a in model.params.items()}
    yield "forward", lambda: model(x, threads=1)
    yield "states", lambda: model.trajectory(x, threads=2)
    yield "loss", lambda: model.loss(x, y, loss, threads=2)
    least = rx.plan(model, len(x), threads=2, at=loss.at, input_grad=True).minimum_bytes
    for threads, memory in ((1, None), (2, None), (2, least)):
        gradient = functools.partial(model.value_and_grad, x, y, loss, input_grad=True)
        yield (
            f"gradient, {threads} threads, {'all' if memory is None else 'least'} memory",
            functools.partial(gradient, threads=threads, memory=memory),
        )
    yield "transposed", lambda: model.vjp(x, y_bar)
    yield "tangent", lambda: model.jvp(x, dots, y_bar if x.shape == y_bar.shape else None)


def fits() -> Calls:
    """Short fits of every optimizer."""
    grid = rx.Grid((24, 10), boundary=("periodic", "neumann"))
    x = np.random.default_rng(1).standard_normal((12, 24, 10))
    truth = rx.Relaxation(rx.ADR(grid), depth=4, activation="identity")
    y = truth.with_params({"U": np.array([0.2, -0.1])})(x)
    for operator in (rx.ADR(grid), rx.ADR(grid, space="local", time="layered"), rx.Dense(grid)):
        model = rx.Relaxation(operator, depth=4, activation="identity", bias="homogeneous")
        for optimizer in (
            rx.SteepestDescent(1e-4),
            rx.SteepestDescent(0.01, line_search="armijo"),
            rx.SteepestDescent(0.01, line_search="barzilai-borwein"),
            rx.Adam(1e-3),
            rx.LBFGS(),
        ):
            run = functools.partial(rx.fit, model, x, y, optimizer=optimizer, steps=8, seed=3)
            name = f"fit of {type(operator).__name__}, {operator.is_local}, {optimizer!r}"
            yield name, functools.partial(_parameters_of, run)


def _parameters_of(run: Callable[[], rx.Fit]) -> Any:
    return run().model.params


def find_digests() -> dict[str, str]:
    """Digests by name."""
    found = {}
    cases = [(case.name, case) for case, _, _ in registry.conformance()]
    cases += [
        (f"sample {i}, {dtype}", case.astype(dtype))
        for i, case in enumerate(registry.sample())
        for dtype in ("float64", "float32")
    ]
    for name, case in cases:
        model = case.model()
        fresh = rx.Relaxation(model.operator, model.depth, seed=7, dtype=model.dtype)
        found[f"{name}: start"] = digest_of(fresh.params)
        for what, call in calls_of(model, case.x, case.y, case.loss()):
            found[f"{name}: {what}"] = digest_of(call())
    for name, make in CASES.items():
        for dtype in ("float64", "float32"):
            large = make(dtype)
            value = large.model.value_and_grad(large.x, large.y, memory="512 MiB", input_grad=True)
            found[f"{name}, {dtype}"] = digest_of(value)
    for name, call in fits():
        found[name] = digest_of(call())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="write digests to this file")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("OLD", "NEW"))
    options = parser.parse_args()
    if options.out is not None:
        found = find_digests()
        options.out.write_text(json.dumps({"package": rx.__file__, "digests": found}, indent=1))
        print(f"{len(found)} digests of {rx.__file__}")
    if options.compare is None:
        return 0
    old, new = (json.loads(path.read_text())["digests"] for path in options.compare)
    differing = [name for name in old if old[name] != new.get(name)]
    for name in differing[:20]:
        print(f"differs: {name}")
    only = set(old) ^ set(new)
    print(
        f"{len(old) - len(differing)} of {len(old)} digests are equal, {len(only)} have no partner"
    )
    return 1 if differing or only else 0


if __name__ == "__main__":
    sys.exit(main())
