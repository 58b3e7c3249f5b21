"""Model files of every kind: what the fuzzer damages."""

from __future__ import annotations

import datetime
import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import relaxon as rx
from relaxon.datasets.coordinates import Coordinates
from relaxon.datasets.scaling import Scaling
from relaxon.datasets.time_axis import Step
from relaxon.model import saving

Array = NDArray[Any]

MASK = np.ones((4, 5), dtype=bool)
MASK[1:3, 2:4] = False
PLANE = rx.Grid(
    (4, 5),
    spacing=(0.1, 1 / 3),
    boundary=(("neumann", rx.Dirichlet(0.7)), "periodic"),
    mask=MASK,
    mask_boundary=rx.Dirichlet(-0.25),
    names=("y", "x"),
    origin=(1.0, -2.0),
    unit=("m", "km"),
)
LINE = rx.Grid((7,), boundary="neumann")
RING = rx.Grid((6,), spacing=2.5)
BOX = rx.Grid((2, 3, 2), boundary=("periodic", "neumann", rx.Dirichlet(1.0)))

EXTRA: dict[str, Any] = {
    "data": "sea.nc",
    "select": ["level=850"],
    "missing": [-999.0, 1],
    "nested": {"a": [None, True, {"b": "\u00e9 \U0001f30a"}], "c": 1e-300},
    "climatology": np.arange(6.0).reshape(2, 3),
    "valid": np.array([True, False, True]),
    "labels": np.array([3, -1], np.int16),
    "half": np.array(0.5, np.float16),
    "none": np.zeros((0, 3)),
}


def scaling(period: str, names: tuple[str, ...] = ("lat", "lon")) -> Scaling:
    """Of a plane: degrees with a mask, or other axes without units."""
    units = {"lat": "degrees_north", "lon": "degrees_east"}
    entries = [
        (name, 10.0 + 5.0 * np.arange(n), {"units": units.get(name, "")})
        for name, n in zip(names, MASK.shape, strict=True)
    ]
    random = np.random.default_rng(1)
    start = np.datetime64(datetime.datetime(2020, 1, 1))
    times = start + np.arange(96) * np.timedelta64(7, "h")
    values = random.standard_normal((96, *MASK.shape))
    values[:, ~MASK] = np.nan
    return Scaling.fit(
        values,
        times,
        period=period,
        lead=2,
        step=Step(25200.0, "s", 0, has_dates=True),
        coordinates=Coordinates.read(entries),
        name="sst",
        unit="K",
    )


def models() -> dict[str, rx.Relaxation]:
    """Small ones: all operators, sides, masks, kinds of omega and bias, ends, scalings, types."""
    flat = PLANE.replace(mask_boundary="neumann")
    return {
        "plane, local, layered": rx.Relaxation(
            rx.ADR(PLANE, space="local", time="layered", scheme="upwind"),
            depth=3,
            activation="gelu",
            omega=np.array([0.1, 0.2, 0.3]),
            bias="local",
            beta=0.01,
            dt=0.1,
            time_unit="h",
            seed=5,
        ),
        "float32, trained omega": rx.Relaxation(
            rx.ADR(PLANE, scheme="lax-wendroff"), depth=2, trainable_omega=True, dtype="float32"
        ),
        "omega per cell": rx.Relaxation(
            rx.ADR(LINE), depth=2, omega=np.linspace(0, 1, 7)[np.newaxis], trainable_omega=True
        ),
        "omega per masked cell": rx.Relaxation(
            rx.ADR(flat), depth=2, omega=np.where(MASK, 0.5, np.nan)
        ),
        "box": rx.Relaxation(rx.ADR(BOX), depth=4, bias="homogeneous"),
        "implicit": rx.Relaxation(
            rx.ADR(PLANE, space="local"),
            depth=2,
            omega=2.5,
            theta=0.75,
            drive=True,
            normalization="hard",
        ),
        "attractor": rx.Relaxation(
            rx.ADR(LINE),
            depth="attractor",
            drive=True,
            attractor={"method": "newton", "tol": 1e-9, "max_iterations": 60},
        ),
        "moments": rx.Relaxation(rx.Moments(LINE, order=3, space="local"), depth=2),
        "banded": rx.Relaxation(rx.Banded(RING, radius=2, time="layered"), depth=2),
        "dense": rx.Relaxation(rx.Dense(LINE, time="layered"), depth=2, activation="identity"),
        "dense, masked": rx.Relaxation(rx.Dense(PLANE), depth=1, dtype="float32"),
        "ends": rx.Relaxation(
            rx.ADR(RING), depth=2, lift=rx.Lift(3, "tanh"), readout=rx.Readout(2), seed=2**70
        ),
        "readout": rx.Relaxation(rx.Moments(RING, order=2), depth=2, readout=rx.Readout(3)),
        "monthly": rx.Relaxation(rx.ADR(flat, space="local"), depth=2).with_scaling(
            scaling("month")
        ),
        "hourly": rx.Relaxation(rx.ADR(flat), depth=2).with_scaling(scaling("hour")),
        "means": rx.Relaxation(rx.ADR(flat), depth=2).with_scaling(scaling("mean", ("y", "x"))),
        "one mean": rx.Relaxation(rx.ADR(flat), depth=2).with_scaling(scaling("none", ("z", "t"))),
    }


@functools.cache
def corpus() -> dict[str, bytes]:
    """Model files by name."""
    found = {name: saving.encode(model) for name, model in models().items()}
    model = models()["plane, local, layered"]
    found["extra"] = saving.encode(model, EXTRA)
    found["extra, scaled"] = saving.encode(models()["monthly"], {"data": "a.nc", "select": []})
    return found


def write(folder: Path) -> list[Path]:
    """The corpus as files."""
    paths = []
    for name, content in corpus().items():
        paths.append(folder / f"{name.replace(', ', '-').replace(' ', '_')}.safetensors")
        paths[-1].write_bytes(content)
    return paths
