"""The command line with checkpoints at short intervals, under limits of the operating system.

Started by `bench.reliability.kill`, which installs the signals first, as the command line does.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
from typing import Any


def main() -> int:
    """Exit code of the command line; the first argument is JSON: "every", "figures", "limits"."""
    settings = json.loads(sys.argv.pop(1))
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
        if not settings["figures"]:
            # They take longer than all the rest.
            folder: Any = importlib.import_module("relaxon.report.folder")
            folder.try_png = lambda name, draw: "not drawn"
        return int(real(*arguments))

    commands.fit = fit
    return run()
