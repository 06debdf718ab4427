"""`TlsChannel` without any socket: what goes in on one side comes out on the other."""

import datetime
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.app import certificate
from chat.promises.tls import TlsChannel, TlsError, client_context, server_context
from tests.tls.sides import HOST, Pair, Sides, channels, connected, shake_hands

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
versions = pytest.mark.parametrize("version", VERSIONS)

chunks = st.lists(st.integers(1, 400), max_size=60)
"""The lengths of the pieces into which the network cuts a stream, as far as they go."""


def cut(stream: bytes, lengths: list[int]) -> list[bytes]:
    pieces = []
    for length in lengths:
        pieces.append(stream[:length])
        stream = stream[length:]
    return [piece for piece in [*pieces, stream] if piece]


# The handshake


@versions
def test_a_handshake_and_a_word_each_way(pair: Pair, version: ssl.TLSVersion) -> None:
    sides = connected(pair, version=version)
    assert sides.server.receive(sides.client.send("привет".encode())).decode() == "привет"
    assert sides.client.receive(sides.server.send(b"hello")) == b"hello"
    assert not sides.server.ended


@versions
@given(lengths=chunks)
def test_a_handshake_may_come_in_any_pieces(
    pair: Pair, version: ssl.TLSVersion, lengths: list[int]
) -> None:
    sides = channels(pair, version=version)
    to_server = sides.client.handshake()
    for _round in range(4):
        to_client = b"".join(sides.server.handshake(piece) for piece in cut(to_server, lengths))
        to_server = b"".join(sides.client.handshake(piece) for piece in cut(to_client, lengths))
    assert sides.server.established
    assert sides.client.established
    assert sides.server.receive(sides.client.send(b"x")) == b"x"


def test_data_that_come_with_the_end_of_the_handshake_are_kept(pair: Pair) -> None:
    sides = channels(pair)
    to_client = sides.server.handshake(sides.client.handshake())
    last = sides.client.handshake(to_client)
    sides.server.handshake(last + sides.client.send(b"at once"))
    assert sides.server.established
    assert sides.server.receive(b"") == b"at once"


def test_nothing_readable_passes(pair: Pair) -> None:
    sides = connected(pair)
    assert b"secret" not in sides.client.send(b"secret" * 100)


# The stream


@versions
@given(
    texts=st.lists(st.binary(max_size=200), max_size=10),
    lengths=chunks,
    tickets=st.integers(0, 2),
)
def test_any_split_of_the_ciphertext_gives_the_same_plaintext(
    pair: Pair, version: ssl.TLSVersion, texts: list[bytes], lengths: list[int], tickets: int
) -> None:
    sides = connected(pair, version=version, tickets=tickets)
    for sender, receiver in (sides, sides[::-1]):
        ciphertext = b"".join(sender.send(text) for text in texts) + sender.close()
        pieces = cut(ciphertext, lengths)
        assert b"".join(receiver.receive(piece) for piece in pieces) == b"".join(texts)
        assert receiver.ended


@versions
@given(lengths=chunks, at=st.integers(0, 60))
def test_closing_loses_nothing_of_what_is_still_coming(
    pair: Pair, version: ssl.TLSVersion, lengths: list[int], at: int
) -> None:
    # Our goodbye may fall between any two pieces, also amid a record.
    sides = connected(pair, version=version)
    pieces = cut(sides.client.send(b"one") + sides.client.send(b"two" * 100), lengths)
    plaintext = b"".join(map(sides.server.receive, pieces[:at]))
    goodbye = sides.server.close()
    plaintext += b"".join(map(sides.server.receive, pieces[at:]))
    assert plaintext == b"one" + b"two" * 100
    assert sides.client.receive(goodbye) == b""
    assert sides.client.ended
    assert sides.server.receive(sides.client.close()) == b""
    assert sides.server.ended


def test_data_that_nobody_has_read_survive_our_goodbye(pair: Pair) -> None:
    sides = channels(pair)
    last = sides.client.handshake(sides.server.handshake(sides.client.handshake()))
    sides.server.handshake(last + sides.client.send(b"unread"))
    assert sides.server.close()
    assert sides.server.receive(b"") == b"unread"


