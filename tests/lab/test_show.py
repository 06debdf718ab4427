"""What the notebooks show must arrive in every form, with the metadata that the report reads."""

import ast
import base64
import importlib
import inspect
import io
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import RichOutput, capture_output
from matplotlib.figure import Figure
from PIL import Image
from traitlets.config import Config

from chat.lab import figures, show

Emit = Callable[[], None]


@pytest.fixture(scope="module", autouse=True)
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Display needs a shell; its history must not touch the home directory."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.ipython_dir = str(tmp_path_factory.mktemp("ipython"))
    InteractiveShell.instance(config=config)
    yield
    InteractiveShell.clear_instance()


def shown(emit: Emit) -> RichOutput:
    with capture_output() as captured:
        emit()
    (output,) = captured.outputs  # exactly one display_data
    return output


def report(output: RichOutput) -> dict[str, Any]:
    metadata: dict[str, Any] = output.metadata["report"]
    return metadata


def a_figure() -> Figure:
    fig = Figure(figsize=(4, 2))
    fig.add_subplot().plot([0, 1], [0, 1])
    return fig


def test_figure_is_svg_png_html_and_words() -> None:
    output = shown(
        lambda: show.figure(
            a_figure(), label="fig-a", caption="Прямая `y = x`.", alt='Прямая, "растёт"'
        )
    )
    assert report(output) == {
        "kind": "figure",
        "label": "fig-a",
        "caption": "Прямая `y = x`.",
        "alt": 'Прямая, "растёт"',
    }
    data = output.data
    assert data["text/plain"] == 'Прямая, "растёт"'
    assert data["image/svg+xml"].startswith("<svg")
    assert 'aria-label="Прямая, &quot;растёт&quot;"' in data["image/svg+xml"]
    assert data["image/png"] in data["text/html"]
    assert "<code>y = x</code>" in data["text/html"]
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.size == (800, 400)  # 4 × 2 inches, 100 dots per inch, twice


def test_steps_of_a_figure_have_their_sentences() -> None:
    def fig() -> Figure:
        return figures.lifelines(
            [("bind()", {"A": "CLOSED"}), ("listen()", {"A": "LISTEN"})], ["A"]
        )

    output = shown(
        lambda: show.figure(fig(), label="fig-a", caption="А", alt="а", steps=["Раз.", "`Два`."])
    )
    assert report(output)["steps"] == ["Раз.", "`Два`."]
    assert "<li>Раз.</li><li><code>Два</code>.</li>" in output.data["text/html"]
    with pytest.raises(ValueError, match="1 sentences for a figure of 2 steps"):
        show.figure(fig(), label="fig-a", caption="А", alt="а", steps=["Раз."])


def test_the_numbers_of_the_front_page() -> None:
    output = shown(lambda: show.numbers(("0", "потеряно"), ("9 000", "в `с`")))
    assert output.data["text/markdown"].startswith("| 0 | 9 000 |")
    assert "<code>с</code>" in output.data["text/html"]
    assert report(output) == {
        "kind": "numbers",
        "entries": [{"number": "0", "what": "потеряно"}, {"number": "9 000", "what": "в `с`"}],
    }


def test_figure_is_the_same_on_every_run() -> None:
    def once() -> str:
        output = shown(lambda: show.figure(a_figure(), label="fig-a", caption="А", alt="а"))
        return str(output.data["image/svg+xml"])

    assert once() == once()


def test_picture_is_taken_from_a_png_file(tmp_path: Path) -> None:
    file = tmp_path / "screen.png"
    Image.new("RGB", (30, 20)).save(file)
    output = shown(lambda: show.picture(file, label="fig-screen", caption="Экран", alt="Экран"))
    assert report(output)["kind"] == "figure"
    assert base64.b64decode(output.data["image/png"]) == file.read_bytes()
    assert 'alt="Экран"' in output.data["text/html"]

    (tmp_path / "not.png").write_text("text")
    with pytest.raises(ValueError, match="not a PNG"):
        show.picture(tmp_path / "not.png", label="fig-b", caption="б", alt="б")


