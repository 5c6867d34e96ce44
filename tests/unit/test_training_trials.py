"""What a rate knew before an exposure is what the feature read; outcomes find theirs."""

import numpy as np
import pytest

from personalization.events import Stamp, StampedEvent
from personalization.features.rate import Rate
from personalization.features.view import Moment
from personalization.replaying.world import World
from personalization.spec import Category, Event, Spec
from personalization.training.exposures import OUTCOME_MS
from personalization.training.priors import Values, losses
from personalization.training.trials import NEVER, Trials, Tried
from tests.training_shop import SPEC, traffic

pytestmark = pytest.mark.kernel

AT = 1_795_000_000_000
ITEM = Rate("item", "click", per="impression", backoff=("global",))
SELLER = Rate("seller", "click", per="impression", half_life="1h")
SMALL = Spec(
    events=[Event("impression"), Event("click", weight=1.0)],
    item=[Category("category")],
    features=[ITEM, SELLER],
)


def event(type: str, *items: str, at: int = 0, visitor: str = "v") -> StampedEvent:
    """``at`` ms after the start; items of seller s, but for those whose name begins with x."""
    stamps = [Stamp(item, None if item.startswith("x") else "s") for item in items]
    return StampedEvent(type, visitor, AT + at, stamps)


def trials(*events: StampedEvent, rate: Rate = ITEM, most: int = 1_000) -> Trials:
    """Of ``rate``, after ``events``."""
    tried = Tried(SMALL, most)
    for one in events:
        tried.take(one)
    return tried.of(rate)


def test_what_is_noted_is_what_the_feature_reads() -> None:
    """Every Rate of the marketplace, before every exposure of a shop's log, at all its levels."""
    world, tried = World(SPEC), Tried(SPEC)
    read: list[list[float]] = []
    columns = [SPEC.columns.index(rate.columns(SPEC)[0]) for rate in tried.rates]
    for record in traffic(3, 60).records:
        if isinstance(record, StampedEvent):
            if record.type == "impression":
                ids = [stamp.item for stamp in record.items]
                matrix = world.matrix(None, ids, Moment(record.at))
                read += matrix[:, columns].tolist()
            tried.take(record)
        world.fold(record)
    for number, rate in enumerate(tried.rates):
        if rate.entity == "brand":
            assert not len(tried.of(rate).places), "the shop's items have no brand"
            continue
        of = tried.of(rate)
        unfollowed = of._replace(outcomes=np.full_like(of.outcomes, NEVER))
        told = -np.expm1(-losses(unfollowed, Values(rate.strength, rate.prior)))
        assert len(told) == len(read) > 300
        assert told.tolist() == pytest.approx([row[number] for row in read], rel=1e-5)


def test_an_outcome_belongs_to_the_exposure_before_it() -> None:
    """Of the same visitor on the same item: the last one, within a day."""
    found = trials(
        event("impression", "a", "b"),
        event("impression", "a", at=1, visitor="w"),
        event("impression", "a", at=2),
        event("click", "a", at=3),
        event("click", "a", at=4),
        event("click", "b", at=OUTCOME_MS + 1),
        event("click", "c", at=5),
    )
    assert found.places.tolist() == [0, 0, 1, 2]
    assert found.outcomes.tolist() == [NEVER, NEVER, NEVER, 3]


def test_an_exposure_knows_nothing_of_its_own_page() -> None:
    """Nor of what came of it; the next one does."""
    page = event("impression", "a", "b")
    found = trials(page, event("click", "a", at=1), event("impression", "a", at=2))
    assert found.known[:2].tolist() == 2 * [[[0.0, 0.0], [0.0, 0.0]]]
    assert found.known[2].tolist() == pytest.approx(np.array([[1.0, 2.0], [1.0, 1.0]]), rel=1e-6)
    assert found.before.tolist() == [0, 0, 1]
    assert found.entities.tolist() == [0, 1, 0]


def test_counts_decay_at_the_half_life_of_the_rate() -> None:
    """After an hour half is left; how often it was exposed does not decay."""
    found = trials(event("impression", "a"), event("impression", "b", at=3_600_000), rate=SELLER)
    assert found.known[1].tolist() == pytest.approx(np.array([[0.0, 0.5]]))
    assert found.before.tolist() == [0, 1]


def test_what_has_no_entity_is_left_out() -> None:
    """An item without a seller says nothing of sellers."""
    events = event("impression", "x1", "a", "x2"), event("click", "a", at=1)
    found = trials(*events, rate=SELLER)
    assert found.outcomes.tolist() == [1]
    assert len(trials(*events).places) == 3


def test_the_newest_exposures_are_kept() -> None:
    """What was dropped gets no outcome any more, and the counts of what is kept know of it."""
    events = [event("impression", f"i{number}", at=number) for number in range(120)]
    found = trials(*events, event("click", "i3", at=200), event("click", "i119", at=201), most=50)
    assert 50 <= len(found.places) <= 55
    assert found.places[-1] == 119
    assert found.outcomes.tolist() == [*[NEVER] * (len(found.places) - 1), 121]
    assert found.known[-1, 0].tolist() == pytest.approx([0.0, 119.0], rel=1e-6)
