"""Which targets count in the errors of an experiment where inputs have gaps.

A target with a gap of the input within reach counts for nobody, model or baseline, in training and
on held-out times alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..base.validate import refuse
from ..datasets.samples import Samples, block_length
from ..model.gaps import Reach, check_gaps, model_reach, near_gaps, stencil_reach
from ..model.relaxation import Relaxation
from .split import Split

__all__ = ["Scores"]

_CURES = {
    "training": "use --inputs estimate or fill",
    "validation": "another --validation or --holdout has other times",
    "held_out": "another --holdout has other times",
}


@dataclass(frozen=True, eq=False)
class Scores:
    """Parts of a split without the targets that read a gap.

    Attributes
    ----------
    split : Split
        The data in parts.
    model : Relaxation
        On their grid.
    """

    split: Split
    model: Relaxation

    @property
    def _parts(self) -> dict[str, Samples]:
        names = ("training", "validation", "held_out")
        parts = {name: getattr(self.split, name) for name in names}
        return {name: part for name, part in parts.items() if part is not None}

    def check(self, inputs: str) -> None:
        """Refuse parts without any target to learn from or to be measured on.

        Parameters
        ----------
        inputs : str
            What the fit does with gaps: "fill" and "estimate" learn near them, too.

        Raises
        ------
        ValueError
            Naming the part; also for gaps with an operator that reads all cells.
        """
        for name, part in self._parts.items():
            if not self.gaps(part).any():
                continue
            check_gaps(self.model)
            is_needed = name != "training" or inputs == "drop"
            if is_needed and not self._has_targets(part, stencil_reach(self.model)):
                rule = f"a target in the part '{name}' without a gap of the input within reach"
                refuse("DATA", rule, "none", fix=_CURES[name])

    def gaps(self, samples: Samples) -> NDArray[np.bool_]:
        """Where an existing cell has no input."""
        return np.asarray(np.isnan(samples.x) & self.split.mask)

    def reach(self, fitted: Relaxation) -> Reach:
        """That of a fitted model, or of its stencil where a part would be left without targets."""
        reach = model_reach(fitted)
        has_all = all(self._has_targets(part, reach) for part in self._parts.values())
        return reach if has_all else stencil_reach(fitted)

    def counted(self, samples: Samples, reach: Reach) -> Samples:
        """Samples whose targets near a gap of the input have the weight 0."""
        gaps = self.gaps(samples)
        return samples.without(near_gaps(gaps, reach, self.model.grid)) if gaps.any() else samples

    def _has_targets(self, part: Samples, reach: Reach) -> bool:
        weights = self.split.weights_of(self.counted(part, reach))
        return weights is None or bool((weights > 0).any())

    def blocks(self, samples: Samples) -> NDArray[np.int64] | None:
        """Clusters of standard errors where inputs are estimated.

        Pairs that share an observation share its error: times that follow each other form blocks,
        with a lead of one step, too, of the length of :func:`block_length`.

        Parameters
        ----------
        samples : Samples
            In order of time.

        Returns
        -------
        ndarray of int64, shape (samples,), or None
            A number for each sample; None for pairs without times.
        """
        # With longer leads they are blocks already.
        if self.split.scaling is None or self.split.scaling.lead > 1:
            return samples.groups
        order = np.arange(len(samples))
        if samples.groups is not None:
            order = np.unique(samples.groups, return_inverse=True)[1].astype(np.int64)
        return np.asarray(order // block_length(int(order.max()) + 1, 1))
