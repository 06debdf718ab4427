"""TLS without a socket: bytes in, bytes out, for connections that two threads share.

TLS (RFC 8446) carries an encrypted stream inside the TCP stream. An observer of the network sees
only who talks to whom, when, and how much; and the client knows that it talks to the server named
in the certificate. The server itself can read everything: see `chat.promises.encryption`.

The chat reads a socket in one thread and writes it in another, which `ssl.SSLSocket` does not
support. OpenSSL: "most objects are not safe for simultaneous use" (openssl-threads(7)), and reading
may have to write and writing may have to read ("Notes on non-blocking sockets" in the
documentation of `ssl`). So here OpenSSL works in memory alone (`ssl.MemoryBIO`): `TlsChannel`
turns plaintext into ciphertext and back under a lock that is never held across a system call, and
the sockets stay with the threads that own them.
"""

import contextlib
import errno
import os
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from chat.core.connection import Transport, TransportError
from chat.core.timing import Deadline
from chat.promises import UnusableError, read_file

RECORD_BYTES = 16 * 1024
"""The most plaintext in one record of TLS (RFC 8446, section 5.1)."""


class TlsError(TransportError):
    """The encrypted stream cannot go on."""


# Contexts: the certificate a side presents, and those it trusts


def server_context(cert: str | Path, key: str | Path) -> ssl.SSLContext:
    """Return the settings of a server with the certificate *cert* and its private *key*.

    Both are PEM files; *cert* may also contain the chain to an authority. TLS 1.2 and newer. Raises
    `UnusableError`.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # it costs the server much more than the client
    context.num_tickets = 0  # TLS sessions are not resumed
    load_certificate(context, cert, key)
    return context


def load_certificate(context: ssl.SSLContext, cert: str | Path, key: str | Path) -> None:
    """Present the certificate *cert* in new connections. Raises `UnusableError`."""
    _check_pem(cert, b"-----BEGIN CERTIFICATE-----", "no_certificate")
    _check_pem(key, b"PRIVATE KEY-----", "no_key")

    def refuse_to_ask() -> str:
        """Replace OpenSSL's prompt for a password: a server starts unattended."""
        raise UnusableError("key_encrypted", path=key)

    try:
        context.load_cert_chain(cert, key, password=refuse_to_ask)
    except ssl.SSLError as error:
        strangers = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
        code = "key_mismatch" if error.reason in strangers else "pair_damaged"
        raise UnusableError(code, cert=cert, key=key, reason=_reason(error)) from error


def client_context(ca_file: str | Path | None = None) -> ssl.SSLContext:
    """Return the settings of a client that verifies the server's certificate and its name.

    It trusts only the authorities in *ca_file* (PEM), or those of the system. TLS 1.2 and newer.
    Raises `UnusableError`.
    """
    if ca_file is not None:
        _check_pem(ca_file, b"-----BEGIN CERTIFICATE-----", "no_certificate")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise UnusableError("certificate_damaged", cert=ca_file, reason=_reason(error)) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _check_pem(path: str | Path, mark: bytes, code: str) -> None:
    """Look for *mark* in the file, because OpenSSL does not say which file is wrong."""
    try:
        found = mark in read_file(path)
    except OSError as error:
        raise UnusableError("unreadable", path=path, reason=error) from error
    if not found:
        raise UnusableError(code, path=path)


# The channel


class TlsChannel:
    """One side of a TLS connection, in memory.

    Its owner carries bytes between it and a socket: `handshake` until `established`, then `receive`
    for incoming bytes and `send` for outgoing data. Any thread may call any method, but the bytes
    that methods return must be written to the socket in the same order, so only one thread at a
    time may send: the reading thread during the handshake, the writing one afterwards. Receiving
    can produce output as well: the answer to a KeyUpdate goes out before the next data, as RFC
    8446, section 4.6.3, requires; anything else (an alert) goes with the next `send`, even an empty
    one.

    When the peer sends something that is not TLS or cannot be trusted, every method but
    `take_output` raises `TlsError`, always the same one, and `take_output` returns the alert for
    the peer.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        """Start as a server, or as a client of *server_hostname*: a name or an IP address."""
        self._server_hostname = server_hostname
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        # Guards the OpenSSL object, its two buffers, and everything below.
        self._lock = threading.Lock()
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_side,
            server_hostname=server_hostname,
        )
        self._plaintext = b""  # received, not returned yet
        self._established = False
        self._ended = False
        self._closed = False
        self._failure: TlsError | None = None

    @property
    def established(self) -> bool:
        """Whether the handshake is done."""
        return self._established

    @property
    def ended(self) -> bool:
        """Whether the peer has ended its stream (``close_notify``)."""
        return self._ended

    def handshake(self, received: bytes = b"") -> bytes:
        """Take bytes from the peer, return bytes to send. A client starts without any.

        Once `established`, call ``receive(b"")``: data may follow the handshake directly.
        """
        with self._lock:
            self._take_in(received)
            if not self._established:
                try:
                    self._tls.do_handshake()
                    self._established = True
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLError as error:
                    raise self._fail(error) from error
            return self._outgoing.read()

    def receive(self, chunk: bytes) -> bytes:
        """Take the next *chunk* of the stream; return the plaintext that it completes, or ``b""``.

        Check `ended` afterwards. Not before the handshake is done. Everything after the peer's
        ``close_notify`` is ignored (RFC 8446, section 6.1).
        """
        with self._lock:
            self._take_in(chunk)
            failed = self._decrypt()
            plaintext, self._plaintext = self._plaintext, b""
            if failed is not None and not plaintext:  # valid data before the error comes first
                raise failed
            return plaintext

    def send(self, data: bytes) -> bytes:
        """Return *data* encrypted, together with anything else for the peer. After `established`.

        Empty *data* adds nothing.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            rest = memoryview(data)
            try:
                while rest:
                    rest = rest[self._tls.write(rest[:RECORD_BYTES]) :]
            except ssl.SSLError as error:
                raise self._fail(error) from error
            return self._outgoing.read()

    def close(self) -> bytes:
        """Return a ``close_notify`` after anything else for the peer.

        Nothing can be sent after it; receiving goes on until the peer sends its own.
        """
        with self._lock:
            if self._established and not self._closed and self._failure is None:
                self._closed = True
                if self._decrypt() is None:  # OpenSSL would drop unread data
                    try:
                        self._tls.unwrap()
                    except ssl.SSLWantReadError:  # the peer's close_notify has not come yet
                        pass
                    except ssl.SSLError as error:
                        self._fail(error)
            return self._outgoing.read()

    def take_output(self) -> bytes:
        """Return output that no method has returned yet: after a `TlsError`, the alert."""
        with self._lock:
            return self._outgoing.read()

    # Under the lock

    def _take_in(self, received: bytes) -> None:
        if self._failure is not None:
            raise self._failure
        if not self._ended:
            self._incoming.write(received)

    def _decrypt(self) -> TlsError | None:
        """Move everything readable into ``_plaintext``; return the error, if any."""
        parts = [self._plaintext]
        try:
            while not self._ended and self._failure is None:
                part = self._tls.read(RECORD_BYTES)
                parts.append(part)
                self._ended = not part
        except ssl.SSLWantReadError:  # the rest has not come yet
            pass
        except ssl.SSLZeroReturnError:
            self._ended = True
        except ssl.SSLError as error:
            self._fail(error)
        self._plaintext = b"".join(parts)
        return self._failure

    def _fail(self, error: ssl.SSLError) -> TlsError:
        self._failure = TlsError(_code(error, established=self._established))
        return self._failure


