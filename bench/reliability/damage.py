"""Damage to model files: to their bytes, and to their content with checksums that fit again.

What stands here shares no code with the package: it is its opponent.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

NO_CHECKSUM = b'"header_sha256":"' + b"0" * 64 + b'"'

# Names that the format knows, for every place that takes a text.
NAMES = (  # noqa: SIM905 - fifty lines else
    "tanh identity relu homogeneous local constant layered central upwind lax-wendroff ADR Moments "
    "Banded Dense neumann periodic dirichlet float32 float64 month hour mean none latitude "
    "longitude m s F64 F32 F16 BOOL I64 I8 C64 BF16 param.U param.W param.omega omega grid.mask "
    "scaling.climatology extra.a lift readout order radius space time scheme is_rotated"
).split()

# Literals that `json.dumps` does not write, by the texts that stand for them.
LITERALS = {
    "@nan": "NaN",
    "@inf": "-Infinity",
    "@huge": "1e400",
    "@tiny": "1e-400",
    "@digits": "7" * 5000,
    "@decimals": "0." + "3" * 5000,
    "@deep": "[" * 2000 + "]" * 2000,
    "@deeper": '{"a":' * 50000 + "1" + "}" * 50000,
    "@surrogate": '"\\ud800"',
    "@pair": '"\\ud83c\\udf0a"',
    "@open": "[",
    "@minus": "-0",
    "@zero": "00",
    "@word": "undefined",
    "@wide": "[" + "[]," * 20000 + "[]]",
    "@long": '"' + "x" * 50000 + '"',
}
NUMBERS: tuple[int, ...] = (
    0,
    1,
    -1,
    2,
    3,
    8,
    255,
    2**31 - 1,
    2**31,
    2**53 + 1,
    2**62,
    2**63 - 1,
    2**63,
    2**64,
)
NUMBERS += (-(2**63), 10**30, 1000, 30000, 10**6, 10**9)
OTHERS: tuple[Any, ...] = (
    True,
    False,
    None,
    0.0,
    -0.0,
    0.5,
    1.0,
    -1.0,
    1e-320,
    1e308,
    1e-9,
    "",
    "x",
)
OTHERS += ("\x1b[31m", "a\nb", "5" * 5000, [], {}, [1], [[]], [None], [0.5], {"dirichlet": 1.0})
OTHERS += ({"a": 1}, "\u00e9", "2024-01-01", [["neumann", "neumann"]], [0, 8])


def apart(content: bytes) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], bytes]:
    """Layout, metadata, configuration and data of a file."""
    length = int.from_bytes(content[:8], "little")
    layout = json.loads(content[8 : 8 + length])
    metadata = layout.pop("__metadata__")
    return layout, metadata, json.loads(metadata["configuration"]), content[8 + length :]


def together(
    layout: Any, metadata: dict[str, Any], configuration: Any, data: bytes, same_sum: bool = False
) -> bytes:
    """A file of such parts, its checksums right (unless that of the data shall stay)."""
    text = configuration if isinstance(configuration, str) else written(configuration)
    metadata = metadata | {"configuration": text, "header_sha256": "0" * 64}
    if not same_sum:
        metadata["tensors_sha256"] = hashlib.sha256(data).hexdigest()
    content = {"__metadata__": metadata, **layout} if isinstance(layout, dict) else layout
    return sealed(written(content).encode("utf-8", "surrogatepass"), data)


def sealed(header: bytes, data: bytes) -> bytes:
    """Header and data behind the length, with the header's checksum where it has a place."""
    header += b" " * (-len(header) % 8)
    prefix = len(header).to_bytes(8, "little")
    digest = hashlib.sha256(prefix + header).hexdigest().encode()
    return prefix + header.replace(NO_CHECKSUM, NO_CHECKSUM[:17] + digest + b'"', 1) + data


