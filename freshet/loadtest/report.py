"""The outcome of a load test in words."""

from rich.console import Console
from rich.table import Table

from freshet.loadtest.histogram import Quantiles
from freshet.loadtest.result import LATE_MS, LoadtestResult

_PROBES = {
    "own_event": "a visitor's own event",
    "new_item": "a new item",
    "out_of_stock": "in_stock: false",
    "all_counters": 'all counters ("wait": "all")',
}


def print_summary(result: LoadtestResult, console: Console) -> None:
    """Prints rates, latencies, freshness, what failed, and how far to trust the figures."""
    asked, achieved, ended = result.asked_per_s, result.achieved_per_s, ""
    if result.interrupted:
        ended = " (interrupted)"
    _say(console, f"\n{result.seconds:.0f} s{ended} on {', '.join(result.servers)}")
    _say(
        console,
        f"[b]{achieved.events:,.0f}[/b] of {asked.events:,.0f} events/s,"
        f" [b]{achieved.ranks:,.0f}[/b] of {asked.ranks:,.0f} rankings/s",
    )
    console.print(_latencies(result))
    console.print(_freshness(result))
    _say(console, f"most records behind: {_counts(result.behind)}")
    _say_failures(result, console)
    if result.not_deleted is not None:
        _say(console, f"[red]items are still listed: {result.not_deleted}[/red]")
    _say_generator(result, console)


def _latencies(result: LoadtestResult) -> Table:
    table = _table("Answered after, ms")
    for name, latency in (
        ("event, since it was due", result.events.latency_ms.from_due),
        ("event, since it was sent", result.events.latency_ms.from_sending),
        ("ranking, since it was due", result.ranks.latency_ms.from_due),
        ("ranking, since it was sent", result.ranks.latency_ms.from_sending),
    ):
        table.add_row(name, *_cells(latency))
    return table


def _freshness(result: LoadtestResult) -> Table:
    table = _table("Known after it was acknowledged, ms")
    for kind, name in _PROBES.items():
        table.add_row(name, *_cells(result.freshness[kind].from_acknowledged_ms))
    return table


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in ("n", "p50", "p90", "p99", "max"):
        table.add_column(heading, justify="right")
    return table


def _cells(times: Quantiles) -> tuple[str, ...]:
    if times.p50 is None:
        return ("0", "-", "-", "-", "-")
    values = (times.p50, times.p90, times.p99, times.max)
    return (f"{times.n:,}", *(f"{value:,.1f}" for value in values))


def _say_failures(result: LoadtestResult, console: Console) -> None:
    events, ranks = result.events, result.ranks
    for what, counts in (
        ("rankings answered other than 200", ranks.other_than_200),
        ("rankings unanswered", ranks.unanswered),
        ("events rejected", events.rejected),
        ("events failed", events.failed),
        ("writes sent again", result.put_off),
        ("connections died", result.connections_died),
    ):
        if counts:
            _say(console, f"[red]{what}: {_counts(counts)}[/red]")
    for kind, probe in result.freshness.items():
        for what, count in (
            ("not known within the server's own bound", probe.late),
            ("never known", probe.never),
            ("said to be known, and was not", probe.wrong),
            ("unanswered", probe.unanswered),
        ):
            if count:
                _say(console, f"[red]{_PROBES[kind]}: {count} of {probe.sent} {what}[/red]")


def _say_generator(result: LoadtestResult, console: Console) -> None:
    generator = result.generator
    late = generator.late_ms
    if late.p99 is None:
        return
    _say(
        console,
        f"this client: {generator.cpu_percent:.0f} % of a core, requests started"
        f" p99 {late.p99:.1f} ms late, max {late.max:.1f} ms",
    )
    if not generator.kept_up:
        _say(
            console,
            f"[b red]It did not keep up[/b red] (p99 over {LATE_MS:.0f} ms): these times are its"
            " own as much as the server's. Ask for less, or run it on a quieter machine.",
        )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) or "none"


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False)
