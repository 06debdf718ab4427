"""Texts for codes: errors of the system, refusals, and why a connection has ended.

The packages below use codes, never prose; the programs print these texts. The tables are in English
and are translated when they are used.
"""

import errno
import os
import re
from collections.abc import Mapping

from chat.app.i18n import gettext as _
from chat.app.i18n import mark
from chat.core.protocol import printable
from chat.promises import UnusableError

# Why something failed

_REASONS: dict[str | int, str] = {
    # Errors by their types
    "IsADirectoryError": mark("it is a directory"),
    "PermissionError": mark("permission denied"),
    "ConnectionRefusedError": mark("nobody listens there"),
    "TimeoutError": mark("no answer in time"),
    "UnicodeDecodeError": mark("it is not UTF-8 text"),
    "TOMLDecodeError": mark("it is not TOML, where texts stand in quotation marks: {reason}"),
    "RuntimeError": mark("the home folder is unknown"),
    "gaierror": mark("no such host is known"),
    "ConnectionClosedError": mark("it is not a chat server, or it has closed the connection"),
    # Errors of the system by their numbers
    errno.ENOENT: mark("there is no such file"),
    errno.EADDRINUSE: mark("the port is already in use"),
    errno.EADDRNOTAVAIL: mark("this machine has no such address"),
    errno.EAFNOSUPPORT: mark("this machine does not support such addresses"),
    errno.ENETUNREACH: mark("there is no route to that network"),
    errno.EHOSTUNREACH: mark("there is no route to that host"),
    errno.ECONNRESET: mark("the other side has closed the connection"),
    errno.EMFILE: mark("too many open files or connections (see ulimit -n)"),
    errno.ENFILE: mark("the whole system has too many open files"),
    errno.ENOSPC: mark("the disk is full"),
    errno.EROFS: mark("the disk is read-only"),
    errno.EIO: mark("the disk does not work"),
    errno.EFBIG: mark("the file is too large"),
    errno.ENOTDIR: mark("a folder in the path is a file"),
    errno.ENAMETOOLONG: mark("the name is too long"),
    # Errors of SQLite by their texts
    "database or disk is full": mark("the disk is full"),
    "attempt to write a readonly database": mark("the file is read-only"),
    "disk I/O error": mark("the disk does not work"),
    "unable to open database file": mark("the file cannot be opened"),
    "file is not a database": mark("it is not a history file"),
    "database is locked": mark("another program uses the file"),
    # Encryption in transit: why a stream cannot go on, or a peer cannot be believed
    "": mark("it has sent nothing: a client without --tls?"),
    "certificate_invalid": mark("its certificate is not valid"),
    "certificate_untrusted": mark(
        "its certificate is not signed by anybody this client trusts (see --tls-ca)"
    ),
    "certificate_expired": mark("its certificate has expired"),
    "certificate_not_yet_valid": mark("its certificate is not valid yet: is the clock right?"),
    "certificate_other_name": mark("its certificate is for another name or address"),
    "certificate_refused": mark("the other side does not accept our certificate"),
    "encryption_ended": mark("the other side has broken off the encryption"),
    "encryption_damaged": mark("the encrypted stream was damaged in transit"),
    "encryption_not_agreed": mark("no encryption could be agreed on"),
    "no_tls": mark("the other side does not speak TLS"),
}
_NUMBERS = {os.strerror(key): key for key in _REASONS if isinstance(key, int)}


def why(error: Exception) -> str:
    """Return the reason of *error* in a few words, or a sentence that it is, for the user."""
    if isinstance(error, UnusableError):
        return setting(error.code, error.details)
    for key in (type(error).__name__, getattr(error, "errno", None)):
        if key in _REASONS:
            return _(_REASONS[key]).format(reason=error)
    return phrase(getattr(error, "strerror", None) or str(error))


def phrase(reason: str) -> str:
    """Return a *reason* in the user's language: a code, or words of the system or of SQLite."""
    reason = re.sub(r"^\[Errno \d+\] ", "", reason)  # as an OSError is written
    key = _NUMBERS.get(reason, reason)
    return _(_REASONS[key]) if key in _REASONS else reason


# What cannot be used of the options on the command line

