"""On-the-fly training in plain NumPy: one layer after the other, each with its state held.

Derivatives are those of the complex step, matrices are dense over all unknowns of a layer: nothing
is shared with the package but the formulas. Of implicit layers the equation is differentiated, and
its Jacobian solved with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import reference
from reference_activations import ACTIVATIONS

Array = NDArray[Any]
Params = dict[str, Array]

STEP = 1e-30


@dataclass(frozen=True)
class Training:
    """What is trained, how, and against what; see :func:`relaxon.fit_on_the_fly`."""

    network: reference.Network
    x: Array
    y: Array
    method: str = "newton"
    inner_steps: int = 1
    ridge: float = 1e-2
    rate: float = 1.0
    mass: float = 1.0
    friction: float = 0.3
    tau: float = 1.0
    target: str = "final"
    loss: str = "squared"
    scale: float = 1.0
    weights: Array | None = None
    l2: float = 0.0
    smoothness: float = 0.0


@dataclass
class Found:
    """What a pass gives: the parameters, and per layer numbers."""

    params: Params
    loss: list[float] = field(default_factory=list)
    loss_before: list[float] = field(default_factory=list)
    kinetic_energy: list[float] = field(default_factory=list)


def distance(loss: str, scale: float, r: Array) -> tuple[Array, Array, Array]:
    """d(r), d'(r) and d'(r) / r: the last is the curvature of the parabola that touches d at r."""
    if loss == "squared":
        return r**2, 2 * r, np.full(r.shape, 2.0)
    if loss == "absolute":
        root = np.sqrt(r**2 + scale**2)
        return root - scale, r / root, 1 / root
    size = np.abs(r)
    near = size <= scale
    ratio = np.where(near, 1.0, scale / np.where(near, 1.0, size))
    return np.where(near, r**2 / 2, scale * (size - scale / 2)), ratio * r, ratio


class LayerProblem:
    """V(p) of one layer from the state it is given."""

    def __init__(self, training: Training, layer: int, z: Array) -> None:
        network = training.network
        omega = network.omega_of({})
        rate = omega[layer] if omega.shape == (network.depth,) else omega
        # gamma has become omega here
        self.one = replace(network, depth=1, omega=np.asarray(rate), dt=None)
        self.training, self.z = training, z
        self.source = np.where(network.grid.exists, training.x, 0) if network.drive else 0
        part = (layer + 1) / network.depth if training.target == "path" else 1.0
        self.y = training.x + part * (training.y - training.x) if part < 1 else training.y
        exists = network.grid.exists
        weights = np.ones(1) if training.weights is None else training.weights
        self.w = np.broadcast_to(np.where(exists, weights, 0), z.shape).astype(float)

    def pull(self, params: Mapping[str, Array], z: Array) -> Array:
        """omega (f(W z - b) - z)."""
        network = self.one
        f = ACTIVATIONS[network.activation].f(self.pre(params, z))
        return np.where(network.grid.exists, network.rate(network.omega, 0) * (f - z), 0)

    def pre(self, params: Mapping[str, Array], z: Array) -> Array:
        return reference.pre_activation(self.one, params, z, 0) + self.source

    def right(self, params: Mapping[str, Array]) -> Array:
        """What of a layer's end is known before it."""
        network, z = self.one, self.z
        out = z + (1 - network.theta) * self.pull(params, z)
        if network.beta:
            out = out - network.beta * (reference.norm(network, z) - 1) * z
        return np.where(network.grid.exists, out, 0)

    def output(self, params: Mapping[str, Array]) -> Array:
        right = self.right(params)
        if not self.one.theta:
            return right
        return reference.solve_layer(self.one, params, self.z, right, 0, self.source)

    def terms(self, params: Params) -> tuple[Array, Array, Array]:
        r = np.where(self.w > 0, self.output(params) - self.y, 0)
        return distance(self.training.loss, self.training.scale, r)

    def value(self, params: Params) -> float:
        loss = np.sum(self.w * self.terms(params)[0]) / len(self.z)
        return float(loss + self.penalties(params)[0])

    def unknowns(self, params: Params) -> list[tuple[str, tuple[int, ...], bool]]:
        """Name, component and whether every cell has its own, in the order of the arrays."""
        ndim = len(self.one.grid.shape)
        found = []
        for name, value in params.items():
            is_local = self.one.is_field(name, value[0])
            lead = value.shape[: value.ndim - ndim] if is_local else value.shape
            found += [(name, index, is_local) for index in np.ndindex(*lead)]
        return found

    def features(self, params: Params, end: Array) -> Array:
        """Derivative of the output by every component, (n, batch, cells); of implicit layers that
        of the equation, whose end is held: what J^-1 makes of it is that of the output."""
        rows = []
        for name, index, _ in self.unknowns(params):
            moved = {key: value + 0j for key, value in params.items()}
            moved[name][index] += 1j * STEP
            value = self.right(moved) + self.one.theta * self.pull(moved, end)
            rows.append(value.imag / STEP)
        return np.stack(rows).reshape(len(rows), len(self.z), -1)

    def pull_back(self, params: Params, end: Array, values: Array, transposed: bool) -> Array:
        if not self.one.theta:
            return values
        pre = self.pre(params, end)
        return reference.solve_jacobian(self.one, params, pre, values, 0, transposed)

    def size(self, params: Params) -> int:
        return sum(self.z[0].size if is_local else 1 for *_, is_local in self.unknowns(params))

    def penalties(self, params: Params) -> tuple[float, Array, Array]:
        """Value, gradient and matrix of the penalties, over all unknowns."""
        n_cells, shape = self.z[0].size, self.one.grid.shape
        exists = self.one.grid.exists
        n = self.size(params)
        value, gradient, matrix = 0.0, np.zeros(n), np.zeros((n, n))
        start = 0
        for name, index, is_local in self.unknowns(params):
            own = slice(start, start + (n_cells if is_local else 1))
            p = np.asarray(params[name][index], float).reshape(-1)
            counts = exists.reshape(-1) if is_local else np.ones(1, bool)
            block = 2 * self.training.l2 * np.diag(counts.astype(float))
            if is_local and self.training.smoothness:
                block += 2 * self.training.smoothness / exists.sum() * laplacian(self.one.grid)
            p = np.where(counts, p, 0)
            value += p @ block @ p / 2
            gradient[own] = block @ p
            matrix[own, own] = block
            start += p.size
        assert shape == self.z.shape[1:]
        return value, gradient, matrix

    def gradient_and_matrix(self, params: Params) -> tuple[Array, Array]:
        """V' and its Gauss-Newton matrix over all unknowns of the layer, penalties included."""
        _, slope, ratio = self.terms(params)
        end = self.output(params)
        c = self.features(params, end)
        n_samples, n_cells = len(self.z), self.z[0].size
        slope = self.pull_back(params, end, self.w * slope / n_samples, True)
        q = self.w * ratio / n_samples
        answers = c
        if any(is_local for *_, is_local in self.unknowns(params)):
            moved = np.abs(self.pull_back(params, end, np.ones_like(end), False))
            q = np.abs(self.pull_back(params, end, q * moved, True))
        else:
            fields = c.reshape(len(c), *self.z.shape)
            answers = np.stack([self.pull_back(params, end, field, False) for field in fields])
            answers = answers.reshape(c.shape)
        slope, q = (values.reshape(n_samples, n_cells) for values in (slope, q))
        places = kinds(self, params)
        _, gradient, matrix = self.penalties(params)
        for k, (row, is_local, _) in enumerate(places):
            pull = (slope * c[k]).sum(axis=0)
            gradient[row] += pull if is_local else pull.sum()
            for m, (column, is_other_local, _) in enumerate(places):
                block = (q * answers[k] * answers[m]).sum(axis=0)
                if is_local and is_other_local:
                    matrix[row, column] += np.diag(block)
                elif is_local:
                    matrix[row, column] += block[:, None]
                elif is_other_local:
                    matrix[row, column] += block[None, :]
                else:
                    matrix[row, column] += block.sum()
        return gradient, matrix


