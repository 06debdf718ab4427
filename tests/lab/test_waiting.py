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
    """A changed limit ends an experiment with the server's refusal, not with a bare timeout."""
    with (
        ChatServer(limits=Limits(text_chars=5)) as server,
        RecordingClient(server.address, "Аня") as anya,
        Person(server.address, "Боря") as borya,
    ):
        heard = borya.heard
        anya.say("длинное слово")
        for wait in (
            lambda: wait_until(lambda: bool(heard), timeout=0.2),
            lambda: anya.wait_for("ack", timeout=0.2),
            lambda: borya.wait_for(lambda: bool(heard), timeout=0.2),
        ):
            with pytest.raises(TimeoutError) as caught:
                wait()
            assert "text_too_long" in str(caught.value)
            assert "Аня" in str(caught.value)


def test_a_wiretap_says_what_has_passed() -> None:
    with (
        ChatServer() as server,
        Wiretap(server.address) as tap,
        pytest.raises(TimeoutError, match=r"len\(records\) > 5"),
    ):
        tap.wait_for(lambda records: len(records) > 5, timeout=0.01)
