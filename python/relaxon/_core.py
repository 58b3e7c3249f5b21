"""The compiled core: the names of the one ISA module that suits this machine.

Types are declared in ``_core.pyi``, which ``tools/make_stubs.py`` generates from that module.
"""

import importlib
import os

# The compiled module asks for it, and would tell of Ctrl-C meanwhile as of a failed import.
import numpy  # noqa: F401

from . import _isa, _probe

isa_level = _isa.select_level(
    os.environ.get(_isa.VARIABLE), _probe.built_levels.split(), _probe.processor_words()
)
_module = importlib.import_module(f"._core_{isa_level}", __package__)
globals().update({name: item for name, item in vars(_module).items() if not name.startswith("_")})
# Public under this name, and pickled by it.
_module.LayerError.__module__ = _module.AttractorError.__module__ = __package__
