"""What is believed of a chat, and what is asked instead."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from . import clues, describe, search
from .clues import Offer
from .describe import toml
from .findings import Findings, Teacher
from .mutants import GOOD, copied
from .signs import common, holds, template
from .submission import read_submission

# Signs


@pytest.mark.parametrize(
    "line",
    [
        "[{time}] {name}: {text}",
        "{time} <{name}> {text}",
        "#{n} {name} says {text}",
        "({n} online, {address}) {name}: {text}",
    ],
)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("12:30", "12:31"),
        ("28.11.2026 09:05:59", "29.11.2026 10:00:00"),
        ("Sat Nov 28 08:27:41 2026", "Sun Dec  6 18:27:41 2026"),
        ("2026-11-28T08:27:41.123Z", "2026-12-01T00:00:00Z"),
        ("28 ноября, 9:05 AM", "1 декабря, 10:15 PM"),
        ("сб 28 нояб.", "вс 29 нояб."),
    ],
)
def test_what_never_comes_again_is_no_part_of_a_sign(line: str, first: str, second: str) -> None:
    moments = [
        line.format(time=first, n=7, address="127.0.0.1:40000", name="anna", text="text101"),
        line.format(time=second, n=31, address="10.0.0.8:5", name="boris", text="text102"),
    ]
    templates = [
        template(moment, {"name": name, "text": text})
        for moment, name, text in zip(
            moments, ("anna", "boris"), ("text101", "text102"), strict=True
        )
    ]
    [sign, *_others] = common(templates[:1], templates[1:], need=("{name}", "{text}"))
    tomorrow = line.format(
        time="01.01.2030 23:59", n=1000, address="192.168.0.1:1", name="vera", text="hello"
    )
    assert holds(sign, tomorrow, {"name": "vera", "text": "hello"})
    assert not holds(sign, tomorrow, {"name": "gleb", "text": "hello"})
    assert not any(character.isdigit() for character in str(sign))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        ("ConnectionRefusedError: [Errno 111]", "ConnectionRefusedError: [Errno 111]"),
        ("{name}", "{name}"),
        (">>>", ">>>"),
        ("12:30", "12:30"),
    ],
)
def test_what_says_nothing_is_no_sign(first: str, second: str) -> None:
    assert not common([first], [second])


# Prompts, commands, arguments


@pytest.mark.parametrize(
    ("prompt", "what"),
    [
        ("Enter your name: ", "{name}"),
        ("Добро пожаловать! Как вас зовут?", "{name}"),
        ("Введите IP-адрес сервера:", "{host}"),
        ("Имя сервера:", "{host}"),
        ("Порт сервера (по умолчанию 5000):", "{port}"),
        ("Server port:", "{port}"),
        ("Enter password:", "{password}"),
        ("Пароль:", "{password}"),
        ("Кому:", "{to}"),
        ("Имя получателя:", "{to}"),
        ("Введите сообщение:", "{text}"),
        ("Register? (yes/no)", "yes"),
        ("Зарегистрироваться? (да/нет)", "да"),
        ("Do you already have an account? [y/n]", "n"),
        (">", ""),
    ],
)
def test_what_a_prompt_asks_for(prompt: str, what: str) -> None:
    assert clues.wanted(prompt) == what


def test_commands_are_read_off_menus_and_help() -> None:
    screen = """
    1. Написать всем   2. Написать одному
    [3] Кто в чате
    /msg NAME TEXT - private message
    !who : who is online
    кто - список пользователей
    # — кто тут, q — уйти
    Type /quit to leave
    """
    found = {one.word: one for one in clues.offers(screen)}
    assert {"1", "2", "3", "/msg", "!who", "кто", "#", "/quit"} <= set(found)
    assert found["2"].rank("private") > found["1"].rank("private")
    assert found["3"].rank("users")
    assert Offer("/quit").rank("leave")


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("HOST, PORT = sys.argv[1], int(sys.argv[2])", ("{host}", "{port}")),
        ("_, host, port, nick = sys.argv", ("{host}", "{port}", "{name}")),
        ("имя = sys.argv[1]", ("{name}",)),
        ("p.add_argument('host')\np.add_argument('port', type=int)", ("{host}", "{port}")),
        (
            "p.add_argument('-p', '--port')\np.add_argument('-v', action='store_true')",
            ("--port", "{port}"),
        ),
        ("p.add_argument('--nick', required=True)", ("--nick", "{name}")),
    ],
)
def test_arguments_are_read_off_the_code(
    code: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "client.py").write_text(f"s.connect(())\n{code}\nmain()\n", encoding="utf-8")
    first, *_others = clues.commands(tmp_path, "client")
    assert first == ["python", "client.py", *arguments]


def test_one_file_for_both_is_told_which_to_be(tmp_path: Path) -> None:
    code = "s.listen()\nc.connect(())\n{'hub': srv, 'talk': cli}[sys.argv[1]](int(sys.argv[2]))\n"
    (tmp_path / "chat.py").write_text(code)
    for role in ("server", "client"):
        found = list(clues.commands(tmp_path, role))
        assert ["python", "chat.py", "hub", "{port}"] in found
        assert ["python", "chat.py", "talk", "{port}"] in found


def test_commands_that_stood_there_before_the_login_are_tried(tmp_path: Path) -> None:
    window = SimpleNamespace(before="1. Войти\n# — кто тут, ! — уйти", welcome="", mark=0, text="")
    play: Any = SimpleNamespace(
        folder=tmp_path,
        findings=Findings(Teacher()),
        window_of=lambda _name: window,
        types=lambda _window, _line: None,
        back=lambda window: window,
    )
    found = search.Search(play)
    found.ask_for_help()
    assert [one.word for one in found.offers] == ["#"], "no item of the menu that let them in"
    found.offers += [Offer(f":{letter}") for letter in "abcdefgh"]
    tried = [str(steps[0]) for steps in found._likely("private")]
    assert tried.index(":h {to} {text}") < tried.index(":a{to} {text}"), (
        "each word before each form"
    )


# The teacher


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("english")
def test_what_is_not_found_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clues, "words_in", lambda _folder: [])
    monkeypatch.setattr(search, "USUAL", dict.fromkeys(search.USUAL, ""))
    place = copied("good", tmp_path)
    server = place / "server.py"
    code = server.read_text("utf-8")
    assert "in self.history:" in code
    server.write_text(code.replace("in self.history:", "in self.history[-2:]:"), "utf-8")
    answers = {
        "one": ["/wrong {to} {text}", "@{to} {text}"],
        "who is": ["кто"],
        "before": ["/wrong", "/also wrong", "было"],  # these two are the last that was said
    }
    said: list[str] = []
    shown: list[tuple[object, object]] = []

    def ask(question: str) -> str:
        for word, rest in answers.items():
            if word in question and rest:
                return rest.pop(0)
        return ""

    teacher = Teacher(ask, said.append, lambda *pair: shown.append(pair))
    tried = describe.describe(place, teacher)
    failures = said.count("  That did not work.")
    assert failures == 3
    assert len(shown) > failures, "the screens are shown after every failure"
    assert tried.steps["private"] == ["@{to} {text}"]
    assert tried.steps["users"] == ["кто"]
    assert tried.steps["history"] == ["было"]
    assert set(tried.questions) == {"leave"}
    text = toml(place, tried)
    assert '# ? leave = "…"  # What is typed to leave the chat?' in text
    (place / "submission.toml").write_text(text, encoding="utf-8")
    assert "leave" not in read_submission(place / "submission.toml").steps


@pytest.mark.usefixtures("english")
def test_what_cannot_be_started_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "server.py").write_text("import socket\nsocket.socket().listen(\n")
    assert describe.main([str(tmp_path), "--yes", "--lang", "en"]) == 1
    complaint = capsys.readouterr().err
    assert "--server" in complaint
    assert "SyntaxError" in complaint


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("english")
def test_a_bad_grade_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "good"
    shutil.copytree(GOOD, place)
    path = place / "submission.toml"
    path.write_text(
        path.read_text("utf-8").replace("Здравствуйте, {name}! В чате:", "Hello, {name}!")
    )
    rubric = tmp_path / "rubric.toml"
    rubric.write_text(
        'title = "t"\n[[requirement]]\nid = "starts"\npoints = 1\ntitle = "x"\nclients = 1\n'
    )
    monkeypatch.setattr(describe, "RUBRIC", rubric)
    said: list[str] = []
    describe.explain(place, said.append)
    text = "\n".join(said)
    assert "The sign ready never came in the window “anna”: «Hello, anna!»" in text
    assert "│ Здравствуйте, anna! В чате: пока никого" in text
