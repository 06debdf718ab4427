"""What `chat.promises.tls` makes of files: contexts, and why a file will not do."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from chat.app.sentences import setting
from chat.promises import UnusableError
from chat.promises.tls import client_context, server_context
from tests.tls.sides import Pair

pytestmark = pytest.mark.usefixtures("english")


def complaint_about_pair(cert: Path, key: Path) -> str:
    with pytest.raises(UnusableError) as caught:
        server_context(cert, key)
    return setting(caught.value.code, caught.value.details)


def complaint_about_ca(path: Path) -> str:
    with pytest.raises(UnusableError) as caught:
        client_context(path)
    return setting(caught.value.code, caught.value.details)


@pytest.fixture
def junk(tmp_path: Path) -> Path:
    path = tmp_path / "junk.pem"
    path.write_bytes(b"\x00\xff no PEM at all")
    return path


def test_a_client_verifies_by_default() -> None:
    context = client_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_client_with_an_authority_of_its_own_believes_no_other(pair: Pair) -> None:
    subjects = [certificate["subject"] for certificate in client_context(pair.cert).get_ca_certs()]
    assert not subjects  # the one certificate is no authority: it is believed as it stands
    assert client_context(pair.cert).cert_store_stats()["x509"] == 1


def test_a_server_speaks_nothing_older_than_1_2(pair: Pair) -> None:
    assert server_context(*pair).minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_server_does_no_work_that_nobody_needs(pair: Pair) -> None:
    context = server_context(*pair)
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert not context.num_tickets


def test_missing_files_are_named(pair: Pair, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.pem"
    sentence = f"Cannot read {nowhere}: there is no such file."
    assert complaint_about_pair(nowhere, pair.key) == sentence
    assert complaint_about_pair(pair.cert, nowhere) == sentence
    assert complaint_about_ca(nowhere) == sentence


def test_a_directory_is_no_certificate(tmp_path: Path) -> None:
    assert complaint_about_ca(tmp_path) == f"Cannot read {tmp_path}: it is a directory."


def test_what_is_no_pem_is_named(pair: Pair, junk: Path) -> None:
    assert complaint_about_pair(junk, pair.key) == f"{junk} holds no certificate (PEM)."
    assert complaint_about_pair(pair.cert, junk) == f"{junk} holds no private key (PEM)."
    assert complaint_about_ca(junk) == f"{junk} holds no certificate (PEM)."


def test_swapped_files_are_noticed(pair: Pair) -> None:
    assert complaint_about_pair(pair.key, pair.cert) == f"{pair.key} holds no certificate (PEM)."


def test_a_key_of_another_certificate_is_noticed(pair: Pair, other_pair: Pair) -> None:
    sentence = f"The private key {other_pair.key} does not belong to the certificate {pair.cert}."
    assert complaint_about_pair(pair.cert, other_pair.key) == sentence


def test_a_damaged_certificate_is_no_traceback(pair: Pair, tmp_path: Path) -> None:
    torn = tmp_path / "torn.pem"
    torn.write_bytes(pair.cert.read_bytes()[:200])
    assert "is damaged" in complaint_about_pair(torn, pair.key)
    assert "is damaged" in complaint_about_ca(torn)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the program openssl is not installed")
@pytest.mark.parametrize("kind", ["RSA", "EC"])
def test_foreign_keys(kind: str, pair: Pair, tmp_path: Path) -> None:
    # A key of another kind than the certificate's, and one that is encrypted: the server must
    # not stop to ask for its password.
    algorithm = {
        "RSA": ["-algorithm", "RSA"],
        "EC": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    }
    plain, encrypted = tmp_path / "plain.pem", tmp_path / "encrypted.pem"
    make = ["openssl", "genpkey", *algorithm[kind]]
    with_password = ["-aes-128-cbc", "-pass", "pass:secret"]
    for path, extra in ((plain, []), (encrypted, with_password)):
        subprocess.run(
            [*make, "-out", str(path), *extra], check=True, capture_output=True, timeout=30
        )
    assert "does not belong" in complaint_about_pair(pair.cert, plain)
    sentence = complaint_about_pair(pair.cert, encrypted)
    assert (
        sentence
        == f"The private key {encrypted} is encrypted; the server needs one without password."
    )
