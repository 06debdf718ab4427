"""Terminals: real programs in real pseudo-terminals, seen through the emulator."""

from __future__ import annotations

import re
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pexpect
import psutil
import pytest

from chat.lab.terminal import ScreenTimeout, Terminal

Run = Callable[..., Terminal]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Start a Python program, given as its text, in a terminal; all are closed in the end."""
    with ExitStack() as stack:

        def start(
            program: str, title: str = "проба", columns: int = 80, rows: int = 24
        ) -> Terminal:
            file = tmp_path / f"{len(list(tmp_path.iterdir()))}.py"
            file.write_text(textwrap.dedent(program), encoding="utf-8")
            argv = [sys.executable, "-I", str(file)]
            return stack.enter_context(Terminal(argv, title=title, columns=columns, rows=rows))

        yield start


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestWhatIsOnTheScreen:
    def test_every_cell_keeps_its_colours_and_attributes(self, run: Run) -> None:
        terminal = run(
            r"""
            print("\033[31mк\033[1;38;5;166mо\033[0;48;2;1;2;255mф\033[0;2;92mб\033[22mн", end="")
            print("\033[0;3;4;7;9mп\033[0mд", end="")
            """
        )
        terminal.wait_for("кофбнпд")
        red, bold, blue, faint, bright, many, plain = terminal.snapshot().rows[0][:7]
        assert (red.text, red.fg, red.bold) == ("к", "red", False)
        assert (bold.fg, bold.bold) == ("d75f00", True)
        assert (blue.fg, blue.bg, blue.bold) == ("default", "0102ff", False)
        assert (faint.fg, faint.faint) == ("brightgreen", True)
        assert (bright.fg, bright.faint) == ("brightgreen", False)
        assert (many.italics, many.underscore, many.reverse, many.strikethrough) == (True,) * 4
        assert (plain.fg, plain.italics, plain.faint) == ("default", False, False)

    def test_a_number_within_a_colour_is_not_an_attribute(self, run: Run) -> None:
        terminal = run(r'print("\033[38;5;2mа\033[38;2;2;2;2mб", end="")')
        terminal.wait_for("аб")
        assert not any(cell.faint for cell in terminal.snapshot().rows[0])

    def test_wide_characters_take_two_cells(self, run: Run) -> None:
        terminal = run('print("漢字 и 😀!", end="")', columns=20)
        terminal.wait_for("漢字 и 😀!")
        cells = terminal.snapshot().rows[0]
        expected = ["漢", "", "字", "", " ", "и", " ", "😀", "", "!", " "]
        assert [cell.text for cell in cells[:11]] == expected
        assert terminal.cursor == (10, 0)

    def test_a_wide_character_that_does_not_fit_goes_to_the_next_row(self, run: Run) -> None:
        terminal = run('print("ab漢", end="")', columns=3)
        terminal.wait_for("漢")
        assert terminal.screen_text == "ab\n漢"

    def test_combining_marks_join_their_letter(self, run: Run) -> None:
        terminal = run(r'print("и\u0306 x\u0338 \u2764\ufe0f \U0001f468\u200d!", end="")')
        terminal.wait_for("!")
        texts = [cell.text for cell in terminal.snapshot().rows[0][:9]]
        assert texts == ["й", " ", "x\u0338", " ", "\u2764\ufe0f", " ", "\U0001f468\u200d", "", "!"]

    def test_a_letter_cut_in_half_on_its_way_arrives_whole(self, run: Run) -> None:
        terminal = run(
            r"""
            import sys, termios
            mode = termios.tcgetattr(0)
            mode[3] &= ~termios.ECHO  # an echo would come between the halves
            termios.tcsetattr(0, termios.TCSANOW, mode)
            print("ready", flush=True)
            sys.stdout.buffer.write(b"\xd0"); sys.stdout.flush()
            input()
            sys.stdout.buffer.write(b"\x96!\x1b["); sys.stdout.flush()
            input()
            print("32mgreen", end="")
            """
        )
        terminal.wait_for("ready")
        terminal.enter("")
        terminal.wait_for("Ж!")
        terminal.enter("")
        terminal.wait_for("green")
        assert "32m" not in terminal.screen_text

    def test_the_alternate_screen_gives_the_old_one_back(self, run: Run) -> None:
        terminal = run(
            r"""
            print("до")
            print("\033[?1049h\033[H\033[?25lво весь экран", end="", flush=True)
            input()
            print("\033[?1049l\033[?25hпосле", end="")
            """
        )
        terminal.wait_for("во весь экран")
        assert terminal.screen_text == "во весь экран"
        assert terminal.snapshot().cursor is None
        terminal.enter("")
        terminal.wait_for("после")
        assert terminal.screen_text == "до\nпосле"
        assert terminal.snapshot().cursor == (5, 1)

    def test_requests_unknown_to_the_emulator_leave_no_trace(self, run: Run) -> None:
        terminal = run(
            r'print("\033[>4;1m\033[<u\033[=1;1u\033P+q544e\033\\\033[?4mчисто", end="")'
        )
        terminal.wait_for("чисто")
        assert terminal.screen_text == "чисто"
        assert not terminal.snapshot().rows[0][0].underscore

    def test_the_terminal_answers_where_the_cursor_is(self, run: Run) -> None:
        terminal = run(
            r"""
            import sys, tty
            tty.setcbreak(0)
            print("абв\033[6n", end="", flush=True)
            print("\r\n" + ascii(sys.stdin.read(6)))
            """
        )
        terminal.wait_for(r"'\x1b[1;4R'")


class TestWaiting:
    def test_a_line_that_wraps_is_found_as_one(self, run: Run) -> None:
        terminal = run('print("предложение длиннее строки терминала")', columns=16)
        terminal.wait_for("предложение длиннее строки терминала")
        assert terminal.wait_for(re.compile("стр..и"))[0] == "строки"
        assert terminal.screen_text == "предложение длин\nнее строки терми\nнала"

    def test_what_has_scrolled_away_is_still_found(self, run: Run) -> None:
        terminal = run('for n in range(300): print(f"строка {n};")', rows=5)
        terminal.wait_for("строка 299;")
        terminal.wait_for("строка 0; строка 1;")
        assert "строка 0;" not in terminal.screen_text
        assert terminal.scrollback_text.startswith("строка 0;\nстрока 1;\n")

    def test_the_message_says_what_was_typed_expected_and_shown(self, run: Run) -> None:
        terminal = run('print("Пароль?"); input(); print("Неверно."); input()', title="Аня")
        terminal.enter("сезам")
        with pytest.raises(ScreenTimeout) as caught:
            terminal.wait_for("Добро пожаловать", timeout=0.5)
        message = str(caught.value)
        for part in ("Аня", r"'сезам\r'", "Добро пожаловать", "0.5", "│ Пароль?", "│ Неверно."):
            assert part in message

    def test_waiting_for_an_ended_program_fails_at_once(self, run: Run) -> None:
        terminal = run('print("всё"); raise SystemExit(3)')
        started = time.monotonic()
        with pytest.raises(ScreenTimeout, match="│ всё") as caught:
            terminal.wait_for("ещё", timeout=60)
        assert time.monotonic() - started < 30
        assert "3" in str(caught.value)

    def test_last_words_of_an_ended_program_are_seen(self, run: Run) -> None:
        terminal = run('print("x" * 200_000); print("последнее слово")')
        assert terminal.wait_until_exit() == 0
        assert "последнее слово" in terminal.screen_text

    def test_wait_gone(self, run: Run) -> None:
        terminal = run(r'print("исчезну"); input(); print("\033[H\033[2J", end=""); input()')
        terminal.wait_for("исчезну")
        with pytest.raises(ScreenTimeout, match="исчезну"):
            terminal.wait_gone("исчезну", timeout=0.2)
        terminal.enter("")
        terminal.wait_gone("исчезну")

    def test_the_line_before_the_cursor_is_prompt_and_typing(self, run: Run) -> None:
        terminal = run('input("имя: ")')
        terminal.wait_for("имя:")
        terminal.type("Ан")
        terminal.wait_for("Ан")
        assert terminal.line_before_cursor == "имя: Ан"


class TestEnding:
    def test_exit_status(self, run: Run) -> None:
        assert run("raise SystemExit(7)").wait_until_exit() == 7

    def test_killed(self, run: Run) -> None:
        terminal = run('print("жив"); input()')
        terminal.wait_for("жив")
        terminal.kill(signal.SIGKILL)
        assert terminal.wait_until_exit() == -signal.SIGKILL

    def test_ctrl_c_reaches_the_program_through_the_terminal(self, run: Run) -> None:
        terminal = run(
            """
            import signal
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            print("жду")
            raise SystemExit(5 if signal.sigwait({signal.SIGINT}) else 0)
            """
        )
        terminal.wait_for("жду")
        terminal.interrupt()
        assert terminal.wait_until_exit() == 5

    def test_a_program_that_goes_on_is_complained_of(self, run: Run) -> None:
        terminal = run("input()")
        with pytest.raises(ScreenTimeout):
            terminal.wait_until_exit(timeout=0.3)

    def test_close_leaves_no_process_and_no_descriptor(self, run: Run) -> None:
        descriptors = psutil.Process().num_fds()
        stubborn = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        terminal = run(
            f"""
            import subprocess, sys
            {stubborn}
            child = subprocess.Popen([sys.executable, "-Ic", {stubborn!r} + "signal.pause()"],
                                     process_group=0)
            print(f"child={{child.pid}};", flush=True)
            signal.pause()
            """
        )
        child = int(terminal.wait_for(re.compile(r"child=(\d+);"))[1])
        terminal.close()
        terminal.close()
        wait_until(lambda: not psutil.pid_exists(terminal.pid) and not _running(child))
        assert psutil.Process().num_fds() == descriptors

    def test_what_a_program_left_running_is_ended_too(self, run: Run) -> None:
        terminal = run(
            """
            import subprocess, sys
            command = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); signal.pause()"
            child = subprocess.Popen([sys.executable, "-Ic", command], process_group=0)
            print(f"child={child.pid};", flush=True)
            """
        )
        child = int(terminal.wait_for(re.compile(r"child=(\d+);"))[1])
        assert terminal.wait_until_exit() == 0
        assert _running(child)
        terminal.close()
        wait_until(lambda: not _running(child))

    @pytest.mark.parametrize("handling", [signal.SIG_DFL, signal.SIG_IGN])
    def test_a_program_that_is_not_there(self, handling: signal.Handlers) -> None:
        """Also where a shell makes this process ignore a signal, as it does in the background."""
        before = signal.signal(signal.SIGQUIT, handling)
        try:
            with pytest.raises(pexpect.ExceptionPexpect, match="no-such-program"):
                Terminal(["no-such-program"], title="")
        finally:
            signal.signal(signal.SIGQUIT, before)


class TestSeveralAtOnce:
    def test_a_terminal_belongs_to_the_thread_that_opened_it(self, run: Run) -> None:
        terminal = run("input()")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(terminal.wait_for, "ничего")
            with pytest.raises(RuntimeError, match="thread"):
                waiting.result()

    def test_big_output_does_not_wait_for_somebody_to_look(self, run: Run, tmp_path: Path) -> None:
        done = tmp_path / "done"
        run(f'print("x" * 1_000_000); open({str(done)!r}, "w").close(); input()')
        watcher = run(
            f"""
            import os, time
            while not os.path.exists({str(done)!r}):
                time.sleep(0.01)
            print("готово")
            """
        )
        watcher.wait_for("готово", timeout=20)

    def test_big_input_and_its_echo_do_not_block_one_another(self, run: Run) -> None:
        terminal = run(
            """
            import sys
            print("начали")
            for number, line in enumerate(sys.stdin, 1):
                print("=" * 200)
                if line == "конец\\n":
                    break
            print(f"строк: {number}")
            """
        )
        terminal.wait_for("начали")
        terminal.type("строка из нескольких слов\r" * 2000)
        terminal.enter("конец")
        terminal.wait_for("строк: 2001", timeout=20)


def test_the_program_sees_a_clean_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_ADMIN_PASSWORD", "тайна")
    terminal = run('import os; print(sorted(os.environ)); print(os.environ["TERM"])')
    terminal.wait_for("xterm-256color")
    assert "CHAT_ADMIN_PASSWORD" not in terminal.screen_text


def _running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


REDRAWN = """
import sys
lines = []
while True:
    print("\\033[2J\\033[H== chat ==", *lines[-3:], sep="\\n")
    lines.append("said " + input("> "))
