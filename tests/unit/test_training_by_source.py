"""What a source gave and what it earned is what the log says of its candidates."""

from personalization.decisions import Decision, Shown
from personalization.events import SERVED, Stamp, StampedEvent
from personalization.ranking.pipeline import rank
from personalization.ranking.request import RankRequest
from personalization.ranking.surface import Surface
from personalization.replaying.world import World
from personalization.training.by_source import BySource, Tally
from personalization.training.exposures import Exposures
from tests.training_shop import FORMULA, SPEC

AT = 1_795_000_000_000
LABELS = {"click": 1.0, "purchase": 8.0}
FOUND = {"a": ["fresh"], "b": ["fresh", "own"], "c": ["own"], "d": ["own"]}


def decision(id: str, *page: str, at: int = AT, surface: str = "default") -> Decision:
    """Of the four candidates ``page`` is shown."""
    made = rank(
        RankRequest(visitor="v", candidates=list(FOUND)),
        World(SPEC),
        SPEC,
        Surface(surface),
        FORMULA,
        None,
        now=at,
        seed=1,
        decision_id=id,
    )
    made.sources[:] = FOUND.values()
    made.shown[:] = [Shown(list(FOUND).index(item), 1.0, []) for item in page]
    return made


def event(type: str, decision: str, *items: str, at: int = AT) -> StampedEvent:
    """Of visitor v."""
    return StampedEvent(type, "v", at, [Stamp(item) for item in items], decision=decision)


def by_source(events: list[StampedEvent], *decisions: Decision, most: int = 100) -> BySource:
    """After all of them."""
    exposures = Exposures(LABELS, most=most)
    for one in events:
        exposures.add(one)
    found = BySource(exposures)
    for each in decisions:
        found.take(each)
    return found


def test_what_was_brought_shown_seen_and_wanted_is_counted() -> None:
    """For all that found an item, and apart for what only one found; each once in the sum."""
    events = [
        event("impression", "1", "b", "c"),
        event("click", "1", "b"),
        event("purchase", "1", "b"),
        event("click", "1", "c"),
    ]
    found = by_source(events, decision("1", "b", "c", "a"), decision("2", "d"))
    surface = found.surfaces["default"]
    assert surface.rankings == 2
    assert surface.asked == {"fresh": 2, "own": 2}
    assert surface.of("fresh") == Tally(brought=4, shown=2, seen=1, outcomes=1, worth=8.0)
    assert surface.alone("fresh") == Tally(brought=2, shown=1)
    assert surface.of("own") == Tally(brought=6, shown=3, seen=2, outcomes=2, worth=9.0)
    assert surface.alone("own") == Tally(brought=4, shown=2, seen=1, outcomes=1, worth=1.0)
    assert surface.all() == Tally(brought=8, shown=4, seen=2, outcomes=2, worth=9.0)


def test_a_click_shows_that_the_page_was_seen() -> None:
    """Where a client sends no impressions; a page that nothing is said of was not seen."""
    events = [
        event(SERVED, "1", "a", "b"),
        event(SERVED, "2", "a"),
        event("click", "1", "a"),
    ]
    found = by_source(events, decision("1", "a", "b"), decision("2", "a"))
    assert found.surfaces["default"].all() == Tally(8, 3, 2, 1, 1.0)


def test_surfaces_are_apart() -> None:
    """One source may do well on one and badly on another."""
    events = [
        event("impression", "1", "a"),
        event("impression", "2", "a"),
        event("click", "2", "a"),
    ]
    found = by_source(
        events, decision("1", "a", surface="home"), decision("2", "a", surface="cart")
    )
    assert {name: one.of("fresh").outcomes for name, one in found.surfaces.items()} == {
        "home": 0,
        "cart": 1,
    }


def test_decisions_whose_pages_are_forgotten_do_not_count_as_unseen() -> None:
    """What came of them is not known any more: the report begins after them."""
    times = range(AT, AT + 5)
    events = [event("impression", str(at), "a", at=at) for at in times]
    found = by_source(events, *(decision(str(at), "a", at=at) for at in times), most=3)
    tally = found.surfaces["default"].of("fresh")
    assert (tally.shown, tally.seen) == (3, 3)
    assert (found.since, found.until) == (AT + 2, AT + 4)
