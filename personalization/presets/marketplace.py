"""A marketplace, or any shop: works with nothing written.

What a product does not have (sellers, categories, impressions) leaves its columns at their
documented value for "unknown"; with purchases of priced items alone, popularity, recency,
co-visitation and price remain.
"""

from personalization.features.affinity import Affinity, SessionAffinity
from personalization.features.age import Age
from personalization.features.amount import Amount
from personalization.features.candidate import Candidate
from personalization.features.covisited import CoVisited
from personalization.features.decayed import Decayed
from personalization.features.gap import PriceGap
from personalization.features.own import Own
from personalization.features.popularity import Popularity
from personalization.features.rate import Rate
from personalization.features.session import SessionCount
from personalization.features.session_covisited import SessionCoVisited
from personalization.features.session_neighbours import SessionNeighbours
from personalization.features.session_shown import SessionShown
from personalization.features.since_last import SinceLast
from personalization.features.visitor_count import VisitorCount
from personalization.features.visitor_rate import VisitorRate
from personalization.spec import (
    Category,
    Context,
    Event,
    Flag,
    LocalTime,
    Number,
    Spec,
    Tags,
)

_BACKOFF = ("seller*category", "category", "global")

marketplace = Spec(
    events=[
        Event("impression"),
        Event("view", weight=1.0),
        Event("click", weight=2.0),
        Event("cart", weight=3.0),
        Event("purchase", weight=8.0, label=True),
        Event("dislike", weight=-4.0),
    ],
    item=[
        Category("category"),
        Category("brand"),
        Number("price"),
        Flag("in_stock"),
        Tags("tags"),
    ],
    context=[
        Context("device", values=("phone", "tablet", "desktop")),
        LocalTime("hour", "weekday"),
    ],
    half_lives=["1h", "1d", "30d"],
    features=[
        Decayed("item", "impression", "1d"),
        Decayed("item", "view", "1h"),
        Decayed("item", "click", "1h"),
        Decayed("item", "click", "30d"),
        Decayed("item", "cart", "1d"),
        Decayed("item", "purchase", "30d"),
        Decayed("item", "dislike", "30d"),
        Decayed("seller", "click", "1d"),
        Decayed("seller", "purchase", "30d"),
        Decayed("category", "click", "1h"),
        Rate("item", "click", per="impression", backoff=_BACKOFF),
        Rate("item", "click", per="impression", backoff=_BACKOFF, half_life="1h"),
        Rate("item", "purchase", per="impression", backoff=_BACKOFF, prior=0.002),
        Rate("item", "dislike", per="impression", backoff=_BACKOFF, prior=0.002),
        Rate("seller", "click", per="impression", backoff=("global",)),
        Rate("category", "click", per="impression", backoff=("global",), half_life="1h"),
        Rate("brand", "click", per="impression", backoff=("category", "global")),
        Popularity(half_life="1h"),
        Popularity(half_life="1d"),
        Popularity(half_life="30d"),
        Affinity("category"),
        Affinity("brand"),
        Affinity("seller"),
        Affinity("tags"),
        Affinity("category", by="daypart", half_life="30d", size=32),
        SessionAffinity("category"),
        SessionAffinity("brand"),
        SessionAffinity("seller"),
        SessionAffinity("tags"),
        SessionShown("category"),
        SessionCount(),
        SessionCount("click"),
        VisitorCount("click"),
        VisitorCount("purchase"),
        VisitorRate("click", per="impression"),
        VisitorRate("dislike", per="impression"),
        SinceLast("item"),
        SinceLast("visit"),
        Age("item"),
        Age("seller"),
        PriceGap("price"),
        CoVisited(last=5),
        SessionCoVisited(),
        SessionNeighbours(),
        Own(),
        Amount("price"),
        Candidate("score"),
    ],
)
"""The marketplace spec."""
