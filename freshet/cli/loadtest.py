"""``freshet loadtest``."""

import asyncio
import math
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freshet.cli.options import loaded, plain, settings_flags

if TYPE_CHECKING:
    from rich.console import Console

    from freshet.loadtest.options import Options
    from freshet.loadtest.result import LoadtestResult

_MOST_PROBES = 20.0

_Adds = Callable[[Callable[..., None]], Callable[..., None]]


def _finite(_ctx: click.Context, _param: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number")
    return value


def _number(name: str, least: float, default: float | None, text: str) -> _Adds:
    return click.option(
        name,
        type=click.FloatRange(min=least),
        callback=_finite,
        default=default,
        show_default=default is not None,
        help=text,
    )


def _count(name: str, least: int, default: int, text: str) -> _Adds:
    kind = click.IntRange(min=least)
    return click.option(name, type=kind, default=default, show_default=True, help=text)


@click.command("loadtest")
@click.option(
    "--server",
    "servers",
    multiple=True,
    help="URL of a running server; several are asked in turn (default: host and port settings).",
)
@click.option("--api-key", help="API key (default: the first of the api_keys setting).")
@_number("--events", 0, 500, "Events per second.")
@_number("--ranks", 0, 100, "Rankings per second.")
@_number("--seconds", 1, 30, "How long is measured.")
@_number("--warm-up", 0, 2, "Seconds of the same traffic before that.")
@_number("--probes", 0, None, "Of these rankings, how many measure freshness (default: up to 20).")
@_count("--batch", 1, 1, "Events per request.")
@_count("--items", 1, 20_000, "Items of the shop.")
@_count("--visitors", 1, 5_000, "Visitors of the shop.")
@click.option(
    "--impressions",
    type=click.FloatRange(0, 1),
    default=0.3,
    show_default=True,
    help="Share of events that are impressions of 10 items.",
)
@click.option(
    "--candidates",
    type=click.IntRange(0, 2_000),
    default=100,
    show_default=True,
    help="Candidates per ranking; with 0 the server finds them.",
)
@_count("--connections", 1, 128, "Requests under way at once; more wait, and that is measured.")
@_count("--seed", 0, 1, "Of all that is random.")
@settings_flags()
@click.option("--json", "json_out", is_flag=True, help="Print the outcome as JSON.")
def command(
    servers: tuple[str, ...],
    api_key: str | None,
    probes: float | None,
    config: Path | None,
    json_out: bool,
    **numbers: Any,
) -> None:
    """Measure a running system: latency and freshness at the rates that you ask for.

    An open loop: every request is sent when it is due, whatever came of the others, and timed
    from then. Events carry ids and are sent again until they are acknowledged.

    It WRITES: items, visitors and events whose ids begin with "load", and the number of --seed.
    The items are deleted at the end; the events stay in the log, and in the counters that all
    items share. While it runs, rankings without candidates may show its items: so not where
    customers are. Ctrl-C ends it early, with what was measured.

    \b
    Examples:
      freshet loadtest
      freshet loadtest --events 1000 --ranks 200 --seconds 60 --json
      freshet loadtest --server http://10.0.0.1:8400 --server http://10.0.0.2:8400
    """
    from freshet.loadtest.client import CannotMeasure
    from freshet.loadtest.options import Options
    from freshet.settings import SettingsError

    with plain(SettingsError):
        settings = loaded(config).settings
    most = min(numbers["ranks"], 2 * numbers["events"])
    if probes is None:
        probes = min(_MOST_PROBES, most / 5)
    if probes > most:
        raise click.UsageError("--probes are a part of --ranks, and half of them of --events")
    if not numbers["events"] and not numbers["ranks"]:
        raise click.UsageError("nothing to send: --events and --ranks are 0")
    options = Options(
        servers=servers or (f"http://{settings.host}:{settings.port}",),
        api_key=api_key or next(iter(settings.api_keys), None),
        probes=probes,
        **numbers,
    )

    import uvloop
    from rich.console import Console

    console = Console(stderr=json_out)
    with plain(CannotMeasure):
        try:
            result = uvloop.run(_loadtest(options, console))
        except asyncio.CancelledError:
            raise click.ClickException("stopped; some of its items may still be listed") from None
    _show(result, console, json_out)


async def _loadtest(options: "Options", console: "Console") -> "LoadtestResult":
    from freshet.loadtest.run import run_loadtest

    task, stop = asyncio.current_task(), threading.Event()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, _signalled, task, stop)
    return await run_loadtest(options, console, stop)


def _signalled(task: "asyncio.Task[Any]", stop: threading.Event) -> None:
    if stop.is_set():
        task.cancel()
    stop.set()


def _show(result: "LoadtestResult", console: "Console", json_out: bool) -> None:
    from freshet.loadtest.report import print_summary
    from freshet.loadtest.result import to_json

    if json_out:
        print(to_json(result))
    else:
        print_summary(result, console)
