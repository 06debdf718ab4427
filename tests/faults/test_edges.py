"""Every number among the options at its edges: it works, or is refused with the range."""

import threading

import pytest

import chat.server
from chat.core.server import ChatServer
from tests.wire import Wire

VALUES = ["0", "0.000001", "1", "86400", "1000000000", "1e300", "-1", "nan", "inf", ""]
OPTIONS = ["--" + name.replace("_", "-") for name in chat.server._limits()]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("option", OPTIONS)
def test_a_number_works_or_is_refused_with_its_range(
    option: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    visits: list[threading.Thread] = []
    outcomes: list[str] = []

    def visit(server: ChatServer) -> None:
        """Enter, and say something if the limit lets us; then stop the server."""
        try:
            with Wire(server.address) as wire:
                wire.expect("register")
                wire.send({"type": "register", "nick": "Аня"})
                answer = wire.next()
                if answer["type"] == "welcome":
                    wire.say("все здесь?")
                outcomes.append(answer["type"])
        finally:
            server.request_stop("stopped")

    def begin(server: ChatServer, *_rest: object) -> None:
        visits.append(threading.Thread(target=visit, args=[server]))
        visits[-1].start()

    monkeypatch.setattr(chat.server, "_heed_signals", begin)
    try:
        status = chat.server.main(["--port", "0", option, value])
    except SystemExit as error:
        status = int(error.code or 0)
    for thread in visits:
        thread.join()
    output = capsys.readouterr()
    if status == 0:
        assert outcomes == ["welcome"]
        assert output.err == ""
    else:
        assert not visits
        assert option in output.err
        assert "Traceback" not in output.err
        assert any(character.isdigit() for character in output.err.replace(value, ""))


@pytest.mark.parametrize("option", ["--config", "--admin-password-file", "--tls-cert"])
def test_an_endless_file_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [option, "/dev/zero", "--lang", "ru"]
    if option == "--tls-cert":
        arguments += ["--tls-key", "/dev/zero"]
    try:
        status = chat.server.main(arguments)
    except SystemExit as error:
        status = int(error.code or 0)
    assert status in (1, 2)
    assert "файл слишком велик" in capsys.readouterr().err
