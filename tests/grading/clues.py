"""What a submission's source and screens suggest: how to start it, what a prompt wants, commands.

Nothing here is believed before `describe` has seen it work.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .python import own_files, source, tree

SERVES = re.compile(r"socketserver|\.listen\(|create_server\(|Server\(|start_server\(|\.bind\(")
CONNECTS = re.compile(r"\.connect(_ex)?\(|create_connection\(|open_connection\(|\.sendto\(")

# What a prompt or a name in the code asks for, the first that fits.
_WANTS = {
    "{password}": r"passw|парол|\bpwd|\bpin\b",
    "{port}": r"port\b|порт",
    "{host}": r"(server|host)_?\s*name|имя (сервера|хоста|узла)|\bhost|\bip\b|addr|адрес|хост",
    "{to}": r"^\W*to\W*$|(send|write|message) to\b|whom|recipient|receiver"
    r"|кому|получател|адресат|собеседник",
    "{name}": r"name|nick|login|\buser|\bwho are you|имя|имен|ник\b|ником|логин|зовут|звать"
    r"|представ|псевдоним|назов",
    "{text}": r"text|message|\bmsg|сообщ|текст|написать|сказать",
    "{host} ": r"server|сервер",  # what else is said of a server is hardly a name
}
_ASKS = re.compile(
    r"[:?>]\s*$|^\W*(enter|input|type|choose|your|what)"
    r"|^\W*(введите|укажите|назов|представьтесь|ваш|как )",
    re.IGNORECASE,
)
_YES_NO = re.compile(r"\b(y(?:es)?|да?)\s*(?:/|\||,|or|или)\s*(no?|н(?:ет)?)\b", re.IGNORECASE)
_HAS_ACCOUNT = re.compile(
    r"already|have an|existing|уже|есть (ли )?(аккаунт|учет|учёт)", re.IGNORECASE
)

# What a command or an item of a menu is for, by its word or by what is said of it.
PURPOSES = {
    "enter": r"regist|sign.?up|new\b|connect|join|log.?in"
    r"|регистр|зарег|нов|подключ|присоед|войти|вход",
    "server": r"serv|серв|host|созда",
    "client": r"client|клиент|join|connect|подключ|войти",
    "all": r"\ball|every|broadcast|\bsay|\bsend|всем|общ|сообщ|написать|message|msg|\bm\b",
    "private": r"priv|whisper|personal|direct|\b[dp]m\b|\bw\b|\bto\b|tell|msg|\bm\b|@|-u"
    r"|лс\b|личн|одному|шеп|кому",
    "users": r"user|list|who|online|names|member|people|\bls\b|кто|спис|онлайн|участн|польз|люди",
    "history": r"hist|\blog\b|last|recent|past|replay|истор|было|прошл|архив|журнал|повтор",
    "leave": r"exit|quit|leave|bye|logout|disconnect|close|\bq\b"
    r"|выход|выйти|вых\b|пока\b|отключ|уйти",
    "stop": r"stop|shut|exit|quit|halt|стоп|останов|выключ|выход|заверш",
    "help": r"help|commands|помощь|справка|команды",
}

_HELP_LINE = re.compile(
    r"^\W{0,3}([/!\-@.:]?[\wА-яё@!?]+)(?:\s+[^\s:=–—-]\S*){0,4}?\s*(?:[-–—:=]+|\s{2,})\s*(\S.*)$"
)
_MENU_ITEM = re.compile(r"(?<![\w.:])\[?(\d{1,2})\]?\s*(?:[-–—.):=]|\s)\s*([^\W\d_][^,;|\d\n]*)")
_SYMBOL = re.compile(r"(?<!\S)([#?$%&*+~.]{1,2})\s*[-–—]\s*(\w[^,;|]*)")
_MARKED = re.compile(r"(?<![\w/.:])([/!\-@]+[^\W\d_][\w-]*)")


@dataclass(frozen=True)
class Offer:
    """Something that can be typed, and what is said of it."""

    word: str
    label: str = ""

    def rank(self, purpose: str) -> int:
        """Return how well it fits *purpose*: 0 not at all."""
        pattern = re.compile(PURPOSES[purpose], re.IGNORECASE)
        return 3 * bool(pattern.search(self.word)) + 2 * bool(pattern.search(self.label))


def for_all(prompt: str) -> str:
    """Return what *prompt*, which asks for the receiver, says stands for everybody."""
    told = re.search(r"([^\s(,;]+)\s*[-–—=:]+\s*(?:всем|все\b|all\b|every)", prompt, re.IGNORECASE)
    return told[1] if told else "all"


def asks(line: str) -> bool:
    """Tell whether *line*, after which the cursor stands on a row of its own, is a question."""
    return _ASKS.search(line) is not None


def wanted(prompt: str) -> str:
    """Return what *prompt* asks for, as it is typed: ``{name}``, ``yes``; nothing if unknown."""
    choice = _YES_NO.search(prompt)
    if choice:
        return choice[2 if _HAS_ACCOUNT.search(prompt) else 1]
    clauses = [part for part in re.split(r"[.!?;]\s+|\n", prompt) if re.search(r"\w", part)]
    last = clauses[-1].casefold() if clauses else ""
    for kind, pattern in _WANTS.items():
        if re.search(pattern, last):
            return kind.strip()
    return ""


def offers(text: str) -> list[Offer]:
    """Return the commands and the items of menus that *text*, from a screen, tells of."""
    found: dict[str, Offer] = {}
    for line in text.splitlines():
        items = [Offer(one[1], one[2].strip()) for one in _MENU_ITEM.finditer(line)]
        told = _HELP_LINE.match(line.strip())
        if told and not items:
            items = [Offer(told[1], told[2])]
        items += [Offer(one[1], line) for one in _MARKED.finditer(line)]
        items += [Offer(one[1], one[2]) for one in _SYMBOL.finditer(line)]
        for item in items:
            found.setdefault(item.word, item)
    return list(found.values())


def words_in(folder: Path) -> list[Offer]:
    """Return the short texts with which the code in *folder* compares what it is given."""
    found: dict[str, Offer] = {}
    for path in own_files(folder):
        if path.suffix == ".py":
            for text in _compared(path):
                word = text.strip()
                if re.fullmatch(r"[^\s{}.\\_]{1,16}", word) and re.search(r"[^\W\d_]|[@!]", word):
                    found.setdefault(word, Offer(word))
    return list(found.values())


def _compared(path: Path) -> Iterator[str]:
    try:
        nodes = list(ast.walk(tree(path)))
    except (SyntaxError, ValueError):
        return
    for node in nodes:
        places: Sequence[ast.AST] = ()
        if isinstance(node, ast.Compare):
            places = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("startswith", "removeprefix", "split", "partition"):
                places = node.args
        elif isinstance(node, ast.MatchValue):
            places = [node.value]
        elif isinstance(node, ast.MatchSequence):
            places = node.patterns
        elif isinstance(node, ast.Dict) and not all(
            isinstance(value, ast.Constant) for value in node.values
        ):
            places = [key for key in node.keys if key is not None]
        for place in places:
            for one in ast.walk(place):
                if isinstance(one, ast.Constant) and isinstance(one.value, str | bytes):
                    value = one.value
                    yield value if isinstance(value, str) else value.decode(errors="replace")


# Commands


@dataclass(frozen=True)
class _File:
    path: Path
    text: str
    module: str
    imports: frozenset[str]
    runs: bool
    """Whether it does something when it is run."""

    relative: bool
    """Whether it can be run as a module of its package only."""


def commands(folder: Path, role: str) -> Iterator[list[str]]:
    """Yield what may start the *role*, ``server`` or ``client``, the most likely first."""
    looks = SERVES if role == "server" else CONNECTS
    files = {
        one.module: one
        for path in own_files(folder)
        if path.suffix == ".py"
        for one in [_read(path, folder)]
    }
    imported = {name for one in files.values() for name in one.imports}
    able = []
    for one in files.values():
        reach = _reach(one, files)
        if one.runs and any(looks.search(each.text) for each in reach):
            named = re.search(PURPOSES[role], one.path.stem, re.IGNORECASE) is not None
            other = "client" if role == "server" else "server"
            misnamed = re.search(PURPOSES[other], one.path.stem, re.IGNORECASE) is not None
            able.append(((misnamed and not named, not named, one.module in imported), one))
    able.sort(key=lambda pair: (*pair[0], len(pair[1].path.parts)))
    for _order, one in able:
        start = ["python", one.path.relative_to(folder).as_posix()]
        if one.relative or one.path.name == "__main__.py":
            start = ["python", "-m", one.module.removesuffix(".__main__")]
        both = any(SERVES.search(each.text) for each in _reach(one, files)) and any(
            CONNECTS.search(each.text) for each in _reach(one, files)
        )
        text = "\n".join(each.text for each in _reach(one, files))
        for arguments in _arguments(one, role if both else "", text):
            yield [*start, *arguments]


def _read(path: Path, folder: Path) -> _File:
    text = source(path)
    parts = path.relative_to(folder).with_suffix("").parts
    imports: set[str] = set()
    runs = relative = False
    try:
        module = tree(path)
    except (SyntaxError, ValueError):
        return _File(path, text, ".".join(parts), frozenset(), runs=True, relative=False)
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*parts[: len(parts) - node.level], *filter(None, [node.module])])
            base = base if node.level else (node.module or "")
            imports.update([base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)])
            relative = relative or node.level > 0
    for statement in module.body:
        call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
        loop = isinstance(statement, ast.While | ast.For | ast.With | ast.If | ast.Try)
        runs = runs or call or loop
    return _File(path, text, ".".join(parts), frozenset(imports), runs, relative)


def _reach(start: _File, files: dict[str, _File]) -> list[_File]:
    """Return *start* and all files of the submission that it imports, directly or not."""
    found, left = [start], [start]
    while left:
        for name in left.pop().imports:
            for module in (name, f"{name}.__init__"):
                one = files.get(module) or next(
                    (each for key, each in files.items() if key.endswith(f".{module}")), None
                )
                if one is not None and one not in found:
                    found.append(one)
                    left.append(one)
    return found


_COMMON = (
    ("{port}",),
    ("{host}", "{port}"),
    ("{host}", "{port}", "{name}"),
    ("{port}", "{name}"),
    ("{name}",),
)


def _arguments(one: _File, role: str, text: str) -> list[tuple[str, ...]]:
    """Return what may follow the program's name, from what its code does with its arguments."""
    found: list[tuple[str, ...]] = []
    if "add_argument" in text:
        found += _from_argparse(text)
    if "argv" in text:
        found += _from_argv(text)
        found += _COMMON
    found.append(())
    if role:  # one file for both: it may be told which one to be
        words = [word for word in (role, f"--{role}", f"-{role[0]}", role[0]) if word in text]
        lines = [line for line in text.splitlines() if "argv" in line]
        words += [word for line in lines for word in re.findall(r"[\"'](-{0,2}\w+)[\"']", line)]
        roles = [(word, *rest) for word in dict.fromkeys(words) for rest in found]
        found = [*roles, *found] if "argv" in text or "add_argument" in text else found
    return list(dict.fromkeys(found))


