"""What holds beside the coefficients: steady states; sides and masks in the unit of the data."""

from __future__ import annotations

from ..domain.grid import Dirichlet
from ..model.relaxation import Relaxation

__all__ = ["describe_equilibrium", "describe_fixed_values"]


def describe_equilibrium(model: Relaxation) -> str:
    """One line on the equation whose steady state is the output of a model at its attractor.

    Parameters
    ----------
    model : Relaxation
        Of depth "attractor".

    Returns
    -------
    str
        With drive coefficients are relative to the source, which acts once in the time dt.
    """
    source = " + omega x / dt" if model.drive else ""
    bias = "" if model.bias is None else " - omega b / dt"
    numbers = f"omega = {float(model.omega):g}, dt = {model.dt:g} {model.time_unit}".rstrip()
    known = ", relative to which coefficients are known" if source or bias else ""
    return (
        f"the output is the steady state of R z - U . grad z + D : grad grad z{source}{bias} = 0 "
        f"({numbers}{known})"
    )


def describe_fixed_values(model: Relaxation) -> str:
    """One line on the Dirichlet conditions of a model's grid.

    Parameters
    ----------
    model : Relaxation
        Any model.

    Returns
    -------
    str
        Values in the unit of the data where the scaling takes off one mean for all cells; otherwise
        the numbers the model sees, and the line says so. "" where nothing is held fixed.
    """
    grid, scaling = model.grid, model.scaling
    mean = None if scaling is None else scaling.only_mean

    def text(condition: Dirichlet) -> str:
        if scaling is None or mean is None:
            return f"{condition.value:g}"
        return f"{mean + scaling.scale * condition.value:.6g} {scaling.unit_text}".rstrip()

    places = []
    for name, (low, high) in zip(grid.names, grid.boundary, strict=True):
        if isinstance(low, Dirichlet) and low == high:
            places.append(f"{name} {text(low)}")
            continue
        for side, condition in (("low", low), ("high", high)):
            if isinstance(condition, Dirichlet):
                places.append(f"{side} {name} {text(condition)}")
    if grid.mask is not None and isinstance(grid.mask_boundary, Dirichlet):
        places.append(f"masked cells {text(grid.mask_boundary)}")
    if not places:
        return ""
    kind = "" if scaling is None or mean is not None else ", in scaled anomalies"
    return f"fixed values: {', '.join(places)}{kind}"
