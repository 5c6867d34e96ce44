"""The outcome of a demo run, as one JSON object."""

import msgspec
import numpy as np

from freshet.demo.evaluation import (
    Interval,
    by_cohort,
    click_rates,
    lifts,
    waiting_time,
)
from freshet.demo.measurements import FirstClicks, Measurements, quantile_ms
from freshet.demo.world import WorldKind


class Quantiles(msgspec.Struct):
    """Milliseconds; None if nothing was measured."""

    p50: float | None
    p99: float | None


class FirstClick(msgspec.Struct):
    """Seconds from listing to first click (Kaplan-Meier), None if not reached within the run.

    ``listed`` counts what was listed during the run, ``never`` what got no click before its end.
    """

    p50: float | None
    p90: float | None
    listed: int
    never: int


class DemoResult(msgspec.Struct):
    """What happened. Click rates are ``[value, low, high]`` by policy, 95 % over people.

    ``click_rate`` is the true one, ``drawn_click_rate`` the one with drawn clicks (see
    ``freshet.demo.evaluation``); lifts are relative to popularity, 0.2 being 20 % more. ``events``
    are acknowledged visitor events, an impression of a whole page being one. Latencies, freshness
    and click rates leave out the warm-up (the first fifth, at most 5 s). ``errors`` counts failed
    calls by kind, ``shed_sessions`` the visits left out because too many were open. ``try_next``
    are shell commands, none once the server has ended.
    """

    world: WorldKind
    seed: int
    seconds: float
    events: int
    events_per_s: float
    freshness_ms: Quantiles
    rank_ms: Quantiles
    click_rate: dict[str, Interval]
    click_rate_by_cohort: dict[str, dict[str, Interval]]
    first_click_s: dict[str, FirstClick]
    lift_over_popularity: dict[str, Interval]
    lift_over_category_popularity: dict[str, Interval]
    drawn_click_rate: dict[str, Interval]
    drawn_lift_over_popularity: dict[str, Interval]
    catalogue_lines: int
    pages: int
    evaluated_pages: int
    people: int
    rankings: int
    never_caught_up: int
    shed_sessions: int
    errors: dict[str, int]
    try_next: list[str]


def to_json(result: DemoResult) -> str:
    """The result as one line of JSON."""
    return msgspec.json.encode(result).decode()


def make_result(
    measured: Measurements,
    errors: dict[str, int],
    *,
    world: WorldKind,
    seed: int,
    seconds: float,
    try_next: list[str],
) -> DemoResult:
    """Intervals and quantiles of what was measured over ``seconds`` of traffic."""
    views = measured.views
    return DemoResult(
        world=world,
        seed=seed,
        seconds=round(seconds, 3),
        events=measured.events,
        events_per_s=round(measured.events / seconds, 1),
        freshness_ms=_quantiles(measured.freshness_s),
        rank_ms=_quantiles(measured.rank_s),
        click_rate=click_rates(views, seed),
        click_rate_by_cohort=by_cohort(views, seed),
        first_click_s={
            "items": _first_click(measured.items, seconds),
            "sellers": _first_click(measured.sellers, seconds),
        },
        lift_over_popularity=lifts(views, seed),
        lift_over_category_popularity=lifts(views, seed, over="category_popularity"),
        drawn_click_rate=click_rates(views, seed, drawn=True),
        drawn_lift_over_popularity=lifts(views, seed, drawn=True),
        catalogue_lines=measured.catalogue_lines,
        pages=measured.pages,
        evaluated_pages=len(views),
        people=len({view.person for view in views}),
        rankings=len(measured.rank_s),
        never_caught_up=measured.never_caught_up,
        shed_sessions=measured.shed_sessions,
        errors=errors,
        try_next=try_next,
    )


def _quantiles(durations: list[float]) -> Quantiles:
    return Quantiles(quantile_ms(durations, 0.5), quantile_ms(durations, 0.99))


def _first_click(clicks: FirstClicks, end: float) -> FirstClick:
    waits = np.array(
        [clicks.clicked.get(number, end) - listed for number, listed in clicks.listed.items()]
    )
    ended = np.array([number in clicks.clicked for number in clicks.listed], np.bool_)
    return FirstClick(
        p50=waiting_time(waits, ended, 0.5),
        p90=waiting_time(waits, ended, 0.9),
        listed=len(waits),
        never=int((~ended).sum()),
    )
