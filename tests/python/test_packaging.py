"""What is installed, what it promises, and for which Pythons wheels are made."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import relaxon

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTION = importlib.metadata.distribution("relaxon")


@pytest.mark.skipif(
    Path(relaxon.__file__) != Path(str(DISTRIBUTION.locate_file("relaxon/__init__.py"))),
    reason="the package in use is not the installed one (an editable installation, PYTHONPATH)",
)
def test_installation_holds_the_package_and_nothing_else() -> None:
    files = [path for path in DISTRIBUTION.files or [] if "__pycache__" not in path.parts]
    own = {path.as_posix() for path in files if path.parts[0] == "relaxon"}
    source = ROOT / "python" / "relaxon"
    expected = {
        f"relaxon/{path.relative_to(source).as_posix()}"
        for path in source.rglob("*")
        if path.suffix in {".py", ".pyi", ".typed", ".npz", ".txt", ".html", ".css"}
    }
    compiled = {name for name in own if name.endswith((".so", ".pyd"))}
    assert own - compiled == expected
    assert "relaxon/py.typed" in expected
    assert all(re.match(r"relaxon/(_probe|_core_\w+)\.", name) for name in compiled)
    # Libraries that a repaired wheel brings, the command, and metadata.
    others = {path.parts[0] for path in files} - {"relaxon"}
    assert all(
        re.fullmatch(r"relaxon\.libs|relaxon-[\d.a-z]+\.dist-info|\.\.", name) for name in others
    )


def test_no_name_of_the_package_is_that_of_a_module() -> None:
    """Who imports a module puts its name into the package, where the function would be."""
    modules = {path.stem for path in Path(relaxon.__file__).parent.iterdir()}
    assert set(relaxon.__all__) & modules == {"datasets"}


def test_names_of_the_package() -> None:
    assert set(relaxon.__all__) <= set(dir(relaxon))
    assert all(getattr(relaxon, name) is not None for name in relaxon.__all__)
    assert relaxon.__version__ == DISTRIBUTION.version
    with pytest.raises(AttributeError, match="module 'relaxon' has no attribute 'fitt'"):
        _ = relaxon.fitt  # type: ignore[attr-defined]
    code = (
        "from relaxon import *; import relaxon; print(Grid is relaxon.Grid, relaxon.commands.info)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.startswith("True <function info")


def test_licences_are_installed() -> None:
    texts = [DISTRIBUTION.read_text(f"licenses/{path.name}") for path in ROOT.glob("LICENSE*")]
    assert len(texts) == 2
    assert all(texts)


def test_wheels_are_made_for_the_pythons_that_are_promised() -> None:
    tomllib = pytest.importorskip("tomllib")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    classifiers = "\n".join(settings["project"]["classifiers"])
    promised = re.findall(r"^Programming Language :: Python :: (3\.\d+)$", classifiers, re.M)
    built = settings["tool"]["cibuildwheel"]["build"]
    plain = [re.sub(r"cp3(\d+)-\*", r"3.\1", name) for name in built if "t-" not in name]
    assert promised == plain
    assert settings["project"]["requires-python"] == f">={promised[0]}"
    assert ("cp314t-*" in built) == ("Python :: Free Threading" in classifiers)


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python always has the lock"
)
def test_import_does_not_bring_the_lock_back() -> None:
    code = "import sys, relaxon._core; sys.exit(sys._is_gil_enabled())"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
