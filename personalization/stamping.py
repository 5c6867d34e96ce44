"""Stamping: what a visitor's event needs to know of its items, written into it when accepted."""

import sys
from collections.abc import Callable, Sequence

from personalization.events import Dimension, Stamp
from personalization.plan import StatePlan
from personalization.state.rows import CatalogueRow

MAX_VALUE_BYTES = 128
MAX_TAGS = 8


def stamp_items(
    items: Sequence[str], catalogue: Callable[[str], CatalogueRow | None], plan: StatePlan
) -> list[Stamp]:
    """The stamps of ``items``, in order and without repeats.

    ``catalogue`` gives an item's row. An item that is unknown or deleted has neither seller nor
    attributes; a declared attribute whose value is of another type, or a text of more than 128
    bytes, is left out.
    """
    return [_stamp(item, catalogue(item), plan) for item in dict.fromkeys(items)]


def _stamp(item: str, row: CatalogueRow | None, plan: StatePlan) -> Stamp:
    if row is None or row.deleted:
        return Stamp(item)
    told = row.attributes
    attributes: dict[str, Dimension] = {}
    for name in plan.categories:
        value = told.get(name)
        if isinstance(value, str) and _fits(value):
            attributes[name] = value
    for name in plan.numbers:
        value = told.get(name)
        if isinstance(value, float) and 0 <= value <= sys.float_info.max:
            attributes[name] = value
    for name in plan.flags:
        value = told.get(name)
        if isinstance(value, bool):
            attributes[name] = value
    for name in plan.tags:
        value = told.get(name)
        if isinstance(value, list):
            tags = [tag for tag in dict.fromkeys(value) if isinstance(tag, str) and _fits(tag)]
            if tags:
                attributes[name] = tags[:MAX_TAGS]
    return Stamp(item, row.seller, attributes)


def _fits(text: str) -> bool:
    return 4 * len(text) <= MAX_VALUE_BYTES or len(text.encode()) <= MAX_VALUE_BYTES
