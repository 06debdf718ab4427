"""A small report of five notebooks, built once by the real command for all tests here."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode, v4
from PIL import Image

from tests.report import builder

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 200
"""A build of the small report takes ten, and on a machine that is busy with others many more."""
PARTS = (
    "Описание работы",
    "Теоретическая часть",
    "Практическая часть",
    "Скриншоты работы в разных ситуациях",
    "Выводы",
)

SECONDS = 200
"""How long a test may take that is the first to need the small report, on a busy machine."""

TITLE_PAGE = """
[title_page]
kind = "Отчёт по курсовой работе"
title = "Чат на сокетах & потоках"
institution = "Университет"
course = "Сети"
student = "Иванова А. С."
year = 2026
"""

# Two drawings of one program have the same identifiers inside; on one page they must not meet.
FIGURE = """
from IPython.display import publish_display_data
svg = (
    '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="100"'
    ' viewBox="0 0 {width} 100"><metadata>made today</metadata><defs><clipPath id="clip">'
    '<path id="p" d="M0 0H{width}V100H0z"/></clipPath></defs><g clip-path="url(#clip)">'
    '<use href="#p" fill="{colour}"/></g><text style="font-size: 8px; font-family: Noto Sans;'
    ' fill: #222222" x="9" y="20">слово {label}</text><g id="step-1.1"/><g id="step-2.1"/>'
    '<g id="step-2.2"/><g id="step-3.1"/></svg>'
)
from io import BytesIO
from base64 import b64encode
from PIL import Image
png = BytesIO()
Image.new("RGB", (2 * {width}, 200), "{colour}").save(png, "png")
publish_display_data(
    {{"image/svg+xml": svg, "image/png": b64encode(png.getvalue()).decode(), "text/plain": "x"}},
    metadata={{"report": {{"kind": "figure", "label": "fig-{label}", "caption": "Рисунок {label}.",
                           "alt": "Цветной \\"прямоугольник\\" {label}",
                           "steps": ["Раз.", "Два: `ack`.", "Три."]}}}},
)
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of the builder the time that a build may take."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(SECONDS + 40))


def markdown(*paragraphs: str) -> NotebookNode:
    """Return a Markdown cell."""
    return v4.new_markdown_cell("\n\n".join(paragraphs))  # type: ignore[no-any-return, no-untyped-call]


def code(source: str, *tags: str) -> NotebookNode:
    """Return a code cell."""
    return v4.new_code_cell(source, metadata={"tags": list(tags)})  # type: ignore[no-any-return, no-untyped-call]


def tagged(cell: NotebookNode, *tags: str) -> NotebookNode:
    """Return *cell* with these tags."""
    cell.metadata["tags"] = list(tags)
    return cell


def notebook(*cells: NotebookNode) -> NotebookNode:
    """Return a notebook."""
    return v4.new_notebook(cells=list(cells))  # type: ignore[no-any-return, no-untyped-call]


def figure(label: str, colour: str = "teal", width: int = 700) -> NotebookNode:
    """Return a cell that shows a captioned figure and not how it was made."""
    return code(FIGURE.format(label=label, colour=colour, width=width), "hide-input")


LISTING = """
from chat.lab import show
show.listing({what}, label="{label}", caption="Программа.")
"""

PREDICTION = """**Предскажите.** Сколько *портов* занято?

- (а) один;
- (б) по одному на
  клиента `accept`.

<details><summary>Ответ</summary>

**(а)** Порт – часть имени.

Ещё абзац.

</details>"""

NUMBERS = """
from chat.lab import show
show.numbers(("0", "потерянных сообщений"), ("9 000", "доставок в секунду"))
"""

NOTED = """
from chat.lab import show
show.listing(
    "chat.core.protocol:DEFAULT_PORT", label="lst-short", caption="Программа.",
    notes={"DEFAULT_PORT =": "Выше `1023`: права администратора не нужны."},
)
"""

