"""A world as it was a while ago, without folding everything a second time."""

from collections.abc import Callable, Mapping

from personalization.candidates.index import CatalogueIndex, build_index
from personalization.columns import Columns
from personalization.folding import StatsRow
from personalization.replaying.reader import Reader
from personalization.replaying.visitor_rows import Rest
from personalization.state.rows import ItemRow, SegmentRow, SellerRow

_NONE = b""

Encoded = tuple[int, bytes] | None


class Lagging(Reader):
    """``live`` as it was when this last followed it, but for the catalogue, which is live.

    The live world says which rows change. Those of items, sellers and segments are taken over
    when this follows; those of visitors and users are kept before their first change since, in
    ``rest``. So it costs what changed, not what happened. Raises ``RuntimeError`` for who asks
    before it followed for the first time.
    """

    def __init__(self, live: Reader, rest: Rest) -> None:
        super().__init__(live.spec)
        self._columns = Columns(live.spec.plan)
        self._live = live
        self._rest = rest
        self._followed = False
        self._kept: set[str] = set()
        self._changed: dict[tuple[str, str], StatsRow] = {}
        self._index: CatalogueIndex | None = None

    @property
    def columns(self) -> Columns:
        """Items, sellers and segments as they were, the catalogue as it is."""
        return self._columns

    def visitor(self, id: str) -> Encoded:
        """The row as it was."""
        return self._before(f"visitor:{id}", self._live.visitor(id))

    def user(self, id: str) -> Encoded:
        """The row as it was."""
        return self._before(f"user:{id}", self._live.user(id))

    def index(self, now: int) -> CatalogueIndex:
        """The lists as of ``now``, when they were first asked for since this followed."""
        self._check()
        if self._index is None:
            self._index = build_index(self._columns, now)
        return self._index

    def follow(self) -> None:
        """Be as the live world is now, which has folded everything."""
        for (_, id), row in self._changed.items():
            apply_row(self._columns, id, row)
        self._changed.clear()
        self._kept.clear()
        self._followed = True
        self._index = None

    def visitor_changes(self, id: str) -> None:
        """The live row is about to change."""
        self._keep(f"visitor:{id}", lambda: self._live.visitor(id))

    def user_changes(self, id: str) -> None:
        """The live row is about to change."""
        self._keep(f"user:{id}", lambda: self._live.user(id))

    def changed(self, table: str, rows: Mapping[str, StatsRow]) -> None:
        """These are the live rows of ``table``, which changed."""
        self._changed.update(((table, id), row) for id, row in rows.items())

    def _keep(self, key: str, row: Callable[[], Encoded]) -> None:
        if self._followed and key not in self._kept:
            self._kept.add(key)
            found = row()
            self._rest[key] = _NONE if found is None else found[1]

    def _before(self, key: str, live: Encoded) -> Encoded:
        """Once the live world was asked it has told what changes."""
        self._check()
        if key not in self._kept:
            return live
        row = self._rest.get(key)
        return (0, row) if row else None

    def _check(self) -> None:
        if not self._followed:
            raise RuntimeError("a lagging world was asked before it followed")


def apply_row(columns: Columns, id: str, row: StatsRow) -> None:
    """Put a folded row into ``columns``; those of users are not there."""
    if isinstance(row, ItemRow):
        columns.apply_item(id, row)
    elif isinstance(row, SellerRow):
        columns.apply_seller(id, row)
    elif isinstance(row, SegmentRow):
        columns.apply_segment(id, row)
