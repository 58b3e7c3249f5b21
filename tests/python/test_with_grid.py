"""``with_grid``: the same physics on another grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import relaxon as rx

COMPONENTS = {1: 1, 2: 3, 3: 6}


def adr(ndim: int, n: int = 6, **settings: Any) -> rx.Relaxation:
    options = {name: settings.pop(name) for name in ("space", "time") if name in settings}
    spacing, units = (500.0, 0.1, 3.0)[:ndim], ("m", "km", "m")[:ndim]
    names = ("z", "y", "x")[:ndim]
    grid = rx.Grid((n,) * ndim, spacing=spacing, unit=units, names=names, boundary="neumann")
    model = rx.Relaxation(
        rx.ADR(grid, **options), depth=3, omega=0.7, dt=60.0, time_unit="s", **settings
    )
    random = np.random.default_rng(ndim)
    return model.with_params(
        {
            name: random.standard_normal(array.shape).astype(array.dtype)
            for name, array in model.params.items()
        }
    )


def refine(grid: rx.Grid, by: tuple[int, ...]) -> rx.Grid:
    return grid.replace(
        shape=tuple(n * k for n, k in zip(grid.shape, by, strict=True)),
        spacing=tuple(h / k for h, k in zip(grid.spacing, by, strict=True)),
    )


def check_same_physics(model: rx.Relaxation, other: rx.Relaxation, rtol: float) -> None:
    pairs = zip(rx.explain(model).processes, rx.explain(other).processes, strict=True)
    for one, two in pairs:
        assert (one.name, one.unit) == (two.name, two.unit)
        np.testing.assert_allclose(two.values, one.values, rtol=rtol, err_msg=one.name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("time", ["constant", "layered"])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_all_coefficients_stay(ndim: int, time: str, dtype: str) -> None:
    model = adr(ndim, time=time, dtype=dtype)
    assert model.params["D"].shape[-1] == COMPONENTS[ndim]
    finer = model.with_grid(refine(model.grid, (2, 3, 1)[:ndim]))
    assert finer.grid.shape == (12, 18, 6)[:ndim]
    assert finer.dtype == model.dtype
    assert finer.params["U"][..., 0] == pytest.approx(2.0 * model.params["U"][..., 0], rel=1e-6)
    assert finer.params["D"][..., 0] == pytest.approx(4.0 * model.params["D"][..., 0], rel=1e-6)
    rtol = 1e-12 if dtype == "float64" else 1e-5
    check_same_physics(model, finer, rtol)
    assert finer(np.ones(finer.grid.shape, dtype)).shape == finer.grid.shape
    # And back.
    back = finer.with_grid(model.grid)
    for name, array in model.params.items():
        np.testing.assert_allclose(back.params[name], array, rtol=rtol)


def test_moments_of_every_order_stay() -> None:
    grid = rx.Grid((12,), spacing=2.0, unit="m")
    model = rx.Relaxation(rx.Moments(grid, order=4, time="layered"), depth=2)
    finer = model.with_grid(refine(grid, (2,)))
    factors = 2.0 ** np.arange(5)
    np.testing.assert_allclose(finer.params["moments"], factors * model.params["moments"])
    check_same_physics(model, finer, 1e-12)


def test_forward_converges_to_the_same_field() -> None:
    length, depth = 1.0, 40

    def solve(n: int) -> np.ndarray:
        coarse = rx.Grid((16,), spacing=length / 16)
        model = rx.Relaxation(rx.ADR(coarse), depth=depth, activation="identity", omega=1.0)
        start = {"R": np.array(-0.01), "U": np.array([0.05]), "D": np.array([0.02])}
        fine = model.with_params(start).with_grid(refine(coarse, (n // 16,)))
        x = np.sin(2.0 * np.pi * np.arange(n) / n)
        return fine(x)[:: n // 16]

    reference = solve(16 * 4)
    errors = [np.abs(solve(16 * k) - reference).max() for k in (1, 2)]
    # Second order against 4: (1 - 1/16) / (1/4 - 1/16) = 5.
    assert errors[0] < 0.05
    assert errors[0] / errors[1] == pytest.approx(5.0, rel=0.1)


def test_what_belongs_to_cells_stays_on_as_many() -> None:
    mask = np.ones((6, 6), dtype=bool)
    mask[2, 3] = False
    model = adr(2, space="local", bias="local", activation="identity")
    wider = model.grid.replace(spacing=(250.0, 0.2), mask=mask)
    moved = model.with_grid(wider)
    np.testing.assert_allclose(moved.params["U"][0], 2.0 * model.params["U"][0])
    np.testing.assert_allclose(moved.params["D"][1], model.params["D"][1])
    np.testing.assert_allclose(moved.params["D"][2], model.params["D"][2] / 4.0)
    np.testing.assert_array_equal(moved.params["bias"], model.params["bias"])
    assert moved.grid.mask is not None
    assert moved(np.ones((6, 6)))[2, 3] == 0.0


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"space": "local"}, "coefficients"),
        ({"bias": "local"}, "bias"),
        ({"omega": "cell"}, "omega"),
        ({"lift": rx.Lift(3)}, "lift"),
        ({"readout": rx.Readout(3)}, "readout"),
    ],
)
def test_nothing_is_made_up_for_new_cells(settings: dict[str, Any], word: str) -> None:
    grid = rx.Grid((6,))
    space = settings.pop("space", "homogeneous")
    if settings.get("omega") == "cell":
        settings["omega"] = np.full(6, 0.5)
    model = rx.Relaxation(rx.ADR(grid, space=space), depth=2, **settings)
    with pytest.raises(ValueError, match=rf"'grid'.*shape \(6,\), as {word}.*got \(12,\)"):
        model.with_grid(refine(grid, (2,)))
    assert model.with_grid(grid) == model


def test_what_is_refused() -> None:
    model = adr(2)
    grid = model.grid
    with pytest.raises(TypeError, match="'grid'"):
        model.with_grid((6, 6))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"names \('z', 'y'\).*got \('y', 'z'\)"):
        model.with_grid(grid.replace(names=("y", "z")))
    with pytest.raises(ValueError, match=r"units \('m', 'km'\).*got \('km', 'km'\)"):
        model.with_grid(grid.replace(unit="km"))
    with pytest.raises(ValueError, match="names"):
        model.with_grid(rx.Grid((6,)))
    line = rx.Grid((6,))
    for op in (rx.Banded(line, radius=1), rx.Dense(line)):
        with pytest.raises(ValueError, match=f"ADR or Moments.*{type(op).__name__}"):
            rx.Relaxation(op, depth=1).with_grid(line)


def test_a_scaling_is_of_the_old_cells() -> None:
    pytest.importorskip("xarray")
    pairs = rx.datasets.from_xarray(rx.datasets.sst().to_xarray(), anomaly="month")
    model = rx.Relaxation(rx.ADR(pairs.grid), depth=2).with_scaling(pairs.scaling)
    finer = refine(pairs.grid.replace(mask=None), (2, 2))
    with pytest.raises(ValueError, match=r"without a scaling.*with_scaling\(None\)"):
        model.with_grid(finer)
    check_same_physics(model.with_scaling(None), model.with_scaling(None).with_grid(finer), 1e-12)
