"""Pages and outcomes find each other."""

from personalization.events import SERVED, Stamp, StampedEvent
from personalization.training.exposures import OUTCOME_MS, Exposures

LABELS = {"click": 1.0, "purchase": 8.0}
AT = 1_795_000_000_000


def event(type: str, *items: str, at: int = 0, decision: str | None = None) -> StampedEvent:
    """Of visitor v, ``at`` ms after the start."""
    return StampedEvent(type, "v", AT + at, [Stamp(item) for item in items], decision=decision)


def exposures(*events: StampedEvent) -> Exposures:
    """After ``events``."""
    found = Exposures(LABELS)
    for one in events:
        found.add(one)
    return found


def test_an_outcome_belongs_to_the_decision_that_it_names() -> None:
    """Not to another page with the same item, even a later one."""
    found = exposures(
        event("impression", "a", "b", decision="d1"),
        event("impression", "a", at=5, decision="d2"),
        event("click", "a", at=9, decision="d1"),
    )
    assert found.decided["d1"].labels == {"a": 1.0}
    assert found.decided["d2"].labels == {}


def test_an_outcome_without_a_decision_belongs_to_the_page_seen_last() -> None:
    """And the best outcome counts."""
    found = exposures(
        event("impression", "a", decision="d1"),
        event("impression", "a", "b", at=5),
        event("purchase", "a", at=8),
        event("click", "a", at=9),
    )
    assert found.decided["d1"].labels == {}
    assert [page.labels for page in found.others] == [{"a": 8.0}]


def test_an_outcome_may_not_come_first_nor_too_late() -> None:
    """Before the page, or after a day, it says nothing of it."""
    found = exposures(
        event("impression", "a", "b", at=10),
        event("click", "a", at=9),
        event("click", "b", at=11 + OUTCOME_MS),
        event("click", "c", at=12),
    )
    assert found.others[0].labels == {}


def test_positions_are_those_of_the_decision() -> None:
    """Impressions that come item by item have the places of the page that was served."""
    found = exposures(
        event(SERVED, "a", "b", "c", decision="d"),
        event("impression", "c", at=1, decision="d"),
        event("impression", "a", at=2, decision="d"),
    )
    assert found.decided["d"].positions == {"c": 2, "a": 0}


def test_a_decision_whose_impression_was_never_sent_was_seen_when_it_was_clicked() -> None:
    """All of its page counts as seen; without a click none of it."""
    found = exposures(
        event(SERVED, "a", "b", decision="d1"),
        event(SERVED, "a", "b", at=1, decision="d2"),
        event("click", "b", at=3, decision="d2"),
        event("click", "x", at=4, decision="d2"),
    )
    assert list(found.decided) == ["d2"]
    assert found.decided["d2"].positions == {"a": 0, "b": 1}
    assert found.decided["d2"].labels == {"b": 1.0}


def test_only_the_newest_pages_are_kept() -> None:
    """Memory is bounded."""
    found = Exposures(LABELS, most=10)
    for number in range(50):
        found.add(event("impression", "a", at=number, decision=f"d{number}"))
    assert list(found.decided) == [f"d{number}" for number in range(40, 50)]
