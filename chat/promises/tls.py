"""TLS without a socket: bytes in, bytes out, for connections that two threads share.

TLS (RFC 8446) puts an encrypted stream into the stream of TCP: whoever only watches the network
sees who talks to whom, when and how much, and the client knows that it talks to the
server named in the certificate. The server itself reads everything: see `chat.promises.encryption`.

The chat reads a socket in one thread and writes it in another, and `ssl.SSLSocket` cannot take
that. OpenSSL: "most objects are not safe for simultaneous use" (openssl-threads(7)), and reading
may have to write and writing may have to read ("Notes on non-blocking sockets" in the
documentation of `ssl`). So here OpenSSL works in memory alone (`ssl.MemoryBIO`): `TlsChannel`
turns plaintext into ciphertext and back under a lock held for no system call, and the sockets stay
with the threads that own them.
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


# Contexts: what a side shows, and whom it believes


def server_context(cert: str | Path, key: str | Path) -> ssl.SSLContext:
    """Return the settings of a server that shows the certificate *cert* and owns its *key*.

    Both are files in PEM form; *cert* may go on with the certificates that lead to an authority.
    TLS 1.2 and newer. Raises `UnusableError`.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # costs a server much more than it costs the asker
    context.num_tickets = 0  # nobody resumes sessions here
    load_certificate(context, cert, key)
    return context


def load_certificate(context: ssl.SSLContext, cert: str | Path, key: str | Path) -> None:
    """Show the certificate *cert* to whoever connects from now on. Raises `UnusableError`."""
    _check_pem(cert, b"-----BEGIN CERTIFICATE-----", "no_certificate")
    _check_pem(key, b"PRIVATE KEY-----", "no_key")

    def refuse_to_ask() -> str:
        """Stand in for OpenSSL's own question: a server starts without a person."""
        raise UnusableError("key_encrypted", path=key)

    try:
        context.load_cert_chain(cert, key, password=refuse_to_ask)
    except ssl.SSLError as error:
        strangers = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
        code = "key_mismatch" if error.reason in strangers else "pair_damaged"
        raise UnusableError(code, cert=cert, key=key, reason=_reason(error)) from error


def client_context(ca_file: str | Path | None = None) -> ssl.SSLContext:
    """Return the settings of a client that verifies the server's certificate and its name.

    It believes the authorities in *ca_file* (PEM) and no others, or those of the system. TLS 1.2
    and newer. Raises `UnusableError`.
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
    """Look for *mark* in the file, because OpenSSL does not say which file was wrong."""
    try:
        found = mark in read_file(path)
    except OSError as error:
        raise UnusableError("unreadable", path=path, reason=error) from error
    if not found:
        raise UnusableError(code, path=path)


# The channel


class TlsChannel:
    """One side of a TLS connection, in memory.

    Its owner carries bytes between it and a socket: first `handshake` until `established`, then
    `receive` what came and `send` what is to go. Any thread may call any method; but what methods
    return must go into the socket in the order in which it was returned, so let one thread at a
    time take it: the reading thread during the handshake, afterwards the writing one. Reading can
    make something to send, too: an answer to a KeyUpdate goes out before the next data, as RFC
    8446, section 4.6.3, wants it; all else (an alert) goes with the next `send`, also of nothing.

    Every method but `take_output` raises `TlsError` when the peer sends what is not TLS, or cannot
    be trusted; from then on always the same, while `take_output` returns the alert that
    tells the peer.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        """Begin as a server, or as a client of *server_hostname*: a name, or an IP address."""
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
        self._plaintext = b""  # received, and not returned yet
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
        """Whether the peer has said that nothing more will come (``close_notify``)."""
        return self._ended

    def handshake(self, received: bytes = b"") -> bytes:
        """Take what the peer has sent; return what to send it. A client begins with nothing.

        Once `established`, call ``receive(b"")``: data may have come right behind the handshake.
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

        Look at `ended` afterwards. Not before the handshake is done. What
        comes after the peer's goodbye is ignored (RFC 8446, section 6.1).
        """
        with self._lock:
            self._take_in(chunk)
            failed = self._decrypt()
            plaintext, self._plaintext = self._plaintext, b""
            if failed is not None and not plaintext:  # what was in order before it comes first
                raise failed
            return plaintext

    def send(self, data: bytes) -> bytes:
        """Return what carries *data* to the peer, and whatever else is for it. After `established`.

        Empty *data* adds nothing of its own.
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
        """Return the goodbye, ``close_notify``, behind whatever else is for the peer.

        Nothing can be sent after it; receiving goes on until the peer says goodbye, too.
        """
        with self._lock:
            if self._established and not self._closed and self._failure is None:
                self._closed = True
                if self._decrypt() is None:  # OpenSSL would drop what is left unread
                    try:
                        self._tls.unwrap()
                    except ssl.SSLWantReadError:  # the peer's goodbye has not come yet
                        pass
                    except ssl.SSLError as error:
                        self._fail(error)
            return self._outgoing.read()

    def take_output(self) -> bytes:
        """Return what no method has returned yet: after a `TlsError`, the alert for the peer."""
        with self._lock:
            return self._outgoing.read()

    # Under the lock

    def _take_in(self, received: bytes) -> None:
        if self._failure is not None:
            raise self._failure
        if not self._ended:
            self._incoming.write(received)

    def _decrypt(self) -> TlsError | None:
        """Move all that can be read into ``_plaintext``; return what went wrong."""
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
        """Take over *sock*; `TlsChannel` explains the rest."""
        super().__init__(sock)
        self._channel = TlsChannel(
            context, server_side=server_side, server_hostname=server_hostname
        )
        self._decrypted = b""  # came right behind the handshake
        self._encrypted: bytes | memoryview = b""  # the socket had no room for it

    def handshake(self, deadline: Deadline) -> None:
        """Agree on a cipher. Raises `TlsError`, `TimeoutError`, another `OSError`."""
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
                super().send(self._channel.take_output())  # the alert that tells the peer
            raise

    def receive(self, timeout: float | None) -> bytes:
        """Wait for the next decrypted chunk; ``b""`` is the end, also of what is no TLS."""
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
        """Encrypt *data*, all of it or nothing, and put into the socket what goes."""
        self.flush()
        if self._encrypted:
            return 0
        self._encrypted = self._channel.send(bytes(data))
        self.flush()
        return len(data)

    @property
    def unsent(self) -> bool:
        """Whether the socket had no room for all that is encrypted."""
        return len(self._encrypted) > 0

    def flush(self) -> None:
        """Put what is encrypted into the socket, as far as it goes."""
        if self._encrypted:
            self._encrypted = memoryview(self._encrypted)[super().send(self._encrypted) :]

    def end(self) -> None:
        """Say goodbye in TLS, then in TCP."""
        with contextlib.suppress(OSError):
            super().send(self._channel.close())
        super().end()


def client_transport(context: ssl.SSLContext) -> Callable[[socket.socket, str], TlsTransport]:
    """Return what makes the transport of a client to a host, from a socket."""
    return lambda sock, host: TlsTransport(sock, context, server_hostname=host)


# What went wrong


def _code(error: ssl.SSLError, *, established: bool) -> str:
    """Return the code of what went wrong, see `chat.app.sentences`."""
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
    """Return OpenSSL's reason in its own words."""
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
