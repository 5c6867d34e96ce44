"""What topics on Kafka should be, and that their absence is told in words."""

import pytest

from api.readiness import Readiness
from eventlog.protocol import LogUnavailable, Topic
from freshet import cluster
from freshet.cluster import TopicsWrong, check_partitions, patiently
from freshet.settings import Settings
from freshet.topics import choose, declared

SERVERS = ("b:9092",)


@pytest.mark.parametrize(
    ("brokers", "there", "settings", "copies", "least", "why"),
    [
        (5, 0, {}, 3, 2, "the default"),
        (3, 0, {}, 3, 2, "the default"),
        (2, 0, {}, 2, 1, "the cluster has no more brokers"),
        (1, 0, {}, 1, 1, "the cluster has no more brokers"),
        (2, 3, {}, 3, 2, "as on the topics that exist"),
        (3, 1, {}, 1, 1, "as on the topics that exist"),
        (5, 3, {"replication": 5}, 5, 2, "as set"),
        (3, 0, {"min_insync_replicas": 3}, 3, 3, "as set"),
    ],
)
def test_copies_follow_the_brokers_unless_set(
    brokers: int, there: int, settings: dict[str, int], copies: int, least: int, why: str
) -> None:
    """Three and two by default, fewer where there are fewer brokers; a broker that is down now
    lowers nothing; and the reason is said."""
    wanted = choose(Settings(**settings), [], brokers, there)  # type: ignore[arg-type]
    assert wanted.options.replication == copies
    assert wanted.options.min_insync_replicas == least
    assert why in wanted.why


def test_retention_and_compaction_are_the_settings() -> None:
    """Events for good or as long as set, changelogs compacted after their lag."""
    for settings, kept in ((Settings(), "-1"), (Settings(events_retention="7d"), "604800000")):
        wanted = choose(settings, declared(settings, "s"), 3, 0).settings()
        for topic in ("visitor-events", "signals", "catalogue"):
            assert wanted[topic]["retention.ms"] == kept
            assert wanted[topic]["cleanup.policy"] == "delete"
        assert wanted["decisions"]["retention.ms"] == str(30 * 86_400_000)
    changelog = wanted["freshet-visitors-s-changelog"]
    assert changelog["cleanup.policy"] == "compact"
    assert changelog["min.compaction.lag.ms"] == "86400000"
    short = Settings(changelog_compaction_lag="2s")
    changelog = choose(short, declared(short, "s"), 3, 0).settings()["freshet-items-s-changelog"]
    assert (changelog["min.compaction.lag.ms"], changelog["segment.ms"]) == ("2000", "2000")


class Partitions:
    """A log of which only the partitions are known."""

    def __init__(self, **partitions: int) -> None:
        self._partitions = partitions

    def partitions(self, topic: str) -> int:
        return self._partitions[topic]


def test_topics_that_are_missing_or_cut_otherwise_are_named() -> None:
    """What to run is said; other partitions come first, as nothing can be created then."""
    wanted = [Topic("a", 4), Topic("b", 4), Topic("c", 4)]
    check_partitions(Partitions(a=4, b=4, c=4), wanted)  # type: ignore[arg-type]
    with pytest.raises(TopicsWrong, match=r"missing: b, c: run freshet topics create"):
        check_partitions(Partitions(a=4), wanted)  # type: ignore[arg-type]
    with pytest.raises(TopicsWrong, match=r"b has 2 partitions, not 4"):
        check_partitions(Partitions(b=2), wanted)  # type: ignore[arg-type]


async def test_a_cluster_is_waited_for_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as it takes; the reason is there meanwhile and gone afterwards."""
    monkeypatch.setattr(cluster, "_PAUSE_SECONDS", 0.0)
    readiness, seen = Readiness(), []

    async def attempt() -> str:
        seen.append(readiness.waiting)
        if len(seen) < 4:
            raise LogUnavailable([], "nobody answers")
        return "here"

    assert await patiently(readiness, attempt) == "here"
    assert seen[0] is None
    assert all("nobody answers" in str(reason) for reason in seen[1:])
    assert readiness.waiting is None
