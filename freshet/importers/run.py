"""Running an import: read, send, remember how far, and sum up."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Protocol

import msgspec

from freshet.importers.checkpoint import Checkpoint
from freshet.importers.source import Read, Source
from personalization.wire import Line

MOST_REASONS = 50
OTHER = "other reasons"


class Sink(Protocol):
    """Where events go. ``batch`` is how many lines of the input are best sent at once."""

    @property
    def batch(self) -> int: ...

    async def resume(self, token: str | None) -> None:
        """Make sure that what ``token`` stands for is still there. Raises ``ImportStopped``."""
        ...

    async def send(self, lines: Sequence[Line]) -> tuple[list[str | None], str | None]:
        """Take ``lines`` durably, in order.

        Returns of each why it was refused, or ``None``; and a token for all. Raises
        ``ImportStopped`` where that cannot be.
        """
        ...


class ImportStopped(Exception):
    """The import cannot go on now; running it again resumes it."""


class Summary(msgspec.Struct):
    """What came of an import, with what earlier runs of it did; seconds and rate of this run."""

    lines: int
    taken: int
    skipped: dict[str, int]
    seconds: float
    events_per_s: float


async def run(
    source: Source, sink: Sink, checkpoint: Checkpoint, report: Callable[[int, int], None]
) -> Summary:
    """Send ``source`` to ``sink`` from ``checkpoint`` on.

    ``report`` is told lines done, of about how many, and last of how many there were. One batch
    is under way at a time while the next is read, so the events of a visitor stay in order.
    Raises ``ImportStopped``, ``SourceError`` or ``CheckpointError``.
    """
    start = time.monotonic()
    done = checkpoint.load()
    taken_before = done.taken
    if done.lines:
        await sink.resume(done.token)
    skipped = Counter(done.skipped)
    reads = iter(source)
    await asyncio.to_thread(_pass, reads, done.lines)
    report(done.lines, source.size)
    batch = await asyncio.to_thread(_next, reads, sink.batch)
    while batch:
        (refused, token), following = await asyncio.gather(
            sink.send([line for read in batch for line in read.lines]),
            asyncio.to_thread(_next, reads, sink.batch),
        )
        done.taken += _count(batch, refused, skipped)
        done.lines += len(batch)
        done.skipped = dict(skipped)
        done.token = token or done.token
        checkpoint.save(done)
        report(done.lines, source.size)
        batch = following
    report(done.lines, done.lines)
    seconds = time.monotonic() - start
    return Summary(
        lines=done.lines,
        taken=done.taken,
        skipped=dict(sorted(skipped.items())),
        seconds=round(seconds, 3),
        events_per_s=round((done.taken - taken_before) / seconds, 1),
    )


def _pass(reads: Iterator[Read], count: int) -> None:
    for _ in islice(reads, count):
        pass


def _next(reads: Iterator[Read], count: int) -> list[Read]:
    return list(islice(reads, count))


def _count(batch: Sequence[Read], refused: Sequence[str | None], skipped: Counter[str]) -> int:
    """How many lines of the input were taken; ``skipped`` counts the others by reason."""
    taken, reasons = 0, iter(refused)
    for read in batch:
        of_lines = [next(reasons) for _ in read.lines]
        reason = read.skipped or next(filter(None, of_lines), None)
        if reason is None:
            taken += 1
            continue
        if reason not in skipped and len(skipped) >= MOST_REASONS:
            reason = OTHER
        skipped[reason] += 1
    return taken
