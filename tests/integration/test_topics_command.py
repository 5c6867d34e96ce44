"""``freshet topics`` and ``freshet doctor`` on a real cluster."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from eventlog.kafka import Connection, KafkaAdmin, KafkaLog
from eventlog.protocol import Entry, TopicPartition
from tests.kafka_broker import Cluster
from tests.processes import run

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]

TOPICS = 12


def options(cluster: Cluster, prefix: str, partitions: int = 2) -> list[str]:
    return [
        *("--bootstrap-servers", cluster.bootstrap_servers),
        *("--topic-prefix", prefix),
        *("--partitions", str(partitions)),
    ]


def outcome(command: list[str], folder: Path, status: int = 0) -> dict[str, Any]:
    """What a command prints with --json."""
    done = run([*command, "--json"], folder)
    assert done.returncode == status, done.stdout + done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_topics_are_made_once_and_never_changed(
    broker: Cluster, prefix: str, tmp_path: Path
) -> None:
    """What will be made is said first; a second run makes nothing; other partitions are refused."""
    create = ["topics", "create", *options(broker, prefix)]
    check = ["topics", "check", *options(broker, prefix)]
    before = outcome(check, tmp_path, status=1)
    assert len(before["differences"]) == TOPICS
    assert all("is missing" in line for line in before["differences"])

    made = run(create, tmp_path)
    assert made.returncode == 0, made.stderr
    assert "replication 1: the cluster has no more brokers" in made.stdout
    assert f"missing {prefix}visitor-events: 2 partitions" in made.stdout
    assert f"{TOPICS} topics made, 0 were there already." in made.stdout

    again = outcome(create, tmp_path)
    assert (again["made"], len(again["there"]), again["differences"]) == ([], TOPICS, [])
    assert outcome(check, tmp_path)["differences"] == []
    assert "All topics are as they should be." in run(check, tmp_path).stdout

    other = ["topics", "create", *options(broker, prefix, partitions=3)]
    refused = run(other, tmp_path)
    assert refused.returncode == 1
    assert "has 2 partitions, not 3; partitions are fixed" in refused.stderr.splitlines()[-1]
    assert outcome(check, tmp_path)["differences"] == []


def test_what_differs_is_told_and_left_alone(broker: Cluster, prefix: str, tmp_path: Path) -> None:
    """Another retention is a difference for check, and no reason for create to change a topic."""
    assert run(["topics", "create", *options(broker, prefix)], tmp_path).returncode == 0
    other = [*options(broker, prefix), "--events-retention", "7d"]
    found = outcome(["topics", "check", *other], tmp_path, status=1)["differences"]
    for name in ("visitor-events", "signals", "catalogue"):
        assert f"topic {name}: retention.ms: expected 604800000, found -1" in found
    assert {line.split()[1] for line in found} == {"visitor-events:", "signals:", "catalogue:"}
    assert outcome(["topics", "create", *other], tmp_path)["differences"] == found
    assert outcome(["topics", "check", *options(broker, prefix)], tmp_path)["differences"] == []


def test_three_brokers_hold_three_copies(cluster: Cluster, prefix: str, tmp_path: Path) -> None:
    """By default; and with one of them down nothing else is wanted, but doctor says so."""
    made = outcome(["topics", "create", *options(cluster, prefix)], tmp_path)
    assert (made["brokers"], made["replication"], made["min_insync_replicas"]) == (3, 3, 2)

    async def copies() -> set[int]:
        admin = KafkaAdmin(
            Connection(bootstrap_servers=tuple(cluster.bootstrap_servers.split(","))),
            client_id="test",
            prefix=prefix,
        )
        await admin.start()
        try:
            return {each.replication for each in (await admin.describe(made["topics"])).values()}
        finally:
            await admin.stop()

    assert asyncio.run(copies()) == {3}
    cluster.kill(2)
    cluster.wait_ready(2)
    assert outcome(["topics", "check", *options(cluster, prefix)], tmp_path)["differences"] == []
    doctor = run(["doctor", *options(cluster, prefix), "--port", "0"], tmp_path)
    assert doctor.returncode == 1
    assert "problem 2 brokers are up, of 3 that hold each record" in doctor.stdout
    assert "problem partitions lack copies, as a broker is down" in doctor.stdout
    assert "does the broker run, and is the address right?" in doctor.stdout


def test_doctor_says_what_a_cluster_lacks(broker: Cluster, prefix: str, tmp_path: Path) -> None:
    """Missing topics, no worker, records that wait, dead letters: each in words."""
    command = ["doctor", *options(broker, prefix), "--port", "0"]
    doctor = run(command, tmp_path)
    assert doctor.returncode == 1, doctor.stdout
    assert f"topics are missing: {prefix}visitor-events," in doctor.stdout
    assert run(["topics", "create", *options(broker, prefix)], tmp_path).returncode == 0

    async def send() -> None:
        log = KafkaLog(
            Connection(bootstrap_servers=(broker.bootstrap_servers,)),
            client_id="test",
            prefix=prefix,
        )
        await log.start()
        try:
            entry = Entry(b"k", b"not an event", 1)
            await log.append({TopicPartition("visitor-events", 1): [entry] * 3})
            await log.append({TopicPartition("dead-letters", 0): [entry]})
        finally:
            await log.stop()

    asyncio.run(send())
    doctor = run(command, tmp_path)
    assert doctor.returncode == 1
    assert f"ok      {TOPICS} topics are as they should be" in doctor.stdout
    assert f"problem group {prefix}freshet: no worker runs" in doctor.stdout
    assert "topic visitor-events: workers are 3 records behind" in doctor.stdout
    assert "most in partition 1 (3)" in doctor.stdout
    assert "topic signals: workers are up to date" in doctor.stdout
    assert "problem 1 records could not be folded" in doctor.stdout
    assert "sasl_password" in doctor.stdout


def test_doctor_says_who_is_not_let_in(scram_broker: Cluster, prefix: str, tmp_path: Path) -> None:
    """A wrong password and missing rights are told, without the password and without a trace."""
    (tmp_path / "freshet.toml").write_text(
        'security_protocol = "SASL_PLAINTEXT"\nsasl_username = "api"\nsasl_password = "guessed"\n'
    )
    command = ["doctor", *options(scram_broker, prefix), "--port", "0"]
    doctor = run(command, tmp_path)
    assert doctor.returncode == 1
    assert "refused user 'api'" in doctor.stdout
    assert "guessed" not in doctor.stdout + doctor.stderr
    right = (tmp_path / "freshet.toml").read_text().replace("guessed", "api-secret")
    (tmp_path / "freshet.toml").write_text(right)
    doctor = run(command, tmp_path)
    assert doctor.returncode == 1
    assert "lets 'api' in" in doctor.stdout
    assert "Traceback" not in doctor.stderr
