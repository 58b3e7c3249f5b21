"""Data to fit: the set shipped with the package, and pairs from any labelled array."""

from .coordinates import Coordinates
from .pairs import Pairs, SeaSurfaceTemperature, from_xarray, sst
from .scaling import Scaling

__all__ = ["Coordinates", "Pairs", "Scaling", "SeaSurfaceTemperature", "from_xarray", "sst"]
