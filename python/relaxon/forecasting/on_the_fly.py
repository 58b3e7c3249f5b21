"""Training of an experiment's layers one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..datasets.samples import Samples
from ..model.losses import Distance
from ..model.relaxation import Relaxation
from ..training.on_the_fly import OnTheFlyFit, fit_on_the_fly
from ..training.penalties import Penalty
from ..training.unknown_inputs import fit_inputs
from .options import Options

__all__ = ["fit_layers"]


def fit_layers(
    model: Relaxation,
    training: Samples,
    loss: Distance,
    options: Options,
    penalties: Sequence[Penalty],
) -> OnTheFlyFit:
    """Train layer after layer, with gaps of the inputs treated as by :func:`relaxon.fit`.

    Parameters
    ----------
    model : Relaxation
        Its first layer is where the first layer starts.
    training : Samples
        Pairs.
    loss : Distance
        Of every layer's output.
    options : Options
        With ``on_the_fly``.
    penalties : sequence of Penalty
        On the parameters of every layer.

    Returns
    -------
    OnTheFlyFit
        Layers that an interruption has left stand for all of the lead.
    """
    assert options.on_the_fly is not None
    method = options.on_the_fly

    def run(_: Relaxation, x: Any, y: Any, own: Distance, *rest: Any) -> tuple[OnTheFlyFit, Any]:
        # A pass always begins at the same place: where one has been before, its first loss would
        # be no measure of those that follow.
        fitted = fit_on_the_fly(
            *(model, x, y, method),
            loss=own,
            penalties=penalties,
            memory=options.memory,
            threads=options.threads,
        )
        return fitted, x

    fitted = fit_inputs(run, model, training.x, training.y, loss, None, options.inputs, None, None)
    assert isinstance(fitted, OnTheFlyFit)
    dt = model.dt * model.depth / fitted.model.depth
    return replace(fitted, model=fitted.model._with_dt(dt)) if dt != model.dt else fitted
