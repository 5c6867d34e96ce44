"""``freshet ledger``."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freshet.cli.options import CLUSTER, duration, loaded, plain, settings_flags

if TYPE_CHECKING:
    from rich.console import Console

    from freshet.cli.progress import Bars
    from freshet.settings import Settings
    from personalization.ledger import Entry, Ledger

_LISTED = 20


@click.command("ledger")
@click.option("--surface", "name", default="default", show_default=True, help="Whose guarantee.")
@click.option(
    "--window",
    callback=duration,
    default="30d",
    show_default=True,
    help="How far back what is looked at was listed.",
)
@click.option("--json", "json_out", is_flag=True, help="Print all of it as JSON.")
@settings_flags("data", "spec", "surfaces", *CLUSTER)
def command(name: str, window: int, json_out: bool, config: Path | None, **flags: object) -> None:
    """Which new items and sellers got the impressions that a surface guarantees, and when.

    Also who still waits, and what it cost in expected clicks: of what was shown for the guarantee,
    how much less likely a click was than on what it displaced. Counted from the log alone. A
    server may have the data folder open.

    \b
    Examples:
      freshet ledger
      freshet ledger --surface home --window 1d
      freshet ledger --config cluster.toml --json
    """
    from rich.console import Console

    from eventlog.kafka import KafkaRefused, KafkaUnreachable
    from freshet.cli.progress import Bars
    from freshet.cluster import TopicsWrong
    from freshet.settings import SettingsError
    from freshet.state import CannotOpen, now_ms
    from freshet.training.reading import Stalled

    expected = (SettingsError, CannotOpen, Stalled, TopicsWrong, KafkaRefused, KafkaUnreachable)
    now = now_ms()
    with plain(*expected), Bars(Console(stderr=True)) as bars:
        settings = loaded(config, **flags).settings
        ledger = asyncio.run(_ledger(settings, name, now - window, bars))
    entries = ledger.entries(now)
    if json_out:
        import msgspec

        print(msgspec.json.encode(_as_json(name, ledger, entries)).decode())
    else:
        _print(ledger, entries, Console(soft_wrap=True, highlight=False))


async def _ledger(settings: "Settings", name: str, since: int, bars: "Bars") -> "Ledger":
    from freshet.ledger import ledger_of
    from freshet.settings import SettingsError
    from freshet.specs import load_spec
    from freshet.surfaces import load_surfaces
    from freshet.training.opened import opened_to_read

    spec = load_spec(settings.spec)
    surface = load_surfaces(settings.surfaces, spec).get(name)
    if surface is None or surface.guarantee is None:
        raise SettingsError(f"--surface: no surface {name!r} has a guarantee")
    async with opened_to_read(settings, "freshet-ledger") as log:
        return await ledger_of(log, name, surface.guarantee, spec.plan, since, bars.report)


def _as_json(name: str, ledger: "Ledger", entries: "list[Entry]") -> dict[str, object]:
    from freshet.ledger import summary

    return {
        "surface": name,
        "guarantee": ledger.guarantee,
        "unexplained": ledger.unexplained,
        "items": summary([entry for entry in entries if entry.kind == "item"]),
        "sellers": summary([entry for entry in entries if entry.kind == "seller"]),
        "entries": entries,
    }


def _print(ledger: "Ledger", entries: "list[Entry]", console: "Console") -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from freshet.ledger import summary

    guarantee = ledger.guarantee
    console.print(
        f"{guarantee.impressions} impressions within {guarantee.within}; cost in expected clicks"
    )
    table = Table(box=box.SIMPLE, padding=0)
    table.add_column("")
    for heading in ("new", "in time", "late", "waiting", "given up", "gone"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("waited p50", "p99", "places", "cost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for kind in ("item", "seller"):
        of = summary([entry for entry in entries if entry.kind == kind])
        states = [of[name] for name in ("new", "kept", "late", "waiting", "given_up", "withdrawn")]
        table.add_row(
            f"{kind}s",
            *(f"{count:,}" for count in states),
            *(_seconds(of["waited_ms"][name]) for name in ("p50", "p99")),
            *(f"{of['places']:,}", f"{of['cost']:,.1f}"),
        )
    console.print(table)
    waiting = [entry for entry in entries if entry.state == "waiting"]
    for entry in waiting[:_LISTED]:
        console.print(
            f"{entry.kind} {escape(entry.id)} waits: {entry.impressions} of "
            f"{guarantee.impressions}, listed {_seconds(entry.waited)} ago"
        )
    if len(waiting) > _LISTED:
        console.print(f"… and {len(waiting) - _LISTED:,} more")
    if ledger.unexplained:
        console.print(f"{ledger.unexplained:,} decisions cannot be read: their cost is left out")


def _seconds(ms: int | None) -> str:
    return "–" if ms is None else f"{ms / 1000:,.1f} s"
