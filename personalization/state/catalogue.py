"""A catalogue row: the attributes of an item, a seller or a user, from what was told of them."""

import msgspec

from personalization.events import Attribute, CatalogueRecord
from personalization.plan import MAX_ATTRIBUTES_BYTES
from personalization.state.errors import FoldError
from personalization.state.rows import CatalogueRow

_encode = msgspec.msgpack.Encoder().encode


def fold_catalogue(row: CatalogueRow | None, record: CatalogueRecord, offset: int) -> CatalogueRow:
    """The row after ``record``, at ``offset`` of its partition; ``row`` stays as it is.

    ``put`` replaces everything and ``patch`` what it names (``None`` removes an attribute);
    either creates what is not there, and after ``delete`` starts a new life, with a new
    ``created_at``. A record at or below ``row.offset`` changes nothing. Raises ``FoldError`` for
    an unknown ``op``, or where patches add up to attributes over their bound.

    >>> put = CatalogueRecord("put", "item", "i1", 7, "s1", {"price": 5.0, "brand": "acme"})
    >>> row = fold_catalogue(None, put, 0)
    >>> patch = CatalogueRecord("patch", "item", "i1", 8, None, {"price": 4.0, "brand": None})
    >>> fold_catalogue(row, patch, 1)  # doctest: +NORMALIZE_WHITESPACE
    CatalogueRow(offset=1, created_at=7, updated_at=8, seller='s1', attributes={'price': 4.0},
                 deleted=False)
    """
    if row is not None and offset <= row.offset:
        return row
    created_at = record.at if row is None or row.deleted else row.created_at
    if record.op == "delete":
        if row is not None:
            created_at = row.created_at
        return CatalogueRow(offset, created_at, record.at, None, {}, deleted=True)
    seller, before = record.seller, {}
    if record.op == "patch":
        if row is not None and not row.deleted:
            before = row.attributes
            seller = row.seller if record.seller is None else record.seller
    elif record.op != "put":
        raise FoldError(f"unknown catalogue op {record.op!r}")
    attributes = _present({**before, **record.attributes})
    if before and len(_encode(attributes)) > MAX_ATTRIBUTES_BYTES:
        raise FoldError(
            f"{record.kind} {record.id!r}: attributes over {MAX_ATTRIBUTES_BYTES} bytes"
        )
    return CatalogueRow(offset, created_at, record.at, seller, attributes)


def _present(attributes: dict[str, Attribute]) -> dict[str, Attribute]:
    return {name: attributes[name] for name in sorted(attributes) if attributes[name] is not None}