_SETTINGS = {
    "unreadable": mark("Cannot read {path}: {reason}."),
    "no_certificate": mark("{path} holds no certificate (PEM)."),
    "no_key": mark("{path} holds no private key (PEM)."),
    "key_encrypted": mark(
        "The private key {path} is encrypted; the server needs one without password."
    ),
    "key_mismatch": mark("The private key {key} does not belong to the certificate {cert}."),
    "pair_damaged": mark("The certificate {cert} or its private key {key} is damaged: {reason}."),
    "certificate_damaged": mark("The certificate {cert} is damaged: {reason}."),
    "no_passphrase": mark("The first line of {path} holds no passphrase."),
    "passphrase_short": mark(
        "The passphrase in {path} is too short. Fewest characters that will do: {n}."
    ),
    "no_memory": mark("There is no memory to derive a key from the passphrase."),
    "no_cryptography": mark("This needs the package cryptography: pip install cryptography."),
    "no_redis": mark("Cannot use Redis: {reason}."),
    "no_redis_package": mark("--backplane needs the package redis: pip install 'redis[hiredis]'."),
}


def setting(code: str, values: Mapping[str, object]) -> str:
    """Return what is wrong with a setting; exceptions among *values* are put in words."""
    words = {
        # The sentence around it has a full stop of its own.
        name: why(value).rstrip(".") if isinstance(value, Exception) else value
        for name, value in values.items()
    }
    return _(_SETTINGS[code]).format(**words)


# Refusals, and the end of a connection

_ERRORS = {
    "admin not_admin": mark(
        "That is not the admin's password, or the server was started without one "
        "(--admin-password-file). /admin asks again."
    ),
    "admin too_fast": mark("Too many wrong passwords. Wait a few seconds, then try /admin again."),
    "bad_frame": mark(
        "The server did not understand the request: are client and server of one version?"
    ),
    "frame_too_long": mark("The request was too long for the server. Send it in parts."),
    "unknown_type": mark("The server does not know this request: is it of another version?"),
    "not_registered": mark("You are not in the chat any more. Start the client again."),
    "bad_nick": mark(
        "This nickname is not allowed: letters, digits, and _ - . after the first character, "
        "up to 32 characters, no spaces."
    ),
    "nick_taken": mark("This nickname is taken. Choose another one."),
    "no_such_user": mark("There is no such user here. /users shows who is."),
    "bad_text": mark("The text is empty or has characters that a terminal must not get."),
    "text_too_long": mark("The message is too long. Send it in parts."),
    "too_fast": mark("Too many messages at once. Wait a moment and send it again."),
    "server_full": mark(
        "The server is full. Try again later, or ask whoever runs it for more --max-clients."
    ),
    "not_admin": mark("Only the admin may do that. /admin asks for the password."),
    "register_timeout": mark(
        "The server waited too long for a nickname. Start the client again, "
        "with --nick it does not have to wait."
    ),
    "not_recorded": mark(
        "The server cannot write its history down, so nobody got the message. Whoever runs it "
        "should see whether its disk is full."
    ),
    "unavailable": mark(
        "The server cannot reach the store that it shares with the others. Try again in a moment."
    ),
}
"""By the code, or first by the type of the refused request and the code."""

_ENDS = {
    "lost": mark("The connection to the server is lost."),
    "shutdown": mark("The server is shutting down. The conversation is over."),
    "kicked": mark("The admin has removed you from the chat."),
    "timeout": mark("The server had no answer from us for too long and has closed the connection."),
    "flood": mark("The server has closed the connection: too many messages at once."),
    "slow": mark("The server has closed the connection: we read too slowly."),
    "replaced": mark("You have come in from somewhere else; this client is not needed any more."),
    "bad_frame": mark("The server sent something that is not a message of this chat."),
    "untrusted": mark(
        "Nothing was sent to it. If its certificate was really renewed, get the new one from "
        "whoever runs the server, and start the client again with --tls-ca."
    ),
    "nick_taken": mark(
        "Somebody took your nickname while there was no connection. "
        "Start the client again with another --nick."
    ),
}
_LEFT = {
    "quit": mark("{nick} has left"),
    "lost": mark("{nick} is gone: the connection was lost"),
    "timeout": mark("{nick} is gone: no answer"),
    "kicked": mark("{nick} was removed by the admin"),
    "slow": mark("{nick} was disconnected: reads too slowly"),
    "flood": mark("{nick} was disconnected: writes too much"),
    "shutdown": mark("{nick} was told goodbye"),
}


def error_sentence(code: str, refused: object = None) -> str:
    """Return what an error *code* of the protocol means, and what to do next.

    *refused* is the type of the request, where it is known.
    """
    for key in (f"{refused} {code}", code):
        if key in _ERRORS:
            return _(_ERRORS[key])
    return _("The server refused: {code}.").format(code=printable(str(code)))


def end_sentence(reason: str) -> str:
    """Return why the conversation has ended, for a *reason* of a ``closed`` event."""
    return _(_ENDS.get(reason, _ENDS["lost"]))


def left_sentence(reason: str) -> str:
    """Return how ``{nick}`` left, for a *reason* of the protocol."""
    return _(_LEFT.get(reason, _LEFT["quit"]))
