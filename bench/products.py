"""The rate of P8's products beside those of NumPy's and PyTorch's matrix products, interleaved.

    python -m bench.products --rounds 6

relaxon's is that of the whole gradient, tanh and relaxation included. Goal: 85 % of the best rate.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial

import numpy as np

from bench.measure import describe_machine, interleave, seconds_per_call
from bench.peers.tasks import TASKS, make_inputs

TURN_SECONDS = 0.5


def main() -> None:
    """Run both precisions and print the table."""
    parser = argparse.ArgumentParser(description="P8 beside plain matrix products")
    parser.add_argument("--rounds", type=int, default=6, help="even")
    parser.add_argument("--threads", type=int, default=2, help="per side")
    arguments = parser.parse_args()
    # Before the packages are loaded, which read it then.
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    import torch

    from bench.peers.relaxon_task import build

    torch.set_num_threads(arguments.threads)
    task = TASKS["P8"]
    assert task.n_flops is not None
    columns = ["dtype", "relaxon", "NumPy", "PyTorch", "relaxon / best"]
    lines = [f"* {line}" for line in describe_machine(arguments.threads, ("numpy", "torch"))]
    lines += ["", "GFLOP/s.", "", "| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for dtype in ("float64", "float32"):
        inputs = make_inputs(task, dtype)
        z, transposed = inputs.x, inputs.params["W"].T
        z_torch, transposed_torch = torch.from_numpy(z), torch.from_numpy(inputs.params["W"]).T
        calls: dict[str, Callable[[], object]] = {
            "relaxon": build(task, inputs, arguments.threads),
            "NumPy": partial(np.matmul, z, transposed),
            "PyTorch": partial(torch.matmul, z_torch, transposed_torch),
        }
        times = interleave(
            {name: partial(seconds_per_call, call, TURN_SECONDS) for name, call in calls.items()},
            arguments.rounds,
        )
        product = 2 * z.size * z.shape[1]
        rates = {
            name: (task.n_flops if name == "relaxon" else product) / timing.median * 1e-9
            for name, timing in times.items()
        }
        best = max(rates["NumPy"], rates["PyTorch"])
        cells = [*(f"{rate:.1f}" for rate in rates.values()), f"{rates['relaxon'] / best:.2f}"]
        lines.append("| " + " | ".join([dtype, *cells]) + " |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
