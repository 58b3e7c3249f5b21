"""Which room may look into which: read from the files' own includes and imports.

C++ knows no Python and its headers form layers; the package's modules form layers too, and import
SciPy and optional packages only inside the function that needs them.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "cpp"
HEADERS = CORE / "include" / "relaxon"
BINDINGS = ROOT / "python" / "bindings"
PACKAGE = ROOT / "python" / "relaxon"
MAX_LINES = 500

# Folders of the core by floor, from the ground up: a file may look at its own floor and below,
# never in a circle. cpp/src mirrors cpp/include/relaxon.
CPP_FLOORS = [
    {"base", "checkpoint"},
    {"domain"},
    {"pointwise", "operators"},
    {"solvers"},
    {"network"},
    {"sweeps"},
    {"training"},
]

# The same for the package: folders, and the modules that stand beside them.
PYTHON_FLOORS = [
    {"_isa", "_probe"},
    {"_core"},
    {"base"},
    {"_config"},
    {"domain"},
    {"datasets", "operators"},
    {"model"},
    {"dynamics"},
    {"inputs"},
    {"physics"},
    {"training"},
    # Doors for other frameworks; nothing looks into them.
    {"torch", "jax", "sklearn"},
    {"forecasting"},
    {"report"},
    # The public names: nothing looks into it but the package itself.
    {"_catalogue"},
    {"commands"},
    {"grammar"},
    {"cli"},
]

# Folders whose own file is a catalogue of public names; that of the others is a docstring.
CATALOGUES = {"datasets", "operators"}

# Modules that are there for one optional package, loaded with it: nothing else imports them.
OPTIONAL = {"torch", "jax", "sklearn"}

# Headers outside the C++ standard library, and the only files that may include them.
FOREIGN_HEADERS = {
    r"Eigen/.*": {
        "operators/dense/products",
        "solvers/bicgstab",
        "solvers/dense_lu",
        "solvers/sparse_lu",
    },
    r"xmmintrin\.h": {"base/parallel", "base/workers"},
    r"pthread\.h|signal\.h": {"base/workers"},
    r"sys/mman\.h|unistd\.h|windows\.h": {"base/array"},
}

# The same for the bindings.
BINDING_HEADERS = {"probe.cpp": {"Python.h", "cpuid.h"}, "interrupt.hpp": {"cxxabi.h"}}


def describe(graph: dict[str, set[str]], floors: list[set[str]]) -> str:
    """The folders by floor, and the folders that each looks into; `pytest -s` shows it."""
    lines = []
    for number, folders in enumerate(floors):
        for folder in sorted(folders):
            files = {name for name in graph if name.split("/")[0] == folder}
            seen = {other.split("/")[0] for name in files for other in graph[name]} - {folder}
            lines.append(f"{number:2} {folder} ({len(files)}): {', '.join(sorted(seen)) or '-'}")
    return "\n".join(lines)


def without_comments(source: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", source, flags=re.DOTALL)


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE)


def cpp_name(path: Path) -> str:
    """Name of a file of the core within its tree."""
    tree = HEADERS if path.suffix == ".hpp" else CORE / "src"
    return path.relative_to(tree).with_suffix("").as_posix()


def own_includes(path: Path) -> list[str]:
    """The headers of the core that a file includes."""
    return [
        included.removeprefix("relaxon/").removesuffix(".hpp")
        for included in includes(path)
        if included.startswith("relaxon/")
    ]


def floor_of(name: str, floors: list[set[str]]) -> int:
    """The floor of a file, by the folder that it is in."""
    folder = name.split("/")[0]
    found = [i for i, names in enumerate(floors) if folder in names]
    assert len(found) == 1, f"{folder} is on {len(found)} floors: put it on the one it belongs to"
    return found[0]


CORE_FILES = sorted([*HEADERS.rglob("*.hpp"), *(CORE / "src").rglob("*.cpp")])
BINDING_FILES = sorted([*BINDINGS.glob("*.hpp"), *BINDINGS.glob("*.cpp")])
MODULES = sorted(PACKAGE.rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_is_something_to_check() -> None:
    assert len(CORE_FILES) > 20
    assert len(BINDING_FILES) > 3
    assert len(MODULES) > 10


@pytest.mark.parametrize("path", CORE_FILES, ids=relative)
def test_core_file_includes_only_what_it_may(path: Path) -> None:
    name = cpp_name(path)
    for other in own_includes(path):
        assert floor_of(other, CPP_FLOORS) <= floor_of(name, CPP_FLOORS), (
            f"{name} may not include {other}"
        )
    for included in includes(path):
        if not included.startswith("relaxon/") and not re.fullmatch(r"[a-z_]+", included):
            allowed = [
                names for form, names in FOREIGN_HEADERS.items() if re.fullmatch(form, included)
            ]
            assert allowed, f"{included} is neither standard nor ours"
            assert name in allowed[0], f"{included} in {name}"


def test_core_headers_have_no_circles() -> None:
    graph = {cpp_name(path): set(own_includes(path)) for path in HEADERS.rglob("*.hpp")}
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)
    print(describe(graph, CPP_FLOORS))


@pytest.mark.parametrize("path", CORE_FILES, ids=relative)
def test_core_file_knows_neither_python_nor_foreign_threads(path: Path) -> None:
    source = without_comments(path.read_text())
    assert not re.search(r"\b(pybind11|PyObject|Python\.h|numpy)\b", source)
    assert not re.search(r"#\s*pragma\s+omp|\bomp_\w+|\bomp\.h\b", source)
    if cpp_name(path) != "base/workers":
        assert not re.search(r"std::thread\b|std::async\b|\bpthread_\w+|\bfork\(", source)


def test_schedules_are_integers_only() -> None:
    for path in CORE_FILES:
        if cpp_name(path) == "checkpoint/schedule":
            source = without_comments(path.read_text())
            assert not re.search(r"\b(float|double|cmath|math\.h)\b|\d\.\d|\d[eE]-?\d", source)


def test_kernels_have_no_virtual_functions() -> None:
    kernels = {
        "pointwise/activation",
        "pointwise/loss",
        "operators/stencil/kernels",
        "operators/dense/products",
        "sweeps/stencil/layer",
    }
    files = [path for path in CORE_FILES if cpp_name(path) in kernels]
    assert {cpp_name(path) for path in files} == kernels
    found = [p for p in files if re.search(r"\bvirtual\b", without_comments(p.read_text()))]
    assert found == []


@pytest.mark.parametrize("path", BINDING_FILES, ids=relative)
def test_binding_includes_only_the_core_and_pybind11(path: Path) -> None:
    for included in includes(path):
        ours = included.startswith(("relaxon/", "pybind11/")) or (BINDINGS / included).exists()
        standard = re.fullmatch(r"[a-z_]+", included)
        assert ours or standard or included in BINDING_HEADERS.get(path.name, ()), included


@pytest.mark.parametrize("path", BINDING_FILES, ids=relative)
def test_bindings_have_no_default_values(path: Path) -> None:
    source = without_comments(path.read_text())
    assert re.findall(r"\barg\([^()]*\)\s*=|\"_a\s*=", source) == []


@pytest.mark.parametrize("path", BINDING_FILES, ids=relative)
def test_one_file_knows_numpy_arrays(path: Path) -> None:
    if path.name != "array_cast.hpp":
        assert "pybind11/numpy.h" not in includes(path)


def test_every_cpp_file_is_built() -> None:
    lists = (ROOT / "CMakeLists.txt").read_text()
    others = [*(ROOT / "tests" / "cpp").glob("*.cpp"), *(ROOT / "bench" / "cpp").glob("*.cpp")]
    files = [*CORE_FILES, *BINDING_FILES, *others]
    assert [relative(p) for p in files if p.suffix == ".cpp" and relative(p) not in lists] == []


def test_flags_keep_infinities_and_levels_apart() -> None:
    text = (ROOT / "CMakeLists.txt").read_text() + (ROOT / "CMakePresets.json").read_text()
    for flag in ("fast-math", "Ofast", "finite-math", "unsafe-math", "-flto", "march=native"):
        assert flag not in text


def module_name(path: Path) -> str:
    """Name of a module within the package; of a folder's own file, the folder's."""
    inner = path.relative_to(PACKAGE).with_suffix("")
    return (inner.parent if inner.name == "__init__" and inner.parts[1:] else inner).as_posix()


def imports(path: Path, *, everywhere: bool) -> Iterator[str]:
    """Imported names, those within the package as "/name".

    Everywhere, or only what is executed when the module is loaded: neither in functions nor for
    type checkers alone.
    """
    return _imports(ast.parse(path.read_text()), path.parent, everywhere)


def _imports(tree: ast.AST, folder: Path, everywhere: bool) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        is_for_types = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        if (is_function or is_for_types) and not everywhere:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            origin = [folder, *folder.parents][node.level - 1]
            inner = origin.relative_to(PACKAGE).joinpath(*(node.module or "").split("."))
            for alias in node.names:
                is_module = (PACKAGE / inner / f"{alias.name}.py").exists()
                yield f"/{(inner / alias.name if is_module else inner).as_posix()}"
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            yield node.module
        else:
            yield from _imports(node, folder, everywhere)


def imported_modules(path: Path) -> set[str]:
    """The modules of the package that a module looks into, from functions and types too."""
    return {name[1:] for name in imports(path, everywhere=True) if name[0] == "/"} - {"."}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_module_imports_only_lower_floors(path: Path) -> None:
    name = module_name(path)
    inner = imported_modules(path)
    if name == "__init__":
        # And what the catalogue takes over as a whole, for type checkers.
        assert inner == {"_catalogue", "model/losses", "training/optimizers"}
        return
    if path.name == "__init__.py" and name not in CATALOGUES:
        assert not inner
        return
    assert {"_catalogue", *OPTIONAL}.isdisjoint(inner)
    for other in inner:
        is_lower = floor_of(other, PYTHON_FLOORS) <= floor_of(name, PYTHON_FLOORS)
        assert is_lower, f"{name} imports {other}"
    assert "relaxon" not in {foreign.split(".")[0] for foreign in imports(path, everywhere=True)}


def test_modules_have_no_circles() -> None:
    graph = {module_name(path): imported_modules(path) for path in MODULES}
    del graph["__init__"]
    TopologicalSorter(graph).prepare()
    print(describe(graph, PYTHON_FLOORS))


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_module_loads_no_slow_or_optional_package(path: Path) -> None:
    eager = {name.split(".")[0] for name in imports(path, everywhere=False) if name[0] != "/"}
    own = {module_name(path)} & OPTIONAL
    assert eager - sys.stdlib_module_names <= {"numpy", *own}


def test_reference_knows_nothing_of_the_package() -> None:
    files = sorted((ROOT / "tests").glob("reference*.py"))
    assert files
    for path in files:
        found = _imports(ast.parse(path.read_text()), path.parent, everywhere=True)
        assert "relaxon" not in {name.split(".")[0] for name in found}


def test_version_stands_in_one_place() -> None:
    found = re.search(r'^version = "([^"]+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert found is not None
    others = [*CORE_FILES, *BINDING_FILES, *MODULES, ROOT / "CMakeLists.txt"]
    quoted = [relative(p) for p in others if f'"{found[1]}"' in p.read_text()]
    assert quoted == []


def test_files_stay_readable() -> None:
    folders = ("cpp", "python", "tests", "bench", "tools", ".ci")
    sizes = {
        relative(path): len(path.read_text().splitlines())
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".hpp", ".cpp"}
    }
    print(*sorted((n, name) for name, n in sizes.items())[-5:], sep="\n")
    assert {name: n for name, n in sizes.items() if n > MAX_LINES} == {}
