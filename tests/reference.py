"""The executable specification: relaxation networks in plain NumPy.

    Z_l     = W_l z_l - b_l
    z_{l+1} = (1 - omega_l) z_l + omega_l f(Z_l) - beta (|z_l| - 1) z_l

where omega is given, or follows from gamma, omega = 1 - exp(-gamma dt); or, implicitly, with
Z' = W_l z_{l+1} - b_l,

    z_{l+1} + omega_l theta (z_{l+1} - f(Z'))
        = z_l + omega_l (1 - theta) (f(Z_l) - z_l) - beta (|z_l| - 1) z_l

With drive the input x is added to every Z and Z', and z_0 = 0. With hard normalisation the state is
divided by its norm at the end of every layer.

Written to be read, not to be fast, and independent of the package it judges. What W is stands in
the folder ``operators``, one file for each; nothing here names one. The forward pass runs in any
floating type, complex ones included, so that every derivative can be checked by the complex step
Im F(p + i h q) / h, which has no subtraction and therefore no step size to choose.

Notation: ``z`` state, ``pre`` = Z, ``s`` = omega f'(Z) lambda, ``_bar`` cotangent of what precedes.
Arrays of states are (batch, *grid.shape), trajectories (batch, depth + 1, *grid.shape).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference_activations import ACTIVATIONS
from reference_grid import Grid, existing_pairs
from reference_operator import Operator

Array = NDArray[Any]


# -- networks ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """Configuration of a network.

    ``omega`` is used where the parameters hold none. With ``dt`` it is gamma, and so is the
    parameter's name.
    """

    grid: Grid
    operator: Operator
    depth: int
    activation: str
    omega: Array
    time: str = "constant"
    beta: float = 0.0
    theta: float = 0.0
    drive: bool = False
    normalization: str | None = None
    dt: float | None = None

    @property
    def rate_name(self) -> str:
        return "omega" if self.dt is None else "gamma"

    def omega_of(self, params: Mapping[str, Array]) -> Array:
        """omega of all layers."""
        rate = params.get(self.rate_name, self.omega)
        return rate if self.dt is None else 1 - np.exp(-rate * self.dt)

    @property
    def is_layered(self) -> bool:
        return self.time == "layered"

    def rate(self, omega: Array, layer: int) -> Array:
        """omega of one layer: a scalar or a field, see the notation table for the shapes."""
        if omega.shape == ():
            return omega
        if omega.shape == (self.depth,):
            return omega[layer]  # type: ignore[no-any-return]
        return omega.reshape(self.grid.shape)

    def is_field(self, name: str, value: Array) -> bool:
        """Whether a parameter has one entry per cell."""
        ends_like_cells = value.shape[-self.grid.ndim :] == self.grid.shape
        return ends_like_cells and name not in self.operator.matrices


def slice_of_layer(network: Network, params: Mapping[str, Array], layer: int) -> dict[str, Array]:
    """Parameters of one layer, without omega or gamma."""
    return {
        name: value[layer] if network.is_layered else value
        for name, value in params.items()
        if name != network.rate_name
    }


def apply(
    network: Network, params: Mapping[str, Array], z: Array, layer: int = 0, omega: Any = None
) -> Array:
    """W z of one layer: affine in z where a Dirichlet condition has a value."""
    if omega is None:
        omega = network.omega_of(params)
    value = network.operator.apply(
        network.grid,
        slice_of_layer(network, params, layer),
        (1 - 2 * network.theta) * network.rate(np.asarray(omega), layer),
        np.where(network.grid.exists, z, 0),
    )
    return np.where(network.grid.exists, value, 0)


def to_dense(
    network: Network, params: Mapping[str, Array], layer: int = 0, omega: Any = None
) -> Array:
    """Matrix (N, N) of the linear part of :func:`apply`."""
    n = int(np.prod(network.grid.shape))
    zero = np.zeros((1, *network.grid.shape))
    columns = np.where(network.grid.exists.ravel(), np.eye(n), 0).reshape(n, *network.grid.shape)
    images = apply(network, params, columns, layer, omega) - apply(
        network, params, zero, layer, omega
    )
    return existing_pairs(network.grid, images.reshape(n, n).T)


def norm(network: Network, z: Array) -> Array:
    """|z| per sample, without conjugation, broadcastable against states."""
    axes = tuple(range(1, z.ndim))
    result: Array = np.sqrt(np.sum(z * z, axis=axes, keepdims=True) * network.grid.cell_volume)
    return result


def trajectory(network: Network, params: Mapping[str, Array], x: Array) -> Array:
    """All states z_0..z_L."""
    return np.stack(all_states(network, params, x)[0], axis=1)


def all_states(
    network: Network, params: Mapping[str, Array], x: Array
) -> tuple[list[Array], list[Array]]:
    """States z_0..z_L, and what the layers end with before its hard normalisation."""
    exists = network.grid.exists
    omega = network.omega_of(params)
    start = np.where(exists, x, 0)
    source = start if network.drive else 0
    states, ends = [0 * start if network.drive else start], []
    for layer in range(network.depth):
        z, rate = states[-1], (1 - network.theta) * network.rate(omega, layer)
        pre = pre_activation(network, params, z, layer) + source
        z_next = (1 - rate) * z + rate * ACTIVATIONS[network.activation].f(pre)
        if network.beta:
            z_next = z_next - network.beta * (norm(network, z) - 1) * z
        z_next = np.where(exists, z_next, 0)
        if network.theta:
            z_next = solve_layer(network, params, z, z_next, layer, source)
        ends.append(z_next)
        states.append(normalised(network, z_next))
    return states, ends


def normalised(network: Network, y: Array) -> Array:
    """y / |y| with hard normalisation; 0 stays 0."""
    if network.normalization is None:
        return y
    size = norm(network, y)
    return y / np.where(size == 0, 1, size)


def solve_layer(
    network: Network,
    params: Mapping[str, Array],
    z: Array,
    right: Array,
    layer: int,
    source: Array | int,
) -> Array:
    """z' with z' + omega theta (z' - f(W z' - b + source)) = right, by Newton's method from z."""
    activation = ACTIVATIONS[network.activation]
    rate = network.theta * network.rate(network.omega_of(params), layer)
    state = z
    n_still = 0  # steps that move nothing: what the complex step adds follows a step later
    for _ in range(60):
        pre = pre_activation(network, params, state, layer) + source
        residual = state + rate * (state - activation.f(pre)) - right
        residual = np.where(network.grid.exists, residual, 0)
        step = solve_jacobian(network, params, pre, residual, layer)
        state = state - step
        n_still += bool(np.max(np.abs(step)) <= 1e-13 * (1 + np.max(np.abs(state))))
        if n_still == 2:
            return state
    raise ArithmeticError("Newton's method finds no root")


