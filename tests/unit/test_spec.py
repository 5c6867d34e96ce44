"""The spec: what can be declared, what follows from it, and what is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from personalization.features.affinity import Affinity, AffinityCount, SessionAffinity
from personalization.features.age import Age
from personalization.features.amount import Amount
from personalization.features.candidate import Candidate
from personalization.features.covisited import CoVisited
from personalization.features.decayed import Decayed
from personalization.features.family import Feature
from personalization.features.gap import PriceGap
from personalization.features.matrix import feature_matrix
from personalization.features.nearness import Nearness
from personalization.features.popularity import Popularity
from personalization.features.rate import Rate
from personalization.features.session import SessionCount
from personalization.features.session_shown import SessionShown
from personalization.features.since_last import SinceLast
from personalization.features.view import Moment
from personalization.features.visitor_count import VisitorCount
from personalization.plan import AffinityPlan, duration_ms
from personalization.presets import marketplace
from personalization.spec import (
    Category,
    Context,
    Event,
    LocalTime,
    Number,
    Spec,
    SpecError,
    Tags,
    Vector,
)
from personalization.state.rows import ItemRow, TopK
from tests.feature_shop import DAY, NOW, Shop, wide_spec


def shop_spec(*features: Feature, **changed: object) -> Spec:
    declared: dict[str, object] = {
        "events": [Event("impression"), Event("view", weight=1.0)],
        "item": [Category("category"), Number("price"), Tags("tags")],
        "half_lives": ["1h", "7d"],
        "features": features,
    }
    return Spec(**{**declared, **changed})  # type: ignore[arg-type]


def one_more() -> Callable[..., Any]:
    def more(item_age: Any) -> Any:
        return item_age + 1

    return more


def two_more() -> Callable[..., Any]:
    def more(item_age: Any) -> Any:
        return item_age + 2

    return more


def test_the_plan_follows() -> None:
    """Segments from categories, columns from events and half-lives, maps from features."""
    plan = shop_spec(Affinity("category"), Affinity("category", by="daypart", size=32)).plan
    assert plan.segments == ("global", "category", "seller*category")
    assert plan.counter("view", duration_ms("7d")) == 3
    week = duration_ms("7d")
    assert plan.affinities == (
        AffinityPlan("category", False, week, 16),
        AffinityPlan("category", True, week, 32),
    )


def test_vectors_leave_rows_as_they_are() -> None:
    """So the tables stay when one is declared; but a model of other vectors is another one's."""
    item = [Category("category"), Number("price"), Tags("tags")]
    none, small, large = (
        shop_spec(Age("item"), item=[*item, *more])
        for more in ([], [Vector("text", 4)], [Vector("text", 5)])
    )
    assert none.plan.state_id == small.plan.state_id == large.plan.state_id
    assert len({none.feature_set_id, small.feature_set_id, large.feature_set_id}) == 3
    assert "text" not in small.plan.dimensions


def test_context_becomes_the_first_columns() -> None:
    """One column for each declared value, one for each part of local time."""
    context = [Context("device", ("phone", "tv")), Context("page"), LocalTime("weekday")]
    spec = shop_spec(Age("item"), context=context)
    assert spec.columns == ("device_phone", "device_tv", "weekday", "item_age")


def test_local_time_is_hour_and_weekday_if_not_told() -> None:
    """Both parts are the default."""
    assert shop_spec(context=[LocalTime()]).columns == ("hour", "weekday")


def test_columns_lie_one_after_another() -> None:
    """The layout tiles the matrix in the order of the columns' names."""
    spec = wide_spec()
    names = [
        name
        for feature, first, end in spec.layout
        for name in feature.columns(spec)
        if end - first == len(feature.columns(spec))
    ]
    assert tuple(names) == spec.columns
    assert [end for _, _, end in spec.layout][:-1] == [first for _, first, _ in spec.layout][1:]


@pytest.mark.parametrize(
    "feature",
    [
        Decayed("item", "buy", "1h"),
        Decayed("item", "view", "2h"),
        Decayed("item", "view", "1y"),
        Decayed("brand", "view", "1h"),
        Rate("item", "view", per="show"),
        Rate("item", "view", per="impression", backoff=("brand",)),
        Rate("item", "view", per="impression", strength=0.0),
        Rate("item", "view", per="impression", prior=1.0),
        Popularity("buy", half_life="1h"),
        Popularity(half_life="1d"),
        Affinity("price"),
        Affinity("category", by="hour"),
        SessionAffinity("price"),
        SessionAffinity("category"),
        SessionShown("category"),
        SessionShown("price"),
        SessionShown("category", "buy"),
        AffinityCount("price"),
        AffinityCount("category"),
        SessionCount("buy"),
        VisitorCount("buy"),
        SinceLast("order"),
        Age("visitor"),
        PriceGap("weight"),
        CoVisited(last=0),
        CoVisited(last=25),
        Amount("weight"),
        Nearness("price"),
    ],
    ids=repr,
)
def test_a_feature_that_needs_what_is_not_declared_is_refused(feature: Feature) -> None:
    """The message names the feature."""
    with pytest.raises(SpecError, match=type(feature).__name__):
        shop_spec(feature)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"events": [Event("served")]}, "event 'served': the name is reserved"),
        ({"events": [Event("view"), Event("view")]}, "event 'view' is declared twice"),
        ({"item": [Number("a"), Tags("a")]}, "item attribute 'a' is declared twice"),
        ({"item": [Category("seller")]}, "item attribute 'seller': the name is reserved"),
        ({"features": [Age("item"), Age("item")]}, "column 'item_age' is declared twice"),
        ({"item": [Vector("a", 0)]}, "vector 'a': size 0 is not from 1 to 384"),
        ({"item": [Vector("a", 385)]}, "vector 'a': size 385 is not from 1 to 384"),
        ({"item": [Vector("a", 2), Tags("a")]}, "item attribute 'a' is declared twice"),
        ({"context": [LocalTime("minute")]}, "'minute' is none of hour, weekday"),
        ({"events": [Event("read", weight="2")]}, "'read', weight='2'.*got `str`"),  # type: ignore[arg-type]
        ({"events": [Event("read", weight=float("nan"))]}, "weight nan is not finite"),
        ({"half_lives": ["7 days"]}, "half-life '7 days' is not a duration"),
        (
            {"features": [Decayed("item", "view", "2h")]},
            r"half-life '2h' is not declared \(1h, 7d\)",
        ),
        (
            {"features": [Affinity("tags"), Affinity("tags", size=3)]},
            "affinity 'tags' is declared twice",
        ),
    ],
)
def test_what_cannot_be_is_refused(changed: dict[str, object], message: str) -> None:
    """Names that are reserved, used twice, or unknown."""
    with pytest.raises(SpecError, match=message):
        shop_spec(**changed)


