"""How one submission is graded: by stages, without a network of its own, with a server outside."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chat.lab.terminal import clean_environment

from . import __main__ as script
from . import output
from .engine import ALL_CHECKS, grade
from .mutants import GOOD, quick_rubric
from .papers import style
from .rubric import RUBRIC, DataError, Rubric, read_rubric
from .submission import Submission, read_submission

SUBMISSION = GOOD / "submission.toml"


@pytest.fixture
def with_server(tmp_path: Path) -> Callable[[str], Submission]:
    """Return the good chat with another code of its server."""

    def write(code: str) -> Submission:
        place = tmp_path / "petrov"
        shutil.copytree(GOOD, place)
        (place / "server.py").write_text(code, encoding="utf-8")
        return read_submission(place / "submission.toml")

    return write


@pytest.fixture
def quick(tmp_path: Path) -> Rubric:
    return read_rubric(quick_rubric(tmp_path), ALL_CHECKS)


def test_each_stage_requires_more_than_the_one_before() -> None:
    course = read_rubric(RUBRIC, ALL_CHECKS)
    first, second, last = (course.at_stage(number) for number in (1, 2, 3))
    ids = [{one.id for one in stage.requirements} for stage in (first, second, last)]
    assert ids[0] < ids[1] < ids[2]
    assert ids[2] == {one.id for one in course.requirements}
    assert [stage.requirements[0].settings["clients"] for stage in (first, last)] == [1, 3]
    with pytest.raises(DataError):
        course.at_stage(4)


@pytest.mark.timeout(120)
def test_the_first_week_needs_one_client(
    with_server: Callable[[str], Submission], quick: Rubric
) -> None:
    one = "threads.append(threading.Thread(target=client.read))"
    code = (GOOD / "server.py").read_text("utf-8")
    assert one in code
    submission = with_server(code.replace(one, f"assert not threads\n                {one}"))
    only = ["starts", "threads", "shutdown_announced"]
    assert grade(submission, quick.at_stage(1), only=only).is_full
    assert not grade(submission, quick.at_stage(3), only=["starts"]).is_full


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("english")
def test_another_servers_answer_is_not_the_submissions(tmp_path: Path, quick: Rubric) -> None:
    """Where there is no network of its own: its server is dead, and another has its port."""
    place = tmp_path / "dead"
    shutil.copytree(GOOD, place)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    text = (place / "submission.toml").read_text("utf-8")
    text = text.replace('server.py", "{port}"]', f'server.py", "{port}"]\nport = {port}', 1)
    (place / "submission.toml").write_text(text, encoding="utf-8")
    submission = read_submission(place / "submission.toml")
    alone = grade(submission, quick, only=["broadcast"], own_network=False)
    assert alone.is_full, alone.results[0].reason
    another = subprocess.Popen(
        [sys.executable, str(GOOD / "server.py"), str(port)],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
    )
    with another:
        assert another.stdout is not None
        another.stdout.readline()
        taken = grade(submission, quick, only=["broadcast"], own_network=False)
        another.kill()
    assert taken.results[0].share is None, "it is not graded, rather than graded wrongly"
    assert str(port) in taken.results[0].reason


@pytest.mark.timeout(120)
def test_missing_packages_are_named_only_where_points_were_lost(
    with_server: Callable[[str], Submission], quick: Rubric
) -> None:
    submission = with_server((GOOD / "server.py").read_text("utf-8"))
    (submission.folder / "extra.py").write_text("import nothing_of_the_kind\n")
    full = grade(submission, quick, only=["broadcast"])
    assert full.is_full, full.results[0].reason
    assert not any("nothing_of_the_kind" in note for note in full.notes)
    (submission.folder / "server.py").write_text("import nothing_of_the_kind\n")
    lost = grade(submission, quick, only=["broadcast"])
    assert any("nothing_of_the_kind" in note for note in lost.notes)


@pytest.mark.timeout(120)
def test_a_server_that_runs_outside_is_graded(tmp_path: Path, quick: Rubric) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, str(GOOD / "server.py"), str(port)],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
    ) as server:
        assert server.stdout is not None
        server.stdout.readline()
        submission = read_submission(SUBMISSION)
        only = ["threads", "unique_name", "bursts", "bad_bytes", "shutdown_announced"]
        reached = grade(submission, quick, only=only, external_port=port)
        assert server.poll() is None, "it is left alone"
        server.kill()
    shares = {one.requirement.id: one.share for one in reached.results}
    assert shares.pop("shutdown_announced") is None
    assert set(shares.values()) == {1.0}, [one.reason for one in reached.results]
    nobody = grade(read_submission(SUBMISSION), quick, only=["starts"], external_port=port)
    assert nobody.points == 0


@pytest.mark.usefixtures("english")
@pytest.mark.parametrize("fault", ["description", "grader"])
def test_there_is_a_result_in_every_case(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    description = tmp_path / "petrov" / "submission.toml"
    description.parent.mkdir()
    description.write_text(
        "name = 'x'" if fault == "description" else SUBMISSION.read_text("utf-8")
    )

    def broken(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(script, "grade", broken)
    files = tmp_path / "results.json", tmp_path / "page.md"
    status = script.main(
        f"--lang en --submission {description}".split()
        + f"--grade-json {files[0]} --grade-md {files[1]}".split()
    )
    assert status == 2
    document = json.loads(files[0].read_text("utf-8"))
    assert document["score"] == 0
    assert document["extra_data"]["max_score"] == 100
    assert "not the student's fault" in document["output"]
    assert ("ZeroDivisionError" in document["output"]) == (fault == "grader")
    assert "not the student's fault" in files[1].read_text("utf-8")


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("english")
@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("while True: pass", "was busy all the time"),
        ("while True: print('waiting for clients')", "was busy all the time"),
        ("raise SystemExit('no more today')", r"The program has ended"),
        ("import os\nos.abort()", "The program was ended by SIGABRT"),
    ],
)
def test_a_server_that_does_not_serve_has_one_reason(
    code: str, sentence: str, with_server: Callable[[str], Submission]
) -> None:
    rubric = read_rubric(RUBRIC, ALL_CHECKS)
    only = ["starts", "broadcast", "private"]
    started = time.monotonic()
    reached = grade(with_server(code), rubric, only=only)
    assert time.monotonic() - started < rubric.longest_wait
    assert reached.points == 0
    assert sentence in reached.results[0].reason
    assert ("no more today" in reached.crash) == ("no more" in code)
    page = output.markdown(reached)
    assert page.count("shows:") <= 2, "one reason for all"


@pytest.mark.usefixtures("english")
def test_a_server_that_used_up_its_processor_time_is_told_so(
    with_server: Callable[[str], Submission], tmp_path: Path
) -> None:
    path = tmp_path / "rubric.toml"
    path.write_text(
        'title = "t"\n[limits]\ncpu_seconds = 1\n'
        '[[requirement]]\nid = "starts"\npoints = 1\ntitle = "x"\n'
    )
    reached = grade(with_server("while True: pass"), read_rubric(path, ALL_CHECKS))
    assert "It used more than 1 s of processor time, and was ended." in reached.results[0].reason
    assert "It used more than 1 s" in reached.crash, "there is a mark in the table"


@pytest.mark.parametrize(
    ("lines", "words"), [(21, "на 21 строку"), (123, "на 123 строки"), (125, "на 125 строк:")]
)
def test_reasons_count_as_russian_does(lines: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text("x = 1;\n" * lines)
    text = SUBMISSION.read_text("utf-8")
    (tmp_path / "submission.toml").write_text(text, "utf-8")
    outcome = style(read_submission(tmp_path / "submission.toml"), select=["E703"])
    assert outcome is not None
    assert words in outcome.reason


@pytest.mark.usefixtures("english")
def test_whose_program_has_ended_while_another_waits_is_said(tmp_path: Path) -> None:
    path = tmp_path / "rubric.toml"
    path.write_text(
        'title = "t"\n[waiting]\npatience = 1\n[[requirement]]\nid = "x"\ncheck = "dialogue"\n'
        'points = 1\ntitle = "x"\nlines = [{user = 1, types = "пока"}, {user = 2, sees = "x?"}]\n'
    )
    [result] = grade(read_submission(SUBMISSION), read_rubric(path, ALL_CHECKS)).results
    assert "The window “anna”: The program has ended. It shows:" in result.reason
