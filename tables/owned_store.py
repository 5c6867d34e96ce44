"""The tables of one worker of many, where another may have written to the same changelogs.

Kafka moves a partition from a worker that it takes for dead. One that was only frozen wakes up in
the middle of a batch, and appends what it had folded. Every row is the fold of its key's records
up to its offset, so of two rows of a key the one with the higher offset holds all that the other
does: whoever reads both keeps that one. What is left to see to is that nobody passes over records
without reading them, and that compaction keeps the right one.
"""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from eventlog.protocol import EventLog, TopicPartition
from tables.recovery import TablePartition, recover
from tables.row_head import ROW_HEAD
from tables.store import PartitionWrite, TableStore
from tables.topics import TABLES, changelog_topic

_TABLES = {table.name: table for table in TABLES}


class ChangelogLost(Exception):
    """A changelog ends before what was read of it: it was deleted, or lost its end."""


class OwnedStore(TableStore):
    """A ``TableStore`` that reads what others append to the changelogs of its partitions.

    ``foreign`` is told how many records it has read that were not, or not only, its own.
    """

    def __init__(
        self,
        path: Path,
        *,
        state_id: str,
        partitions: int,
        log: EventLog,
        app_id: str,
        foreign: Callable[[int], None],
    ) -> None:
        super().__init__(path, state_id=state_id, partitions=partitions)
        self._log = log
        self._app_id = app_id
        self._foreign = foreign
        self._seen: dict[TablePartition, int] = {}

    async def write(self, writes: Iterable[PartitionWrite]) -> None:
        """Write what has nothing before it in its changelog that was not read, and nothing newer.

        The rest, ours among it, is read from there. Raises as ``recover`` does.
        """
        ours, unread = [], []
        for write in writes:
            has = self._offset(write.table, write.partition)
            if has == write.changelog_offset - len(write.rows) and not self._outdone(write):
                ours.append(write)
            elif has < write.changelog_offset:
                unread.append(TablePartition(_TABLES[write.table], write.partition))
        await super().write(ours)
        if unread:
            await self.read(unread)

    async def unread(self, of: Collection[TablePartition]) -> list[TablePartition]:
        """Those of ``of`` to whose changelogs others have appended what is to be ``read``.

        To be called now and then: only what stood there unread at the call before, too, counts, or
        it might be a batch of ours under way. Raises ``ChangelogLost``, and ``LogUnavailable``.
        """
        has = {part: self._offset(part.table.name, part.partition) for part in of}
        changelogs = {
            part: TopicPartition(
                changelog_topic(self._app_id, part.table, self.state_id), part.partition
            )
            for part in of
        }
        ends = await self._log.end_offsets(changelogs.values())
        before, self._seen = self._seen, {}
        for part, offset in has.items():
            end = ends[changelogs[part]]
            if end <= offset:
                raise ChangelogLost(
                    f"{changelogs[part].topic}[{part.partition}] ends at {end}, but was read up to"
                    f" {offset}: it was deleted or has lost its end"
                )
            if end > offset + 1:
                self._seen[part] = offset
        return [part for part, offset in self._seen.items() if before.get(part) == offset]

    async def read(self, parts: Collection[TablePartition]) -> None:
        """Read what others have appended to the changelogs of ``parts``.

        Nothing of them may be folded meanwhile: of an event whose row came in the middle of it the
        fold sends no signals, and its watermark would not say that somebody has. Raises as
        ``recover`` does, and is then to be called again before anything is folded.
        """
        self._foreign(await recover(self._log, self, app_id=self._app_id, of=parts))

    def _outdone(self, write: PartitionWrite) -> bool:
        """Whether more was read, while the batch was on its way, than it has folded."""
        _, watermark = write.rows[-1]
        assert watermark is not None
        held = self.watermark(write.table, write.partition)
        return held.offset > ROW_HEAD.decode(watermark).offset

    def _offset(self, table: str, partition: int) -> int:
        offset = self.persisted_offset(table, partition)
        return -1 if offset is None else offset
