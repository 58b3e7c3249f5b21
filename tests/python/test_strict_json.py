"""JSON of files: refused where its meaning is not one, costs bounded before it is parsed."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from relaxon.base import strict_json

N = 20_000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{} {}", "Extra data"),
        ("NaN", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("[1e400]", "1e400 is too large"),
        ("9" * 5000, "5000 characters"),
        ("0." + "3" * 5000, "5002 characters"),
        ('{"a": 1, "b": 2, "a": 1}', "the key 'a' stands twice"),
        ('{"x": [{"b": 1, "b": 2}]}', "the key 'b' stands twice"),
        ("[" * 102 + "]" * 102, "more than 100 deep"),
        ('{"a":' * 102 + "1" + "}" * 102, "more than 100 deep"),
        ("[" * 100_000 + "]" * 100_000, "more than 100 deep"),
        ('{"a":' * 100_000, "more than 100 deep"),
        ('"\n"', "Invalid control character"),
        ("\ufeff{}", "BOM"),
        ("00", "Extra data"),
    ],
)
def test_texts_that_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        strict_json.parse(text)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"a": [True, False, 0, -1, 2**63, 10**999, 0.1, -0.0, 5e-324, 1.7976931348623157e308]},
        {"": {"\u00e9 \U0001f30a \x1b": '"\\'}},
        [[[]], {}],
    ],
)
def test_values_come_back(value: Any) -> None:
    text = json.dumps(value)
    assert json.dumps(strict_json.parse(text)) == text


def test_a_hundred_levels_are_allowed() -> None:
    assert json.dumps(strict_json.parse("[" * 100 + "]" * 100)) == "[" * 100 + "]" * 100


def repeated(entry: str) -> str:
    return f"[{','.join([entry] * N)}]"


TEXTS = {
    "lists": repeated("[]"),
    "lists of one": repeated("[300]"),
    "lists of five": repeated("[1,1,1,1,1]"),
    "objects": repeated("{}"),
    "objects of one": repeated('{"a":1}'),
    "objects of nine": repeated(json.dumps(dict.fromkeys("abcdefghi", 0.5))),
    "one object": json.dumps({f"{i:x}": 0.5 for i in range(N)}),
    "a table that has just grown": json.dumps({f"{i:x}": 0.5 for i in range(2**16 * 2 // 3 + 1)}),
    "floats": repeated("0.5"),
    "integers": repeated("300"),
    "texts": repeated('"ab"'),
    "wide texts": repeated('"\\u1234"'),
    "wider texts": repeated('"\\ud83c\\udf0a"'),
    "a long text": json.dumps("x" * 10 * N),
    "a long text with a wide character": json.dumps("x" * 10 * N + "\u1234"),
    "a long text with a wider character": json.dumps("x" * 10 * N + "\U0001f30a"),
    "nested": f"[{','.join(['[' * 50 + ']' * 50] * (N // 50))}]",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_memory_stays_below_what_was_estimated(text: str) -> None:
    expected = strict_json.most_memory(text.encode("ascii"))
    tracemalloc.start()
    try:
        strict_json.parse(text)
        assert tracemalloc.get_traced_memory()[1] <= expected
    finally:
        tracemalloc.stop()
