r"""
Recovery of known coefficients
==============================

Sixteen random smooth signals on a ring, each seen again at three later times,
obey

.. math:: z_t = R(q)\, z - U(q)\, z_q + D(q)\, z_{qq}

with :math:`R = -0.1 + 0.2 \sin 2q`, :math:`U = 0.5 + 0.3 \sin q` and :math:`D =
0.05\,(1 + 0.5 \cos q)`. Can the three functions be read off a trained network?

The network has 30 layers on 128 cells, with targets at layers 10, 20 and 30,
and :math:`3 N = 384` coefficients that start from their defaults. The data come
from a solver that shares nothing with it: spectral derivatives on 512 cells and
SciPy's DOP853 with tolerances of 1e-9, of which every fourth cell is kept.

.. literalinclude:: ../../bench/recovery.py
   :pyobject: solve
   :caption: bench/recovery.py
"""

# %%
# Without noise
# -------------
#
# Time per layer: the leading errors of the Euler step and of central
# differences cancel where :math:`D\, \Delta t / h^2 = 1/6`. With the mean of D
# that is :math:`\Delta t = 0.008`, half of the bound of stability. In practice
# D is not known; one fit with a smaller step tells it well enough.

import matplotlib.pyplot as plt
import numpy as np

from bench import recovery

print(f"D dt / h^2 = {0.05 * recovery.TIME_PER_LAYER / recovery.SPACING**2:.3f}")

x, y = recovery.make_data(seed=0)
clean = recovery.train(recovery.make_model(seed=0), x, y)
for name, error in recovery.errors(clean).items():
    print(f"{name}: relative L2 error {100 * error:.2f} %")

# %%
# With noise
# ----------
#
# Now everything that is seen, initial signals included, carries Gaussian noise
# of 1 % of its standard deviation, independent in every cell. Differences
# amplify it, and the fit needs smoothness. Its two strengths, one for R and one
# for U and D (their lattice values are some fifty times larger), are those with
# the least loss on four of the sixteen signals, held out; the truth is not
# looked at. The fit is then repeated with all sixteen.

x, y = recovery.make_data(seed=0, noise=recovery.NOISE)
start = recovery.make_model(seed=0)
strengths = recovery.choose_strengths(start, x, y)
noisy = recovery.train(start, x, y, strengths)
print(f"chosen: {strengths[0]:g} for R, {strengths[1]:g} for U and D")
for name, error in recovery.errors(noisy).items():
    print(f"{name}: relative L2 error {100 * error:.2f} %")

# %%
# Black: the functions that made the data. Without noise the recovered ones
# cannot be told from them; with noise the error is largest in R, which changes
# a signal least in the time that is seen, and where the smoothness cuts its
# peaks.

q = recovery.positions(recovery.CELLS)
true = recovery.true_fields(q)
labels = {
    "R": "reaction R (1/time)",
    "U": "speed U (length/time)",
    "D": "diffusivity D (length²/time)",
}
figure, axes = plt.subplots(1, 3, figsize=(8, 3), layout="constrained")
for ax, (name, label) in zip(axes, labels.items(), strict=True):
    ax.plot(q, true[name], color="black", linewidth=3, alpha=0.35, label="truth")
    ax.plot(
        q, recovery.read_fields(clean)[name], color="C0", label="noise-free data"
    )
    ax.plot(
        q,
        recovery.read_fields(noisy)[name],
        color="C1",
        linestyle="--",
        label="1 % noise",
    )
    ax.set(xlabel="position q (rad)", ylabel=label, xlim=(0, 2 * np.pi))
figure.legend(
    *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3
)
plt.show()

# %%
# Which D is the physical one
# ---------------------------
#
# An Euler step of central differences acts as if the diffusivity were smaller
# by :math:`U^2 \Delta t / 2`. A model with ``scheme="central"`` learns to make
# up for that, and its trained D is too large by this amount. ``"lax-wendroff"``
# adds the term itself: the trained D is the physical one, nothing is to be
# added or taken off.

x, y = recovery.make_data(seed=0)
central = recovery.train(recovery.make_model(seed=0, scheme="central"), x, y)
excess = true["U"] ** 2 * recovery.TIME_PER_LAYER / 2
figure, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
ax.plot(
    q, 1e3 * (recovery.read_fields(clean)["D"] - true["D"]), label="lax-wendroff"
)
ax.plot(
    q, 1e3 * (recovery.read_fields(central)["D"] - true["D"]), label="central"
)
ax.plot(
    q, 1e3 * excess, color="black", linestyle=":", label=r"$U^2 \Delta t / 2$"
)
ax.set(
    xlabel="position q (rad)",
    ylabel="trained D minus true D\n(10⁻³ length²/time)",
    xlim=(0, 2 * np.pi),
)
ax.legend()
plt.show()

for name, model in {"lax-wendroff": clean, "central": central}.items():
    error = recovery.errors(model)["D"]
    print(f"{name}: relative L2 error of D {100 * error:.2f} %")

# %%
# The ripples are combinations of R, U and D that sixteen smooth signals hardly
# tell apart; thousands of steps of L-BFGS go into them.
#
# What remains
# ------------
#
# Errors that do not cancel come from the slopes of the coefficients: an Euler
# step mixes :math:`\tfrac12 \Delta t\,(R^2 - U R' + D R'')` into R and similar
# terms into U. They shrink with :math:`\Delta t`, but then the error of the
# differences is no longer cancelled. Rougher signals (more waves on the ring)
# raise that one as the square of the wavenumber. ``python -m bench.recovery``
# prints the errors for five seeds.
