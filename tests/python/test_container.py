"""Containers of any format: what is written is read, and their structure is checked."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import relaxon as rx
from bench.reliability.damage import apart, together
from relaxon.model import container

FORMAT, VERSION = "relaxon test", 3
ARRAYS: dict[str, Any] = {
    "step": np.array(7, np.int64),
    "moments": np.arange(6.0, dtype=np.float32).reshape(2, 3),
    "mask": np.array([[True], [False]]),
    "none": np.zeros((0, 4), np.uint16),
    "half": np.array([1.5], np.float16),
    "\u00e9 \U0001f30a": np.array([-1, 2], np.int8),
}
CONFIGURATION = {"a": [1, 0.5, None, "\u00e9"], "b": {"c": True}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A container of another format than models."""
    path = tmp_path / "state.safetensors"
    path.write_bytes(container.encode(FORMAT, VERSION, ARRAYS, json.dumps(CONFIGURATION)))
    return path


def test_everything_comes_back(path: Path) -> None:
    version, configuration, tensors = container.read(path, FORMAT, VERSION)
    assert version == VERSION
    assert configuration == CONFIGURATION
    assert tensors.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert tensors[name].dtype == array.dtype
        assert tensors[name].shape == array.shape
        assert tensors[name].tobytes() == array.tobytes()
        assert tensors[name].flags.aligned
        assert tensors[name].flags.owndata
    again = container.encode(FORMAT, VERSION, tensors, json.dumps(configuration))
    assert again == path.read_bytes()


def test_other_programs_read_the_arrays(path: Path) -> None:
    arrays = safetensors.numpy.load_file(path)
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert np.array_equal(arrays[name], array)


def test_views_and_other_byte_orders_are_written_as_they_read() -> None:
    odd = {
        "reversed": np.arange(6.0)[::-2],
        "turned": np.arange(6.0).reshape(2, 3).T,
        "swapped": np.arange(3, dtype=">i4"),
    }
    plain = {name: np.array(a, a.dtype.newbyteorder("="), order="C") for name, a in odd.items()}
    assert container.encode(FORMAT, 1, odd, "{}") == container.encode(FORMAT, 1, plain, "{}")


@pytest.mark.parametrize(
    ("tensors", "configuration"),
    [
        ({"a": np.array(["x"])}, "{}"),
        ({"a": np.array([1j])}, "{}"),
        ({"a": np.array([1.0], np.longdouble)}, "{}"),
        ({"\ud800": np.array([1.0])}, "{}"),
        ({"__metadata__": np.array([1.0])}, "{}"),
        ({}, "{"),
        ({}, '{"a": NaN}'),
        ({}, '{"a": 1, "a": 1}'),
        ({}, '"\u00e9"'),
        ({}, json.dumps(list(range(100_000)))),
    ],
)
def test_what_could_not_be_read_is_not_written(tensors: Any, configuration: str) -> None:
    with pytest.raises((TypeError, ValueError)):
        container.encode(FORMAT, VERSION, tensors, configuration)


@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="there are no such arrays"
)
def test_more_axes_than_old_releases_of_numpy_have_are_not_written() -> None:
    container.encode(FORMAT, VERSION, {"a": np.zeros((1,) * 32)}, "{}")
    with pytest.raises(ValueError, match="its shape or place is no such"):
        container.encode(FORMAT, VERSION, {"a": np.zeros((1,) * 33)}, "{}")


def test_long_lists_fit_beside_arrays_that_are_longer(tmp_path: Path) -> None:
    text = json.dumps(list(range(100_000)))
    beside = {"a": np.zeros(2_000_000)}
    (tmp_path / "a").write_bytes(container.encode(FORMAT, VERSION, beside, text))
    assert container.read(tmp_path / "a", FORMAT, VERSION)[1] == json.loads(text)


def test_other_formats_are_named(path: Path) -> None:
    with pytest.raises(rx.FileFormatError, match="the format 'relaxon model', got 'relaxon test'"):
        rx.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(rx.FileFormatError, match="no test file"):
        container.read(path, FORMAT, VERSION)


def test_older_versions_are_read_and_newer_ones_refused_by_name(path: Path) -> None:
    container.read(path, FORMAT, VERSION + 1)
    with pytest.raises(rx.FileFormatError, match="version 3 is newer than 2"):
        container.read(path, FORMAT, VERSION - 1)


@pytest.mark.parametrize(
    "version", ["0", "-1", "01", "1.0", " 1", "\u0661", "1_0", "", "x", 1, None]
)
def test_versions_that_are_no_numbers(path: Path, version: Any) -> None:
    layout, metadata, configuration, data = apart(path.read_bytes())
    path.write_bytes(together(layout, metadata | {"format_version": version}, configuration, data))
    with pytest.raises(rx.FileFormatError, match="expected a format version"):
        container.read(path, FORMAT, VERSION)


Layout = dict[str, Any]


def change_of(name: str, key: str, value: Any) -> Callable[[Layout, Layout], None]:
    def change(layout: Layout, metadata: Layout) -> None:
        layout[name][key] = value

    return change


def gap(layout: Layout, metadata: Layout) -> None:
    del layout["half"]


def twin(layout: Layout, metadata: Layout) -> None:
    layout["twin"] = layout["step"]


