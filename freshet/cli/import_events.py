"""``freshet import``."""

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freshet.cli.options import loaded, plain, settings_flags

if TYPE_CHECKING:
    from freshet.cli.progress import Bars
    from freshet.importers.checkpoint import Checkpoint
    from freshet.importers.run import Summary
    from freshet.importers.source import Source
    from freshet.settings import Settings


@click.command("import")
@click.argument("kind", type=click.Choice(["jsonl", "online-retail", "polis"]))
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--server", help="URL of a running server (default: the host and port settings).")
@settings_flags("data", "spec", "partitions")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to remember how far it came, instead of the usual place.",
)
@click.option("--restart", is_flag=True, help="Forget how far an earlier import came.")
@click.option("--json", "json_out", is_flag=True, help="Print the summary as JSON.")
def command(
    kind: str,
    path: Path,
    server: str | None,
    state: Path | None,
    restart: bool,
    json_out: bool,
    config: Path | None,
    data: Path | None,
    spec: str | None,
    partitions: int | None,
) -> None:
    """Import a file of events into a server, or into the data folder of a stopped one.

    Killed at any point, the same command goes on from where it was. Files may be gzipped.

    \b
    Examples:
      freshet import jsonl events.jsonl.gz
      freshet import online-retail online_retail.csv.gz --server http://127.0.0.1:8400
      freshet import polis conversations/ --data freshet-data --json
    """
    from rich.console import Console

    from freshet.cli.progress import Bars
    from freshet.importers.checkpoint import Checkpoint, CheckpointError, beside_data, of_server
    from freshet.importers.run import ImportStopped
    from freshet.importers.source import SourceError
    from freshet.settings import SettingsError, refuse_cluster
    from freshet.state import CannotOpen

    if server is not None and data is not None:
        raise click.UsageError("--server and --data exclude each other")
    console = Console(stderr=True)
    with plain(SettingsError, SourceError, CheckpointError, ImportStopped, CannotOpen):
        found = loaded(config, data=data, spec=spec, partitions=partitions)
        settings = found.settings if data is None else refuse_cluster(found, "import --data")
        source = _source(kind, path)
        if data is None:
            url = server or f"http://{settings.host}:{settings.port}"
            place = state or of_server(url, source.digest)
        else:
            place = state or beside_data(data, source.digest)
        checkpoint = Checkpoint(place, source.digest)
        if restart:
            checkpoint.forget()
        try:
            with Bars(console) as bars:
                if data is None:
                    importing = _to_server(source, url, settings, checkpoint, bars)
                else:
                    importing = _to_data(source, settings, checkpoint, bars)
                summary = asyncio.run(importing)
        except KeyboardInterrupt:
            raise click.ClickException(
                "interrupted; run the same command again to go on from here"
            ) from None
    _print(summary, json_out)


def _source(kind: str, path: Path) -> "Source":
    if kind == "jsonl":
        from freshet.importers.jsonl import Jsonl

        return Jsonl(path)
    if kind == "online-retail":
        from freshet.importers.online_retail import OnlineRetail

        return OnlineRetail(path)
    from freshet.importers.polis import Polis

    return Polis(path)


async def _to_server(
    source: "Source", url: str, settings: "Settings", checkpoint: "Checkpoint", bars: "Bars"
) -> "Summary":
    from freshet.importers.run import run
    from freshet.importers.to_server import ToServer

    async with ToServer(url, next(iter(settings.api_keys), None)) as sink:
        return await run(source, sink, checkpoint, partial(bars.report, "lines"))


async def _to_data(
    source: "Source", settings: "Settings", checkpoint: "Checkpoint", bars: "Bars"
) -> "Summary":
    from freshet.garbage import look_rarely
    from freshet.importers.run import run
    from freshet.importers.to_data import ToData
    from freshet.state import State

    look_rarely()
    state = await State.open(settings)
    try:
        await state.recover(bars.report)
        summary = await run(source, ToData(state), checkpoint, partial(bars.report, "lines"))
        state.commit()
        return summary
    finally:
        await state.close()


def _print(summary: "Summary", json_out: bool) -> None:
    if json_out:
        import msgspec

        print(msgspec.json.encode(summary).decode())
        return
    print(f"{summary.taken:,} of {summary.lines:,} lines taken")
    for reason, count in sorted(summary.skipped.items(), key=lambda item: -item[1]):
        print(f"{count:>12,} skipped: {reason}")
    print(f"{summary.seconds:.1f} s, {summary.events_per_s:,.0f} events/s")
