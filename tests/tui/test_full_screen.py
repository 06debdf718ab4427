"""The full-screen client, its keys pressed by Textual's pilot."""

import asyncio
import base64
import threading
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest
from rich.cells import cell_len
from textual import events

from chat.app import tui
from chat.app.conversation import Line, Part
from chat.core.server import ChatServer
from tests.client.fakes import FakeServer
from tests.tui.screens import say, sitting
from tests.wire import Wire

Dial = Callable[..., Wire]
Serve = Callable[..., ChatServer]


def run(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test that is a coroutine."""

    @wraps(test)
    def runner(*args: object, **kwargs: object) -> None:
        asyncio.run(test(*args, **kwargs))

    return runner


# Who is here


@run
async def test_the_screen_shows_who_is_here_and_the_state(server: ChatServer, dial: Dial) -> None:
    dial(server, "Боря")
    dial(server, "Вера")
    async with sitting(server.address) as anya:
        await anya.sees("Кроме вас, здесь 2 пользователя: Боря, Вера")
        await anya.until(lambda: anya.people == ["Все", "Боря", "Вера"])
        assert anya.status.split(" · ")[:2] == [" Аня", "на связи"]
        assert anya.rows[-1].startswith("[всем]")
        dial(server, "Гриша")
        await anya.until(lambda: anya.people == ["Все", "Боря", "Вера", "Гриша"])
        assert "Гриша теперь в чате" in anya.conversation


@run
async def test_who_leaves_goes_from_the_list_unless_there_was_a_talk(
    server: ChatServer, dial: Dial
) -> None:
    borya, vera = dial(server, "Боря"), dial(server, "Вера")
    async with sitting(server.address) as anya:
        say(borya, "шёпот", to="Аня")
        await anya.until(lambda: "Боря 1" in anya.people)
        for wire in (borya, vera):
            wire.send({"type": "quit"})
        await anya.until(lambda: anya.people == ["Все", "Боря (вне чата) 1"])
        await anya.press("alt+down")
        await anya.sees("Боря покидает чат")
        assert "шёпот" in anya.conversation


@run
async def test_of_a_crowd_the_screen_names_some(server: ChatServer) -> None:
    """A server may make up any number of them."""
    crowd = [f"n{number:05}" for number in range(20_000)]
    async with sitting(server.address) as anya:
        anya.app.talk.on_event({"type": "users", "users": crowd})
        await anya.sees("n00999, …")
        anya.app.talk.client._users.update({nick: (nick, None) for nick in crowd})
        anya.app._refresh_edges()
        await anya.until(lambda: len(anya.people) == 1 + tui.PEOPLE_SHOWN)


@run
async def test_who_leaves_does_not_wait_for_what_is_still_to_be_shown(server: ChatServer) -> None:
    async with sitting(server.address) as anya:
        line = Line((Part("x" * 500),))
        for _number in range(100 * tui.TASKS_AT_ONCE):
            anya.app.deliver(lambda: anya.app.add([line]))
        anya.app.action_leave()
        await anya.until(lambda: not anya.app._inbox)
        assert len(anya.app._pane.lines) < 10 * tui.TASKS_AT_ONCE


# Talking


@run
async def test_what_is_typed_is_shown_once_and_delivered(server: ChatServer, dial: Dial) -> None:
    borya = dial(server, "Боря")
    async with sitting(server.address) as anya:
        await anya.type("привет, мир")
        assert anya.rows[-1] == "[всем] привет, мир"
        await anya.press("enter")
        await anya.sees("Вы: привет, мир")
        borya.skip_to("message", from_="Аня", text="привет, мир", to=None)
        assert anya.rows[-1] == "[всем]"
        say(borya, "и тебе")
        await anya.sees("Боря: и тебе")
        assert anya.text.count("привет, мир") == 1


@run
async def test_private_messages_have_a_pane_of_their_own_and_are_counted(
    server: ChatServer, dial: Dial
) -> None:
    borya = dial(server, "Боря")
    async with sitting(server.address) as anya:
        for number in (1, 2, 3):
            say(borya, f"шёпот {number}", to="Аня", number=number)
        await anya.until(lambda: anya.people == ["Все", "Боря 3"])
        assert "шёпот" not in anya.conversation
        assert "непрочитанное: Боря 3" in anya.status
        await anya.press("alt+down")
        await anya.sees("Боря (лично вам): шёпот 3")
        await anya.until(lambda: anya.people == ["Все", "Боря"])
        assert anya.conversation.splitlines()[0].startswith("── новое ──")
        assert anya.rows[-1] == "[Боря]"
        await anya.type("ответ")
        await anya.press("enter")
        await anya.sees("Вы (видит только Боря): ответ")
        borya.skip_to("message", text="ответ", to="Боря")
        await anya.press("alt+up")
        await anya.until(lambda: "шёпот" not in anya.conversation)
        say(borya, "всем", number=4)
        await anya.sees("Боря: всем")
        await anya.press("alt+down")
        await anya.sees("шёпот 3")
        assert "новое" not in anya.conversation  # it was seen


@run
async def test_a_user_is_chosen_by_mouse_or_by_arrows(server: ChatServer, dial: Dial) -> None:
    dial(server, "Боря")
    dial(server, "Вера")
    async with sitting(server.address) as anya:
        await anya.until(lambda: len(anya.people) == 3)
        await anya.pilot.click(anya.app.people, offset=(3, 2))
        await anya.until(lambda: anya.rows[-1] == "[Вера]")
        assert anya.app.focused is anya.app.draft
        await anya.press("shift+tab", "up", "enter")
        await anya.until(lambda: anya.rows[-1] == "[Боря]")
        await anya.press("shift+tab", "home", "enter")
        await anya.until(lambda: anya.rows[-1] == "[всем]")
        await anya.press("shift+tab", "escape")
        assert anya.app.focused is anya.app.draft


@run
async def test_commands_work_as_on_plain_lines(server: ChatServer, dial: Dial) -> None:
    borya = dial(server, "Боря")
    async with sitting(server.address) as anya:
        await anya.enter("/chat боря")
        await anya.until(lambda: anya.rows[-1] == "[Боря]")
        await anya.sees("Теперь ваши строки видит только Боря")
        await anya.enter("/all")
        await anya.until(lambda: anya.rows[-1] == "[всем]")
        await anya.enter("/msg Боря тайна")
        await anya.sees("Вы (видит только Боря): тайна")  # here, and with Боря
        borya.skip_to("message", text="тайна", to="Боря")
        await anya.enter("/dance")
        await anya.sees("Команды /dance нет.")
        await anya.enter("/chat Гриша")
        await anya.sees("Пользователя Гриша в чате нет.")
        await anya.enter("//help")
        borya.skip_to("message", text="/help")
        await anya.enter("/help")
        await anya.until(lambda: anya.conversation.startswith("/users"))  # the top, not the end
        await anya.press("pagedown", "pagedown")
        await anya.sees("Shift+Tab")
        await anya.press("alt+down")
        await anya.until(lambda: anya.conversation.count("тайна") == 1)


@run
async def test_each_conversation_keeps_its_unsent_line(server: ChatServer, dial: Dial) -> None:
    """Nothing half typed for one person goes to another."""
    dial(server, "Боря")
    async with sitting(server.address) as anya:
        await anya.type("всем ещё не")
        await anya.press("alt+down")
        await anya.until(lambda: anya.rows[-1] == "[Боря]")
        await anya.type("Боре")
        await anya.press("alt+up")
        await anya.until(lambda: anya.rows[-1] == "[всем] всем ещё не")
        await anya.press("alt+up")  # around
        await anya.until(lambda: anya.rows[-1] == "[Боря] Боре")
        assert anya.app.drafts in (["всем ещё не", "Боре"], ["всем ещё не"])


@run
async def test_several_lines_pasted_are_one_message(server: ChatServer, dial: Dial) -> None:
    borya = dial(server, "Боря")
    async with sitting(server.address) as anya:
        anya.app.post_message(events.Paste("раз\nдва\nтри"))
        await anya.until(lambda: anya.app.draft.text == "раз\nдва\nтри")
        await anya.sees("[всем] раз")
        assert "Вы:" not in anya.text  # nothing is sent before Enter
        await anya.press("alt+enter")
        await anya.type("4")
        await anya.press("enter")
        borya.skip_to("message", text="раз\nдва\nтри\n4")
        await anya.sees("Вы: раз")
        first = next(n for n, row in enumerate(anya.rows) if "Вы: раз" in row)
        shown = [row[:40].rstrip() for row in anya.rows[first + 1 : first + 4]]
        assert shown == ["      два", "      три", "      4"]


@run
async def test_lines_for_a_partner_who_has_left_stay_with_who_typed_them(
    server: ChatServer, dial: Dial
) -> None:
    borya, vera = dial(server, "Боря"), dial(server, "Вера")
    async with sitting(server.address) as anya:
        await anya.press("alt+down")
        await anya.until(lambda: anya.rows[-1] == "[Боря]")
        borya.send({"type": "quit"})
        await anya.until(lambda: anya.rows[-1] == "[Боря (вне чата)]")
        lines = "\n".join(f"строка {number}" for number in range(30))
        anya.app.post_message(events.Paste(lines))
        await anya.until(lambda: anya.app.draft.text == lines)
        await anya.press("enter")
        await anya.sees("Боря больше не в чате, поэтому")
        assert anya.app.draft.text == lines
        await anya.enter("/all")
        await anya.until(lambda: anya.rows[-1] == "[всем]")
        await anya.enter(lines)
        assert vera.skip_to("message")["text"] == lines


@run
async def test_a_message_that_was_held_back_is_shown_with_what_to_do(server: ChatServer) -> None:
    async with sitting(server.address) as anya:
        held = {"id": 7, "to": "Боря", "text": "код 4711"}
        anya.app.talk.on_event({"type": "held", "message": held})
        await anya.sees("Не отправлено: Боря")
        await anya.sees("4711")
        await anya.sees("/msg Боря")


# Typing


@run
async def test_the_line_feed_at_the_end_of_a_paste_is_left_out(server: ChatServer) -> None:
    async with sitting(server.address) as anya:
        anya.app.post_message(events.Paste("раз\nдва\n"))
        await anya.until(lambda: anya.app.draft.text == "раз\nдва")


@run
async def test_ctrl_c_on_an_empty_line_asks_once_more(server: ChatServer) -> None:
    async with sitting(server.address) as anya:
        await anya.press("ctrl+c")
        await anya.sees("Ctrl-C ещё раз — выход")
        await anya.type("и")  # changed one's mind
        await anya.sees("на связи")
        await anya.press("ctrl+c", "ctrl+c")
        await anya.sees("Ctrl-C ещё раз — выход")
        assert anya.app.is_running
        await anya.press("ctrl+c")
        await anya.until(lambda: not anya.app.is_running)


@run
@pytest.mark.parametrize("goodbye", ["exit", "/quit", "/quit сейчас", "/exit"])
async def test_a_goodbye_is_not_given_back_as_unsent(server: ChatServer, goodbye: str) -> None:
    async with sitting(server.address) as anya:
        await anya.enter(goodbye)
        await anya.until(lambda: not anya.app.is_running)
        assert anya.app.drafts == []


@run
async def test_tab_completes_and_goes_on(server: ChatServer, dial: Dial) -> None:
    boris, borya = dial(server, "Борис"), dial(server, "Боря")
    async with sitting(server.address) as anya:
        say(boris, "первый")
        say(borya, "второй")
        await anya.sees("второй")
        await anya.type("бо")
        await anya.press("tab")
        assert anya.app.draft.text == "Боря, "  # who spoke last
        await anya.press("tab")
        assert anya.app.draft.text == "Борис, "
        await anya.press("tab")
        assert anya.app.draft.text == "Боря, "
        await anya.type("и бори")
        await anya.press("tab")
        assert anya.app.draft.text == "Боря, и Борис "
        anya.app.draft.put("/hi")
        await anya.press("tab")
        assert anya.app.draft.text == "/history "
        anya.app.draft.put("нет такого")
        await anya.press("tab")
        assert anya.app.draft.text == "нет такого"
        assert anya.app.focused is anya.app.draft


@run
async def test_arrows_bring_earlier_lines_back(server: ChatServer) -> None:
    async with sitting(server.address) as anya:
        for line in ("раз", "два", "/admin секрет", " /ADMIN секрет"):
            await anya.enter(line)
        await anya.type("новое")
        await anya.press("up")
        assert anya.app.draft.text == "два"  # a password is not kept
        await anya.press("up", "up", "up")
        assert anya.app.draft.text == "раз"
        await anya.press("down", "down")
        assert anya.app.draft.text == "новое"
        await anya.press("ctrl+c")
        assert anya.app.draft.text == ""
        await anya.press("up")
        assert anya.app.draft.text == "новое"  # Ctrl-C loses nothing


# Reading


@run
async def test_scrolled_back_the_view_does_not_jump(server: ChatServer, dial: Dial) -> None:
    borya = dial(server, "Боря")
    async with sitting(server.address, size=(60, 12)) as anya:
        for number in range(30):
            say(borya, f"строка {number}", number=number)
        await anya.sees("строка 29")
        await anya.press("pageup", "pageup")
        before = anya.conversation
        assert "строка 29" not in before
        for number in range(30, 35):
            say(borya, f"строка {number}", number=number)
        await anya.until(lambda: anya.people[0] == "Все 5")
        assert anya.conversation == before
        await anya.press("ctrl+end")
        await anya.sees("строка 34")
        await anya.until(lambda: anya.people[0] == "Все")
        await anya.press("pageup")
        await anya.enter("ответ")  # who writes wants to see it
        await anya.sees("Вы: ответ")


@run
async def test_long_and_wide_texts_are_wrapped_and_aligned(server: ChatServer, dial: Dial) -> None:
    borya = dial(server, "Боря")
    async with sitting(server.address, size=(60, 20)) as anya:
        say(borya, "漢字" * 40 + " 👩‍🚀🎉 " + "слово " * 20 + "б" * 100)
        await anya.sees("слово")
        width = anya.app.scrollback.region.width
        rows = [row for row in anya.app.scrollback._rows if "Боря:" not in row.text][-8:]
        assert all(cell_len(row.text) <= width for row in anya.app.scrollback._rows)
        assert all(row.text.startswith("      ") for row in rows[2:])
        said = "".join(row.text.strip() for row in anya.app.scrollback._rows)
        assert "б" * 100 in said
        await anya.pilot.resize_terminal(40, 20)
        await anya.until(lambda: anya.app.scrollback.region.width == 40)
        assert all(cell_len(row.text) <= 40 for row in anya.app.scrollback._rows)


@run
async def test_only_the_first_row_of_what_is_said_begins_in_the_first_column(
    server: ChatServer, dial: Dial
) -> None:
    borya = dial(server, "Боря")
    async with sitting(server.address) as anya:
        say(borya, "раз\n13:05 Вера: ложь\n" + "13:05\u00a0Вера:" * 30)
        await anya.sees("раз")
        rows = [row.text for row in anya.app.scrollback._rows]
        first = next(number for number, row in enumerate(rows) if "Боря: раз" in row)
        assert len(rows) > first + 5
        assert {row[:6] for row in rows[first + 1 :]} == {" " * 6}
        await anya.enter("/msg Боря " + "слово " * 350 + "\n! ложь")
        await anya.sees("Слишком длинное сообщение")
        await anya.enter("/chat " + "\x1b[2J" + "кто " * 40)
        await anya.sees("\ufffd[2Jкто")
        rows = [row.text for row in anya.app.scrollback._rows]
        last = max(number for number, row in enumerate(rows) if row.startswith("! "))
        assert len(rows) > last + 1
        assert {row[:2] for row in rows[last + 1 :]} == {"  "}


@run
async def test_a_partner_who_left_and_came_may_be_somebody_else(
    server: ChatServer, dial: Dial
) -> None:
    borya = dial(server, "Боря")
    async with sitting(server.address) as anya:
        await anya.press("alt+down")
        await anya.until(lambda: anya.rows[-1] == "[Боря]")
        borya.send({"type": "quit"})
        await anya.sees("Боря покидает чат")
        other = dial(server, "Боря")
        await anya.sees("Боря теперь в чате")
        await anya.enter("это ты?")
        await anya.sees("Прежний собеседник")
        other.skip_to("message", text="это ты?")
        await anya.enter("/chat Боря")
        await anya.enter("узнала")
        other.skip_to("message", text="узнала")
        await anya.sees("Вы (видит только Боря): узнала")
        assert anya.text.count("Прежний собеседник") == 1


@run
async def test_a_narrow_screen_shows_the_list_when_asked(server: ChatServer, dial: Dial) -> None:
    dial(server, "Боря")
    async with sitting(server.address, size=(40, 12)) as anya:
        await anya.until(lambda: len(anya.people) == 2)
        assert not anya.app.people.display
        await anya.press("shift+tab")
        await anya.until(lambda: anya.app.people.region.width == 40)
        await anya.press("down", "enter")
        await anya.until(lambda: anya.rows[-1] == "[Боря]")
        assert not anya.app.people.display


@run
async def test_ones_own_name_is_marked_and_rings(server: ChatServer, dial: Dial) -> None:
    borya = dial(server, "Боря")
    rings: list[None] = []
    async with sitting(server.address, bell=True) as anya:
        anya.app.bell = lambda: rings.append(None)  # type: ignore[method-assign]
        say(borya, "Аняня и Ваня тут?")
        say(borya, "а аня?", number=2)
        await anya.sees("а аня?")
        await anya.until(lambda: rings)
        marked = [
            segment.text
            for strip in anya.app.scrollback._rows
            for segment in strip
            if segment.style and segment.style.reverse
        ]
        assert marked == ["аня"]
        say(borya, "тайна", to="Аня", number=3)
        await anya.until(lambda: len(rings) == 2)


@run
async def test_a_narrow_status_keeps_the_unread_and_drops_the_address(
    server: ChatServer, dial: Dial
) -> None:
    borya = dial(server, "Боря")
    async with sitting(server.address, size=(60, 12)) as anya:
        await anya.sees("127.0.0.1")
        say(borya, "шёпот", to="Аня")
        await anya.until(lambda: "непрочитанное: Боря 1" in anya.status)
        assert "127.0.0.1" not in anya.status
        assert "на связи" in anya.status


@run
async def test_memory_is_bounded(
    server: ChatServer, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tui, "KEPT_LINES", 50)
    borya = dial(server, "Боря")
    async with sitting(server.address) as anya:
        for number in range(120):
            say(borya, f"строка {number}", number=number)
        await anya.sees("строка 119")
        assert len(anya.app._pane.lines) <= 50
        assert len(anya.app.scrollback._rows) <= 50


@run
async def test_scrolled_back_the_view_does_not_jump_when_old_lines_are_dropped(
    server: ChatServer, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tui, "KEPT_LINES", 50)
    borya = dial(server, "Боря")
    async with sitting(server.address, size=(60, 12)) as anya:
        for number in range(40):
            say(borya, f"строка {number}", number=number)
        await anya.sees("строка 39")
        await anya.press("pageup")
        before = anya.conversation
        assert "строка 39" not in before
        for number in range(40, 60):
            say(borya, f"строка {number}", number=number)
        await anya.until(lambda: anya.people[0] == "Все 20")
        assert len(anya.app._pane.lines) <= 50
        assert anya.conversation == before


# The connection


@run
async def test_a_lost_connection_is_told_and_nothing_typed_is_lost() -> None:
    with FakeServer() as server:
        admitting = threading.Thread(target=server.admit)
        admitting.start()
        async with sitting(server.address) as anya:
            admitting.join()
            await anya.type("недопи")
            server.hang_up()
            await anya.sees("Соединение потеряно, переподключение…")
            await anya.sees("переподключение, попытка")
            await anya.type("санное")
            await anya.press("enter")
            await anya.sees("Вы: недописанное")
            await anya.sees("не подтверждено: 1")
            await anya.enter("/users")
            await anya.sees("Сейчас нет соединения.")
            await asyncio.to_thread(server.admit)
            await anya.sees("Соединение восстановлено.")
            await anya.sees("на связи")
            sent = await asyncio.to_thread(server.receive)
            assert sent["text"] == "недописанное"
            server.send({"type": "ack", "id": sent["id"], "seq": 1})
            await anya.until(lambda: "не подтверждено" not in anya.text)
            await asyncio.to_thread(anya.app.talk.stop)


@run
async def test_what_was_missed_stands_in_its_place(server: ChatServer, dial: Dial) -> None:
    borya = dial(server, "Боря")
    async with sitting(server.address) as anya:
        borya.expect("joined")
        say(borya, "до")
        await anya.sees("Боря: до")
        for client in list(server._clients):
            if client.address != borya.local_address:
                client.connection.transport.shut_down()
        borya.expect("left", nick="Аня")
        say(borya, "без неё", number=2)
        borya.expect("joined", nick="Аня")
        say(borya, "после", number=3)
        await anya.sees("Боря: после")
        said = [row for row in anya.conversation.splitlines() if ": " in row or "Соед" in row]
        words = ["до", "Соединение потеряно", "Соединение восстановлено", "без неё", "после"]
        places = [next(n for n, row in enumerate(said) if word in row) for word in words]
        assert places == sorted(places)
        assert anya.conversation.count("без неё") == 1


@run
async def test_at_the_end_the_screen_stays_to_be_read(serve: Serve) -> None:
    server = serve()
    async with sitting(server.address) as anya:
        await anya.type("не успе")
        await asyncio.to_thread(server.stop)
        await anya.sees("Сервер завершает работу. Разговор окончен.")
        await anya.sees("разговор окончен, Ctrl-C — выход")
        await anya.press("enter")
        assert anya.app.draft.text == "не успе"
        assert anya.app.talk.end_reason == "shutdown"
        await anya.press("ctrl+c")
        await anya.until(lambda: not anya.app.is_running)
        assert anya.app.drafts == ["не успе"]


@run
async def test_what_the_server_refuses_is_given_back(server: ChatServer) -> None:
    async with sitting(server.address) as anya:
        await anya.enter("я" * 2001)
        await anya.sees("Слишком длинное сообщение: знаков 2001")
        await anya.press("up")
        assert anya.app.draft.text == "я" * 2001


# The admin, and what is encrypted


@run
async def test_the_admins_password_is_typed_unseen(serve: Serve, dial: Dial) -> None:
    server = serve(admin_password="секрет")
    borya = dial(server, "Боря")
    async with sitting(server.address) as anya:
        await anya.enter("/admin")
        await anya.sees("Пароль администратора:")
        await anya.press("escape")
        await anya.until(lambda: "Пароль администратора:" not in anya.text)
        await anya.enter("/admin")
        await anya.sees("Пароль администратора:")
        await anya.type("секрет")
        assert "секрет" not in anya.text
        await anya.press("enter")
        await anya.sees("Вы администратор")
        await anya.enter("/kick Боря")
        borya.skip_to("left", nick="Боря", reason="kicked")


def reversed_(text: str) -> str:
    return base64.b64encode(text[::-1].encode()).decode()


class Rot:
    """A cipher that a child can break."""

    def seal(self, text: str, sender: str, to: str | None) -> str:
        del sender, to
        return reversed_(text)

    def open(self, sealed: str, sender: str, to: str | None) -> str:
        del sender, to
        text = base64.b64decode(sealed).decode()[::-1]
        if text == "?":
            raise ValueError(sealed)
        return text


@run
async def test_encrypted_messages_have_a_lock_or_say_what_is_needed(
    server: ChatServer, dial: Dial
) -> None:
    borya = dial(server, "Боря")
    async with sitting(server.address) as anya:
        borya.send({"type": "message", "text": reversed_("икамрет"), "sealed": True})
        await anya.sees("зашифровано: нужна парольная фраза")
        assert reversed_("икамрет") not in anya.text
    async with sitting(server.address, "Вера", cipher=Rot()) as vera:
        await vera.enter("привет")
        borya.skip_to("message", text=reversed_("привет"), sealed=True)
        await vera.sees("Вы\N{LOCK}: привет")
        borya.send({"type": "message", "text": reversed_("Ответ"), "sealed": True})
        await vera.sees("Боря\N{LOCK}: Ответ")
        borya.send({"type": "message", "text": reversed_("?"), "sealed": True})
        await vera.sees("зашифровано под другой парольной фразой")
        borya.send({"type": "message", "text": "открытый текст"})
        await vera.sees("Боря (НЕ зашифровано): открытый текст")


# A flood


@run
async def test_a_flood_does_not_stop_the_keys(server: ChatServer, dial: Dial) -> None:
    borya = dial(server, "Боря")
    async with sitting(server.address) as anya:
        borya.send(*({"type": "message", "text": f"строка {n}"} for n in range(3000)))
        await anya.type("успеваю")
        assert anya.app.draft.text == "успеваю"
        await anya.until(lambda: "строка 2999" in anya.text)
