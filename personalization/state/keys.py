"""The keys of signals and of the catalogue: their spelling is known here only.

A signal's key is ``i:<item>``, ``s:<seller>``, ``u:<user>`` or ``g:<level>:<value>``; a catalogue
record's is ``item:<id>``, ``seller:<id>`` or ``user:<id>``.
"""

from functools import cache

ITEM = "i"
SELLER = "s"
USER = "u"
SEGMENT = "g"

# A user where events expect another id: as the visitor of events that name a user only, and as the
# item of events about a user who is looked at.
USER_VISITOR = "user:"

_SELLER_LEVEL = "seller*"


def item_key(item: str) -> str:
    """The signal key of an item."""
    return f"{ITEM}:{item}"


def seller_key(seller: str) -> str:
    """The signal key of a seller."""
    return f"{SELLER}:{seller}"


def user_key(user: str) -> str:
    """The signal key of a user."""
    return f"{USER}:{user}"


def segment_key(level: str, seller: str | None = None, value: str | None = None) -> str:
    """The signal key of a segment.

    ``level`` is one of the plan's segments: ``global`` takes neither ``seller`` nor ``value``,
    ``<dimension>`` a value, ``seller*<dimension>`` both. A ``|`` in a seller's id is escaped, so
    different segments never share a key.

    >>> segment_key("global"), segment_key("brand", value="acme")
    ('g:global', 'g:brand:acme')
    >>> segment_key("seller*brand", "s|1", "acme")
    'g:seller*brand:s%7C1|acme'
    """
    if value is None:
        return f"{SEGMENT}:{level}"
    if seller is None:
        return f"{SEGMENT}:{level}:{value}"
    if "|" in seller or "%" in seller:
        seller = seller.replace("%", "%25").replace("|", "%7C")
    return f"{SEGMENT}:{level}:{seller}|{value}"


@cache
def segment_level(level: str) -> tuple[bool, str]:
    """Whether the level is within a seller, and the dimension its values come from.

    >>> segment_level("seller*category"), segment_level("brand")
    ((True, 'category'), (False, 'brand'))
    """
    if level.startswith(_SELLER_LEVEL):
        return True, level[len(_SELLER_LEVEL) :]
    return False, level


def catalogue_key(kind: str, id: str) -> str:
    """The key of an item's, a seller's or a user's attributes.

    >>> catalogue_key("item", "i9")
    'item:i9'
    """
    return f"{kind}:{id}"


def shown_as(kind: str, id: str) -> str | None:
    """What events call an item, or a user who is looked at; ``None`` for a seller.

    >>> shown_as("item", "i9"), shown_as("user", "u1"), shown_as("seller", "s2")
    ('i9', 'user:u1', None)
    """
    if kind == "user":
        return USER_VISITOR + id
    return id if kind == "item" else None


def subject_of(item: str) -> tuple[str, str]:
    """Kind and id in the catalogue of what events call ``item``: the way back.

    >>> subject_of("i9"), subject_of("user:u1")
    (('item', 'i9'), ('user', 'u1'))
    """
    if item.startswith(USER_VISITOR):
        return "user", item[len(USER_VISITOR) :]
    return "item", item


def split(key: str) -> tuple[str, str]:
    """The kind before the first colon, and the rest.

    >>> split("i:a:b"), split("g:category:shoes"), split("item:i9")
    (('i', 'a:b'), ('g', 'category:shoes'), ('item', 'i9'))
    """
    kind, _, id = key.partition(":")
    return kind, id
