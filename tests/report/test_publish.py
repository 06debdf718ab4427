"""``make publish``: what it refuses, and that a published report is complete where it lies."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from report import build, digest, publish
from report.build import Place

from .conftest import run_builder


def git(root: Path, *arguments: str) -> str:
    names = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    return subprocess.run(
        ["git", *names, *arguments], cwd=root, capture_output=True, text=True, check=True
    ).stdout


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "one")


@pytest.fixture(scope="module")
def clone(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small project in a repository, built from what is committed there."""
    root = tmp_path_factory.mktemp("published") / "clone"
    shutil.copytree(project, root)
    (root / ".gitignore").write_text("build/\n")
    git(root, "init", "--quiet")
    commit(root)
    assert run_builder(root).returncode == 0
    return root


@pytest.fixture
def place(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A copy of that, for one test."""
    root = tmp_path / "clone"
    shutil.copytree(clone, root)
    place = Place(root, "ru")
    # Its only screenshot is the one that its fourth chapter shows.
    place.screenshots.mkdir(parents=True)
    taken = place.screenshots / "01_shot.png"
    shutil.copy(root / "notebooks" / "ru" / "shot.png", taken)
    monkeypatch.setattr("screenshots.pictures", lambda folder: {"shot": folder / taken.name})
    return place


def test_building_changes_nothing_that_git_keeps(place: Place) -> None:
    assert git(place.root, "status", "--porcelain") == ""


def test_what_is_fresh_and_complete_is_published(place: Place) -> None:
    assert list(publish.complaints([place])) == []
    publish.publish(place)
    for suffix in ("html", "pdf", "docx"):
        name = f"report.{suffix}"
        assert (place.published / name).read_bytes() == (place.output / name).read_bytes()
    text = "\n".join(path.read_text("utf-8") for path in place.published.glob("*.md"))
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert "../../screenshots/ru/01_shot.png" in pictures
    assert all((place.published / picture).resolve().is_file() for picture in pictures)
    contents = [path.read_bytes() for path in place.root.glob("[rs]*/ru/**/*.png")]
    assert len(contents) == len(set(contents)) > 0, "a picture is stored twice"


def test_a_report_says_from_which_version_it_was_built(place: Place) -> None:
    version = git(place.root, "log", "-1", "--abbrev=10", "--format=%h").strip()
    assert version in (place.output / "report.md").read_text("utf-8")
    # A commit of something else, such as the published report, makes no other version of it.
    publish.publish(place)
    commit(place.root)
    assert build.is_fresh(place)
    assert digest.version(place.root).startswith(version)


def test_what_was_built_from_other_sources_is_refused(place: Place) -> None:
    (place.root / "report" / "report.toml").write_text("[title_page]\n")
    [complaint] = publish.complaints([place])
    assert "build/report/ru" in complaint
    assert "make report" in complaint


def test_what_no_commit_has_is_refused(place: Place) -> None:
    (place.root / "report" / "report.toml").write_text("[title_page]\n")
    assert run_builder(place.root).returncode == 0
    [complaint] = publish.complaints([place])
    assert "commit" in complaint or "коммит" in complaint


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda place: (place.screenshots / "01_shot.png").unlink(), "01_shot.png"),
        (lambda place: (place.screenshots / "02_old.png").touch(), "02_old.png"),
        (lambda place: (place.output / "figures" / "fig-one.svg").unlink(), "fig-one.svg"),
        (lambda place: (place.output / "figures" / "old.svg").touch(), "old.svg"),
        (lambda place: (place.output / "figures" / "a.svg").write_bytes(bytes(13_000_000)), "13"),
    ],
)
def test_what_is_incomplete_or_too_heavy_is_refused(place: Place, damage, said: str) -> None:  # type: ignore[no-untyped-def]
    damage(place)
    complaints = list(publish.complaints([place]))
    assert any(said in complaint for complaint in complaints), complaints


def test_editions_that_differ_are_refused(place: Place) -> None:
    other = Place(place.root, "en")
    shutil.copytree(place.output, other.output)
    page = other.output / "report.html"
    page.write_text(page.read_text("utf-8").replace('id="fig-one"', 'id="fig-two"'), "utf-8")
    found = list(publish._different([place, other]))
    assert len(found) == 1
    assert len(list(publish._incomplete(other))) >= 2, "Russian words, a name given twice"
