"""Text from outside (names, units, paths, messages) where people and programs read it.

A name out of a file may hold what a terminal obeys, a newline that looks like another message,
marks that turn letters around, or a hundred thousand characters.
"""

from __future__ import annotations

import unicodedata

__all__ = ["LINE", "align", "quote_cell", "show"]

# Characters of a name, and of a line.
NAME = 200
LINE = 2000
# Characters of a cell of a table.
CELL = 100


def show(text: object, most: int | None = NAME) -> str:
    r"""Text as it may be shown: on one line, without control characters, of bounded length.

    Parameters
    ----------
    text : object
        What to show, as ``str`` writes it.
    most : int, optional
        Of longer text, beginning and end are shown around an ellipsis. None: all of it.

    Returns
    -------
    str
        Control characters, line breaks, marks that change the direction of writing, halves of
        surrogate pairs and whatever else is not for the eye as Python escapes them.

    Examples
    --------
    >>> from relaxon.base.text import show
    >>> print(show("latitude\n\x1b[31m"))
    latitude\n\x1b[31m
    >>> show("x" * 1000, most=9)
    'xxxx...xx'
    """
    plain = _without_middle(str(text), most)
    if plain.isprintable():
        return plain
    return _without_middle("".join(map(_escape, plain)), most)


def _escape(letter: str) -> str:
    if letter.isprintable():
        return letter
    # Blanks of other widths stand between numbers and units.
    return " " if unicodedata.category(letter) == "Zs" else ascii(letter)[1:-1]


def _without_middle(text: str, most: int | None) -> str:
    if most is None or len(text) <= most:
        return text
    n_last = (most - 3) // 3
    return f"{text[: most - 3 - n_last]}...{text[len(text) - n_last :]}"


def quote_cell(text: str) -> str:
    """A text as the cell of a table that spreadsheets open: none that they would compute.

    Parameters
    ----------
    text : str
        Of the cell; numbers are for the caller to leave alone.

    Returns
    -------
    str
        The same on one line, after an apostrophe where it begins as a formula does.

    Examples
    --------
    >>> from relaxon.base.text import quote_cell
    >>> quote_cell("=1+1"), quote_cell("-1 to 1"), quote_cell("m/s")
    ("'=1+1", "'-1 to 1", 'm/s')
    """
    # Tabs and line breaks, which count as beginnings, too, are shown escaped.
    shown = show(text)
    begins = shown.lstrip()[:1]
    if begins in ("+", "-") and _is_number(shown):
        return shown
    return f"'{shown}" if begins in ("=", "+", "-", "@") else shown


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def align(lines: list[list[str]]) -> str:
    """Columns of one width each, with a rule below the first line."""
    lines = [[show(cell, CELL) for cell in line] for line in lines]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    texts = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    texts.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text.rstrip() for text in texts)
