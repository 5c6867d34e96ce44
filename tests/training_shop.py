"""A shop in memory, with traffic to learn from: who likes what is known, and so is what happens."""

import random
from dataclasses import dataclass, field

import msgspec

from personalization.decisions import Decision
from personalization.events import SERVED, Attribute, CatalogueRecord, StampedEvent
from personalization.presets.marketplace import marketplace
from personalization.ranking.formula import Formula
from personalization.ranking.pipeline import rank
from personalization.ranking.request import RankRequest
from personalization.ranking.surface import Surface
from personalization.replaying.world import World

START = 1_795_000_000_000
ITEMS = 60
CATEGORIES = 4
PAGE = 6
SPEC = marketplace
FORMULA = Formula(SPEC.columns, SPEC.feature_set_id)


@dataclass
class Traffic:
    """Records in the order of receipt, and the decisions among them."""

    records: list[CatalogueRecord | StampedEvent] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    @property
    def events(self) -> list[StampedEvent]:
        """Without the catalogue."""
        return [one for one in self.records if isinstance(one, StampedEvent)]


def traffic(seed: int, pages: int, *, temperature: float = 0.0, served: float = 0.6) -> Traffic:
    """``pages`` pages, a share ``served`` of them ranked by the formula. A visitor clicks mostly
    in the category of the visit."""
    drawn = random.Random(seed)
    world, told = World(SPEC), Traffic()
    surface = Surface(temperature=temperature)

    def tell(record: CatalogueRecord | StampedEvent) -> None:
        world.fold(record)
        told.records.append(record)

    for place in range(ITEMS):
        attributes: dict[str, Attribute] = {
            "category": f"c{place % CATEGORIES}",
            "price": 10.0 + place,
            "in_stock": True,
        }
        tell(CatalogueRecord("put", "item", f"i{place}", START, f"s{place % 7}", attributes))
    for number in range(pages):
        now = START + 1_000 * (number + 1)
        visitor = f"v{number % (pages // 5 + 1)}"
        candidates = [f"i{item}" for item in drawn.sample(range(ITEMS), 4 * PAGE)]
        id = None
        shown = candidates[:PAGE]
        if drawn.random() < served:
            id = f"d{number}"
            decision = rank(
                RankRequest(visitor=visitor, candidates=list(candidates), limit=PAGE),
                world,
                SPEC,
                surface,
                FORMULA,
                None,
                now=now,
                seed=drawn.getrandbits(60),
                decision_id=id,
            )
            told.decisions.append(decision)
            shown = [candidates[each.candidate] for each in decision.shown]
        stamps = [world.stamp(item) for item in shown]
        event = StampedEvent(SERVED, visitor, now, stamps, decision=id)
        if id is not None:
            tell(event)
        tell(msgspec.structs.replace(event, type="impression", at=now + 10))
        for place, item in enumerate(shown):
            liked = int(item[1:]) % CATEGORIES == number % 5 % CATEGORIES
            if drawn.random() < (0.5 if liked else 0.05):
                click = msgspec.structs.replace(event, type="click", items=[stamps[place]])
                tell(msgspec.structs.replace(click, at=now + 20 + place))
    return told
