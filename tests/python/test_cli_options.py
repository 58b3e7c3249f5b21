"""Options of ``relaxon fit`` that depend on each other or on the data."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relaxon import cli
from relaxon.datasets.samples import Samples
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import DEFAULTS, DataTraits, Options

pytest.importorskip("typer")
pytest.importorskip("matplotlib")

LINE = np.random.default_rng(0).standard_normal((13, 8))
# What stands beside the option it has no effect with, and a word of the fix.
WITHOUT_EFFECT: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "order, adr": ({"order": 2}, {}, "--operator moments"),
    "order, banded": ({"order": 3}, {"operator": "banded"}, "--operator moments"),
    "radius, adr": ({"radius": 1}, {}, "--operator banded"),
    "radius, dense": ({"radius": 2}, {"operator": "dense"}, "--operator banded"),
    "space, dense": ({"space": "local"}, {"operator": "dense"}, "another operator"),
    "scheme, moments": ({"scheme": "central"}, {"operator": "moments"}, "--operator adr"),
    "scheme, dense": ({"scheme": "upwind"}, {"operator": "dense"}, "--operator adr"),
    "value, dense": ({"boundary": "0"}, {"operator": "dense"}, "another operator"),
    "side, dense": ({"boundary": "neumann:1"}, {"operator": "dense"}, "another operator"),
    "mask, none": ({"mask_boundary": "neumann"}, {}, "leave it out"),
    "rate, lbfgs": ({"rate": 0.01}, {"optimizer": "lbfgs"}, "another optimizer"),
    "validation": ({"validation": 0.15}, {}, "add --patience"),
    "validation, none": ({"validation": 0.2}, {"patience": 0}, "add --patience"),
    "smoothness": ({"smoothness": 1.0}, {}, "--space local"),
    "smoothness, dense": ({"smoothness": 1.0}, {"operator": "dense"}, "--bias local"),
    "lead, pairs": ({"lead": 1}, {}, "leave it out"),
    "variable, pairs": ({"variable": "x"}, {}, "leave it out"),
    "anomaly, pairs": ({"anomaly": "month"}, {}, "leave it out"),
}
WITH_EFFECT: list[dict[str, Any]] = [
    {"order": 3, "operator": "moments"},
    {"radius": 2, "operator": "banded", "space": "local", "smoothness": 2.0},
    {"scheme": "upwind", "space": "homogeneous"},
    {"rate": 1e-3, "optimizer": "adam"},
    {"validation": 0.2, "patience": 3},
    {"validation": 0.2, "space": "local"},
    {"smoothness": 1.0, "bias": "local"},
    {"smoothness": 1.0, "bias": "local", "operator": "dense"},
    {"boundary": "periodic", "operator": "dense"},
    # These say what happens anyway.
    {"smoothness": 0.0, "patience": 0, "anomaly": "none"},
]


def words_of(options: dict[str, Any]) -> list[str]:
    return [word for k, v in options.items() for word in (f"--{k.replace('_', '-')}", str(v))]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.npz"
    np.savez(path, x=LINE[:-1], y=LINE[1:])
    return path


@pytest.mark.parametrize("case", WITHOUT_EFFECT)
def test_options_without_effect_are_refused(
    case: str, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    option, others, fix = WITHOUT_EFFECT[case]
    ((name, value),) = option.items()
    command = ["fit", str(pairs), "--out", str(tmp_path / "out"), *words_of(option | others)]
    assert cli.main(command) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith(f"relaxon: argument '{name}': expected ")
    assert f"got {value!r}" in line
    assert fix in line
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_the_value_in_the_way_is_named() -> None:
    with pytest.raises(ValueError, match=r"got 3 with --operator adr; leave it out or choose"):
        Options(order=3).check_effects(DataTraits())


def test_a_mask_boundary_needs_an_operator_with_neighbours() -> None:
    Options(mask_boundary="0").check_effects(DataTraits(has_mask=True))
    with pytest.raises(ValueError, match=r"'mask_boundary'.*not with --operator dense"):
        Options(mask_boundary="0", operator="dense").check_effects(DataTraits(has_mask=True))


@pytest.mark.parametrize("given", WITH_EFFECT, ids=lambda given: " ".join(given))
def test_options_with_an_effect_are_taken_and_listed(given: dict[str, Any]) -> None:
    experiment = Experiment(Options(**given), Samples(LINE[:-1], LINE[1:]))
    config = experiment.config
    for name, value in given.items():
        if value not in (0, "none"):
            assert config[name] == value


@pytest.mark.parametrize(
    ("given", "absent"),
    [
        ({}, {"order", "radius", "smoothness", "validation", "mask_boundary"}),
        ({"space": "local"}, {"order", "radius", "mask_boundary"}),
        (
            {"operator": "dense", "optimizer": "lbfgs"},
            {"order", "radius", "space", "scheme", "rate", "smoothness", "validation", "bounds"}
            | {"constraint", "diffusion"},
        ),
        (
            {"operator": "banded"},
            {"order", "scheme", "smoothness", "validation", "bounds", "constraint", "diffusion"},
        ),
    ],
    ids=["adr", "local", "dense", "banded"],
)
def test_settings_without_effect_are_not_listed(given: dict[str, Any], absent: set[str]) -> None:
    experiment = Experiment(Options(**given), Samples(LINE[:-1], LINE[1:]))
    known = {field.name for field in dataclasses.fields(Options)}
    # Pairs have no time and no name, these no mask and no gaps.
    absent = absent | {"variable", "select", "missing", "lead", "check_leads"}
    absent = absent | {"anomaly", "weights", "mask_boundary"}
    absent = absent | {"input_error", "target_error", "gamma", "max_depth", "on_the_fly"}
    assert experiment.config.keys() == {"data"} | known - absent
    for name in DEFAULTS.keys() - absent:
        assert experiment.config[name] == given.get(name, DEFAULTS[name])


def test_report_lists_settings_with_an_effect(pairs: Path, tmp_path: Path) -> None:
    assert cli.main(["fit", str(pairs), "--steps", "2", "--out", str(tmp_path)]) == 0
    config = json.loads((tmp_path / "summary.json").read_text())["config"]
    assert config["scheme"] == "central"
    assert config["rate"] == 0.01
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    listed = {name for name in ("order", "radius", "scheme") if f"<dt>{name}</dt>" in page}
    assert listed == {"scheme"}


def test_help_shows_defaults_of_options_that_depend(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fit", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for value in DEFAULTS.values():
        assert f"[default: {value}" in text
    assert "[default: 10; 5 for sst]" in text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("pairs.npz", "expected no value for arrays of a .npz file, got 't'; leave it out"),
        ("sst", "expected 'sst', the one there is, got 't'"),
    ],
)
@pytest.mark.parametrize("command", ["fit DATA", "predict model.safetensors DATA"])
def test_a_variable_that_is_not_there(
    data: str, message: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command.replace("DATA", data).split()
    assert cli.main([*words, "--variable", "t", "--out", str(tmp_path / "y.npz")]) == 2
    assert capsys.readouterr().err == f"relaxon: argument 'variable': {message}\n"


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["fit"], "relaxon fit"),
        (["fit", "sst", "--out", "o", "--depht", "5"], "relaxon fit"),
        (["explain"], "relaxon explain"),
        (["train"], "relaxon"),
    ],
)
def test_usage_errors_name_the_help_of_the_command(
    words: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    assert capsys.readouterr().err.endswith(f"(see '{command} --help')\n")


def test_too_little_memory_is_one_line(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fit", str(pairs), "--depth", "1000000000", "--out", str(tmp_path / "out")]
    assert cli.main(command) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "MiB of this machine" in line
    assert "'memory'" in line
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_a_folder(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fit", str(pairs), "--out", str(pairs)]) == 2
    line = capsys.readouterr().err
    assert (
        line == f"relaxon: argument '--out': expected a folder, got {pairs}: a file stands there\n"
    )


def test_what_is_given_decides_which_layers_fit_the_shipped_data() -> None:
    names = ("depth", "theta", "diffusion", "optimizer_used")

    def layers(source: str, **given: Any) -> tuple[Any, ...]:
        options = Options(**given).complete(source)
        assert options.complete(source) == options
        return tuple(
            options.value(n) if n != "optimizer_used" else getattr(options, n) for n in names
        )

    own, usual = (5, 1.0, "diagonal", "lbfgs"), (10, 0.0, "full", "barzilai-borwein")
    assert layers("sst") == own
    assert layers("other.nc") == layers("other.nc", steps=3) == usual
    assert layers("sst", depth=2) == (2, *own[1:])
    assert layers("sst", theta=0.5) == (5, 0.5, *own[2:])
    assert layers("sst", diffusion="full") == (5, 1.0, "full", "lbfgs")
    assert layers("sst", rate=0.1) == (*own[:3], "barzilai-borwein")
    assert layers("sst", theta=0.0) == layers("sst", space="local") == usual
    assert layers("sst", time="layered") == layers("sst", activation="tanh") == usual
    assert layers("sst", on_the_fly="newton") == usual


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({"diffusion": "diagonal"}, (9,), "'diffusion': expected 'full' where space has one axis"),
        ({"diffusion": "none"}, (4, 5), "'diffusion': expected one of 'full', 'diagonal'"),
        (
            {"diffusion": "diagonal", "operator": "dense"},
            (4, 5),
            "'diffusion': expected no value unless --operator is adr",
        ),
    ],
)
def test_diffusion_without_a_mixed_part_needs_one(
    options: dict[str, Any], shape: tuple[int, ...], message: str
) -> None:
    fields = np.random.default_rng(0).standard_normal((9, *shape))
    with pytest.raises(ValueError, match=message):
        Experiment(Options(depth=2, **options), Samples(fields[:-1], fields[1:]))


@pytest.mark.parametrize("space", ["homogeneous", "local"])
def test_diagonal_diffusion_has_no_mixed_part(space: str) -> None:
    fields = np.random.default_rng(0).standard_normal((31, 4, 5))
    options = Options(
        depth=2, steps=20, space=space, diffusion="diagonal", bounds="D>=0.01", optimizer="lbfgs"
    )
    result = Experiment(options, Samples(fields[:-1], fields[1:])).run()
    D = result.fit.model.params["D"]
    assert not D[1].any()
    assert (D[[0, 2]] > 0.0).all()
    (full,) = (result.fit.model.n_parameters,)
    assert result.rows[-1].parameters == full - D[1].size
    mixed = [p for p in result.explanation.processes if p.axes == (0, 1)]
    assert [p.standard_error for p in mixed] == [None]
    kept = [r for r in result.explanation.remarks if r.name == "kept"]
    assert [(r.symbol, r.axes) for r in kept] == [("D", (0, 1))]
