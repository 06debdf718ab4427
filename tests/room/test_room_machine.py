"""Any course of events in the room agrees with a model of a few plain lists."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from chat.core.protocol import ProtocolError
from chat.core.room import Member, Session
from chat.promises.resume import RememberedSessions
from tests.room.in_memory import Guest, Message, open_room

MAX_CLIENTS = 4
REMEMBERED = 6
ANSWERED = 4

NICKS = ["Аня", "аня", "Боря", "Вера", "ﬁ", "fi", "Groß", "GROSS", "Й", "И\u0306", "Ann", "Anna"]
KEYS = {nick: nick for nick in NICKS} | {
    "аня": "Аня",
    "ﬁ": "fi",
    "GROSS": "Groß",
    "И\u0306": "Й",
}
SHOWN = {nick: {"ﬁ": "fi", "И\u0306": "Й"}.get(nick, nick) for nick in NICKS}


class RoomMachine(RuleBasedStateMachine):
    """The model: nicknames by key, an inbox for each guest, a list of all that was said."""

    guests: Bundle[tuple[Guest, Member, str]] = Bundle("guests")

    @initialize()
    def open(self) -> None:
        self.room = open_room(
            sessions=RememberedSessions,
            max_clients=MAX_CLIENTS,
            history_messages=REMEMBERED,
            history_answer=ANSWERED,
        )
        self.here: dict[str, tuple[Guest, Member]] = {}
        self.expected: dict[Guest, list[Message]] = {}
        self.said: list[tuple[Message, set[str] | None]] = []
        self.secrets: dict[Guest, str] = {}  # what each was told in its welcome: whose it is
        self.sent: dict[tuple[str, int], int] = {}  # which seq a user's number has got
        self.noted: set[tuple[str, int]] = set()  # which of them are known without the log
        self.answered: dict[str, int] = {}  # up to which of their numbers those who came back were

    @rule(target=guests, nick=st.sampled_from(NICKS))
    def join(self, nick: str) -> tuple[Guest, Member, str]:
        return self._join(nick, None)

    @rule(target=guests, who=guests, nick=st.sampled_from(NICKS))
    def come_back(self, who: tuple[Guest, Member, str], nick: str) -> tuple[Guest, Member, str]:
        return self._join(nick, self.secrets.get(who[0]))

    def _join(self, nick: str, secret: str | None) -> tuple[Guest, Member, str]:
        guest, key = Guest(nick), KEYS[nick]
        self.expected[guest] = []
        stale = next(
            (
                old
                for old, (peer, _) in self.here.items()
                if secret and self.secrets[peer] == secret
            ),
            None,
        )
        refusal = (
            "nick_taken"
            if key in self.here and key != stale
            else "server_full"
            if len(self.here) == MAX_CLIENTS and stale is None
            else None
        )
        try:
            member = self.room.join(guest, nick, secret)
        except ProtocolError as error:
            assert error.code == refusal
            return guest, Member(nick, Session("never in the room"), guest), key
        assert refusal is None
        assert member.nick == SHOWN[nick]
        renamed = True
        if stale is not None:
            peer, former = self.here.pop(stale)
            assert peer.close_reason == "replaced"
            renamed = former.nick != member.nick
            if renamed:
                left = [here for here, _ in self.here.values()]
                self._expect(left, type="left", nick=former.nick, reason="lost")
        others = [other for _, (_, other) in sorted(self.here.items(), key=_order)]
        users, persons = [other.nick for other in others], [other.person for other in others]
        [welcome] = guest.inbox
        self.secrets[guest] = welcome.pop("session")
        assert self.secrets[guest] == secret or secret is None
        assert welcome.pop("log")
        mine = [
            number for whose, number in self.sent if whose == secret and self._again(guest, number)
        ]
        before = self.answered.get(self.secrets[guest], 0)
        self.answered[self.secrets[guest]] = max([before, *mine])
        told = {"users": users, "persons": persons, "seq": len(self.said)}
        self._expect([guest], type="welcome", nick=member.nick, **told)
        if renamed:
            joined = {"nick": member.nick, "person": member.person}
            self._expect([here for here, _ in self.here.values()], type="joined", **joined)
        self.here[key] = guest, member
        return guest, member, key

    @rule(who=consumes(guests), reason=st.sampled_from(["quit", "lost", "kicked"]))
    def leave(self, who: tuple[Guest, Member, str], reason: str) -> None:
        self._leave(who, reason)

    @rule(who=guests, reason=st.sampled_from(["quit", "lost", "kicked"]))
    def leave_and_come_up_again(self, who: tuple[Guest, Member, str], reason: str) -> None:
        self._leave(who, reason)

    def _leave(self, who: tuple[Guest, Member, str], reason: str) -> None:
        guest, member, key = who
        was_here = self._is_here(guest)
        assert self.room.leave(member, reason) is was_here
        if was_here:
            del self.here[key]
            if reason == "quit":  # then only what history has kept is known again
                secret = self.secrets[guest]
                self.noted = {sent for sent in self.noted if sent[0] != secret}
                self.answered.pop(secret, None)
            self._expect(self._others(guest), type="left", nick=member.nick, reason=reason)

    @rule(
        who=guests,
        text=st.sampled_from(["привет", "  два  ", "", "x" * 2001]),
        number=st.none() | st.integers(0, 3),
    )
    def say_to_all(self, who: tuple[Guest, Member, str], text: str, number: int | None) -> None:
        guest, member, _key = who
        again = self._again(guest, number)
        refusal = self._refusal(guest, text, number)
        try:
            if number is None or not self.room.repeat(member, number):
                self.room.say(member, text, None, number)
        except ProtocolError as error:
            self._check_refusal(error, refusal)
            return
        assert refusal is None
        if not again:
            self._said(member, None, text, None, self._others(guest))
        self._acknowledged(guest, number, again=again)

    @rule(who=guests, to=st.sampled_from(NICKS), number=st.none() | st.integers(0, 3))
    def say_to_one(self, who: tuple[Guest, Member, str], to: str, number: int | None) -> None:
        guest, member, _key = who
        refusal = self._refusal(guest, "шёпот", number)
        found = self.here.get(KEYS[to])
        again = self._again(guest, number)
        if refusal is None and not again and (found is None or found[0] is guest):
            refusal = "no_such_user"
        try:
            if number is None or not self.room.repeat(member, number):
                self.room.say(member, "шёпот", to, number)
        except ProtocolError as error:
            self._check_refusal(error, refusal)
            return
        assert refusal is None
        if not again:
            assert found is not None
            readers = {self.secrets[guest], self.secrets[found[0]]}
            self._said(member, found[1].nick, "шёпот", readers, [found[0]])
        self._acknowledged(guest, number, again=again)

    @rule(
        who=guests,
        limit=st.none() | st.integers(0, ANSWERED + 2),
        before=st.none() | st.integers(0, 20),
    )
    def ask_for_history(
        self, who: tuple[Guest, Member, str], limit: int | None, before: int | None
    ) -> None:
        guest, member, _key = who
        if not self._is_here(guest):
            return
        self.room.tell_history(member, limit, before)
        visible = [
            message
            for message, readers in self.said[-REMEMBERED:]
            if (readers is None or self.secrets[guest] in readers)
            and (before is None or message["seq"] < before)
        ]
        wanted = ANSWERED if limit is None else min(limit, ANSWERED)
        self._expect(
            [guest],
            type="history",
            messages=visible[len(visible) - wanted :] if wanted < len(visible) else visible,
        )

    @rule(who=guests)
    def ask_for_users(self, who: tuple[Guest, Member, str]) -> None:
        guest, member, _key = who
        if not self._is_here(guest):
            return
        self.room.tell_users(member)
        others = [
            other.nick
            for _, (peer, other) in sorted(self.here.items(), key=_order)
            if peer is not guest
        ]
        self._expect([guest], type="users", users=others)

    @invariant()
    def everybody_has_got_what_was_meant_for_them_and_nothing_else(self) -> None:
        for guest, messages in self.expected.items():
            assert guest.inbox == messages
        assert len(self.room.users()) == len(self.here)

    def _is_here(self, guest: Guest) -> bool:
        return any(guest is here for here, _ in self.here.values())

    def _others(self, guest: Guest) -> list[Guest]:
        return [here for here, _ in self.here.values() if here is not guest]

    def _refusal(self, guest: Guest, text: str, number: int | None) -> str | None:
        if not self._is_here(guest):
            return "not_registered"
        if self._again(guest, number):
            return None
        if number is not None and number < self.answered.get(self.secrets[guest], 0):
            return "not_recorded"
        if not text:
            return "bad_text"
        return "text_too_long" if len(text) > 2000 else None

    def _check_refusal(self, error: ProtocolError, refusal: str | None) -> None:
        # Who is not here is refused; what is wrong with the message as well, may come first.
        assert refusal in (error.code, "not_registered")

    def _expect(self, guests: list[Guest], **message: object) -> None:
        for guest in guests:
            self.expected[guest].append(message)

    def _said(
        self,
        member: Member,
        to: str | None,
        text: str,
        readers: set[str] | None,
        recipients: list[Guest],
    ) -> None:
        seq = len(self.said) + 1
        message: Message = {
            "type": "message",
            "seq": seq,
            "from": member.nick,
            "to": to,
            "text": text,
            "time": float(seq),
        }
        self.said.append((message, readers))
        self._expect(recipients, **message)

    def _acknowledged(self, guest: Guest, number: int | None, *, again: bool) -> None:
        if number is not None:
            key = self.secrets[guest], number
            if not again:
                self.sent[key] = len(self.said)
                self.noted.add(key)
            self._expect([guest], type="ack", id=number, seq=self.sent[key])

    def _again(self, guest: Guest, number: int | None) -> bool:
        """Tell whether it is known that *guest* has said something under *number* before."""
        key = self.secrets.get(guest, ""), -1 if number is None else number
        remembered = [message["seq"] for message, _ in self.said[-REMEMBERED:]]
        return key in self.noted or self.sent.get(key) in remembered


def _order(item: tuple[str, object]) -> str:
    return item[0].casefold().replace("ß", "ss")


RoomMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestRoomMachine = RoomMachine.TestCase
