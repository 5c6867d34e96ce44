"""The keys of signals and of the catalogue: their spelling is known here only.

A signal's key is ``i:<item>``, ``s:<seller>``, ``u:<user>`` or ``g:<level>:<value>``; a catalogue
record's is ``item:<id>``, ``seller:<id>`` or ``user:<id>``.
"""

from functools import cache

ITEM = "i"
SELLER = "s"
USER = "u"
SEGMENT = "g"

USER_VISITOR = "user:"  # the visitor of events that name a user only: user:<id>

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


def split(key: str) -> tuple[str, str]:
    """The kind before the first colon, and the rest.

    >>> split("i:a:b"), split("g:category:shoes"), split("item:i9")
    (('i', 'a:b'), ('g', 'category:shoes'), ('item', 'i9'))
    """
    kind, _, id = key.partition(":")
    return kind, id
