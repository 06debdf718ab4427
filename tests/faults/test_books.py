"""The books notice what they are there to notice: each kind of broken promise, once."""

import threading

from chat.lab.faults import Chat, Person

NOWHERE = ("127.0.0.1", 9)


def conversation() -> tuple[Person, Person]:
    """Аня has said three things, one of them to Боря alone; all went well."""
    anya, borya = Person(NOWHERE, "Аня"), Person(NOWHERE, "Боря")
    anya.said = {1: ("раз", None), 2: ("два", "Боря"), 3: ("три", None)}
    anya.acknowledged = {1: 1, 2: 2, 3: 3}
    borya.heard = [
        {"type": "message", "seq": seq, "text": text}
        for seq, text in enumerate(["раз", "два", "три"], 1)
    ]
    return anya, borya


def problems(*people: Person) -> list[str]:
    chat = Chat(people)
    return chat.losses() + chat.disorder()


def test_all_is_well() -> None:
    assert problems(*conversation()) == []


def test_a_message_lost() -> None:
    anya, borya = conversation()
    del borya.heard[1]
    assert problems(anya, borya) == ["Боря: lost: ['два'] (1)"]


def test_a_message_heard_twice() -> None:
    anya, borya = conversation()
    borya.heard.append({"type": "message", "seq": 4, "text": "раз"})
    assert problems(anya, borya)[0] == "Боря: heard twice: ['раз'] (1)"


def test_a_message_meant_for_somebody_else() -> None:
    anya, borya = conversation()
    vera = Person(NOWHERE, "Вера")
    vera.heard = list(borya.heard)
    assert problems(anya, borya, vera) == ["Вера: not meant for them, or refused: ['два'] (1)"]


def test_a_message_delivered_although_it_was_refused() -> None:
    anya, borya = conversation()
    anya.refused[3] = "not_recorded"
    del anya.acknowledged[3]
    assert problems(anya, borya) == ["Боря: not meant for them, or refused: ['три'] (1)"]


def test_a_message_without_an_answer() -> None:
    anya, borya = conversation()
    anya.said[4] = ("четыре", None)
    assert problems(anya, borya) == ["Аня: no answer for [4]"]


def test_a_gap() -> None:
    anya, borya = conversation()
    borya.events.append({"type": "gap"})
    assert problems(anya, borya) == ["Боря: a gap in the history"]


def test_messages_in_another_order() -> None:
    anya, borya = conversation()
    borya.heard.reverse()
    assert problems(anya, borya) == ["Боря: not in the order of the history"]


def test_messages_recorded_in_another_order_than_said() -> None:
    anya, borya = conversation()
    anya.acknowledged = {1: 2, 2: 1, 3: 3}
    assert any("another order than said: [('раз'" in text for text in problems(anya, borya))


def test_two_messages_with_one_number() -> None:
    anya, borya = conversation()
    borya.heard[2] = borya.heard[2] | {"seq": 4}
    anya.acknowledged[3] = 4
    vera = Person(NOWHERE, "Вера")
    vera.heard = [borya.heard[0], borya.heard[2] | {"seq": 3}]
    assert "number 3 is" not in " ".join(problems(anya, borya))
    borya.heard[1] = borya.heard[1] | {"seq": 3}
    assert any(problem.startswith("number 3 is") for problem in problems(anya, borya, vera))


def test_the_slowest_message() -> None:
    anya, borya = conversation()
    anya.said_at = {"раз": 10.0, "три": 11.0}
    borya.heard_at = {"раз": 10.25, "три": 11.5}
    assert Chat([anya, borya]).slowest([anya, borya]) == 0.5


def test_an_answer_that_the_client_knows_of_already_is_waited_for() -> None:
    anya, borya = conversation()
    del anya.acknowledged[3]
    late = threading.Timer(0.1, anya._hear, [{"type": "ack", "id": 3, "seq": 3}])
    late.start()
    Chat((anya, borya)).settle()
    assert problems(anya, borya) == []
    late.join()
