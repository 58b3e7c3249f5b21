"""Scripts that send themselves Ctrl-C."""

import os
import subprocess
import sys
import textwrap


def run_interrupted(script: str) -> str:
    """Output of a script that sends itself Ctrl-C; in a process of its own, should one be lost.

    What it interrupts must not end by itself within the time limit on any machine, nor depend on
    when the signal comes: it says where the signal may come, the delay only that it is likely to
    come while the core runs.
    """
    head = """
        import signal
        import threading

        import numpy as np

        import relaxon as rx

        # A test run in the background of a shell passes on that SIGINT is ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def interrupt_in(seconds):
            timer = threading.Timer(seconds, signal.raise_signal, (signal.SIGINT,))
            timer.daemon = True
            timer.start()

        model = rx.Relaxation(rx.ADR(rx.Grid((64,)), space="local"), depth=50, seed=1)
        x = np.random.default_rng(0).standard_normal((8, 64))
        y = np.zeros_like(x)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
