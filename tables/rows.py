"""Where folds read rows from: decoded from the store, or kept decoded between batches."""

from collections.abc import Mapping
from itertools import islice
from typing import Protocol

from tables.store import TableStore
from tables.topics import ROWS, TABLES


class Rows(Protocol):
    """Decoded rows, for folds to consume."""

    def get(self, table: str, partition: int, id: str) -> object | None:
        """The row, or ``None``."""
        ...

    def keep(self, table: str, rows: Mapping[str, object]) -> None:
        """``rows``, by id, are what the store is about to hold."""
        ...

    def forget(self) -> None:
        """Give out nothing that a fold has had before."""
        ...


class StoredRows:
    """Rows read from ``store`` and decoded, each time anew."""

    def __init__(self, store: TableStore) -> None:
        self._store = store

    def get(self, table: str, partition: int, id: str) -> object | None:
        """The row, or ``None``."""
        stored = self._store.get(table, partition, id.encode())
        return None if stored is None else ROWS[table].decode(stored)

    def keep(self, table: str, rows: Mapping[str, object]) -> None:
        """Nothing is kept."""

    def forget(self) -> None:
        """Nothing is kept."""


class CachedRows:
    """The same, keeping up to ``most`` rows of each table decoded.

    For one process that owns every partition: another owner's writes would go unseen.
    """

    def __init__(self, store: TableStore, most: int) -> None:
        self._stored = StoredRows(store)
        self._most = most
        self._rows: dict[str, dict[str, object]] = {table.name: {} for table in TABLES}

    def get(self, table: str, partition: int, id: str) -> object | None:
        """The row, or ``None``."""
        row = self._rows[table].get(id)
        return self._stored.get(table, partition, id) if row is None else row

    def keep(self, table: str, rows: Mapping[str, object]) -> None:
        """Keep ``rows``; over the bound, those go that were kept first."""
        kept = self._rows[table]
        kept.update(rows)
        for id in list(islice(kept, max(0, len(kept) - self._most))):
            del kept[id]

    def forget(self) -> None:
        """Read everything anew: a fold that failed may have spoilt what it had."""
        for kept in self._rows.values():
            kept.clear()