BOOKS = {
    "01_description": notebook(
        markdown("# Описание работы", "Ср. [рисунок](#fig-one) и [теорию](02_theory.ipynb)."),
        tagged(markdown("Это чат."), "front"),
        code(NUMBERS, "hide-input", "front"),
        figure("one"),
        markdown("## Что `требуется`", "См. [раздел](02_theory.ipynb#Кадры-и-поток)."),
        code(
            "from chat.lab import show\n"
            "show.table(['Что', 'Сколько'], [['кадров `ack`', 3], ['a|b', 14]],"
            " label='tab-sums', caption='Сводка с `кодом`')",
            "hide-input",
        ),
    ),
    "02_theory": notebook(
        markdown("# Теоретическая часть", "Доля $\\frac{1}{n}$ и", "$$\\sum_{i=1}^{k} x_i < 1$$"),
        markdown("Как сказано в [RFC 9293](https://www.rfc-editor.org/rfc/rfc9293)."),
        tagged(
            markdown("- **сегмент** – кусок потока,\n  с заголовком\n- **`ACK`** – ответ"),
            "glossary",
        ),
        markdown(
            "## Кадры и поток",
            PREDICTION,
            "Это [сегменты](#term-сегмент).",
            "| а | б |\n|---|---|\n| 1 | 2 |",
            "> Предскажите!",
        ),
        code("print('🦊 длинная строка вывода ' * 12)\nprint('x' * 300)\n'значение ' + 'в' * 200"),
        figure("two", "orange", 1400),
        markdown("```python\n# Не заголовок\nx = '[a](#fig-none)'\n```", "`[b](#fig-none)`"),
    ),
    "03_practice": notebook(
        markdown("# Практическая часть", "Код – в [листинге](#lst-long)."),
        code(
            LISTING.format(
                what="__import__('importlib').import_module('chat.core.room').Room",
                label="lst-long",
            )
        ),
        code(NOTED, "hide-input"),
    ),
    "04_screenshots": notebook(
        markdown("# Скриншоты работы в разных ситуациях", "![Кадр](shot.png)"),
    ),
    "05_conclusions": notebook(
        markdown("# Выводы"),
        code(
            "from chat.lab import show\nshow.prose('Измерено 5 мс ([таблица](#tab-sums)).')",
            "hide-input",
        ),
        v4.new_markdown_cell("", metadata={"tags": ["sources"]}),  # type: ignore[no-untyped-call]
    ),
}


def write_project(root: Path) -> Path:
    """Write the sources of the small report below *root*; return *root*."""
    notebooks = root / "notebooks" / "ru"
    notebooks.mkdir(parents=True)
    for name, book in BOOKS.items():
        nbformat.write(book, notebooks / f"{name}.ipynb")  # type: ignore[no-untyped-call]
    Image.new("RGB", (40, 20), "navy").save(notebooks / "shot.png")
    (root / "report").mkdir()
    (root / "report" / "report.toml").write_text(TITLE_PAGE, "utf-8")
    return root


def run_builder(root: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Build the project at *root* as ``python -m report`` does."""
    return builder.build(["--root", str(root), *options], SECONDS)


def start_builder(root: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run the command ``python -m report`` itself on the project at *root*."""
    return subprocess.run(
        [sys.executable, "-m", "report", "--root", str(root), *options],
        cwd=ROOT,
        env=os.environ | {"LANGUAGE": "ru"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture(autouse=True, scope="session")
def builders_are_ready(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Start the process from which those of the builder are forked: it stays to the end."""
    run_builder(tmp_path_factory.mktemp("nothing"))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the small project, its report built: once, whichever worker needs it first."""
    own = tmp_path_factory.mktemp("project")
    together = own.parent.parent if "PYTEST_XDIST_WORKER" in os.environ else own.parent
    built = together / "built"
    with (together / "built.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            root = write_project(together / "unfinished")
            done = start_builder(root)
            assert done.returncode == 0, done.stderr
            root.rename(built)
    return Path(shutil.copytree(built, own, dirs_exist_ok=True))


@pytest.fixture(scope="session")
def output(project: Path) -> Path:
    """The folder of the small report."""
    return project / "build" / "report" / "ru"
