"""Items, and users who are looked at, as they will be once what was just accepted is folded."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from eventlog.protocol import TopicPartition
from personalization.events import CatalogueRecord, Stamp
from personalization.plan import StatePlan
from personalization.stamping import stamp_items
from personalization.state.catalogue import fold_catalogue
from personalization.state.errors import FoldError
from personalization.state.keys import shown_as, subject_of
from personalization.state.rows import CatalogueRow
from tables.replicas import Replicas

_KEPT = 200_000


class Items(Protocol):
    """Where items' rows and stamps come from."""

    def row(self, item: str) -> CatalogueRow | None:
        """The item's catalogue row."""
        ...

    def stamp(self, item: str) -> Stamp:
        """The item as an event records it."""
        ...


class ReplicaItems:
    """Items as the replica has them."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    def row(self, item: str) -> CatalogueRow | None:
        """The item's catalogue row."""
        return self._replicas.catalogue_row(*subject_of(item))

    def stamp(self, item: str) -> Stamp:
        """The item as an event records it."""
        return self._replicas.stamp(item)


class Overlay:
    """Records of items over what is ``under``, folded when read."""

    def __init__(self, under: Items, plan: StatePlan) -> None:
        self._under = under
        self._plan = plan
        self._records: dict[str, list[CatalogueRecord]] = {}

    def add(self, record: CatalogueRecord) -> str | None:
        """A later record, and what events call its item; ``None``, and not kept: a seller's."""
        name = shown_as(record.kind, record.id)
        if name is not None:
            self._records.setdefault(name, []).append(record)
        return name

    def drop_first(self, item: str) -> None:
        """The item's first record is in the row under it now."""
        records = self._records[item]
        if len(records) == 1:
            del self._records[item]
        else:
            del records[0]

    def row(self, item: str) -> CatalogueRow | None:
        """The item's row after its records."""
        row = self._under.row(item)
        for record in self._records.get(item, ()):
            try:
                row = fold_catalogue(row, record, 0 if row is None else row.offset + 1)
            except FoldError:
                continue  # the agent, too, leaves it out (and keeps it as a dead letter)
        return row

    def stamp(self, item: str) -> Stamp:
        """The item's stamp after its records."""
        if item not in self._records:
            return self._under.stamp(item)
        [stamp] = stamp_items([item], self.row, self._plan)
        return stamp


class _Appended(NamedTuple):
    item: str
    partition: int
    offset: int


class RecentItems(Overlay):
    """Records that this process appended and that its replica has not applied yet.

    ``applied`` gives the offset a catalogue partition is applied up to. At most 200,000 records
    are kept, the newest; of older ones the replica's state is what there is.
    """

    def __init__(self, under: Items, plan: StatePlan, applied: Callable[[int], int]) -> None:
        super().__init__(under, plan)
        self._applied = applied
        self._order: deque[_Appended] = deque()

    def appended(
        self,
        records: Sequence[tuple[CatalogueRecord, TopicPartition]],
        lasts: Mapping[TopicPartition, int],
    ) -> None:
        """``records`` are in the log, at or before the ``lasts`` of their partitions."""
        for record, tp in records:
            name = self.add(record)
            if name is not None:
                self._order.append(_Appended(name, tp.partition, lasts[tp]))
        while len(self._order) > _KEPT:
            self.drop_first(self._order.popleft().item)

    def forget_applied(self) -> None:
        """Drop, from the oldest on, what the replica has applied."""
        order = self._order
        while order and self._applied(order[0].partition) >= order[0].offset:
            self.drop_first(order.popleft().item)
