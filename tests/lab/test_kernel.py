"""What the kernel says about a connection is what was done with it."""

import contextlib
import sys
from functools import partial

import pytest

from chat.lab import kernel
from chat.lab.background import connected_pair, listen
from chat.lab.waiting import wait_until


def test_state_follows_a_connection_from_listen_to_its_end() -> None:
    with listen() as listener:
        address = listener.getsockname()
        assert kernel.state(address) == "LISTEN"
        client, server = connected_pair(listener)
        with server:
            here = client.getsockname()
            assert kernel.state(here, address) == "ESTABLISHED"
            client.close()
            wait_until(lambda: kernel.state(address, here) == "CLOSE_WAIT")
    assert kernel.state(address) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="the counters are Linux' own")
def test_bytes_and_segments_are_counted() -> None:
    client, server = connected_pair()
    with client, server:
        before = kernel.segments_sent(client)
        client.sendall(b"hello")
        wait_until(lambda: kernel.unacknowledged(client) == 0)
        assert kernel.unread(server) == 5
        assert kernel.segments_sent(client) > before
        server.recv(2)
        assert kernel.unread(server) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="the counters are Linux' own")
def test_what_nobody_takes_stays_unacknowledged() -> None:
    client, server = connected_pair()
    with client, server:
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                client.send(bytes(65536))
        assert kernel.unacknowledged(client) > 0


def test_states_are_noted_in_their_order_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with listen() as listener:
        address = listener.getsockname()
        client, server = connected_pair(listener)
        with client, server:
            note = kernel.States(address, client.getsockname())
            note("LISTEN", "ESTABLISHED", "ESTABLISHED")
            server.close()
            note("LISTEN", "CLOSE_WAIT", "FIN_WAIT2")
            assert [states[1] for states in note.seen] == ["ESTABLISHED", "CLOSE_WAIT"]
            monkeypatch.setattr(kernel, "wait_until", partial(wait_until, timeout=0.01))
            with pytest.raises(TimeoutError):
                note("LISTEN", "", "")
            assert len(note.seen) == 2
