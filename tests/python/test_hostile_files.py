"""Model files whose checksums fit and whose content does not: refused on one line, at no cost."""

from __future__ import annotations

import copy
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from bench.reliability.corpus import EXTRA, corpus, models
from bench.reliability.damage import apart, slots_of, together
from bench.reliability.fuzz import told
from relaxon.base.schema import Later
from relaxon.datasets.coordinates import Coordinates
from relaxon.datasets.scaling import Scaling
from relaxon.datasets.time_axis import Step
from relaxon.model import loading, saving

GOLDEN = Path(__file__).parents[1] / "golden"
# What was written from the corpus by the version in the file's name.
WRITTEN = {
    "adr": "extra",
    "trained-omega": "float32, trained omega",
    "moments": "moments",
    "banded": "banded",
    "dense": "dense, masked",
    "ends": "ends",
    "monthly": "monthly",
    "one-mean": "one mean",
}


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.safetensors")), ids=lambda path: path.stem)
def test_files_of_older_versions_are_read(path: Path) -> None:
    name = WRITTEN[path.stem.rsplit("-", 1)[0]]
    found = loading.read(path)
    assert found.model == models()[name if name != "extra" else "plane, local, layered"]
    assert found.extra.keys() == (EXTRA.keys() if name == "extra" else set())
    assert told(saving.encode(found.model, found.extra)) == told(corpus()[name])


