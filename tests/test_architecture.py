"""Who may import whom, kept by reading every file: the rooms of the house and the doors between them."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
CEILING_LINES = 400
DRAWER_NAMES = {"utils", "util", "helper", "helpers", "manager", "misc", "common"}
HEAVY = {"torch", "scipy", "sklearn", "highdicom", "nilearn", "transformers"}
FOREIGN = HEAVY | {"PySide6", "vtk", "pyqtgraph", "pydicom", "nibabel", "platformdirs", "sqlite3", "superqt"}
FOREIGN |= {"pynetdicom", "dicomweb_client", "requests"}

# The engines' door: what the viewer may import. All of it is free of torch, which the subprocess test proves.
DOOR = {"engines", "engines.card", "engines.catalog", "engines.contract", "engines.errors", "engines.result"}
DOOR |= {"engines.volume", "engines.samples", "engines.model_package"}

COMPOSITION = {"app", "application", "batch", "cli", "__main__", "commands", "demo", "doctor"}


@dataclass(frozen=True, slots=True)
class Room:
    """What one room of brainviewer may import: own rooms, and libraries out of FOREIGN."""

    rooms: frozenset[str]
    libraries: frozenset[str]


def _room(rooms: str = "", libraries: str = "") -> Room:
    return Room(frozenset(rooms.split()), frozenset(libraries.split()))


TABLE = {
    # scipy inside functions only: they run in a worker.
    "study": _room("", "scipy"),
    "reading": _room("study", "pydicom highdicom nibabel scipy"),
    "report": _room("study render", "PySide6.QtGui PySide6.QtCore PySide6.QtSvg"),
    "export": _room("study render report", "pydicom highdicom nibabel PySide6.QtGui PySide6.QtCore"),
    "pacs": _room("study storage", "pydicom pynetdicom dicomweb_client requests"),
    "storage": _room("study", "platformdirs sqlite3"),
    "state": _room("study storage reading", "PySide6.QtCore"),
    "jobs": _room("study storage reading state export report pacs", "PySide6.QtCore"),
    "render": _room("study state", "vtk PySide6"),
    "plots": _room("study state", "pyqtgraph PySide6"),
    "actions": _room("study reading storage state jobs render plots export panels", "PySide6 superqt"),
    "panels": _room("study reading storage state jobs render plots export actions", "PySide6 superqt"),
}
# What the workers start from; they may reach the engines, inside their functions only.
WORKER_FILES = {
    f"brainviewer/jobs/{name}.py"
    for name in ("tasks", "gathering", "reporting", "correction_exchange", "training_tasks")
}
# Started as `python -m` in a child only, so that a crash of what it tries is a finding.
CHILD_FILES = {"brainviewer/doctor/probes.py"}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, where it stands and whether it runs when the file is imported."""

    file: str
    line: int
    target: str
    at_top: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.target}"


def _files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _walk(node: ast.AST, at_top: bool) -> list[tuple[ast.Import | ast.ImportFrom, bool]]:
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            found.append((child, at_top))
        elif not _is_type_checking(child):
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            found += _walk(child, at_top and not inside)
    return found


