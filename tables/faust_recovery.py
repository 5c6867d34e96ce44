"""Faust's recovery replaced by ours: ``App(TableManager=BulkTableManager)``.

Faust calls it after every assignment, and streams resume when it is done. It is one path for a
start and for a rebalance: the composition root sets ``app.recover_tables``, which brings the
partitions that were assigned up to their changelogs, in bulk. Faust then has nothing left to do.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from faust.tables.recovery import Recovery
from faust.types import TP

from tables.faust_tables import PromptTableManager
from tables.recovery import TablePartition
from tables.topics import table_of

RecoverTables = Callable[[list[TablePartition]], Awaitable[None]]
"""Brings the assigned partitions of tables up to their changelogs."""


class AssignedApart(Exception):
    """A topic's partitions went to other workers than those of its tables."""


class BulkRecovery(Recovery):
    """Starts Faust's recovery when ours is done; another assignment before that cancels ours."""

    _bulk: asyncio.Task[None] | None = None

    def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """What is being recovered is about to be someone else's."""
        self._cancel()
        super().on_partitions_revoked(revoked)

    async def on_rebalance(
        self,
        assigned: set[TP],
        revoked: set[TP],
        newly_assigned: set[TP],
        generation_id: int = 0,
    ) -> None:
        """Recover in the background: the group must not wait for it."""
        self._cancel()
        self._bulk = asyncio.create_task(
            self._recover(assigned, revoked, newly_assigned, generation_id), name="recovery"
        )

    async def on_stop(self) -> None:
        """What is recovered stays recovered."""
        self._cancel()
        await super().on_stop()

    def need_recovery(self) -> bool:
        """Never by Faust: what comes into a changelog from now on is ours, or a stale owner's."""
        return False

    async def _recover(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int
    ) -> None:
        tables = self.tables._changelogs
        parts = [
            TablePartition(table_of(str(tables[tp.topic].name)), tp.partition)
            for tp in sorted(assigned)
            if tp.topic in tables
        ]
        try:
            _check_together(assigned)
            await cast(Any, self.app).recover_tables(parts)
        except Exception as error:
            await self.app.crash(error)
            raise
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    def _cancel(self) -> None:
        if self._bulk is not None:
            self._bulk.cancel()
            self._bulk = None

    async def _build_highwaters(self, *_: Any) -> None:
        """Not needed."""

    async def _build_offsets(self, *_: Any) -> None:
        """Not needed."""

    async def _seek_offsets(self, *_: Any) -> None:
        """Not needed: changelogs are not read through Faust."""


class BulkTableManager(PromptTableManager):
    """Has a ``BulkRecovery``."""

    @property
    def recovery(self) -> Recovery:
        """Made when it is first asked for."""
        if self._recovery is None:
            self._recovery = BulkRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


def _check_together(assigned: set[TP]) -> None:
    """Faust's assignor keeps topics together that all members of the group have in common."""
    partitions: dict[str, set[int]] = {}
    for tp in assigned:
        partitions.setdefault(tp.topic, set()).add(tp.partition)
    if len({frozenset(numbers) for numbers in partitions.values()}) > 1:
        raise AssignedApart(
            "the group has members with other topics: workers with another spec need another app_id"
        )
