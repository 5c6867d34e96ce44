"""Which entity's counters a feature reads."""

from personalization.features.view import ITEM, SELLER
from personalization.plan import StatePlan

VISITOR = "visitor"


def check_level(level: str, plan: StatePlan) -> None:
    """Raises ``ValueError`` unless ``level`` is the item, its seller or one of its segments."""
    known = (ITEM, SELLER, *plan.segments)
    if level not in known:
        raise ValueError(f"{level!r} is none of {', '.join(known)}")


def label(level: str) -> str:
    """The level in a column's name.

    >>> label("seller*category")
    'seller_category'
    """
    return level.replace("*", "_")
