r"""
Special cases in closed form
============================

Networks of few coefficients whose answers are known: what the layers leave as
it is, where they lead, and which symmetries they keep. Each of these is a test
of the package, too.
"""

import matplotlib.pyplot as plt
import numpy as np

import relaxon as rx

ring = rx.Grid((64,), names="cell")


def coefficients(reaction=0.0, drift=0.0, diffusion=0.0):
    """Of a homogeneous operator in one dimension."""
    return {
        "R": np.array(reaction),
        "U": np.array([drift]),
        "D": np.array([diffusion]),
    }


# %%
# Identity
# --------
#
# With :math:`W = 1` and :math:`f(z) = z` every state is an equilibrium. Layers
# of :math:`\omega = 1` return the input bit by bit, whatever their number.

x = np.random.default_rng(0).standard_normal((3, 64))
still = rx.Relaxation(rx.ADR(ring), 50, activation="identity", omega=1.0)
print(np.array_equal(still.with_params(coefficients())(x), x))

# %%
# A local ordinary differential equation
# --------------------------------------
#
# Without neighbours, and with :math:`f(z) = z^2`, every cell is for itself a map
# :math:`z' = (1 - \omega) z + \omega (z - b)^2`. It has the fixed points
# :math:`\tfrac12 (2 b + 1 \mp q)`, :math:`q = \sqrt{1 + 4 b}`. The upper one is
# never stable; the lower one is where :math:`\omega q < 2`, and then what lies in
# :math:`(2 z_c - z_+, z_+)`, :math:`z_c = b - (1 - \omega) / (2 \omega)`, leads
# there. :func:`relaxon.attractors` follows the layers, so its shares are those
# of the basins, and Newton's method only finishes.

starts = np.linspace(-12.0, 4.0, 321)
cell = rx.ADR(rx.Grid((1,)))


def square(b, omega):
    """One cell that squares."""
    model = rx.Relaxation(
        cell, 1, activation="square", omega=omega, bias="homogeneous"
    )
    return model.with_params({**coefficients(), "bias": np.array(b)})


print(f"{'b':>5}{'omega':>7}{'share':>9}{'exact':>9}{'z*':>10}{'exact':>10}")
basins = []
for b in (0.0, 0.3, 1.5):
    q = np.sqrt(1 + 4 * b)
    low, high = (2 * b + 1 - q) / 2, (2 * b + 1 + q) / 2
    for omega in (0.2, 0.5, 1.0):
        found = rx.attractors(
            square(b, omega), starts[:, np.newaxis], max_iterations=2000
        )
        bottom = 2 * (b - (1 - omega) / (2 * omega)) - high
        is_stable = omega * q < 2
        exact = np.mean((starts > bottom) & (starts < high)) * is_stable
        at = f"{found.z[0, 0] + 0.0:10.4f}{low:10.4f}" if len(found.z) else ""
        print(f"{b:5.1f}{omega:7.1f}{found.share.sum():9.4f}{exact:9.4f}{at}")
        label = f"b = {b}, ω = {omega}"
        basins.append((found.index >= 0, bottom, high, is_stable, label))

figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
for row, (leads, bottom, high, is_stable, _) in enumerate(basins):
    colours = np.where(leads, "C0", "0.85")
    ax.scatter(starts, np.full(len(starts), row), 8, colours)
    if is_stable:
        ax.plot([bottom, high], [row, row], "|", color="C3", markersize=12)
ax.set_yticks(range(len(basins)), [label for *_, label in basins])
ax.set(xlabel="start", xlim=(-12, 4))
ax.set_title("Starts that lead to the attractor (blue), ends of its basin (red)")
plt.show()

# %%
# Green's function
# ----------------
#
# Linear layers end where :math:`(W - 1)\, z = b`: at :math:`G\, b` with
# :math:`G = (A - 1)^{-1}`. A column is the response to one cell. Here, on a plane
# with an island and a value held at the coast to the south, the response to a
# source, that is to :math:`b = -1`, with a drift to the east.

land = np.hypot(*np.meshgrid(np.arange(60) - 34, np.arange(40) - 22)) < 6
plane = rx.Grid(
    (40, 60),
    boundary=((rx.Dirichlet(0.0), "neumann"), "periodic"),
    mask=~land,
    names=("y", "x"),
)
op = rx.ADR(plane)
weights = {
    "R": np.array(-0.002),
    "U": np.array([0.0, 0.25]),
    "D": np.array([0.5, 0.0, 0.5]),
}
green = rx.green_function(op, weights, cells=[(18, 14)])
response = np.where(land, np.nan, -green[:, 0].reshape(plane.shape))
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
mesh = ax.pcolormesh(response, cmap="viridis")
ax.plot(14.5, 18.5, "r+", markersize=10)
ax.set(xlabel="x", ylabel="y", facecolor="0.7", title="Response to one cell")
figure.colorbar(mesh, label="z")
plt.show()

# %%
# It is what the layers lead to: the attractor with the same source agrees.

model = rx.Relaxation(op, "attractor", activation="identity", drive=True)
source = np.zeros(plane.shape)
source[18, 14] = 1.0
found = rx.attractor(model.with_params(weights), source, tol=1e-13)
print(f"{found.message}; {np.nanmax(np.abs(found.z - response)):.1e} apart")

# %%
# Where nothing holds a state there is no such inverse, and the message names it:

try:
    rx.green_function(rx.ADR(ring), coefficients(diffusion=1.0))
except ValueError as error:
    print(error)

# %%
# Symmetries
# ----------
#
# Homogeneous coefficients on a ring do not know where they are: a shifted input
# gives the shifted output. With an odd activation and without a bias, the
# network is odd. Both hold bit by bit.

travel = coefficients(-0.1, 0.3, 0.2)
model = rx.Relaxation(rx.ADR(ring), 20).with_params(travel)
print(np.array_equal(model(np.roll(x, 7, axis=1)), np.roll(model(x), 7, axis=1)))
print(np.array_equal(model(-x), -model(x)))

# %%
# Eleven activations
# ------------------
#
# With a source that is a wave, and one operator for all, the attractors of the
# eleven activations: those that saturate cut the wave, those that are no odd
# functions lift it. What is known before any search is the certificate: the
# slopes of silu and gelu exceed 1 a little, and the square has no largest slope.

names = ("identity", "tanh", "logistic", "relu", "leaky_relu", "softplus")
names += ("silu", "gelu", "sin", "square", "hard_tanh")
wave = 0.6 * np.sin(2 * np.pi * np.arange(64) / 64)
figure, axes = plt.subplots(
    3, 4, figsize=(8, 5.4), layout="constrained", sharex=True
)
for ax, name in zip(axes.flat, names, strict=False):
    model = rx.Relaxation(
        rx.ADR(ring), "attractor", activation=name, drive=True, omega=0.5
    ).with_params(coefficients(-0.8, 0.1, 0.1))
    found = rx.attractor(model, wave)
    bound = found.error_bound
    known = "not certified" if bound is None else f"error < {bound:.0e}"
    ax.plot(wave, color="0.7")
    ax.plot(found.z, color="C0" if found.success else "C3")
    ax.set_title(f"{name}, {known}", fontsize="small")
    ax.grid(alpha=0.3)
axes.flat[-1].set_axis_off()
for ax in axes[-1]:
    ax.set_xlabel("cell")
plt.show()
