"""The two kinds of files that a teacher writes: what they may say, and what is said of errors."""

from pathlib import Path

import pytest

from .checks import Outcome
from .engine import ALL_CHECKS, Grading, grade
from .rubric import RUBRIC, DataError, Rubric, read_rubric
from .stage import Stage
from .submission import Submission, read_submission

GOOD = Path(__file__).with_name("examples") / "good"


def rubric(folder: Path, text: str) -> Rubric:
    path = folder / "rubric.toml"
    path.write_text(text, encoding="utf-8")
    return read_rubric(path, ALL_CHECKS)


def submission(folder: Path, text: str) -> Submission:
    path = folder / "submission.toml"
    path.write_text(text, encoding="utf-8")
    return read_submission(path)


MINIMAL = """
[server]
command = ["python", "server.py", "{port}"]
[client]
command = ["python", "client.py", "{port}"]
"""


def test_the_courses_rubric_is_worth_100_points() -> None:
    course = read_rubric(RUBRIC, ALL_CHECKS)
    assert sum(requirement.points for requirement in course.requirements) == 100
    assert all(set(requirement.titles) == {"ru", "en"} for requirement in course.requirements)


@pytest.mark.usefixtures("english")
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("title = ", "rubric.toml"),
        ('title = "a"', "requirement"),
        ('[[requirement]]\nid = "x"', "points"),
        ('title = "a"\n[[requirement]]\nid = "flying"\npoints = 1\ntitle = "x"', "flying"),
        ('title = "a"\n[[requirement]]\nid = "starts"\npoints = -1\ntitle = "x"', "points"),
        ('title = "a"\n[[requirement]]\nid = "starts"\npoints = "1"\ntitle = "x"', "points"),
        ('title = "a"\n[[requirement]]\nid = "starts"\npoints = 1\ntitle = "x"\nn = 1', "clients"),
        ('title = "a"\n[[requirement]]\nid = "starts"\npoints = 1', "title"),
        ('title = "a"\n' + '[[requirement]]\nid = "starts"\npoints = 1\ntitle = "x"\n' * 2, "two"),
        (
            'title="a"\n[limits]\nmemory_mb = 0\n[[requirement]]\nid="starts"\npoints=1\ntitle="x"',
            "memory",
        ),
    ],
)
def test_a_wrong_rubric_is_said(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        rubric(tmp_path, text)


@pytest.mark.usefixtures("english")
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[server]\ncommand = ['a']\nport = 1", "client"),
        ("[server]\ncommand = ['a']\n[client]\ncommand = ['b']", "port"),
        (MINIMAL + "colour = 'red'", "colour"),
        (MINIMAL + "login = [{pause = 3}]", "pause"),
        (MINIMAL + "ready = {re = '('}", "regular expression"),
        (MINIMAL + "ready = ''", "ready"),
        ("names = ['a', 'b']\n" + MINIMAL, "five"),
        (MINIMAL + "leave = {key = 'f13'}", "ctrl-c"),
        (MINIMAL + "[log]\nfiles = ['/tmp/chat.log']", "/tmp/chat.log"),
        (MINIMAL + "[report]\nfiles = ['']", "no path"),
    ],
)
def test_a_wrong_submission_file_is_said(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        submission(tmp_path, text)


def test_signs_are_words_or_regular_expressions(tmp_path: Path) -> None:
    one = submission(
        tmp_path, MINIMAL + "ready = ['Hello, {name}!', {re = '{name}: \\d{2}'}]\n"
    ).signs["ready"]
    pattern = one.pattern(name="a.b")
    assert pattern.search("Hello,\n a.b!")
    assert pattern.search("a.b: 42")
    assert not pattern.search("aXb: 42")
    assert one.words(name="anna").startswith("«Hello, anna!»")


@pytest.mark.usefixtures("english")
def test_an_unknown_requirement_to_skip_is_said(tmp_path: Path) -> None:
    one = submission(tmp_path, MINIMAL + "[skip]\nflying = 'no wings'")
    with pytest.raises(DataError, match="flying"):
        Grading(one, read_rubric(RUBRIC, ALL_CHECKS))


def test_a_teacher_writes_a_requirement_without_python(tmp_path: Path) -> None:
    text = """
    title = "t"
    [waiting]
    patience = 1
    [[requirement]]
    id = "greeting"
    check = "dialogue"
    points = 2
    title = "{name} is greeted"
    lines = [
        {user = 1, says = "hello, {2}"},
        {user = 2, sees = "hello, boris"},
        {user = 2, says = "psst", to = 1},
        {user = 1, sees_re = "шепчет.*psst"},
        {user = 3, sees_not = "psst"},
    ]
    [[requirement]]
    id = "wrong"
    check = "dialogue"
    points = 2.5
    title = "what nobody sees"
    lines = [{user = 1, types = "кто"}, {user = 1, sees = "nobody says this"}]
    """
    reached = grade(read_submission(GOOD / "submission.toml"), rubric(tmp_path, text))
    assert [result.points for result in reached.results] == [2, 0]
    assert "«nobody says this»" in reached.results[1].reason
    assert reached.possible == 4.5


@pytest.mark.usefixtures("english")
def test_when_time_is_over_the_rest_is_told_so(tmp_path: Path) -> None:
    text = RUBRIC.read_text(encoding="utf-8").replace("seconds = 600", "seconds = 0.001")
    reached = grade(
        read_submission(GOOD / "submission.toml"), rubric(tmp_path, text), only=["broadcast"]
    )
    assert reached.points == 0
    assert "time" in reached.results[0].reason


def test_what_is_reached_in_part_gets_a_part(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def half(_stage: Stage) -> Outcome:
        return Outcome(0.5, "one of two")

    monkeypatch.setitem(ALL_CHECKS, "broadcast", half)
    monkeypatch.setattr("tests.grading.engine.CHECKS", ALL_CHECKS)
    one = read_submission(GOOD / "submission.toml")
    reached = grade(one, read_rubric(RUBRIC, ALL_CHECKS), only=["broadcast"])
    assert reached.points == 2.5
    assert not reached.is_full
