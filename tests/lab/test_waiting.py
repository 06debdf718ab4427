"""What a wait says when what it waits for does not come: that, what came instead, and why."""

import pytest

from chat.core.protocol import Limits
from chat.core.server import ChatServer
from chat.lab.background import RecordingClient
from chat.lab.faults import Person
from chat.lab.waiting import wait_until
from chat.lab.wiretap import Wiretap


def test_the_condition_is_said_as_it_stands_in_the_code() -> None:
    delivered = [1, 2]
    with pytest.raises(TimeoutError) as caught:
        wait_until(lambda: len(delivered) == 3, timeout=0.01)
    assert "len(delivered) == 3" in str(caught.value)
    assert "delivered = [1, 2]" in str(caught.value)


def test_a_condition_may_have_words_of_its_own() -> None:
    with pytest.raises(TimeoutError, match=r"за 0.01 с: сервер ушёл"):
        wait_until(lambda: False, "сервер ушёл", timeout=0.01)


def test_what_is_refused_is_the_reason() -> None:
    """An experiment ends with the server's refusal, not with a bare timeout."""
    with (
        ChatServer() as server,
        RecordingClient(server.address, "Аня") as anya,
        Person(server.address, "Боря") as borya,
    ):
        heard = borya.heard
        anya.say("")
        for wait in (
            lambda: wait_until(lambda: bool(heard), timeout=0.2),
            lambda: anya.wait_for("ack", timeout=0.2),
            lambda: borya.wait_for(lambda: bool(heard), timeout=0.2),
        ):
            with pytest.raises(TimeoutError) as caught:
                wait()
            assert "bad_text" in str(caught.value)
            assert "Аня" in str(caught.value)


def test_after_a_changed_limit_what_is_too_long_is_told_at_once() -> None:
    """Not when something else has been waited for in vain, minutes later."""
    with (
        ChatServer(limits=Limits(text_chars=5)) as server,
        RecordingClient(server.address, "Аня") as anya,
        pytest.raises(RuntimeError, match=r"Аня .*13.* 5 .*text_too_long"),
    ):
        anya.say("длинное слово")


def test_a_wiretap_says_what_has_passed() -> None:
    with (
        ChatServer() as server,
        Wiretap(server.address) as tap,
        pytest.raises(TimeoutError, match=r"len\(records\) > 5"),
    ):
        tap.wait_for(lambda records: len(records) > 5, timeout=0.01)
