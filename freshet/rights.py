"""The least rights that a process needs on the cluster; docs/operating-on-kafka.md lists them."""

from collections.abc import Mapping

from eventlog.kafka import KafkaAdmin, KafkaRefused
from eventlog.kafka.rights import Operation, missing_rights
from freshet.settings import Settings
from tables.topics import (
    CATALOGUE,
    DEAD_LETTERS,
    DECISIONS,
    MODELS,
    SIGNALS,
    TABLES,
    VISITOR_EVENTS,
    changelog_topic,
)

Needs = Mapping[str, tuple[Operation, ...]]

# Whoever appends to a topic asks how long a record it takes.
_APPENDS: tuple[Operation, ...] = ("Write", "DescribeConfigs")
_BOTH: tuple[Operation, ...] = ("Read", *_APPENDS)


def needed_by_worker(settings: Settings, state_id: str) -> Needs:
    """What ``freshet worker`` does with topics."""
    return {
        VISITOR_EVENTS: ("Read",),
        CATALOGUE: ("Read",),
        SIGNALS: _BOTH,
        DEAD_LETTERS: _APPENDS,
        **{changelog_topic(settings.app_id, table, state_id): _BOTH for table in TABLES},
    }


def needed_by_api(settings: Settings, state_id: str) -> Needs:
    """What ``freshet api`` does with topics."""
    return {
        VISITOR_EVENTS: _APPENDS,
        CATALOGUE: _APPENDS,
        DECISIONS: _BOTH,
        MODELS: _BOTH,
        **{changelog_topic(settings.app_id, table, state_id): ("Read",) for table in TABLES},
    }


async def check_rights(admin: KafkaAdmin, settings: Settings, needs: Needs) -> None:
    """Raises ``KafkaRefused``, naming all that is not allowed, or as ``KafkaAdmin`` does."""
    missing = await missing_rights(admin, needs, prefix=settings.topic_prefix)
    if missing:
        raise KafkaRefused(
            f"user {settings.sasl_username!r} lacks rights: {', '.join(missing)}"
            " (docs/operating-on-kafka.md lists the least rights)"
        )
