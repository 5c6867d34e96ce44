"""The parts of the Kafka log that need no broker."""

import logging
from pathlib import Path

import pytest
from aiokafka.errors import NodeNotReadyError, TopicAuthorizationFailedError

from eventlog.kafka import Connection, KafkaRefused, KafkaUnreachable, LogUnreachable, TopicOptions
from eventlog.kafka.batches import split
from eventlog.kafka.errors import failure, in_words
from eventlog.kafka.names import from_kafka, name_on_kafka, on_kafka
from eventlog.kafka.quiet import OncePerWhile
from eventlog.kafka.settings import topic_settings
from eventlog.protocol import Entry, RecordTooLarge, Topic, TopicPartition

MIB = 1 << 20


def entries(*sizes: int) -> list[Entry]:
    return [Entry(b"", b"x" * size, n) for n, size in enumerate(sizes)]


def test_batches_stay_below_what_the_topic_takes() -> None:
    """Every entry travels once, in order; no batch is larger than the topic's limit."""
    cut = split("rows", entries(*range(0, 900, 7)), 1128)
    assert [entry for batch in cut for entry in batch.entries] == entries(*range(0, 900, 7))
    assert len(cut) > 1
    assert all(len(batch.entries) == 1 or batch.size <= 1000 for batch in cut)


def test_the_largest_record_travels_alone() -> None:
    """A record as large as its topic allows has a batch of its own; one byte more is refused."""
    cut = split("rows", entries(1, 8 * MIB, 1), 8 * MIB + 128)
    assert [len(batch.entries) for batch in cut] == [1, 1, 1]
    with pytest.raises(RecordTooLarge, match="over rows's 8388608"):
        split("rows", entries(1, 8 * MIB + 1), 8 * MIB + 128)


def test_nothing_is_no_batch() -> None:
    """No entries, nothing to send."""
    assert split("rows", [], 1128) == []


def test_a_declaration_in_kafkas_words() -> None:
    """Compaction, retention, size and replication are what the declaration says."""
    options = TopicOptions(replication=3, min_insync_replicas=2, compaction_lag_ms=86_400_000)
    table = topic_settings(Topic("table", 4, compacted=True), options)
    assert table["cleanup.policy"] == "compact"
    assert table["retention.ms"] == "-1"
    assert table["min.compaction.lag.ms"] == "86400000"
    assert table["min.insync.replicas"] == "2"
    short = topic_settings(Topic("short", 4, retention_ms=90_000_000), options)
    assert short["cleanup.policy"] == "delete"
    assert short["retention.ms"] == "90000000"
    assert int(short["segment.ms"]) < 90_000_000, "only whole segments are dropped"
    assert "min.compaction.lag.ms" not in short
    tests_only = TopicOptions(replication=1, extra={"retention.ms": "5"})
    assert topic_settings(Topic("short", 1), tests_only)["retention.ms"] == "5"


def test_names_on_the_cluster_begin_with_the_prefix() -> None:
    """There and back again."""
    tp = TopicPartition("rows", 3)
    assert name_on_kafka("shop-", "rows") == "shop-rows"
    assert on_kafka("shop-", tp) == ("shop-rows", 3)
    assert from_kafka("shop-", on_kafka("shop-", tp)) == tp


def test_a_connection_tells_no_password() -> None:
    """Its text has the user, not the password; the clients get both."""
    connection = Connection(
        bootstrap_servers=("a:1", "b:2"),
        security_protocol="SASL_PLAINTEXT",
        sasl_username="worker",
        sasl_password="secret",
    )
    assert "secret" not in repr(connection)
    assert "worker" in repr(connection)
    options = connection.client_options()
    assert options["bootstrap_servers"] == ["a:1", "b:2"]
    assert options["sasl_mechanism"] == "SCRAM-SHA-256"
    assert options["sasl_plain_password"] == "secret"
    assert "sasl_mechanism" not in Connection(bootstrap_servers=("a:1",)).client_options()


def test_tls_files_that_do_not_serve_are_named(tmp_path: Path) -> None:
    """A file that is missing, or is no certificate, is said with its name."""
    for broken in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        connection = Connection(
            bootstrap_servers=("a:1",), security_protocol="SSL", ssl_ca_location=broken
        )
        with pytest.raises(KafkaRefused, match=broken.name):
            connection.client_options()
        (tmp_path / "empty.pem").touch()


def test_errors_say_whether_to_try_again() -> None:
    """A missing right is a refusal, a broker that is away is not; both are in plain words."""
    assert isinstance(failure("reading", TopicAuthorizationFailedError("rows")), KafkaRefused)
    assert "no right on rows" in in_words(TopicAuthorizationFailedError("rows"))
    away = failure("reading", NodeNotReadyError("node 1"))
    assert isinstance(away, KafkaUnreachable)
    assert "no broker that leads it" in str(away)
    assert "about rows: why" in str(LogUnreachable([TopicPartition("rows", 0)], "why"))


def test_a_message_comes_once_in_a_while() -> None:
    """The same message is said once; another at once, and the same again later."""
    once, never_twice = OncePerWhile(0.0), OncePerWhile(1000.0)
    down = logging.makeLogRecord({"msg": "no connection to %s", "args": ("a",)})
    other = logging.makeLogRecord({"msg": "no answer from %s", "args": ("a",)})
    assert [never_twice.filter(down), never_twice.filter(down)] == [True, False]
    assert never_twice.filter(other)
    assert [once.filter(down), once.filter(down)] == [True, True]
