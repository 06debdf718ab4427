"""Who is in the room, who hears what, in which order. No sockets."""

import threading

import pytest

from chat.core.history import Entry, Log
from chat.core.protocol import ProtocolError, encode
from chat.core.room import Member, Room
from tests.room.in_memory import Guest, let_others_run, open_room


@pytest.fixture
def room() -> Room:
    return open_room()


def enter(room: Room, nick: str) -> tuple[Guest, Member]:
    guest = Guest(nick)
    return guest, room.join(guest, nick)


def said(seq: int, sender: str, text: str, to: str | None = None) -> dict[str, object]:
    return {
        "type": "message",
        "seq": seq,
        "from": sender,
        "to": to,
        "text": text,
        "time": float(seq),
    }


# Coming


def test_the_first_is_welcomed_to_an_empty_room(room: Room) -> None:
    guest, member = enter(room, "Аня")
    [welcome] = guest.take()
    assert welcome == {"type": "welcome", "nick": "Аня", "users": [], "persons": [], "seq": 0}
    assert member.nick == "Аня"
    assert room.users() == ["Аня"]
    assert len(room.users()) == 1


def test_a_newcomer_is_told_who_is_here_and_the_others_that_somebody_came(room: Room) -> None:
    anya, first = enter(room, "Аня")
    borya, second = enter(room, "Боря")
    anya.take()
    borya.take()
    vera, third = enter(room, "Вера")
    [welcome] = vera.take()
    assert welcome["users"] == ["Аня", "Боря"]
    assert welcome["persons"] == [first.person, second.person]
    joined = {"type": "joined", "nick": "Вера", "person": third.person}
    assert anya.take() == borya.take() == [joined]


def test_a_person_tells_users_apart_and_says_nothing_of_their_session(room: Room) -> None:
    members = [enter(room, nick)[1] for nick in ("Аня", "Боря")]
    assert members[0].person != members[1].person
    for member in members:
        assert member.person not in member.session.id
        assert member.session.id not in member.person


def test_in_the_core_nobody_comes_back_whatever_secret_they_show(room: Room) -> None:
    anya, _ = enter(room, "Аня")
    anya.take()
    with pytest.raises(ProtocolError, match="nick_taken"):
        room.join(Guest(), "Аня", "x" * 32)
    assert anya.take() == []


def test_the_welcome_says_where_history_stands(room: Room) -> None:
    _, anya = enter(room, "Аня")
    room.say(anya, "никого нет")
    room.say(anya, "а я говорю")
    assert enter(room, "Боря")[0].take()[0]["seq"] == 2


def test_users_are_sorted_without_regard_to_case(room: Room) -> None:
    for nick in ("боря", "Вера", "Аня"):
        enter(room, nick)
    assert room.users() == ["Аня", "боря", "Вера"]


def test_a_nickname_is_shown_in_one_unicode_form(room: Room) -> None:
    assert enter(room, "Андре\u0438\u0306")[1].nick == "Андре\u0439"


@pytest.mark.parametrize("nick", ["Аня", "аня", "АНЯ"])
def test_a_nickname_is_taken_once(room: Room, nick: str) -> None:
    anya, _ = enter(room, "Аня")
    anya.take()
    other = Guest()
    with pytest.raises(ProtocolError, match="nick_taken"):
        room.join(other, nick)
    assert other.take() == anya.take() == []
    assert len(room.users()) == 1


def test_a_bad_nickname_is_refused(room: Room) -> None:
    for nick in ("", "два слова", None, 5):
        with pytest.raises(ProtocolError, match="bad_nick"):
            room.join(Guest(), nick)
    assert len(room.users()) == 0


def test_a_full_room_is_full_until_somebody_leaves() -> None:
    room = open_room(max_clients=2)
    _, anya = enter(room, "Аня")
    enter(room, "Боря")
    with pytest.raises(ProtocolError, match="server_full") as caught:
        enter(room, "Вера")
    assert caught.value.fatal
    room.leave(anya, "quit")
    enter(room, "Вера")
    assert room.users() == ["Боря", "Вера"]


def test_in_a_full_room_a_taken_nickname_is_still_said_to_be_taken() -> None:
    room = open_room(max_clients=1)
    enter(room, "Аня")
    with pytest.raises(ProtocolError, match="nick_taken"):
        enter(room, "Аня")


