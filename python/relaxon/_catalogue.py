"""Everything public, loaded with the first name that is asked of the package."""

from . import datasets
from ._config import show_config
from ._core import AttractorError, LayerError
from .domain.grid import Dirichlet, Grid
from .dynamics.amplification import Amplification, amplification
from .dynamics.attractor import Attractor, AttractorStatus, attractor
from .dynamics.basins import Attractors, attractors
from .dynamics.certificate import Certificate
from .dynamics.depth_profile import DepthProfile, depth_profile
from .dynamics.green_function import green_function
from .forecasting.checks import check_leads
from .forecasting.comparison import Comparison
from .model import losses
from .model.ends import Lift, Readout
from .model.gradient_check import GradientCheck, check_gradient
from .model.loading import FileFormatError, load
from .model.losses import *  # noqa: F403
from .model.relaxation import Relaxation
from .model.saving import save
from .operators import ADR, Banded, Dense, Moments
from .physics.explain import Explanation, explain
from .physics.stability import Stability
from .physics.stability_report import stability
from .training import optimizers
from .training.budget import Plan, plan
from .training.fit import CallbackError, DivergenceError, Fit, History, State, Status, fit
from .training.on_the_fly import LayerHistory, OnTheFlyFit, fit_on_the_fly
from .training.optimizers import *  # noqa: F403
from .training.penalties import L2, Smoothness
from .training.schedules import CosineDecay, ExponentialDecay

__all__ = [
    "ADR",
    "L2",
    "Amplification",
    "Attractor",
    "AttractorError",
    "AttractorStatus",
    "Attractors",
    "Banded",
    "CallbackError",
    "Certificate",
    "Comparison",
    "CosineDecay",
    "Dense",
    "DepthProfile",
    "Dirichlet",
    "DivergenceError",
    "Explanation",
    "ExponentialDecay",
    "FileFormatError",
    "Fit",
    "GradientCheck",
    "Grid",
    "History",
    "LayerError",
    "LayerHistory",
    "Lift",
    "Moments",
    "OnTheFlyFit",
    "Plan",
    "Readout",
    "Relaxation",
    "Smoothness",
    "Stability",
    "State",
    "Status",
    "amplification",
    "attractor",
    "attractors",
    "check_gradient",
    "check_leads",
    "datasets",
    "depth_profile",
    "explain",
    "fit",
    "fit_on_the_fly",
    "green_function",
    "load",
    "plan",
    "save",
    "show_config",
    "stability",
]
__all__ += losses.__all__
__all__ += optimizers.__all__
