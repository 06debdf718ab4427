"""A certificate for a classroom: ``python -m chat.app.certificate NAME…``, or ``make cert``.

Writes a self-signed certificate and its private key. The server needs both; the clients need the
certificate, as the only one that they trust (``--tls-ca``). The certificate is no secret, but
anybody who has the key can impersonate the server.

Needs the package ``cryptography``, as `chat.promises.encryption` does: it is installed in the same
way, and in the same version, on every system, which the program ``openssl`` is not.
"""

import argparse
import datetime
import ipaddress
import os
import shlex
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from chat.app import options as cli
from chat.app.i18n import gettext as _
from chat.app.sentences import why
from chat.promises import UnusableError

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:  # `write_pair` says so
    x509 = None  # type: ignore[assignment]

CERT_NAME = "chat-cert.pem"
KEY_NAME = "chat-key.pem"
DEFAULT_DIRECTORY = "tls"
DEFAULT_DAYS = 365
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


def write_pair(
    directory: str | Path, names: Iterable[str], *, days: int = DEFAULT_DAYS, replace: bool = False
) -> tuple[Path, Path]:
    """Write a certificate for *names* (hosts and IP addresses) and its key into *directory*.

    Returns their paths. The certificate is valid from yesterday, because clocks differ, for *days*.
    Raises `cli.OptionError` with a sentence: when the package is missing, the files
    exist and not *replace*, or they cannot be written.
    """
    if x509 is None:
        raise UnusableError("no_cryptography")
    cert_path, key_path = Path(directory) / CERT_NAME, Path(directory) / KEY_NAME
    cert, key = _make_pair(names, days)
    try:
        cert_path.parent.mkdir(parents=True, exist_ok=True)
        for path in (cert_path, key_path):
            if replace:
                path.unlink(missing_ok=True)
            elif path.exists():
                raise cli.OptionError(
                    _("{path} exists already; --replace makes a new pair.").format(path=path)
                )
        # Created with its mode: the key must not be readable by others even for a moment.
        for path, data, mode in ((key_path, key, 0o600), (cert_path, cert, 0o644)):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
    except OSError as error:
        raise cli.OptionError(
            _("Cannot write to {path}: {reason}.").format(path=directory, reason=why(error))
        ) from error
    return cert_path, key_path


def _make_pair(names: Iterable[str], days: int) -> tuple[bytes, bytes]:
    """Return a certificate and its key in PEM form."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tcp-chat")])
    now = _now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(map(_general_name, names)), critical=False)
        # Not an authority: it cannot sign certificates of others.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _general_name(name: str) -> "x509.GeneralName":
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode())


def main(arguments: list[str] | None = None) -> int:
    """Write a pair as the command line asks; return the exit status."""
    cli.choose_language(arguments)
    cli.prepare_streams()
    return cli.attempt(_write, _parser().parse_args(arguments))


def _write(options: argparse.Namespace) -> int:
    names = list(dict.fromkeys([*LOCAL_NAMES, *_own_name(), *options.names]))
    cert, key = write_pair(options.directory, names, days=options.days, replace=options.replace)
    tls = f"--tls-cert {shlex.quote(str(cert))} --tls-key {shlex.quote(str(key))}"
    host = options.names[0] if options.names else "localhost"
    said = [
        _("The certificate is for {names}.").format(names=", ".join(names)),
        _("{cert} is for everybody; {key} stays with the server and is shown to nobody.").format(
            cert=cert, key=key
        ),
        _("The server:"),
        f"  {cli.PYTHON} -m chat.server --host 0.0.0.0 {tls}",
        _("Each client, with the server's name or address as above:"),
        f"  {cli.PYTHON} -m chat.client --host {host} --tls-ca {shlex.quote(str(cert))}",
    ]
    if not options.names:
        said += [_("If they use another name or address for the server, name it, with --replace.")]
    cli.write("\n".join(said) + "\n")
    return 0


def _own_name() -> list[str]:
    """Return this machine's name, if a certificate can hold it."""
    try:
        return [_host(socket.gethostname())]
    except argparse.ArgumentTypeError:
        return []


def _host(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError(_("a name or an IP address is needed"))
    return cli.host_name(text)


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(
        prog="chat.app.certificate",
        description=_("Writes a self-signed certificate for a chat server, and its private key."),
    )
    parser.add_argument(
        "names",
        nargs="*",
        type=_host,
        metavar=_("NAME"),
        help=_("a name or IP address by which clients call the server, besides this machine's own"),
    )
    parser.add(
        "--directory",
        cli.file_path,
        _("DIRECTORY"),
        _("where to write the two files"),
        DEFAULT_DIRECTORY,
    )
    hundred_years = 36_500
    parser.add(
        "--days",
        cli.number(int, 1, hundred_years),
        _("N"),
        _("how long the certificate is valid"),
        DEFAULT_DAYS,
    )
    parser.add_switch("--replace", _("replace the pair that is there already"))
    cli.add_language(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
