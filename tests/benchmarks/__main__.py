"""``python -m tests.benchmarks``: measure, say which goals are met, keep the results."""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from chat.app import options as cli
from chat.app.i18n import gettext as _
from chat.lab.figures import duration, number

from . import plan
from .goals import Goal, goals
from .run import RESULTS, Results, codec, run
from .servers import titles


def main(arguments: list[str] | None = None) -> int:
    """Measure; return 0 when that was possible, whatever came of it."""
    cli.choose_language(arguments)
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, markup=False)
    if options.show:
        if not options.output.exists():
            return cli.fail(_("There are no results in {path}.").format(path=options.output))
        results = json.loads(options.output.read_text("utf-8"))
    else:
        results = _measure(console, quick=options.quick)
        if not options.quick or options.output != RESULTS:
            options.output.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    _show(results, console)
    return 0


def _measure(console: Console, *, quick: bool) -> Results:
    cases = plan.quick() if quick else plan.full()
    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task("", total=None)

        def progress(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name)

        results = run(cases, progress)
        bar.update(task, description=_("encoder and decoder"))
        return results | {"codec": codec(quick=quick)}


def _show(results: Results, console: Console) -> None:
    machine = results["machine"]
    console.print(
        _("{system}, {processor}, processors: {processors}, Python {python}, {date}").format(
            **machine
        )
    )
    console.print(_rates(results))
    console.print(_latencies(results))
    console.print(_goals([goal for goal in goals(results) if goal.reached is not None]))
    console.print(_codec(results))
    for name, why in results["skipped"].items():
        console.print(_("Skipped: {name}: {why}").format(name=name, why=why))
    for why in results["failures"].values():
        console.print(_("Failed: {why}").format(why=why), style="red")
    for case in _cases(results, "correctness"):
        _show_correctness(case, console)


def _show_correctness(case: Results, console: Console) -> None:
    problems = case["middle"]["problems"]
    name = titles()[case["peer"]]
    if problems:
        console.print(
            _("Not everything arrived as it was said: {name}: {problems}").format(
                name=name, problems="; ".join(problems)
            ),
            style="red",
        )


def _rates(results: Results) -> Table:
    table = Table(title=_("Thousands of deliveries a second"))
    for heading in (_("Server"), "N", "W", _("median"), _("least"), _("most"), _("load busy")):
        table.add_column(heading, justify="left" if heading == _("Server") else "right")
    experiments = {
        "throughput": _("As fast as it goes"),
        "durable": _("History on disk"),
        "stalled": _("While one does not read"),
        "not stalled": _("The same, all read"),
        "scaling": _("More and more people"),
    }
    for experiment, title in experiments.items():
        if cases := _cases(results, experiment):
            table.add_section()
            table.add_row(title, style="bold")
        for case in cases:
            rates = [number(case[kind]["rate"] / 1000, 3) for kind in ("median", "least", "most")]
            busy = f"{100 * case['median']['busy']:.0f} %"
            table.add_row(*_settings(case), str(case["window"]), *rates, busy)
    return table


def _latencies(results: Results) -> Table:
    table = Table(title=_("From saying to reading, at a steady pace: milliseconds"))
    for heading in (_("Server"), "N", _("messages a second"), "p50", "p99", _("p99, most")):
        table.add_column(heading, justify="left" if heading == _("Server") else "right")
    for case in _cases(results, "latency"):
        median, most = case["median"], case["most"]
        times = (median["p50"], median["p99"], most["p99"])
        table.add_row(
            *_settings(case), str(case["pace"]), *(number(1000 * seconds, 3) for seconds in times)
        )
    return table


def _codec(results: Results) -> str:
    work = {
        "test_encode": _("encoding"),
        "test_decode[one-by-one]": _("decoding one by one"),
        "test_decode[64-KiB]": _("decoding 64 KiB at a time"),
        "test_decode[16-bytes]": _("decoding 16 bytes at a time"),
    }
    times = [f"{work[name]} {duration(time, 3)}" for name, time in results["codec"].items()]
    return _("One frame: {times}").format(times=", ".join(times))


def _cases(results: Results, name: str) -> list[Results]:
    return [case for case in results["cases"] if case["name"] == name]


def _settings(case: Results) -> tuple[str, str]:
    return titles()[case["peer"]], str(case["clients"])


def _goals(reached: list[Goal]) -> Table:
    table = Table(title=_("Goals"))
    for heading in ("", _("Goal"), _("wanted"), _("reached")):
        table.add_column(heading, justify="right" if heading[:1] == _("wanted")[:1] else "left")
    for goal in reached:
        table.add_row("✓" if goal.is_met else "✗", goal.what, *goal.words())
    return table


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(
        prog="tests.benchmarks",
        description=_("Measures this chat and others side by side, on this machine."),
    )
    parser.add_argument(
        "--quick", action="store_true", help=_("the most important, once, in under a minute")
    )
    parser.add_argument(
        "--show", action="store_true", help=_("measure nothing, show the results that are there")
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=RESULTS,
        metavar=_("FILE"),
        help=_("where the results go (default: tests/benchmarks/results.json, unless --quick)"),
    )
    cli.add_language(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