@versions
def test_a_megabyte_at_once(pair: Pair, version: ssl.TLSVersion) -> None:
    sides = connected(pair, version=version)
    data = bytes(range(256)) * 4096
    assert sides.server.receive(sides.client.send(data)) == data


def test_sending_nothing_adds_nothing(pair: Pair) -> None:
    sides = connected(pair)
    assert sides.client.send(b"") == b""


def test_after_our_goodbye_nothing_can_be_sent(pair: Pair) -> None:
    sides = connected(pair)
    assert sides.client.close()
    assert sides.client.close() == b""
    with pytest.raises(TlsError):
        sides.client.send(b"more")


def test_what_follows_the_peers_goodbye_is_ignored(pair: Pair) -> None:
    sides = connected(pair)
    assert sides.server.receive(sides.client.close() + b"GET / HTTP/1.1\r\n\r\n") == b""
    assert sides.server.ended
    assert sides.server.receive(b"more of it" * 1000) == b""
    assert sides.server._incoming.pending < 100  # nor kept


def test_after_the_peers_goodbye_we_may_still_speak(pair: Pair) -> None:
    sides = connected(pair)
    sides.server.receive(sides.client.close())
    assert sides.client.receive(sides.server.send(b"last words") + sides.server.close()) == (
        b"last words"
    )


def test_a_stream_without_a_goodbye_is_truncated(pair: Pair) -> None:
    sides = connected(pair)
    ciphertext = sides.client.send(b"all") + sides.client.close()
    assert sides.server.receive(ciphertext[:-1]) == b"all"
    assert not sides.server.ended
    sides.server.receive(ciphertext[-1:])
    assert sides.server.ended


def test_closing_before_the_handshake_is_done_is_no_error(pair: Pair) -> None:
    sides = channels(pair)
    sides.client.handshake()
    assert sides.client.close() == b""


def test_session_tickets_are_not_lost(pair: Pair) -> None:
    # Python's server writes them at the end of the handshake; a client takes them with the data.
    sides = channels(pair, tickets=2)
    last = sides.client.handshake(sides.server.handshake(sides.client.handshake()))
    tickets = sides.server.handshake(last)
    assert len(tickets) > 100
    assert sides.client.receive(tickets) == b""
    assert sides.client.receive(sides.server.send(b"and on")) == b"and on"


def test_two_threads_share_a_channel(pair: Pair) -> None:
    sides = connected(pair)
    rounds = 2000
    to_client = [sides.server.send(b"%d\n" % number) for number in range(rounds)]
    received: list[bytes] = []
    sent: list[bytes] = []
    start = threading.Barrier(2)

    def read() -> None:
        start.wait(10)
        received.extend(map(sides.client.receive, to_client))

    def write() -> None:
        start.wait(10)
        sent.extend(sides.client.send(b"%d\n" % number) for number in range(rounds))

    threads = [threading.Thread(target=read), threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = b"".join(b"%d\n" % number for number in range(rounds))
    assert b"".join(received) == expected
    assert b"".join(map(sides.server.receive, sent)) == expected


class Probe:
    """OpenSSL's object, where a call waits a moment to see whether another comes in meanwhile."""

    def __init__(self, tls: ssl.SSLObject) -> None:
        self._tls = tls
        self._inside = threading.Semaphore(1)
        self._second = threading.Event()
        self.overlaps = 0

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self._tls, name)

        def call(*arguments: object) -> object:
            if self._inside.acquire(blocking=False):
                self._second.wait(0.2)
                self._inside.release()
            else:
                self.overlaps += 1
                self._second.set()
            return method(*arguments)

        return call


def test_two_threads_are_never_inside_openssl_at_once(pair: Pair) -> None:
    sides = connected(pair)
    probe = sides.client._tls = Probe(sides.client._tls)  # type: ignore[assignment]
    data = sides.server.send(b"x")
    calls = (
        lambda: sides.client.send(b"y"),
        lambda: sides.client.receive(data),
        sides.client.close,
    )
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert isinstance(probe, Probe)
    assert not probe.overlaps


