"""What several callers append to one partition of Kafka goes there together."""

import asyncio
from typing import NamedTuple

import aiokafka
import pytest
from aiokafka.errors import KafkaError

from eventlog.kafka import Connection
from eventlog.kafka.appender import Appender, NotAppended
from eventlog.kafka.batches import Batch
from eventlog.protocol import Entry

TP = aiokafka.TopicPartition("topic", 0)


class Answer(NamedTuple):
    offset: int


class Producer:
    """Takes a batch when it is let, and acknowledges at once."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.free = asyncio.Semaphore(0)
        self.refuses: KafkaError | None = None

    def create_batch(self) -> "Builder":
        return Builder()

    async def send_batch(
        self, builder: "Builder", topic: str, partition: int
    ) -> asyncio.Future[Answer]:
        await self.free.acquire()
        if self.refuses is not None:
            raise self.refuses
        taken = asyncio.get_running_loop().create_future()
        taken.set_result(Answer(sum(map(len, self.batches))))
        self.batches.append(builder.values)
        return taken

    async def stop(self) -> None:
        pass


class Builder:
    def __init__(self) -> None:
        self.values: list[bytes] = []

    def append(self, *, timestamp: int, key: bytes, value: bytes) -> None:
        self.values.append(value)

    def close(self) -> None:
        pass


def appender(producer: Producer) -> Appender:
    made = Appender(Connection(bootstrap_servers=("nowhere:1",)), "test", 5.0, 1 << 20)
    made._producer = producer
    return made


def batch(*values: bytes) -> Batch:
    return Batch([Entry(b"key", value, 1) for value in values], 100 * len(values))


async def append(made: Appender, *values: bytes) -> int:
    return (await made.append({TP: [batch(*values)]}))[TP]


async def begun(made: Appender, *appends: tuple[bytes, ...]) -> list[asyncio.Task[int]]:
    """Tasks that append, each of which waits for its turn."""
    tasks = [asyncio.create_task(append(made, *values)) for values in appends]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_what_waits_goes_together_and_each_gets_its_offset() -> None:
    """While the first is under way the others wait, and then need one turn, in their order."""
    producer = Producer()
    made = appender(producer)
    tasks = await begun(made, (b"a",), (b"b", b"c"), (b"d",), (b"e", b"f"))
    producer.free.release()
    producer.free.release()
    assert await asyncio.gather(*tasks) == [0, 2, 3, 5]
    assert producer.batches == [[b"a"], [b"b", b"c", b"d", b"e", b"f"]]
    assert made._pending == 0


async def test_what_is_too_much_goes_later() -> None:
    """Of what waits, only so much goes together."""
    producer = Producer()
    made = appender(producer)
    sizes = (1, 90_000, 90_000, 1)
    values = [bytes(size) for size in sizes]
    appends = [made.append({TP: [Batch([Entry(b"", v, 1)], len(v))]}) for v in values]
    tasks = [asyncio.create_task(each) for each in appends]
    for _ in range(5):
        await asyncio.sleep(0)
    for _ in sizes:
        producer.free.release()
    await asyncio.gather(*tasks)
    sent = [[len(value) for value in values] for values in producer.batches]
    assert sent == [[1], [90_000], [90_000, 1]]


async def test_who_gives_up_takes_nobody_along() -> None:
    """The one whose turn it was is cancelled, and one that waited with it: the others go on."""
    producer = Producer()
    made = appender(producer)
    first, second, third, fourth = await begun(made, (b"a",), (b"b",), (b"c",), (b"d",))
    first.cancel()
    third.cancel()
    await asyncio.wait([first, third])
    producer.free.release()
    producer.free.release()
    assert await second == 0
    assert await fourth == 1
    assert [value for sent in producer.batches for value in sent] == [b"b", b"d"]
    assert made._pending == 0


async def test_one_that_goes_while_others_of_its_batch_stay_is_appended_with_them() -> None:
    """As an append that ran into its time-out may be: nothing is lost by it."""
    producer = Producer()
    made = appender(producer)
    tasks = await begun(made, (b"a",), (b"b",), (b"c",))
    producer.free.release()
    assert await tasks[0] == 0
    for _ in range(5):
        await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.wait([tasks[2]])
    producer.free.release()
    assert await tasks[1] == 1
    assert producer.batches == [[b"a"], [b"b", b"c"]]
    assert made._pending == 0


async def test_a_refusal_is_everybodys() -> None:
    """What was refused together is told to all of them."""
    producer = Producer()
    made = appender(producer)
    tasks = await begun(made, (b"a",), (b"b",), (b"c",))
    producer.free.release()
    assert await tasks[0] == 0
    producer.refuses = KafkaError("no")
    producer.free.release()
    for task in tasks[1:]:
        with pytest.raises(NotAppended, match="no"):
            await task
    assert made._pending == 0
    await made.stop()
