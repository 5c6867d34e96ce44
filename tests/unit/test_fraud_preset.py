"""The fraud preset: what is known of a card, a vendor and an amount before a payment."""

import math
from typing import Any

import pytest

from freshet.specs import load_spec
from personalization.codec import Codec
from personalization.columns import view_of
from personalization.evaluation.cohorts import BIT, of_seller
from personalization.features.matrix import feature_matrix
from personalization.features.view import Moment
from personalization.presets.fraud import fraud
from personalization.spec import Event, Spec
from personalization.state.rows import VisitorRow
from tests.unit.conftest import Shop

pytestmark = pytest.mark.kernel


@pytest.fixture
def cards() -> Shop:
    """A card that paid 10 and 30 at one vendor, which has two shops, and 5 at another."""
    shop = Shop(fraud)
    for item, seller in (("shop1", "v1"), ("shop2", "v1"), ("kiosk", "v2"), ("new", "v3")):
        shop.tell("item", item=item, seller=seller, attributes={"category": "food"})
    for item, value in (("shop1", 10.0), ("kiosk", 5.0), ("shop2", 30.0)):
        shop.tell("payment", visitor="card", item=item, value=value)
    return shop


def asked(shop: Shop, item: str, amount: Any, visitor: str = "card") -> dict[str, float]:
    found = shop.visitor(visitor)
    row = None if found is None else Codec(VisitorRow).decode(found[1])
    moment = Moment(shop.now, context={} if amount is None else {"amount": amount})
    matrix = feature_matrix(fraud, view_of(shop.columns, moment, [item], row))
    return dict(zip(fraud.columns, matrix[0].tolist(), strict=True))


def test_it_can_be_served() -> None:
    """By its name, as any spec."""
    assert load_spec("personalization.presets.fraud:fraud") is fraud


def test_counts_and_amounts_are_of_the_vendor(cards: Shop) -> None:
    """Not of one shop of theirs; the usual amount is what it was with this vendor."""
    known = asked(cards, "shop1", 20.0)
    assert known["affinity_seller_count"] == pytest.approx(math.log1p(2))
    assert known["spent_seller_30d"] == pytest.approx(math.log1p(40.0), abs=1e-4)
    assert known["spent_seller_30d_gap"] == pytest.approx(0.0, abs=1e-4)
    assert known["spent_visitor_1d"] == pytest.approx(math.log1p(45.0), abs=1e-3)
    dear = asked(cards, "kiosk", 500.0)
    assert dear["amount_now"] == pytest.approx(math.log1p(500.0))
    assert dear["spent_seller_30d_gap"] == pytest.approx(math.log1p(500) - math.log1p(5), abs=1e-4)
    gap = math.log1p(500) - math.log1p(15)
    assert dear["spent_visitor_30d_gap"] == pytest.approx(gap, abs=1e-3)


def test_what_is_not_known(cards: Shop) -> None:
    """A vendor never met, a card never seen, an amount that is not told or is none."""
    new = asked(cards, "new", 20.0)
    assert [new[f"{name}"] for name in ("affinity_seller_count", "spent_seller_30d")] == [0, 0]
    assert new["spent_seller_30d_gap"] == 0.0
    nobody = asked(cards, "shop1", 20.0, "other")
    assert (nobody["spent_visitor_30d"], nobody["spent_visitor_30d_gap"]) == (0.0, 0.0)
    for amount in (None, "20", True, -1.0):
        told = asked(cards, "shop1", amount)
        assert (told["amount_now"], told["spent_seller_30d_gap"]) == (-1.0, 0.0)


def test_a_payment_without_a_value_is_counted_and_not_summed(cards: Shop) -> None:
    """A refund is: it takes off."""
    cards.tell("payment", visitor="card", item="shop1")
    cards.tell("payment", visitor="card", item="kiosk", value=-4.0)
    assert asked(cards, "shop1", None)["affinity_seller_count"] == pytest.approx(math.log1p(3))
    assert asked(cards, "shop1", None)["spent_seller_30d"] == pytest.approx(
        math.log1p(40.0), abs=1e-4
    )
    assert asked(cards, "kiosk", None)["spent_seller_30d"] == pytest.approx(
        math.log1p(1.0), abs=1e-4
    )


def test_evaluation_splits_by_payments_with_the_vendor(cards: Shop) -> None:
    """None, one to three, four and more; no cohort without a vendor, or where none is counted."""
    found = cards.visitor("card")
    assert found is not None
    row = Codec(VisitorRow).decode(found[1])
    plan = fraud.plan
    assert of_seller(row, "v1", plan) == BIT["seller_events_1_3"]
    assert of_seller(row, "v3", plan) == of_seller(None, "v1", plan) == BIT["seller_events_0"]
    assert of_seller(row, None, plan) == 0
    for _ in range(2):
        cards.tell("payment", visitor="card", item="shop1", value=1.0)
    found = cards.visitor("card")
    assert found is not None
    row = Codec(VisitorRow).decode(found[1])
    assert of_seller(row, "v1", plan) == BIT["seller_events_4_plus"]
    without = Spec(events=[Event("view", weight=1.0)], item=[], features=[])
    assert of_seller(None, "v1", without.plan) == 0
