"""A paper model of more cores than there are: speed-ups of the reference tasks in float64.

    python -m bench.scaling

With p threads a task takes

    T(p) = max(t_1 s(p), B / b) + r log2(p) tau,

t_1 its measured time on one thread, s(p) the largest share of its work that falls to one thread
when its indivisible pieces are dealt out, B the bytes that have to come from memory, b the
memory's bandwidth, r the parallel loops of a call, and tau what a level of a barrier costs. Nothing
here is measured but t_1; caches that grow with the cores, and clocks that fall with them, are left
out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench.measure import describe_machine, seconds_per_call
from bench.peers.relaxon_task import build
from bench.peers.tasks import TASKS, make_inputs

CORES = (2, 16, 32, 64, 128)
# Three quarters of the 461 GB/s that twelve channels of DDR5-4800 have.
BANDWIDTH = 350e9
BARRIER_SECONDS = 5e-7


@dataclass(frozen=True)
class Work:
    """How a call is cut.

    Parameters
    ----------
    pieces
        Indivisible pieces: bundles of samples, tiles, or blocks of rows of W.
    chunks
        Sums of gradients that the pieces are dealt to beforehand; None: pieces are dealt to
        threads.
    loops
        Parallel loops of one call.
    bytes_per_cell
        From and to memory, per cell and layer of a sample.
    """

    pieces: int
    chunks: int | None
    loops: int
    bytes_per_cell: float

    def largest_share(self, threads: int) -> float:
        """The share of the work that the busiest thread has."""
        if self.chunks is None:
            return math.ceil(self.pieces / threads) / self.pieces
        chunk = math.ceil(self.pieces / self.chunks)
        rounds = math.ceil(self.chunks / threads)
        return min(1.0, rounds * chunk / self.pieces)


WORKS: Mapping[str, Work] = {
    # 16 bundles of four samples; states, weights and sums stay in the caches.
    "P2": Work(pieces=16, chunks=16, loops=6, bytes_per_cell=0.3),
    # 244 tiles of 4112 cells; states, weights, sums and targets pass once in 100 layers.
    "P3": Work(pieces=244, chunks=None, loops=6, bytes_per_cell=1.5),
    "P5": Work(pieces=137, chunks=16, loops=6, bytes_per_cell=3.0),
    # 57 bundles of four fields of eight samples.
    "P6": Work(pieces=57, chunks=16, loops=6, bytes_per_cell=1.5),
    # 16 tiles of 16 rows, one loop a layer there and back; every state goes to memory (which reads
    # a line before it is written) and comes back.
    "P7": Work(pieces=16, chunks=None, loops=134, bytes_per_cell=24.0),
    # 21 blocks of 48 rows in each of three products a layer.
    "P8": Work(pieces=21, chunks=None, loops=300, bytes_per_cell=24.0),
}


def speed_up(name: str, seconds: float, threads: int) -> float:
    """t_1 over T(p)."""
    work = WORKS[name]
    traffic = work.bytes_per_cell * TASKS[name].n_cell_updates / BANDWIDTH
    barriers = work.loops * math.log2(threads) * BARRIER_SECONDS
    return seconds / (max(seconds * work.largest_share(threads), traffic) + barriers)


def main() -> None:
    """Time every task on one thread and print the model's table."""
    columns = ["task", "1 thread", *(f"{cores} cores" for cores in CORES)]
    lines = [f"* {line}" for line in describe_machine(1, ("numpy", "relaxon"))]
    lines += ["", "| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for name in WORKS:
        call = build(TASKS[name], make_inputs(TASKS[name], "float64"), threads=1)
        call()
        seconds = seconds_per_call(call, at_least=1.0)
        cells = [name, f"{seconds * 1e3:.1f} ms"]
        cells += [f"{speed_up(name, seconds, cores):.1f}" for cores in CORES]
        lines.append("| " + " | ".join(cells) + " |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