def test_table_is_markdown_and_html() -> None:
    output = shown(
        lambda: show.table(
            ["Вызов", "Байтов"],
            [["`send`", 12], ["a|b <c>", 3]],
            label="tab-calls",
            caption="Вызовы",
        )
    )
    assert report(output) == {"kind": "table", "label": "tab-calls", "caption": "Вызовы"}
    assert output.data["text/markdown"].splitlines() == [
        "| Вызов | Байтов |",
        "|:---|---:|",
        "| `send` | 12 |",
        r"| a\|b <c> | 3 |",
    ]
    assert "<code>send</code>" in output.data["text/html"]
    assert "a|b &lt;c&gt;" in output.data["text/html"]
    with pytest.raises(ValueError, match="a row of 1 cells"):
        show.table(["а", "б"], [["в"]], label="tab-x", caption="х")


@pytest.mark.parametrize("label", ["lst-a", "fig-", "fig-Ж", "a"])
def test_a_wrong_label_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="label"):
        show.figure(a_figure(), label=label, caption="а", alt="а")


def test_an_empty_caption_is_refused() -> None:
    with pytest.raises(ValueError, match="caption"):
        show.figure(a_figure(), label="fig-a", caption=" ", alt="а")


# --- listings: code out of a module written for the purpose --------------------------------------

