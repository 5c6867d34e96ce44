"""What a token waits for: the rows of its own records, and those that their signals change."""

from collections.abc import Callable, Mapping

from eventlog.protocol import EventLog
from personalization.state.rows import Watermark
from tables.replicas.watermarks import TablePartition, Watermarks
from tables.tokens import Token, TokenError
from tables.topics import CATALOGUE_ROWS, SIGNALS, TABLES, VISITORS

_SIGNALLED = tuple(table.name for table in TABLES if table.source == SIGNALS)

Chains = Mapping[int, Mapping[int, int]]


def check(token: Token, log: EventLog) -> None:
    """Raise ``TokenError`` for a partition that ``log`` does not have."""
    for topic, offsets in (
        (VISITORS.source, token.events),
        (CATALOGUE_ROWS.source, token.catalogue),
    ):
        partitions = log.partitions(topic)
        for partition in offsets:
            if partition >= partitions:
                raise TokenError(f"a token of another log: {topic} has no partition {partition}")


async def catalogue_passed(token: Token, watermarks: Watermarks) -> None:
    """Wait until the catalogue has passed ``token``."""
    for partition, offset in token.catalogue.items():
        await watermarks.reach(TablePartition(CATALOGUE_ROWS.name, partition), _read_to(offset))


async def events_passed(token: Token, watermarks: Watermarks) -> Chains:
    """Wait until visitors have passed ``token``.

    Returns, for each partition of visitor-events in it, the last source offset that had by then
    been sent to each partition of signals.
    """
    chains = {}
    for partition, offset in token.events.items():
        watermark = await watermarks.reach(
            TablePartition(VISITORS.name, partition), _read_to(offset)
        )
        chains[partition] = watermark.chain
    return chains


async def signals_taken(chains: Chains, watermarks: Watermarks) -> None:
    """Wait until every table fed by signals has taken what ``chains`` say was sent."""
    for source, chain in chains.items():
        for target, last in chain.items():
            for table in _SIGNALLED:
                await watermarks.reach(TablePartition(table, target), _taken_to(source, last))


def _read_to(offset: int) -> Callable[[Watermark], bool]:
    return lambda watermark: watermark.offset >= offset


def _taken_to(source: int, last: int) -> Callable[[Watermark], bool]:
    return lambda watermark: watermark.sources.get(source, -1) >= last
