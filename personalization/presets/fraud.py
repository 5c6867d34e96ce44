"""Card fraud: the visitor is a card, the seller a vendor, and what is scored is a payment.

An item is where a card can pay: a vendor's shop or terminal, listed with its ``seller``. A payment
that asks to go through is an ``impression``, is scored by ``POST /v1/score`` with its ``amount``
in the context, and is a ``payment`` with that ``value`` once it went through. What turns out to
be ``fraud`` is what a model (``freshet train --objective binary``) learns to see. The formula does
not: it likes the vendors that a card knows.
"""

from personalization.features.affinity import Affinity, AffinityCount
from personalization.features.age import Age
from personalization.features.decayed import Decayed
from personalization.features.since_last import SinceLast
from personalization.features.spent import AmountNow, Spent
from personalization.features.visitor_count import VisitorCount
from personalization.spec import Category, Event, LocalTime, Spec

fraud = Spec(
    events=[
        Event("impression"),
        Event("payment", weight=1.0),
        Event("fraud", label=True),
    ],
    item=[Category("category")],
    context=[LocalTime("hour", "weekday")],
    half_lives=["10m", "1h", "1d", "30d"],
    features=[
        AmountNow(),
        Affinity("seller", half_life="30d", size=48),
        AffinityCount("seller"),
        Affinity("category", half_life="30d"),
        AffinityCount("category"),
        Spent("seller", half_life="30d", size=48),
        Spent("category", half_life="30d"),
        Spent("visitor", half_life="1h"),
        Spent("visitor", half_life="1d"),
        Spent("visitor", half_life="30d"),
        Decayed("visitor", "impression", "10m"),
        Decayed("visitor", "payment", "10m"),
        Decayed("visitor", "payment", "1h"),
        Decayed("visitor", "payment", "1d"),
        Decayed("visitor", "payment", "30d"),
        Decayed("seller", "payment", "1h"),
        Decayed("seller", "payment", "30d"),
        VisitorCount("payment"),
        SinceLast("item"),
        SinceLast("visit"),
        Age("seller"),
    ],
)
"""The fraud spec."""
