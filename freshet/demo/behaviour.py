"""What a visitor does with a page, as events of the wire format.

An impression of all that was shown, clicks with the true probability (a little less further down
the page), a view of what was clicked, sometimes a cart and a purchase, rarely a dislike.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from freshet.demo.world import Floats, Intent, Ints, Person, World

POSITION_LOSS = 0.02
VIEW_AFTER_CLICK = 0.85
PURCHASE_AFTER_CART = 0.4
DISLIKE = 0.01


@dataclass
class Visit:
    """One session of one person. ``clicks`` counts the clicks so far by category.

    ``token`` is that of the newest write not yet seen in a ranking, ``acknowledged`` the
    ``perf_counter`` at which its answer came.
    """

    person: Person
    intent: Intent
    visitor: str
    user: str | None
    session: str
    returning: bool
    clicks: dict[int, int] = field(default_factory=dict)
    events: int = 0
    token: str | None = None
    acknowledged: float = 0.0


def act(
    world: World,
    visit: Visit,
    shown: Ints,
    luck: Floats,
    decision: str | None,
    at_ms: int,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """The events of one page, in the order in which they happen.

    ``shown`` are the items in displayed order, ``luck`` one uniform number for each: a click
    happens where it is below the true probability.
    """
    probability = world.click_probability(visit.person, visit.intent, shown)
    seen = probability * (1.0 - POSITION_LOSS * np.arange(len(shown)))
    events: list[dict[str, Any]] = []

    def add(kind: str, **fields: Any) -> None:
        visit.events += 1
        event = {
            "type": kind,
            "visitor": visit.visitor,
            "at": at_ms + len(events),
            "id": f"{visit.session}-{visit.events}",
            "session": visit.session,
            "properties": {"utc_offset": visit.person.utc_offset},
            **fields,
        }
        if decision is not None:
            event["decision"] = decision
        events.append(event)

    add("impression", items=[f"i{item}" for item in shown])
    for item, true, chance, uniform in zip(shown, probability, seen, luck, strict=True):
        name = f"i{item}"
        if uniform < chance:
            add("click", item=name)
            if rng.random() < VIEW_AFTER_CLICK:
                add("view", item=name)
            if rng.random() < 0.05 + 0.5 * true:
                add("cart", item=name)
                if rng.random() < PURCHASE_AFTER_CART:
                    add("purchase", item=name, value=world.price(int(item)))
        elif rng.random() < DISLIKE * (1.0 - true) ** 4:
            add("dislike", item=name)
    return events