# Talking


def test_a_message_to_all_goes_to_all_but_the_sender(room: Room) -> None:
    (anya, speaker), (borya, _), (vera, _) = (enter(room, nick) for nick in ("Аня", "Боря", "Вера"))
    for guest in (anya, borya, vera):
        guest.take()
    room.say(speaker, "привет")
    assert anya.take() == []
    assert borya.take() == vera.take() == [said(1, "Аня", "привет")]


def test_a_private_message_goes_to_one(room: Room) -> None:
    (anya, speaker), (borya, _), (vera, _) = (enter(room, nick) for nick in ("Аня", "Боря", "Вера"))
    for guest in (anya, borya, vera):
        guest.take()
    room.say(speaker, "шёпот", "боря")
    assert borya.take() == [said(1, "Аня", "шёпот", to="Боря")]
    assert anya.take() == vera.take() == []


def test_the_sender_is_acknowledged_when_they_gave_a_number(room: Room) -> None:
    anya, speaker = enter(room, "Аня")
    enter(room, "Боря")
    anya.take()
    room.say(speaker, "раз", message_id=7)
    room.say(speaker, "два", "Боря", message_id=0)
    room.say(speaker, "три")
    assert anya.take() == [
        {"type": "ack", "id": 7, "seq": 1},
        {"type": "ack", "id": 0, "seq": 2},
    ]


def test_a_private_message_is_not_given_to_another_person_of_that_name(room: Room) -> None:
    anya, speaker = enter(room, "Аня")
    _, former = enter(room, "Боря")
    room.leave(former, "quit")
    borya, present = enter(room, "Боря")
    anya.take()
    borya.take()
    with pytest.raises(ProtocolError, match="another_person"):
        room.say(speaker, "шёпот", "Боря", person=former.person)
    assert borya.take() == []
    room.say(speaker, "шёпот", "Боря", person=present.person)
    assert borya.take() == [said(1, "Аня", "шёпот", to="Боря")]


def test_the_author_of_a_lost_message_is_told(room: Room) -> None:
    anya, speaker = enter(room, "Аня")
    borya, listener = enter(room, "Боря")
    entries = [room.say(speaker, "раз", None, 5), room.say(listener, "два")]
    room.leave(listener, "quit")
    anya.take()
    borya.take()
    room.tell_lost([entry for entry in entries if entry is not None])
    refusal = {"type": "error", "code": "not_recorded", "re": "message", "id": 5}
    assert anya.take() == [refusal]
    assert borya.take() == []


def test_a_log_that_has_no_number_yet_has_the_room_deliver_later() -> None:
    class LateLog(Log):
        def append(self, entry: Entry) -> bool:
            self.waiting = entry
            return False

    log = LateLog()
    room = open_room(log=log)
    anya, speaker = enter(room, "Аня")
    borya, _ = enter(room, "Боря")
    anya.take()
    borya.take()
    room.say(speaker, "раз", None, 7)
    assert anya.take() == borya.take() == []
    log.waiting.seq = 41
    room.deliver(log.waiting)
    assert anya.take() == [{"type": "ack", "id": 7, "seq": 41}]
    assert [message["seq"] for message in borya.take()] == [41]


def test_a_full_log_refuses_and_nothing_is_said() -> None:
    class FullLog(Log):
        def append(self, _entry: Entry) -> bool:
            raise ProtocolError("not_recorded")

    room = open_room(log=FullLog())
    _, speaker = enter(room, "Аня")
    borya, _ = enter(room, "Боря")
    borya.take()
    with pytest.raises(ProtocolError, match="not_recorded"):
        room.say(speaker, "раз", None, 7)
    assert borya.take() == []


@pytest.mark.parametrize("to", ["Вера", "Аня", "аня", "", 5, [], {}, True])
def test_nobody_else_by_that_name(room: Room, to: object) -> None:
    anya, speaker = enter(room, "Аня")
    borya, _ = enter(room, "Боря")
    anya.take()
    borya.take()
    with pytest.raises(ProtocolError, match="no_such_user"):
        room.say(speaker, "эй", to, message_id=1)
    assert anya.take() == borya.take() == []


