"""The stream of a data folder: its log, in the order of the events' time."""

import heapq
from collections.abc import Iterator
from pathlib import Path

from eventlog.embedded import EmbeddedLog
from eventlog.protocol import Record, TopicPartition
from personalization.codec import CodecError
from personalization.evaluation.prequential import Turn
from personalization.events import SERVED, StampedEvent
from personalization.state.keys import USER_VISITOR
from personalization.wire import Line
from tables.topics import CATALOGUE, CATALOGUE_RECORD, VISITOR_EVENT, VISITOR_EVENTS

_BATCH = 1_000


class LogFeed:
    """Events and catalogue of the log in ``folder``, as it is now: a server may have it open, and
    what it appends from now on is left out.

    Partitions are merged by the time of their records, each in its own order. An event comes
    before what the catalogue was told at the same time. What was served is left out, and what
    cannot be decoded. Raises ``FileNotFoundError`` where there is no log.
    """

    answered = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        log = EmbeddedLog(folder, read_only=True)
        try:
            self._ends = {
                tp: log.end_offset(tp)
                for topic in (VISITOR_EVENTS, CATALOGUE)
                for tp in (TopicPartition(topic, at) for at in range(log.partitions(topic)))
            }
            self.size = sum(end - log.start_offset(tp) for tp, end in self._ends.items())
        finally:
            log.close()

    def __iter__(self) -> Iterator[Turn]:
        log = EmbeddedLog(self._folder, read_only=True)
        try:
            parts = [
                (_events if tp.topic == VISITOR_EVENTS else _changes)(_records(log, tp, end))
                for tp, end in self._ends.items()
            ]
            for _, turn in heapq.merge(*parts, key=lambda timed: timed[0]):
                yield turn
        finally:
            log.close()


def _records(log: EmbeddedLog, tp: TopicPartition, end: int) -> Iterator[Record]:
    offset = log.start_offset(tp)
    while offset < end:
        records = log.read(tp, offset, min(_BATCH, end - offset))
        if not records:
            return
        yield from records
        offset = records[-1].offset + 1


def _events(records: Iterator[Record]) -> Iterator[tuple[int, Turn]]:
    for record in records:
        try:
            event = VISITOR_EVENT.decode(record.value or b"")
        except CodecError:
            continue
        if event.type != SERVED:
            yield event.at, Turn([_line(event)])


def _changes(records: Iterator[Record]) -> Iterator[tuple[int, Turn]]:
    for record in records:
        try:
            change = CATALOGUE_RECORD.decode(record.value or b"")
        except CodecError:
            continue
        yield change.at, Turn([], changes=(change,))


def _line(event: StampedEvent) -> Line:
    """The event as it was sent; it is stamped again from the catalogue of the replay."""
    alone = event.visitor.startswith(USER_VISITOR)
    items = [stamp.item for stamp in event.items]
    return Line(
        event.type,
        visitor=None if alone else event.visitor,
        user=event.user,
        items=items or None,
        at=event.at,
        id=event.id,
        session=event.session,
        decision=event.decision,
        value=event.value,
        properties=dict(event.properties),
    )
