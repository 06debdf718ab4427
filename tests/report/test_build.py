"""The builder as a command: what it does again, what it does not, and how it fails."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat import NotebookNode

from chat.lab.terminal import with_default_signals
from report import settings

from .conftest import (
    BOOKS,
    ROOT,
    code,
    markdown,
    notebook,
    run_builder,
    start_builder,
    write_project,
)

SECONDS = 100


def write(root: Path, name: str, book: NotebookNode) -> None:
    nbformat.write(book, root / "notebooks" / "ru" / f"{name}.ipynb")  # type: ignore[no-untyped-call]


def kernels(root: Path) -> list[int]:
    """Return the processes that run in the folder of the notebooks of *root*."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(root):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {SECONDS} s"
        time.sleep(0.05)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A project of a single quick notebook."""
    root = write_project(tmp_path / "small")
    for name in list(BOOKS)[1:]:
        (root / "notebooks" / "ru" / f"{name}.ipynb").unlink()
    write(root, "01_description", notebook(markdown("# Раз"), code("print(6 * 7)")))
    return root


def test_four_files_are_named_with_their_sizes(project: Path) -> None:
    done = run_builder(project)
    for suffix in ("html", "pdf", "docx", "md"):
        assert f"build/report/ru/report.{suffix}" in done.stdout
        assert (project / "build" / "report" / "ru" / f"report.{suffix}").stat().st_size > 1000
    assert "КиБ" in done.stdout


def test_a_second_run_is_quick_and_says_why(project: Path) -> None:
    before = (project / "build" / "report" / "ru" / "report.html").stat().st_mtime_ns
    done = run_builder(project)
    assert done.returncode == 0
    assert "Исходники не изменились с прошлой сборки" in done.stdout
    assert (project / "build" / "report" / "ru" / "report.html").stat().st_mtime_ns == before


def test_built_twice_from_the_same_runs_it_is_the_same(project: Path) -> None:
    """Another process builds it again: each has its own order of sets."""
    folder = project / "build" / "report" / "ru"
    before = {path.name: path.read_bytes() for path in folder.glob("report.*")}
    assert len(before) == 4
    for name in before:
        (folder / name).unlink()
    assert start_builder(project).returncode == 0
    assert [name for name in before if (folder / name).read_bytes() != before[name]] == []


def test_only_the_changed_notebook_is_executed_again(small: Path) -> None:
    counting = code("from pathlib import Path\nlog = Path('log')\nlog.open('a').write('x')")
    write(small, "01_description", notebook(markdown("# Раз"), counting))
    write(small, "02_theory", notebook(markdown("# Два"), code("1")))
    assert run_builder(small).returncode == 0
    write(small, "02_theory", notebook(markdown("# Два"), code("2 + 40")))
    done = run_builder(small)
    assert done.returncode == 0, done.stderr
    assert (small / "notebooks" / "ru" / "log").read_text() == "x"
    assert "42" in (small / "build" / "report" / "ru" / "02_theory.md").read_text("utf-8")


def test_a_report_that_was_damaged_is_built_again(small: Path) -> None:
    assert run_builder(small).returncode == 0
    page = small / "build" / "report" / "ru" / "report.html"
    good = page.read_bytes()
    page.write_text("нет")
    (page.parent / "report.docx").unlink()
    assert run_builder(small).returncode == 0
    assert page.read_bytes() == good
    assert (page.parent / "report.docx").is_file()


def test_a_failing_cell_is_shown_and_nothing_is_left_behind(small: Path) -> None:
    assert run_builder(small).returncode == 0
    page = small / "build" / "report" / "ru" / "report.html"
    good = page.read_bytes()
    failing = code("x = 1\nassert x == 2, 'не сошлось'")
    write(small, "01_description", notebook(markdown("# Раз"), code("1"), failing))
    done = run_builder(small)
    assert done.returncode == 1
    assert "01_description.ipynb, ячейка 3 из 3, раздел «Раз»" in done.stderr
    assert "    assert x == 2, 'не сошлось'" in done.stderr
    assert "раздел «Раз»:\nAssertionError: не сошлось\n" in done.stderr
    assert "\x1b" not in done.stderr
    assert page.read_bytes() == good
    assert kernels(small) == []


def test_a_kernel_that_dies_is_told_from_a_cell_that_fails(small: Path) -> None:
    dying = code("import os\nos.write(2, 'прощай'.encode())\nos._exit(3)")
    write(small, "01_description", notebook(markdown("# Раз"), dying))
    done = run_builder(small)
    assert done.returncode == 1
    assert "01_description.ipynb, ячейка 2 из 2" in done.stderr
    assert "прощай" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_the_builder_and_the_kernel(small: Path) -> None:
    slow = code("from pathlib import Path\nPath('begun').touch()\nimport time\ntime.sleep(50)")
    write(small, "01_description", notebook(markdown("# Раз"), slow))
    builder = subprocess.Popen(
        with_default_signals([sys.executable, "-m", "report", "--root", str(small)]),
        cwd=ROOT,
        env=os.environ | {"LANGUAGE": "ru"},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until((small / "notebooks" / "ru" / "begun").exists, "the cell began")
    builder.send_signal(signal.SIGINT)
    _out, err = builder.communicate(timeout=SECONDS)
    assert builder.returncode == 130
    assert "Прервано" in err
    assert "Traceback" not in err
    wait_until(lambda: not kernels(small), "the kernel is gone")


@pytest.mark.parametrize(
    ("settings_text", "complaint"),
    [
        ("[title_page]\nstudnet = 'Аня'\n", "нет строки «studnet»"),
        ("[title_page]\nstudent = ['Аня']\n", "student должно быть текстом в кавычках"),
        ("[title_page]\nyear = 2026\nstudent = Иванова А.\n", "строке 3"),
        ('[title_page]\ncourse = "Сети "и" протоколы"\n', "прямых кавычках"),
        ("[title_page\n", "report.toml"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(
    tmp_path: Path, settings_text: str, complaint: str
) -> None:
    path = tmp_path / "report.toml"
    path.write_text(settings_text, "utf-8")
    with pytest.raises(settings.SettingsError, match=complaint):
        settings.load(path, "ru")


def test_settings_that_cannot_be_read_end_the_builder_in_a_sentence(small: Path) -> None:
    path = small / "report" / "report.toml"
    for content in (b'[title_page]\nstudent = "\xc0\xed\xff"\n', None):  # Windows-1251; gone
        path.unlink() if content is None else path.write_bytes(content)
        done = run_builder(small)
        assert done.returncode == 1
        assert "report.toml" in done.stderr
        assert "Traceback" not in done.stderr


def test_no_notebooks_are_no_report(tmp_path: Path) -> None:
    done = run_builder(tmp_path)
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr


def test_help_is_russian_and_a_bad_option_ends_with_status_2(tmp_path: Path) -> None:
    helped = run_builder(tmp_path, "--help")
    assert helped.returncode == 0
    assert "Выполняет блокноты" in helped.stdout
    refused = run_builder(tmp_path, "--lang", "xx")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_an_empty_title_page_leaves_the_year(tmp_path: Path) -> None:
    (tmp_path / "report.toml").write_text("[title_page]\nyear = ''\n")
    page = settings.load(tmp_path / "report.toml", "ru")
    assert page.title == ""
    assert page.year.isdigit()


def test_an_edition_has_its_own_words_for_the_title_page(tmp_path: Path) -> None:
    path = tmp_path / "report.toml"
    path.write_text("[title_page]\ntitle = 'Чат'\nyear = 2026\n[title_page.en]\ntitle = 'A chat'\n")
    assert settings.load(path, "ru").title == "Чат"
    english = settings.load(path, "en")
    assert (english.title, english.year) == ("A chat", "2026")
    path.write_text("[title_page.en]\nsubject = 'A chat'\n")
    with pytest.raises(settings.SettingsError, match="subject"):
        settings.load(path, "en")


def test_two_editions_are_built_and_link_to_each_other(small: Path) -> None:
    english = small / "notebooks" / "en"
    english.mkdir()
    nbformat.write(notebook(markdown("# One"), code("6 * 7")), english / "01_description.ipynb")  # type: ignore[no-untyped-call]
    done = run_builder(small)
    assert done.returncode == 0, done.stderr
    for lang, other, words in (("ru", "en", "In English"), ("en", "ru", "По-русски")):
        folder = small / "build" / "report" / lang
        assert f'<a href="../{other}/report.html"' in (folder / "report.html").read_text("utf-8")
        assert f"[{words}](../{other}/report.md)" in (folder / "report.md").read_text("utf-8")
    assert "Fonts" not in (small / "build" / "report" / "ru" / "report.html").read_text("utf-8")
    (small / "build" / "report" / "ru" / "report.md").unlink()
    done = run_builder(small, "--lang", "en")
    assert done.returncode == 0
    assert not (small / "build" / "report" / "ru" / "report.md").exists()


def test_an_edition_that_says_other_things_is_left_out_with_a_sentence(small: Path) -> None:
    """Whoever writes in Russian has a report without translating; see `report.edition`."""
    catalogue = small / "report" / "editions" / "en" / "01_description.po"
    catalogue.parent.mkdir(parents=True)
    catalogue.write_text('msgid ""\nmsgstr ""\n\nmsgid "# Раз"\nmsgstr "# One"\n', "utf-8")
    russian = small / "notebooks" / "ru" / "01_description.ipynb"
    english = small / "notebooks" / "en" / "01_description.ipynb"
    english.parent.mkdir()
    english.write_text(russian.read_text("utf-8").replace("# Раз", "# One"), "utf-8")
    done = run_builder(small)
    assert "build/report/en/report.html" in done.stdout
    for change in ("print(6 * 8)", "print('по-русски')"):
        text = english.read_text("utf-8").replace("# One", "# Раз").replace("print(6 * 7)", change)
        russian.write_text(text, "utf-8")
        done = run_builder(small)
        assert done.returncode == 0, done.stderr
        assert "«en» пропущено" in done.stderr
        assert "build/report/ru/report.html" in done.stdout
        assert "build/report/en/report.html" not in done.stdout
        page = small / "build" / "report" / "ru" / "report.html"
        assert "../en/report.html" not in page.read_text("utf-8"), "a link to nowhere"
    assert run_builder(small, "--lang", "en").returncode == 0


def test_watching_builds_what_changes_until_ctrl_c(small: Path) -> None:
    """Also what is saved while the first report is built, before anything is watched."""
    save = "from pathlib import Path\nPath('../../report/report.toml').write_text('')"
    write(small, "01_description", notebook(markdown("# Раз"), code(save)))
    command = [sys.executable, "-m", "report", "--root", str(small), "--watch"]
    with subprocess.Popen(
        with_default_signals(command),
        cwd=ROOT,
        env=os.environ | {"LANGUAGE": "ru"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            waiting = (line for line in process.stdout if "Жду изменений" in line)
            assert next(waiting)
            assert next(waiting)
            assert "Чат" not in (small / "build/report/ru/report.md").read_text("utf-8")
            page = small / "build" / "report" / "ru" / "01_description.md"
            write(small, "01_description", notebook(markdown("# Раз"), code("7 * 11")))
            assert next(waiting)
            assert "77" in page.read_text("utf-8")
            write(small, "01_description", notebook(markdown("# Раз"), code("1 / 0")))
            assert next(waiting)  # a failure does not end it
            write(small, "01_description", notebook(markdown("# Раз"), code("9 * 11")))
            assert next(waiting)
            assert "99" in page.read_text("utf-8")
            process.send_signal(signal.SIGINT)
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()


def test_an_empty_title_page_still_makes_a_report(small: Path) -> None:
    (small / "report" / "report.toml").write_text("")
    done = run_builder(small)
    assert done.returncode == 0, done.stderr
    assert "<h1>Отчёт</h1>" in (small / "build" / "report" / "ru" / "report.html").read_text(
        "utf-8"
    )