def solve_jacobian(
    network: Network,
    params: Mapping[str, Array],
    pre: Array,
    right: Array,
    layer: int,
    is_transposed: bool = False,
) -> Array:
    """(1 + omega theta - omega theta f'(Z') W)^-1 right per sample, or with the transpose."""
    matrix = to_dense(network, params, layer)
    rate = network.theta * network.rate(network.omega_of(params), layer)
    rate = np.broadcast_to(rate, network.grid.shape).ravel()
    solutions = []
    for sample, value in zip(pre, right, strict=True):
        slope = slope_of(network.activation, sample.ravel())
        jacobian = np.diag(1 + rate) - (rate * slope)[:, None] * matrix
        jacobian = jacobian.T if is_transposed else jacobian
        solutions.append(np.linalg.solve(jacobian, value.ravel()).reshape(value.shape))
    return np.stack(solutions)


def slope_of(activation: str, z: Array) -> Array:
    """f', also near the real axis where only its real part matters: Newton's path, not its end."""
    return ACTIVATIONS[activation].slope(z.real)


def pre_activation(network: Network, params: Mapping[str, Array], z: Array, layer: int) -> Array:
    """Z = W z - b."""
    bias = slice_of_layer(network, params, layer).get("bias", 0)
    return apply(network, params, z, layer) - bias


def forward(network: Network, params: Mapping[str, Array], x: Array) -> Array:
    """Output z_L."""
    output: Array = trajectory(network, params, x)[:, -1]
    return output


