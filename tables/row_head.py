"""The first fields of encoded rows, read without decoding the rest."""

import msgspec

from personalization.codec import Codec


class RowHead(msgspec.Struct, array_like=True, frozen=True):
    """What every row begins with."""

    offset: int


class VisitorHead(msgspec.Struct, array_like=True, frozen=True):
    """What a visitor's row begins with."""

    offset: int
    at: int
    first_at: int
    last_at: int


ROW_HEAD = Codec(RowHead)
VISITOR_HEAD = Codec(VisitorHead)
