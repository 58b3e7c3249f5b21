"""Cases that walk every operator, boundary, mask and option through the same laws.

A :class:`Case` builds one network twice: as a relaxon model through the public interface, and as
the arguments of the reference. The registry is the whole product of the axes below, addressed by
index and never stored; :func:`sample` draws from it by seed until new pairs of values are rare.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import reference
import reference_activations
import reference_grid
from operators import ENTRIES, OPERATORS
from reference_operator import Operator

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One network with its data; arrays are of the case's precision."""

    name: str
    network: reference.Network
    params: Mapping[str, Array] = field(repr=False)
    x: Array = field(repr=False)
    y: Array = field(repr=False)
    space: str = "homogeneous"
    bias: str | None = None
    weights: Array | None = field(default=None, repr=False)
    at: tuple[int, ...] | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.x.dtype

    @property
    def tolerance(self) -> float:
        """Of max|a - b| / max|b|, for relaxon against the reference."""
        return 1e-11 if self.dtype == np.float64 else 1e-4

    def wide(self, value: Array) -> Array:
        """The same numbers in float64, in which the reference is always evaluated."""
        return value.astype(np.float64)

    @property
    def wide_params(self) -> dict[str, Array]:
        return {name: self.wide(value) for name, value in self.params.items()}

    def astype(self, dtype: str) -> Case:
        def cast(value: Array) -> Array:
            return value.astype(dtype)

        network = replace(self.network, omega=self.wide(np.asarray(cast(self.network.omega))))
        return replace(
            self,
            network=network,
            params={name: cast(value) for name, value in self.params.items()},
            x=cast(self.x),
            y=cast(self.y),
            weights=None if self.weights is None else cast(self.weights),
        )

    # -- relaxon ------------------------------------------------------------------------------

    def grid(self) -> Any:
        import relaxon as rx

        def condition(value: reference_grid.Condition) -> Any:
            return value if isinstance(value, str) else rx.Dirichlet(value)

        grid = self.network.grid
        return rx.Grid(
            grid.shape,
            spacing=grid.spacing,
            boundary=tuple((condition(low), condition(high)) for low, high in grid.boundary),
            mask=grid.mask,
            mask_boundary=condition(grid.mask_boundary),
        )

    def operator(self) -> Any:
        return self.network.operator.build(self.grid(), self.space, self.network.time)

    def model(self) -> Any:
        import relaxon as rx

        network = self.network
        name = network.rate_name
        is_trained = name in self.params
        rate = self.params[name] if is_trained else network.omega.astype(self.dtype)
        rates: dict[str, Any] = {name: rate}
        model = rx.Relaxation(
            self.operator(),
            depth=network.depth,
            activation=network.activation,
            bias=self.bias,
            beta=network.beta,
            theta=network.theta,
            drive=network.drive,
            normalization=network.normalization,
            trainable_omega=is_trained,
            dt=1.0 if network.dt is None else network.dt,
            dtype=self.dtype,
            **rates,
        )
        return model.with_params(dict(self.params))

    def loss(self) -> Any:
        import relaxon as rx

        return rx.SquaredDistance(weights=self.weights, at=self.at)

    # -- reference ----------------------------------------------------------------------------

    def reference_trajectory(self) -> Array:
        return reference.trajectory(self.network, self.wide_params, self.wide(self.x))

    def reference_value_and_grad(self) -> tuple[float, dict[str, Array]]:
        weights = None if self.weights is None else self.wide(self.weights)
        return reference.value_and_grad(
            self.network, self.wide_params, self.wide(self.x), self.wide(self.y), weights, self.at
        )

    def reference_vjp(self, y_bar: Array) -> dict[str, Array]:
        return reference.vjp(
            self.network,
            self.wide_params,
            self.wide(self.x),
            {self.network.depth: self.wide(y_bar)},
        )

    def reference_jvp(self, dots: Mapping[str, Array]) -> Array:
        wide_dots = {name: self.wide(value) for name, value in dots.items()}
        return reference.jvp(self.network, self.wide_params, self.wide(self.x), wide_dots)

    def direction(self, seed: int, with_x: bool = True) -> dict[str, Array]:
        """Random direction in the space of parameters and, as "x", of inputs."""
        rng = np.random.default_rng(seed)
        values = {**self.params, "x": self.x} if with_x else dict(self.params)
        return {
            name: rng.standard_normal(value.shape).astype(self.dtype)
            for name, value in values.items()
        }


# -- the product --------------------------------------------------------------------------------

