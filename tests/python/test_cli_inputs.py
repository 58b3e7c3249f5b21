"""Gaps and errors of the inputs on the command line: units, clusters, refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from relaxon import cli
from smooth_fields import smooth

pytest.importorskip("typer")
pytest.importorskip("matplotlib")
xr = pytest.importorskip("xarray")


def fields(n: int) -> NDArray[np.float64]:
    """A ring that drifts, 10 times as large and noisy, with a gap."""
    random = np.random.default_rng(0)
    z = smooth((1, 12), 1)
    for _ in range(n - 1):
        z = np.concatenate([z, 0.8 * np.roll(z[-1:], 1, axis=1) + smooth((1, 12), len(z) + 5)])
    z = 10.0 * z + random.standard_normal(z.shape)
    z[5, 3] = np.nan
    return z


def fit(path: Path, out: Path, *options: str) -> int:
    return cli.main(
        ["fit", str(path), "--depth", "2", "--steps", "300", "--out", str(out), *options]
    )


ESTIMATE = ("--inputs", "estimate", "--input-error", "1")


def test_errors_are_in_the_unit_of_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = np.datetime64("2001-01-01", "ns") + np.arange(40) * np.timedelta64(1, "D")
    data = xr.DataArray(
        fields(40),
        dims=("time", "x"),
        coords={"time": times, "x": ("x", np.arange(12.0), {"units": "m"})},
        name="h",
        attrs={"units": "cm"},
    )
    path = tmp_path / "h.nc"
    data.to_netcdf(path)
    assert fit(path, tmp_path / "a", "--anomaly", "none", *ESTIMATE) == 0
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "a" / "summary.json").read_text())
    (error,) = found["inputs"]["target_error"]
    assert found["inputs"]["input_error"] == 1.0
    words = f"errors of 1 cm of the inputs (as given) and {error:.4g} cm of the targets"
    assert words in printed
    assert words in found["inputs"]["lines"][1]
    assert "--input-error 1" in found["commands"][0]
    assert "clustered by block" in printed
    # What was found can be given.
    again = ("--target-error", repr(error))
    assert fit(path, tmp_path / "b", "--anomaly", "none", *ESTIMATE, *again) == 0
    other = json.loads((tmp_path / "b" / "summary.json").read_text())
    tables = (found["explanation"]["table"], other["explanation"]["table"])
    for row, same in zip(*tables, strict=True):
        assert row["median"] == pytest.approx(same["median"], rel=1e-3, abs=1e-8)


def test_pairs_without_times_are_clusters_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    z = fields(40)
    path = tmp_path / "pairs.npz"
    np.savez(path, x=z[:-1], y=z[1:])
    assert fit(path, tmp_path / "a", *ESTIMATE) == 0
    printed = capsys.readouterr().out
    assert "clustered by sample (29 samples)" in printed
    assert "block" not in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--inputs", "estimate", "--input-error", "-1"), "'input_error'.* above 0, got -1.0"),
        (("--inputs", "fill", "--target-error", "0"), "'target_error'.* above 0, got 0.0"),
        ((*ESTIMATE, "--optimizer", "adam"), "'optimizer'.*lbfgs with --inputs estimate.*got adam"),
        (("--inputs", "estimate", "--input-error", "1000"), "lower input_error to less than .* of"),
    ],
)
def test_refusals_speak_of_what_was_typed(
    options: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    z = fields(20)
    path = tmp_path / "pairs.npz"
    np.savez(path, x=z[:-1], y=z[1:])
    assert fit(path, tmp_path / "a", *options) != 0
    error = " ".join(capsys.readouterr().err.split())
    assert re.search(message, error)


def test_fill_without_gaps_is_a_plain_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    z = np.where(np.isnan(fields(40)), 0.0, fields(40))
    da = xr.DataArray(z, dims=("time", "x"), name="h")
    da.to_netcdf(tmp_path / "h.nc")
    printed = []
    for mode in ("drop", "fill"):
        assert (
            fit(tmp_path / "h.nc", tmp_path / mode, "--inputs", mode, "--optimizer", "lbfgs") == 0
        )
        printed.append(capsys.readouterr().out)
    lines = [[line for line in text.splitlines() if "standard error" in line] for text in printed]
    assert lines[0] == lines[1]
    assert "block" not in printed[1]
