"""Scenarios: the real programs are played and photographed, and a play that goes wrong is seen."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

import screenshots
from chat.app.i18n import language, set_language
from chat.lab.terminal import ScreenTimeout
from screenshots import stage as stage_module
from screenshots.scenarios import Scenario, all_scenarios
from screenshots.stage import Person, Stage, says

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True, scope="session")
def resource_tracker_runs() -> None:
    """Start Python's own helper of all processes, which lives as long as we do, before we count."""
    resource_tracker.ensure_running()


@pytest.fixture(autouse=True)
def russian() -> Iterator[None]:
    before = language()
    set_language("ru")
    yield
    set_language(before)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gallery")


@pytest.fixture(scope="module")
def steps(folder: Path) -> list[tuple[int, int, str]]:
    """Take all pictures; return what the progress bar was told."""
    (folder / "99_gone.png").write_bytes(PNG)
    steps: list[tuple[int, int, str]] = []
    screenshots.take("ru", lambda *step: steps.append(step), folder=folder)
    return steps


class TestGallery:
    @pytest.mark.timeout(120)
    def test_every_scenario_gives_its_picture(
        self, folder: Path, steps: list[tuple[int, int, str]]
    ) -> None:
        names = [scenario.name for scenario in all_scenarios()]
        found = sorted(path.name for path in folder.iterdir())
        assert found == [f"{n:02}_{name}.png" for n, name in enumerate(names, start=1)]
        assert [step[0] for step in steps] == list(range(1, len(names) + 1))
        assert {step[1] for step in steps} == {len(names)}
        assert {step[2] for step in steps} == set(names)

    @pytest.mark.usefixtures("steps")
    def test_the_gallery_tells_what_was_typed(self, folder: Path) -> None:
        shots = {shot.name: shot for shot in screenshots.gallery("ru", folder)}
        commands = shots["private-message"].commands
        assert ("Сервер", "python -m chat.server --port 0") in commands
        assert ("Аня", "/msg Боря Встретимся в шесть?") in commands
        assert ("Аня", "•" * 28) in shots["shutdown"].commands
        assert all(shot.path.read_bytes().startswith(PNG) for shot in shots.values())
        assert all(shot.situation and shot.caption and shot.alt for shot in shots.values())

    @pytest.mark.usefixtures("steps")
    def test_it_speaks_the_language_asked_for_and_leaves_ours_alone(self, folder: Path) -> None:
        set_language("ru")
        russian = all_scenarios()[0].caption
        set_language("en")
        assert all_scenarios()[0].caption != russian
        assert screenshots.gallery("ru", folder)[0].caption == russian
        assert language() == "en"

    @pytest.mark.usefixtures("steps")
    def test_pictures_taken_here_come_before_the_published_ones(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copytree(folder, tmp_path / "published" / "ru")
        monkeypatch.setattr(screenshots, "FOLDER", tmp_path / "published")
        monkeypatch.setattr(screenshots, "TAKEN", tmp_path / "taken")
        assert screenshots.gallery("ru")[0].path.parent == tmp_path / "published" / "ru"
        shutil.copytree(folder, tmp_path / "taken" / "ru")
        assert screenshots.gallery("ru")[0].path.parent == tmp_path / "taken" / "ru"


def test_some_scenarios_in_english(tmp_path: Path) -> None:
    paths = screenshots.take("en", only=["exit", "private-message"], folder=tmp_path)
    assert [path.name for path in paths] == ["06_private-message.png", "13_exit.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in paths]


def test_an_unknown_scenario_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(screenshots.UnknownScenarioError, match="server-start"):
        screenshots.take("ru", only=["nonsense"], folder=tmp_path)
    assert screenshots.main(["nonsense"]) == 1
    assert "nonsense" in capsys.readouterr().err


def test_a_scenario_that_goes_another_way_is_told_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(stage: Stage) -> stage_module.Picture:
        anya = stage.person("Аня")
        anya.enter("echo раз")
        anya.sees("два")
        return stage.picture([anya])

    scenario = Scenario("wrong", "Не так", "", "", wrong)
    monkeypatch.setattr(stage_module, "PATIENCE", 0.5)
    monkeypatch.setattr(screenshots, "all_scenarios", lambda: [scenario])
    with pytest.raises(ScreenTimeout) as caught:
        screenshots._play("ru", "wrong", tmp_path / "07_wrong.png")
    told = str(caught.value)
    for fact in ("07_wrong.png", "wrong: «Не так»", "Аня: echo раз", "│ раз", "функция wrong"):
        assert fact in told


def test_the_scenarios_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert screenshots.main(["--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [scenario.name for scenario in all_scenarios()]


class TestStage:
    @pytest.fixture
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stage_module, "PATIENCE", 0.5)

    def test_what_does_not_come_is_complained_of(self, stage: Stage, impatient: None) -> None:
        person = stage.person("Аня")
        person.enter("echo раз")
        with pytest.raises(ScreenTimeout, match="│ раз"):
            person.sees(says("два"))

    def test_order_matters(self, stage: Stage, impatient: None) -> None:
        person = stage.person("Аня")
        person.enter("printf 'раз\\nдва\\n'")
        person.sees(r"\nраз", r"\nдва")
        with pytest.raises(ScreenTimeout):
            person.sees(r"\nдва", r"\nраз")

    def test_what_nobody_should_see_is_found(self, stage: Stage) -> None:
        person = stage.person("Вера")
        person.enter("printf '%45s%s\\n' - 'тайна, длиннее строки'")
        person.sees(r"-тайна, длиннее строки")
        person.has_not_seen("другая тайна")
        with pytest.raises(ScreenTimeout, match=r"Вера.*тайна"):
            person.has_not_seen("тайна, длиннее")

    def test_a_wrong_exit_status_is_found(self, stage: Stage, impatient: None) -> None:
        person = stage.person("Аня")
        person.enter("false")
        person.sees("false")
        person.asks_status(1)
        person.enter("true")
        person.sees("true")
        with pytest.raises(ScreenTimeout):
            person.asks_status(7)

    def test_a_window_that_is_busy_is_not_at_rest(self, stage: Stage, impatient: None) -> None:
        person = stage.person("Аня")
        person.begin("недописа")
        person.sees("недописа")
        assert stage.typed == [("Аня", "недописа…")]
        with pytest.raises(ScreenTimeout):
            stage.picture([person])

    def test_passwords_are_not_listed(self, stage: Stage) -> None:
        person = stage.person("Аня")
        # It asks once the echo is off: what is typed before that may be thrown away (TCSAFLUSH).
        person.enter("python -c \"import getpass; getpass.getpass('слово? '); print('прочитано')\"")
        person.sees(r"\nслово\?")
        person.enter_secret("сезам")
        person.sees(r"\nпрочитано")
        assert stage.typed[-1] == ("Аня", "•••••")

    def test_every_window_is_closed_in_the_end(self, tmp_path: Path) -> None:
        with Stage(tmp_path) as stage:
            people: list[Person] = [stage.person("Аня"), stage.server()]
        for person in people:
            assert not Path(f"/proc/{person.terminal.pid}").exists()


class TestSays:
    @pytest.mark.parametrize(
        ("screen", "found"),
        [
            ("Аня теперь в чате", True),
            ("Аня теперь\nв   чате", True),
            ("Боря теперь в чате", False),
            ("Аня теперьвчате", False),
        ],
    )
    def test_fields_and_blanks(self, screen: str, found: bool) -> None:
        pattern = says("{nick} теперь в чате", nick="Аня")
        assert bool(re.search(pattern, screen)) is found

    def test_a_field_not_given_may_hold_anything(self) -> None:
        assert re.search(says("порт {text!r}: {why}."), "порт '7': нет.")
        assert not re.search(says("порт {text!r}: {why}."), "порт : .")
