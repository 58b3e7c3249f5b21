"""Model files: exact round trips, atomic writes, and every kind of damage refused."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import relaxon as rx
from relaxon.model import format as model_format
from relaxon.model import loading, saving

MASK = np.ones((5, 7), dtype=bool)
MASK[1:3, 2:4] = False
PLANE = rx.Grid(
    (5, 7),
    spacing=(0.1, 1 / 3),
    boundary=(("neumann", rx.Dirichlet(0.7)), "periodic"),
    mask=MASK,
    mask_boundary=rx.Dirichlet(-0.25),
    names=("y", "x"),
    origin=(1.0, -2.0),
    unit=("m", "km"),
)
LINE = rx.Grid((9,), boundary="neumann")

MODELS = {
    "plane, local, layered": rx.Relaxation(
        rx.ADR(PLANE, space="local", time="layered", scheme="upwind"),
        depth=3,
        activation="gelu",
        omega=np.array([0.1, 0.2, 0.3]),
        bias="local",
        beta=0.01,
        dt=0.1,
        time_unit="h",
        seed=5,
    ),
    "plane, float32, trained omega": rx.Relaxation(
        rx.ADR(PLANE, scheme="lax-wendroff"), depth=2, trainable_omega=True, dtype="float32"
    ),
    "omega per cell": rx.Relaxation(rx.ADR(LINE), depth=2, omega=np.linspace(0, 1, 9)[np.newaxis]),
    "moments": rx.Relaxation(rx.Moments(LINE, order=3, space="local"), depth=2),
    "banded": rx.Relaxation(rx.Banded(LINE, radius=2), depth=2, bias="homogeneous"),
    "dense": rx.Relaxation(rx.Dense(LINE, time="layered"), depth=2, activation="identity"),
}
EXTRA: dict[str, Any] = {
    "scale": 0.1,
    "name": 'a "quoted" \u00e9',
    "climatology": np.arange(6.0).reshape(2, 3),
    "valid": np.array([True, False]),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model file with extras."""
    path = tmp_path / "model.safetensors"
    saving.save(MODELS["plane, local, layered"], path, extra=EXTRA)
    return path


@pytest.mark.parametrize("name", MODELS)
def test_round_trip_is_exact(name: str, tmp_path: Path) -> None:
    model = MODELS[name]
    model.save(tmp_path / "model.safetensors")
    loaded = rx.load(tmp_path / "model.safetensors")
    assert loaded == model
    assert type(loaded.operator) is type(model.operator)
    assert loaded.operator == model.operator
    assert loaded.params.keys() == model.params.keys()
    for key, value in model.params.items():
        assert loaded.params[key].dtype == value.dtype
        assert loaded.params[key].tobytes() == value.tobytes()
    random = np.random.default_rng(0)
    x = random.standard_normal((2, *model.grid.shape)).astype(model.dtype)
    assert loaded(x).tobytes() == model(x).tobytes()


def test_trained_omega_may_have_left_its_interval(tmp_path: Path) -> None:
    model = rx.Relaxation(rx.ADR(LINE), depth=2, trainable_omega=True)
    model = model.with_params({**model.params, "omega": np.asarray(-3.5)})
    rx.save(model, tmp_path / "m.safetensors")
    assert float(rx.load(tmp_path / "m.safetensors").params["omega"]) == -3.5


def test_extra_values_come_back(path: Path) -> None:
    extra = loading.read(path).extra
    assert extra.keys() == EXTRA.keys()
    assert extra["scale"] == EXTRA["scale"]
    assert extra["name"] == EXTRA["name"]
    for name in ("climatology", "valid"):
        assert extra[name].dtype == EXTRA[name].dtype
        assert np.array_equal(extra[name], EXTRA[name])


@pytest.mark.parametrize(
    "value", [np.array(["text"]), np.array([None]), {1, 2}, float("nan"), np.ones(2, np.longdouble)]
)
def test_extra_values_that_no_file_can_hold(value: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="argument 'extra'"):
        saving.save(MODELS["banded"], tmp_path / "m.safetensors", extra={"bad": value})
    assert list(tmp_path.iterdir()) == []


def test_same_model_same_bytes(path: Path, tmp_path: Path) -> None:
    saving.save(MODELS["plane, local, layered"], tmp_path / "again", extra=EXTRA)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_other_programs_can_read_the_arrays(path: Path) -> None:
    arrays = safetensors.numpy.load_file(path)
    assert np.array_equal(arrays["param.U"], MODELS["plane, local, layered"].params["U"])
    assert np.array_equal(arrays["grid.mask"], MASK)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        rx.load(tmp_path / "nowhere.safetensors")


