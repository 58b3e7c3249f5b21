"""What this installation of relaxon consists of."""

from __future__ import annotations

import os
import platform
import sys
from typing import Literal, overload

from . import _core, _isa, _probe
from .base.validate import default_threads

_REQUIRED = ("numpy", "scipy", "filelock")
_OPTIONAL = ("typer", "rich", "matplotlib", "xarray", "netCDF4", "scikit-learn", "torch", "jax")


def _version(distribution: str) -> str | None:
    # Slow to load, and the package loads this module.
    import importlib.metadata

    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _collect() -> dict[str, str]:
    from importlib.metadata import version

    levels = _probe.built_levels.split()
    usable = _isa.usable_levels(levels, _probe.processor_words())
    config = {
        "relaxon": version("relaxon"),
        "Python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "compiler": _probe.compiler,
        "ISA level": f"{_core.isa_level} (built: {', '.join(levels)}; usable: {', '.join(usable)})",
        _isa.VARIABLE: os.environ.get(_isa.VARIABLE, "not set"),
        "threads": f"{default_threads()} (own threads, no OpenMP)",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
    }
    config.update({name: _version(name) or "not found" for name in _REQUIRED + _OPTIONAL})
    return config


@overload
def show_config(mode: Literal["stdout"] = "stdout") -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, str]: ...
def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> dict[str, str] | None:
    """Show what a bug report needs: versions, compiler, ISA level, threads, optional packages.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, default "stdout"
        Print the entries, or return them; as in ``numpy.show_config``.

    Returns
    -------
    dict of str to str, or None
        The entries by name, in the order in which they are printed.

    Raises
    ------
    ValueError
        If `mode` is not one of the two.

    Notes
    -----
    Optional packages are looked up by their metadata and not imported.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.show_config("dicts")["ISA level"].split()[0] in ("v2", "v3", "v4", "base")
    True
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"argument 'mode': expected 'stdout' or 'dicts', got {mode!r}")
    config = _collect()
    if mode == "dicts":
        return config
    width = max(map(len, config))
    for name, value in config.items():
        print(f"{name:<{width}}  {value}")
    return None
