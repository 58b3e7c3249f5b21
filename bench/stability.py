"""What stability numbers claim against what layers do: certificates, waves, constraints.

    python -m bench.stability                 # about five minutes
    python -m bench.stability --nets 30 --line 1000 --plane 200

Certificates: random nets of ten activations, operators, boundaries and masks, omega to 1.5 and
theta 0, 1/2, 1, of which those that are certified count. Waves: random layers, for which the
inequalities are held against 2000 layers from noise on a ring; those within 1e-3 of growth by 1 do
not count. Constraints: a fit that diverges without them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import relaxon as rx
from relaxon.dynamics.waves import damps_all_waves

Array = NDArray[np.float64]

ACTIVATIONS = (
    *("identity", "tanh", "logistic", "relu", "leaky_relu"),
    *("softplus", "silu", "gelu", "sin", "hard_tanh"),
)
THETAS = (0.0, 0.5, 1.0)
MOST_OMEGA = 1.5
TOLERANCE = 1e-8
# Nets whose promise takes longer are not waited for.
MOST_LAYERS = 4000
ROUNDING = 1e-12
LAYERS = 2000
BAND = 1e-3
RING, PLANE = 128, (24, 24)


# -- certificates -----------------------------------------------------------------------------


def random_net(random: np.random.Generator, activation: str, theta: float) -> rx.Relaxation:
    """A net that may be certified: small coefficients, R mostly below 0."""
    sides: list[Any] = ["periodic", "neumann", (rx.Dirichlet(0.3), "neumann")]
    kind = int(random.integers(5))
    shape = (int(random.integers(4, 7)), int(random.integers(4, 7))) if kind == 1 else (12,)
    mask = random.random(shape) > 0.2 if random.random() < 0.3 else None
    boundary = tuple(sides[int(random.integers(3))] for _ in shape)
    grid = rx.Grid(shape, boundary=boundary, mask=mask)
    operators: dict[int, Callable[[], Any]] = {
        0: lambda: rx.ADR(grid, space="local", scheme=str(random.choice(["central", "upwind"]))),
        1: lambda: rx.ADR(grid, space=random.choice(["local", "homogeneous"])),
        2: lambda: rx.Banded(grid, radius=2, space="local"),
        3: lambda: rx.Moments(grid, order=3),
        4: lambda: rx.Dense(grid),
    }
    op = operators[kind]()
    omega: Any = random.uniform(0.05, MOST_OMEGA)
    if random.random() < 0.3:
        omega = random.uniform(0.05, MOST_OMEGA, (1, *shape)[-2:])
    model = rx.Relaxation(op, 1, activation, omega=omega, bias="local", theta=theta)
    params: dict[str, Any] = {}
    strength = random.choice([0.1, 0.3, 1.0])
    for name, values in model.params.items():
        noise = random.standard_normal(values.shape)
        params[name] = values + strength * 0.2 * noise
        if name == "D":
            params[name] = strength * np.abs(noise)
            if len(shape) == 2:
                params[name][1] = 0.0
        if name == "R":
            params[name] = -np.abs(noise) * random.uniform(0.02, 0.8)
        if name in ("W", "weights", "moments"):
            params[name] = values * random.uniform(0.2, 1.0) + 0.05 * noise
    return model.with_params({n: np.asarray(v, np.float64) for n, v in params.items()})


def attractor(model: rx.Relaxation, x: Array) -> Array:
    """z* by backward Euler layers of a growing step, which contract for every omega above 0."""
    z = x
    for omega in (1.0, 1e2, 1e4, 1e6, 1e8, 1e8, 1e8):
        layers = rx.Relaxation(
            model.operator, 8, model.activation, omega=omega, bias=model.bias, theta=1.0
        )
        z = layers.with_params(dict(model.params))(z)
    return z


@dataclass
class Tally:
    """What certified nets have done."""

    n: int = 0
    n_drawn: int = 0
    worst_ratio: float = 0.0
    worst_bound: float = 0.0
    n_short: int = 0
    worst_depth: float = 0.0

    def add(self, model: rx.Relaxation, random: np.random.Generator) -> None:
        """Run one net, if it is certified and quick enough."""
        self.n_drawn += 1
        certificate = rx.stability(model).certificate
        assert certificate is not None
        if not certificate.is_certified:
            return
        shape = model.grid.shape
        exists = np.ones(shape, bool) if model.grid.mask is None else model.grid.mask
        x = np.where(exists, 3.0 * random.standard_normal((4, *shape)), 0.0)

        def largest(z: Array) -> Array:
            return np.asarray(np.abs(z).max(axis=tuple(range(-len(shape), 0))))

        def residual(z: Array) -> Array:
            step = rx.Relaxation(model.operator, 1, model.activation, omega=1.0, bias=model.bias)
            return largest(z - step.with_params(dict(model.params))(z))

        n_layers = certificate.depth(TOLERANCE, float(residual(x).max()))
        if n_layers > MOST_LAYERS:
            return
        self.n += 1
        deep = rx.Relaxation(
            model.operator,
            max(n_layers, 1),
            model.activation,
            omega=model.omega,
            bias=model.bias,
            theta=model.theta,
        ).with_params(dict(model.params))
        star = attractor(model, x[:1])
        states = np.moveaxis(deep.trajectory(x), 1, 0)
        distance = largest(states - star)
        # Below that rounding counts.
        before, after = distance[:-1], distance[1:]
        counts = before > 1e-2
        ratios = after[counts] / before[counts] / certificate.factor
        # Pairs that differ by one sign in each cell are those a row of W can tell best.
        signs = np.where(exists, random.choice([-1.0, 1.0], (64, *shape)), 0.0)
        near = np.where(exists, 0.1 * random.standard_normal((64, *shape)), 0.0)
        pairs = largest(model(near + signs) - model(near)) / certificate.factor
        self.worst_ratio = max(self.worst_ratio, float(pairs.max()), *ratios.tolist())
        self.worst_depth = max(self.worst_depth, float(distance[-1].max()) / TOLERANCE)
        self.n_short += int(distance[-1].max() > TOLERANCE * (1.0 + ROUNDING))
        left = np.stack([residual(z) for z in states[:: max(1, len(states) // 20)]])
        bound = left / (1.0 - certificate.mu)
        found = distance[:: max(1, len(states) // 20)]
        clear = found > 1e-6
        self.worst_bound = max(self.worst_bound, *(found[clear] / bound[clear]).tolist(), 0.0)


def check_certificates(n_nets: int, seed: int = 0) -> Tally:
    """So many certified nets, over activations and theta in turn."""
    random = np.random.default_rng(seed)
    tally = Tally()
    while tally.n < n_nets:
        activation = ACTIVATIONS[tally.n % len(ACTIVATIONS)]
        theta = THETAS[tally.n // len(ACTIVATIONS) % len(THETAS)]
        tally.add(random_net(random, activation, theta), random)
    return tally


# -- waves ------------------------------------------------------------------------------------


@dataclass
class Waves:
    """Layers of one dimension that were drawn, and what was said of them."""

    n: int = 0
    n_near: int = 0  # within the band
    n_damped: int = 0  # said to damp all waves
    n_wrong: int = 0  # said to, and grew
    n_missed: int = 0  # not said to, and did


def draw_layers(random: np.random.Generator, n: int, ndim: int) -> Iterator[tuple[Any, ...]]:
    """omega, s, R, u, d: half of them of the paper's transport, s = 1 and R = 0."""
    for i in range(n):
        omega = random.uniform(0.05, 1.5)
        slope, reaction = random.uniform(0.1, 1.2), random.uniform(-1.5, 0.3)
        if i % 2:
            slope, reaction = 1.0, 0.0
        yield (
            omega,
            slope,
            reaction,
            random.uniform(-1.5, 1.5, ndim),
            random.uniform(0.0, 1.0 / (omega * slope * ndim), ndim),
        )


