"""The packages import each other in one direction only; heavy libraries stay where they belong."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "midas"
# A module imports from its own layer or those before it.
LAYERS = (
    ("errors",),
    ("files", "experiments", "metrics"),
    ("predictions", "recipes", "records", "runs", "data"),
    ("learning",),
    ("report",),
    ("studies",),
    ("api",),
    ("web",),
    ("cli", "__init__", "__main__"),
)
LIBRARIES = {"click": ("cli",), "tensorflow": ("learning", "cli"), "keras": ("learning",), "jinja2": ("report",)}
LIBRARIES |= dict.fromkeys(("flask", "werkzeug", "waitress"), ("web",))
MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """Name the package or top-level module of a file."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path, typing: bool = True) -> list[str]:
    """List the modules that a file imports, functions included; without `typing` not those for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not typing:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = []
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def layer(part: str) -> int:
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path):
    ours = part_of(path)
    for name in imported(path):
        root, _, rest = name.partition(".")
        if root == "midas" and rest and part_of(path) != "__init__":
            theirs = rest.split(".")[0]
            assert layer(theirs) <= layer(ours), f"{ours} imports {name}"
            assert (ours, theirs) != ("report", "learning"), "reports never need TensorFlow"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_libraries_stay_where_they_belong(path):
    for name in imported(path):
        allowed = LIBRARIES.get(name.split(".")[0])
        assert allowed is None or part_of(path) in allowed, f"{path.name} imports {name}"


def test_there_are_no_import_cycles():
    graph = {}
    names = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in MODULES}
    for module, path in names.items():
        found = imported(path, typing=False)
        graph[module] = {name for each in found for name in (each, each.rpartition(".")[0]) if name in names} - {module}
    done, active = set(), []

    def visit(module):
        if module in done:
            return
        assert module not in active, f"cycle: {' -> '.join([*active[active.index(module) :], module])}"
        active.append(module)
        for other in sorted(graph[module]):
            visit(other)
        done.add(active.pop())

    for module in graph:
        visit(module)


def test_every_module_has_tests_of_its_name():
    tests = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    parts = (path for path in MODULES if not path.stem.startswith("__") and part_of(path) != "cli")
    assert [path.stem for path in parts if path.stem not in tests] == []