def _exists(module: str) -> bool:
    path = REPOSITORY / Path(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def _targets(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    parent = node.module or ""
    return [f"{parent}.{name.name}" if _is_module(parent, name.name) else parent for name in node.names]


def _is_module(parent: str, name: str) -> bool:
    # PySide6's parts count one by one; of our own packages a name may be a submodule or an object.
    return parent == "PySide6" or _exists(f"{parent}.{name}")


@cache
def _imports(*folders: str) -> tuple[Import, ...]:
    found = []
    for path in _files(*folders):
        name = path.relative_to(REPOSITORY).as_posix()
        for node, at_top in _walk(ast.parse(path.read_text(encoding="utf-8")), at_top=True):
            found += [Import(name, node.lineno, target, at_top) for target in _targets(node)]
    return tuple(found)


def _library(target: str) -> str:
    root = target.split(".")[0]
    return {"vtkmodules": "vtk"}.get(root, root)


def _room_of(file: str) -> str:
    return Path(file).parts[1].removesuffix(".py")


def _allowed(room: Room, target: str) -> bool:
    part = ".".join(target.split(".")[:2])
    return _library(target) in room.libraries or part in room.libraries


def _complaints(found: list[Import]) -> str:
    return "\n".join(map(str, found))


@pytest.mark.parametrize("name", sorted(TABLE))
def test_room_imports_only_the_rooms_it_may(name: str) -> None:
    may = TABLE[name].rooms | {name}
    wrong = [
        found
        for found in _imports("brainviewer")
        if _room_of(found.file) == name
        and found.target.startswith("brainviewer.")
        and found.target.split(".")[1] not in may | {"__version__"}
    ]
    assert not wrong, _complaints(wrong)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_room_imports_only_the_libraries_it_may(name: str) -> None:
    wrong = [
        found
        for found in _imports("brainviewer")
        if _room_of(found.file) == name
        and _library(found.target) in FOREIGN
        and not _allowed(TABLE[name], found.target)
    ]
    assert not wrong, _complaints(wrong)


def test_every_room_of_the_product_is_in_the_table() -> None:
    rooms = {_room_of(path.relative_to(REPOSITORY).as_posix()) for path in _files("brainviewer")}
    assert rooms <= set(TABLE) | COMPOSITION | {"__init__"}


@pytest.mark.parametrize(
    ("library", "room"), [("vtk", "render"), ("pyqtgraph", "plots"), ("sqlite3", "storage"), ("requests", "pacs")]
)
def test_library_has_one_importer(library: str, room: str) -> None:
    found = [found for found in _imports("brainviewer", "engines") if _library(found.target) == library]
    wrong = [one for one in found if _room_of(one.file) not in {room, "doctor"} or one.file.startswith("engines")]
    assert not wrong, _complaints(wrong)


def test_nothing_heavy_is_imported_when_a_file_of_the_product_is() -> None:
    # The demo's generator runs in a worker; its door imports it when a study is made.
    wrong = [
        found
        for found in _imports("brainviewer")
        if found.at_top
        and _library(found.target) in HEAVY
        and (_room_of(found.file) != "demo" or found.file.endswith("__init__.py"))
    ]
    assert not wrong, _complaints(wrong)


def test_only_commands_and_the_worker_reach_behind_the_engines_door() -> None:
    wrong = [
        found
        for found in _imports("brainviewer")
        if _library(found.target) == "engines"
        and found.target not in DOOR
        and _room_of(found.file) not in COMPOSITION
        and not (found.file in WORKER_FILES and not found.at_top)
    ]
    assert not wrong, _complaints(wrong)


def test_torch_is_never_imported_by_the_product() -> None:
    # The worker reaches torch through an engine's class, the doctor asks in a child process.
    found = [found for found in _imports("brainviewer") if _library(found.target) == "torch"]
    wrong = [one for one in found if one.at_top or one.file not in CHILD_FILES]
    assert not wrong, _complaints(wrong)


def test_engines_know_neither_the_product_nor_its_libraries() -> None:
    never = FOREIGN - HEAVY - {"nibabel"} | {"brainviewer", "highdicom", "pydicom"}
    wrong = [found for found in _imports("engines") if _library(found.target) in never]
    assert not wrong, _complaints(wrong)


def _engine_folders() -> set[str]:
    folders = {path.parent.name for path in (REPOSITORY / "engines").glob("*/__init__.py")}
    return folders - {"blocks"}


def test_engines_do_not_know_each_other() -> None:
    names = _engine_folders()
    wrong = []
    for found in _imports("engines"):
        own = Path(found.file).parts[1]
        parts = found.target.split(".")
        if parts[0] == "engines" and len(parts) > 1 and parts[1] in names - {own}:
            wrong.append(found)
    assert not wrong, _complaints(wrong)


def test_the_engines_door_and_cards_do_not_import_torch() -> None:
    cards = [f"engines/{name}/{file}.py" for name in _engine_folders() for file in ("__init__", "settings")]
    files = {f"{module.replace('.', '/')}.py" for module in DOOR - {"engines"}} | {"engines/__init__.py"} | set(cards)
    wrong = [
        found
        for found in _imports("engines")
        if found.file in files and found.at_top and _library(found.target) in HEAVY
    ]
    assert not wrong, _complaints(wrong)


def test_installer_uses_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"installer"}
    wrong = [found for found in _imports("installer") if found.target.split(".")[0] not in allowed]
    assert not wrong, _complaints(wrong)


def _module_of(file: str) -> str:
    parts = Path(file).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _edges() -> dict[str, set[str]]:
    own = ("brainviewer", "engines", "installer")
    modules = {_module_of(path.relative_to(REPOSITORY).as_posix()): set[str]() for path in _files(*own)}
    for found in _imports(*own):
        source = _module_of(found.file)
        if found.at_top and found.target in modules and found.target != source:
            modules[source].add(found.target)
    return modules


def _cycle(edges: dict[str, set[str]]) -> list[str]:
    """One circle of modules that import each other, or nothing."""
    done: set[str] = set()

    def visit(module: str, trail: list[str]) -> list[str]:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module not in done:
            done.add(module)
            for target in sorted(edges[module]):
                if circle := visit(target, [*trail, module]):
                    return circle
        return []

    return next((circle for module in sorted(edges) if (circle := visit(module, []))), [])


def test_modules_do_not_import_each_other_in_circles() -> None:
    circle = _cycle(_edges())
    assert not circle, " -> ".join(circle)


def test_a_circle_is_found() -> None:
    assert _cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_files_stay_short() -> None:
    long = {
        path.relative_to(REPOSITORY).as_posix(): lines
        for path in _files("brainviewer", "engines", "installer", "tests")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > CEILING_LINES
    }
    assert not long


def test_no_file_is_a_drawer() -> None:
    drawers = [path for path in _files("brainviewer", "engines", "installer") if path.stem in DRAWER_NAMES]
    drawers += [path for path in _files("brainviewer", "engines", "installer") if path.parent.name in DRAWER_NAMES]
    assert not drawers


@pytest.mark.parametrize("module", ["brainviewer.app", "brainviewer.cli", "engines", "engines.catalog"])
def test_importing_it_leaves_the_heavy_libraries_alone(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.split() == []


def test_listing_engines_leaves_torch_alone() -> None:
    code = "import sys; from engines.catalog import cards; cards(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.strip() == "False"