def laplacian(grid: Any) -> Array:
    """Sum over existing neighbours of (p_i - p_j)^2 / 2 as a matrix."""
    n = int(np.prod(grid.shape))
    exists = grid.exists.reshape(-1)
    numbers = np.arange(n).reshape(grid.shape)
    matrix = np.zeros((n, n))
    for axis in range(grid.ndim):
        is_periodic = grid.boundary[axis] == ("periodic", "periodic")
        ahead = np.roll(numbers, -1, axis)
        pairs = np.stack([numbers, ahead], -1)
        if not is_periodic:
            pairs = np.delete(pairs, -1, axis)
        for i, j in pairs.reshape(-1, 2):
            if exists[i] and exists[j]:
                matrix[i, i] += 1
                matrix[j, j] += 1
                matrix[i, j] -= 1
                matrix[j, i] -= 1
    return matrix


def flat(params: Params) -> Array:
    return np.concatenate([value.reshape(-1) for value in params.values()])


def unflat(params: Params, point: Array) -> Params:
    found, start = {}, 0
    for name, value in params.items():
        found[name] = point[start : start + value.size].reshape(value.shape)
        start += value.size
    return found


def kinds(problem: LayerProblem, params: Params) -> list[tuple[slice, bool, str]]:
    """Where the components lie among all unknowns."""
    found, start = [], 0
    for name, _, is_local in problem.unknowns(params):
        length = problem.z[0].size if is_local else 1
        found.append((slice(start, start + length), is_local, name))
        start += length
    return found


