r"""
Which targets do 3, 3N, 3NL and dense weights reach?
=====================================================

The paper orders neural advection-diffusion-reaction equations by their number
of parameters: three numbers for all cells and layers (3), three per cell (3N),
three per cell and layer (3NL), beside a free matrix (N²), and asks which
targets they reach. Two answers, for N = 64 cells and L = 16 layers: for one
signal, and for a whole map.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import expm

import relaxon as rx

N, L = 64, 16
grid = rx.Grid((N,), names="cell")
families = {
    "3": rx.ADR(grid),
    "3N": rx.ADR(grid, space="local"),
    "3NL": rx.ADR(grid, space="local", time="layered"),
    "N²": rx.Dense(grid),
}


def train(op, x, y, steps):
    """Fit a linear network, from the default start, by L-BFGS."""
    model = rx.Relaxation(op, depth=L, activation="identity", omega=0.5)
    return rx.fit(
        model, x, y, optimizer=rx.LBFGS(), steps=steps, tolerance=0.0
    ).model


def distance(model, x, y):
    """Relative L2 distance of the output from its target."""
    return np.linalg.norm(model(x) - y) / np.linalg.norm(y)


# %%
# One signal, three targets
# -------------------------
#
# One bump is to become a lower and wider one further right, two bumps, or a
# step.

cell = np.arange(N)


def bump(centre, width):
    return np.exp(-0.5 * ((cell - centre) / width) ** 2)


x = bump(20, 4)
targets = {
    "moved and spread": 0.6 * bump(28, 6),
    "split in two": bump(14, 3) + 0.6 * bump(40, 5),
    "step": ((cell >= 24) & (cell < 44)).astype(float),
}
trained = {
    target: {name: train(op, x, y, steps=3000) for name, op in families.items()}
    for target, y in targets.items()
}

figure, axes = plt.subplots(
    1, 3, figsize=(8, 2.9), layout="constrained", sharey=True
)
for ax, (target, y) in zip(axes, targets.items(), strict=True):
    ax.plot(cell, x, color="0.7", label="input")
    ax.plot(cell, y, color="black", linewidth=3, alpha=0.35, label="target")
    for name in ("3", "3N", "3NL"):
        ax.plot(cell, trained[target][name](x), label=name)
    ax.set(title=target, xlabel="cell")
axes[0].set_ylabel("signal z")
axes[0].legend()
plt.show()

# %%
# Three numbers move and spread a bump; they cannot split it, nor make an edge.
# Three per cell do both. The next figure has the distances over the number of
# parameters.

figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
n_parameters = [op.n_parameters(L) for op in families.values()]
for (target, y), marker in zip(targets.items(), "os^", strict=True):
    errors = [
        max(distance(trained[target][name], x, y), 1e-12) for name in families
    ]
    ax.loglog(n_parameters, errors, marker=marker, label=target)
for name, n, side in zip(
    families, n_parameters, ("center", "center", "right", "left"), strict=True
):
    ax.annotate(
        name, (n, 1e-12), (0, -6), textcoords="offset points", ha=side, va="top"
    )
ax.set(
    xlabel="number of parameters",
    ylabel="relative L2 distance from the target",
    ylim=(1e-13, 3),
)
ax.legend()
plt.show()

# %%
# A free matrix reaches any single target to rounding: one pair of signals asks
# nothing of it. More parameters are not a better fit, though: with coefficients
# of its own for each layer (3NL) the same descent is still far from targets
# that the sixteen times smaller 3N reaches. The set of targets is larger, the
# landscape is worse; layers can undo each other's work.
#
# A map, from few examples
# ------------------------
#
# A single pair says nothing about *other* signals. Now the target is the map of
# a known equation with local drift, diffusivity and rate over eight units of
# time (its exact propagator, with spectral derivatives), given by 1 to 64 pairs
# of random signals, with 1 % noise on the answers. What counts is the error on
# 200 other signals.

angle = 2 * np.pi * cell / N
k = 2 * np.pi * np.fft.rfftfreq(N)


def derivative(order):
    """Spectral derivative as a matrix; columns are those of the unit signals."""
    factor = (1j * k) ** order
    if order % 2:
        factor[-1] = 0.0  # the wave of two cells has no odd derivative
    return np.fft.irfft(
        factor[:, None] * np.fft.rfft(np.eye(N), axis=0), N, axis=0
    )


generator = (
    np.diag(-0.02 + 0.01 * np.sin(2 * angle))
    - np.diag(0.5 + 0.3 * np.sin(angle)) @ derivative(1)
    + np.diag(0.4 + 0.2 * np.cos(angle)) @ derivative(2)
)
propagator = expm(8 * generator)
rng = np.random.default_rng(0)


def signals(n):
    white = np.fft.rfft(rng.standard_normal((n, N)))
    smooth = np.fft.irfft(white * np.exp(-0.5 * (3 * k) ** 2), N)
    return smooth / smooth.std()


seen, unseen = signals(64), signals(200)
answers = seen @ propagator.T
answers += 0.01 * answers.std() * rng.standard_normal(answers.shape)
n_pairs = [1, 2, 4, 8, 16, 32, 64]
held_out = {
    name: [
        distance(
            train(op, seen[:n], answers[:n], steps=600),
            unseen,
            unseen @ propagator.T,
        )
        for n in n_pairs
    ]
    for name, op in families.items()
}

figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
for name, errors in held_out.items():
    ax.loglog(
        n_pairs,
        errors,
        marker="o",
        label=f"{name}: {families[name].n_parameters(L)} parameters",
    )
ax.axhline(0.01, color="black", linestyle=":", label="noise of the answers")
ax.set(
    xlabel="pairs of signals for training",
    ylabel="relative L2 error on unseen signals",
    xticks=n_pairs,
)
ax.xaxis.set_major_formatter("{x:g}")
ax.minorticks_off()
ax.legend(loc="lower left")
plt.show()

for name, errors in held_out.items():
    print(f"{name:>3}: " + "  ".join(f"{100 * error:6.2f} %" for error in errors))

# %%
# Coefficients per cell, which is the form of the equation, come below the noise
# of the answers with a handful of pairs, and they are a drift, a diffusivity
# and a rate. The free matrix needs as many pairs as it has columns (64) to get
# there. Three numbers for all cells are found from a single pair, and stay at
# the error of an equation without local coefficients, however many pairs they
# see. None of this says that dense networks are bad; it says that an operator
# of the right form needs fewer examples.