def test_a_message_that_was_refused_has_no_number(room: Room) -> None:
    _, anya = enter(room, "Аня")
    for text, to in (("", None), ("a" * 2001, None), ("эй", "Вера")):
        with pytest.raises(ProtocolError):
            room.say(anya, text, to)
    said_first = room.say(anya, "первое")
    assert said_first is not None
    assert said_first.seq == 1


def test_who_has_left_says_nothing(room: Room) -> None:
    _, anya = enter(room, "Аня")
    borya, _ = enter(room, "Боря")
    room.leave(anya, "kicked")
    borya.take()
    with pytest.raises(ProtocolError, match="not_registered"):
        room.say(anya, "ещё слово")
    assert borya.take() == []


def test_everybody_hears_everything_in_the_same_order() -> None:
    """Many threads speak at once; the numbers have no gap, and nobody hears another order."""
    room = open_room(before_each=let_others_run)
    speakers = [enter(room, f"Speaker{number}") for number in range(8)]
    listeners = [enter(room, f"Listener{number}")[0] for number in range(3)]
    for guest in listeners:
        guest.take()
    start = threading.Barrier(len(speakers))

    def speak(member: Member) -> None:
        start.wait(10)
        for number in range(50):
            room.say(member, f"{member.nick} {number}")

    threads = [threading.Thread(target=speak, args=[member]) for _, member in speakers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heard = [guest.take() for guest in listeners]
    assert heard[0] == heard[1] == heard[2]
    assert [message["seq"] for message in heard[0]] == list(range(1, 401))
    for guest, member in speakers:
        others = [message for message in heard[0] if message["from"] != member.nick]
        assert [message for message in guest.inbox if message["type"] == "message"] == others
    for _, member in speakers:
        own = [message["text"] for message in heard[0] if message["from"] == member.nick]
        assert own == [f"{member.nick} {number}" for number in range(50)]


# Leaving


def test_leaving_frees_the_nickname_and_tells_the_others_which_it_was(room: Room) -> None:
    anya, member = enter(room, "Аня")
    borya, _ = enter(room, "Боря")
    anya.take()
    borya.take()
    assert room.leave(member, "quit")
    assert borya.take() == [{"type": "left", "nick": "Аня", "reason": "quit"}]
    assert anya.take() == []
    assert room.users() == ["Боря"]
    enter(room, "аня")


def test_one_leaves_only_once(room: Room) -> None:
    _, member = enter(room, "Аня")
    borya, _ = enter(room, "Боря")
    assert room.leave(member, "kicked")
    borya.take()
    assert not room.leave(member, "lost")
    assert borya.take() == []


def test_leaving_twice_does_not_throw_out_the_next_owner_of_the_nickname(room: Room) -> None:
    _, former = enter(room, "Аня")
    room.leave(former, "kicked")
    enter(room, "Аня")
    assert not room.leave(former, "lost")
    assert room.users() == ["Аня"]


def test_a_message_of_the_former_owner_is_not_said_by_the_next_one(room: Room) -> None:
    _, former = enter(room, "Аня")
    room.leave(former, "kicked")
    enter(room, "Аня")
    with pytest.raises(ProtocolError, match="not_registered"):
        room.say(former, "это не я")


def test_closing_tells_everybody_and_lets_nobody_in(room: Room) -> None:
    anya, _ = enter(room, "Аня")
    borya, _ = enter(room, "Боря")
    anya.take()
    borya.take()
    room.close("stopped")
    assert anya.take() == borya.take() == [{"type": "shutdown", "reason": "stopped"}]
    with pytest.raises(ProtocolError, match="server_full"):
        enter(room, "Вера")


def test_emptying_the_room_gives_all_connections_up(room: Room) -> None:
    guests = [enter(room, nick)[0] for nick in ("Аня", "Боря")]
    room.empty()
    assert room.users() == []
    assert [guest.close_reason for guest in guests] == ["lost", "lost"]
    enter(room, "Аня")


# Asking


def test_the_list_of_users_is_that_of_the_others(room: Room) -> None:
    anya, member = enter(room, "Аня")
    enter(room, "Вера")
    enter(room, "Боря")
    anya.take()
    room.tell_users(member)
    assert anya.take() == [{"type": "users", "users": ["Боря", "Вера"]}]


def test_finding_a_user(room: Room) -> None:
    _, anya = enter(room, "Аня")
    _, borya = enter(room, "Боря")
    assert room.find(anya, "бОРЯ") is borya
    for nobody in ("Вера", "Аня", None, 5):
        with pytest.raises(ProtocolError, match="no_such_user"):
            room.find(anya, nobody)


def history(room: Room, guest: Guest, member: Member, **wanted: int) -> list[int]:
    """Return the numbers of the messages in the answer."""
    guest.take()
    room.tell_history(member, **wanted)
    [answer] = guest.take()
    assert answer["type"] == "history"
    return [message["seq"] for message in answer["messages"]]


def test_history_is_what_was_said_oldest_first(room: Room) -> None:
    _, speaker = enter(room, "Аня")
    borya, member = enter(room, "Боря")
    room.say(speaker, "раз")
    room.say(member, "два")
    borya.take()
    room.tell_history(member)
    assert borya.take() == [
        {"type": "history", "messages": [said(1, "Аня", "раз"), said(2, "Боря", "два")]}
    ]


def test_what_was_said_to_an_empty_room_is_remembered(room: Room) -> None:
    _, speaker = enter(room, "Аня")
    room.say(speaker, "есть тут кто?")
    room.leave(speaker, "quit")
    borya, member = enter(room, "Боря")
    assert history(room, borya, member) == [1]


def test_a_message_to_many_is_remembered_once(room: Room) -> None:
    anya, speaker = enter(room, "Аня")
    for number in range(5):
        enter(room, f"Guest{number}")
    room.say(speaker, "всем")
    assert history(room, anya, speaker) == [1]


def test_a_private_message_is_in_the_history_of_two(room: Room) -> None:
    anya, speaker = enter(room, "Аня")
    borya, listener = enter(room, "Боря")
    vera, third = enter(room, "Вера")
    room.say(speaker, "шёпот", "Боря")
    room.say(speaker, "всем")
    assert history(room, anya, speaker) == [1, 2]
    assert history(room, borya, listener) == [1, 2]
    assert history(room, vera, third) == [2]


def test_who_takes_a_freed_nickname_does_not_see_its_former_owners_messages(room: Room) -> None:
    _, anya = enter(room, "Аня")
    _, borya = enter(room, "Боря")
    room.say(anya, "пароль: 1234", "Боря")
    room.say(borya, "записал", "Аня")
    room.leave(borya, "quit")
    stranger, other = enter(room, "Боря")
    assert history(room, stranger, other) == []
    room.leave(anya, "quit")
    imitator, another = enter(room, "Аня")
    assert history(room, imitator, another) == []


def test_history_is_bounded_and_the_oldest_make_way() -> None:
    room = open_room(history_messages=3)
    anya, speaker = enter(room, "Аня")
    for number in range(5):
        room.say(speaker, str(number))
    assert history(room, anya, speaker) == [3, 4, 5]


def test_history_by_pages() -> None:
    room = open_room(history_answer=4)
    anya, speaker = enter(room, "Аня")
    for number in range(10):
        room.say(speaker, str(number))
    assert history(room, anya, speaker) == [7, 8, 9, 10]
    assert history(room, anya, speaker, limit=2) == [9, 10]
    assert history(room, anya, speaker, limit=100) == [7, 8, 9, 10]
    assert history(room, anya, speaker, limit=0) == []
    assert history(room, anya, speaker, limit=2, before=9) == [7, 8]
    assert history(room, anya, speaker, before=3) == [1, 2]
    assert history(room, anya, speaker, before=1) == []
    assert history(room, anya, speaker, limit=1, before=2**53 - 1) == [10]


def test_limit_counts_only_what_this_user_may_see() -> None:
    room = open_room(history_answer=4)
    _, speaker = enter(room, "Аня")
    enter(room, "Боря")
    vera, third = enter(room, "Вера")
    room.say(speaker, "всем")
    for number in range(5):
        room.say(speaker, str(number), "Боря")
    assert history(room, vera, third, limit=1) == [1]


def test_one_history_answer_has_a_size_and_keeps_the_newest() -> None:
    one = encode(said(1, "Аня", "x" * 100))
    room = open_room(history_answer_bytes=3 * len(one))
    anya, speaker = enter(room, "Аня")
    for _ in range(9):
        room.say(speaker, "x" * 100)
    assert history(room, anya, speaker) == [7, 8, 9]
    assert history(room, anya, speaker, before=7) == [4, 5, 6]
