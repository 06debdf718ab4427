"""The house as it was drawn: small, and every import points one way."""

import ast
import io
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import chat

CHAT = Path(chat.__file__).resolve().parent
ROOT = CHAT.parent

CORE = ("protocol", "room", "history", "connection", "server", "client")
LONGEST_CORE = 1500
"""Lines of code, without blank lines, comments and docstrings."""

LONGEST_BESIDE = 400

# Each floor may import those below it, and its own.
FLOORS = (
    {"protocol", "timing", "i18n"},
    {"history", "resume", "cli", "encryption", "certificate"},
    {"room", "connection", "journal"},
    {"sender", "tls"},
    {"server", "client"},
    {"conversation", "service", "backplane", "__main__"},
    {"console", "tui"},
    {"lab"},
)
# The scripts `chat/client.py` and `chat/server.py` run the programs that stand above the library;
# what needs more than the standard library is imported when it is asked for.
LATE_IMPORTS = {
    ("client", "console"),
    ("server", "service"),
    ("service", "backplane"),
    ("console", "tui"),
    ("console", "encryption"),
}

# What else than the standard library a module may use.
EXTRAS = {
    "encryption": {"cryptography"},
    "certificate": {"cryptography"},
    "tui": {"textual", "rich"},
    "backplane": {"redis"},
}
FORGIVING = ("encryption", "certificate")
"""Modules that can be imported without their extra."""

PLAIN = sorted(path for path in CHAT.glob("*.py") if path.stem != "__init__")


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of every module, or name in a package, that is imported in *tree*."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = "." * node.level + (node.module or "")
            yield from (f"{package}.{name.name}" for name in node.names)


def rooms(tree: ast.AST) -> set[str]:
    """Return the modules of the chat that *tree* imports."""
    return {name.split(".")[1] for name in imports(tree) if name.startswith("chat.")}


def late_imports(tree: ast.AST) -> set[str]:
    """Return the modules of the chat that functions in *tree* import when they are called."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return {room for function in functions for room in rooms(function)}


def floor(room: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if room in floor)


def test_every_module_has_its_floor() -> None:
    assert {path.stem for path in PLAIN} == set().union(*FLOORS) - {"lab"}


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_imports_run_one_way(path: Path) -> None:
    for room in rooms(parse(path)):
        if (path.stem, room) not in LATE_IMPORTS:
            assert floor(room) <= floor(path.stem), f"{path.stem} imports {room}"


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_what_stands_above_is_imported_late_or_not_at_all(path: Path) -> None:
    late = {(path.stem, room) for room in late_imports(parse(path))}
    assert late <= LATE_IMPORTS


def test_no_two_modules_import_each_other() -> None:
    needs = {path.stem: rooms(parse(path)) - late_imports(parse(path)) for path in PLAIN}
    order: list[str] = []
    while needs:
        ready = {name for name, rooms in needs.items() if rooms <= set(order)}
        assert ready, f"they need each other: {needs}"
        order += sorted(ready)
        needs = {name: rooms for name, rooms in needs.items() if name not in ready}


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_the_chat_needs_the_standard_library_alone(path: Path) -> None:
    outside = {name.partition(".")[0] for name in imports(parse(path))} - {"chat"}
    assert outside <= set(sys.stdlib_module_names) | EXTRAS.get(path.stem, set())


@pytest.mark.parametrize("module", FORGIVING)
def test_a_module_can_be_imported_without_its_extra(module: str) -> None:
    missing = "; ".join(f"sys.modules[{name!r}] = None" for name in EXTRAS[module])
    code = f"import sys; {missing}; import chat.{module}"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=30)


def test_the_scripts_start_without_any_extra() -> None:
    missing = "; ".join(
        f"sys.modules[{name!r}] = None" for name in sorted(set().union(*EXTRAS.values()))
    )
    code = f"import sys; {missing}; import chat.core.server, chat.client, chat.app.console"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=30)


@pytest.mark.parametrize(
    ("module", "unknown"),
    [
        ("protocol", {"socket", "selectors", "threading", "time", "queue", "logging"}),
        ("history", {"socket", "selectors", "logging"}),
        ("resume", {"socket", "selectors", "threading", "logging"}),
        ("room", {"socket", "selectors", "logging"}),
        ("connection", {"json", "logging"}),
        ("sender", {"json", "logging", "socket"}),
    ],
)
def test_a_module_knows_nothing_of_what_is_not_its_business(module: str, unknown: set[str]) -> None:
    names = {name.partition(".")[0] for name in imports(parse(CHAT / f"{module}.py"))}
    assert not names & unknown


@pytest.mark.parametrize("folder", ["chat/lab", "report", "screenshots"])
def test_who_stands_above_is_unknown_below(folder: str) -> None:
    above = {
        "chat/lab": {"report", "screenshots", "tests"},
        "report": {"tests"},
        "screenshots": {"report", "tests"},
    }[folder]
    for path in (ROOT / folder).rglob("*.py"):
        assert not {name.partition(".")[0] for name in imports(parse(path))} & above, path


def lines_of_code(source: str) -> int:
    """Count the lines that hold more than comments and docstrings."""
    documentation: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            assert node.end_lineno is not None
            documentation.update(range(node.lineno, node.end_lineno + 1))
    code: set[int] = set()
    blank = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in blank:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - documentation)


def test_lines_are_counted_as_said() -> None:
    source = '''"""A docstring

of three lines."""

# a comment
number = 1  # and its end

TEXT = """two
lines"""

"""An attribute's docstring."""


def function(
    argument: int,
) -> int:
    """Another one."""
    return argument
'''
    assert lines_of_code(source) == 7


def test_the_core_of_the_chat_stays_short() -> None:
    lengths = {
        name: lines_of_code((CHAT / f"{name}.py").read_text(encoding="utf-8")) for name in CORE
    }
    assert sum(lengths.values()) < LONGEST_CORE, lengths
    # What makes the core fast and lets it resume stands beside it, and stays short as well.
    beside = {
        name: lines_of_code((CHAT / f"{name}.py").read_text(encoding="utf-8"))
        for name in ("sender", "resume", "timing")
    }
    assert sum(beside.values()) < LONGEST_BESIDE, beside
