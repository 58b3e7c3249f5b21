"""relaxon: networks whose layers are steps of a relaxation and whose weights are physics."""

# The public names stand in _catalogue, which loads NumPy and most modules when the first of them is
# asked for: the command line answers --help, and Ctrl-C, without it.

# Not from typing, which is slow to load; type checkers know the name.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._catalogue import *  # noqa: F403
    from ._catalogue import __all__ as __all__
    from .model.losses import *  # noqa: F403
    from .training.optimizers import *  # noqa: F403

    __version__: str


def _find(name: str) -> object:
    from importlib import import_module

    found: dict[str, object] = {}
    if name == "__version__":
        from importlib.metadata import version

        found = {name: version(__name__)}
    elif name == "__all__" or not name.startswith("__"):
        try:
            # `from . import module` asks here first.
            return import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
        from . import _catalogue

        names = _catalogue.__all__
        found = {"__all__": names} | {each: getattr(_catalogue, each) for each in names}
    if name not in found:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    globals().update(found)
    return found[name]


def __dir__() -> list[str]:
    _find("__all__")
    return sorted(globals())


if not TYPE_CHECKING:
    # Seen by type checkers, it would make every name one that may be there.
    __getattr__ = _find
