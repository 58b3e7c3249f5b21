"""Instruction-set levels: the probe, the choice, its override, and what importing costs."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import relaxon
from relaxon import _core, _isa, _probe

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(relaxon.__file__).parent
BUILT = _probe.built_levels.split()
USABLE = _isa.usable_levels(BUILT, _probe.processor_words())
X86_LEVELS = ["v2", "v3", "v4"]

# What the Linux kernel calls the features in /proc/cpuinfo; it hides those it cannot save.
KERNEL_NAMES = {
    "sse3": "pni",
    "sse4.1": "sse4_1",
    "sse4.2": "sse4_2",
    "lahf": "lahf_lm",
    "lzcnt": "abm",
    "osxsave": "xsave",
    "xmm and ymm state": "avx",
    "opmask and zmm state": "avx512f",
}


def run_python(code: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != _isa.VARIABLE}
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        env=kept | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def full_words() -> dict[str, int]:
    words: dict[str, int] = {}
    for word, bits in _isa._BITS.values():
        words[word] = words.get(word, 0) | bits
    return words


def test_every_feature_has_bits_of_its_own() -> None:
    assert set(_isa._BITS) == set(_isa.LEVELS["v4"])
    assert len(set(_isa._BITS.values())) == len(_isa._BITS)


def test_full_machine_uses_the_highest_level() -> None:
    assert _isa.usable_levels(X86_LEVELS, full_words()) == X86_LEVELS
    assert _isa.select_level(None, X86_LEVELS, full_words()) == "v4"
    assert _isa.select_level("", X86_LEVELS, full_words()) == "v4"


@pytest.mark.parametrize("feature", _isa.LEVELS["v4"])
def test_one_missing_feature_rules_out_its_level_and_those_above(feature: str) -> None:
    word, bits = _isa._BITS[feature]
    for bit in range(bits.bit_length()):
        if not bits >> bit & 1:
            continue
        words = full_words()
        words[word] &= ~(1 << bit)
        expected = [level for level in X86_LEVELS if feature not in _isa.LEVELS[level]]
        assert _isa.usable_levels(X86_LEVELS, words) == expected


def test_operating_system_that_saves_no_wide_registers() -> None:
    words = full_words() | {"xcr0": 0b11}
    assert _isa.usable_levels(X86_LEVELS, words) == ["v2"]
    words["xcr0"] = 0b111
    assert _isa.usable_levels(X86_LEVELS, words) == ["v2", "v3"]


def test_other_processors_have_one_level() -> None:
    assert _isa.select_level(None, ["base"], {}) == "base"
    with pytest.raises(ValueError, match="expected one of base, got 'v3'"):
        _isa.select_level("v3", ["base"], {})


@pytest.mark.parametrize("value", ["v2", "V2", "x86-64-v2"])
def test_spellings_of_the_override(value: str) -> None:
    assert _isa.select_level(value, X86_LEVELS, full_words()) == "v2"


@pytest.mark.parametrize("value", ["v1", "v5", "avx2", "3", "x86-64", "v4 "])
def test_nonsense_in_the_override(value: str) -> None:
    with pytest.raises(ValueError, match=r"'RELAXON_ISA'.*expected one of v2, v3, v4") as error:
        _isa.select_level(value, X86_LEVELS, full_words())
    assert repr(value) in str(error.value)


def test_override_that_this_machine_cannot_run() -> None:
    words = full_words() | {"leaf7_ebx": 0}
    with pytest.raises(RuntimeError) as error:
        _isa.select_level("v4", X86_LEVELS, words)
    for part in ("'RELAXON_ISA'", "'v4'", "avx2", "avx512f", "usable here: v2", "of v2, v3, v4"):
        assert part in str(error.value)


def test_machine_below_every_level() -> None:
    with pytest.raises(RuntimeError, match=r"needs at least v2.*lacks cx16"):
        _isa.select_level(None, X86_LEVELS, {})


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not Path("/proc/cpuinfo").exists(),
    reason="compares with what Linux says about an x86-64 processor",
)
def test_probe_agrees_with_the_kernel() -> None:
    found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    assert found is not None
    flags = set(found[1].split())
    missing = set(_isa.missing_features("v4", _probe.processor_words()))
    expected = {f for f in _isa.LEVELS["v4"] if KERNEL_NAMES.get(f, f) not in flags}
    assert missing == expected


@pytest.mark.parametrize("level", USABLE)
def test_each_usable_level_loads_alone(level: str) -> None:
    code = (
        "import sys, relaxon; from relaxon import _core\n"
        "print(_core.isa_level, *[m for m in sys.modules if m.startswith('relaxon._core_')])"
    )
    result = run_python(code, RELAXON_ISA=level)
    assert result.stderr == ""
    assert result.stdout.split() == [level, f"relaxon._core_{level}"]


def test_highest_usable_level_is_the_default() -> None:
    result = run_python("from relaxon import _core; print(_core.isa_level)")
    assert result.stdout.strip() == USABLE[-1]


def test_import_with_a_nonsense_override() -> None:
    result = run_python("import relaxon; relaxon.Grid", RELAXON_ISA="pentium")
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last == (
        f"ValueError: environment variable 'RELAXON_ISA': expected one of {', '.join(BUILT)}, "
        "got 'pentium'"
    )


def extension(name: str) -> Path:
    (path,) = (p for p in PACKAGE.glob(f"{name}.*") if p.suffix in (".so", ".pyd"))
    return path


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("objdump") is None, reason="needs objdump of binutils"
)
@pytest.mark.parametrize(
    ("module", "registers"), [("_probe", "[yz]mm"), ("_core_v2", "[yz]mm"), ("_core_v3", "zmm")]
)
def test_no_module_uses_registers_above_its_level(module: str, registers: str) -> None:
    if module != "_probe" and module.removeprefix("_core_") not in BUILT:
        pytest.skip(f"{module} is not part of this build")
    listing = subprocess.run(
        ["objdump", "--disassemble", "--no-show-raw-insn", str(extension(module))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert re.search(r"\tret\b", listing)
    assert re.findall(rf"^.*%{registers}\d+.*$", listing, re.MULTILINE) == []


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("nm") is None, reason="needs nm of binutils"
)
@pytest.mark.parametrize("level", BUILT)
def test_module_exports_nothing_that_could_be_mixed(level: str) -> None:
    symbols = subprocess.run(
        ["nm", "--dynamic", "--defined-only", str(extension(f"_core_{level}"))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert [line.split()[-1] for line in symbols] == [f"PyInit__core_{level}"]


def test_import_stays_light() -> None:
    result = run_python(
        "import sys, relaxon; print(*sys.modules); relaxon.Grid; print(*sys.modules)"
    )
    package, catalogue = (set(line.split()) for line in result.stdout.splitlines())
    assert "numpy" not in package
    assert "relaxon._core" in catalogue
    heavy = {"scipy", "matplotlib", "rich", "typer", "xarray", "netCDF4", "torch", "jax", "sklearn"}
    assert catalogue & heavy == set()


def test_import_leaves_the_floating_point_environment_alone() -> None:
    result = run_python("import relaxon._core; print(float.fromhex('0x1p-1022') / 2 > 0)")
    assert result.stdout.strip() == "True"


def test_show_config_names_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    config = relaxon.show_config("dicts")
    assert config["relaxon"] == relaxon.__version__
    assert config["ISA level"].split()[0] == _core.isa_level
    assert re.fullmatch(r"[1-9]\d* \(own threads, no OpenMP\)", config["threads"])
    relaxon.show_config()
    printed = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0].strip() for line in printed] == list(config)
    with pytest.raises(ValueError, match=r"argument 'mode'.*'stderr'"):
        relaxon.show_config("stderr")  # type: ignore[call-overload]


def test_core_stub_is_fresh() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_stubs.py"), "--check"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
