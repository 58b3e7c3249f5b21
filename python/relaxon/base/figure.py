"""Figures without pyplot: nothing global is read or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["make_figure"]


def make_figure(inches: tuple[float, float]) -> Figure:
    """An empty figure."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ImportError(
            f"figures need {error.name}; install it with: pip install 'relaxon[cli]'"
        ) from None
    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