# Bad bytes


@given(noise=st.binary(min_size=1, max_size=300))
def test_noise_instead_of_a_handshake_is_one_error_or_a_wait(pair: Pair, noise: bytes) -> None:
    server = channels(pair).server
    try:
        server.handshake(noise)
    except TlsError as error:
        with pytest.raises(TlsError) as again:
            server.handshake(b"more")
        assert str(again.value) == str(error)
    assert not server.established


@given(data=st.data())
def test_a_changed_byte_is_an_error_and_never_other_text(pair: Pair, data: st.DataObject) -> None:
    sides = connected(pair)
    good, bad = sides.client.send(b"good"), bytearray(sides.client.send(b"x" * 50))
    position = data.draw(st.integers(0, len(bad) - 1))
    bad[position] ^= data.draw(st.integers(1, 255))
    plaintext = b""
    try:
        plaintext += sides.server.receive(good + bytes(bad))
        for _byte in range(20_000):  # a length made longer waits for more
            plaintext += sides.server.receive(b"\0")
    except TlsError:
        pass
    else:
        raise AssertionError("a changed record was taken")
    assert plaintext == b"good"
    with pytest.raises(TlsError):
        sides.server.send(b"x")


def test_after_bad_bytes_the_peer_is_told(pair: Pair) -> None:
    sides = connected(pair)
    with pytest.raises(TlsError):
        sides.server.receive(b"\x17\x03\x03\x00\x20" + bytes(32))
    alert = sides.server.take_output()
    with pytest.raises(TlsError):
        sides.client.receive(alert)
    assert sides.server.close() == b""


@pytest.mark.parametrize(
    "hello", [b'{"type": "register", "nick": "anna"}\n', b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"]
)
def test_a_peer_without_tls_is_told_apart(pair: Pair, hello: bytes) -> None:
    for side in channels(pair):
        with pytest.raises(TlsError, match=r"^no_tls$"):
            side.handshake(hello)


# Whom a client believes


def refusal(sides: Sides) -> str:
    with pytest.raises(TlsError) as caught:
        shake_hands(sides)
    assert not sides.client.established
    return str(caught.value)


@versions
def test_a_certificate_of_somebody_else_is_refused(
    pair: Pair, other_pair: Pair, version: ssl.TLSVersion
) -> None:
    sides = channels(pair, ca_file=other_pair.cert, version=version)
    assert refusal(sides) == "certificate_untrusted"
    with pytest.raises(TlsError, match=r"^certificate_refused$"):
        sides.server.handshake(sides.client.take_output())


def test_without_an_authority_of_its_own_a_client_refuses_it(pair: Pair) -> None:
    server = TlsChannel(server_context(*pair), server_side=True)
    client = TlsChannel(client_context(), server_hostname=HOST)
    assert refusal(Sides(server, client)) == "certificate_untrusted"


@pytest.mark.parametrize("name", ["chat.example", "192.0.2.1"])
def test_another_name_is_refused(pair: Pair, name: str) -> None:
    assert refusal(channels(pair, name=name)) == "certificate_other_name"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_every_name_of_this_machine_is_accepted(pair: Pair, name: str) -> None:
    shake_hands(channels(pair, name=name))


def test_the_strictest_reading_of_the_standard_accepts_it(pair: Pair) -> None:
    # What ssl.create_default_context asks for since Python 3.13 (RFC 5280).
    context = client_context(pair.cert)
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    server = TlsChannel(server_context(*pair), server_side=True)
    shake_hands(Sides(server, TlsChannel(context, server_hostname="localhost")))


@pytest.mark.parametrize(("days", "word"), [(-300, "expired"), (300, "not_yet_valid")])
def test_the_time_of_a_certificate(
    days: int, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    monkeypatch.setattr(certificate, "_now", lambda: then)
    pair = Pair(*certificate.write_pair(tmp_path, [HOST], days=10))
    assert refusal(channels(pair)) == f"certificate_{word}"
