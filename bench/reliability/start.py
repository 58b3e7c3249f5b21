"""The command line with checkpoints at short intervals, under limits of the operating system.

python -m bench.reliability.start SETTINGS WORD...    # SETTINGS: JSON, "every" and "limits"
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
from typing import Any


def main() -> int:
    """Exit code of the command line."""
    settings = json.loads(sys.argv[1])
    if settings["limits"]:
        import resource

        for name, value in settings["limits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
    from relaxon.cli import main as run

    commands: Any = importlib.import_module("relaxon.commands")
    real = commands.fit

    def fit(*arguments: object) -> int:
        # Not before: importing it is part of what is to be killed.
        experiment: Any = importlib.import_module("relaxon.forecasting.experiment")
        experiment.fit = functools.partial(experiment.fit, checkpoint_every=settings["every"])
        return int(real(*arguments))

    commands.fit = fit
    sys.argv[1:] = sys.argv[2:]
    # As the command line: with the arguments of the process it installs its signals.
    return run()


if __name__ == "__main__":
    sys.exit(main())
