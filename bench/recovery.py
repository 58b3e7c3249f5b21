"""Recovery of known coefficients U(q), D(q), R(q) on a ring from snapshots of its solutions.

    python -m bench.recovery --seeds 5

The data come from a solver that shares nothing with the package: spectral derivatives on 512 cells
and SciPy's DOP853 with tight tolerances, of which every fourth cell is kept. Smoothness is chosen
on initial states that are held out; the true coefficients choose nothing.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
from numpy.typing import NDArray

import relaxon as rx

Array = NDArray[np.float64]

CELLS = 128
FINE_CELLS = 512
SPACING = 2 * np.pi / CELLS
STATES = 16
LAYERS = 30
SEEN = (10, 20, 30)  # layers with targets
# D dt / h^2 is about 1/6, where the leading errors in time and space cancel (see the gallery).
TIME_PER_LAYER = 0.008
WIDTH = 0.3  # of the Gaussian that smooths the initial states, as an arc of the ring
NOISE = 0.01
LOSS = rx.SquaredDistance(at=SEEN)
STEPS = 4000
# Strengths for R, and for U and D: lattice values of R are smaller by a factor of about 50.
STRENGTHS = tuple(itertools.product((1e4, 1e5, 1e6), (10.0, 100.0, 1000.0)))
SCAN_STEPS = 500
HELD_OUT = 4


def positions(n_cells: int) -> Array:
    """Places of the cells on the ring."""
    return 2 * np.pi * np.arange(n_cells) / n_cells


def true_fields(q: Array) -> dict[str, Array]:
    """The coefficients to be found."""
    return {
        "R": -0.1 + 0.2 * np.sin(2 * q),
        "U": 0.5 + 0.3 * np.sin(q),
        "D": 0.05 * (1 + 0.5 * np.cos(q)),
    }


def random_states(generator: np.random.Generator) -> Array:
    """Smooth initial states of variance one on the fine grid."""
    k = np.arange(FINE_CELLS // 2 + 1)
    white = np.fft.rfft(generator.standard_normal((STATES, FINE_CELLS)))
    z = np.fft.irfft(white * np.exp(-0.5 * (k * WIDTH) ** 2), FINE_CELLS)
    return np.asarray(z / z.std(axis=1, keepdims=True))


def solve(z: Array, times: Array) -> Array:
    """Solutions of z_t = R z - U z_q + D z_qq at some times, shape (states, times, cells)."""
    from scipy.integrate import solve_ivp

    n_cells = z.shape[-1]
    true = true_fields(positions(n_cells))
    ik = 1j * np.arange(n_cells // 2 + 1)

    def slope(_: float, flat: Array) -> Array:
        state = flat.reshape(z.shape)
        hat = np.fft.rfft(state)
        z_q, z_qq = np.fft.irfft(ik * hat, n_cells), np.fft.irfft(ik**2 * hat, n_cells)
        return np.asarray(true["R"] * state - true["U"] * z_q + true["D"] * z_qq).ravel()

    solution = solve_ivp(slope, (0.0, times[-1]), z.ravel(), "DOP853", times, rtol=1e-9, atol=1e-11)
    return np.moveaxis(solution.y.T.reshape(len(times), *z.shape), 0, 1)


def make_data(seed: int, noise: float = 0.0) -> tuple[Array, Array]:
    """Initial states, and what became of them at three times; the noise is on all of them."""
    generator = np.random.default_rng(seed)
    fine = random_states(generator)
    later = solve(fine, TIME_PER_LAYER * np.array(SEEN))
    every = FINE_CELLS // CELLS
    x, y = fine[:, ::every], later[:, :, ::every]
    return (
        x + noise * x.std() * generator.standard_normal(x.shape),
        y + noise * y.std() * generator.standard_normal(y.shape),
    )


def make_model(seed: int, scheme: str = "lax-wendroff") -> rx.Relaxation:
    """A network of 30 layers with local coefficients, started from the default parameters."""
    grid = rx.Grid((CELLS,), spacing=SPACING, names="q")
    op = rx.ADR(grid, space="local", scheme=scheme)
    return rx.Relaxation(
        op, depth=LAYERS, activation="identity", omega=1.0, dt=TIME_PER_LAYER, seed=seed
    )


def train(
    model: rx.Relaxation,
    x: Array,
    y: Array,
    strengths: tuple[float, float] = (0.0, 0.0),
    steps: int = STEPS,
) -> rx.Relaxation:
    """Fit by L-BFGS; the strengths are the smoothness of R, and that of U and D."""
    penalties = [rx.Smoothness(strengths[0], of="R"), rx.Smoothness(strengths[1], of=("U", "D"))]
    return rx.fit(
        model,
        x,
        y,
        loss=LOSS,
        optimizer=rx.LBFGS(),
        steps=steps,
        penalties=penalties,
        tolerance=0.0,
        threads=1,  # a sweep takes a tenth of a millisecond
    ).model


def choose_strengths(model: rx.Relaxation, x: Array, y: Array) -> tuple[float, float]:
    """The smoothness with the least loss on initial states that are held out."""

    def held_out_loss(strengths: tuple[float, float]) -> float:
        part = train(model, x[:-HELD_OUT], y[:-HELD_OUT], strengths, SCAN_STEPS)
        return part.loss(x[-HELD_OUT:], y[-HELD_OUT:], LOSS, threads=1)

    return min(STRENGTHS, key=held_out_loss)


def read_fields(model: rx.Relaxation) -> dict[str, Array]:
    """Learned coefficients in the units of the equation."""
    fields = rx.explain(model).fields
    return {"R": fields["R"], "U": fields["U"][0], "D": fields["D"][0]}


def errors(model: rx.Relaxation) -> dict[str, float]:
    """Relative L2 error of each field."""
    true, found = true_fields(positions(CELLS)), read_fields(model)
    return {
        name: float(np.linalg.norm(found[name] - true[name]) / np.linalg.norm(true[name]))
        for name in true
    }


def main() -> None:
    """Print the errors with each seed, and the worst of them."""
    parser = argparse.ArgumentParser(description="recovery of known coefficients")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    print("relative L2 error in percent; noise-free, then with 1 % noise and smoothness")
    print("| seed | R | U | D | R | U | D | smoothness of R; of U, D |")
    print("| --- " * 8 + "|")
    rows = []
    for seed in range(arguments.seeds):
        model = make_model(seed)
        clean = errors(train(model, *make_data(seed)))
        x, y = make_data(seed, NOISE)
        strengths = choose_strengths(model, x, y)
        noisy = errors(train(model, x, y, strengths))
        rows.append([100 * error for error in (*clean.values(), *noisy.values())])
        cells = " | ".join(f"{error:.2f}" for error in rows[-1])
        print(f"| {seed} | {cells} | {strengths[0]:g}; {strengths[1]:g} |", flush=True)
    print("| worst | " + " | ".join(f"{error:.2f}" for error in np.max(rows, axis=0)) + " | |")


if __name__ == "__main__":
    main()
