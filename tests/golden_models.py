"""Write the model files of a version, to be read by all later ones.

    python tests/golden_models.py tests/golden/COMMIT

Run with the version of the commit that the folder is named after; what is there is never written
again. 1ef25b8 is 0.1.0; db07b4f came before operators were objects.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import xarray as xr

import relaxon as rx


def models() -> dict[str, rx.Relaxation]:
    """One of each operator, and what else a file may hold."""
    plane = rx.Grid(
        (3, 5),
        spacing=(0.5, 2.0),
        boundary=("periodic", ("neumann", rx.Dirichlet(0.25))),
        mask=np.arange(15).reshape(3, 5) % 4 != 2,
        mask_boundary=rx.Dirichlet(-1.0),
        names=("north", "east"),
        unit=("km", "m"),
    )
    line = rx.Grid((9,), boundary="neumann")
    months = np.arange("2000-01", "2002-07", dtype="datetime64[M]").astype("datetime64[ns]")
    field = xr.DataArray(
        np.random.default_rng(3).standard_normal((30, 3, 4)),
        dims=("time", "latitude", "longitude"),
        coords={
            "time": months,
            "latitude": ("latitude", [10.0, 0.0, -10.0], {"units": "degrees_north"}),
            "longitude": ("longitude", [0.0, 2.0, 4.0, 6.0], {"units": "degrees_east"}),
        },
        name="sst",
        attrs={"units": "K"},
    )
    pairs = rx.datasets.from_xarray(field, anomaly="month")
    lift, readout = rx.Lift(3, "tanh"), rx.Readout(2)
    return {
        "adr": rx.Relaxation(
            rx.ADR(plane, space="local", time="layered", scheme="lax-wendroff"),
            depth=3,
            bias="local",
            omega=np.linspace(0.2, 0.6, 3),
            beta=0.1,
            seed=5,
        ),
        "adr_trained_omega": rx.Relaxation(
            rx.ADR(line, scheme="upwind"), depth=4, trainable_omega=True, dtype="float32"
        ),
        "moments": rx.Relaxation(
            rx.Moments(line, order=3), depth=2, activation="gelu", bias="homogeneous", dt=0.5
        ),
        "banded": rx.Relaxation(
            rx.Banded(line, radius=2, space="local"), depth=2, time_unit="d", omega=np.full(9, 0.3)
        ),
        "dense": rx.Relaxation(rx.Dense(plane, time="layered"), depth=2, dtype="float32"),
        "ends": rx.Relaxation(rx.ADR(line), depth=2, lift=lift, readout=readout),
        "scaling": rx.Relaxation(rx.ADR(pairs.grid), depth=2).with_scaling(pairs.scaling),
    }


def digests(model: rx.Relaxation) -> dict[str, str]:
    """Of the bits of every array that the file holds."""
    arrays = {**model.params, "omega": model.omega}
    if model.grid.mask is not None:
        arrays["mask"] = model.grid.mask
    if model.scaling is not None:
        arrays["climatology"] = model.scaling.climatology
    return {
        name: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        for name, array in sorted(arrays.items())
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir()
    for name, model in models().items():
        model.save(folder / f"{name}.safetensors")
        facts = {"repr": repr(model), "grid": repr(model.grid), "arrays": digests(model)}
        (folder / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n")
