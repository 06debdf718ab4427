"""`chat.promises.encryption`: what is sealed opens for those whom it is for, for nobody else."""

import base64
import hashlib
import subprocess
import sys
import unicodedata

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from chat.core.protocol import Limits, encode
from chat.promises import UnusableError, encryption
from chat.promises.encryption import Cipher, SealError, sealed_chars
from tests.scripts.programs import ROOT

PASSPHRASE = "верная лошадь батарея скрепка"

texts = st.text(st.characters(exclude_categories=["Cs"]))
nicks = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)


@pytest.fixture(scope="session")
def cipher() -> Cipher:
    return Cipher(PASSPHRASE)


@pytest.fixture(scope="session")
def stranger() -> Cipher:
    return Cipher(PASSPHRASE + "!")


def assert_does_not_open(cipher: Cipher, sealed: str, sender: str, to: str | None) -> None:
    with pytest.raises(SealError):
        cipher.open(sealed, sender, to)


@given(text=texts, sender=nicks, to=st.none() | nicks)
def test_what_is_sealed_opens(cipher: Cipher, text: str, sender: str, to: str | None) -> None:
    assert cipher.open(cipher.seal(text, sender, to), sender, to) == text


def test_whoever_has_the_passphrase_opens_it_without_asking_anybody(cipher: Cipher) -> None:
    another = Cipher(unicodedata.normalize("NFD", PASSPHRASE))  # as macOS may write it
    assert another.open(cipher.seal("привет", "Аня", None), "Аня", None) == "привет"


def test_the_key_is_that_of_rfc_7914(cipher: Cipher) -> None:
    # Messages of today must open in a later version of this program.
    key = hashlib.scrypt(
        PASSPHRASE.encode(),
        salt=b"tcp-chat end-to-end 1",
        n=131072,
        r=8,
        p=1,
        maxmem=2**28,
        dklen=32,
    )
    aead = ChaCha20Poly1305(key)
    about = rb'["tcp-chat end-to-end 1", "anna", null]'
    sealed = base64.b64encode(bytes(12) + aead.encrypt(bytes(12), b"hi", about)).decode()
    assert cipher.open(sealed, "Anna", None) == "hi"


def test_another_passphrase_does_not_open_it(cipher: Cipher, stranger: Cipher) -> None:
    assert_does_not_open(stranger, cipher.seal("привет", "Аня", None), "Аня", None)


@pytest.mark.parametrize(
    ("sender", "to"),
    [("Боря", "Вова"), ("Аня", None), ("Аня", "Боря"), ("Вова", "Аня"), ("Аня", "null")],
)
def test_the_server_cannot_say_it_was_said_otherwise(
    cipher: Cipher, sender: str, to: str | None
) -> None:
    sealed = cipher.seal("да", "Аня", "Вова")
    assert cipher.open(sealed, "Аня", "Вова") == "да"
    assert_does_not_open(cipher, sealed, sender, to)


def test_names_cannot_be_moved_from_one_side_to_the_other(cipher: Cipher) -> None:
    assert_does_not_open(cipher, cipher.seal("x", 'a", "b', "c"), "a", 'b", "c')


def test_the_case_of_a_nickname_does_not_matter(cipher: Cipher) -> None:
    # The server shows a nickname as its owner wrote it, whatever the sender typed.
    assert cipher.open(cipher.seal("x", "Аня", "бОРЯ"), "аня", "Боря") == "x"


@given(position=st.integers(0, 39), bit=st.integers(0, 7))
def test_a_changed_bit_is_noticed(cipher: Cipher, position: int, bit: int) -> None:
    data = bytearray(base64.b64decode(cipher.seal("twelve bytes", "a", None)))
    data[position] ^= 1 << bit
    assert_does_not_open(cipher, base64.b64encode(data).decode(), "a", None)


@given(kept=st.integers(0, 53))
def test_a_torn_message_is_noticed(cipher: Cipher, kept: int) -> None:
    assert_does_not_open(cipher, cipher.seal("twelve bytes", "a", None)[:kept], "a", None)


@given(
    noise=st.text(max_size=100)
    | st.binary(max_size=100).map(lambda b: base64.b64encode(b).decode())
)
def test_noise_does_not_open(cipher: Cipher, noise: str) -> None:
    assert_does_not_open(cipher, noise, "a", None)


def test_what_opens_to_no_text_is_the_same_error(cipher: Cipher) -> None:
    aead = cipher._aead
    about = encryption._who_to_whom("a", None)
    sealed = base64.b64encode(bytes(12) + aead.encrypt(bytes(12), b"\xff\xfe", about)).decode()
    assert_does_not_open(cipher, sealed, "a", None)


def test_the_same_text_looks_different_every_time(cipher: Cipher) -> None:
    sealed = [cipher.seal("да", "Аня", None) for _number in range(100)]
    assert len({message[:16] for message in sealed}) == 100  # the nonce: 12 bytes are 16 characters


def test_the_longest_text_fits_into_a_frame(cipher: Cipher) -> None:
    limits = Limits()
    sealed = cipher.seal("\U0001f600" * limits.text_chars, "Аня", None)
    assert len(sealed) == sealed_chars(limits.text_chars) == 10_704
    to = "\U0001f600" * limits.nick_chars
    message = {"type": "message", "id": 2**53 - 1, "to": to, "sealed": True, "text": sealed}
    assert len(encode(message)) < limits.frame_bytes


@given(text=texts)
def test_the_bound_on_the_length_holds(cipher: Cipher, text: str) -> None:
    assert len(cipher.seal(text, "a", None)) <= sealed_chars(len(text))


def test_no_secret_is_shown(cipher: Cipher) -> None:
    shown = repr(cipher) + str(cipher) + str(vars(cipher))
    assert "лошадь" not in shown
    with pytest.raises(SealError) as caught:
        cipher.open("AAAA", "a", None)
    assert "лошадь" not in str(caught.value)


def test_without_memory_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encryption, "_SCRYPT_MEMORY", 1024)
    with pytest.raises(UnusableError) as caught:
        Cipher(PASSPHRASE)
    assert caught.value.code == "no_memory"


def test_without_the_package_it_says_how_to_get_it() -> None:
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from chat.app import i18n\n"
        "from chat.app.sentences import setting\n"
        "from chat.promises import UnusableError, encryption\n"
        "i18n.set_language('en')\n"
        "try: encryption.Cipher('x' * 12)\n"
        "except UnusableError as error: print(setting(error.code, error.details))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    sentence = "This needs the package cryptography: pip install cryptography.\n"
    assert (done.stdout, done.stderr) == (sentence, "")