@pytest.mark.parametrize("name", corpus())
def test_what_is_read_is_written_again_byte_for_byte(name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(corpus()[name])
    found = loading.read(path)
    saving.save(found.model, path, found.extra)
    assert path.read_bytes() == corpus()[name]


def changed(name: str, change: Any) -> bytes:
    """A file of the corpus with another configuration, and checksums that fit."""
    layout, metadata, configuration, data = apart(corpus()[name])
    change(configuration)
    return together(layout, metadata, configuration, data)


def refusal(content: bytes, path: Path) -> str:
    path.write_bytes(content)
    with pytest.raises(rx.FileFormatError) as caught:
        loading.read(path)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 700
    return message


def places(tree: Any, inside: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Ways to all values of a configuration but those of `extra`."""
    keys = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        if (*inside, key) != ("extra",):
            yield (*inside, key)
            yield from places(tree[key], (*inside, key))


def at(tree: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        tree = tree[key]
    return tree


ALL_KEYS = ("extra, scaled", "ends", "moments", "banded", "dense", "box")
# Absent, they say no: they came later within version 1.
LATER = {"lift", "readout", "scaling", "is_rotated"}


@pytest.mark.parametrize("name", ALL_KEYS)
def test_every_key_is_required(name: str, tmp_path: Path) -> None:
    layout, metadata, configuration, data = apart(corpus()[name])
    n_refused = 0
    for place in places(configuration):
        if isinstance(place[-1], str) and place[-1] not in LATER:
            fewer = copy.deepcopy(configuration)
            del at(fewer, place[:-1])[place[-1]]
            message = refusal(together(layout, metadata, fewer, data), tmp_path / "m")
            assert "expected a key" in message or "one of" in message
            n_refused += 1
    assert n_refused >= 22


def test_keys_that_came_later_may_be_absent(tmp_path: Path) -> None:
    content = changed("monthly", lambda c: [a.pop("is_rotated") for a in c["scaling"]["axes"]])
    (tmp_path / "m").write_bytes(content)
    assert rx.load(tmp_path / "m") == models()["monthly"]
    assert all(
        place[-1] in LATER for place in places(loading._KEYS) if isinstance(place[-1], Later)
    )


@pytest.mark.parametrize("name", ALL_KEYS)
def test_unknown_keys_are_refused(name: str, tmp_path: Path) -> None:
    layout, metadata, configuration, data = apart(corpus()[name])
    for place in ((), *places(configuration)):
        if isinstance(at(configuration, place), dict):
            more = copy.deepcopy(configuration)
            at(more, place)["surprise"] = 1
            message = refusal(together(layout, metadata, more, data), tmp_path / "m")
            assert "expected" in message


@pytest.mark.parametrize("name", ALL_KEYS)
def test_values_of_other_types_are_refused(name: str, tmp_path: Path) -> None:
    layout, metadata, configuration, data = apart(corpus()[name])
    for place in places(configuration):
        value = at(configuration, place)
        others: list[Any] = [None, [], {}, "5", 1.5, True, 1, "@nan", "@inf", "@huge", 2**2000]
        for other in others:
            is_number = isinstance(value, float) and type(other) in (int, float)
            is_same = type(other) is type(value) or (place[-1] == "bias" and other is None)
            if (is_number and other != 2**2000) or is_same:
                continue
            odd = copy.deepcopy(configuration)
            at(odd, place[:-1])[place[-1]] = other
            refusal(together(layout, metadata, odd, data), tmp_path / "m")


def test_whole_numbers_stand_for_any(tmp_path: Path) -> None:
    def change(configuration: Any) -> None:
        configuration["grid"]["origin"] = [3, -0]
        configuration["model"]["dt"] = 2

    (tmp_path / "m").write_bytes(changed("monthly", change))
    model = rx.load(tmp_path / "m")
    assert model.dt == 2.0
    assert isinstance(model.dt, float)
    assert model.grid.origin == (3.0, 0.0)


VALUES: dict[str, tuple[str, tuple[Any, ...], Any]] = {
    "a depth beyond the schedules": ("box", ("dynamics", "depth"), 2**31),
    "a depth near 2^63": ("box", ("dynamics", "depth"), 2**63 - 1),
    "no depth": ("banded", ("dynamics", "depth"), 0),
    "another depth": ("extra", ("dynamics", "depth"), 4),
    "a number for a drive": ("implicit", ("dynamics", "drive"), 1),
    "another normalization": ("implicit", ("dynamics", "normalization"), "soft"),
    "both normalisations": ("implicit", ("dynamics", "beta"), 0.1),
    "a negative beta": ("extra", ("model", "beta"), -1.0),
    "no time per layer": ("extra", ("model", "dt"), 0.0),
    "a negative seed": ("extra", ("model", "seed"), -1),
    "half a character": ("extra", ("model", "time_unit"), "@surrogate"),
    "a type of another name": ("extra", ("model", "dtype"), "f8"),
    "a type of 5000 digits": ("extra", ("model", "dtype"), "5" * 5000),
    "a type with commas": ("extra", ("model", "dtype"), "f8,f8"),
    "another type": ("extra", ("model", "dtype"), "float32"),
    "another bias": ("extra", ("model", "bias"), "homogeneous"),
    "no bias": ("extra", ("model", "bias"), None),
    "omega that is trained": ("extra", ("model", "trainable_omega"), True),
    "omega that is not trained": ("omega per cell", ("model", "trainable_omega"), False),
    "a lift of another width": ("ends", ("model", "lift", "n_in"), 4),
    "a lift without width": ("ends", ("model", "lift", "n_in"), 0),
    "another operator": ("extra", ("operator", "type"), "Dense"),
    "another order": ("moments", ("operator", "order"), 4),
    "a radius beyond its type": ("banded", ("operator", "radius"), 2**31),
    "a radius that wraps round": ("banded", ("operator", "radius"), 2**30),
    "another radius": ("banded", ("operator", "radius"), 3),
    "no axes": ("extra", ("grid", "shape"), []),
    "four axes": ("extra", ("grid", "shape"), [4, 5, 1, 1]),
    "axes swapped": ("extra", ("grid", "shape"), [5, 4]),
    "lengths that wrap round": ("extra", ("grid", "shape"), [2**62, 20]),
    "a negative length": ("extra", ("grid", "shape", 0), -4),
    "no spacing": ("extra", ("grid", "spacing", 0), 0.0),
    "one spacing": ("extra", ("grid", "spacing"), [0.1]),
    "one side": ("extra", ("grid", "boundary"), [["neumann"], ["periodic"]]),
    "half periodic": ("extra", ("grid", "boundary", 1), ["periodic", "neumann"]),
    "no value": ("extra", ("grid", "boundary", 0, 1), {}),
    "a mask that is periodic": ("extra", ("grid", "mask_boundary"), "periodic"),
    "half of a name": ("extra", ("grid", "names", 0), "@surrogate"),
    "no deviation": ("extra, scaled", ("scaling", "scale"), 0.0),
    "a negative deviation": ("extra, scaled", ("scaling", "scale"), -1.0),
    "another period": ("extra, scaled", ("scaling", "period"), "hour"),
    "an unknown period": ("extra, scaled", ("scaling", "period"), "day"),
    "one mean for all": ("means", ("scaling", "period"), "none"),
    "no lead": ("extra, scaled", ("scaling", "lead"), 0),
    "a negative step": ("extra, scaled", ("scaling", "step", "length"), -3600.0),
    "negative months": ("extra, scaled", ("scaling", "step", "n_months"), -1),
    "months that are a word": ("extra, scaled", ("scaling", "step", "n_months"), "Dense"),
    "a negative spacing": ("extra, scaled", ("scaling", "axes", 0, "spacing"), -1.0),
    "a unit that is none": ("extra, scaled", ("scaling", "axes", 0, "unit"), "@nan"),
    "an unknown kind": ("extra, scaled", ("scaling", "axes", 0, "kind"), "height"),
    "no axes of space": ("extra, scaled", ("scaling", "axes"), []),
    "extra that is a list": ("extra", ("extra",), []),
    "extra that is there twice": ("extra", ("extra", "valid"), 1),
    "a nest": ("extra", ("extra", "nested"), "@deep"),
    "a deeper nest": ("extra", ("extra", "nested"), "@deeper"),
    "a number of 5000 digits": ("extra", ("extra", "nested"), "@digits"),
    "a writer that is none": ("extra", ("written_by",), None),
}


@pytest.mark.parametrize("case", VALUES.values(), ids=VALUES)
def test_values_that_make_no_model(case: Any, tmp_path: Path) -> None:
    name, place, value = case

    def change(configuration: Any) -> None:
        at(configuration, place[:-1])[place[-1]] = value

    refusal(changed(name, change), tmp_path / "m")


@pytest.mark.parametrize("text", ["", "[]", "null", "5", '"x"', "{}", "[" * 100_000, "{" * 99])
def test_configurations_that_are_none(text: str, tmp_path: Path) -> None:
    layout, metadata, _, data = apart(corpus()["extra"])
    refusal(together(layout, metadata, text, data), tmp_path / "m")


def test_keys_that_stand_twice(tmp_path: Path) -> None:
    layout, metadata, _, data = apart(corpus()["extra"])
    text = metadata["configuration"]
    assert '"depth": 3' in text
    twice = text.replace('"depth": 3', '"depth": 2, "depth": 3')
    assert "twice" in refusal(together(layout, metadata, twice, data), tmp_path / "m")


def renamed(layout: Any, old: str, new: str) -> None:
    layout[new] = layout.pop(old)


def retyped(layout: Any, name: str, dtype: str) -> None:
    layout[name]["dtype"] = dtype


def reshaped(layout: Any, name: str, shape: list[int]) -> None:
    layout[name]["shape"] = shape


ARRAYS: dict[str, tuple[str, Any]] = {
    "an unknown name": ("monthly", lambda a: renamed(a, "omega", "omeg")),
    "an unknown parameter": ("box", lambda a: renamed(a, "param.R", "param.Q")),
    "an unknown scaling": ("monthly", lambda a: renamed(a, "scaling.axis 0", "scaling.axis 5")),
    "a name that is none": ("box", lambda a: renamed(a, "param.R", "\ud800")),
    "no parameter": ("box", lambda a: a.pop("param.U")),
    "a parameter in another shape": ("box", lambda a: reshaped(a, "param.U", [1, 3])),
    "a parameter of integers": ("box", lambda a: retyped(a, "param.U", "I64")),
    "omega of integers": ("box", lambda a: retyped(a, "omega", "U64")),
    "omega in a shape": ("box", lambda a: reshaped(a, "omega", [1, 1])),
    "a mask of bytes": ("monthly", lambda a: retyped(a, "grid.mask", "I8")),
    "a mask in a line": ("monthly", lambda a: reshaped(a, "grid.mask", [20])),
    "means of integers": ("monthly", lambda a: retyped(a, "scaling.climatology", "I64")),
    "means turned": ("monthly", lambda a: reshaped(a, "scaling.climatology", [4, 5, 12])),
    "no means": ("monthly", lambda a: renamed(a, "scaling.climatology", "extra.climatology")),
}


@pytest.mark.parametrize("case", ARRAYS.values(), ids=ARRAYS)
def test_arrays_that_belong_to_no_such_model(case: Any, tmp_path: Path) -> None:
    name, change = case
    layout, metadata, configuration, data = apart(corpus()[name])
    change(layout)
    refusal(together(layout, metadata, configuration, data), tmp_path / "m")


NUMBERS: dict[str, tuple[str, str, int, float]] = {
    "a parameter that is not finite": ("box", "param.U", 0, np.nan),
    "a trained omega that is infinite": ("omega per cell", "param.omega", 3, np.inf),
    "omega below 0": ("box", "omega", 0, -0.5),
    "omega that is not finite": ("box", "omega", 0, np.nan),
    "an infinite mean": ("monthly", "scaling.climatology", 0, np.inf),
    "a mean that is not that of all": ("one mean", "scaling.climatology", 0, 0.25),
    "an axis that jumps back": ("monthly", "scaling.axis 0", 1, 7.0),
    "an axis that is not finite": ("monthly", "scaling.axis 1", 1, np.nan),
    "a latitude beyond the pole": ("monthly", "scaling.axis 0", 3, 95.0),
}


@pytest.mark.parametrize("case", NUMBERS.values(), ids=NUMBERS)
def test_numbers_that_no_model_has(case: Any, tmp_path: Path) -> None:
    name, array, index, value = case
    layout, metadata, configuration, data = apart(corpus()[name])
    begin = layout[array]["data_offsets"][0] + 8 * index
    data = data[:begin] + np.float64(value).tobytes() + data[begin + 8 :]
    refusal(together(layout, metadata, configuration, data), tmp_path / "m")


GIANTS: dict[str, tuple[str, dict[tuple[Any, ...], Any]]] = {
    "a matrix": ("dense", {("grid", "shape"): [30_000]}),
    "layers": ("plane, local, layered", {("dynamics", "depth"): 2**31 - 1}),
    "cells": ("moments", {("grid", "shape"): [2**40]}),
    "a stencil": ("banded", {("operator", "radius"): 20_000}),
    "a lift": ("ends", {("model", "lift", "n_in"): 2**31 - 1}),
    "a readout": ("readout", {("model", "readout", "n_out"): 10**8}),
    "means": ("hourly", {("grid", "shape"): [10**4, 10**4]}),
}


@pytest.mark.parametrize("case", GIANTS.values(), ids=GIANTS)
@pytest.mark.parametrize("tells", [False, True])
def test_giants_cost_nothing(case: Any, tells: bool, tmp_path: Path) -> None:
    """Whether only the configuration tells of their size, or the layout does, too."""
    name, changes = case
    layout, metadata, configuration, data = apart(corpus()[name])
    for place, value in changes.items():
        at(configuration, place[:-1])[place[-1]] = value
    if tells:
        for entry in layout.values():
            entry["shape"] = [10**6, *entry["shape"][1:]]
    content = together(layout, metadata, configuration, data)
    refusal(content, tmp_path / "m")  # once, for what is imported
    tracemalloc.start()
    try:
        refusal(content, tmp_path / "m")
        assert tracemalloc.get_traced_memory()[1] < 2**18
    finally:
        tracemalloc.stop()


def large(kind: str) -> rx.Relaxation:
    """Models of some MB, of which nearly all is one array."""
    cells = (300, 400)
    mask = np.random.default_rng(0).random((1000, 1500)) < 0.7
    if kind == "local":
        return rx.Relaxation(rx.ADR(rx.Grid(cells), space="local", time="layered"), depth=2)
    if kind == "mask":
        return rx.Relaxation(rx.ADR(rx.Grid(mask.shape, mask=mask)), depth=2)
    if kind == "matrix":
        grid = rx.Grid((500,), mask=mask[0, :500])
        return rx.Relaxation(rx.Dense(grid), depth=2)
    if kind in ("omega", "trained omega"):
        grid = rx.Grid(cells, mask=mask[:300, :400])
        omega = np.full(cells, 0.5)
        return rx.Relaxation(rx.ADR(grid), depth=2, omega=omega, trainable_omega="t" in kind)
    if kind == "gamma":
        grid = rx.Grid(cells, mask=mask[:300, :400])
        return rx.Relaxation(rx.ADR(grid), depth=2, gamma=np.full(cells, 0.5), dt=2.0)
    if kind == "ends":
        lift, readout = rx.Lift(300), rx.Readout(200)
        return rx.Relaxation(rx.ADR(rx.Grid((500,))), depth=2, lift=lift, readout=readout)
    model = rx.Relaxation(rx.ADR(rx.Grid(cells)), depth=2)
    period, means = (
        ("none", np.full((1, *cells), 1.5))
        if kind == "mean"
        else ("month", np.random.default_rng(0).standard_normal((12, *cells)))
    )
    where = Coordinates.lattice(cells)
    return model.with_scaling(Scaling("t", "K", means, 2.0, period, 1, Step(1.0), where))


KINDS = ("local", "mask", "matrix", "omega", "trained omega", "gamma", "ends", "mean", "months")


@pytest.mark.parametrize("kind", KINDS)
def test_reading_takes_at_most_three_times_the_bytes(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = large(kind)
    rx.save(model, path)
    n_bytes = path.stat().st_size
    assert n_bytes > 900_000
    tracemalloc.start()
    try:
        loaded = rx.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2.5 * n_bytes
    finally:
        tracemalloc.stop()
    assert loaded == model


def test_arrays_of_a_file_cannot_be_written_to(tmp_path: Path) -> None:
    for name, content in corpus().items():
        (tmp_path / "m").write_bytes(content)
        model = rx.load(tmp_path / "m")
        arrays = [*model.params.values(), model.omega]
        if model.scaling is not None:
            arrays += model.scaling.to_parts()[1].values()
        assert not any(array.flags.writeable for array in arrays), name


def test_the_corpus_meets_every_key() -> None:
    """So that the fuzzer damages all of them."""
    met = set()
    for content in corpus().values():
        configuration = apart(content)[2]
        del configuration["extra"]
        met |= {key for _, key in slots_of(configuration) if isinstance(key, str)}
    assert {str(key) for _, key in slots_of(plain(loading._KEYS)) if isinstance(key, str)} <= met


def plain(kind: Any) -> Any:
    """A kind as a tree of dicts and lists."""
    if isinstance(kind, dict):
        return {name: plain(entry) for name, entry in kind.items() if name != "extra"}
    if isinstance(kind, list):
        return [plain(kind[0])]
    if hasattr(kind, "fields"):
        cases = kind.fields.values() if hasattr(kind, "key") else ()
        return [plain(dict(case)) for case in cases]
    return 0


def test_extra_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    nest: list[Any] = []
    for _ in range(2000):
        nest = [nest]
    for value in (nest, 10**2000, list(range(200_000)), 1e400, {1: 2, "1": 3}):
        with pytest.raises(TypeError, match="argument 'extra'"):
            saving.save(models()["box"], tmp_path / "m", extra={"a": value})
    with pytest.raises(TypeError, match="argument 'extra'"):
        saving.save(models()["box"], tmp_path / "m", extra={"\ud800": np.ones(2)})
    assert not (tmp_path / "m").exists()


def test_operators_of_other_makers_are_not_written(tmp_path: Path) -> None:
    class Mine(rx.ADR):
        pass

    with pytest.raises(
        TypeError, match="argument 'model': expected one of relaxon's own operators"
    ):
        rx.save(rx.Relaxation(Mine(rx.Grid((4,))), depth=2), tmp_path / "m")


def test_names_of_files_that_are_no_text_are_kept(tmp_path: Path) -> None:
    """As Python gives names of files that are not UTF-8."""
    extra = {"data": "sea\udcff.nc"}
    saving.save(models()["box"], tmp_path / "m", extra=extra)
    assert loading.read(tmp_path / "m").extra == extra
    assert json.dumps(extra) in apart((tmp_path / "m").read_bytes())[1]["configuration"]
