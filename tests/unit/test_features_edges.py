"""Features where something ends, begins or is not known."""

import math
import random

import numpy as np
import pytest

from personalization.features.matrix import feature_matrix
from personalization.features.view import F32, Moment
from personalization.state.rows import CatalogueRow, Interaction, ItemRow, TopK
from tests.feature_shop import DAY, HOUR, NOW, Shop, random_shop, random_visitor, wide_spec

pytestmark = pytest.mark.kernel

SPEC = wide_spec()
PLAN = SPEC.plan
IDS = [f"i{i}" for i in range(12)]
ENDED = NOW - HOUR // 4 + PLAN.session_gap


def column(shop: Shop, name: str, moment: Moment, ids: list[str] = IDS) -> F32:
    values: F32 = feature_matrix(SPEC, shop.view(ids, moment))[:, SPEC.columns.index(name)]
    return values


@pytest.mark.parametrize(
    ("moment", "goes_on"),
    [
        (Moment(ENDED), True),
        (Moment(ENDED + 1), False),
        (Moment(ENDED + 1, session="now"), True),
        (Moment(NOW, session="another"), False),
        (Moment(NOW - HOUR), True),
    ],
    ids=["at the gap", "after the gap", "named, after the gap", "another", "before its end"],
)
@pytest.mark.parametrize("name", ["session_count", "session_category"])
def test_a_session_ends(name: str, moment: Moment, goes_on: bool) -> None:
    """By its gap if the request does not name one; by its name if it does, as in the fold."""
    assert column(random_shop(1, PLAN), name, moment).any() == goes_on


def test_a_visitor_without_a_session_has_none() -> None:
    """A row of identify alone, say."""
    shop = random_shop(1, PLAN)
    assert shop.visitor is not None
    shop.visitor.session = None
    assert not column(shop, "session_count", Moment(NOW)).any()
    assert not column(shop, "session_tags", Moment(NOW)).any()


@pytest.mark.parametrize(
    ("hour", "utc_offset", "part"), [(0, 0, 0), (5, 59, 0), (5, 60, 1), (23, 0, 3), (1, -90, 3)]
)
def test_the_part_of_day_is_the_visitors_own(hour: int, utc_offset: int, part: int) -> None:
    """Only what happened in this part of the visitor's local day counts."""
    shop = random_shop(1, PLAN)
    assert shop.visitor is not None
    index = PLAN.affinity_index["category", True]
    shop.catalogue["i0"] = CatalogueRow(0, NOW, NOW, None, {"category": "shoes"})
    midnight = NOW // DAY * DAY
    for other in range(4):
        shop.visitor.affinities[index] = TopK(midnight, 0.0, {f"{other}|shoes": (2.0, 1)})
        moment = Moment(midnight + hour * HOUR, utc_offset)
        shares = column(shop, "affinity_category_daypart", moment, ["i0"])
        assert shares.tolist() == [1.0 if other == part else 0.0]


def test_local_time_crosses_midnight() -> None:
    """Half an hour after Sunday's end in UTC it may still be Sunday evening."""
    monday = NOW // DAY * DAY - 4 * DAY  # NOW is a Friday
    shop = Shop(PLAN)
    for utc_offset, hour, weekday in ((0, 0.0, 0.0), (-60, 23.0, 6.0), (840, 14.0, 0.0)):
        moment = Moment(monday + HOUR // 2, utc_offset)
        assert column(shop, "hour", moment, ["a"]).tolist() == [hour]
        assert column(shop, "weekday", moment, ["a"]).tolist() == [weekday]


@pytest.mark.parametrize("context", [{}, {"device": "fridge"}, {"device": 3}, {"device": None}])
def test_an_undeclared_context_is_none_of_the_values(context: dict[str, object]) -> None:
    """All its columns are 0."""
    moment = Moment(NOW, context=context)
    assert not column(Shop(PLAN), "device_phone", moment).any()
    assert not column(Shop(PLAN), "device_desktop", moment).any()


def test_what_was_never_listed_is_as_old_as_its_first_event() -> None:
    """Ages of an item: listed, seen only, neither; and listed in the future."""
    shop = Shop(PLAN)
    shop.catalogue["listed"] = CatalogueRow(0, NOW - 2 * HOUR, NOW, None, {})
    shop.catalogue["future"] = CatalogueRow(0, NOW + HOUR, NOW, None, {})
    width = len(PLAN.events) * len(PLAN.half_lives)
    counts = [1] * len(PLAN.events)
    shop.items["seen"] = ItemRow(0, NOW, NOW - 3 * HOUR, [1.0] * width, counts, TopK())
    ages = column(shop, "item_age", Moment(NOW), ["listed", "future", "seen", "neither"])
    np.testing.assert_allclose(ages, [math.log(3), 0.0, math.log(4), -1.0], rtol=1e-6)


def test_never_is_as_long_ago_as_a_year() -> None:
    """The newest of two touches counts; the future is now; what is older than a year is a year."""
    shop = Shop(PLAN)
    shop.visitor = random_visitor(random.Random(1), PLAN)
    touched = [("old", NOW - 900 * DAY), ("a", NOW - 9000), ("a", NOW - 1000), ("b", NOW + 5)]
    shop.visitor.last = [Interaction(at, 0, 0, 1, item) for item, at in touched]
    values = column(shop, "since_last_item", Moment(NOW), ["old", "a", "b", "never"])
    year = math.log1p(365 * 86_400)
    np.testing.assert_allclose(values, [year, math.log(2), 0.0, year], rtol=1e-6)
    alone = column(shop, "since_last_item", Moment(NOW), ["never"])
    assert alone[0] == values[3]


def test_a_forgotten_visitor_is_like_none() -> None:
    """A deleted row leaves every column as without a visitor."""
    shop = random_shop(1, PLAN)
    assert shop.visitor is not None
    gone = shop.visitor
    shop.visitor = None
    without = feature_matrix(SPEC, shop.view(IDS, Moment(NOW)))
    gone.deleted = True
    shop.visitor = gone
    assert feature_matrix(SPEC, shop.view(IDS, Moment(NOW))).tobytes() == without.tobytes()


def test_weights_that_decayed_to_nothing_say_nothing() -> None:
    """No share of zero."""
    shop = random_shop(1, PLAN)
    assert shop.visitor is not None
    index = PLAN.affinity_index["category", False]
    shop.visitor.affinities[index] = TopK(NOW, 0.0, {"shoes": (0.0, 3), "bags": (0.0, 1)})
    assert not column(shop, "affinity_category", Moment(NOW)).any()


def test_something_new_starts_at_its_parents_rate() -> None:
    """An item without events in a category that sells has the category's rate, not the prior."""
    shop = random_shop(1, PLAN)
    shop.catalogue["new"] = CatalogueRow(9, NOW, NOW, None, {"category": "toys"})
    name = "item_purchase_per_impression"
    new, unknown = column(shop, name, Moment(NOW), ["new", "unknown"])
    everything = shop.segments["global"]
    half_life = max(PLAN.half_lives)
    purchases, shown = (
        everything.counters[PLAN.counter(event, half_life)]
        * 2 ** (-(NOW - everything.at) / half_life)
        for event in ("purchase", "impression")
    )
    expected = (purchases + 20 * 0.02) / (max(shown, purchases) + 20)
    assert new == unknown == pytest.approx(expected, rel=1e-6)
