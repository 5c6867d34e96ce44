"""What benchmarks on Kafka append: events of a mix, stamped and encoded as an API does it."""

from collections.abc import Iterator, Sequence

from eventlog.partitioner import partition_for
from eventlog.protocol import Entry, EventLog, TopicPartition
from freshet.state import now_ms
from personalization.events import Stamp, StampedEvent
from tables.topics import VISITOR_EVENT, VISITOR_EVENTS
from tests.benchmarks.shop import Shop

IMPRESSIONS, SHOWN = 0.6, 20

_AT_ONCE = 2_000

Batches = list[dict[TopicPartition, list[Entry]]]


class Mix:
    """60 % impressions of 20 items, 40 % events of one, in ``partitions`` partitions."""

    def __init__(self, seed: int, partitions: int) -> None:
        self._shop = Shop(seed, IMPRESSIONS)
        self._partitions = partitions
        self._shelf: dict[str, Stamp] = {}
        self._number = 0

    def batches(self, count: int) -> Batches:
        """``count`` events, ready to be appended one after another."""
        batches: Batches = []
        for number, event in enumerate(self._events(count)):
            if number % _AT_ONCE == 0:
                batches.append({})
            key = event.visitor.encode()
            tp = TopicPartition(VISITOR_EVENTS, partition_for(key, self._partitions))
            entry = Entry(key, VISITOR_EVENT.encode(event), event.at)
            batches[-1].setdefault(tp, []).append(entry)
        return batches

    def _events(self, count: int) -> Iterator[StampedEvent]:
        for _ in range(count):
            drawn = self._shop.event(self._shop.visitor())
            several = drawn["type"] == "impression"
            ids = self._shop.items(SHOWN) if several else [drawn["item"]]
            self._number += 1
            yield StampedEvent(
                drawn["type"],
                drawn["visitor"],
                now_ms(),
                [self._stamp(id) for id in ids],
                id=f"e{self._number}",
            )

    def _stamp(self, item: str) -> Stamp:
        if item not in self._shelf:
            line = self._shop.listing(item)
            self._shelf[item] = Stamp(item, line["seller"], line["attributes"])
        return self._shelf[item]


async def append_all(log: EventLog, batches: Sequence[dict[TopicPartition, list[Entry]]]) -> None:
    """Append ``batches``, each acknowledged before the next."""
    for batch in batches:
        await log.append(batch)
