"""What may be wrong with a Kafka cluster and a deployment on it, found without changing it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator

import aiokafka
from aiokafka.errors import KafkaError
from msgspec import structs

from eventlog.kafka import KafkaAdmin, KafkaLog, KafkaRefused, KafkaUnreachable
from eventlog.kafka.admin import Described
from eventlog.kafka.connection import reach
from eventlog.kafka.errors import in_words
from eventlog.kafka.groups import Member, members
from eventlog.kafka.quiet import quieten
from eventlog.protocol import LogUnavailable, TopicPartition
from freshet import topics
from freshet.cluster import connection
from freshet.finding import Finding
from freshet.settings import Settings
from tables.topics import CATALOGUE, DEAD_LETTERS, SIGNALS, VISITOR_EVENTS

FOLDED = (VISITOR_EVENTS, SIGNALS, CATALOGUE)

_TIMEOUT = 5.0
_UNREACHABLE = "no bootstrap server can be reached: "
_AGAIN_SECONDS = 2.0
_DAY_MS = 86_400_000
_WORKER_CLIENT = "freshet-worker/"


async def examine_cluster(settings: Settings) -> list[Finding]:
    """Everything about the cluster that ``settings`` name, as far as it answers."""
    quieten()
    return [finding async for finding in _examine(settings)]


async def _examine(settings: Settings) -> AsyncIterator[Finding]:
    for finding in _retention(settings):
        yield finding
    reached = [await _server(settings, server) for server in settings.bootstrap_servers]
    for finding in reached:
        yield finding
    if not any(finding.fine for finding in reached):
        return
    admin = topics.admin(settings)
    try:
        await admin.start()
        async for finding in _topics(admin, settings):
            yield finding
        async for finding in _group(admin, settings):
            yield finding
    except (KafkaRefused, KafkaUnreachable) as error:
        yield Finding(False, str(error))
    finally:
        await admin.stop()


def _retention(settings: Settings) -> Iterator[Finding]:
    kept = settings.events_retention_ms
    if kept is not None and kept < _DAY_MS:
        yield Finding(
            False,
            f"events_retention {settings.events_retention} is under a day: workers that are down "
            "for longer lose events; set it to a few days at least",
        )
    if settings.changelog_compaction_lag_ms < _DAY_MS:
        yield Finding(
            False,
            f"changelog_compaction_lag {settings.changelog_compaction_lag} is under 24h: what a "
            "frozen worker wrote late may outlive what it should have been outdone by",
        )


async def _server(settings: Settings, server: str) -> Finding:
    one = structs.replace(connection(settings), bootstrap_servers=(server,))
    try:
        await reach(one, _TIMEOUT)
    except KafkaRefused as error:
        return Finding(False, str(error))
    except KafkaUnreachable as error:
        reason = str(error).removeprefix(_UNREACHABLE)
        return Finding(False, f"{reason}: does the broker run, and is the address right?")
    who = f", and lets {settings.sasl_username!r} in" if one.uses_sasl else ""
    return Finding(True, f"{server} answers ({settings.security_protocol}){who}")


async def _topics(admin: KafkaAdmin, settings: Settings) -> AsyncIterator[Finding]:
    compared = await topics.compare(admin, settings)
    wanted = compared.wanted
    copies = wanted.options.replication
    yield Finding(
        wanted.brokers >= copies,
        f"{wanted.brokers} brokers are up, of {copies} that hold each record"
        if wanted.brokers < copies
        else f"{wanted.brokers} brokers are up; {wanted.why}",
    )
    missing = [topic.name for topic in wanted.topics if topic.name not in compared.there]
    if missing:
        names = ", ".join(settings.topic_prefix + name for name in missing)
        yield Finding(False, f"topics are missing: {names}: run freshet topics create")
    for line in compared.differences:
        if not line.endswith("is missing"):
            yield Finding(False, f"{line}: change the setting, or the topic with Kafka's tools")
    if not compared.differences:
        yield Finding(True, f"{len(wanted.topics)} topics are as they should be")
    found = await admin.describe(compared.there)
    for finding in _copies(found):
        yield finding


def _copies(found: dict[str, Described]) -> Iterator[Finding]:
    behind = {name: each.under_replicated for name, each in found.items() if each.under_replicated}
    if behind:
        listed = "; ".join(f"{name} {list(numbers)}" for name, numbers in sorted(behind.items()))
        yield Finding(
            False, f"partitions lack copies, as a broker is down or behind: {listed}: look at it"
        )
    for name, each in sorted(found.items()):
        headless = [number for number, one in enumerate(each.partitions) if one.leader < 0]
        least = int(each.settings.get("min.insync.replicas", 1))
        stuck = [number for number, one in enumerate(each.partitions) if len(one.in_sync) < least]
        if headless:
            yield Finding(False, f"topic {name}: no broker leads partitions {headless}")
        elif stuck:
            yield Finding(
                False,
                f"topic {name}: partitions {stuck} take no writes: fewer than {least} copies are "
                "in sync (min.insync.replicas)",
            )


async def _group(admin: KafkaAdmin, settings: Settings) -> AsyncIterator[Finding]:
    group = settings.topic_prefix + settings.app_id
    workers = [
        f"{member.client_id.removeprefix(_WORKER_CLIENT).partition('/')[0]} on {member.host}"
        for member in await _members(admin, group)
    ]
    if workers:
        yield Finding(True, f"group {group}: {len(workers)} workers: {', '.join(sorted(workers))}")
    else:
        yield Finding(False, f"group {group}: no worker runs, so events wait: start freshet worker")
    counts = await admin.partition_counts()
    log = KafkaLog(connection(settings), client_id="freshet-doctor", prefix=settings.topic_prefix)
    try:
        await log.start()
        committed = await _committed(admin, group, settings.topic_prefix)
        for topic in FOLDED:
            if topic in counts:
                yield await _lag(log, topic, range(counts[topic]), committed)
        if DEAD_LETTERS in counts:
            yield await _dead_letters(log, range(counts[DEAD_LETTERS]))
    except LogUnavailable as error:
        yield Finding(False, str(error))
    finally:
        await log.stop()


async def _members(admin: KafkaAdmin, group: str) -> list[Member]:
    try:
        return await members(admin, group)
    except KafkaUnreachable:  # the first who asks a new cluster makes the topic of all groups
        await asyncio.sleep(_AGAIN_SECONDS)
        return await members(admin, group)


async def _committed(admin: KafkaAdmin, group: str, prefix: str) -> dict[TopicPartition, int]:
    try:
        async with asyncio.timeout(_TIMEOUT):
            found: dict[aiokafka.TopicPartition, aiokafka.structs.OffsetAndMetadata]
            found = await admin.client.list_consumer_group_offsets(group)
    except (KafkaError, TimeoutError) as error:
        raise KafkaUnreachable(
            f"asking for commits of {group} failed: {in_words(error)}"
        ) from error
    return {
        TopicPartition(tp.topic.removeprefix(prefix), tp.partition): at.offset
        for tp, at in found.items()
        if at.offset >= 0
    }


async def _lag(
    log: KafkaLog, topic: str, partitions: Iterable[int], committed: dict[TopicPartition, int]
) -> Finding:
    tps = [TopicPartition(topic, number) for number in partitions]
    starts, ends = await log.start_offsets(tps), await log.end_offsets(tps)
    behind = {tp.partition: ends[tp] - committed.get(tp, starts[tp]) for tp in tps}
    lost = [tp.partition for tp in tps if committed.get(tp, starts[tp]) < starts[tp]]
    if lost:
        return Finding(
            False,
            f"topic {topic}: retention dropped records of partitions {lost} before workers folded "
            "them: set events_retention higher",
        )
    records = sum(max(0, count) for count in behind.values())
    if not records:
        return Finding(True, f"topic {topic}: workers are up to date")
    worst = max(behind, key=lambda number: behind[number])
    return Finding(
        True,
        f"topic {topic}: workers are {records:,} records behind what they committed a second ago, "
        f"most in partition {worst} ({behind[worst]:,})",
    )


async def _dead_letters(log: KafkaLog, partitions: Iterable[int]) -> Finding:
    tps = [TopicPartition(DEAD_LETTERS, number) for number in partitions]
    ends, starts = await log.end_offsets(tps), await log.start_offsets(tps)
    count = sum(ends.values()) - sum(starts.values())
    if not count:
        return Finding(True, "no record was refused by the folds")
    return Finding(False, f"{count:,} records could not be folded: look at topic {DEAD_LETTERS}")
