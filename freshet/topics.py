"""The topics of a deployment on Kafka: what they should be, made, and compared with what is."""

from typing import NamedTuple

from eventlog.kafka import KafkaAdmin, TopicOptions
from eventlog.kafka.settings import topic_settings
from eventlog.protocol import Topic
from freshet.cluster import connection
from freshet.settings import Settings
from freshet.specs import load_spec
from tables.topics import topics

_COPIES = 3  # one may be down while another is lost
_SEGMENT_MS = 3_600_000


class Wanted(NamedTuple):
    """What there should be; ``why`` says in words how copies and their least number came about."""

    topics: list[Topic]
    options: TopicOptions
    brokers: int
    why: str

    def settings(self) -> dict[str, dict[str, str]]:
        """Kafka's settings of each topic."""
        return {topic.name: topic_settings(topic, self.options) for topic in self.topics}


class Compared(NamedTuple):
    """``wanted`` beside the cluster: topics that are there, and what of all is other than wanted,
    in words."""

    wanted: Wanted
    there: frozenset[str]
    differences: list[str]


def admin(settings: Settings) -> KafkaAdmin:
    """Who asks the cluster about topics, not started."""
    return KafkaAdmin(
        connection(settings), client_id="freshet-topics", prefix=settings.topic_prefix
    )


def declared(settings: Settings, state_id: str) -> list[Topic]:
    """All topics that ``settings`` ask for."""
    return topics(
        settings.app_id,
        state_id,
        settings.partitions,
        settings.decisions_retention_ms,
        settings.events_retention_ms,
    )


async def compare(admin: KafkaAdmin, settings: Settings) -> Compared:
    """Look, and change nothing. Raises ``SettingsError`` for a spec that cannot be used."""
    all_topics = declared(settings, load_spec(settings.spec).plan.state_id)
    found = await admin.describe(topic.name for topic in all_topics)
    brokers = len(await admin.brokers())
    # A broker that is down now is no reason to want fewer copies than there are.
    there = max((each.replication for each in found.values()), default=0)
    wanted = choose(settings, all_topics, brokers, there)
    differences = await admin.differences(all_topics, wanted.options)
    return Compared(wanted, frozenset(found), differences)


async def create(admin: KafkaAdmin, wanted: Wanted) -> list[str]:
    """Make what is missing; what is there stays as it is. The names of what was made.

    Raises ``TopicMismatch``, with nothing made, where a topic has other partitions.
    """
    return await admin.create(wanted.topics, wanted.options)


def choose(settings: Settings, all_topics: list[Topic], brokers: int, there: int) -> Wanted:
    """The copies of topics on a cluster of ``brokers``, where some have ``there`` copies now."""
    if settings.replication is not None:
        copies, why = settings.replication, f"replication {settings.replication}, as set"
    elif there:
        copies, why = there, f"replication {there}, as on the topics that exist"
    elif brokers >= _COPIES:
        copies, why = _COPIES, f"replication {_COPIES}, the default"
    else:
        copies, why = brokers, f"replication {brokers}: the cluster has no more brokers"
    if settings.min_insync_replicas is not None:
        least, how = settings.min_insync_replicas, "as set"
    elif copies >= _COPIES:
        least, how = 2, "the default: one broker may be down, and one more lost"
    else:
        least, how = 1, "the default: an acknowledged write may be on one broker alone"
    why += f"; min.insync.replicas {least}, {how}"
    options = TopicOptions(
        replication=copies,
        min_insync_replicas=least,
        compaction_lag_ms=settings.changelog_compaction_lag_ms,
        # The segment that is written to is never compacted: it must be closed in time.
        segment_ms=min(_SEGMENT_MS, settings.changelog_compaction_lag_ms),
    )
    return Wanted(all_topics, options, brokers, why)