def take_step(problem: LayerProblem, params: Params, step: Array) -> Params:
    """Against the step; in implicit layers by the first of its halves that lowers V enough."""
    if not problem.one.theta:
        return unflat(params, flat(params) - step)
    before = problem.value(params)
    slope = problem.gradient_and_matrix(params)[0] @ step
    for halvings in range(10):
        moved = unflat(params, flat(params) - step / 2**halvings)
        try:
            if problem.value(moved) <= before - slope / 4 / 2**halvings:
                return moved
        except (ArithmeticError, np.linalg.LinAlgError):
            continue
    return params


def value_or_none(problem: LayerProblem, params: Params) -> float:
    """V; infinite where the layer has no end."""
    try:
        return problem.value(params)
    except (ArithmeticError, np.linalg.LinAlgError):
        return np.inf


def newton_step(problem: LayerProblem, params: Params) -> Array:
    gradient, matrix = problem.gradient_and_matrix(params)
    diagonal = np.diag(matrix).copy()
    n_existing = int(problem.one.grid.exists.sum())
    places = kinds(problem, params)
    ridge = np.zeros(len(gradient))
    for wanted in (True, False):
        own = [place for place, is_local, _ in places if is_local is wanted]
        if own:
            trace = sum(diagonal[place].sum() for place in own) / (n_existing if wanted else 1)
            for place in own:
                ridge[place] = problem.training.ridge * trace / len(own)
    total = matrix + np.diag(ridge)
    idle = np.diag(total) == 0
    total[idle, idle] = 1
    step: Array = np.linalg.solve(total, gradient)
    return step


def scales(problem: LayerProblem, params: Params) -> Array:
    """n H_j of every unknown, j the array that it is in."""
    _, matrix = problem.gradient_and_matrix(params)
    diagonal = np.diag(matrix)
    places = kinds(problem, params)
    found = np.zeros(len(diagonal))
    for name in params:
        own = [place for place, _, other in places if other == name]
        largest = max(diagonal[place].max() for place in own)
        for place in own:
            found[place] = len(places) * largest
    return found


def inverse(values: Array) -> Array:
    """0 where a value is 0."""
    return np.where(values > 0, 1 / np.where(values > 0, values, 1), 0)


def train(training: Training, params: Mapping[str, Array]) -> Found:
    """All layers, from the model's parameters: those of its first layer."""
    network = training.network
    z = np.where(network.grid.exists, training.x, 0)
    if network.drive:
        z = 0 * z
    found = Found({name: value.copy() for name, value in params.items()})
    p = {name: value[:1].astype(float) for name, value in params.items()}
    start = p
    velocity = np.zeros(flat(p).size)
    for layer in range(network.depth):
        problem = LayerProblem(training, layer, z)
        if network.theta and layer and training.method != "second-order":
            p = min(p, start, key=lambda own: value_or_none(problem, own))
        found.loss_before.append(problem.value(p))
        mass = np.zeros(velocity.size)
        if training.method == "newton":
            for _ in range(training.inner_steps):
                p = take_step(problem, p, newton_step(problem, p))
        elif training.method == "descent":
            for _ in range(training.inner_steps):
                step = training.rate * inverse(scales(problem, p))
                p = take_step(problem, p, step * problem.gradient_and_matrix(p)[0])
        else:
            mass = training.mass * scales(problem, p)
            half = training.tau / 2 * inverse(mass)
            force = problem.gradient_and_matrix(p)[0]
            for _ in range(training.inner_steps):
                velocity = velocity - half * force
                p = unflat(p, flat(p) + training.tau * velocity)
                force = problem.gradient_and_matrix(p)[0]
                velocity = velocity - half * force
                velocity = velocity * np.exp(-training.friction * training.tau)
        found.loss.append(problem.value(p))
        found.kinetic_energy.append(float(np.sum(mass * velocity**2) / 2))
        for name, value in p.items():
            found.params[name][layer] = value[0]
        z = problem.output(p)
    return found