def linear_layers(grid: rx.Grid, layers: int, layer: tuple[Any, ...], theta: float) -> Any:
    """Layers that do to waves what those of slope s do, with f = identity."""
    omega, slope, reaction, u, d = layer
    model = rx.Relaxation(rx.ADR(grid), layers, "identity", omega=omega, theta=theta)
    diffusion = slope * d
    if len(d) == 2:
        diffusion = np.array([diffusion[0], 0.0, diffusion[1]])
    reaction = np.asarray(slope * (1.0 + reaction) - 1.0)
    return model.with_params({"R": reaction, "U": slope * u, "D": diffusion})


def check_waves(n: int, ndim: int, seed: int = 0) -> Waves:
    """The inequalities against growth from noise, in the second half of 2000 layers."""
    random = np.random.default_rng(seed)
    grid = rx.Grid((RING,) if ndim == 1 else PLANE)
    noise = random.standard_normal(grid.shape)
    found = Waves()
    for i, layer in enumerate(draw_layers(random, n, ndim)):
        omega, slope, reaction, u, d = layer
        is_damped = bool(damps_all_waves(omega, 0.0, slope, reaction, u, d))
        model = linear_layers(grid, LAYERS // 2, layer, 0.0)
        found.n += 1
        found.n_damped += is_damped
        if abs(rx.amplification(model).largest - 1.0) < BAND:
            found.n_near += 1
            continue
        with np.errstate(all="ignore"):
            middle = model(noise)
            # What has overflown has grown; what has died out is 0.
            grows = not np.isfinite(middle).all()
            grows = grows or not np.abs(model(middle)).max() <= np.abs(middle).max()
        found.n_wrong += is_damped and grows
        # Of sufficient conditions only those of transport are necessary, too.
        found.n_missed += (ndim == 1 or i % 2 == 1) and not is_damped and not grows
    return found


def check_theta(n: int, seed: int = 0) -> tuple[int, float]:
    """Layers of theta from 1/2 to 1 with Re lambda <= 0: how many grew, and the largest |G|."""
    random = np.random.default_rng(seed)
    grid = rx.Grid((32,))
    noise = random.standard_normal(grid.shape)
    n_grown, peak = 0, 0.0
    for layer in draw_layers(random, n, 1):
        _, slope, reaction, u, d = layer
        reaction = min(reaction, 1.0 / slope - 1.0)
        theta = float(random.choice([0.5, 0.75, 1.0]))
        wide = (10.0 ** random.uniform(-1, 3), slope, reaction, 10.0 * u, 10.0 * d)
        model = linear_layers(grid, 200, wide, theta)
        peak = max(peak, rx.amplification(model).largest)
        n_grown += bool(np.abs(model(noise)).max() > np.abs(noise).max() * len(noise))
    return n_grown, peak


# -- constraints ------------------------------------------------------------------------------


def excess(model: rx.Relaxation, constraint: str) -> float:
    """By how much coefficients on a line of the central scheme break a constraint; 0: they do not.

    In lattice units, from the inequalities as they are written down, not from those of the core.
    """
    reaction, u, d = (model.params[name] for name in ("R", "U", "D"))
    u, d, omega = u[0], d[0], model.omega
    broken = [-d.min()]
    if constraint == "monotone":
        broken += [(np.abs(u) - 2.0 * d).max(), (omega * (2.0 * d - reaction) - 1.0).max()]
    else:
        with np.errstate(all="ignore"):
            ratio = np.where(u == 0.0, 0.0, omega * u**2 / (2.0 * d))
        broken += [(2.0 * omega * d - 1.0).max(), (ratio - 1.0).max()]
    return float(max(0.0, *broken))


def check_constraint(constraint: str | None, steps: int = 200) -> tuple[str, float, float]:
    """How a fit at a rate that is far too high ends, its last loss, and the largest excess."""
    random = np.random.default_rng(0)
    grid = rx.Grid((48,))
    x = random.standard_normal((20, 48))
    y = np.roll(x, 3, axis=1)
    model = rx.Relaxation(rx.ADR(grid, space="local"), depth=12, activation="identity", omega=0.8)
    worst = [0.0]

    def look(state: Any) -> bool:
        if constraint is not None:
            worst[0] = max(worst[0], excess(state.model, constraint))
        return False

    # A growing R has no bound among these.
    options: dict[str, Any] = {"trainable": {"R": False}, "callbacks": [look], "steps": steps}
    descent = rx.SteepestDescent(rate=0.03, momentum=0.9)
    try:
        fit = rx.fit(model, x, y, optimizer=descent, constraint=constraint, **options)
    except rx.DivergenceError as error:
        return f"diverged at step {error.step}", float("nan"), worst[0]
    return fit.status.name.lower(), float(fit.history.loss[-1]), worst[0]


def main() -> None:
    """Run all and print the tables."""
    parser = argparse.ArgumentParser(description="stability numbers against layers")
    parser.add_argument("--nets", type=int, default=300)
    parser.add_argument("--line", type=int, default=10_000)
    parser.add_argument("--plane", type=int, default=2000)
    arguments = parser.parse_args()

    tally = check_certificates(arguments.nets)
    print(f"certificates: {tally.n} certified nets of {tally.n_drawn} drawn")
    print(f"  largest contraction over factor        {tally.worst_ratio:.16f}")
    print(f"  largest error over r / (1 - mu)        {tally.worst_bound:.16f}")
    print(f"  largest error over tolerance at depth  {tally.worst_depth:.6f}")
    print(f"  nets whose predicted depth is short    {tally.n_short}")
    for ndim, n in ((1, arguments.line), (2, arguments.plane)):
        waves = check_waves(n, ndim)
        print(f"waves in {ndim}-D: {waves.n} layers, {waves.n_near} within the band of {BAND:g}")
        print(f"  said to damp all waves                 {waves.n_damped}")
        print(f"  of these grew over {LAYERS} layers        {waves.n_wrong}")
        print(f"  not said to, and did (where sharp)     {waves.n_missed}")
    n_grown, peak = check_theta(500)
    print(f"theta >= 1/2, Re lambda <= 0: {n_grown} of 500 grew, largest |G| {peak:.15f}")
    for constraint in (None, "monotone", "stable"):
        end, loss, worst = check_constraint(constraint)
        print(f"constraint {constraint}: {end}, loss {loss:.4g}, largest excess {worst:.3g}")


if __name__ == "__main__":
    main()