def _from_argparse(text: str) -> list[tuple[str, ...]]:
    """Return the arguments of a command line as its ``add_argument`` calls describe it."""
    options, needed, positional = [], [], []
    for call in re.finditer(r"add_argument\(\s*((?:f?[\"'][^\"']+[\"']\s*,?\s*)+)([^\n]*)", text):
        names = re.findall(r"[\"']([^\"']+)[\"']", call[1])
        kind = wanted(names[-1].strip("-").replace("_", " "))
        if "store_true" in call[2] or not kind or kind in ("{to}", "{text}"):
            continue
        if names[0].startswith("-"):
            pair = [max(names, key=len), kind]
            options += pair if kind != "{host}" else []
            needed += pair if "required" in call[2] and "True" in call[2] else []
        else:
            positional.append(kind)
    ways = [(*positional, *options), (*positional, *needed), tuple(options), tuple(needed)]
    return [tuple(way) for way in dict.fromkeys(ways) if way]


def _from_argv(text: str) -> list[tuple[str, ...]]:
    """Return the arguments of a command line as the variables say that ``sys.argv`` goes to."""
    kinds: dict[int, str] = {}
    for line in text.splitlines():
        left, equals, right = line.partition("=")
        if "argv" not in right or not equals:
            continue
        names = [name.strip(" ()*") for name in left.split(",")]
        indices = [int(one) for one in re.findall(r"argv\[(\d+)\]", right)]
        part = re.search(r"argv(?:\[(\d+):(\d*)\])?\s*$", right.strip())
        if part and not indices:
            begin = int(part[1] or 0)
            indices = list(range(begin, begin + len(names)))
        for index, name in zip(indices, names, strict=False):
            if index and wanted(name.replace("_", " ")):
                kinds[index] = wanted(name.replace("_", " "))
    for index in map(int, re.findall(r"int\(\s*(?:sys\.)?argv\[(\d+)\]", text)):
        kinds.setdefault(index, "{port}")
    most = max(kinds, default=0)
    if not most or any(index not in kinds for index in range(1, most + 1)):
        return []
    return [tuple(kinds[index] for index in range(1, most + 1))]


def shown(command: Iterable[str]) -> str:
    """Return *command* as it is typed in a shell."""
    return re.sub(r"'(\{\w+\})'", r"\1", shlex.join(command))
