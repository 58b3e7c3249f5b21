"""What the command line names as data: the shipped set, an archive of pairs, or files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base.validate import refuse
from .collection import expand_names, open_files
from .missing import check_missing
from .pairs import sst
from .samples import Samples, read_samples
from .series import Series

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["Source"]

SHIPPED = "sst"


@dataclass(frozen=True)
class Source:
    """Data by name.

    Attributes
    ----------
    names : tuple of str
        "sst", one ``.npz`` file, or files and patterns of files that xarray opens.
    variable : str, optional
        Of the files.
    select : tuple of str
        Entries of axes, each "NAME=VALUE".
    missing : tuple of float
        Values that stand for gaps.

    Raises
    ------
    TypeError, ValueError
        If kinds are mixed, variable, select or missing say nothing about data of this kind, or a
        value that stands for gaps is no finite number.
    """

    names: tuple[str, ...]
    variable: str | None = None
    select: tuple[str, ...] = ()
    missing: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in self.names:
            if len(self.names) > 1 and (name == SHIPPED or name.endswith(".npz")):
                kind = "the shipped data" if name == SHIPPED else "an archive of pairs"
                refuse("DATA", "one name, or files that xarray opens", f"{name}, {kind}, and more")
        if self.is_archive and self.variable is not None:
            rule = "no value for arrays of a .npz file"
            refuse("variable", rule, repr(self.variable), fix="leave it out")
        if self.is_shipped and self.variable not in (None, SHIPPED):
            refuse("variable", f"'{SHIPPED}', the one there is", repr(self.variable))
        if self.select and (self.is_archive or self.is_shipped):
            kind = "arrays of a .npz file" if self.is_archive else "the shipped data"
            refuse("select", f"no value for {kind}", self.select[0], fix="leave it out")
        check_missing(self.missing)
        if self.missing and self.is_shipped:
            rule = "no value for the shipped data, whose gaps are known"
            refuse("missing", rule, self.missing[0], fix="leave it out")

    @property
    def is_shipped(self) -> bool:
        """Whether it is the set that comes with the package."""
        return self.names == (SHIPPED,)

    @property
    def is_archive(self) -> bool:
        """Whether it is an archive of pairs."""
        return len(self.names) == 1 and self.names[0].endswith(".npz")

    def __str__(self) -> str:
        n_more = len(self.names) - 1
        return self.names[0] + (f" and {n_more} more" if n_more else "")

    def read(self) -> Series | Samples:
        """What an experiment works on."""
        if self.is_shipped:
            return sst().series()
        if self.is_archive:
            return read_samples(self.names[0], self.missing)
        return Series.read(self.open(), str(self), files=self.names, missing=self.missing)

    def open(self, name: str | None = None, select: tuple[str, ...] = ()) -> DataArray:
        """The labelled array; not of an archive.

        Parameters
        ----------
        name : str, optional
            The variable, where none was named.
        select : tuple of str
            Entries of axes where none were named; those of axes that are not there do not count.
        """
        if self.is_shipped:
            return sst().to_xarray()
        files = expand_names(self.names)
        return open_files(files, self.variable or name, self.select or select, not self.select)