def vjp(
    network: Network,
    params: Mapping[str, Array],
    x: Array,
    cotangents: Mapping[int, Array],
) -> dict[str, Array]:
    """Gradient of sum_l <cotangents[l], z_l> for every parameter, and ``x``."""
    states, ends = all_states(network, params, x)
    exists = network.grid.exists
    source = np.where(exists, x, 0) if network.drive else 0
    x_bar = np.zeros(states[0].shape)
    omega = network.omega_of(params)
    grads = {name: np.zeros_like(value) for name, value in params.items()}

    def incoming(layer: int) -> Array:
        return np.where(exists, cotangents.get(layer, np.zeros_like(states[0])), 0)

    cotangent = incoming(network.depth)
    for layer in reversed(range(network.depth)):
        z, end, rate = states[layer], ends[layer], network.rate(omega, layer)
        if network.normalization is not None:
            cotangent = projection_adjoint(network, end, cotangent)
        if network.theta:
            pre = pre_activation(network, params, end, layer) + source
            cotangent = solve_jacobian(network, params, pre, cotangent, layer, is_transposed=True)
            implicit = network.theta * cotangent
            x_bar += pull_back(network, params, grads, layer, end, implicit, source)[1]
        explicit = (1 - network.theta) * cotangent
        z_bar, s = pull_back(network, params, grads, layer, z, explicit, source)
        x_bar += s
        z_bar = z_bar + (1 - (1 - network.theta) * rate) * cotangent
        if network.beta:
            z_bar = z_bar - network.beta * normalisation_adjoint(network, z, cotangent)
        cotangent = np.where(exists, z_bar, 0) + incoming(layer)
    grads["x"] = x_bar if network.drive else cotangent
    return grads


def pull_back(
    network: Network,
    params: Mapping[str, Array],
    grads: Mapping[str, Array],
    layer: int,
    z: Array,
    cotangent: Array,
    source: Array | int,
) -> tuple[Array, Array]:
    """W^T s and s of <cotangent, omega (f(W z - b) - z)> for one layer; adds to ``grads``."""
    exists = network.grid.exists
    rate = network.rate(network.omega_of(params), layer)
    coefficients = slice_of_layer(network, params, layer)
    pre = pre_activation(network, params, z, layer) + source
    activation = ACTIVATIONS[network.activation]
    s = np.where(exists, rate * activation.slope(pre) * cotangent, 0)

    scheme = 1 - 2 * network.theta
    bars, scheme_bar, z_bar = network.operator.adjoint(
        network.grid, coefficients, scheme * rate, z, s
    )
    rate_bar = scheme * scheme_bar
    rate_bar = rate_bar + np.where(exists, (activation.f(pre) - z) * cotangent, 0).sum(axis=0)
    bars["bias"] = -s.sum(axis=0)
    for name, value in coefficients.items():
        target = grads[name][layer, ...] if network.is_layered else grads[name]
        target += reduce_to(value.shape, bars[name])
    name = network.rate_name
    if name in params:
        target = grads[name]
        if network.dt is not None:
            rate_bar = (
                rate_bar * network.dt * np.exp(-network.dt * network.rate(params[name], layer))
            )
        if target.shape == (network.depth,):
            target = target[layer : layer + 1]
        target += reduce_to(target.shape, rate_bar)
    return z_bar, s


def projection_adjoint(network: Network, y: Array, cotangent: Array) -> Array:
    """Transposed derivative of y / |y|; at y = 0 it is 0."""
    size = norm(network, y)
    z = normalised(network, y)
    axes = tuple(range(1, y.ndim))
    inner = np.sum(z * cotangent, axis=axes, keepdims=True) * network.grid.cell_volume
    return np.where(size > 0, (cotangent - inner * z) / np.where(size > 0, size, 1), 0)


def normalisation_adjoint(network: Network, z: Array, cotangent: Array) -> Array:
    """Transposed derivative of (|z| - 1) z; at z = 0 it is -1, the quotient below being 0."""
    size = norm(network, z)
    axes = tuple(range(1, z.ndim))
    inner = np.sum(z * cotangent, axis=axes, keepdims=True) * network.grid.cell_volume
    quotient = np.where(size > 0, inner / np.where(size > 0, size, 1), 0)
    result: Array = (size - 1) * cotangent + quotient * z
    return result


def reduce_to(shape: tuple[int, ...], field_bar: Array) -> Array:
    """Sum a field's cotangent over the cells that share one coefficient."""
    if field_bar.shape == shape:
        return field_bar
    if field_bar.size == np.prod(shape):  # omega per cell written (1, N)
        return field_bar.reshape(shape)
    n_components = int(np.prod(shape))
    result: Array = field_bar.reshape(n_components, -1).sum(axis=1).reshape(shape)
    return result


