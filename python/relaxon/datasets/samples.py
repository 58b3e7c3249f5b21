"""Pairs of inputs and targets, and reading them from archives of NumPy arrays."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.validate import refuse
from .archive import Archive
from .missing import check_stand_ins, mask_values

__all__ = ["Samples", "block_length", "check_field", "read_samples"]

Fields = NDArray[Any]

# Length of a cluster of pairs that overlap, in leads. Measured on driven fields (24 runs of 400
# times, leads 3 and 5): standard errors by single pairs are 0.44 to 0.61 of the scatter over runs,
# by such blocks 0.74 to 0.90; longer ones gain little and are few.
BLOCK_LEADS = 2
# Fewer say nothing of how clusters differ.
LEAST_BLOCKS = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """Inputs and targets, in order.

    Attributes
    ----------
    x : ndarray, shape (samples, *grid.shape)
        Inputs; NaN where missing.
    y : ndarray, shape (samples, *grid.shape)
        Targets; NaN where missing.
    weights : ndarray, shape (samples, *grid.shape), optional
        0 (or False) where y is missing; None where no value of an existing cell is.
    time : ndarray, shape (samples,), optional
        Times of the targets.
    source : str
        Where they come from, for reports.
    groups : ndarray of int64, shape (samples,), optional
        Samples of equal number are one cluster of the standard errors; None where each is its own.
    """

    x: Fields
    y: Fields
    weights: Fields | None = None
    time: NDArray[Any] | None = None
    source: str = ""
    groups: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.x)

    def n_clusters(self, mask: NDArray[np.bool_]) -> int:
        """How many clusters of the standard errors have a target that counts.

        Parameters
        ----------
        mask : ndarray of bool, shape (*grid.shape)
            True where a cell exists.
        """
        own = np.arange(len(self)) if self.groups is None else self.groups
        if self.weights is not None:
            own = own[(self.weights[:, mask] > 0).any(axis=1)]
        return len(np.unique(own))

    def has_pair(self, mask: NDArray[np.bool_]) -> bool:
        """Whether any sample has both an input other than 0 and a target that counts.

        Parameters
        ----------
        mask : ndarray of bool, shape (*grid.shape)
            True where a cell exists.
        """
        is_usable = (np.nan_to_num(self.x[:, mask]) != 0).any(axis=1)
        if self.weights is not None:
            is_usable &= (self.weights[:, mask] > 0).any(axis=1)
        return bool(is_usable.any())

    def without(self, near: NDArray[np.bool_]) -> Samples:
        """The same with weight 0 where a target has a gap in its input within reach.

        Parameters
        ----------
        near : ndarray of bool, shape (samples, *grid.shape)
            Where that is.
        """
        weights = np.ones((), np.bool_) if self.weights is None else self.weights
        return dataclasses.replace(self, weights=np.where(near, weights.dtype.type(0), weights))


def read_samples(path: str | os.PathLike[str], missing: Sequence[float] = ()) -> Samples:
    """Pairs from an ``.npz`` file with arrays ``x``, ``y`` and, optionally, ``weights``.

    Parameters
    ----------
    path : path-like
        The file.
    missing : sequence of float
        Values of x and y that stand for gaps, as NaN does.

    Returns
    -------
    Samples
        The numbers as they are. Cells whose x is missing (NaN) in all samples are for the mask,
        other missing x are gaps; a missing y has the weight 0.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If the file is missing or unreadable, an array is missing or of the wrong type or shape,
        weights are negative, or a value seems to stand for gaps.
    """
    archive = Archive(path)
    archive.check_names("x", "y")
    x, y = (check_field(name, archive.read(name), missing) for name in ("x", "y"))
    if not 2 <= x.ndim <= 4:
        refuse("x", "shape (samples, *grid) with one to three axes of space", x.shape)
    if y.shape != x.shape:
        refuse("y", f"the shape of x, {x.shape}", y.shape)
    exists = ~np.isnan(x).all(axis=0)
    if not exists.any():
        refuse("x", "at least one value", "none: all values are missing")
    is_missing = np.isnan(y) & exists
    weights = None
    if "weights" in archive:
        weights = _check_weights(archive.read("weights"), x.shape)
        weights = np.where(is_missing, weights.dtype.type(0), weights)
    elif is_missing.any():
        weights = ~is_missing
    if weights is not None and not np.any(weights[:, exists] > 0):
        refuse("y", "at least one value that counts", "none: all are missing or of weight 0")
    check_stand_ins("x", x)
    counts = np.broadcast_to(exists, y.shape) if weights is None else exists & (weights > 0)
    check_stand_ins("y", np.where(counts, y, np.nan))
    return Samples(x, y, weights, source=os.fspath(path))


def check_field(name: str, array: NDArray[Any], missing: Sequence[float] = ()) -> Fields:
    """An array of float32 or float64 without infinite values, NaN where it is missing.

    `missing` are values that stand for gaps.
    """
    if array.dtype not in (np.float32, np.float64):
        fix = f"save it as {name}.astype('float64')" if array.dtype.kind in "iubf" else ""
        refuse(name, "an array of float32 or float64", str(array.dtype), TypeError, fix)
    array, _ = mask_values(array, missing)
    if np.isinf(array).any():
        index = tuple(int(i) for i in np.argwhere(np.isinf(array))[0])
        refuse(name, "finite or missing values", f"an infinite one at index {index}")
    return array


def _check_weights(weights: NDArray[Any], shape: tuple[int, ...]) -> Fields:
    if weights.dtype.kind not in "bf":
        refuse("weights", "an array of bool, float32 or float64", str(weights.dtype), TypeError)
    if weights.shape not in (shape, shape[1:]):
        refuse("weights", f"{shape[1:]} or {shape}", weights.shape)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        refuse("weights", "finite numbers of at least 0", f"{weights[index]} at index {index}")
    return np.broadcast_to(weights, shape)


def block_length(n_times: int, lead: int) -> int:
    """Consecutive times that form one cluster where pairs share what happens between them.

    Parameters
    ----------
    n_times : int
        Times of all pairs.
    lead : int
        Steps from x to y.

    Returns
    -------
    int
        Two leads, or fewer times where these would leave less than ten clusters.
    """
    return max(1, min(BLOCK_LEADS * lead, n_times // LEAST_BLOCKS))
