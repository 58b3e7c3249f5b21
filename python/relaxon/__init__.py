"""relaxon: networks whose layers are steps of a relaxation and whose weights are physics."""

import importlib.metadata

from . import datasets
from ._config import show_config
from .explain import Explanation, explain
from .files import FileFormatError, load, save
from .fit import DivergenceError, Fit, History, State, Status, fit
from .gradient_check import GradientCheck, check_gradient
from .grid import Dirichlet, Grid
from .losses import L2, Smoothness, SquaredDistance
from .model import Relaxation
from .operators import ADR, Banded, Dense, Moments
from .optimizers import SteepestDescent
from .plan import Plan, plan

__version__ = importlib.metadata.version("relaxon")

__all__ = [
    "ADR",
    "L2",
    "Banded",
    "Dense",
    "Dirichlet",
    "DivergenceError",
    "Explanation",
    "FileFormatError",
    "Fit",
    "GradientCheck",
    "Grid",
    "History",
    "Moments",
    "Plan",
    "Relaxation",
    "Smoothness",
    "SquaredDistance",
    "State",
    "Status",
    "SteepestDescent",
    "check_gradient",
    "datasets",
    "explain",
    "fit",
    "load",
    "plan",
    "save",
    "show_config",
]
