"""What is going on right now: a view in a terminal, a line every few seconds elsewhere."""

import asyncio
from time import perf_counter

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from freshet.loadtest.client import Client
from freshet.loadtest.histogram import Histogram
from freshet.loadtest.measurements import Measurements
from freshet.loadtest.options import Options

REFRESH_S, LINE_S = 0.5, 5.0


async def show(console: Console, client: Client, measured: Measurements, options: Options) -> None:
    """Shows progress on ``console`` until cancelled."""
    if not console.is_terminal:
        while True:
            await asyncio.sleep(LINE_S)
            console.print(line(client, measured), highlight=False, soft_wrap=True)
    with Live(console=console, auto_refresh=False, transient=True) as view:
        while True:
            view.update(dashboard(client, measured, options), refresh=True)
            await asyncio.sleep(REFRESH_S)


def line(client: Client, measured: Measurements) -> str:
    """One line of progress."""
    events, ranks = measured.events, measured.ranks
    return (
        f"{_passed(measured):5.0f} s  {events.acknowledged:,} of {events.sent:,} events"
        f"  {ranks.answered:,} of {ranks.sent:,} rankings p99 {_ms(ranks.times.from_due, 0.99)}"
        f"  fresh p99 {_ms(measured.probes['own_event'].from_acknowledged, 0.99)}"
        f"  connections died {client.died.total()}"
    )


def dashboard(client: Client, measured: Measurements, options: Options) -> Panel:
    """The whole view, within 80 columns."""
    facts = Table.grid(padding=(0, 2))
    passed = max(_passed(measured), 1e-9)
    events, ranks = measured.events, measured.ranks
    facts.add_row("events", f"{events.acknowledged:,}", f"{events.acknowledged / passed:,.0f}/s")
    facts.add_row("rankings", f"{ranks.answered:,}", f"{ranks.answered / passed:,.0f}/s")
    facts.add_row("", "[dim]p50", "[dim]p99", "[dim]max")
    facts.add_row("event answered", *_times(events.times.from_due))
    facts.add_row("ranking answered", *_times(ranks.times.from_due))
    for kind, probe in measured.probes.items():
        facts.add_row(f"{kind.replace('_', ' ')} known", *_times(probe.from_acknowledged))
    facts.add_row("requests started late", *_times(measured.lateness))
    facts.add_row("rankings not 200", _count(ranks.other.total() + ranks.unanswered.total()))
    facts.add_row("events not taken", _count(events.rejected.total() + events.failed.total()))
    facts.add_row("writes sent again", _count(client.put_off.total()))
    facts.add_row("connections died", _count(client.died.total()))
    warming = ", warming up" if perf_counter() < measured.start else ""
    title = f"freshet loadtest  {_passed(measured):.0f} of {options.seconds:.0f} s{warming}"
    return Panel(facts, title=title, expand=False)


def _passed(measured: Measurements) -> float:
    return max(0.0, perf_counter() - measured.start)


def _times(times: Histogram) -> tuple[str, str, str]:
    return _ms(times, 0.5), _ms(times, 0.99), _ms(times, 1.0)


def _ms(times: Histogram, quantile: float) -> str:
    return f"{1000 * times.quantile(quantile):.1f} ms" if times.count else "-"


def _count(number: int) -> str:
    return f"[red]{number:,}[/red]" if number else "0"