SIDES: tuple[tuple[reference_grid.Condition, reference_grid.Condition], ...] = (
    ("periodic", "periodic"),
    ("neumann", "neumann"),
    (0.7, 0.7),
    ("neumann", -0.4),
    (0.3, "neumann"),
    (-0.2, 0.5),
    # every further condition beside itself, a value and another side
    *(
        pair
        for name in reference_grid.ONE_SIDED[1:]
        for pair in ((name, name), (name, 0.4), ("neumann", name))
    ),
)
SHAPES = {1: (11,), 2: (5, 6), 3: (4, 3, 5)}
AXES: dict[str, tuple[Any, ...]] = {
    "mask": ("none", "neumann", "dirichlet"),
    "space": ("homogeneous", "local"),
    "time": ("constant", "layered"),
    "omega": ("scalar", "layer", "cell", "trained-scalar", "trained-layer", "trained-cell"),
    "dtype": ("float64", "float32"),
    "bias": (None, "homogeneous", "local"),
    "activation": tuple(reference_activations.ACTIVATIONS),
    "beta": (0.0, 0.15),
    "loss": ("plain", "cell-weights", "sample-weights", "at"),
}
FLOOR = 30_000_000  # combinations that the product must never fall below
SAMPLE_FLOOR = 400  # combinations that every run must test


def axes_of(operator: Operator, ndim: int) -> dict[str, tuple[Any, ...]]:
    return {"sides": tuple(product(SIDES, repeat=ndim)), **AXES, **operator.axes(ndim)}


@cache
def families() -> list[tuple[str, int, dict[str, tuple[Any, ...]]]]:
    """(operator, ndim, axes) of each rectangular part of the product."""
    return [
        (name, ndim, axes_of(operator, ndim))
        for name, operator in OPERATORS.items()
        for ndim in operator.dimensions
    ]


def n_combinations() -> int:
    return sum(math.prod(map(len, axes.values())) for _, _, axes in families())


def choices(index: int) -> dict[str, Any]:
    """The values on every axis of combination ``index``."""
    for operator, ndim, axes in families():
        size = math.prod(map(len, axes.values()))
        if index < size:
            chosen: dict[str, Any] = {"operator": operator, "ndim": ndim}
            for name, values in axes.items():
                index, position = divmod(index, len(values))
                chosen[name] = values[position]
            return chosen
        index -= size
    raise IndexError(index)


def combination(index: int) -> Case:
    """Case number ``index`` of the product, its numbers drawn from that index."""
    chosen = choices(index)
    rng = np.random.default_rng(index)
    shape = SHAPES[chosen["ndim"]]
    depth = int(rng.integers(2, 5))
    n_samples = int(rng.choice([1, 3, 9]))

    mask = None
    if chosen["mask"] != "none":
        mask = rng.random(shape) > 0.25
        mask.flat[0] = False  # a corner, so that arms over sides meet the mask too
        mask.flat[-1] = True
    grid = reference_grid.Grid(
        shape,
        chosen["sides"],
        tuple(rng.uniform(0.3, 0.9, len(shape))),
        mask,
        -0.6 if chosen["mask"] == "dirichlet" else "neumann",
    )
    form = chosen["omega"].removeprefix("trained-")
    omega = rng.uniform(0.2, 0.8, {"scalar": (), "layer": (depth,), "cell": shape}[form])
    network = reference.Network(
        grid,
        OPERATORS[chosen["operator"]],
        depth=depth,
        activation=chosen["activation"],
        omega=np.asarray(omega),
        time=chosen["time"],
        beta=chosen["beta"],
    )
    params = draw_params(rng, network, chosen["space"], chosen["bias"])
    if chosen["omega"].startswith("trained"):
        params["omega"] = network.omega
    x = 0.7 * rng.standard_normal((n_samples, *shape))
    at = None
    lead: tuple[int, ...] = (n_samples,)
    if chosen["loss"] == "at":
        at = tuple(int(layer) for layer in rng.permutation(depth + 1)[:2])
        lead = (n_samples, len(at))
    y = 0.7 * rng.standard_normal((*lead, *shape))
    weights = None
    if chosen["loss"].endswith("weights"):
        weights = rng.uniform(0, 2, shape if chosen["loss"] == "cell-weights" else y.shape)
        weights[rng.random(weights.shape) < 0.2] = 0
        y[np.broadcast_to(weights == 0, y.shape)] = np.nan
    # what is never read may hold anything
    x[:, ~grid.exists] = np.nan
    y[..., ~grid.exists] = np.nan
    case = Case(
        name=f"{index}-{chosen['operator']}-{chosen['ndim']}d",
        network=network,
        params=params,
        x=x,
        y=y,
        space=chosen["space"],
        bias=chosen["bias"],
        weights=weights,
        at=at,
    )
    return case.astype(chosen["dtype"])


def parameter_shapes(
    network: reference.Network, space: str, bias: str | None
) -> dict[str, tuple[int, ...]]:
    shape = network.grid.shape
    lead = (network.depth,) if network.is_layered else ()
    own = network.operator.shapes(network.grid, shape if space == "local" else ())
    shapes = {name: (*lead, *own_shape) for name, own_shape in own.items()}
    if bias is not None:
        shapes["bias"] = (*lead, *(shape if bias == "local" else ()))
    return shapes


def draw_params(
    rng: np.random.Generator, network: reference.Network, space: str, bias: str | None
) -> dict[str, Array]:
    """Random parameters; those of the operator are drawn first."""
    shapes = parameter_shapes(network, space, bias)
    bias_shape = shapes.pop("bias", None)
    params = {name: network.operator.draw(rng, name, shape) for name, shape in shapes.items()}
    if bias_shape is not None:
        params["bias"] = np.asarray(0.2 * rng.standard_normal(bias_shape))
    return params


