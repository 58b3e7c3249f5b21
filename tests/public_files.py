"""Small netCDF files with the headers of public ones, whose fields move by known coefficients.

``python tests/public_files.py FOLDER`` writes them all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smooth_fields import smooth

Array = NDArray[Any]

EARTH_RADIUS = 6.371e6
# Steps of the reference within one step of time.
N_PARTS = 20


@dataclass(frozen=True)
class Motion:
    """What moves a field, in cells and steps of time; the last axis is the longitude.

    Attributes
    ----------
    drift : float
        Along the longitude.
    diffusivity : float
        Along both axes.
    rate : float
        Negative for decay.
    """

    drift: float
    diffusivity: float
    rate: float

    def metres_per_second(self, width: float, step: float) -> float:
        """The drift, of cells of so many degrees at the equator and a step in seconds."""
        return float(self.drift * np.radians(width) * EARTH_RADIUS / step)


def driven(motion: Motion, shape: tuple[int, ...], seed: int, sea: Array | None = None) -> Array:
    """Fields (time, latitude, longitude) that move and are driven by smooth noise.

    Periodic along the longitude, no flux through the other sides and into land.
    """
    n_spin_up = 15
    forcing = 0.5 * smooth((n_spin_up + shape[0], *shape[1:]), seed)
    sea = np.ones(shape[1:], dtype=bool) if sea is None else sea
    x, fields = np.zeros(shape[1:]), []
    for force in forcing:
        for _ in range(N_PARTS):
            x = x + _tendency(x, motion, sea) / N_PARTS
        x = np.where(sea, x + force, 0.0)
        fields.append(x)
    return np.array(fields[n_spin_up:])


def _tendency(x: Array, motion: Motion, sea: Array) -> Array:
    """Central differences of decay, drift and diffusion."""

    def neighbour(axis: int, step: int) -> Array:
        other, is_sea = np.roll(x, -step, axis), np.roll(sea, -step, axis)
        if axis == 0:
            is_sea[-1 if step > 0 else 0] = False
        return np.where(is_sea, other, x)

    west, east = neighbour(1, -1), neighbour(1, 1)
    south, north = neighbour(0, -1), neighbour(0, 1)
    diffusion = west + east + south + north - 4 * x
    change = motion.rate * x - motion.drift * (east - west) / 2 + motion.diffusivity * diffusion
    return np.asarray(change)


def _add(
    data: Any, name: str, dims: tuple[str, ...], values: Any, fill: Any = None, **of: Any
) -> None:
    """A variable as it is stored, with its attributes."""
    values = np.asarray(values)
    variable = data.createVariable(name, values.dtype, dims, fill_value=fill)
    variable.set_auto_maskandscale(False)
    variable.setncatts(of)
    variable[...] = values


def _edges(centres: Array) -> Array:
    """Bounds of even cells."""
    half = (centres[1] - centres[0]) / 2
    return np.stack([centres - half, centres + half], axis=-1)


# -- a daily mean of a climate model ------------------------------------------------------------

CMIP = Motion(drift=0.4, diffusivity=0.15, rate=-0.1)


def write_cmip(path: Path) -> None:
    """Near-surface temperature of two years of 360 days, as CMIP6 publishes it."""
    from netCDF4 import Dataset

    n, lat, lon = 720, np.arange(-75.0, 76.0, 15.0), np.arange(7.5, 360.0, 15.0)
    days = 36000.5 + np.arange(n)
    season = np.cos(2 * np.pi * np.arange(n) / 360)[:, None, None]
    row = np.radians(lat)[:, None]
    mean = 288 - 30 * np.sin(row) ** 2
    tas = mean - 8 * season * np.sin(row) + driven(CMIP, (n, len(lat), len(lon)), 2)
    with Dataset(path, "w", format="NETCDF4_CLASSIC") as data:
        for name, length in (("time", None), ("bnds", 2), ("lat", len(lat)), ("lon", len(lon))):
            data.createDimension(name, length)
        time = {"units": "days since 1850-01-01", "calendar": "360_day", "axis": "T"}
        _add(data, "time", ("time",), days, bounds="time_bnds", long_name="time",
             standard_name="time", **time)  # fmt: skip
        _add(data, "time_bnds", ("time", "bnds"), _edges(days))
        for name, values, axis, word in (("lat", lat, "Y", "north"), ("lon", lon, "X", "east")):
            long_name = {"lat": "Latitude", "lon": "Longitude"}[name]
            _add(data, name, (name,), values, bounds=f"{name}_bnds", units=f"degrees_{word}",
                 axis=axis, long_name=long_name, standard_name=long_name.lower())  # fmt: skip
            _add(data, f"{name}_bnds", (name, "bnds"), _edges(values))
        _add(data, "height", (), 2.0, units="m", axis="Z", positive="up", long_name="height",
             standard_name="height")  # fmt: skip
        _add(
            data, "tas", ("time", "lat", "lon"), tas.astype("f4"), np.float32(1e20),
            standard_name="air_temperature", long_name="Near-Surface Air Temperature",
            comment="near-surface (usually, 2 meter) air temperature", units="K",
            original_name="mo: (stash: m01s03i236, lbproc: 128)",
            cell_methods="area: time: mean", cell_measures="area: areacella",
            history="2019-06-19T11:05:06Z altered by CMOR: Treated scalar dimension: 'height'.",
            coordinates="height", missing_value=np.float32(1e20),
        )  # fmt: skip
        data.setncatts({
            "Conventions": "CF-1.7 CMIP-6.2", "activity_id": "CMIP", "branch_method": "standard",
            "branch_time_in_child": 0.0, "branch_time_in_parent": 144540.0,
            "creation_date": "2019-06-19T11:46:20Z", "cv_version": "6.2.20.1",
            "data_specs_version": "01.00.29", "experiment": "all-forcing simulation",
            "experiment_id": "historical", "external_variables": "areacella",
            "forcing_index": np.int32(3), "frequency": "day", "further_info_url": "https://example",
            "grid": "Native N96 grid; 192 x 144 longitude/latitude", "grid_label": "gn",
            "institution_id": "MOHC", "mip_era": "CMIP6", "nominal_resolution": "250 km",
            "product": "model-output", "realization_index": np.int32(1), "realm": "atmos",
            "source_id": "HadGEM3-GC31-LL", "source_type": "AOGCM AER", "table_id": "day",
            "title": "HadGEM3-GC31-LL output prepared for CMIP6", "variable_id": "tas",
            "variable_name": "tas", "variant_label": "r1i1p1f3", "tracking_id": "hdl:21.14100/0",
        })  # fmt: skip


# -- a reanalysis with members and levels -------------------------------------------------------

REANALYSIS = Motion(drift=0.3, diffusivity=0.1, rate=-0.1)


def write_reanalysis(path: Path) -> None:
    """Temperature of members at two levels, every six hours, packed, north up, as ERA5's."""
    from netCDF4 import Dataset

    n, n_members, levels = 60, 3, np.array([500, 850], dtype="i4")
    lat, lon = np.arange(60.0, -61.0, -12.0, dtype="f4"), np.arange(0, 360, 15, dtype="f4")
    size = (n, len(lat), len(lon))
    t = np.empty((n, n_members, len(levels), *size[1:]))
    for member in range(n_members):
        for level, mean in enumerate((253.0, 281.0)):
            field = driven(REANALYSIS, size, 10 * member + level)
            t[:, member, level] = mean - 0.1 * np.abs(lat[:, None]) + field
    scale, offset = np.ptp(t) / 65532, (t.max() + t.min()) / 2
    packed = np.rint((t - offset) / scale).astype("i2")
    with Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as data:
        sizes = {"longitude": len(lon), "latitude": len(lat), "level": 2, "number": n_members}
        for name, length in {**sizes, "time": None}.items():
            data.createDimension(name, length)
        _add(data, "longitude", ("longitude",), lon, units="degrees_east", long_name="longitude")
        _add(data, "latitude", ("latitude",), lat, units="degrees_north", long_name="latitude")
        _add(data, "level", ("level",), levels, units="millibars", long_name="pressure_level")
        _add(data, "number", ("number",), np.arange(n_members, dtype="i4"),
             long_name="ensemble_member")  # fmt: skip
        hours = (1043136 + 6 * np.arange(n)).astype("i4")
        _add(data, "time", ("time",), hours, units="hours since 1900-01-01 00:00:00.0",
             long_name="time", calendar="gregorian")  # fmt: skip
        _add(
            data, "t", ("time", "number", "level", "latitude", "longitude"), packed,
            np.int16(-32767), scale_factor=scale, add_offset=offset, missing_value=np.int16(-32767),
            units="K", long_name="Temperature", standard_name="air_temperature",
        )  # fmt: skip
        history = "2024-01-09 12:00:00 GMT by grib_to_netcdf-2.25.1"
        data.setncatts({"Conventions": "CF-1.6", "history": history})