SOURCE = '''\
"""A module."""
from contextlib import contextmanager
from dataclasses import dataclass

# How many.
LIMIT: int = 3
"""Users, at most."""

def first():
    return 1


def second():
    return 2


def third():
    return 3


@dataclass
class Room:
    size: int = 0

    @property
    def empty(self):
        return self.size == 0

    @staticmethod
    def make():
        """Make one."""
        return Room()

    @contextmanager
    def held(
        self,
    ):
        yield self
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "listed.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(show, "ROOT", tmp_path)
    yield importlib.import_module("listed")
    del sys.modules["listed"]


def listed(what: object) -> tuple[str, dict[str, Any]]:
    output = shown(lambda: show.listing(what, label="lst-x", caption="Код"))
    metadata = report(output)
    # The promise that every other assertion rests on: each number is the line's own in the file.
    lines = SOURCE.splitlines()
    code = output.data["text/x-python"].split("\n")
    assert len(code) == len(metadata["line_numbers"])
    for text, number in zip(code, metadata["line_numbers"], strict=True):
        if number is not None:
            assert text.strip() == lines[number - 1].strip()
    compile(output.data["text/x-python"], "listing", "exec")
    return output.data["text/x-python"], metadata


def test_listing_of_a_function(module: Any) -> None:
    code, metadata = listed(module.second)
    assert code == "def second():\n    return 2"
    assert metadata == {
        "kind": "listing",
        "label": "lst-x",
        "caption": "Код",
        "file": "listed.py",
        "first_line": 13,
        "last_line": 14,
        "line_numbers": [13, 14],
    }


def test_listing_of_neighbours_keeps_the_blank_lines_between_them(module: Any) -> None:
    code, metadata = listed([module.second, module.first])  # the order of the file, not of the list
    assert metadata["line_numbers"] == [9, 10, 11, 12, 13, 14]
    assert show.GAP not in code


def test_listing_shows_a_gap(module: Any) -> None:
    code, metadata = listed([module.first, module.third])
    assert (
        code.splitlines()
        == inspect.cleandoc(
            """
        def first():
            return 1

        # …

        def third():
            return 3
        """
        ).splitlines()
    )
    assert metadata["line_numbers"] == [9, 10, None, None, None, 17, 18]


def test_listing_of_members_of_a_class(module: Any) -> None:
    code, _ = listed(module.Room.empty)
    assert code.startswith("@property\ndef empty")
    code, metadata = listed([module.Room.make, module.Room.held])
    assert code.startswith("@staticmethod\ndef make")
    assert code.endswith("yield self")
    assert metadata["last_line"] == len(SOURCE.splitlines())


def test_listing_of_a_class_with_bodies_left_out(module: Any) -> None:
    code, metadata = listed((module.Room, [module.Room.make, module.Room.held]))
    assert code == textwrap.dedent(
        """\
        @dataclass
        class Room:
            size: int = 0

            @property
            def empty(self):
                return self.size == 0

            @staticmethod
            def make():
                ...

            @contextmanager
            def held(
                self,
            ):
                ..."""
    )
    assert metadata["first_line"] == 21
    assert metadata["line_numbers"][-1] is None


def test_listing_of_an_assignment_brings_its_comment_and_docstring(module: Any) -> None:
    code, metadata = listed("listed:LIMIT")
    assert code == '# How many.\nLIMIT: int = 3\n"""Users, at most."""'
    assert metadata["first_line"] == 5
    with pytest.raises(ValueError, match="assigns no NOTHING"):
        show.listing("listed:NOTHING", label="lst-x", caption="х")


def test_listing_of_a_module(module: Any) -> None:
    code, _ = listed(module)
    assert code == SOURCE.rstrip("\n")


def test_listing_without_documentation_is_the_same_code() -> None:
    """Only docstrings are missing: of the module, classes, functions, and attributes."""
    protocol = importlib.import_module("chat.core.protocol")
    output = shown(
        lambda: show.listing(protocol, label="lst-p", caption="Протокол.", documentation=False)
    )
    code = output.data["text/plain"]

    def undocumented(source: str) -> str:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                body = [
                    statement
                    for statement in node.body
                    if not (
                        isinstance(statement, ast.Expr)
                        and isinstance(statement.value, ast.Constant)
                    )
                ]
                node.body = body or [ast.Pass()]
        return ast.dump(tree)

    assert '"""' not in code
    assert undocumented(code) == undocumented(inspect.getsource(protocol))
    assert "\n\n\n" not in code


def test_listing_numbers_lines_in_html(module: Any) -> None:
    output = shown(lambda: show.listing(module.third, label="lst-x", caption="Код"))
    assert ">17  </span>" in output.data["text/html"]
    assert "(listed.py, строки 17–18)" in output.data["text/html"]


def test_listing_of_the_installed_code_names_its_file() -> None:
    output = shown(lambda: show.listing(show.table, label="lst-x", caption="Код"))
    metadata = report(output)
    assert metadata["file"] == "chat/lab/show.py"
    source = (show.ROOT / metadata["file"]).read_text(encoding="utf-8").splitlines()
    assert source[metadata["first_line"] - 1] == "def table("


def test_notes_stand_beside_their_lines(module: Any) -> None:
    notes = {"def make": "Из `Room`.", "def empty": "Пусто ли."}
    output = shown(lambda: show.listing(module.Room, label="lst-a", caption="А", notes=notes))
    lines = output.data["text/x-python"].splitlines()
    placed = report(output)["notes"]
    assert [(note["number"], note["text"]) for note in placed] == [
        (1, "Пусто ли."),
        (2, "Из `Room`."),
    ]
    assert ["def empty" in lines[placed[0]["line"]], "def make" in lines[placed[1]["line"]]] == [
        True
    ] * 2
    assert "<li>Пусто ли.</li><li>Из <code>Room</code>.</li>" in output.data["text/html"]


@pytest.mark.parametrize(("piece", "count"), [("def", 3), ("class Lobby", 0)])
def test_a_note_has_exactly_one_line(module: Any, piece: str, count: int) -> None:
    with pytest.raises(ValueError, match=f"lst-a: {piece!r} stands in {count} lines"):
        show.listing(module.Room, label="lst-a", caption="А", notes={piece: "а"})


def test_listing_refuses_parts_of_several_files(module: Any) -> None:
    with pytest.raises(ValueError, match="several files"):
        show.listing([module.first, show.table], label="lst-x", caption="х")


def test_listing_refuses_what_has_no_source() -> None:
    with pytest.raises(TypeError):
        show.listing(len, label="lst-x", caption="х")
