"""What a command has printed."""

from __future__ import annotations


def one_line(text: str) -> str:
    lines = text.splitlines()
    assert len(lines) == 1, text
    return lines[0]