def pairs(chosen: Mapping[str, Any]) -> set[tuple[Any, ...]]:
    """Pairs of values on two axes that a combination meets.

    A side pairs by itself, and with its place in the grid. Variants of an operator that differ in a
    number count as one here.
    """
    values = {name: str(value) for name, value in chosen.items() if name != "sides"}
    values["operator"] = values["operator"].rstrip("-0123456789")
    found: set[tuple[Any, ...]] = {
        (a, values[a], b, values[b]) for a in values for b in values if a < b
    }
    for axis, side in enumerate(chosen["sides"]):
        found |= {("side", str(side), a, values[a]) for a in values}
        found.add(("side", str(side), "place", axis, chosen["ndim"]))
    return found


@cache
def sample(seed: int = 0, fewest: int = 16, patience: int = 40) -> tuple[Case, ...]:
    """Seeded combinations of every family until new pairs have become rare.

    Of each family the first ``fewest`` draws are kept, then those that meet a pair not met before,
    until ``patience`` draws in a row have met none.
    """
    rng = np.random.default_rng(seed)
    met: set[tuple[Any, ...]] = set()
    kept: dict[int, None] = {}  # a set that keeps its order
    start = 0
    for _, _, axes in families():
        size = math.prod(map(len, axes.values()))
        idle = 0
        n_drawn = 0
        while idle < patience:
            index = start + int(rng.integers(size))
            new = pairs(choices(index)) - met
            idle = 0 if new else idle + 1
            if new or n_drawn < fewest:
                kept[index] = None
                met |= new
            n_drawn += 1
        start += size
    return tuple(combination(index) for index in kept)


# -- the conformance cases ------------------------------------------------------------------------

CONFORMANCE = Path(__file__).parent / "conformance"


@cache
def conformance(name: str = "cases") -> tuple[tuple[Case, float, Mapping[str, Array]], ...]:
    """(case, loss, arrays) of the recorded cases: arrays are ``output`` and gradients by name."""
    entries = json.loads((CONFORMANCE / f"{name}.json").read_text())
    with np.load(CONFORMANCE / f"{name}.npz") as archive:
        arrays = dict(archive)
    kept = (entry for entry in entries if is_built(entry))
    return tuple(conformance_case(entry, arrays) for entry in kept)


def recorded(kind: str) -> list[tuple[Mapping[str, Any], Mapping[str, Array]]]:
    """Entries of one kind among the cases of the dynamics, and their arrays by name."""
    entries = json.loads((CONFORMANCE / "dynamics.json").read_text())
    with np.load(CONFORMANCE / "dynamics.npz") as archive:
        arrays = dict(archive)
    return [
        (entry, {k.split("/", 1)[1]: v for k, v in arrays.items() if k.split("/")[0] == name})
        for entry in entries
        if entry["kind"] == kind
        for name in (entry["name"],)
    ]


def is_built(entry: Mapping[str, Any]) -> bool:
    """Whether a recorded case is of layers that are there."""
    return bool(entry.get("kind", "layers") == "layers")


def conformance_case(
    entry: Mapping[str, Any], arrays: Mapping[str, Array]
) -> tuple[Case, float, Mapping[str, Array]]:
    own = {
        name.removeprefix(entry["name"] + "/"): value
        for name, value in arrays.items()
        if name.startswith(entry["name"] + "/")
    }
    sides: Sequence[Any] = entry["boundary"]
    grid = reference_grid.Grid(
        tuple(entry["shape"]),
        tuple((side[0], side[1]) if isinstance(side, list) else (side, side) for side in sides),
        (float(entry["spacing"]),) * len(entry["shape"]),
        own.get("mask"),
        "neumann" if entry["mask_boundary"] is None else entry["mask_boundary"],
    )
    kind: Any = ENTRIES[entry["operator"]].kind
    network = reference.Network(
        grid,
        operator=kind(**{setting.name: entry[setting.name] for setting in fields(kind)}),
        depth=entry["depth"],
        activation=entry["activation"],
        omega=np.asarray(entry["omega"]),
        time=entry["time"],
        beta=entry["beta"],
        theta=entry.get("theta", 0.0),
        drive=entry.get("drive", False),
        normalization=entry.get("normalization"),
        dt=entry["dt"] if "gamma" in entry["parameters"] else None,
    )
    case = Case(
        name=entry["name"],
        network=network,
        params={name: own[f"param.{name}"] for name in entry["parameters"]},
        x=own["x"],
        y=own["y"],
        space=entry["space"],
        bias=entry["bias"],
        weights=own.get("weights"),
        at=None if entry["at"] is None else tuple(entry["at"]),
    )
    expected = {name: own[f"grad.{name}"] for name in entry["parameters"]}
    return case, entry["loss"], {**expected, "x": own["x_bar"], "output": own["output"]}
