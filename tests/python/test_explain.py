"""Learned coefficients in physical units: every formula against numbers worked out by hand."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import relaxon as rx

DT = 50.0
OMEGA = 0.4
SPACING = (2.0, 5.0)


def plane(**options: Any) -> rx.Grid:
    return rx.Grid((6, 8), spacing=SPACING, names=("y", "x"), unit=("m", "m"), **options)


def model_of(operator: Any, params: Mapping[str, Any], **options: Any) -> rx.Relaxation:
    settings = {"depth": 3, "activation": "identity", "omega": OMEGA, "dt": DT, "time_unit": "s"}
    model = rx.Relaxation(operator, **{**settings, **options})
    arrays = {name: np.asarray(value, dtype=model.dtype) for name, value in params.items()}
    return model.with_params(arrays)


PLANE_PARAMS: dict[str, Any] = {"R": -0.1, "U": [0.3, -0.2], "D": [0.5, 0.05, 0.25]}


def test_homogeneous_plane() -> None:
    explanation = rx.explain(model_of(rx.ADR(plane()), PLANE_PARAMS))
    fields = explanation.fields
    assert fields["R"] == pytest.approx(OMEGA * -0.1 / DT)
    assert fields["U"] == pytest.approx([OMEGA * 0.3 * 2 / DT, OMEGA * -0.2 * 5 / DT])
    assert fields["D"] == pytest.approx(
        [OMEGA * 0.5 * 4 / DT, OMEGA * 0.05 * 10 / DT, OMEGA * 0.25 * 25 / DT]
    )
    assert explanation.units == {"R": ("1/s",), "U": ("m/s",) * 2, "D": ("m^2/s",) * 3}
    assert explanation.n_layers is None


def test_slope_of_the_activation_enters() -> None:
    model = model_of(rx.ADR(plane()), PLANE_PARAMS, activation="logistic")
    fields = rx.explain(model).fields
    assert fields["R"] == pytest.approx(OMEGA * (0.25 * 0.9 - 1.0) / DT)
    assert fields["U"] == pytest.approx([OMEGA * 0.25 * 0.3 * 2 / DT, -OMEGA * 0.25 * 0.2 * 5 / DT])


@pytest.mark.parametrize("activation", ["relu", "square"])
def test_no_linearisation_is_said(activation: str) -> None:
    explanation = rx.explain(model_of(rx.ADR(plane()), PLANE_PARAMS, activation=activation))
    assert explanation.processes == ()
    assert explanation.table() == ()
    assert "no linearisation" in str(explanation)
    assert activation in str(explanation)


def test_kilometres_and_metres_give_one_answer() -> None:
    answers = []
    for spacing, unit, metres in ((SPACING, "m", 1.0), ((0.002, 0.005), "km", 1000.0)):
        grid = rx.Grid((6, 8), spacing=spacing, names=("y", "x"), unit=(unit, unit))
        explanation = rx.explain(model_of(rx.ADR(grid), PLANE_PARAMS))
        assert explanation.units["U"] == (f"{unit}/s",) * 2
        assert explanation.units["D"] == (f"{unit}^2/s",) * 3
        fields = explanation.fields
        answers.append([*(fields["U"] * metres), *(fields["D"] * metres**2), float(fields["R"])])
    assert answers[0] == pytest.approx(answers[1])


def test_units_of_unlike_axes() -> None:
    grid = rx.Grid((6, 8), names=("depth", "range"), unit=("m", "km"))
    explanation = rx.explain(model_of(rx.ADR(grid), PLANE_PARAMS))
    assert explanation.units["U"] == ("m/s", "km/s")
    assert explanation.units["D"] == ("m^2/s", "m km/s", "km^2/s")


def test_without_units() -> None:
    grid = rx.Grid((6, 8))
    explanation = rx.explain(model_of(rx.ADR(grid), PLANE_PARAMS, dt=1.0, time_unit=""))
    assert explanation.units == {"R": ("1",), "U": ("1", "1"), "D": ("1", "1", "1")}


def test_layered_coefficients_are_listed_per_layer() -> None:
    params = {
        name: np.multiply.outer([1.0, 2.0, 3.0], value) for name, value in PLANE_PARAMS.items()
    }
    explanation = rx.explain(model_of(rx.ADR(plane(), time="layered"), params))
    assert explanation.n_layers == 3
    assert explanation.fields["U"].shape == (3, 2)
    assert explanation.fields["U"][:, 1] == pytest.approx(
        [layer * OMEGA * -0.2 * 5 / DT for layer in (1, 2, 3)]
    )
    rows = explanation.table()
    assert [row.layer for row in rows[:3]] == [0, 1, 2]
    assert [row.layer for row in rows if row.bound is None] == [0, 1, 2] * 6


def test_omega_per_layer_makes_one_reading_per_layer() -> None:
    omega = np.array([0.1, 0.2, 0.4])
    explanation = rx.explain(model_of(rx.ADR(plane()), PLANE_PARAMS, omega=omega))
    assert explanation.fields["D"][:, 2] == pytest.approx(omega * 0.25 * 25 / DT)


def test_omega_per_cell_makes_a_field() -> None:
    omega = np.linspace(0.1, 0.9, 48).reshape(6, 8)
    explanation = rx.explain(model_of(rx.ADR(plane()), PLANE_PARAMS, omega=omega))
    assert explanation.n_layers is None
    assert explanation.fields["U"].shape == (2, 6, 8)
    assert explanation.fields["U"][0] == pytest.approx(omega * 0.3 * 2 / DT)


def test_trained_omega_is_the_one_used() -> None:
    params = {**PLANE_PARAMS, "omega": 0.8}
    explanation = rx.explain(model_of(rx.ADR(plane()), params, trainable_omega=True))
    assert explanation.fields["U"][0] == pytest.approx(0.8 * 0.3 * 2 / DT)


def test_local_fields_end_at_the_mask() -> None:
    mask = np.ones((6, 8), dtype=bool)
    mask[2:4, 3:] = False
    cells = np.arange(48.0).reshape(6, 8)
    u = np.stack([cells, -cells])
    d = np.stack([cells + 1.0, cells + 2.0, cells + 3.0])
    u[:, ~mask] = 1e9
    params = {"R": cells / 100, "U": u, "D": d}
    operator = rx.ADR(plane(mask=mask), space="local")
    explanation = rx.explain(model_of(operator, params))
    drift = explanation.fields["U"][1]
    assert np.isnan(drift[~mask]).all()
    assert drift[mask] == pytest.approx(-cells[mask] * OMEGA * 5 / DT)
    row = next(row for row in explanation.table() if row.process == "advection along x")
    expected = np.percentile(-cells[mask] * OMEGA * 5 / DT, [5, 50, 95])
    assert (row.low, row.median, row.high) == pytest.approx(expected)
    assert "advection along x" in str(explanation)


@pytest.mark.parametrize("scheme", ["upwind", "lax-wendroff"])
def test_numerical_diffusion_stands_apart(scheme: str) -> None:
    explanation = rx.explain(model_of(rx.ADR(plane(), scheme=scheme), PLANE_PARAMS))
    lattice = [0.15, 0.1] if scheme == "upwind" else [OMEGA * 0.09 / 2, OMEGA * 0.04 / 2]
    assert explanation.fields["numerical D"] == pytest.approx(
        [OMEGA * lattice[0] * 4 / DT, OMEGA * lattice[1] * 25 / DT]
    )
    assert explanation.fields["D"][0] == pytest.approx(OMEGA * 0.5 * 4 / DT)


LINE: dict[str, Any] = {"spacing": 2.0, "names": ("x",), "unit": ("m",)}


def test_moments_up_to_hyper_diffusion() -> None:
    grid = rx.Grid((12,), **LINE)
    moments = [0.9, -0.3, 0.5, 0.6, 2.4]
    explanation = rx.explain(model_of(rx.Moments(grid, order=4), {"moments": moments}))
    fields = explanation.fields
    assert fields["R"] == pytest.approx(OMEGA * -0.1 / DT)
    assert fields["U"] == pytest.approx([OMEGA * 0.3 * 2 / DT])
    assert fields["D"] == pytest.approx([OMEGA * 0.25 * 4 / DT])
    assert fields["M3"] == pytest.approx(OMEGA * 0.1 * 8 / DT)
    assert fields["M4"] == pytest.approx(OMEGA * 0.1 * 16 / DT)
    assert explanation.units["M4"] == ("m^4/s",)
    assert "dispersion along x" in str(explanation)


def test_a_free_stencil_reads_as_its_moments() -> None:
    grid = rx.Grid((12,), **LINE)
    # R = -0.1, u = 0.3, d = 0.25 on three points: u/2 + d, 1 + R - 2 d, -u/2 + d.
    weights = [0.15 + 0.25, 0.9 - 0.5, -0.15 + 0.25]
    explanation = rx.explain(model_of(rx.Banded(grid, radius=1), {"weights": weights}))
    assert explanation.fields["R"] == pytest.approx(OMEGA * -0.1 / DT)
    assert explanation.fields["U"] == pytest.approx([OMEGA * 0.3 * 2 / DT])
    assert explanation.fields["D"] == pytest.approx([OMEGA * 0.25 * 4 / DT])


def test_a_dense_matrix_reads_as_the_stencil_it_was_made_from() -> None:
    grid = plane()
    stencil = rx.ADR(grid)
    params = {name: np.asarray(value, dtype=float) for name, value in PLANE_PARAMS.items()}
    explanation = rx.explain(model_of(rx.Dense(grid), {"W": stencil.to_dense(params)}))
    fields = explanation.fields
    assert fields["R"] == pytest.approx(np.full((6, 8), OMEGA * -0.1 / DT))
    assert fields["U"][1] == pytest.approx(np.full((6, 8), OMEGA * -0.2 * 5 / DT))
    for component, (lattice, area) in enumerate(((0.5, 4), (0.05, 10), (0.25, 25))):
        expected = np.full((6, 8), OMEGA * lattice * area / DT)
        assert fields["D"][component] == pytest.approx(expected)


def test_the_half_way_cell_counts_on_both_sides() -> None:
    grid = rx.Grid((8,), **LINE)
    explanation = rx.explain(
        model_of(rx.Dense(grid), {"W": np.roll(np.eye(8), 4, axis=1)}, omega=1.0)
    )
    assert explanation.fields["U"] == pytest.approx(np.zeros((1, 8)))
    assert explanation.fields["D"] == pytest.approx(np.full((1, 8), 16 / 2 * 4 / DT))


def test_a_dense_matrix_stands_beside_its_shuffled_self() -> None:
    grid = rx.Grid((40,), **LINE)
    # Each cell takes from its left neighbour: everything moves one cell to the right per layer.
    shift = np.roll(np.eye(40), -1, axis=1)
    explanation = rx.explain(model_of(rx.Dense(grid), {"W": shift}, omega=1.0))
    row = next(row for row in explanation.table() if row.process == "advection along x")
    assert row.low == row.median == row.high == pytest.approx(2.0 / DT)
    assert row.null_low is not None
    assert row.null_high is not None
    assert row.null_low < -5.0 / DT
    assert row.null_high > 5.0 / DT
    assert "shuffled" in str(explanation)


def test_the_sum_of_a_row_has_no_shuffled_self() -> None:
    """It is the same in any order, and would always look as if there were no physics."""
    explanation = rx.explain(rx.Relaxation(rx.Dense(plane()), depth=2, bias="local", seed=3))
    has_null = {p.name: p.null is not None for p in explanation.processes}
    assert not has_null.pop("reaction")
    assert len(has_null) == 5
    assert all(has_null.values())
    for row in explanation.table():
        expected = row.process.startswith(("advection", "diffusion"))
        assert (row.null_low is not None) is (row.null_high is not None) is expected
    lines = {line.split("  ")[0]: line for line in str(explanation).splitlines()}
    assert lines["reaction"].count(" to ") == 1
    assert lines["advection along x"].count(" to ") == 2


def test_a_dense_matrix_with_a_mask_reads_existing_cells_only() -> None:
    mask = np.ones(10, dtype=bool)
    mask[7:] = False
    matrix = np.eye(10)
    matrix[:, ~mask] = 1e6
    grid = rx.Grid((10,), boundary="neumann", mask=mask, **LINE)
    explanation = rx.explain(model_of(rx.Dense(grid), {"W": matrix}))
    assert explanation.fields["R"][mask] == pytest.approx(np.zeros(7))
    assert np.isnan(explanation.fields["R"][~mask]).all()
    reaction, *others = explanation.table()
    assert np.isfinite(reaction.median)
    for row in others:
        assert row.null_low is not None
        assert row.null_high is not None
        assert np.isfinite([row.median, row.null_low, row.null_high]).all()


def test_soft_normalisation_is_named_as_left_out() -> None:
    assert "beta" in str(rx.explain(model_of(rx.ADR(plane()), PLANE_PARAMS, beta=0.1)))


# -- tables, figures and labelled arrays ----------------------------------------------------------

FAMILIES = [
    {"space": space, "time": time}
    for space in ("homogeneous", "local")
    for time in ("constant", "layered")
]
GRIDS = {
    "line": rx.Grid((9,), spacing=2.0, names=("x",), unit=("m",)),
    "plane": plane(),
    "box": rx.Grid((3, 4, 5), names=("z", "y", "x")),
}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: "-".join(f.values()))
@pytest.mark.parametrize("kind", GRIDS)
def test_figures_of_all_families(kind: str, family: dict[str, str]) -> None:
    from matplotlib.figure import Figure

    grid = GRIDS[kind]
    model = rx.Relaxation(rx.ADR(grid, **family), depth=3, time_unit="s")
    figure = rx.explain(model).plot()
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    labels = " ".join(
        text
        for axes in figure.axes
        for text in (axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left"))
    )
    assert "1/s" in labels
    if family["space"] == "local":
        assert all(name in labels for name in grid.names[-2:])
        assert ("mean over layers" in labels) == (family["time"] == "layered")
        has_arrows = any(type(a).__name__ == "Quiver" for x in figure.axes for a in x.collections)
        assert has_arrows == (kind == "plane")
    elif family["time"] == "layered":
        assert "layer" in labels


@pytest.mark.parametrize("space", ["homogeneous", "local"])
def test_mixed_components_of_three_axes_are_told_apart(space: Any) -> None:
    grid = rx.Grid((3, 4, 5), names=("depth", "lat", "lon"))
    explanation = rx.explain(rx.Relaxation(rx.ADR(grid, space=space), depth=2))
    pairs = ["depth and lat", "depth and lon", "lat and lon"]
    names = {row.process for row in explanation.table()}
    assert {f"diffusion along {pair}" for pair in pairs} <= names
    for pair in pairs:
        assert f"diffusion along {pair} " in str(explanation)
    figure = explanation.plot()
    shown = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
    shown += [axes.get_title(loc="left") for axes in figure.axes]
    for pair in pairs:
        assert sum(text.startswith(f"Diffusion along {pair}") for text in shown) == 1
    pytest.importorskip("xarray")
    data = explanation.to_xarray()
    for pair in pairs:
        name = f"D_{pair.replace(' and ', '_')}"
        assert data[name].attrs["long_name"] == f"diffusion along {pair}"


def test_figures_touch_nothing_global() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    rx.explain(rx.Relaxation(rx.ADR(plane(), space="local"), depth=2)).plot()
    assert dict(matplotlib.rcParams) == before


def test_error_bars_are_drawn() -> None:
    model = model_of(rx.ADR(plane()), PLANE_PARAMS)
    x = np.random.default_rng(0).standard_normal((9, 6, 8))
    y = model(x) + 0.01 * np.random.default_rng(1).standard_normal(x.shape)
    explanation = rx.explain(model, data=(x, y))
    drawn = [text.get_text() for axes in explanation.plot().axes for text in axes.texts]
    assert len(drawn) == 6
    assert all("±" in text for text in drawn)


def test_nothing_to_draw_is_refused() -> None:
    explanation = rx.explain(model_of(rx.ADR(plane()), PLANE_PARAMS, activation="relu"))
    with pytest.raises(ValueError, match="no linearisation"):
        explanation.plot()


ODD_NAMES = [("a b", "a b"), ("", ""), ("R", "layer"), ("$x$", "50 %"), ("x/y", "x y")]


@pytest.mark.parametrize("names", ODD_NAMES)
def test_odd_axis_names_break_nothing(names: tuple[str, str], tmp_path: Any) -> None:
    pytest.importorskip("xarray")
    grid = rx.Grid((6, 8), names=names, unit=("m", "$"))
    for space in ("local", "homogeneous"):
        operator = rx.ADR(grid, space=space, time="layered")
        explanation = rx.explain(rx.Relaxation(operator, depth=2))
        assert str(explanation)
        explanation.plot().canvas.draw()
        data = explanation.to_xarray()
        assert len(data.data_vars) == 1 + 2 + 3 + 4
        assert len(data.dims) == (1 if space == "homogeneous" else 3)
        data.to_netcdf(tmp_path / f"{space}.nc")


def test_labelled_arrays_of_a_local_model() -> None:
    pytest.importorskip("xarray")
    mask = np.ones((6, 8), dtype=bool)
    mask[0, 0] = False
    grid = plane(mask=mask, origin=(100.0, -20.0))
    model = rx.Relaxation(
        rx.ADR(grid, space="local", scheme="upwind"), depth=3, bias="local", time_unit="s"
    )
    explanation = rx.explain(model)
    data = explanation.to_xarray()
    assert data["U_x"].dims == ("y", "x")
    np.testing.assert_array_equal(data["U_x"], explanation.fields["U"][1])
    assert data["U_x"].attrs == {"long_name": "advection along x", "units": "m/s"}
    np.testing.assert_array_equal(data["y"], 100.0 + 2.0 * np.arange(6))
    np.testing.assert_array_equal(data["x"], -20.0 + 5.0 * np.arange(8))
    assert data["x"].attrs == {"long_name": "x", "units": "m"}
    assert explanation.stability is not None
    np.testing.assert_array_equal(data["peclet_y"], explanation.stability.peclet[0])
    np.testing.assert_array_equal(data["diffusive_stability"], explanation.stability.diffusive)
    for name in data.data_vars:
        assert np.isnan(data[name].values[0, 0]), name
        assert np.isfinite(data[name].values[mask]).all() or "peclet" in str(name), name
    expected = {"R", "U_y", "U_x", "D_y", "D_y_x", "D_x", "numerical_D_y", "numerical_D_x", "bias"}
    assert expected <= set(data.data_vars)


def test_labelled_arrays_of_homogeneous_layers_with_errors() -> None:
    pytest.importorskip("xarray")
    model = model_of(rx.ADR(plane()), PLANE_PARAMS, omega=np.array([0.1, 0.2, 0.4]))
    x = np.random.default_rng(0).standard_normal((9, 6, 8))
    y = model(x) + 0.01 * np.random.default_rng(1).standard_normal(x.shape)
    data = rx.explain(model, data=(x, y)).to_xarray()
    assert data["U_y"].dims == data["U_y_standard_error"].dims == ("layer",)
    assert data["U_y_standard_error"].attrs["units"] == "m/s"
    np.testing.assert_array_equal(data["layer"], [0, 1, 2])
    assert "x" not in data.coords


def test_labelled_arrays_of_a_dense_matrix() -> None:
    pytest.importorskip("xarray")
    data = rx.explain(rx.Relaxation(rx.Dense(plane()), depth=2)).to_xarray()
    assert data["U_x"].shape == data["U_x_shuffled"].shape == (6, 8)
    assert data["R"].shape == (6, 8)
    assert "R_shuffled" not in data


def test_trained_numbers_that_are_no_process_stand_in_the_table() -> None:
    params = {**PLANE_PARAMS, "omega": 0.8, "bias": 0.25}
    model = model_of(rx.ADR(plane()), params, trainable_omega=True, bias="homogeneous")
    rows = {row.process: row.median for row in rx.explain(model).table()}
    assert (rows["omega"], rows["bias"]) == (0.8, 0.25)
    line = rx.Grid((8,), mask=[True] * 6 + [False] * 2)
    local = rx.Relaxation(
        rx.ADR(line, time="layered"),
        depth=8,
        bias="local",
        omega=np.full((1, 8), 0.5),
        trainable_omega=True,
    )
    explanation = rx.explain(local)
    shapes = {p.symbol: (p.values.shape, p.is_layered) for p in explanation.parameters}
    assert shapes == {"bias": ((8, 8), True), "omega": ((8,), False)}
    assert len([row for row in explanation.table() if row.process == "bias"]) == 8
    assert len([row for row in explanation.table() if row.process == "omega"]) == 1


def test_a_table_as_csv() -> None:
    from relaxon.physics.tables import format_csv

    rows = rx.explain(model_of(rx.ADR(plane()), PLANE_PARAMS)).table()
    lines = list(csv.DictReader(io.StringIO(format_csv(rows))))
    assert [line["process"] for line in lines] == [row.process for row in rows]
    assert [float(line["median"]) for line in lines] == [row.median for row in rows]
    assert lines[0]["bound"] == lines[0]["standard_error"] == ""
    assert float(lines[-1]["bound"]) == 1.0


def test_explain_takes_models_only() -> None:
    with pytest.raises(TypeError, match="argument 'model': expected Relaxation"):
        rx.explain(rx.ADR(plane()))  # type: ignore[arg-type]


@pytest.mark.parametrize("space", ["homogeneous", "local"])
@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"data": 3}, TypeError, "data"),
        ({"data": (1, 2)}, TypeError, "x"),
        ({"data": (np.ones((3, 8)), np.ones((2, 8)))}, ValueError, "y"),
        ({"loss": "squared"}, TypeError, "loss"),
        ({"threads": 0}, ValueError, "threads"),
    ],
    ids=str,
)
def test_arguments_are_read_where_they_have_no_use(
    options: dict[str, Any], error: Any, word: str, space: Any
) -> None:
    """Data of a model without standard errors, a loss and threads without data."""
    model = rx.Relaxation(rx.ADR(rx.Grid((8,)), space=space), depth=2)
    with pytest.raises(error, match=f"argument '{word}'"):
        rx.explain(model, **options)
