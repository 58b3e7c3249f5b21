"""Print the slowest files of a clean build from its .ninja_log; fail beyond a limit.

Usage: python .ci/build_times.py BUILD_FOLDER [--limit SECONDS]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

N_SHOWN = 10


def main() -> int:
    """Read the log of one build; its times count from the start of ninja."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("--limit", type=float, default=float("inf"))
    arguments = parser.parse_args()
    edges = []
    for line in (arguments.build / ".ninja_log").read_text().splitlines()[1:]:
        start, end, _, target, _ = line.split("\t")
        edges.append((int(start) / 1000, int(end) / 1000, target))
    total = max(end for _, end, _ in edges)
    print(f"clean build: {total:.0f} s, limit {arguments.limit:.0f} s; slowest of {len(edges)}:")
    for start, end, target in sorted(edges, key=lambda edge: edge[0] - edge[1])[:N_SHOWN]:
        print(f"  {end - start:6.1f} s  {target}")
    return int(total > arguments.limit)


if __name__ == "__main__":
    sys.exit(main())
