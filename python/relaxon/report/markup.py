"""Pieces of a page: texts, numbers, tables and figures as HTML."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from typing import Any

from ..base.text import LINE, show
from ..physics.plots import pretty_unit

__all__ = [
    "Place",
    "as_data",
    "as_figure",
    "as_mark",
    "as_number",
    "as_sentence",
    "as_table",
    "as_text",
    "as_unit",
]

MINUS = "\N{MINUS SIGN}"

# Of a number in the summary.
Place = tuple[str | int, ...]


def as_text(text: str, most: int | None = LINE) -> str:
    """Text of the summary as HTML."""
    return html.escape(show(text, most))


def as_number(value: Any, path: Place, text: str) -> str:
    """A number as people write it; nothing where there is none."""
    if value is None:
        return ""
    mantissa, has_exponent, exponent = text.replace("inf", "∞").partition("e")
    if has_exponent:
        mantissa += f" &times; 10<sup>{int(exponent)}</sup>"
    return as_data(value, path, mantissa.replace("-", MINUS))


def as_mark(mark: str) -> str:
    """What stands beside a number that a note is about."""
    return f" <sup>{mark}</sup>" if mark else ""


def as_data(value: Any, path: Place, text: str) -> str:
    """A value of the summary in words, with the place where it stands."""
    place = ".".join(map(str, path))
    return f'<data value="{html.escape(str(value))}" data-path="{place}">{text}</data>'


def as_unit(unit: str) -> str:
    """A unit as people write it; nothing where there is none."""
    return "" if unit == "1" else as_text(pretty_unit(unit))


def as_sentence(text: str) -> str:
    """With a capital at the beginning."""
    return text[:1].upper() + text[1:]


def as_table(
    head: Sequence[str],
    body: Iterable[Sequence[str]],
    caption: str,
    strong: int | None = None,
    is_long: bool = False,
) -> str:
    """A table whose first column names the row; cells are HTML already."""
    lines = ["<tr>" + "".join(f'<th scope="col">{as_text(c)}</th>' for c in head) + "</tr>"]
    for i, row in enumerate(body):
        cells = f'<th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:])
        lines.append(f'<tr class="strong">{cells}</tr>' if i == strong else f"<tr>{cells}</tr>")
    table = (
        f'<div class="wide"><table><caption><span>{caption}</span></caption>\n'
        f"<thead>{lines[0]}</thead><tbody>\n" + "\n".join(lines[1:]) + "\n</tbody></table></div>"
    )
    if is_long:
        table = f"<details><summary>{caption}</summary>{table}</details>"
    return table


def as_figure(content: bytes | str | None, alternative: str, caption: str) -> str:
    """A picture as part of the page; in words, why there is none where it could not be drawn."""
    if content is None:
        return ""
    if isinstance(content, str):
        return f"<p>{as_text(alternative)}: could not be drawn ({as_text(content)}).</p>"
    code = base64.b64encode(content).decode()
    # The header of a PNG file tells its size; letters are as large as in the text.
    width, height = (int.from_bytes(content[i : i + 4], "big") for i in (16, 20))
    size = f'width="{width * 10 // 13}" height="{height * 10 // 13}"'
    return (
        f'<figure><img alt="{as_text(alternative)}" {size} '
        f'src="data:image/png;base64,{code}">'
        f"<figcaption>{as_text(caption)}</figcaption></figure>"
    )
