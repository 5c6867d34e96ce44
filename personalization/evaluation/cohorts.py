"""Cohorts: the groups that results are split by. A result is in several."""

from dataclasses import dataclass

from personalization.evaluation.query import Query
from personalization.plan import StatePlan
from personalization.state.rows import VisitorRow

DAY = 86_400_000
WEEK = 7 * DAY
HEAD = 0.2

COHORTS = (
    "all",
    "zero_prior_events",
    "first_time_visitors",
    "exposures_1_5",
    "prior_events_1_5",
    "prior_events_6_plus",
    "logged_out",
    "session_event_1",
    "session_event_2",
    "session_events_3_5",
    "session_events_6_plus",
    "items_under_1_day",
    "items_under_7_days",
    "sellers_under_7_days",
    "heads",
    "tails",
    "new_to_visitor",
    "seller_events_0",
    "seller_events_1_3",
    "seller_events_4_plus",
)
BIT = {name: 1 << place for place, name in enumerate(COHORTS)}
WORDS = {
    "all": "everything",
    "zero_prior_events": "visitors of whom nothing was known: context only",
    "first_time_visitors": "visitors on their first visit, from its second event on",
    "exposures_1_5": "the first five times a visitor was shown something",
    "prior_events_1_5": "visitors with 1 to 5 events before",
    "prior_events_6_plus": "visitors with 6 events or more before",
    "logged_out": "visitors who were not logged in",
    "session_event_1": "the first event of a session",
    "session_event_2": "the second event of a session",
    "session_events_3_5": "the third to fifth event of a session",
    "session_events_6_plus": "the sixth event of a session, or later",
    "items_under_1_day": "items less than a day old",
    "items_under_7_days": "items less than a week old",
    "sellers_under_7_days": "items of sellers less than a week old",
    "heads": "items among the most popular fifth",
    "tails": "all other items",
    "new_to_visitor": "items the visitor had nothing to do with before, ranked among such",
    "seller_events_0": "visitors who had nothing to do with the seller before",
    "seller_events_1_3": "visitors with 1 to 3 events with the seller before",
    "seller_events_4_plus": "visitors with 4 events or more with the seller before",
}


@dataclass(frozen=True, slots=True)
class Target:
    """The item that an event was about. Ages in ms (-1: not known); ``place`` is its rank by
    popularity among ``items`` (0: none)."""

    age: int
    seller_age: int
    place: int
    items: int


def of_query(query: Query, logged_out: bool, exposures: int | None = None) -> int:
    """The cohorts (bits) of who asks, who was shown something ``exposures`` times before."""
    prior = 0 if query.row is None else sum(query.row.counts)
    nth = len(query.session) + 1
    bits = BIT["all"]
    if exposures is not None and exposures < 5:
        bits |= BIT["exposures_1_5"]
    if prior == 0:
        bits |= BIT["zero_prior_events"]
    else:
        bits |= BIT["prior_events_1_5"] if prior <= 5 else BIT["prior_events_6_plus"]
    if nth > 1 and len(query.mine) == len(query.session):
        bits |= BIT["first_time_visitors"]
    if logged_out:
        bits |= BIT["logged_out"]
    if nth <= 2:
        return bits | BIT[f"session_event_{nth}"]
    return bits | BIT["session_events_3_5" if nth <= 5 else "session_events_6_plus"]


def of_seller(row: VisitorRow | None, seller: str | None, plan: StatePlan) -> int:
    """The cohort (bit) of a visitor's events with a weight with ``seller``; 0 where there is no
    seller, or rows do not count them."""
    index = plan.affinity_index.get(("seller", False))
    if seller is None or index is None:
        return 0
    before = 0 if row is None else row.affinities[index].entries.get(seller, (0.0, 0))[1]
    if before == 0:
        return BIT["seller_events_0"]
    return BIT["seller_events_1_3" if before <= 3 else "seller_events_4_plus"]


def of_target(target: Target) -> int:
    """The cohorts (bits) of an event's item."""
    bits = BIT["heads"] if 0 < target.place <= HEAD * target.items else BIT["tails"]
    if 0 <= target.age < DAY:
        bits |= BIT["items_under_1_day"]
    if 0 <= target.age < WEEK:
        bits |= BIT["items_under_7_days"]
    if 0 <= target.seller_age < WEEK:
        bits |= BIT["sellers_under_7_days"]
    return bits
