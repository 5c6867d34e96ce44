"""``freshet sources``."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freshet.cli.options import CLUSTER, duration, loaded, names, plain, settings_flags

if TYPE_CHECKING:
    from rich.console import Console

    from freshet.cli.progress import Bars
    from freshet.settings import Settings
    from freshet.sources import Report
    from personalization.training.by_source import OnSurface


@click.command("sources")
@click.option(
    "--window",
    callback=duration,
    default="30d",
    show_default=True,
    help="How far back to look.",
)
@click.option(
    "--outcomes",
    callback=names,
    metavar="EVENT,…",
    help="Events that count (default: those the spec gives a weight or a label).",
)
@click.option("--json", "json_out", is_flag=True, help="Print the counts as JSON.")
@settings_flags("data", "spec", *CLUSTER)
def command(
    window: int,
    outcomes: tuple[str, ...] | None,
    json_out: bool,
    config: Path | None,
    **flags: object,
) -> None:
    """What each source of candidates gave, and what it earned.

    Of every decision: how many candidates each source brought, how many of them were on the page,
    how many the visitor saw, and what came of those. Most are brought by several sources; what
    only one of them brought is counted beside. A server may have the data folder open.

    \b
    Examples:
      freshet sources
      freshet sources --window 1d --outcomes purchase
      freshet sources --config cluster.toml --json
    """
    from rich.console import Console

    from eventlog.kafka import KafkaRefused, KafkaUnreachable
    from freshet.cli.progress import Bars
    from freshet.cluster import TopicsWrong
    from freshet.settings import SettingsError
    from freshet.sources import as_json
    from freshet.state import CannotOpen
    from freshet.training.reading import Stalled

    expected = (SettingsError, CannotOpen, Stalled, TopicsWrong, KafkaRefused, KafkaUnreachable)
    with plain(*expected), Bars(Console(stderr=True)) as bars:
        settings = loaded(config, **flags).settings
        report = asyncio.run(_report(settings, window, outcomes, bars))
    if json_out:
        import msgspec

        print(msgspec.json.encode(as_json(report)).decode())
    else:
        _print(report, Console(soft_wrap=True, highlight=False))


async def _report(
    settings: "Settings", window: int, counted: tuple[str, ...] | None, bars: "Bars"
) -> "Report":
    from freshet.sources import report
    from freshet.specs import load_spec
    from freshet.state import now_ms
    from freshet.training.opened import opened_to_read
    from personalization.training.labels import outcomes

    try:
        labels = outcomes(load_spec(settings.spec), "lambdarank", counted)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--outcomes") from error
    async with opened_to_read(settings, "freshet-sources") as log:
        return await report(log, labels, now_ms() - window, bars.report)


def _print(report: "Report", console: "Console") -> None:
    found = report.found
    if not found.surfaces:
        console.print("No decisions in this time.")
    for name, surface in sorted(found.surfaces.items()):
        _print_surface(name, surface, console)
    if report.unreadable:
        console.print(f"{report.unreadable:,} records cannot be read: left out")


def _print_surface(name: str, surface: "OnSurface", console: "Console") -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from freshet.sources import by_worth

    every = surface.all()
    table = Table(
        title=f"{escape(name)}: {surface.rankings:,} rankings",
        title_justify="left",
        box=box.SIMPLE,
        padding=0,
    )
    table.add_column("source", no_wrap=True)
    for heading in (
        *("brought", "only it", "shown", "only it", "seen"),
        *("outcomes", "only it", "per seen", "worth"),
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for source in by_worth(surface):
        of, alone = surface.of(source), surface.alone(source)
        table.add_row(
            escape(source),
            *(f"{count:,}" for count in (of.brought, alone.brought, of.shown, alone.shown)),
            *(f"{count:,}" for count in (of.seen, of.outcomes, alone.outcomes)),
            *(_rate(of.outcomes, of.seen), f"{of.worth:,.0f}"),
        )
    table.add_section()
    table.add_row(
        *("all", f"{every.brought:,}", "", f"{every.shown:,}", ""),
        *(f"{every.seen:,}", f"{every.outcomes:,}", ""),
        *(_rate(every.outcomes, every.seen), f"{every.worth:,.0f}"),
    )
    console.print(table)


def _rate(outcomes: int, seen: int) -> str:
    return f"{outcomes / seen:.2%}" if seen else "–"
