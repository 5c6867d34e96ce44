"""The end of the demo in words: who won, how sure that is, and what to try next."""

import json

from rich.console import Console
from rich.table import Table

from freshet.demo.evaluation import Interval
from freshet.demo.policies import PAGE, POLICIES
from freshet.demo.result import DemoResult, FirstClick, Quantiles


def print_summary(result: DemoResult, console: Console) -> None:
    """Prints the outcome: traffic, click rates, cohorts, first clicks, failures, the verdict."""
    console.print(
        f"\n[b]{result.events:,}[/b] events in {result.seconds:.0f} s"
        f" ({result.events_per_s:.0f}/s), {result.catalogue_lines:,} catalogue lines,"
        f" {result.rankings:,} rankings",
        highlight=False,
    )
    _say(console, f"ranking answered in       {_quantiles(result.rank_ms)}")
    _say(console, f"event in the next ranking {_quantiles(result.freshness_ms)}")
    for kind in ("items", "sellers"):
        _say(console, f"new {kind}: {_first_click(result.first_click_s[kind])}")
    _print_rates(result, console)
    _print_cohorts(result, console)
    for name, count in sorted(result.errors.items()):
        _say(console, f"[red]{count} of {name}[/red]")
    if result.never_caught_up:
        _say(console, f"[red]{result.never_caught_up} rankings never caught up[/red]")
    if result.shed_sessions:
        _say(console, f"[red]{result.shed_sessions} sessions left out: too many open[/red]")
    console.print(f"\n[b]{verdict(result)}[/b]", highlight=False)
    if result.try_next:
        console.print("\nTry next:")
        for command in result.try_next:
            console.print(command, soft_wrap=True, highlight=False, markup=False)


def verdict(result: DemoResult) -> str:
    """In plain words: Freshet wins, popularity wins, neither, or (null world) no lift."""
    if result.world == "null":
        drawn = result.drawn_lift_over_popularity.get("freshet")
        if drawn is None:
            return "Nothing to compare: no clicks were drawn."
        if drawn[1] <= 0.0 <= drawn[2]:
            return f"No lift found, and there is none to find: {_percent(drawn)}."
        return (
            f"A problem: there is nothing to learn in this world, yet the drawn clicks differ by"
            f" {_percent(drawn)}. One seed in twenty does this by chance; if others do, the"
            " evaluation favours someone."
        )
    lift = result.lift_over_popularity.get("freshet")
    if lift is None:
        return "Nothing to compare: no page was evaluated."
    category = _against_category(result)
    if lift[1] > 0.0:
        return f"Freshet wins: {_percent(lift)} true click rate over popularity. {category}"
    if lift[2] < 0.0:
        return (
            f"Popularity wins: Freshet's true click rate is {_percent(lift)} against it. {category}"
        )
    return (
        f"Neither wins: {_percent(lift)} over popularity, and the interval includes 0. {category}"
    )


def _against_category(result: DemoResult) -> str:
    lift = result.lift_over_category_popularity.get("freshet")
    if lift is None:
        return "category_popularity had no click rate to compare with."
    sure = "not significant" if lift[1] <= 0.0 <= lift[2] else "significant"
    return f"Against category_popularity: {_percent(lift)}, {sure}."


def curl_lines(url: str, *, visitor: str, item: str, candidates: list[str]) -> list[str]:
    """Three commands to try against the server at ``url``, with ids that it knows."""
    post = f"curl -s -X POST {url}/v1"
    kind = "-H 'Content-Type: application/json' -d"
    rank = {"visitor": visitor, "candidates": candidates, "limit": 5}
    click = {"type": "click", "visitor": visitor, "item": item}
    return [
        f"{post}/rank {kind} '{json.dumps(rank)}'",
        f"{post}/events {kind} '{json.dumps(click)}'",
        f"curl -s {url}/v1/visitors/{visitor}",
    ]


def _print_rates(result: DemoResult, console: Console) -> None:
    # Without tastes the true rates are equal by construction: only clicks can differ.
    drawn = result.world == "null"
    rates = result.drawn_click_rate if drawn else result.click_rate
    lifts = result.drawn_lift_over_popularity if drawn else result.lift_over_popularity
    kind = "Drawn" if drawn else "True"
    table = Table(title=f"{kind} click rate of a page of {PAGE}", title_justify="left")
    for heading in ("policy", "click rate", "95 % interval", "over popularity"):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for name, (value, low, high) in rates.items():
        lift = lifts.get(name)
        table.add_row(
            f"[b green]{name}[/]" if name == "freshet" else name,
            f"{100 * value:.2f} %",
            f"{100 * low:.2f} to {100 * high:.2f}",
            "" if lift is None else _percent(lift),
        )
    console.print(table)
    _say(
        console,
        f"{result.evaluated_pages:,} page views of {result.people:,} people, the same for all",
    )


def _print_cohorts(result: DemoResult, console: Console) -> None:
    table = Table(title="By kind of visitor", title_justify="left")
    table.add_column("cohort")
    for name in POLICIES:
        table.add_column(name, justify="right")
    for cohort, rates in result.click_rate_by_cohort.items():
        table.add_row(cohort, *(f"{100 * rates[name][0]:.2f} %" for name in POLICIES))
    console.print(table)


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False)


def _quantiles(value: Quantiles) -> str:
    if value.p50 is None:
        return "not measured"
    return f"p50 {value.p50:.1f} ms, p99 {value.p99:.1f} ms"


def _first_click(value: FirstClick) -> str:
    if not value.listed:
        return "none listed"
    quantiles = ", ".join(
        f"{name} {'not reached' if wait is None else f'{wait:.1f} s'}"
        for name, wait in (("p50", value.p50), ("p90", value.p90))
    )
    return f"{value.listed} listed, first click {quantiles} ({value.never} had none yet)"


def _percent(lift: Interval) -> str:
    value, low, high = (100.0 * part for part in lift)
    return f"{value:+.1f} % ({low:+.1f} to {high:+.1f})"