def test_a_function_of_columns_is_a_column() -> None:
    """It reads what its parameters name, and NaN becomes 0."""
    spec = shop_spec(Candidate("score"))

    @spec.feature
    def doubled(candidate_score):  # type: ignore[no-untyped-def]
        return candidate_score * 2

    @spec.feature
    def over(doubled, item_price):  # type: ignore[no-untyped-def]
        return doubled / item_price

    assert spec.columns == ("candidate_score", "doubled", "over")
    view = Shop(spec.plan).view(["a", "b"], Moment(NOW), {"a": 1.5})
    assert feature_matrix(spec, view).tolist() == [[1.5, 3.0, 0.0], [0.0, 0.0, 0.0]]
    assert doubled(3) == 6


def test_a_function_that_reads_what_is_not_there_is_refused() -> None:
    """And the spec stays as it was, also for a column that comes only later."""
    spec = shop_spec(Age("item"))
    before = spec.feature_set_id
    with pytest.raises(SpecError, match="'item_weight' names no column"):

        @spec.feature
        def heavy(item_weight):  # type: ignore[no-untyped-def]
            return item_weight

    assert spec.columns == ("item_age",)
    assert spec.feature_set_id == before


@pytest.mark.parametrize("function", [lambda item_age: item_age, eval("max")])
def test_a_function_without_name_or_source_is_refused(function: Callable[..., Any]) -> None:
    """Both are part of the feature set's id."""
    with pytest.raises(SpecError, match=r"source|name"):
        shop_spec(Age("item")).feature(function)


def test_a_visitor_row_that_could_be_too_large_is_refused() -> None:
    """Too many values kept: the bound of 32 KiB is checked when the spec is made."""
    with pytest.raises(SpecError, match="32768"):
        shop_spec(Affinity("category", size=500))


def test_the_feature_set_has_a_name_of_its_own() -> None:
    """Equal declarations, equal ids; any parameter, order or source makes another."""
    base = shop_spec(Age("item"), Candidate("a")).feature_set_id
    assert base == shop_spec(Age("item"), Candidate("a")).feature_set_id
    others = [
        shop_spec(Candidate("a"), Age("item")),
        shop_spec(Age("item"), Candidate("b")),
        shop_spec(Age("item"), Candidate("a"), half_lives=["1h", "8d"]),
        shop_spec(Age("item"), Candidate("a"), events=[Event("impression"), Event("view")]),
        shop_spec(Age("item"), Candidate("a"), context=[LocalTime()]),
    ]
    functions = [shop_spec(Age("item"), Candidate("a")) for _ in range(2)]
    for spec, function in zip(functions, (one_more(), two_more()), strict=True):
        spec.feature(function)
    ids = [base, *[spec.feature_set_id for spec in (*others, *functions)]]
    assert len(set(ids)) == len(ids)


def test_features_alone_do_not_rename_the_tables() -> None:
    """A feature that needs no state leaves the state's id; one that needs a map does not."""
    base = shop_spec(Age("item")).plan.state_id
    assert shop_spec(Age("item"), CoVisited()).plan.state_id == base
    assert shop_spec(Age("item"), Affinity("tags")).plan.state_id != base


def test_the_marketplace_has_what_its_world_needs() -> None:
    """Some sixty columns, over the six events of a marketplace."""
    assert marketplace.plan.events == (
        "impression", "view", "click", "cart", "purchase", "dislike",
    )  # fmt: skip
    assert 55 <= len(marketplace.columns) <= 70


def test_the_marketplace_works_for_a_shop_with_purchases_alone() -> None:
    """No impressions, sellers or categories: columns about the items still tell them apart."""
    plan = marketplace.plan
    shop = Shop(plan)
    purchases = slice(plan.event_index["purchase"] * 3, plan.event_index["purchase"] * 3 + 3)
    for n in range(12):
        counters = [0.0] * len(plan.events) * 3
        counters[purchases] = [0.1 * n, 1.0 * n, 5.0 * n]
        counts = [0] * len(plan.events)
        shop.items[f"i{n}"] = ItemRow(n, NOW, NOW - n * DAY, counters, counts, TopK(NOW))
    matrix = feature_matrix(marketplace, shop.view([f"i{n}" for n in range(12)], Moment(NOW)))
    assert np.isfinite(matrix).all()
    for name in ("popularity_30d", "item_purchase_30d", "item_age"):
        assert np.ptp(matrix[:, marketplace.columns.index(name)]) > 0