# -- losses and penalties ---------------------------------------------------------------------


def squared_distance(
    network: Network,
    states: Array,
    y: Array,
    weights: Array | None = None,
    at: Sequence[int] | None = None,
) -> tuple[Any, dict[int, Array]]:
    """1/batch sum_n sum_k sum_i w_i (z_i - y_i)^2 and its cotangents per layer.

    y is (batch, *shape), or (batch, len(at), *shape) in the order of ``at``.
    """
    layers = [network.depth] if at is None else list(at)
    targets = y[:, None] if at is None else y
    w = np.ones(1) if weights is None else weights
    if at is None and w.ndim == y.ndim:
        w = w[:, None]
    w = np.where(network.grid.exists, w, 0).astype(y.dtype)
    w = np.broadcast_to(w, targets.shape)
    residual = np.where(w != 0, states[:, layers] - targets, 0)
    value = np.sum(w * residual**2) / len(y)
    bar = 2 * w * residual / len(y)
    return value, {layer: bar[:, k] for k, layer in enumerate(layers)}


def value_and_grad(
    network: Network,
    params: Mapping[str, Array],
    x: Array,
    y: Array,
    weights: Array | None = None,
    at: Sequence[int] | None = None,
) -> tuple[Any, dict[str, Array]]:
    """Squared distance and its gradient, ``x`` included."""
    states = trajectory(network, params, x)
    value, cotangents = squared_distance(network, states, y, weights, at)
    return value, vjp(network, params, x, cotangents)


def jvp(
    network: Network, params: Mapping[str, Array], x: Array, dots: Mapping[str, Array]
) -> Array:
    """Tangent of the output by the complex step; ``dots`` may lack parameters, or ``x``."""
    step = 1e-30

    def moved(name: str, value: Array) -> Array:
        return value + 1j * step * dots[name] if name in dots else value + 0j

    complex_params = {name: moved(name, value) for name, value in params.items()}
    constant = replace(network, omega=network.omega + 0j)
    # x may hold NaN on masked cells, which must not spread through the complex product
    start = moved("x", np.where(network.grid.exists, x, 0))
    return forward(constant, complex_params, start).imag / step


def named(params: Mapping[str, Array], of: str | Sequence[str] | None) -> list[str]:
    if of is None:
        return list(params)
    return [of] if isinstance(of, str) else list(of)


def l2(
    network: Network, params: Mapping[str, Array], strength: float, of: str | None = None
) -> tuple[Any, dict[str, Array]]:
    """strength * sum of p^2 over the named parameters (existing cells), and its gradient."""
    value: Any = 0.0
    grads = {}
    for name in named(params, of):
        p = params[name]
        if name in network.operator.matrices:
            p = existing_pairs(network.grid, p)
        elif network.is_field(name, p):
            p = np.where(network.grid.exists, p, 0)
        value = value + strength * np.sum(p * p)
        grads[name] = 2 * strength * p
    return value, grads


def smoothness(
    network: Network, params: Mapping[str, Array], strength: float, of: str | None = None
) -> tuple[Any, dict[str, Array]]:
    """strength * mean over existing cells of |lattice gradient|^2, summed over coefficient fields.

    The gradient of a field is the forward difference along each axis; differences over a side that
    is not periodic, and those with a masked end, are left out.
    """
    grid = network.grid
    n_cells = int(grid.exists.sum())
    axes = range(-grid.ndim, 0)
    value: Any = 0.0
    grads = {}
    for name in named(params, of):
        p = params[name]
        if not network.is_field(name, p):
            continue
        bar = np.zeros_like(p)
        for axis, (_, high) in zip(axes, grid.boundary, strict=True):
            counts = grid.exists & np.roll(grid.exists, -1, axis)
            if high != "periodic":
                np.moveaxis(counts, axis, 0)[-1] = False
            step = np.where(counts, np.roll(p, -1, axis) - p, 0)
            value = value + strength * np.sum(step * step) / n_cells
            bar += 2 * strength / n_cells * (np.roll(step, 1, axis) - step)
        grads[name] = bar
    return value, grads
