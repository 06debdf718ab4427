"""End-to-end encryption under a shared passphrase: the server carries what it cannot read.

What each layer hides, and from whom:

1. Nothing switched on: everybody on the network path reads all and may change it; so do the
   server, its terminal with ``--show-text`` and its history file.
2. TLS (`chat.promises.tls`) hides the conversation from the network, shows changes made there, and
   proves to the client which server it talks to: the one that has the certificate's key.
3. TLS does not hide who connects to whom, when, and how many bytes pass; nor anything from the
   server. The server learns from TLS nothing about who a user is: nicknames are first come.
4. End-to-end hides every text from the server, its terminal, its history, and whoever steals it.
5. It does not hide sender, recipient, time and size; nor nicknames, which are plain on the wire.
6. A text moved to another sender or recipient, or changed in one bit, does not open: those are
   bound to it. The sender's word is the limit: all who know the passphrase are one party, read
   each other's private messages if they get hold of them, and can write in each other's names.
7. The server can still drop, delay, reorder and repeat messages, forge time and number, and add
   texts that are not sealed: a client with a passphrase has to mark those, and to refuse a nickname
   from the server that it did not ask for. Nothing sealed opens that nobody sealed.
8. One salt for all: equal passphrases give equal keys everywhere, and a guesser's dictionary works
   against all chats at once. scrypt makes each guess cost 128 MiB; a random passphrase ends it.
9. No forward secrecy: whoever learns the passphrase later reads everything recorded before. Change
   it when somebody leaves. (TLS 1.3 has it: RFC 8446, appendix E.1.)
10. None of it helps against a strange program or reader on a user's own machine, where texts and
    passphrase lie open, or the log of ``--log``.

How it is done: the key is scrypt (RFC 7914) of the passphrase, once at the start. A text is
sealed by ChaCha20-Poly1305 (RFC 8439), an authenticated encryption with associated data: the data
are sender and recipient. Fernet, which is simpler to hold, has no associated data, so
a server could tell Boris's words as Anna's; and it adds a time of its own in the clear. The nonce
is random: 12 bytes, sent along. Two equal nonces under one key would give both texts away;
among 2**32 messages that happens with a probability below 2**-32 (NIST SP 800-38D, section 8.3,
sets that limit for nonces of this length).

The salt is a constant, because all who know the passphrase must get one key without asking
each other for anything; a random salt in each message would cost each reader one scrypt a message.
The constant carries a version: other parameters take another salt, so old and new do not mix.
"""

import base64
import hashlib
import json
import secrets
import unicodedata
from pathlib import Path

from chat.core.protocol import nick_key
from chat.promises import UnusableError, read_file

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
except ImportError:  # `Cipher` says so
    ChaCha20Poly1305 = None  # type: ignore[assignment,misc]

VERSION = "tcp-chat end-to-end 1"

# 128 * N * r bytes of memory and some tenths of a second; r and p as RFC 7914, section 2, has them,
# N as OWASP recommends for them (Password Storage Cheat Sheet).
SCRYPT_N = 2**17
SCRYPT_R = 8
SCRYPT_P = 1
_SCRYPT_MEMORY = 2 * 128 * SCRYPT_N * SCRYPT_R

KEY_BYTES = 32
NONCE_BYTES = 12
OVERHEAD_BYTES = NONCE_BYTES + 16
"""What sealing adds to a text, in bytes, before base64: the nonce and the tag."""

PASSPHRASE_CHARS = 12
"""Shortest passphrase: guessing happens without us, as fast as memory can be bought."""


class SealError(ValueError):
    """A message that does not open."""


class Cipher:
    """Seals and opens texts under one passphrase. Any thread may use it; it shows no secret."""

    def __init__(self, passphrase: str) -> None:
        """Derive the key from *passphrase*: that takes some tenths of a second and 128 MiB.

        Raises `UnusableError` when the package ``cryptography`` is not installed, or when there is
        no memory for scrypt.
        """
        if ChaCha20Poly1305 is None:
            raise UnusableError("no_cryptography")
        try:
            key = hashlib.scrypt(
                # Another system may write the same letters otherwise (RFC 8265, section 4.2).
                unicodedata.normalize("NFC", passphrase).encode(),
                salt=VERSION.encode(),
                n=SCRYPT_N,
                r=SCRYPT_R,
                p=SCRYPT_P,
                maxmem=_SCRYPT_MEMORY,
                dklen=KEY_BYTES,
            )
        except (MemoryError, ValueError) as error:
            raise UnusableError("no_memory") from error
        self._aead = ChaCha20Poly1305(key)

    def seal(self, text: str, sender: str, to: str | None) -> str:
        """Return *text* as only the passphrase opens it: base64, see `sealed_chars`.

        It opens only as said by *sender* to *to* (None: everyone); how a nickname is written,
        small or capital, does not matter. Raises `UnicodeEncodeError` for lone surrogates:
        `chat.core.protocol.check_text` first, for the server cannot.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        ciphertext = self._aead.encrypt(nonce, text.encode(), _who_to_whom(sender, to))
        return base64.b64encode(nonce + ciphertext).decode()

    def open(self, sealed: str, sender: str, to: str | None) -> str:
        """Return the text in *sealed*, said by *sender* to *to*.

        It is the peer's text as it is: show it through `chat.core.protocol.printable`. Raises
        `SealError` when it was sealed under another passphrase, by or for somebody else, or was
        changed since.
        """
        try:
            data = base64.b64decode(sealed, validate=True)
            nonce, ciphertext = data[:NONCE_BYTES], data[NONCE_BYTES:]
            return self._aead.decrypt(nonce, ciphertext, _who_to_whom(sender, to)).decode()
        except (InvalidTag, ValueError) as error:
            raise SealError("another passphrase, or it was changed in transit") from error


def sealed_chars(text_chars: int) -> int:
    """Return the most characters that a text of *text_chars* characters takes when sealed."""
    longest = 4 * text_chars + OVERHEAD_BYTES  # a character takes up to four bytes (RFC 3629, 3)
    return (longest + 2) // 3 * 4


def read_passphrase(path: str | Path) -> str:
    """Return the passphrase: the first line of the file at *path*, without spaces around it.

    Raises `UnusableError` with a sentence: the file cannot be read, or the passphrase is too short.
    """
    try:
        # "-sig": an editor of Windows may put a byte order mark in front.
        lines = read_file(path).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableError("unreadable", path=path, reason=error) from None
    passphrase = lines[0].strip() if lines else ""
    if not passphrase:
        raise UnusableError("no_passphrase", path=path)
    if len(passphrase) < PASSPHRASE_CHARS:
        raise UnusableError("passphrase_short", path=path, n=PASSPHRASE_CHARS)
    return passphrase


def _who_to_whom(sender: str, to: str | None) -> bytes:
    """Return the associated data, one way only to write them for one pair of users."""
    names = [VERSION, nick_key(sender), None if to is None else nick_key(to)]
    return json.dumps(names).encode()
