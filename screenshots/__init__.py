"""Pictures of the real programs at work: ``python -m screenshots``.

``scenarios``
    who does what, and which windows the picture shows
``stage``
    people at terminals, who type and wait
``draw``
    a terminal's screen as a picture

The pictures that the repository shows lie in ``screenshots/LANGUAGE/``; those that were taken on
this machine in ``build/screenshots/LANGUAGE/``, which git ignores. Each carries, as text inside
the file, the commands that led to it, as they were typed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from chat.app.i18n import LANGUAGES, language, set_language
from chat.app.i18n import gettext as _
from chat.lab.terminal import ScreenTimeout

from . import draw
from .scenarios import Scenario, all_scenarios
from .stage import Stage

FOLDER = Path(__file__).resolve().parent
"""Of the published pictures, a folder for each language below it."""
TAKEN = FOLDER.parent / "build" / "screenshots"
"""Of those that were taken here."""

Progress = Callable[[int, int, str], None]
"""Is told after each picture: how many are ready, how many there are, which one it was."""

_COMMANDS = "Commands"  # the keyword of the text inside a picture


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of the gallery."""

    name: str
    path: Path
    situation: str
    caption: str
    alt: str
    commands: tuple[tuple[str, str], ...]
    """What was typed: the window's title and the line."""


class UnknownScenarioError(ValueError):
    """There is no scenario of that name; the text is a sentence for the user."""


def take(
    lang: str,
    progress: Progress | None = None,
    only: Sequence[str] | None = None,
    folder: Path | None = None,
) -> list[Path]:
    """Play the scenarios in language *lang* and write their pictures to *folder*; return the paths.

    *folder*: of `TAKEN`, if not given. *only* names the scenarios to play; without it all are
    played, and pictures of scenarios that are no more are removed. Scenarios run side by side,
    each in a process of its own. Raises `UnknownScenarioError`, and
    `chat.lab.terminal.ScreenTimeout` when a screen did not show what the scenario waits for.
    """
    folder = folder or TAKEN / lang
    folder.mkdir(parents=True, exist_ok=True)
    paths = pictures(folder)
    wanted = [name for name in paths if name in only] if only else list(paths)
    for name in only or ():
        if name not in paths:
            raise UnknownScenarioError(
                _("There is no scenario “{name}”; there are: {names}.").format(
                    name=name, names=", ".join(paths)
                )
            )
    # A fork of a process with threads, such as a progress bar's, may hang: start afresh.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=fresh) as pool:
        playing = {pool.submit(_play, lang, name, paths[name]): name for name in wanted}
        try:
            for number, future in enumerate(as_completed(playing), start=1):
                future.result()
                if progress is not None:
                    progress(number, len(wanted), playing[future])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if not only:
        for stale in set(folder.glob("*.png")) - set(paths.values()):
            stale.unlink()
    return [paths[name] for name in wanted]


def gallery(lang: str, folder: Path | None = None) -> list[Shot]:
    """Return the pictures in *folder* and what is to be said about them in language *lang*.

    Without *folder*: the pictures that were taken here, and where that has not been done, the
    published ones. Raises `FileNotFoundError` when a picture has not been taken yet.
    """
    before = language()
    set_language(lang)
    try:
        described = all_scenarios()
    finally:
        set_language(before)
    paths = pictures(folder or TAKEN / lang)
    if folder is None and not all(path.is_file() for path in paths.values()):
        paths = pictures(FOLDER / lang)
    return [_shot(scenario, paths[scenario.name]) for scenario in described]


def main(arguments: list[str] | None = None) -> int:
    """Take the pictures that the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="screenshots",
        description=_("Plays the scenarios with the real programs and draws their terminals."),
    )
    parser.add_argument("--lang", choices=LANGUAGES, default="ru", help=_("language of the chat"))
    parser.add_argument("--list", action="store_true", help=_("name the scenarios and stop"))
    parser.add_argument(
        "scenario", nargs="*", help=_("which to play, by name (default: all of them)")
    )
    options = parser.parse_args(arguments)
    set_language(options.lang)
    if options.list:
        for scenario in all_scenarios():
            print(f"{scenario.name:<16} {scenario.situation}")
        return 0
    try:
        paths = _with_progress_bar(options.lang, options.scenario)
    except (UnknownScenarioError, ScreenTimeout) as error:
        print(error, file=sys.stderr)
        return 1
    for path in paths:
        print(os.path.relpath(path))
    return 0


def _with_progress_bar(lang: str, only: Sequence[str]) -> list[Path]:
    from rich.progress import Progress as Bar  # noqa: PLC0415 - the notebooks need no bar

    with Bar(transient=True) as bar:
        task = bar.add_task(_("Screenshots"), total=None)

        def step(number: int, total: int, name: str) -> None:
            bar.update(task, completed=number, total=total, description=name)

        return take(lang, step, only)


def pictures(folder: Path) -> dict[str, Path]:
    """Return the file of every scenario, by name, in the order of the gallery."""
    return {
        scenario.name: folder / f"{number:02}_{scenario.name}.png"
        for number, scenario in enumerate(all_scenarios(), start=1)
    }


def _play(lang: str, name: str, path: Path) -> None:
    """Play one scenario and write its picture. Runs in a process of its own."""
    set_language(lang)
    (scenario,) = (each for each in all_scenarios() if each.name == name)
    with tempfile.TemporaryDirectory() as home, Stage(Path(home)) as stage:
        try:
            picture = scenario.play(stage)
        except ScreenTimeout as error:
            raise ScreenTimeout(_failure(scenario, path, stage, error)) from None
        typed = json.dumps(stage.typed, ensure_ascii=False)
    path.write_bytes(draw.png(draw.draw(picture), {_COMMANDS: typed}))


def _failure(scenario: Scenario, path: Path, stage: Stage, error: ScreenTimeout) -> str:
    """Return what a person needs to know about a scenario that went another way."""
    lines = [
        _("The screenshot {file} was not taken. Scenario {name}: “{title}”.").format(
            file=path.name, name=scenario.name, title=scenario.situation
        ),
        _("What was typed:"),
        *(f"  {window}: {line}" for window, line in stage.typed),
        str(error),
        _("What is played stands in {file}, function {function}.").format(
            file="screenshots/scenarios.py", function=scenario.play.__name__
        ),
    ]
    return "\n".join(lines)


def _shot(scenario: Scenario, path: Path) -> Shot:
    with Image.open(path) as picture:
        typed = json.loads(picture.info[_COMMANDS])
    return Shot(
        scenario.name,
        path,
        scenario.situation,
        scenario.caption,
        scenario.alt,
        tuple((title, line) for title, line in typed),
    )
