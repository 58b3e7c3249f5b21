"""Text from outside, as it is shown and as a cell of a table."""

from __future__ import annotations

import pytest

from relaxon.base.text import quote_cell, show
from relaxon.base.validate import refuse


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("latitude", "latitude"),
        ("Länge λ 経度 °C m²", "Länge λ 経度 °C m²"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[2J\x07\x00", r"\x1b[2J\x07\x00"),
        ("\x7f\x85\x9b31m", r"\x7f\x85\x9b31m"),
        ("\u202egpj.exe\u2066", r"\u202egpj.exe\u2066"),
        ("a\u2028b\u200b\ufeff", r"a\u2028b\u200b\ufeff"),
        ("\udcff\U000e0041", r"\udcff\U000e0041"),
        ("5\xa0km", "5 km"),
    ],
)
def test_nothing_but_letters_is_shown(text: str, shown: str) -> None:
    assert show(text) == shown


def test_long_text_keeps_both_ends() -> None:
    shown = show("a" * 100_000 + "b" * 100_000)
    assert len(shown) == 200
    assert shown.startswith("aaa")
    assert "a...b" in shown
    assert shown.endswith("bbb")
    assert show("x" * 1000, most=None) == "x" * 1000


@pytest.mark.parametrize(
    "text", ["=1+1", "=cmd|' /C calc'!A0", "+1+1", "-1 to 1", "@SUM(A1)", " =1", "\t=1", "\r=1"]
)
def test_what_a_spreadsheet_would_compute_is_text(text: str) -> None:
    cell = quote_cell(text)
    assert cell[0] in ("'", "\\")
    assert cell.isprintable()


@pytest.mark.parametrize("text", ["m/s", "drift along =x", "-1.5", "+3e4", "-inf", "", "1=2"])
def test_other_cells_stay(text: str) -> None:
    assert quote_cell(text) == text


def test_refusals_are_one_short_line() -> None:
    with pytest.raises(ValueError, match=r"a\\nb") as caught:
        refuse("a\nb", "x" * 10**6, "\x1b[31m" * 10**5, fix="y" * 10**6)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 5000