def no_entry(layout: Layout, metadata: Layout) -> None:
    layout["none"] = None


def list_entry(layout: Layout, metadata: Layout) -> None:
    layout["none"] = [0]


def extra_key(layout: Layout, metadata: Layout) -> None:
    layout["none"]["order"] = "C"


def surrogate(layout: Layout, metadata: Layout) -> None:
    layout["\ud800"] = layout.pop("none")


def unknown_metadata(layout: Layout, metadata: Layout) -> None:
    metadata["compression"] = "none"


def number_in_metadata(layout: Layout, metadata: Layout) -> None:
    metadata["format"] = 5


def checksum_elsewhere(layout: Layout, metadata: Layout) -> None:
    layout["none"]["header_sha256"] = "0" * 64
    metadata["header_sha256"] = "1" * 63


CHANGES = {
    "a gap": gap,
    "an overlap": twin,
    "an entry that is null": no_entry,
    "an entry that is a list": list_entry,
    "a key too many": extra_key,
    "half a character": surrogate,
    "unknown metadata": unknown_metadata,
    "metadata that are no text": number_in_metadata,
    "the checksum elsewhere": checksum_elsewhere,
    "complex numbers": change_of("step", "dtype", "C64"),
    "bfloat16": change_of("half", "dtype", "BF16"),
    "a type of 5000 digits": change_of("step", "dtype", "5" * 5000),
    "a type that is none": change_of("step", "dtype", None),
    "another type": change_of("moments", "dtype", "F64"),
    "a larger shape": change_of("moments", "shape", [2, 4]),
    "a negative shape": change_of("moments", "shape", [-2, -3]),
    "a shape of booleans": change_of("moments", "shape", [True, 6]),
    "a shape of floats": change_of("moments", "shape", [2.0, 3.0]),
    "a shape that wraps round": change_of("moments", "shape", [2**32, 2**32, 6]),
    "an empty shape beyond all numbers": change_of("none", "shape", [0, 2**64]),
    "an empty shape that NumPy refuses": change_of("none", "shape", [0, 2**62, 2**62]),
    "too many axes": change_of("half", "shape", [1] * 100),
    "one place": change_of("moments", "data_offsets", [0]),
    "places that are negative": change_of("moments", "data_offsets", [-24, 0]),
    "a place beyond the file": change_of("moments", "data_offsets", [2**62, 2**62 + 24]),
    "a place of texts": change_of("moments", "data_offsets", ["8", "32"]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_headers_that_are_refused(path: Path, change: Any) -> None:
    layout, metadata, configuration, data = apart(path.read_bytes())
    change(layout, metadata)
    path.write_bytes(together(layout, metadata, configuration, data))
    with pytest.raises(rx.FileFormatError) as caught:
        container.read(path, FORMAT, VERSION)
    assert str(caught.value).isprintable()


def test_booleans_are_zero_or_one(path: Path) -> None:
    layout, metadata, configuration, data = apart(path.read_bytes())
    begin = layout["mask"]["data_offsets"][0]
    data = data[:begin] + b"\2" + data[begin + 1 :]
    path.write_bytes(together(layout, metadata, configuration, data))
    with pytest.raises(rx.FileFormatError, match="'mask': some booleans are neither 0 nor 1"):
        container.read(path, FORMAT, VERSION)


def test_headers_out_of_proportion_are_refused_before_they_are_parsed(path: Path) -> None:
    layout, metadata, _, data = apart(path.read_bytes())
    path.write_bytes(together(layout, metadata, f"[{'[],' * 300_000}[]]", data))
    tracemalloc.start()
    try:
        with pytest.raises(rx.FileFormatError, match="more values than fit"):
            container.read(path, FORMAT, VERSION)
        assert tracemalloc.get_traced_memory()[1] < 3 * path.stat().st_size
    finally:
        tracemalloc.stop()


def test_a_file_cut_while_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    found = os.fstat

    def before(number: int) -> Any:
        return os.stat_result((*found(number)[:6], len(content), 0, 0, 0))

    monkeypatch.setattr(os, "fstat", before)
    with pytest.raises(rx.FileFormatError, match="cut while it was read"):
        container.read(path, FORMAT, VERSION)


def test_messages_stay_on_one_line(tmp_path: Path) -> None:
    where = "a\x1b[31m\nb" + "c" * 4000 + ".safetensors"
    with pytest.raises(rx.FileFormatError) as caught:
        container.refuse(where, "\t\ud800" * 999)
    error = caught.value
    assert str(error).isprintable()
    assert str(error).startswith("a\\x1b[31m\\nbccc")
    assert "ccc.safetensors: \\t\\ud800" in str(error)
    assert len(str(error)) < 610
    assert str(rx.FileFormatError("a\nb")) == "a\\nb"
    path = tmp_path / "a\u2028b"
    path.write_bytes(b"nothing")
    with pytest.raises(rx.FileFormatError, match=r"a\\u2028b: no model file"):
        rx.load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_pipes_do_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(rx.FileFormatError, match="expected a file, got a pipe"):
        rx.load(tmp_path / "pipe")


def test_folders_are_the_errors_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"directory|denied"):
        rx.load(tmp_path)
