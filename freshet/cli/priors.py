"""``freshet priors``."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freshet.cli.of_file import file_arguments, spec_for
from freshet.cli.options import CLUSTER, loaded, plain, settings_flags

if TYPE_CHECKING:
    from rich.console import Console

    from freshet.cli.progress import Bars
    from freshet.priors import OfRate, Report
    from freshet.settings import Loaded
    from personalization.evaluation.bootstrap import Interval

_SEED = 1


@click.command("priors")
@file_arguments
@click.option("--json", "json_out", is_flag=True, help="Print all of it as JSON.")
@settings_flags("data", "spec", *CLUSTER)
def command(
    path: Path | None, kind: str, json_out: bool, config: Path | None, **flags: object
) -> None:
    """What new things are worth: learns the strength and prior of every Rate from the log.

    From the earlier half of the exposures; on the later half it says how well the declared and
    the learned values foretell what follows, by how often the item (or seller, …) had been
    exposed. The log is that of the data folder, which a server may have open, or of Kafka; or
    PATH is a file. Nothing is changed: the lines to paste into the spec are printed.

    \b
    Examples:
      freshet priors
      freshet priors events.jsonl.gz --spec my_shop:spec
      freshet priors conversations/ --format polis
      freshet priors --config cluster.toml --json
    """
    from rich.console import Console

    from eventlog.kafka import KafkaRefused, KafkaUnreachable
    from freshet.cli.progress import Bars
    from freshet.cluster import TopicsWrong
    from freshet.importers.source import SourceError
    from freshet.priors import as_json
    from freshet.settings import SettingsError
    from freshet.state import CannotOpen
    from freshet.training.reading import Stalled

    expected = (
        *(SettingsError, SourceError, CannotOpen, Stalled),
        *(TopicsWrong, KafkaRefused, KafkaUnreachable),
    )
    with plain(*expected), Bars(Console(stderr=True)) as bars:
        report = _report(loaded(config, **flags), path, kind, bars)
    if json_out:
        import msgspec

        print(msgspec.json.encode(as_json(report)).decode())
    else:
        _print(report, Console(soft_wrap=True, highlight=False))


def _report(found: "Loaded", path: Path | None, kind: str, bars: "Bars") -> "Report":
    from freshet.evaluation.feed import Feed
    from freshet.priors import priors_of_file, priors_of_log
    from freshet.specs import load_spec
    from freshet.training.opened import opened_to_read

    settings = found.settings
    if path is not None:
        spec = load_spec(spec_for(kind, found))
        return priors_of_file(Feed(kind, path, _SEED), spec, bars.report)

    async def learned() -> "Report":
        async with opened_to_read(settings, "freshet-priors") as log:
            return await priors_of_log(log, load_spec(settings.spec), bars.report)

    return asyncio.run(learned())


def _print(report: "Report", console: "Console") -> None:
    from freshet.priors import line

    if not report.rates:
        console.print("The spec declares no Rate.")
    for name, one in report.rates.items():
        _print_rate(name, one, console)
    if any(one.later for one in report.rates.values()):
        console.print("Log loss and gain are in thousandths of a nat per exposure.")
    better = [one for one in report.rates.values() if one.learned is not None and one.better]
    if better:
        console.print("Better on what came later, beyond chance; to paste into the spec:")
    for one in better:
        if one.learned is not None:
            console.print(f"  {line(one.rate, one.learned)}", markup=False)
    if report.unreadable:
        console.print(f"{report.unreadable:,} events cannot be read: left out")


def _print_rate(name: str, one: "OfRate", console: "Console") -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    rate, learned = one.rate, one.learned
    declared = f"strength {rate.strength:g}, prior {rate.prior:g}"
    if learned is None:
        console.print(f"{escape(name)}: {declared} stay. {escape(one.why or '')}\n")
        return
    table = Table(
        title=f"{escape(name)}: {declared}; learned: "
        f"strength {learned.strength:g}, prior {learned.prior:g}",
        title_justify="left",
        box=box.SIMPLE,
        padding=0,
    )
    for heading in ("had before", "exposures", "entities", "rate", "declared", "learned", "gain"):
        table.add_column(heading, justify="right", no_wrap=True)
    for bucket, cell in one.later.items():
        table.add_row(
            *(bucket, f"{cell.exposures:,}", f"{cell.entities:,}", f"{cell.rate:.2%}"),
            *(f"{1000 * cell.declared[0]:.1f}", f"{1000 * cell.learned[0]:.1f}"),
            _thousandths(cell.gain),
        )
    console.print(table)


def _thousandths(interval: "Interval") -> str:
    value, low, high = (1000 * bound for bound in interval)
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"
