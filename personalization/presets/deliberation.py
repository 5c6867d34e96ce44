"""Statements, posts or pictures shown one at a time, and liked, disliked or passed over.

For what is answered either way, by many visitors, with little known about it: how those answered
who answered like the visitor so far. An author is a seller, a conversation a category.
"""

from personalization.features.affinity import Affinity
from personalization.features.age import Age
from personalization.features.agreement import Agreement
from personalization.features.decayed import Decayed
from personalization.features.rate import Rate
from personalization.features.visitor_count import VisitorCount
from personalization.features.visitor_rate import VisitorRate
from personalization.spec import Category, Event, Spec

deliberation = Spec(
    events=[
        Event("impression"),
        Event("click", weight=1.0, label=True),
        Event("dislike", weight=-1.0),
    ],
    item=[Category("category")],
    half_lives=["1d", "365d"],
    features=[
        Agreement("click", per="impression", against="dislike", prior="category"),
        Rate("item", "click", per="impression", backoff=("category", "global")),
        Rate("item", "click", per="impression", backoff=("category", "global"), half_life="1d"),
        Rate("item", "dislike", per="impression", backoff=("category", "global")),
        Rate("seller", "click", per="impression", backoff=("category", "global")),
        Rate("seller", "dislike", per="impression", backoff=("category", "global")),
        Rate("category", "click", per="impression", backoff=("global",)),
        Rate("category", "click", per="impression", backoff=("global",), half_life="1d"),
        VisitorRate("click", per="impression"),
        VisitorRate("dislike", per="impression"),
        VisitorCount("impression"),
        Affinity("seller"),
        Decayed("item", "impression", "365d"),
        Decayed("item", "impression", "1d"),
        Decayed("seller", "impression", "365d"),
        Age("item"),
    ],
)
"""The spec of deliberations."""
