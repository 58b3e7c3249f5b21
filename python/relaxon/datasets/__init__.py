"""Data to fit: the set shipped with the package, and pairs from any labelled array."""

from .pairs import Pairs, SeaSurfaceTemperature, from_xarray, sst

__all__ = ["Pairs", "SeaSurfaceTemperature", "from_xarray", "sst"]