def written(value: Any) -> str:
    """JSON, with the literals that JSON has not."""
    text = json.dumps(value, separators=(",", ":"))
    if '"@' in text:
        for token, literal in LITERALS.items():
            text = text.replace(f'"{token}"', literal)
    return text


class Damage:
    """One damaged file after the other, from a generator of random numbers."""

    def __init__(self, contents: list[bytes]) -> None:
        self.contents = contents
        self.stale = [
            self.flip,
            self.cut,
            self.insert,
            self.remove,
            self.overwrite,
            self.splice_bytes,
            self.prefix,
            self.noise,
        ]
        # The ways that find most come more often.
        self.sealed = [
            *[self.configuration] * 8,
            *[self.layout] * 4,
            *[self.metadata] * 2,
            *[self.giant] * 3,
            self.configuration_text,
            self.header_text,
            self.data,
            self.duplicate,
            self.splice,
            self.same_sum,
        ]

    def __call__(self, seed: int, index: int) -> tuple[bytes, bool]:
        """Case number `index`: the damaged file, and whether its checksums are recomputed."""
        r = random.Random(f"{seed}:{index}")
        original = r.choice(self.contents)
        is_sealed = index % 2 == 1
        way: Callable[[random.Random, bytes], bytes] = r.choice(
            self.sealed if is_sealed else self.stale
        )
        return way(r, original), is_sealed

    # -- bytes -----------------------------------------------------------------------------------

    def flip(self, r: random.Random, content: bytes) -> bytes:
        """A few bits."""
        changed = bytearray(content)
        for _ in range(r.choice((1, 1, 2, 8))):
            changed[self.place(r, content)] ^= 1 << r.randrange(8)
        return bytes(changed)

    def place(self, r: random.Random, content: bytes) -> int:
        """A byte, of the header or of the data."""
        end = 8 + int.from_bytes(content[:8], "little")
        return r.randrange(end) if r.random() < 0.7 else r.randrange(len(content))

    def cut(self, r: random.Random, content: bytes) -> bytes:
        """An end that is missing."""
        return content[: r.randrange(len(content))]

    def insert(self, r: random.Random, content: bytes) -> bytes:
        """Bytes too many, at the end or in between."""
        i = r.choice((len(content), r.randrange(len(content))))
        return content[:i] + r.randbytes(r.choice((1, 8, 100))) + content[i:]

    def remove(self, r: random.Random, content: bytes) -> bytes:
        """Bytes too few in between."""
        i = r.randrange(len(content))
        return content[:i] + content[i + r.choice((1, 8, 100)) :]

    def overwrite(self, r: random.Random, content: bytes) -> bytes:
        """A range of noise, zeros, ones or of the file itself."""
        i, n = r.randrange(len(content)), r.choice((1, 4, 64, 512))
        j = r.randrange(len(content))
        return (
            content[:i]
            + r.choice((r.randbytes(n), bytes(n), b"\xff" * n, content[j : j + n]))
            + content[i + n :]
        )

    def splice_bytes(self, r: random.Random, content: bytes) -> bytes:
        """The beginning of one file and the end of another."""
        other = r.choice(self.contents)
        return content[: r.randrange(len(content))] + other[r.randrange(len(other)) :]

    def prefix(self, r: random.Random, content: bytes) -> bytes:
        """Another length of the header."""
        return (
            r.choice((r.randrange(2**63), 0, 1, 8, len(content), 2**64 - 1)).to_bytes(8, "little")
            + content[8:]
        )

    def noise(self, r: random.Random, content: bytes) -> bytes:
        """No such file at all."""
        return r.randbytes(r.randrange(200)) + r.choice((b"", content))

    # -- content, with checksums ------------------------------------------------------------------

    def configuration(self, r: random.Random, content: bytes) -> bytes:
        """Values, types and keys of the configuration."""
        layout, metadata, configuration, data = apart(content)
        for _ in range(r.choice((1, 1, 1, 2, 3))):
            self.change(r, configuration)
        return together(layout, metadata, configuration, data)

    def layout(self, r: random.Random, content: bytes) -> bytes:
        """Types, shapes, places and names of the arrays."""
        layout, metadata, configuration, data = apart(content)
        for _ in range(r.choice((1, 1, 2))):
            self.change(r, layout)
        if r.random() < 0.1:
            data = data[: r.randrange(len(data) + 1)]
        return together(layout, metadata, configuration, data)

    def metadata(self, r: random.Random, content: bytes) -> bytes:
        """What stands beside the configuration."""
        layout, metadata, configuration, data = apart(content)
        versions = (
            "2",
            "0",
            "-1",
            "1.0",
            " 1",
            "01",
            "\u0661",
            "9" * 5000,
            "1_0",
            "",
            "x",
            1,
            None,
        )
        if r.random() < 0.4:
            metadata["format_version"] = r.choice(versions)
            return together(layout, metadata, configuration, data)
        self.change(r, metadata)
        text = metadata.get("configuration", "{}")
        if r.random() < 0.2:
            return sealed(written({"__metadata__": metadata, **layout}).encode(), data)
        return together(layout, metadata, text, data)

    def giant(self, r: random.Random, content: bytes) -> bytes:
        """Sizes that the arrays do not have, or that take far more than the file."""
        layout, metadata, configuration, data = apart(content)
        for slots in (self.sizes(configuration), self.sizes(layout)):
            for holder, key in r.sample(slots, min(len(slots), r.choice((0, 1, 1, 2)))):
                holder[key] = r.choice((10**3, 3 * 10**4, 10**6, 10**9, 2**31 - 1, 2**40, 2**63))
        return together(layout, metadata, configuration, data)

    def sizes(self, tree: Any) -> list[tuple[Any, Any]]:
        """Whole numbers that say how much there is."""
        return [
            (holder, key)
            for holder, key in slots_of(tree)
            if type(holder[key]) is int and key not in ("seed", "missing")
        ]

    def configuration_text(self, r: random.Random, content: bytes) -> bytes:
        """Characters of the configuration's JSON."""
        layout, metadata, _, data = apart(content)
        return together(layout, metadata, self.typo(r, metadata["configuration"]), data)

    def header_text(self, r: random.Random, content: bytes) -> bytes:
        """Characters of the header's JSON."""
        length = int.from_bytes(content[:8], "little")
        layout = json.loads(content[8 : 8 + length])
        layout["__metadata__"]["header_sha256"] = "0" * 64
        text = self.typo(r, json.dumps(layout, separators=(",", ":")))
        return sealed(text.encode("utf-8", "surrogatepass"), content[8 + length :])

    def typo(self, r: random.Random, text: str) -> str:
        """Another character here and there."""
        for _ in range(r.choice((1, 1, 2, 4))):
            i = r.randrange(len(text))
            new = r.choice(('"', "{", "}", "[", "]", ",", ":", "-", "e", "0", "9", ".", " ", "\\"))
            text = (
                text[:i]
                + r.choice(("", new, chr(r.randrange(1, 300))))
                + text[i + r.choice((0, 1)) :]
            )
        return text

    def data(self, r: random.Random, content: bytes) -> bytes:
        """Numbers of the arrays: NaN, infinities, booleans that are neither."""
        layout, metadata, configuration, data = apart(content)
        changed = bytearray(data)
        patterns = (b"\0\0\0\0\0\0\xf0\x7f", b"\1\0\0\0\0\0\xf8\xff", b"\xff" * 8, b"\2", bytes(8))
        for _ in range(r.choice((1, 2, 5))):
            new = r.choice((*patterns, r.randbytes(8)))
            i = r.randrange(len(changed)) // len(new) * len(new)
            changed[i : i + len(new)] = new[: len(changed) - i]
        return together(layout, metadata, configuration, bytes(changed))

    def duplicate(self, r: random.Random, content: bytes) -> bytes:
        """A key that stands there twice, in the configuration or in the layout."""
        layout, metadata, configuration, data = apart(content)
        text = metadata["configuration"]
        if r.random() < 0.3:
            name = r.choice(list(layout))
            header = written({"__metadata__": metadata | {"header_sha256": "0" * 64}, **layout})
            entry = f'"{name}":{written(layout[name])},'
            return sealed(f"{{{entry}{header[1:]}".encode(), data)
        holder, key = r.choice([slot for slot in slots_of(configuration) if slot[0] is not None])
        if not isinstance(holder, dict):
            holder, key = configuration, "grid"
        i = text.index(f'"{key}"')
        value = r.choice((holder[key], r.choice(OTHERS)))
        return together(layout, metadata, f'{text[:i]}"{key}":{written(value)},{text[i:]}', data)

    def splice(self, r: random.Random, content: bytes) -> bytes:
        """Parts of different files."""
        layout, metadata, configuration, data = apart(content)
        others = apart(r.choice(self.contents))
        way = r.randrange(3)
        if way == 0:
            return together(layout, metadata, others[2], data)
        if way == 1:
            return together(layout, metadata, configuration, others[3])
        key = r.choice(list(others[2]))
        return together(layout, metadata, configuration | {key: others[2][key]}, data)

    def same_sum(self, r: random.Random, content: bytes) -> bytes:
        """Damaged data below a header that is right."""
        layout, metadata, configuration, data = apart(content)
        i = r.randrange(len(data))
        changed = data[:i] + bytes([data[i] ^ 1 << r.randrange(8)]) + data[i + 1 :]
        return together(layout, metadata, configuration, changed, same_sum=True)

    # -- trees of JSON ---------------------------------------------------------------------------

    def change(self, r: random.Random, tree: Any) -> None:
        """One value, type or key."""
        slots = list(slots_of(tree))
        if not slots:
            return
        holder, key = r.choice(slots)
        way = r.randrange(8)
        if way == 0:
            del holder[key]
        elif way == 1 and isinstance(holder, dict):
            holder[r.choice((*NAMES, "surprise", "\ud800", "x" * 300, key + " "))] = (
                holder.pop(key) if r.random() < 0.5 else self.value(r)
            )
        elif way == 2:
            other, place = r.choice(slots)
            holder[key] = json.loads(json.dumps(other[place]))
        elif way == 3:
            holder[key] = self.twisted(r, holder[key])
        elif way == 4 and isinstance(holder[key], list):
            holder[key].insert(r.randrange(len(holder[key]) + 1), self.value(r))
        else:
            holder[key] = self.value(r)

    def value(self, r: random.Random) -> Any:
        """Anything."""
        kind = r.randrange(4)
        if kind == 0:
            return r.choice(list(LITERALS))
        values = (NUMBERS, OTHERS, NAMES)[kind - 1]
        return json.loads(json.dumps(r.choice(values)))

    def twisted(self, r: random.Random, value: Any) -> Any:
        """Nearly the same value, or the same in another type."""
        if isinstance(value, bool):
            return r.choice((int(value), float(value), str(value), not value))
        if isinstance(value, int | float):
            ways = (str(value), float(value), [value], value + 1, value - 1, -value, value * 2)
            return r.choice((*ways, value * 1.0000001, bool(value), value != 0))
        if isinstance(value, str):
            return r.choice((value.upper(), value + " ", value[:-1], [value], {value: value}))
        if isinstance(value, list):
            return r.choice((value * 2, value[:-1], value[::-1], [value], {"0": value}))
        return r.choice(([value], str(value), None, 0))


def slots_of(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a tree."""
    found: list[tuple[Any, Any]] = []
    level = [tree]
    while level:
        following: list[Any] = []
        for holder in level:
            keys: Any = holder if isinstance(holder, dict) else range(len(holder))
            for key in keys:
                found.append((holder, key))
                if isinstance(holder[key], dict | list):
                    following.append(holder[key])
        level = following
    return found