"""


def test_the_transcript_keeps_what_was_erased_and_tells_it_once() -> None:
    with Terminal([sys.executable, "-c", REDRAWN], title="redrawn") as terminal:
        terminal.wait_for(">")
        for number in range(5):
            mark = terminal.transcript_row_begin
            terminal.enter(f"text{number}")
            terminal.wait_for(f"said text{number}")
            new = terminal.transcript[mark:]
            assert f"said text{number}" in new
            assert f"said text{number - 1}" not in new
        for number in range(5):
            assert terminal.transcript.count(f"said text{number}") == 1
        assert terminal.transcript.count("== chat ==") == 1
        assert "said text0" not in terminal.screen_text


SCROLLED = """
import sys
print("\\033[2J\\033[5;1H> ", end="", flush=True)
for line in sys.stdin:
    print("\\033[s\\033[1;4r\\033[S\\033[4;1Hsaid " + line.strip(), end="")
    print("\\033[r\\033[u\\033[u\\033[1;2;3A> ", end="", flush=True)
"""


def test_consoles_of_pcs_save_restore_and_scroll() -> None:
    command = [sys.executable, "-c", SCROLLED]
    with Terminal(command, title="scrolled", columns=40, rows=5) as terminal:
        terminal.wait_for(">")
        for number in range(6):
            terminal.enter(f"text{number}")
            terminal.wait_for(f"said text{number}")
        for number in range(6):
            assert terminal.transcript.count(f"said text{number}\n") == 1


def test_a_terminal_speaks_the_programs_encoding() -> None:
    code = (
        "import sys\n"
        "sys.stdout.reconfigure(encoding='cp866'); sys.stdin.reconfigure(encoding='cp866')\n"
        "print('сказано', input('имя: '))"
    )
    command = [sys.executable, "-c", code]
    with Terminal(command, title="cp866", encoding="cp866") as terminal:
        terminal.wait_for("имя:")
        terminal.enter("Щука")
        terminal.wait_for("сказано Щука")


def test_what_this_process_ignores_its_programs_do_not() -> None:
    code = "import signal; print(signal.getsignal(signal.SIGINT)); input('ready')"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Terminal([sys.executable, "-c", code], title="background") as terminal:
            terminal.wait_for("ready")
            assert "default_int_handler" in terminal.text
    finally:
        signal.signal(signal.SIGINT, before)
