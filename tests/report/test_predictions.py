"""A prediction in Markdown is found and taken apart; one that is not whole is refused."""

import pytest

from report.predictions import Prediction, PredictionError, split

from .conftest import PREDICTION


def test_a_prediction_is_cut_out_of_the_prose() -> None:
    before, found, after = split(f"Сперва.\n\n{PREDICTION}\n\nПотом.")
    assert (before, after) == ("Сперва.", "Потом.")
    assert found == Prediction(
        question="**Предскажите.** Сколько *портов* занято?",
        choices={"а": "один;", "б": "по одному на\nклиента `accept`."},
        answer="а",
        why="Порт – часть имени.\n\nЕщё абзац.",
    )


def test_several_follow_each_other() -> None:
    assert [type(piece) for piece in split(f"{PREDICTION}\n\n{PREDICTION}")] == [Prediction] * 2


@pytest.mark.parametrize("fence", ["```", "~~~~"])
def test_what_stands_in_code_is_code(fence: str) -> None:
    source = f"{fence}\n<details>\n{fence}\n\n- (а) список сам по себе"
    assert list(split(source)) == [source]


def test_code_in_the_reason_stays_whole() -> None:
    code = "```python\nx = 1\n\n\n</details>\n```"
    (found,) = split(PREDICTION.replace("Ещё абзац.", code))
    assert isinstance(found, Prediction)
    assert code in found.why


def test_the_summary_may_have_a_line_of_its_own() -> None:
    (found,) = split(PREDICTION.replace("<details><summary>", "<details>\n<summary>"))
    assert isinstance(found, Prediction)
    assert found.why.startswith("Порт")


@pytest.mark.parametrize(
    ("change", "to", "complaint"),
    [
        ("</details>", "", "<details>"),
        ("**Предскажите.** Сколько *портов* занято?", "", "вопрос"),
        ("- (б) по одному на\n  клиента `accept`.", "", "список"),
        ("- (а)", "- а)", "список"),
        ("- (б)", "- (а)", r"два варианта \(а\)"),
        ("**(а)** Порт", "Порт", r"\*\*\(а\)\*\*"),
        ("**(а)** Порт", "**(a)** Порт", r"\*\*\(а\)\*\*"),  # a Latin letter that looks alike
        ("**(а)** Порт – часть имени.\n\nЕщё абзац.", "**(а)**", r"\*\*\(а\)\*\*"),
    ],
)
def test_what_is_not_whole_is_refused(change: str, to: str, complaint: str) -> None:
    with pytest.raises(PredictionError, match=complaint):
        list(split(PREDICTION.replace(change, to)))
