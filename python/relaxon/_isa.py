"""Which instruction-set level of the core this machine can run.

The same C++ sources are compiled into one extension module per level of the x86-64 psABI (v2, v3,
v4) and exactly one of them is loaded. A level is usable when the processor lists every feature the
compiler may use at that level *and* the operating system saves the registers they need; a virtual
machine may have the first without the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: Environment variable that overrides the choice.
VARIABLE = "RELAXON_ISA"

# Feature -> (word, bits); the words are those of ``_probe.processor_words``.
_BITS = {
    "sse3": ("leaf1_ecx", 1 << 0),
    "ssse3": ("leaf1_ecx", 1 << 9),
    "fma": ("leaf1_ecx", 1 << 12),
    "cx16": ("leaf1_ecx", 1 << 13),
    "sse4.1": ("leaf1_ecx", 1 << 19),
    "sse4.2": ("leaf1_ecx", 1 << 20),
    "movbe": ("leaf1_ecx", 1 << 22),
    "popcnt": ("leaf1_ecx", 1 << 23),
    "osxsave": ("leaf1_ecx", 1 << 27),
    "avx": ("leaf1_ecx", 1 << 28),
    "f16c": ("leaf1_ecx", 1 << 29),
    "bmi1": ("leaf7_ebx", 1 << 3),
    "avx2": ("leaf7_ebx", 1 << 5),
    "bmi2": ("leaf7_ebx", 1 << 8),
    "avx512f": ("leaf7_ebx", 1 << 16),
    "avx512dq": ("leaf7_ebx", 1 << 17),
    "avx512cd": ("leaf7_ebx", 1 << 28),
    "avx512bw": ("leaf7_ebx", 1 << 30),
    "avx512vl": ("leaf7_ebx", 1 << 31),
    "lahf": ("leaf80000001_ecx", 1 << 0),
    "lzcnt": ("leaf80000001_ecx", 1 << 5),
    "xmm and ymm state": ("xcr0", 0b0000_0110),
    "opmask and zmm state": ("xcr0", 0b1110_0000),
}

_V2 = ("cx16", "lahf", "popcnt", "sse3", "ssse3", "sse4.1", "sse4.2")
_V3 = (
    *_V2,
    *("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "movbe", "osxsave"),
    "xmm and ymm state",
)
_V4 = (
    *_V3,
    *("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
    "opmask and zmm state",
)

#: Features of each level, lowest level first; "base" is the only level of other processors.
LEVELS = {"base": (), "v2": _V2, "v3": _V3, "v4": _V4}


def missing_features(level: str, words: Mapping[str, int]) -> list[str]:
    """Features that ``level`` needs and a machine with these processor words lacks."""
    missing = []
    for feature in LEVELS[level]:
        word, bits = _BITS[feature]
        if words.get(word, 0) & bits != bits:
            missing.append(feature)
    return missing


def usable_levels(built: Sequence[str], words: Mapping[str, int]) -> list[str]:
    """Levels among ``built`` that a machine with these processor words can run, lowest first."""
    return [level for level in LEVELS if level in built and not missing_features(level, words)]


def select_level(wanted: str | None, built: Sequence[str], words: Mapping[str, int]) -> str:
    """Level to load: ``wanted`` (the value of ``RELAXON_ISA``) or else the highest usable one.

    Raises
    ------
    ValueError
        If ``wanted`` is not a level of this build.
    RuntimeError
        If this machine lacks a feature of ``wanted``, or of every level of this build.
    """
    if wanted:
        level = wanted.lower().removeprefix("x86-64-")
        allowed = ", ".join(built)
        if level not in built:
            raise ValueError(
                f"environment variable {VARIABLE!r}: expected one of {allowed}, got {wanted!r}"
            )
        missing = missing_features(level, words)
        if missing:
            usable = ", ".join(usable_levels(built, words)) or "none"
            raise RuntimeError(
                f"environment variable {VARIABLE!r}: got {wanted!r}, but this machine lacks "
                f"{', '.join(missing)}; usable here: {usable} (of {allowed})"
            )
        return level
    usable_here = usable_levels(built, words)
    if not usable_here:
        lowest = next(level for level in LEVELS if level in built)
        raise RuntimeError(
            f"this build of relaxon needs at least {lowest}, but this machine lacks "
            f"{', '.join(missing_features(lowest, words))}"
        )
    return usable_here[-1]