# The transport


class TlsTransport(Transport):
    """A socket whose stream is encrypted. Seam: `chat.core.connection.Transport`."""

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        """Take over *sock*; for the rest see `TlsChannel`."""
        super().__init__(sock)
        self._channel = TlsChannel(
            context, server_side=server_side, server_hostname=server_hostname
        )
        self._decrypted = b""  # followed the handshake directly
        self._encrypted: bytes | memoryview = b""  # did not fit into the socket

    def handshake(self, deadline: Deadline) -> None:
        """Negotiate. Raises `TlsError`, `TimeoutError`, another `OSError`."""
        try:
            answer = self._channel.handshake()
            # A new connection's buffer takes the few kilobytes of a handshake at once.
            while super().send(answer) == len(answer) and not self._channel.established:
                chunk = super().receive(deadline.remaining())
                if not chunk:
                    raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
                answer = self._channel.handshake(chunk)
            if not self._channel.established:
                raise TimeoutError
            self._decrypted = self._channel.receive(b"")
        except TlsError:
            with contextlib.suppress(OSError):
                super().send(self._channel.take_output())  # the alert for the peer
            raise

    def receive(self, timeout: float | None) -> bytes:
        """Wait for the next decrypted chunk; ``b""`` is the end, also if it is not TLS."""
        decrypted, self._decrypted = self._decrypted, b""
        while not decrypted and not self._channel.ended:
            chunk = super().receive(timeout)
            if not chunk:
                break
            try:
                decrypted = self._channel.receive(chunk)
            except TlsError:
                break
        return decrypted

    def send(self, data: bytes | memoryview) -> int:
        """Encrypt all of *data* or nothing, and write to the socket what fits."""
        self._flush()
        if self._encrypted:
            return 0
        self._encrypted = self._channel.send(bytes(data))
        self._flush()
        return len(data)

    @property
    def unsent(self) -> bool:
        """Whether encrypted bytes wait for room in the socket."""
        return len(self._encrypted) > 0

    def _flush(self) -> None:
        """Write waiting encrypted bytes to the socket, as many as fit."""
        if self._encrypted:
            self._encrypted = memoryview(self._encrypted)[super().send(self._encrypted) :]

    def end(self) -> None:
        """Send a ``close_notify``, then a FIN."""
        with contextlib.suppress(OSError):
            super().send(self._channel.close())
        super().end()


def client_transport(context: ssl.SSLContext) -> Callable[[socket.socket, str], TlsTransport]:
    """Return a function that makes a client's transport from a socket and a host name."""
    return lambda sock, host: TlsTransport(sock, context, server_hostname=host)


# Errors


def _code(error: ssl.SSLError, *, established: bool) -> str:
    """Return the code of *error*, see `chat.app.sentences`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFICATION.get(error.verify_code, "certificate_invalid")
    reason = _reason(error)
    if "alert" in reason:
        about_us = "unknown ca" in reason or "certificate" in reason
        return "certificate_refused" if about_us else "encryption_ended"
    if established:
        return "encryption_damaged"
    return "no_tls" if reason in _NOT_TLS else "encryption_not_agreed"


def _reason(error: ssl.SSLError) -> str:
    """Return OpenSSL's own words for the reason."""
    return (error.reason or str(error.args[-1])).replace("_", " ").lower()


_NOT_TLS = {"wrong version number", "http request", "packet length too long", "unknown protocol"}

# Numbers of X509_STORE_CTX_get_error(3).
_VERIFICATION = {
    62: "certificate_other_name",  # X509_V_ERR_HOSTNAME_MISMATCH
    64: "certificate_other_name",  # X509_V_ERR_IP_ADDRESS_MISMATCH
    9: "certificate_not_yet_valid",
    10: "certificate_expired",
    **dict.fromkeys((18, 19, 20, 21), "certificate_untrusted"),
}
