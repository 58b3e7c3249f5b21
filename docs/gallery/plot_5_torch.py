r"""
A layer inside a PyTorch model
==============================

``relaxon.torch.RelaxationLayer`` makes a model an ``nn.Module``: torch's
optimizers train its coefficients together with whatever stands before and
behind it.

Here, a signal on a ring drifts, spreads and decays, and a sensor of unknown
characteristic reads it: :math:`y = g(z_L)`, one monotone curve for all cells.
The equation is relaxon's part, the curve is torch's: a small network. Neither
is seen alone; both are found from pairs of inputs and readings.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import relaxon as rx
from relaxon.torch import RelaxationLayer

N, L = 64, 10
op = rx.ADR(rx.Grid((N,), names="cell"), scheme="lax-wendroff")
model = rx.Relaxation(op, depth=L, activation="identity", omega=0.5)
truth = {"R": np.array(-0.02), "U": np.array([0.8]), "D": np.array([0.3])}

rng = np.random.default_rng(0)
k = 2 * np.pi * np.fft.rfftfreq(N)
white = np.fft.rfft(rng.standard_normal((200, N)))
x = np.fft.irfft(white * np.exp(-0.5 * (2 * k) ** 2), N)
x /= x.std()
moved = model.with_params(truth)(x)


def characteristic(z):
    """What the sensor shows; its slope at 0 is 1."""
    return np.arctan(1.5 * z) / 1.5


y = characteristic(moved) + 0.01 * rng.standard_normal(x.shape)

# %%
# The network behind the layer sees one cell at a time. Its slope at zero is not
# fixed: a signal twice as strong read by a sensor half as sensitive gives the
# same readings, so that R is not determined. ``requires_grad = False`` holds
# it, as in any torch model; U and D are trained.

torch.manual_seed(0)
layer = RelaxationLayer(model.with_params({**model.params, "R": truth["R"]}))
layer.R.requires_grad = False
sensor = torch.nn.Sequential(
    torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)
).double()
parts = [
    *filter(lambda p: p.requires_grad, layer.parameters()),
    *sensor.parameters(),
]
optimizer = torch.optim.Adam(parts, lr=1e-2)

inputs, readings = torch.from_numpy(x), torch.from_numpy(y)
history = []
for _ in range(600):
    optimizer.zero_grad()
    shown = sensor(layer(inputs).unsqueeze(-1)).squeeze(-1)
    loss = torch.mean((shown - readings) ** 2)
    loss.backward()
    optimizer.step()
    history.append((loss.item(), layer.U.item(), layer.D.item()))

trained = layer.to_relaxation()
for name in ("U", "D"):
    print(f"{name}: {trained.params[name][0]:.4f}, truth {truth[name][0]}")
print(f"rms of the residual: {history[-1][0] ** 0.5:.4f}, noise 0.01")

# %%
# The gradient through the layer is relaxon's adjoint, to the last bit; torch
# does the rest. The coefficients settle while the curve is still being bent,
# and both end at the truth.

losses, drift, diffusivity = np.transpose(history)
figure, axes = plt.subplots(1, 3, figsize=(8, 3), layout="constrained")
axes[0].semilogy(losses)
axes[0].axhline(1e-4, color="black", linestyle=":", label="noise")
axes[0].set(xlabel="step of Adam", ylabel="mean squared residual")
axes[1].plot(drift, label="U")
axes[1].plot(diffusivity, label="D")
for name in ("U", "D"):
    axes[1].axhline(truth[name][0], color="black", linestyle=":")
axes[1].set(xlabel="step of Adam", ylabel="coefficient (lattice units)")
level = np.linspace(moved.min(), moved.max(), 200)
with torch.no_grad():
    curve = sensor(torch.from_numpy(level)[:, None])[:, 0].numpy()
axes[2].plot(
    level, characteristic(level), color="0.6", linewidth=4, label="truth"
)
axes[2].plot(level, curve, label="trained")
axes[2].set(xlabel="signal z", ylabel="reading y")
for ax in axes:
    ax.legend()
plt.show()
