"""Do the error bars of ``rx.explain`` hold? Fits to noisy data of a model whose truth is known.

    python -m bench.error_bars

Each draw adds 1 % noise to the output of a model, fits the model anew from its default parameters,
and asks whether the truth lies within two reported standard errors. Right error bars give 95 % (a
little less with few samples) and a median of |error| / standard error of 0.67. Noise is white, or
correlated over the whole field as residuals of fields are; the error bars are not told which.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import relaxon as rx

Array = NDArray[np.float64]

N_DRAWS = 100
N_SAMPLES = 60
NOISE = 0.01


@dataclasses.dataclass(frozen=True)
class Case:
    """A model with its true parameters."""

    name: str
    truth: rx.Relaxation

    @property
    def start(self) -> rx.Relaxation:
        """The same model with its default parameters."""
        truth = self.truth
        return rx.Relaxation(
            truth.operator,
            depth=truth.depth,
            activation=truth.activation,
            omega=0.5,
            bias=truth.bias,
            trainable_omega=truth.trainable_omega,
            dt=truth.dt,
            time_unit=truth.time_unit,
        )


def cases() -> Iterator[Case]:
    """A line, a plane, and moments behind a nonlinear layer with a bias and a trained omega."""
    values: dict[str, Any]
    time: dict[str, Any] = {"dt": 60.0, "time_unit": "s"}
    line = rx.Grid((64,), spacing=500.0, unit="m", names=("distance",))
    plane = rx.Grid((16, 20), spacing=(500.0, 800.0), boundary=("neumann", "periodic"), unit="m")
    model = rx.Relaxation(rx.ADR(line), depth=10, activation="identity", **time)
    values = {"R": -0.05, "U": line_of(0.4), "D": line_of(0.3)}
    yield Case("line", model.with_params(values))
    model = rx.Relaxation(rx.ADR(plane, scheme="upwind"), depth=6, activation="identity", **time)
    values = {"R": -0.03, "U": line_of(0.2, -0.3), "D": line_of(0.15, 0.05, 0.2)}
    yield Case("plane", model.with_params(values))
    model = rx.Relaxation(
        rx.Moments(line, order=3),
        depth=6,
        activation="tanh",
        bias="homogeneous",
        trainable_omega=True,
        **time,
    )
    values = {"moments": line_of(1.05, -0.3, 0.7, -0.4), "bias": 0.05, "omega": 0.4}
    yield Case("moments, tanh", model.with_params(values))


def line_of(*values: float) -> Array:
    """An array of numbers."""
    return np.array(values)


def smooth(shape: tuple[int, ...], random: np.random.Generator, width: float) -> Array:
    """Random fields (the first axis counts them), periodic, with this correlation length."""
    fields = random.standard_normal(shape)
    axes = tuple(range(1, len(shape)))
    frequencies = np.meshgrid(*(np.fft.fftfreq(n) for n in shape[1:]), indexing="ij")
    filtered = np.exp(-2.0 * (np.pi * width) ** 2 * sum(f**2 for f in frequencies))
    result = np.fft.ifftn(np.fft.fftn(fields, axes=axes) * filtered, axes=axes).real
    return np.asarray(result / result.std())


def fit(start: rx.Relaxation, x: Array, y: Array) -> rx.Relaxation:
    """The model at the minimum of the squared distance."""
    optimizer = rx.LBFGS(memory=30)
    return rx.fit(start, x, y, optimizer=optimizer, tolerance=1e-9, threads=1).model


def draw(case: Case, noise_width: float, seed: int, n_samples: int = N_SAMPLES) -> Array:
    """(estimate - truth) / standard error of every quantity of one draw."""
    random = np.random.default_rng(seed)
    shape = (n_samples, *case.truth.grid.shape)
    x = smooth(shape, random, width=1.5)
    clean = case.truth(x)
    noise = smooth(shape, random, noise_width) if noise_width else random.standard_normal(shape)
    y = clean + NOISE * clean.std() * noise
    found = rx.explain(fit(case.start, x, y), data=(x, y)).table()
    true = rx.explain(case.truth).table()
    return np.array(
        [
            (row.median - other.median) / row.standard_error
            for row, other in zip(found, true, strict=True)
            if row.standard_error is not None
        ]
    )


def names(case: Case) -> list[str]:
    """Quantities with error bars, in order."""
    return [row.process for row in rx.explain(case.truth).table() if row.bound is None]


def report(case: Case, noise_width: float, tell: Callable[[str], None] = print) -> None:
    """Coverage of one case."""
    ratios = np.abs([draw(case, noise_width, seed) for seed in range(N_DRAWS)])
    kind = f"noise correlated over {noise_width:g} cells" if noise_width else "white noise"
    tell(f"\n{case.name}, {kind}: {N_DRAWS} draws of {N_SAMPLES} samples\n")
    tell("| quantity | within 2 standard errors | median of abs(error) / standard error |")
    tell("| --- | --- | --- |")
    for name, column in zip(names(case), ratios.T, strict=True):
        tell(f"| {name} | {np.mean(column <= 2.0):.0%} | {np.median(column):.2f} |")


def main() -> None:
    """Print a table for each case and kind of noise."""
    for case in cases():
        for noise_width in (0.0, 3.0):
            report(case, noise_width)


if __name__ == "__main__":
    main()
