"""``freshet audit``."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freshet.cli.options import loaded, plain, settings_flags

if TYPE_CHECKING:
    from rich.console import Console

    from freshet.parity import Parity


@click.group("audit")
def command() -> None:
    """Check what was served against the log.

    \b
    Examples:
      freshet audit parity
      freshet audit parity --data /var/lib/freshet --sample 5000
    """


@command.command("parity")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    metavar="N",
    help="How many decisions to check, drawn at random.",
)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of chance.")
@click.option("--json", "json_out", is_flag=True, help="Print the outcome as JSON.")
@settings_flags("data", "spec")
def parity(
    sample: int,
    seed: int,
    json_out: bool,
    config: Path | None,
    data: Path | None,
    spec: str | None,
) -> None:
    """Were the features that were served those of the log, bit for bit?

    Folds every row that the decisions read again from the log, up to the offset at which it was
    read, computes the vectors again and compares all bits. Says which features differ, and exits
    with status 1 if any does. A server may have the data folder open.

    \b
    Examples:
      freshet audit parity
      freshet audit parity --data /var/lib/freshet --sample 5000
      freshet audit parity --spec my_shop:spec --json
    """
    from rich.console import Console

    from freshet.cli.progress import Bars
    from freshet.parity import audit_folder
    from freshet.settings import SettingsError, refuse_cluster
    from freshet.specs import load_spec
    from freshet.state import CannotOpen

    with plain(SettingsError, CannotOpen):
        settings = refuse_cluster(loaded(config, data=data, spec=spec), "freshet audit")
        declared = load_spec(settings.spec)
        with Bars(Console(stderr=True)) as bars:
            found = asyncio.run(audit_folder(settings.data, declared, sample, seed, bars.report))
    if json_out:
        import msgspec

        print(msgspec.json.encode(found.as_json()).decode())
    else:
        _print(found, Console(soft_wrap=True, highlight=False))
    raise SystemExit(0 if found.holds else 1)


def _print(found: "Parity", console: "Console") -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    sample = found.sample
    console.print(
        f"{len(sample.decisions):,} of {sample.recorded:,} decisions checked: {found.vectors:,} "
        f"vectors of {found.columns} features, folded again from the log"
    )
    for count, what in (
        (sample.other_spec, "were made with another spec"),
        (sample.unreadable, "cannot be read"),
    ):
        if count:
            console.print(f"{count:,} decisions {what}: left out")
    for id, why in list(found.unchecked.items())[:5]:
        console.print(f"[red]not checked[/red] decision {id}: {escape(why)}")
    if len(found.unchecked) > 5:
        console.print(f"… and {len(found.unchecked) - 5:,} more")
    if found.holds:
        console.print("[green]No bit differs.[/green]")
        return
    if found.different_decisions:
        console.print(
            f"[red]{found.different_vectors:,} vectors of {found.different_decisions:,} decisions "
            "differ.[/red]"
        )
    if found.features:
        table = Table(box=box.SIMPLE)
        table.add_column("feature")
        table.add_column("vectors", justify="right")
        table.add_column("for example")
        for name, count in found.features.most_common():
            table.add_row(escape(name), f"{count:,}", escape(found.examples[name]))
        console.print(table)
    for name, count in found.rows.most_common(5):
        console.print(f"{escape(name)}: another row in the log, in {count:,} decisions")