def test_truncated_at_every_percent(path: Path) -> None:
    content = path.read_bytes()
    for percent in range(100):
        path.write_bytes(content[: len(content) * percent // 100])
        with pytest.raises(rx.FileFormatError, match=r"model\.safetensors"):
            rx.load(path)


def test_one_byte_too_many(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(rx.FileFormatError, match=r"expected .* bytes"):
        rx.load(path)


@pytest.mark.parametrize("flip", [0x01, 0x20])
def test_each_header_byte_flipped(path: Path, flip: int) -> None:
    content = bytearray(path.read_bytes())
    header_bytes = 8 + int.from_bytes(content[:8], "little")
    assert header_bytes > 500
    for i in range(header_bytes):
        content[i] ^= flip
        path.write_bytes(content)
        with pytest.raises(rx.FileFormatError):
            rx.load(path)
        content[i] ^= flip
    path.write_bytes(content)
    rx.load(path)


def test_each_data_byte_flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    header_bytes = 8 + int.from_bytes(content[:8], "little")
    for i in range(header_bytes, len(content), 7):
        content[i] ^= 0x40
        path.write_bytes(content)
        with pytest.raises(rx.FileFormatError, match="checksum"):
            rx.load(path)
        content[i] ^= 0x40


def rewritten(content: bytes, change: Any) -> bytes:
    """The same file with a changed header and correct checksums: written by someone who knows."""
    length = int.from_bytes(content[:8], "little")
    layout = json.loads(content[8 : 8 + length])
    change(layout)
    layout["__metadata__"]["header_sha256"] = "0" * 64
    header = json.dumps(layout, separators=(",", ":")).encode()
    prefix = len(header).to_bytes(8, "little")
    digest = hashlib.sha256(prefix + header).hexdigest().encode()
    header = header.replace(b'_sha256":"' + b"0" * 64, b'_sha256":"' + digest, 1)
    return prefix + header + content[8 + length :]


def test_newer_version_is_refused_by_name(path: Path) -> None:
    def change(layout: dict[str, Any]) -> None:
        layout["__metadata__"]["format_version"] = str(model_format.FORMAT_VERSION + 1)
        layout["__metadata__"]["configuration"] = "in words we do not know yet"

    path.write_bytes(rewritten(path.read_bytes(), change))
    with pytest.raises(rx.FileFormatError, match="version 3 is newer than 2"):
        rx.load(path)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("operator", "type", "object"),
        ("operator", "space", "everywhere"),
        ("operator", "surprise", 1),
        ("dynamics", "type", "implicit"),
        ("dynamics", "depth", 0),
        ("dynamics", "depth", 4),
        ("dynamics", "beta", -1.0),
        ("model", "depth", 3),
        ("model", "dtype", "float16"),
        ("grid", "shape", [7, 5]),
        ("grid", "spacing", [0.0, 1.0]),
        ("grid", "boundary", [["neumann"], ["periodic"]]),
    ],
)
def test_configurations_that_make_no_model(path: Path, section: str, key: str, value: Any) -> None:
    def change(layout: dict[str, Any]) -> None:
        configuration = json.loads(layout["__metadata__"]["configuration"])
        configuration[section][key] = value
        layout["__metadata__"]["configuration"] = json.dumps(configuration)

    path.write_bytes(rewritten(path.read_bytes(), change))
    rule = "is none that this version knows" if value == "object" else "makes no model"
    with pytest.raises(rx.FileFormatError, match=rule):
        rx.load(path)


def test_an_older_version_has_no_newer_keys(path: Path) -> None:
    def change(layout: dict[str, Any]) -> None:
        layout["__metadata__"]["format_version"] = "1"

    path.write_bytes(rewritten(path.read_bytes(), change))
    with pytest.raises(rx.FileFormatError, match="no 'dynamics' in version 1"):
        rx.load(path)


def test_rewritten_without_change_is_read(path: Path) -> None:
    path.write_bytes(rewritten(path.read_bytes(), lambda layout: None))
    assert rx.load(path) == MODELS["plane, local, layered"]


def test_huge_sizes_are_refused_before_memory_is_taken(path: Path) -> None:
    content = path.read_bytes()

    def change(layout: dict[str, Any]) -> None:
        layout["param.U"] = {"dtype": "F64", "shape": [2**37], "data_offsets": [0, 2**40]}

    huge_header = (2**62).to_bytes(8, "little") + content[8:]
    for damaged in (rewritten(content, change), huge_header):
        path.write_bytes(damaged)
        tracemalloc.start()
        try:
            with pytest.raises(rx.FileFormatError):
                rx.load(path)
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()


def test_files_of_other_kinds(tmp_path: Path) -> None:
    path = tmp_path / "other"
    for content in (b"", b"PK\3\4" + bytes(100), bytes(8), os.urandom(1000), b"{}" * 40):
        path.write_bytes(content)
        with pytest.raises(rx.FileFormatError, match="no model file"):
            rx.load(path)
    safetensors.numpy.save_file({"W": np.eye(3)}, path)
    with pytest.raises(rx.FileFormatError, match="no model file"):
        rx.load(path)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(
    path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        rx.save(MODELS["banded"], path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no umask")
def test_new_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        rx.save(MODELS["banded"], tmp_path / "m.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "m.safetensors").stat().st_mode & 0o777 == 0o640
