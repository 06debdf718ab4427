"""Certificates for all tests of TLS, made once."""

import gettext
from pathlib import Path

import pytest

from chat.app import certificate, i18n
from tests.tls.sides import Pair


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A certificate for this machine's own names, and its key."""
    directory = tmp_path_factory.mktemp("pair")
    return Pair(*certificate.write_pair(directory, certificate.LOCAL_NAMES))


@pytest.fixture(scope="session")
def other_pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A certificate for the same names, by somebody else."""
    directory = tmp_path_factory.mktemp("other")
    return Pair(*certificate.write_pair(directory, certificate.LOCAL_NAMES))


@pytest.fixture
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sentences be what the code says itself."""
    monkeypatch.setattr(i18n, "_current", gettext.NullTranslations())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
