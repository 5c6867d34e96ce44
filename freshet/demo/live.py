"""What is going on right now: a dashboard in a terminal, a line every few seconds elsewhere."""

import asyncio

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from freshet.demo.client import Client
from freshet.demo.evaluation import PageView
from freshet.demo.measurements import FirstClicks, Measurements, quantile_ms
from freshet.demo.policies import PAGE, POLICIES

REFRESH_S, LINE_S = 0.25, 5.0
RECENT = 1000
BAR, SPARK = 20, 16  # the panel fits 80 columns
BLOCKS = "▁▂▃▄▅▆▇█"


async def show(
    console: Console,
    client: Client,
    measurements: Measurements,
    *,
    seconds: float,
    start: float,
    json_out: bool,
) -> None:
    """Shows progress on ``console`` until the run is over; only lines if ``json_out``."""
    loop = asyncio.get_running_loop()
    if json_out or not console.is_terminal:
        while (passed := loop.time() - start) < seconds:
            await asyncio.sleep(min(LINE_S, seconds - passed))
            text = line(client, measurements, loop.time() - start)
            console.print(text, highlight=False, soft_wrap=True)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while (passed := loop.time() - start) < seconds:
            live.update(dashboard(client, measurements, passed, seconds), refresh=True)
            await asyncio.sleep(REFRESH_S)


def line(client: Client, measurements: Measurements, passed: float) -> str:
    """One line of progress."""
    rates = _rates(measurements.views[-RECENT:])
    shown = ", ".join(f"{name} {100 * rate:.1f}%" for name, rate in rates.items())
    return (
        f"{passed:5.0f} s  {measurements.events:,} events ({measurements.events / passed:.0f}/s)"
        f"  rank p99 {_ms(measurements.rank_s, 0.99)}"
        f"  fresh p99 {_ms(measurements.freshness_s, 0.99)}"
        f"  click rate: {shown or 'warming up'}  errors {client.errors.total()}"
    )


def dashboard(client: Client, measurements: Measurements, passed: float, seconds: float) -> Panel:
    """The whole view."""
    facts = Table.grid(padding=(0, 2))
    rate = measurements.events / max(passed, 1e-9)
    facts.add_row("events in", f"[b]{measurements.events:,}[/b]", f"{rate:.0f}/s")
    facts.add_row("ranking", *(f"p{q} {_ms(measurements.rank_s, q / 100)}" for q in (50, 99)))
    facts.add_row(
        "click → next ranking",
        *(f"p{q} {_ms(measurements.freshness_s, q / 100)}" for q in (50, 99)),
    )
    facts.add_row("new items", *_first(measurements.items))
    facts.add_row("new sellers", *_first(measurements.sellers))
    errors = client.errors.total()
    facts.add_row("errors", f"[red]{errors}[/red]" if errors else "0")
    return Panel(
        Group(facts, Text(""), _bars(measurements.views, passed)),
        title=f"freshet demo  {passed:.0f} of {seconds:.0f} s",
        subtitle=f"true click rate of a page of {PAGE}, same visitors, same candidates",
        expand=False,
    )


def _bars(views: list[PageView], passed: float) -> Table | Text:
    recent = views[-RECENT:]
    rates = _rates(recent)
    if not rates:
        return Text("warming up …")
    top = max(rates.values()) or 1.0
    table = Table.grid(padding=(0, 1))
    history = _history(views, passed)
    for name, rate in rates.items():
        colour = "green" if name == "freshet" else "white"
        bar = "█" * max(1, round(BAR * rate / top))
        table.add_row(
            f"[{colour}]{name}", f"[{colour}]{bar:{BAR}}", f"{100 * rate:5.2f} %", history[name]
        )
    return table


def _rates(views: list[PageView]) -> dict[str, float]:
    if not views:
        return {}
    means = np.mean([view.true for view in views], axis=0)
    return {name: float(mean) for name, mean in zip(POLICIES, means, strict=True)}


def _history(views: list[PageView], passed: float) -> dict[str, str]:
    """A sparkline per policy: its click rate over the run so far, all on one scale."""
    bins = np.array([int(SPARK * view.second / passed) for view in views]).clip(0, SPARK - 1)
    counts = np.bincount(bins, minlength=SPARK)
    values = np.array([view.true for view in views])
    lines = {}
    means = np.stack(
        [
            np.bincount(bins, values[:, i], SPARK) / np.maximum(counts, 1)
            for i in range(len(POLICIES))
        ]
    )
    top = float(means.max()) or 1.0
    for name, row in zip(POLICIES, means, strict=True):
        heights = (row / top * (len(BLOCKS) - 1)).round().astype(int)
        lines[name] = "".join(
            BLOCKS[height] if count else " " for height, count in zip(heights, counts, strict=True)
        )
    return lines


def _first(clicks: FirstClicks) -> tuple[str, str]:
    waits = [clicks.clicked[number] - clicks.listed[number] for number in clicks.clicked]
    middle = f"first click after {np.median(waits):.1f} s" if waits else ""
    return f"{len(clicks.listed)} listed, {len(clicks.clicked)} clicked", middle


def _ms(seconds: list[float], quantile: float) -> str:
    value = quantile_ms(seconds[-RECENT:], quantile)
    return "-" if value is None else f"{value:.1f} ms"
