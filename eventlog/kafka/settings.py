"""A topic's declaration in Kafka's own settings."""

import msgspec

from eventlog.kafka.batches import BATCH_OVERHEAD
from eventlog.protocol import Topic

_HOUR_MS = 3_600_000
_WEEK_MS = 7 * 24 * _HOUR_MS
_NO_LIMIT = str((1 << 63) - 1)


class TopicOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the cluster decides, not the declaration.

    ``compaction_lag_ms`` is for how long every record of a compacted topic is kept at least.
    ``segment_ms`` (of compacted topics) and ``extra`` (of all) are for tests, which cannot wait.
    """

    replication: int
    min_insync_replicas: int = 1
    compaction_lag_ms: int = 24 * _HOUR_MS
    segment_ms: int = _HOUR_MS
    extra: dict[str, str] = {}


def topic_settings(topic: Topic, options: TopicOptions) -> dict[str, str]:
    """Kafka's settings of ``topic``."""
    settings = {
        "cleanup.policy": "compact" if topic.compacted else "delete",
        "retention.ms": str(-1 if topic.retention_ms is None else topic.retention_ms),
        "retention.bytes": "-1",
        "max.message.bytes": str(topic.max_record_bytes + BATCH_OVERHEAD),
        "min.insync.replicas": str(options.min_insync_replicas),
        # Entries carry the times of events; a clock that is off must not stop the log.
        "message.timestamp.type": "CreateTime",
        "message.timestamp.after.max.ms": _NO_LIMIT,
    }
    if topic.compacted:
        # The segment that is written to is never compacted, so it must not grow for a week.
        settings |= {
            "segment.ms": str(options.segment_ms),
            "segment.bytes": str(128 << 20),
            "min.cleanable.dirty.ratio": "0.2",
            "min.compaction.lag.ms": str(options.compaction_lag_ms),
        }
    elif topic.retention_ms is not None:
        settings["segment.ms"] = str(min(_WEEK_MS, max(_HOUR_MS, topic.retention_ms // 8)))
    return settings | options.extra
