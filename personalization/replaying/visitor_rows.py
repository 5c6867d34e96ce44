"""The rows of visitors: the recent ones as they are, all others as bytes."""

from collections import OrderedDict
from typing import Protocol

from personalization.codec import Codec
from personalization.state.rows import VisitorRow

_VISITORS = Codec(VisitorRow)


class Rest(Protocol):
    """Where bytes can be put by key: a dict, or something on disk."""

    def get(self, key: str, /) -> bytes | None: ...

    def __setitem__(self, key: str, value: bytes, /) -> None: ...


class VisitorRows:
    """Rows by visitor. Those used last, at most ``most``, stay decoded; ``rest`` keeps the others.

    >>> from personalization.presets import marketplace
    >>> from personalization.state.visitor import new_visitor
    >>> rows = VisitorRows({}, most=1)
    >>> rows.keep({"a": new_visitor(marketplace.plan), "b": new_visitor(marketplace.plan)})
    >>> rows.get("a") == new_visitor(marketplace.plan), rows.get("c")
    (True, None)
    """

    def __init__(self, rest: Rest, most: int = 20_000) -> None:
        self._rest = rest
        self._most = most
        self._recent: OrderedDict[str, VisitorRow] = OrderedDict()

    def get(self, visitor: str) -> VisitorRow | None:
        """The visitor's row, which a fold may consume if it gives back what becomes of it."""
        row = self._recent.get(visitor)
        if row is not None:
            self._recent.move_to_end(visitor)
            return row
        data = self._rest.get(visitor)
        return None if data is None else _VISITORS.decode(data)

    def encoded(self, visitor: str) -> bytes | None:
        """The visitor's row as tables store it."""
        row = self._recent.get(visitor)
        return self._rest.get(visitor) if row is None else _VISITORS.encode(row)

    def keep(self, rows: dict[str, VisitorRow]) -> None:
        """Rows after a fold."""
        recent = self._recent
        for visitor, row in rows.items():
            recent[visitor] = row
            recent.move_to_end(visitor)
        while len(recent) > self._most:
            visitor, row = recent.popitem(last=False)
            self._rest[visitor] = _VISITORS.encode(row)
