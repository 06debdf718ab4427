"""``python -m chat.app.certificate``: a pair for a classroom, and what to do with it."""

import os
import shutil
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from chat.app import certificate
from chat.app.options import OptionError
from chat.promises.tls import TlsChannel, client_context, server_context
from tests.scripts.programs import ROOT
from tests.tls.sides import Pair, Sides, channels, shake_hands

WITHOUT_PACKAGE = "import sys; sys.modules['cryptography'] = None; "


def run(folder: Path, *arguments: str, code: str = "") -> "subprocess.CompletedProcess[str]":
    start = f"{code}from chat.app.certificate import main; raise SystemExit(main())"
    return subprocess.run(
        [sys.executable, "-c", start, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )


def test_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cert, key = certificate.write_pair(tmp_path / "new" / "folder", ["localhost"])
    finally:
        os.umask(before)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(cert.stat().st_mode) == 0o644
    assert b"PRIVATE KEY" not in cert.read_bytes()


def test_a_pair_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    cert, key = certificate.write_pair(tmp_path, ["localhost"])
    before = cert.read_bytes(), key.read_bytes()
    with pytest.raises(OptionError, match="--replace"):
        certificate.write_pair(tmp_path, ["localhost"])
    assert (cert.read_bytes(), key.read_bytes()) == before
    key.chmod(0o644)
    certificate.write_pair(tmp_path, ["localhost"], replace=True)
    assert (cert.read_bytes(), key.read_bytes()) != before
    assert stat.S_IMODE(key.stat().st_mode) == 0o600  # not that of the file before
    server_context(cert, key)


def test_a_key_without_its_certificate_is_not_overwritten_either(tmp_path: Path) -> None:
    (tmp_path / certificate.KEY_NAME).write_text("somebody needs this")
    with pytest.raises(OptionError, match="--replace"):
        certificate.write_pair(tmp_path, ["localhost"])
    assert [path.name for path in tmp_path.iterdir()] == [certificate.KEY_NAME]


@pytest.mark.parametrize("name", ["192.0.2.7", "2001:db8::7", "teacher", "чат.рф", "chat.example"])
def test_the_names_asked_for_are_in_it(name: str, tmp_path: Path) -> None:
    pair = Pair(*certificate.write_pair(tmp_path, [name]))
    shake_hands(channels(pair, name=name))


def test_it_passes_the_strict_checks_that_newer_pythons_make(tmp_path: Path) -> None:
    """As `ssl.create_default_context` of Python 3.13 does."""
    cert, key = certificate.write_pair(tmp_path, ["localhost"])
    strict = client_context(cert)
    strict.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    server = TlsChannel(server_context(cert, key), server_side=True)
    shake_hands(Sides(server, TlsChannel(strict, server_hostname="localhost")))


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="file"):
        certificate.write_pair(tmp_path / "file" / "tls", ["localhost"])


def test_the_script_says_what_to_start_now(tmp_path: Path) -> None:
    done = run(tmp_path, "--lang", "ru", "192.0.2.7", "--directory", "мой класс")
    assert (done.returncode, done.stderr) == (0, "")
    cert, key = "'мой класс/chat-cert.pem'", "'мой класс/chat-key.pem'"
    server, client = (line for line in done.stdout.splitlines() if "-m chat." in line)
    assert all(shutil.which(line.split()[0]) for line in (server, client))
    assert server.endswith(f"--tls-cert {cert} --tls-key {key}")
    assert client.endswith(f"--host 192.0.2.7 --tls-ca {cert}")
    assert "localhost, 127.0.0.1, ::1" in done.stdout
    pair = Pair(*(tmp_path / "мой класс" / name for name in ("chat-cert.pem", "chat-key.pem")))
    for name in ("localhost", "127.0.0.1", "::1", "192.0.2.7"):
        shake_hands(channels(pair, name=name))


def test_the_script_speaks_english_too(tmp_path: Path) -> None:
    done = run(tmp_path, "--lang", "en")
    assert "The server:" in done.stdout
    again = run(tmp_path, "--lang", "en")
    assert again.returncode == 1
    assert again.stderr == "tls/chat-cert.pem exists already; --replace makes a new pair.\n"


@pytest.mark.parametrize(
    "arguments", [["--days", "0"], ["--days", "99999999"], [""], ["a" * 64], ["a..b"]]
)
def test_what_cannot_be_is_one_line(arguments: list[str], tmp_path: Path) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not list(tmp_path.iterdir())


def test_without_the_package_it_says_how_to_get_it(tmp_path: Path) -> None:
    done = run(tmp_path, "--lang", "en", code=WITHOUT_PACKAGE)
    assert done.returncode == 1
    assert done.stderr == ("This needs the package cryptography: pip install cryptography.\n")
