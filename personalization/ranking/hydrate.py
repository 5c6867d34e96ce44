"""Hydration: from who asks to the rows that say what is known of them."""

from dataclasses import dataclass
from typing import Protocol

import msgspec

from personalization.codec import Codec
from personalization.columns import Columns
from personalization.plan import StatePlan
from personalization.state.keys import USER_VISITOR
from personalization.state.rows import UserRow, VisitorRow
from personalization.state.visitors import merge_visitors

VISITOR = "visitor"
USER = "user"

_VISITORS = Codec(VisitorRow)
_USERS = Codec(UserRow)


class StateReader(Protocol):
    """What a ranking reads. A row is (partition, bytes as stored); ``None`` if there is none."""

    @property
    def columns(self) -> Columns:
        """Items, sellers, segments and the catalogue."""
        ...

    def visitor(self, id: str) -> tuple[int, bytes] | None:
        """The encoded ``VisitorRow`` of a visitor."""
        ...

    def user(self, id: str) -> tuple[int, bytes] | None:
        """The encoded ``UserRow`` of a user."""
        ...


class RowRead(msgspec.Struct, array_like=True, frozen=True):
    """A row that was read, as it was: ``kind`` is ``visitor`` or ``user``; ``merged`` says that
    it is a visitor's and went into the ranking."""

    kind: str
    id: str
    partition: int
    row: bytes
    merged: bool = False


@dataclass(frozen=True, slots=True)
class Hydrated:
    """Who asks: the merged row (``None``: never seen), their user, and every row read."""

    visitor: VisitorRow | None
    user: str | None
    read: list[RowRead]


def hydrate(visitor: str | None, user: str | None, state: StateReader, plan: StatePlan) -> Hydrated:
    """Read and merge the rows of ``visitor`` and of those linked with it.

    The user is ``user``, or the one the visitor's row names. A linked visitor counts only while
    its own row names that user: its row is the authority, the user's row is only where to look.
    """
    read: list[RowRead] = []
    rows: dict[str, tuple[int, VisitorRow]] = {}
    if visitor is not None:
        _read(visitor, None, state, read, rows)
        if user is None and visitor in rows:
            user = rows[visitor][1].user
    if user is not None:
        links = []
        found = state.user(user)
        if found is not None:
            read.append(RowRead(USER, user, *found))
            links = [link.visitor for link in _USERS.decode(found[1]).visitors]
        for other in dict.fromkeys([USER_VISITOR + user, *links]):
            if other != visitor:
                _read(other, user, state, read, rows)
    return Hydrated(merge_visitors(list(rows.values()), plan) if rows else None, user, read)


def merged_again(read: list[RowRead], plan: StatePlan) -> VisitorRow | None:
    """The merged row, from the rows that a decision recorded."""
    rows = [(one.partition, _VISITORS.decode(one.row)) for one in read if one.merged]
    return merge_visitors(rows, plan) if rows else None


def _read(
    id: str,
    user: str | None,
    state: StateReader,
    read: list[RowRead],
    rows: dict[str, tuple[int, VisitorRow]],
) -> None:
    found = state.visitor(id)
    if found is None:
        return
    partition, data = found
    row = _VISITORS.decode(data)
    merged = not row.deleted and (user is None or row.user == user)
    read.append(RowRead(VISITOR, id, partition, data, merged))
    if merged:
        rows[id] = (partition, row)
