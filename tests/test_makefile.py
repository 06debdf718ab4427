"""``make``: what it lists, what each command installs, and what it says when it cannot work."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

# Of what `pytest` and `jupyter` run, besides themselves.
RUN_BY = {"jupyter": {"jupyterlab", "ipykernel"}, "pytest": {"pytest-timeout"}}


def make(
    folder: Path, *arguments: str, program: str = "make", **variables: str
) -> "subprocess.CompletedProcess[str]":
    # Under `make test` this is no part of the make that runs the tests.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    return subprocess.run(
        [program, *arguments],
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_make_alone_lists_every_target_with_a_line_of_help() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    lines = make(ROOT).stdout.splitlines()
    listed = {line.split()[1]: line.split()[2:] for line in lines}
    assert list(listed) == phony[1].split()
    assert all(listed.values())


def test_without_a_python_that_runs_it_says_so_in_a_sentence(tmp_path: Path) -> None:
    # A version manager may leave a command behind that only complains.
    shim = tmp_path / "python-shim"
    shim.write_text("#!/bin/sh\necho no such version >&2\nexit 127\n")
    shim.chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    done = make(tmp_path, "report", f"PYTHON={shim}")
    assert done.returncode != 0
    assert done.stderr.splitlines()[0].startswith("Нужен Python 3.11 или новее")
    assert "no such version" not in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(("number", "hint"), [("2", "предсказание"), ("", "Какое упражнение")])
def test_an_exercise_ends_with_a_hint_and_make_with_a_failure(number: str, hint: str) -> None:
    environment = [f"BIN={Path(sys.executable).parent}", "--old-file=.venv/notebooks.installed"]
    done = make(ROOT, "exercise", f"N={number}", *environment)
    assert hint in done.stdout.splitlines()[-1]
    assert done.returncode != 0


# The environment


@pytest.mark.timeout(180)
def test_an_environment_that_belongs_to_another_folder_is_made_anew(tmp_path: Path) -> None:
    """Also that a blank and Cyrillic letters in the path do no harm, nor a locale without them."""
    home = tmp_path / "моя папка"
    home.mkdir()
    shutil.copy(ROOT / "Makefile", home)
    (home / "thing.py").write_text("print(__file__)\n")
    goal = [".venv/made", f"PYTHON={sys.executable}"]
    assert "Создаю .venv" in make(home, *goal).stdout
    assert "Создаю" not in make(home, *goal).stdout
    copy = tmp_path / "его копия"
    shutil.copytree(home, copy, symlinks=True)
    assert "Создаю .venv" in make(copy, *goal).stdout
    for folder in (home, copy):
        for variables in ({"LC_ALL": "C"}, {"LANG": "ru_RU.KOI8-R", "LC_ALL": ""}):
            done = make(
                tmp_path,  # whatever folder it is started in
                *("-m", "thing"),
                program=str(folder / ".venv" / "bin" / "python"),
                PYTHONIOENCODING="utf-8",
                **variables,
            )
            assert done.stdout == f"{folder / 'thing.py'}\n", done.stderr
    moved = home.rename(tmp_path / "moved")
    assert "Создаю .venv" in make(moved, "--dry-run", *goal).stdout
    assert "Создаю" not in make(copy, "--dry-run", *goal).stdout


def groups() -> dict[str, list[str]]:
    """Return the modules that the recipes of the Makefile run, by what they install."""
    found: dict[str, list[str]] = {}
    for group, recipe in re.findall(
        r"^[a-z-]+: \$\(VENV\)/(\w+)\.installed.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE
    ):
        found.setdefault(group, []).extend(re.findall(r"\$\(BIN\)/python -m ([\w.]+)", recipe))
    return found


def imports(code: str, package: str) -> Iterator[str]:
    """Yield the full names of the modules that *code*, of a module in *package*, imports."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            parts = [*(parents if node.level else []), *([node.module] if node.module else [])]
            yield ".".join(parts)
            yield from (".".join([*parts, alias.name]) for alias in node.names)


def foreign(modules: Iterator[str] | list[str]) -> set[str]:
    """Return the packages of others that *modules* of ours import, directly or through ours."""
    seen: set[str] = set()
    found = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path = ROOT / name.replace(".", "/")
        if path.is_dir():
            waiting += [f"{name}.__init__", f"{name}.__main__"]
        elif path.with_suffix(".py").is_file():
            code = path.with_suffix(".py").read_text("utf-8")
            waiting += imports(code, name.rpartition(".")[0])
        elif not (ROOT / name.partition(".")[0]).is_dir():
            found.add(name.partition(".")[0])
    return found - set(sys.stdlib_module_names)


def chapters() -> Iterator[str]:
    """Yield the modules that the notebooks import."""
    for path in (ROOT / "notebooks").glob("*/0*.ipynb"):
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        for cell in notebook.cells:
            if cell.cell_type == "code":
                yield from imports(re.sub("^%%.*", "", cell.source), "")


@pytest.mark.parametrize("group", ["chat", "grade", "notebooks", "report", "test"])
def test_what_a_command_imports_is_what_it_installs(group: str) -> None:
    """Walks all imports, those inside of functions too: nothing is missing at the last moment."""
    modules = groups()[group]
    if group in ("notebooks", "report"):
        modules += chapters()
    if group == "report":
        modules += ["chat.client"]  # the screenshots show it in full screen
    wanted = {
        distribution.lower().replace("_", "-")
        for module in foreign(modules)
        for distribution in packages_distributions().get(module, [module])
    }
    wanted |= {extra for module in modules for extra in RUN_BY.get(module, ())}
    lock = (ROOT / "requirements" / f"{group}.lock").read_text("utf-8")
    assert wanted
    assert wanted - {"jupyter"} <= set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))


def test_the_groups_have_the_same_versions() -> None:
    """What one command has installed serves the next."""
    pins: dict[str, set[frozenset[str]]] = {}
    for lock in (ROOT / "requirements").glob("*.lock"):
        lines = re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text("utf-8"), re.MULTILINE)
        for name in {name for name, _version in lines}:
            versions = frozenset(version for other, version in lines if other == name)
            pins.setdefault(name, set()).add(versions)
    assert {name: versions for name, versions in pins.items() if len(versions) > 1} == {}


@pytest.mark.skipif(shutil.which("bmake") is None, reason="bmake is not installed")
@pytest.mark.parametrize("goals", [[], ["report"], ["test", "ARGS=-x"]])
def test_bsd_make_says_what_to_use(goals: list[str]) -> None:
    done = make(ROOT, "-f", "BSDmakefile", *goals, program="bmake")
    assert done.returncode != 0
    assert "GNU make: gmake" in done.stderr
