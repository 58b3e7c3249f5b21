"""One cell of the bench of noise and gaps: 5 % of each, on data with a known truth."""

from __future__ import annotations

import numpy as np
import pytest

from bench import inputs

N_SEEDS = 4


@pytest.mark.parametrize("kind", ["pairs", "driven"])
def test_a_cell_of_the_table(kind: str) -> None:
    lines: list[str] = []
    modes = ("given", "drop", "estimate")
    hits = inputs.report(kind, modes, [0.05], [0.05], N_SEEDS, lines.append)
    rows = {line.split(" | ")[2]: line.split(" | ") for line in lines if "5% | 5%" in line}
    truth = {"pairs": 0.507, "driven": 0.208}[kind]
    found = {mode: float(rows[mode][3]) for mode in modes}
    # What was done before there were modes: far off, with small error bars.
    assert found["given"] > truth + 0.3
    assert not np.concatenate(hits["given"])[:, 0].any()
    assert abs(found["drop"] - truth) < 0.2
    if kind == "pairs":
        assert abs(found["estimate"] - truth) < 0.03
        assert np.mean(hits["estimate"]) >= 0.75


def test_gaps_alone_cost_the_default_no_truth() -> None:
    """Driven fields, 5 % gaps: within three standard errors of the fit without gaps."""
    close = []
    for seed in range(N_SEEDS):
        whole = inputs.clean_data("driven", seed)
        holes = inputs.spoil(whole, "driven", 0.0, 0.05, seed)
        clean, found = (inputs.read(data, "driven", "drop", 0.0) for data in (whole, holes))
        close.append(np.abs(found.values - clean.values) <= 3.0 * found.errors)
    assert np.all(close)
