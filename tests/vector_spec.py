"""The marketplace with a vector of eight numbers, and directions for items."""

import random

from personalization.features.nearness import Nearness
from personalization.presets.marketplace import marketplace
from personalization.spec import Spec, Vector

SIZE = 8

SPEC = Spec(
    events=marketplace.events,
    item=(*marketplace.item, Vector("embedding", SIZE)),
    half_lives=marketplace.half_lives,
    features=(*marketplace.features, Nearness("embedding")),
)


def direction(*parts: float) -> list[str | float]:
    """A vector that begins with ``parts``."""
    return [*parts, *[0.0] * (SIZE - len(parts))]


def drawn(chance: random.Random) -> list[str | float]:
    """A vector of any direction."""
    return [chance.gauss(0.0, 1.0) for _ in range(SIZE)]
