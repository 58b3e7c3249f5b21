r"""
Air temperature over the United Kingdom
=======================================

Hourly 2 m temperature of ERA5 in March 2019 on 33 x 49 cells, six hours ahead.
The file is not part of the package (ERA5, Copernicus Climate Change Service,
Hersbach et al. 2020, doi:10.1002/qj.3803); any file that xarray opens with one
axis of time takes the same way.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import relaxon as rx

LEAD, DEPTH = 6, 8
temperature = xr.open_dataset(os.environ["ERA5"])["t2m"]  # ERA5: path of the file
n_training = int(0.75 * len(temperature))


def split(begin, end, test):
    """Pairs for training, and for testing with the climatology of the former."""
    pairs = rx.datasets.from_xarray(
        temperature[begin:end], lead=LEAD, anomaly="hour"
    )
    return pairs, rx.datasets.from_xarray(
        temperature[end:test], lead=LEAD, anomaly="hour", scaling=pairs.scaling
    )


training, held_out = split(0, n_training, None)
print(*training.notes, sep="\n")
print(f"{len(training)} pairs for training, {len(held_out)} held out")

# %%
# The comparison is damped persistence with a factor for every cell: each
# anomaly from the mean of its hour of the day keeps a fraction of itself.
# Weather moves, and a drift that is constant in time has a hard task: the wind
# turns. So the fit takes a hundred steps at most. The number of steps is the
# one with the least error relative to damped persistence on days that follow
# the fitted ones, three times *within* the training days.


def error(prediction, y):
    """Mean squared error in units of the variance of y in training."""
    return np.mean((prediction - y) ** 2) / np.var(training.y)


def damped(pairs):
    """Factor of damped persistence in each cell."""
    return np.sum(pairs.x * pairs.y, axis=0) / np.sum(pairs.x**2, axis=0)


def fit_local(pairs, steps, callbacks=()):
    """Local coefficients in eight layers, from the default start."""
    model = rx.Relaxation(
        rx.ADR(pairs.grid, space="local", scheme="upwind"),
        depth=DEPTH,
        activation="identity",
        dt=LEAD * 3600 / DEPTH,
        time_unit="s",
    )
    descent = rx.SteepestDescent(rate=1e-2, line_search="barzilai-borwein")
    smooth = [rx.Smoothness(100.0)]
    return rx.fit(
        model,
        pairs.x,
        pairs.y,
        optimizer=descent,
        penalties=smooth,
        steps=steps,
        callbacks=callbacks,
    ).model


MOST = 100
curves = []
for end in (n_training // 2, 2 * n_training // 3, 5 * n_training // 6):
    fitted, after = split(0, end, end + n_training // 6)
    reference = error(damped(fitted) * after.x, after.y)
    curve = []

    def watch(state, after=after, reference=reference, curve=curve):
        """Record the error on the days after."""
        curve.append(error(state.model(after.x), after.y) / reference)

    fit_local(fitted, MOST, [watch])
    curves.append(curve)
n_steps = 1 + int(np.argmin(np.max(curves, axis=0)))

figure, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for number, curve in enumerate(curves, start=1):
    ax.plot(range(1, MOST + 1), curve, label=f"part {number}")
ax.axvline(n_steps, color="black", linestyle=":", label="least worst case")
ax.axhline(1.0, color="0.6")
ax.set(
    xlabel="descent steps", ylabel="error / damped persistence", ylim=(0.8, 1.1)
)
ax.legend()
plt.show()

# %%
# Few steps help one part and hurt another; the number at which the worst of
# them is best is taken. The curves jump, as steps of Barzilai and Borwein do,
# and where the least lies at the last step, more of them might gain a little.
# L-BFGS with less smoothness, chosen at three and six hours together, does
# better: ``bench/README.md`` lists what was tried, and the README its result.

model = fit_local(training, n_steps)
rows = {
    "persistence": lambda x: x,
    "damped persistence per cell": lambda x: damped(training) * x,
    f"local model, {n_steps} steps": model,
}
print(f"{'':30}{'training':>10}{'held out':>10}")
for name, forecast in rows.items():
    errors = (
        error(forecast(training.x), training.y),
        error(forecast(held_out.x), held_out.y),
    )
    print(f"{name:30}{errors[0]:10.3f}{errors[1]:10.3f}")

# %%
# Persistence is beaten by far, damped persistence by little. That is the honest
# size of what one constant drift field knows about three weeks of weather and
# the week after.

print(rx.explain(model))

# %%
# The map of U, the mean drift of temperature anomalies: arrows its direction,
# colour its speed.

fields = rx.explain(model).fields
north, east = fields["U"]
figure, ax = plt.subplots(figsize=(7.5, 5), layout="constrained")
longitude, latitude = temperature.longitude, np.sort(temperature.latitude)
mesh = ax.pcolormesh(longitude, latitude, np.hypot(north, east), cmap="viridis")
every = (slice(1, None, 3), slice(1, None, 3))
ax.quiver(
    longitude[every[1]],
    latitude[every[0]],
    east[every],
    north[every],
    color="white",
)
ax.set(xlabel="longitude (°E)", ylabel="latitude (°N)")
figure.colorbar(mesh, label="drift of anomalies (m/s)")
plt.show()

# %%
# Anomalies move eastward nearly everywhere, with the westerlies, but at a few
# metres per second at most: much slower than the wind. A constant U is the mean
# over directions that the wind took in three weeks. Single arrows of the
# opposite direction at the coasts and over hills are not to be trusted.
