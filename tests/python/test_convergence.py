"""Measured orders of convergence to solutions of the continuous equation.

Trained arrays are lattice values, so u = U/h and d = D/h^2; with f = id a layer is one Euler step
of z_t = A z of length omega (time unit: the one in which U and D are given).
"""

import math
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from measures import orders

SIZES = (16, 32, 64)


def integrate(
    grid: Any, x: Any, velocity: Any, diffusion: Any, n_steps: int, time: float, scheme: str
) -> Any:
    """z at ``time``; ``velocity`` per axis, ``diffusion`` a symmetric matrix, physical units."""
    step = time / n_steps
    h = np.asarray(grid.spacing)
    axes = range(grid.ndim)
    lattice_u = [velocity[a] / h[a] for a in axes]
    lattice_d = [diffusion[a][b] / (h[a] * h[b]) for a in axes for b in axes if b >= a]
    # omega = 1, with the step inside the coefficients: for f = id only their products matter, and
    # lax-wendroff then adds (step u)^2 / 2, as it should
    model = rx.Relaxation(
        rx.ADR(grid, scheme=scheme), depth=n_steps, activation="identity", omega=1.0
    ).with_params(
        {
            "R": np.zeros(()),
            "U": step * np.asarray(lattice_u),
            "D": step * np.asarray(lattice_d),
        }
    )
    return model(x)


def assert_order(errors: list[float], expected: float, tolerance: float = 0.1) -> None:
    measured = orders(errors)
    assert all(abs(order - expected) <= tolerance for order in measured), (measured, errors)


def heat_error(n: int, boundary: Any, wave: Any, spacing: float, start: float) -> float:
    """Decay of an eigenfunction with wave number k, diffusivity 1."""
    grid = rx.Grid((n,), spacing=spacing, boundary=boundary)
    q = start + spacing * np.arange(n)
    f, k = wave
    time = 20 * 0.25 / 16**2  # a whole number of steps at every size
    n_steps = round(time / (0.25 * spacing**2))
    z = integrate(grid, f(k * q), [0.0], [[1.0]], n_steps, time, "central")
    return float(np.abs(z - f(k * q) * math.exp(-(k**2) * time)).max())


def test_heat_equation_periodic() -> None:
    errors = [heat_error(n, "periodic", (np.sin, 2 * np.pi), 1 / n, 0.0) for n in SIZES]
    assert_order(errors, 2)


def test_heat_equation_between_walls_without_flux() -> None:
    """The mirror ghost puts the wall half a cell outside: cells at (i + 1/2) h."""
    errors = [heat_error(n, "neumann", (np.cos, np.pi), 1 / n, 0.5 / n) for n in SIZES]
    assert_order(errors, 2)


def test_heat_equation_between_fixed_values() -> None:
    """The ghost cell itself holds the value: cells at (i + 1) h with h = 1 / (n + 1)."""
    errors = [heat_error(n - 1, rx.Dirichlet(0.0), (np.sin, np.pi), 1 / n, 1 / n) for n in SIZES]
    assert_order(errors, 2)


@pytest.mark.parametrize("ndim", [2, 3])
def test_anisotropic_diffusion_of_a_plane_wave(ndim: int) -> None:
    """A plane wave decays with k^T D k: the sign and the factor of the mixed entries."""
    diffusion = np.array([[1.0, 0.4, -0.2], [0.4, 0.7, 0.3], [-0.2, 0.3, 0.8]])[:ndim, :ndim]
    waves = 2 * np.pi * np.array([1.0, -1.0, 1.0])[:ndim]
    errors = []
    for n in SIZES[: 5 - ndim]:
        grid = rx.Grid((n,) * ndim, spacing=1 / n)
        q = np.meshgrid(*ndim * [np.arange(n) / n], indexing="ij")
        phase = sum(k * axis for k, axis in zip(waves, q, strict=True))
        time = 8 * 0.12 / 16**2
        n_steps = round(time / (0.12 / n**2))
        z = integrate(grid, np.cos(phase), [0.0] * ndim, diffusion, n_steps, time, "central")
        exact = np.cos(phase) * math.exp(-float(waves @ diffusion @ waves) * time)
        errors.append(float(np.abs(z - exact).max()))
    assert_order(errors, 2)


@pytest.mark.parametrize(("scheme", "expected"), [("lax-wendroff", 2.0), ("upwind", 1.0)])
def test_advection_of_a_smooth_wave(scheme: str, expected: float) -> None:
    errors = []
    for n in (64, 128, 256):
        grid = rx.Grid((n,), spacing=1 / n)
        q = np.arange(n) / n
        time, velocity = 0.25, -0.8
        n_steps = round(time * abs(velocity) * n / 0.4)
        z = integrate(grid, np.sin(2 * np.pi * q), [velocity], [[0.0]], n_steps, time, scheme)
        errors.append(float(np.abs(z - np.sin(2 * np.pi * (q - velocity * time))).max()))
    assert_order(errors, expected, tolerance=0.1)


def test_layers_converge_to_the_flow_with_first_order() -> None:
    """omega = gamma dt: halving it and doubling the depth halves the error (explicit Euler)."""
    grid = rx.Grid((24,), boundary="neumann")
    operator = rx.ADR(grid)
    params = {"R": np.asarray(-0.3), "U": np.array([0.2]), "D": np.array([0.4])}
    matrix = operator.to_dense(params) - np.eye(24)
    x = np.cos(np.arange(24.0) / 3)
    values, vectors = np.linalg.eig(matrix)
    exact = (vectors @ (np.exp(values) * np.linalg.solve(vectors, x))).real
    errors = []
    for depth in (64, 128, 256):
        model = rx.Relaxation(operator, depth=depth, activation="identity", omega=1 / depth)
        errors.append(float(np.abs(model.with_params(params)(x) - exact).max()))
    assert_order(errors, 1)


def test_fourth_moment_is_hyper_diffusion() -> None:
    """z_t = W_4/24 z_qqqq with W_4 < 0 damps a wave by exp(-|W_4|/24 k^4 t)."""
    errors = []
    for n in SIZES:
        h = 2 * np.pi / n
        time, wave = 0.05, 1
        n_steps = math.ceil(time / (0.1 * h**4))
        moments = np.array([1, 0, 0, 0, -24 * time / n_steps / h**4])
        model = rx.Relaxation(
            rx.Moments(rx.Grid((n,), spacing=h), order=4),
            depth=n_steps,
            activation="identity",
            omega=1.0,
        ).with_params({"moments": moments})
        signal = np.sin(wave * h * np.arange(n))
        errors.append(float(np.abs(model(signal) - signal * math.exp(-(wave**4) * time)).max()))
    assert_order(errors, 2)
