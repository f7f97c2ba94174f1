"""The floors of the house (docs: design, "The house"): who may import whom, held by walking every import."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

TRANSPORT = (
    "manage",
    "epsilon.asgi",
    "epsilon.wsgi",
    "epsilon.urls",
    "miva.admin",
    "miva.api",
    "miva.choosing",
    "miva.consumers",
    "miva.daphne_server",
    "miva.dialogues",
    "miva.management",
    "miva.middleware",
    "miva.routing",
    "miva.servers",
    "miva.urls",
    "miva.v1_dialogue",
)
GROUND = ("miva.protocol",)
ENGINE = ("miva.engine",)
SETTINGS = ("epsilon.settings",)
MAY_READ_ENVIRONMENT = "epsilon.settings"
MAY_NAME_THE_SETTINGS = ("manage", "epsilon.asgi", "epsilon.wsgi")
MAY_HAND_IT_ON = ("miva.documents.forkserver", "miva.documents.ocr")
"""These give the environment, or a part of it, to a program that they start, and take nothing from it themselves."""


@dataclass(frozen=True)
class Import:
    """One import: `target` is the module where that is ours, else the outside package's name."""

    source: str
    target: str
    line: int


class Tree:
    """The product's modules, and their imports."""

    def __init__(self, sources: dict[str, str]) -> None:
        """`sources`: the text of each file by its path in the repository."""
        self.sources = {_name(path): source for path, source in sources.items()}
        self.nodes = {name: _nodes(source) for name, source in self.sources.items()}
        self.packages = {_name(path) for path in sources if path.endswith("__init__.py")}
        self.imports = [found for name in self.nodes for found in self._imports(name)]

    @staticmethod
    def read(root: Path) -> dict[str, str]:
        """The sources of the product under a folder; migrations are Django's own."""
        paths = [root / "manage.py", *(root / "epsilon").rglob("*.py"), *(root / "miva").rglob("*.py")]
        return {path.relative_to(root).as_posix(): path.read_text() for path in paths if "migrations" not in path.parts}

    def ours(self, source: str) -> list[Import]:
        """What a module imports of the product."""
        return [found for found in self.imports if found.source == source and found.target in self.nodes]

    def _imports(self, name: str) -> Iterator[Import]:
        for node in self.nodes[name]:
            for target in self._targets(name, node):
                yield Import(name, target, getattr(node, "lineno", 0))

    def _targets(self, name: str, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (self._known(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name.split(".") if name in self.packages else name.split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole in self.nodes else self._known(base)
        elif isinstance(node, ast.Call) and _called(node.func) in {"import_module", "__import__", "import_string"}:
            yield from (self._known(str(name.value)) for name in node.args[:1] if isinstance(name, ast.Constant))

    def _known(self, target: str) -> str:
        while target not in self.nodes and target.rpartition(".")[0] in self.nodes:
            target = target.rpartition(".")[0]
        return target


@cache
def _nodes(source: str) -> list[ast.AST]:
    """What a rule may ask about; walked once, since a planted line changes one module of hundreds."""
    asked_about = (ast.Import, ast.ImportFrom, ast.Call, ast.Attribute)
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, asked_about)]


def _name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _within(name: str, floors: tuple[str, ...]) -> bool:
    return any(name == floor or name.startswith(f"{floor}.") for floor in floors)


def protocol_is_pure(tree: Tree) -> list[str]:
    """The ground floor imports the standard library and itself."""
    return [
        _words(found)
        for found in tree.imports
        if _within(found.source, GROUND)
        and not _within(found.target, GROUND)
        and found.target.partition(".")[0] not in sys.stdlib_module_names
    ]


def protocol_does_no_io(tree: Tree) -> list[str]:
    """Of the standard library, the ground floor leaves out clock, sockets, files, processes and asyncio."""
    worldly = {"asyncio", "datetime", "io", "os", "pathlib", "random", "select", "socket", "sqlite3", "subprocess"}
    worldly |= {"secrets", "ssl", "tempfile", "threading", "time", "urllib.request"}
    return [_words(f) for f in tree.imports if _within(f.source, GROUND) and _within(f.target, tuple(worldly))]


def services_stay_below_transport(tree: Tree) -> list[str]:
    """A service imports ground and services; nothing outside the transport floor imports it."""
    return [
        _words(found)
        for found in tree.imports
        if not _within(found.source, TRANSPORT) and _within(found.target, TRANSPORT) and found.source != found.target
    ]


def settings_know_nothing_of_the_app(tree: Tree) -> list[str]:
    """Settings are read before there is an app."""
    return [_words(f) for f in tree.imports if f.source in SETTINGS and _within(f.target, ("miva",))]


def engine_lives_next_door(tree: Tree) -> list[str]:
    """The engine imports nothing of the rest, nor Django; and nothing of the rest imports the engine."""
    out = [
        _words(found)
        for found in tree.imports
        if _within(found.source, ENGINE)
        and not _within(found.target, ENGINE)
        and _within(found.target, ("miva", "epsilon", "django", "channels", "rest_framework", "manage"))
    ]
    into = [_words(f) for f in tree.imports if not _within(f.source, ENGINE) and _within(f.target, ENGINE)]
    return out + into


def only_settings_read_the_environment(tree: Tree) -> list[str]:
    """`os.environ`, `os.getenv`, `environ` stand in epsilon/settings.py; entry points may name the settings module."""
    found = []
    for name, nodes in tree.nodes.items():
        for node in nodes:
            if not _reads_environment(node) or name in (MAY_READ_ENVIRONMENT, *MAY_HAND_IT_ON):
                continue
            if name in MAY_NAME_THE_SETTINGS and _names_the_settings_only(nodes, node):
                continue
            found.append(f"{name}, line {getattr(node, 'lineno', 0)}: {ast.unparse(node)}")
    return found


def _reads_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in {"environ", "environb", "getenv", "getenvb"}
    if isinstance(node, ast.ImportFrom):
        return node.module == "os" and any(alias.name in {"environ", "getenv"} for alias in node.names)
    return isinstance(node, ast.Import) and any(alias.name.partition(".")[0] == "environ" for alias in node.names)


def _names_the_settings_only(nodes: list[ast.AST], node: ast.AST) -> bool:
    calls = [call for call in nodes if isinstance(call, ast.Call)]
    return any(
        ast.unparse(call) == "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'epsilon.settings')"
        and any(inner is node for inner in ast.walk(call.func))
        for call in calls
    )


def packages_that_start_others_are_empty(tree: Tree) -> list[str]:
    """Empty, so that `python -m miva.engine` loads neither Django nor the relay."""
    return [f"{name}/__init__.py is not empty" for name in ("miva", "miva.engine") if tree.sources[name].strip()]


def modules_do_not_import_in_a_circle(tree: Tree) -> list[str]:
    """Each module can be read before those that import it; an import inside a function counts too."""
    done: set[str] = set()
    circles = []

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            circles.append(" → ".join([*path[path.index(name) :], name]))
        elif name not in done:
            for found in tree.ours(name):
                if not (found.target in tree.packages and name.startswith(f"{found.target}.")):
                    visit(found.target, [*path, name])
            done.add(name)

    for name in tree.nodes:
        visit(name, [])
    return circles


def _words(found: Import) -> str:
    return f"{found.source}, line {found.line}, imports {found.target}"


RULES: dict[Callable[[Tree], list[str]], dict[str, str]] = {
    protocol_is_pure: {"miva/protocol/frames.py": "import msgspec", "miva/protocol/plain.py": "from miva import hub"},
    protocol_does_no_io: {"miva/protocol/frames.py": "import time", "miva/protocol/v1.py": "from asyncio import sleep"},
    services_stay_below_transport: {
        "miva/hub.py": "from miva.consumers import ChatConsumer",
        "miva/documents/store.py": "from ..api import errors",
        "miva/conversation.py": "def late() -> None:\n    from miva import dialogues",
    },
    settings_know_nothing_of_the_app: {"epsilon/settings.py": "from miva import limits"},
    engine_lives_next_door: {
        "miva/engine/text.py": "from django.conf import settings",
        "miva/engine/search.py": "from miva.protocol import envelope",
        "miva/engine_process.py": "from miva.engine import server",
    },
    only_settings_read_the_environment: {
        "miva/hub.py": "import os\nPATIENCE = os.environ.get('PATIENCE')",
        "miva/limits.py": "from os import getenv",
        "epsilon/asgi.py": "DEBUG = os.environ['DEBUG']",
    },
    packages_that_start_others_are_empty: {"miva/__init__.py": "x = 1", "miva/engine/__init__.py": "import json"},
    modules_do_not_import_in_a_circle: {"miva/models.py": "from miva import library"},
}
"""Each rule, and lines that break it when they are planted at the end of these files."""


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    return Tree.read(ROOT)


@pytest.fixture(scope="module")
def tree(sources: dict[str, str]) -> Tree:
    return Tree(sources)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule: Callable[[Tree], list[str]], tree: Tree) -> None:
    assert rule(tree) == []


@pytest.mark.parametrize(
    ("rule", "path", "line"),
    [(rule, path, line) for rule, plants in RULES.items() for path, line in plants.items()],
    ids=lambda value: getattr(value, "__name__", value).partition("\n")[0],
)
def test_a_planted_violation_is_found(
    rule: Callable[[Tree], list[str]], path: str, line: str, sources: dict[str, str], tree: Tree
) -> None:
    planted = Tree(sources | {path: f"{sources[path]}\n{line}\n"})
    assert len(rule(planted)) > len(rule(tree)), f"{rule.__name__} does not see {line!r} in {path}"


def test_the_walk_sees_the_whole_product(tree: Tree) -> None:
    """A rule over an empty list of modules would hold for ever."""
    assert len(tree.nodes) > 60
    assert {found.target for found in tree.ours("miva.consumers")} >= {
        "miva.sockets",
        "miva.limits",
        "miva.protocol.plain",
    }
