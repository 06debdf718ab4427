"""The rooms of the package: imports run one way, and each module knows only its own business."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import chat

CHAT = Path(chat.__file__).resolve().parent
ROOT = CHAT.parent

# What the modules of a room may import of the chat, by the beginnings of their names.
MAY_IMPORT = {
    "core": {"chat.core"},
    "promises": {"chat.core", "chat.promises"},
    "app": {"chat.core", "chat.promises.UnusableError", "chat.promises.read_file", "chat.app"},
    "lab": {"chat.core", "chat.promises", "chat.app", "chat.lab", "chat.server", "chat"},
}

# What else than the standard library a module may use.
EXTRAS = {
    "promises/encryption": {"cryptography"},
    "promises/cluster": {"redis"},
    "app/certificate": {"cryptography"},
    "app/tui": {"textual", "rich"},
    "app/locale/__main__": {"babel"},
}
FORGIVING = ("promises.encryption", "app.certificate")
"""Modules that can be imported without their extra."""

LATE_IMPORTS = {
    ("client", "chat.app.tui"),
    ("server", "chat.promises.cluster.Cluster"),
    ("server", "chat.promises.durable.SqliteLog"),
    ("server", "chat.promises.tls.TlsTransport"),
    ("server", "chat.promises.tls.server_context"),
    ("client", "chat.promises.encryption.Cipher"),
    ("client", "chat.promises.encryption.read_passphrase"),
    ("client", "chat.promises.tls.client_context"),
    ("client", "chat.promises.tls.client_transport"),
    ("__init__", "chat.app.i18n.gettext"),  # before a sentence for an old Python, and the end
}
"""What is imported when it is asked for: by an option, or because it needs a package."""

MODULES = sorted(path for path in CHAT.rglob("*.py") if "lab" not in path.parts)
ROOMS = {room: sorted((CHAT / room).rglob("*.py")) for room in MAY_IMPORT}
SEAMS = [*ROOMS["core"], *ROOMS["promises"]]


def name_of(path: Path) -> str:
    return path.relative_to(CHAT).with_suffix("").as_posix()


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of every module, or name in a module, that is imported in *tree*."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = "." * node.level + (node.module or "")
            yield from (f"{package}.{name.name}" for name in node.names)


def of_the_chat(tree: ast.AST) -> set[str]:
    return {name for name in imports(tree) if name.partition(".")[0] == "chat"}


def is_within(name: str, allowed: set[str]) -> bool:
    return any(name == one or name.startswith(one + ".") for one in allowed)


# Who imports whom


@pytest.mark.parametrize(
    ("room", "path"),
    [(room, path) for room, paths in ROOMS.items() for path in paths],
    ids=lambda value: value if isinstance(value, str) else name_of(value),
)
def test_imports_run_one_way(room: str, path: Path) -> None:
    strange = {name for name in of_the_chat(parse(path)) if not is_within(name, MAY_IMPORT[room])}
    assert not strange


@pytest.mark.parametrize("path", ROOMS["promises"], ids=name_of)
def test_no_promise_knows_another(path: Path) -> None:
    known = {name for name in of_the_chat(parse(path)) if name.startswith("chat.promises")}
    assert known <= {"chat.promises.UnusableError", "chat.promises.read_file"}


def test_no_two_modules_of_the_core_import_each_other() -> None:
    needs = {
        f"chat.core.{path.stem}": {name.rpartition(".")[0] for name in of_the_chat(parse(path))}
        for path in ROOMS["core"]
        if path.stem != "__init__"
    }
    order: list[str] = []
    while needs:
        ready = {name for name, modules in needs.items() if modules <= set(order)}
        assert ready, f"they need each other: {needs}"
        order += sorted(ready)
        needs = {name: modules for name, modules in needs.items() if name not in ready}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_is_imported_late_needs_a_package(path: Path) -> None:
    functions = (node for node in ast.walk(parse(path)) if isinstance(node, ast.FunctionDef))
    late = {(name_of(path), name) for function in functions for name in of_the_chat(function)}
    assert late <= LATE_IMPORTS


@pytest.mark.parametrize("folder", ["chat/lab", "report", "screenshots"])
def test_who_stands_above_is_unknown_below(folder: str) -> None:
    above = {
        "chat/lab": {"report", "screenshots", "tests"},
        "report": {"tests"},
        "screenshots": {"report", "tests"},
    }[folder]
    for path in (ROOT / folder).rglob("*.py"):
        assert not {name.partition(".")[0] for name in imports(parse(path))} & above, path


# What else is needed


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_chat_needs_the_standard_library_alone(path: Path) -> None:
    outside = {name.partition(".")[0] for name in imports(parse(path))} - {"chat"}
    assert outside <= set(sys.stdlib_module_names) | EXTRAS.get(name_of(path), set())


def run_python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=30)


@pytest.mark.parametrize("module", FORGIVING)
def test_a_module_can_be_imported_without_its_extra(module: str) -> None:
    extras = sorted(EXTRAS[module.replace(".", "/")])
    missing = "; ".join(f"sys.modules[{name!r}] = None" for name in extras)
    run_python(f"import sys; {missing}; import chat.{module}")


def test_the_programs_start_without_any_extra() -> None:
    extras = sorted(set().union(*EXTRAS.values()))
    missing = "; ".join(f"sys.modules[{name!r}] = None" for name in extras)
    run_python(f"import sys; {missing}; import chat.server, chat.client")


@pytest.mark.parametrize("module", ["server", "client"])
def test_the_core_loads_nothing_of_the_programs(module: str) -> None:
    unknown = ("argparse", "tomllib", "gettext", "sqlite3", "ssl", "chat.app", "chat.promises")
    check = f"loaded = {{*sys.modules}} & {{*{unknown!r}}}; assert not loaded, loaded"
    run_python(f"import sys, chat.core.{module}; {check}")


# What a module has to do with


@pytest.mark.parametrize(
    ("module", "unknown"),
    [
        ("protocol", {"socket", "selectors", "threading", "time", "queue", "logging"}),
        ("history", {"socket", "selectors", "logging"}),
        ("room", {"socket", "selectors", "logging"}),
        ("connection", {"json", "logging"}),
        ("writer", {"json", "socket"}),
    ],
)
def test_a_module_knows_nothing_of_what_is_not_its_business(module: str, unknown: set[str]) -> None:
    tree = parse(CHAT / f"core/{module}.py")
    assert not {name.partition(".")[0] for name in imports(tree)} & unknown


# The seams


def signatures(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the name of every public function, and what its signature says."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and (
            not node.name.startswith("_") or node.name == "__init__"
        ):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            hints = [argument.annotation for argument in arguments] + [node.returns]
            yield node.name, " ".join(ast.unparse(hint) for hint in hints if hint is not None)


@pytest.mark.parametrize("path", SEAMS, ids=name_of)
def test_every_seam_says_its_types(path: Path) -> None:
    assert "Callable[..., " not in path.read_text(encoding="utf-8")
    for name, hints in signatures(parse(path)):
        if name != "encode":  # a message is a JSON object: its values are of any kind
            assert "Any" not in hints, name