# -- a satellite product with clouds ------------------------------------------------------------

SATELLITE = Motion(drift=0.3, diffusivity=0.2, rate=-0.1)


def write_satellite(path: Path) -> None:
    """Sea-surface temperature between clouds and land, packed, with flags, as GHRSST's L3."""
    from netCDF4 import Dataset

    n, lat, lon = 120, np.arange(-22.5, 23.0, 3.0, dtype="f4"), np.arange(-175, 180, 10, dtype="f4")
    size = (n, len(lat), len(lon))
    sea = np.ones(size[1:], dtype=bool)
    sea[5:10, 12:17] = False
    sst = 300 - 0.1 * np.abs(lat[:, None]) + 0.5 * driven(SATELLITE, size, 5, sea)
    random = np.random.default_rng(6)
    is_cloud = (smooth(size, 7) > 1.8) | (random.random(size) < 0.003)
    packed = np.rint((sst - 273.15) / 0.01).astype("i2")
    # Clouds are beyond the valid range, land is filled.
    packed[is_cloud] = 4600
    packed[:, ~sea] = -32768
    quality = np.where(is_cloud, 1, 5).astype("i1")
    quality[:, ~sea] = -128
    with Dataset(path, "w") as data:
        for name, length in (("time", None), ("lat", len(lat)), ("lon", len(lon))):
            data.createDimension(name, length)
        dims = ("time", "lat", "lon")
        seconds = (1072958400 + 86400 * np.arange(n)).astype("i4")
        _add(data, "time", ("time",), seconds, long_name="reference time of sst file",
             standard_name="time", axis="T", units="seconds since 1981-01-01 00:00:00",
             comment="", calendar="gregorian")  # fmt: skip
        for name, values, axis, word in (("lat", lat, "Y", "north"), ("lon", lon, "X", "east")):
            long_name = {"lat": "latitude", "lon": "longitude"}[name]
            limit = np.float32({"lat": 90, "lon": 180}[name])
            _add(data, name, (name,), values, units=f"degrees_{word}", axis=axis,
                 standard_name=long_name, long_name=long_name, valid_min=-limit,
                 valid_max=limit)  # fmt: skip
        _add(
            data, "sea_surface_temperature", dims, packed, np.int16(-32768), units="kelvin",
            scale_factor=np.float32(0.01), add_offset=np.float32(273.15),
            valid_min=np.int16(-300), valid_max=np.int16(4500), depth="20 cm",
            long_name="sea surface subskin temperature", coordinates="lon lat",
            standard_name="sea_surface_subskin_temperature", source="VIIRS-NPP-OSPO-L2P-v2.61",
            ancillary_variables="quality_level l2p_flags",
            coverage_content_type="physicalMeasurement",
        )  # fmt: skip
        _add(
            data, "quality_level", dims, quality, np.int8(-128), long_name="quality level",
            valid_min=np.int8(0), valid_max=np.int8(5), flag_values=np.arange(6, dtype="i1"),
            flag_meanings="no_data bad_data worst_quality low_quality acceptable_quality "
            "best_quality", coordinates="lon lat",
        )  # fmt: skip
        flags = np.broadcast_to(np.where(sea, 0, 2).astype("i2"), size)
        _add(data, "l2p_flags", dims, flags, long_name="L2P flags", coordinates="lon lat",
             flag_masks=np.array([1, 2], dtype="i2"), flag_meanings="microwave land")  # fmt: skip
        data.setncatts({
            "Conventions": "CF-1.7, ACDD-1.3, ISO 8601", "title": "Sea Surface Temperature, L3S",
            "id": "L3S-LEO-PM-v2.80", "institution": "NOAA/NESDIS/STAR", "processing_level": "L3S",
            "gds_version_id": "02.0", "netcdf_version_id": "4.9.0", "spatial_resolution": "10 deg",
            "start_time": "20150101T000000Z", "stop_time": "20150430T235959Z",
            "standard_name_vocabulary": "CF Standard Name Table v79", "cdm_data_type": "grid",
        })  # fmt: skip


@dataclass(frozen=True)
class PublicFile:
    """One file and what is true of it.

    Attributes
    ----------
    write : callable
        Writes it to a path.
    motion : Motion
        Of its field.
    width, step : float
        Of a cell along the longitude, in degrees, and of time, in seconds.
    """

    write: Callable[[Path], None]
    motion: Motion
    width: float
    step: float


FILES = {
    "tas_day_historical.nc": PublicFile(write_cmip, CMIP, 15.0, 86400.0),
    "reanalysis.nc": PublicFile(write_reanalysis, REANALYSIS, 15.0, 6 * 3600.0),
    "sst_l3s.nc": PublicFile(write_satellite, SATELLITE, 10.0, 86400.0),
}

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in FILES.items():
        file.write(folder / name)
