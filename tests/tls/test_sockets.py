"""A `TlsChannel` on real sockets, against peers that know nothing of it: `ssl` and ``openssl``."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator

import pytest

from chat.lab.background import Background, listen
from chat.promises.tls import TlsChannel, client_context, server_context
from tests.tls.sides import (
    HOST,
    Pair,
    receive,
    receive_exactly,
    shake_hands_over,
    tcp,
)
from tests.wire import PATIENCE

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the program openssl is not installed"
)


def echo(sock: ssl.SSLSocket) -> None:
    """Say everything back, then goodbye."""
    while data := sock.recv(65536):
        sock.sendall(data)
    with contextlib.suppress(ssl.SSLError):  # the peer has said goodbye and gone
        sock.unwrap()


def echo_as_server(sock: socket.socket, context: ssl.SSLContext) -> None:
    with context.wrap_socket(sock, server_side=True) as wrapped:
        echo(wrapped)


def echo_as_client(sock: socket.socket, context: ssl.SSLContext) -> None:
    with context.wrap_socket(sock, server_hostname=HOST) as wrapped:
        echo(wrapped)


@contextlib.contextmanager
def talking_to_ssl(pair: Pair, *, as_server: bool) -> Iterator[tuple[socket.socket, TlsChannel]]:
    """Our channel on a socket, established; the peer is `ssl.SSLSocket` and says all back."""
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), client_context(pair.cert)
    server.load_cert_chain(*pair)
    with tcp() as (ours, theirs):
        if as_server:
            channel = TlsChannel(server_context(*pair), server_side=True)
            peer = Background(echo_as_client, theirs, client)
        else:
            channel = TlsChannel(client, server_hostname=HOST)
            peer = Background(echo_as_server, theirs, server)
        with peer:
            assert shake_hands_over(ours, channel) == b""
            yield ours, channel
            peer.result()


@pytest.mark.parametrize("as_server", [True, False])
def test_a_peer_of_the_standard_library(pair: Pair, as_server: bool) -> None:
    with talking_to_ssl(pair, as_server=as_server) as (sock, channel):
        sock.sendall(channel.send("привет\n".encode()))
        assert receive_exactly(sock, channel, 13).decode() == "привет\n"
        sock.sendall(channel.close())
        assert receive(sock, channel) == b""
        assert channel.ended


def test_one_thread_reads_while_another_writes(pair: Pair) -> None:
    # Far more than the buffers of both sockets hold: neither thread could wait for the other.
    data = bytes(range(251)) * 40_000
    with talking_to_ssl(pair, as_server=False) as (sock, channel):

        def write() -> None:
            for start in range(0, len(data), 100_000):
                sock.sendall(channel.send(data[start : start + 100_000]))
            sock.sendall(channel.close())

        with Background(write, stop=lambda: sock.shutdown(socket.SHUT_RDWR)) as writer:
            assert receive_exactly(sock, channel, len(data)) == data
            assert receive(sock, channel) == b""
            writer.result()


def test_a_cut_connection_is_told_from_a_goodbye(pair: Pair) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*pair)

    def say_and_vanish(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as wrapped:
            wrapped.sendall(b"half a")

    with tcp() as (ours, theirs), Background(say_and_vanish, theirs):
        channel = TlsChannel(client_context(pair.cert), server_hostname=HOST)
        data = shake_hands_over(ours, channel)
        while len(data) < 6:
            data += receive(ours, channel)
        assert data == b"half a"
        assert receive(ours, channel) == b""
        assert not channel.ended


# The program openssl


@contextlib.contextmanager
def openssl(*arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ``openssl`` with pipes; what hangs is ended after `PATIENCE` seconds."""
    with subprocess.Popen(
        ["openssl", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        guard = threading.Timer(PATIENCE, process.kill)
        guard.start()
        try:
            yield process
        finally:
            guard.cancel()
            process.kill()
            guard.join()


def type_into(process: "subprocess.Popen[bytes]", line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line.encode() + b"\n")
    process.stdin.flush()


def read_until(process: "subprocess.Popen[bytes]", text: str) -> str:
    assert process.stdout is not None
    seen = b""
    while text.encode() not in seen:
        line = process.stdout.readline()
        assert line, seen.decode(errors="replace")
        seen += line
    return seen.decode(errors="replace")


@contextlib.contextmanager
def serving_openssl(
    pair: Pair, *arguments: str
) -> Iterator[tuple["subprocess.Popen[bytes]", socket.socket, TlsChannel]]:
    """``openssl s_client`` connected to our channel, which is established."""
    with listen() as listener:
        listener.settimeout(PATIENCE)
        address = "{}:{}".format(*listener.getsockname())
        verify = ("-CAfile", str(pair.cert), "-verify_return_error", "-verify_ip", HOST)
        with openssl("s_client", "-connect", address, *verify, *arguments) as process:
            sock, _address = listener.accept()
            with sock:
                sock.settimeout(PATIENCE)
                channel = TlsChannel(server_context(*pair), server_side=True)
                assert shake_hands_over(sock, channel) == b""
                yield process, sock, channel


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_as_the_client(pair: Pair, version: str) -> None:
    with serving_openssl(pair, version, "-quiet") as (process, sock, channel):
        sock.sendall(channel.send(b"who are you?\n"))
        read_until(process, "who are you?")
        type_into(process, "anna")
        assert receive_exactly(sock, channel, 5) == b"anna\n"
        sock.sendall(channel.close())
        process.communicate(timeout=PATIENCE)


@needs_openssl
def test_openssl_asks_for_new_keys(pair: Pair) -> None:
    # Typed at the start of a line, "K" is a KeyUpdate that asks for ours in return, before the
    # next data (RFC 8446, section 4.6.3).
    with serving_openssl(pair, "-tls1_3") as (process, sock, channel):
        for number in range(3):
            type_into(process, "K")
            chunk = sock.recv(65536)
            assert chunk
            assert channel.receive(chunk) == b""
            with_answer, without = (channel.send(b"round %d\n" % number) for _ in range(2))
            assert len(with_answer) > len(without)
            sock.sendall(with_answer + without)
            read_until(process, f"round {number}\nround {number}")
            type_into(process, "on")
            assert receive_exactly(sock, channel, 3) == b"on\n"


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_as_the_server(pair: Pair, version: str) -> None:
    # Its answer comes with two session tickets before (TLS 1.3).
    files = ("-cert", str(pair.cert), "-key", str(pair.key))
    with openssl("s_server", "-accept", f"{HOST}:0", *files, "-rev", version) as process:
        port = int(read_until(process, "ACCEPT").rpartition(":")[2])
        with socket.create_connection((HOST, port), timeout=PATIENCE) as sock:
            channel = TlsChannel(client_context(pair.cert), server_hostname=HOST)
            shake_hands_over(sock, channel)
            sock.sendall(channel.send(b"drow\n"))
            assert receive_exactly(sock, channel, 5) == b"word\n"
            sock.sendall(channel.close())


@needs_openssl
def test_openssl_finds_no_fault_with_the_certificate(pair: Pair) -> None:
    believed = ("-partial_chain", "-CAfile", str(pair.cert))
    use = ("-x509_strict", "-purpose", "sslserver", "-verify_ip", HOST)
    done = subprocess.run(
        ["openssl", "verify", *believed, *use, str(pair.cert)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout.strip().endswith(": OK"), done.stderr
