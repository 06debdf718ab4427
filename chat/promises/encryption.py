"""End-to-end encryption with a shared passphrase: the server forwards texts it cannot read.

What each layer hides, and from whom:

1. Without any encryption, everybody on the network path can read and change everything; so can the
   server, whose terminal (with ``--show-text``) and history file show the texts.
2. TLS (`chat.promises.tls`) hides the conversation from the network, detects changes made there,
   and proves to the client that it talks to the owner of the certificate's key.
3. TLS does not hide who connects to whom, when, and how many bytes are sent; and it hides nothing
   from the server. Nor does it tell the server who a user is: nicknames are first come.
4. End-to-end encryption hides all texts from the server, its terminal, its history, and anyone who
   steals that.
5. It does not hide sender, recipient, time, and size, nor nicknames, which are sent in plain text.
6. A text cannot be decrypted if one bit of it was changed, or if it was given another sender or
   recipient: those are authenticated with it. But all who know the passphrase are one party: they
   can read each other's private messages if they get hold of them, and write in each other's names.
7. The server can still drop, delay, reorder, and repeat messages, forge times and numbers, and add
   unencrypted texts: a client with a passphrase must mark those, and must not accept a nickname
   from the server that it did not ask for. The server cannot make up a text that can be decrypted.
8. There is one salt for all: equal passphrases give equal keys everywhere, and one dictionary works
   against all chats. With scrypt each guess costs 128 MiB; a random passphrase cannot be guessed.
9. There is no forward secrecy: whoever learns the passphrase later can read everything recorded
   before. Change it when somebody leaves. (TLS 1.3 has it: RFC 8446, appendix E.1.)
10. None of this helps against a strange program or person on a user's own machine, where texts,
    passphrase, and the transcript of ``--log`` are in plain text.

How it works: the key is derived from the passphrase by scrypt (RFC 7914), once at the start. A text
is encrypted with ChaCha20-Poly1305 (RFC 8439), authenticated encryption with associated data: here
sender and recipient. Fernet is simpler to use but has no associated data, so a server could present
Boris's text as Anna's; and it adds a timestamp in plain text. The nonce is random, 12 bytes, and
sent along. Two equal nonces under one key would reveal both texts; among 2**32 messages that
happens with a probability below 2**-32 (NIST SP 800-38D, section 8.3, sets that limit for nonces of
this length).

The salt is a constant, because all who know the passphrase must derive the same key without further
communication; a random salt in each message would cost each reader one scrypt per message. The
constant contains a version: other parameters need another salt, so old and new keys differ.
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
"""Bytes that sealing adds to a text, before Base64: the nonce and the tag."""

PASSPHRASE_CHARS = 12
"""Shortest passphrase, in characters: it can be guessed offline, limited only by memory."""


class SealError(ValueError):
    """A message that cannot be decrypted."""


class Cipher:
    """Encrypts and decrypts texts with one passphrase. Any thread may use it."""

    def __init__(self, passphrase: str) -> None:
        """Derive the key from *passphrase*, which takes some tenths of a second and 128 MiB.

        Raises `UnusableError` when the package ``cryptography`` is not installed, or when there is
        no memory for scrypt.
        """
        if ChaCha20Poly1305 is None:
            raise UnusableError("no_cryptography")
        try:
            key = hashlib.scrypt(
                # Other systems may compose the same letters differently (RFC 8265, section 4.2).
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
        """Return *text* encrypted, in Base64; for its length see `sealed_chars`.

        It can be decrypted only as a message of *sender* to *to* (None: everyone), in whatever case
        the nicknames are written. Raises `UnicodeEncodeError` for lone surrogates: call
        `chat.core.protocol.check_text` first, because the server cannot check it.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        ciphertext = self._aead.encrypt(nonce, text.encode(), _who_to_whom(sender, to))
        return base64.b64encode(nonce + ciphertext).decode()

    def open(self, sealed: str, sender: str, to: str | None) -> str:
        """Return the text in *sealed*, a message of *sender* to *to*.

        Pass it to `chat.core.protocol.printable` before showing it. Raises `SealError` if it was
        sealed with another passphrase, by or for somebody else, or was changed.
        """
        try:
            data = base64.b64decode(sealed, validate=True)
            nonce, ciphertext = data[:NONCE_BYTES], data[NONCE_BYTES:]
            return self._aead.decrypt(nonce, ciphertext, _who_to_whom(sender, to)).decode()
        except (InvalidTag, ValueError) as error:
            raise SealError("another passphrase, or it was changed in transit") from error


def sealed_chars(text_chars: int) -> int:
    """Return the length, at most, of a text of *text_chars* characters when sealed."""
    longest = 4 * text_chars + OVERHEAD_BYTES  # a character takes up to four bytes (RFC 3629, 3)
    return (longest + 2) // 3 * 4


def read_passphrase(path: str | Path) -> str:
    """Return the passphrase: the first line of the file at *path*, without spaces around it.

    Raises `UnusableError`: the file cannot be read, or the passphrase is missing or too short.
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
    """Return the associated data: the same bytes for the same pair of users."""
    names = [VERSION, nick_key(sender), None if to is None else nick_key(to)]
    return json.dumps(names).encode()
