"""``freshet api`` on a real broker, as a process: it serves whatever happens to the cluster."""

import asyncio
import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from eventlog.kafka import Connection, KafkaLog
from freshet.state import now_ms
from personalization.presets.marketplace import marketplace
from tables.bulk import Bulk
from tables.store import TableStore
from tables.windows import Windows
from tests.kafka_broker import Cluster
from tests.processes import FRESHET, SOON, Server, clean_environ, get, post, run

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka")]

APP_ID = "freshet"
PARTITIONS = 4
APPEND_TIMEOUT = 2.0
VIEW = {"type": "view", "visitor": "v1", "item": "i1"}
RANK = {"visitor": "v1", "candidates": ["i1", "i2"]}


def options(broker: Cluster, prefix: str) -> list[str]:
    return [
        *("--bootstrap-servers", broker.bootstrap_servers),
        *("--topic-prefix", prefix),
        *("--partitions", str(PARTITIONS)),
    ]


class Replica(Server):
    """``freshet api``, in a process of its own."""

    def __init__(self, data: Path, broker: Cluster, prefix: str) -> None:
        self.log = data.parent / f"{data.name}.log"
        command = [*FRESHET, "api", *options(broker, prefix), "--data", str(data), "--port", "0"]
        with self.log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [*command, "--append-timeout", f"{APPEND_TIMEOUT:g}s"],
                cwd=data.parent,
                env=clean_environ(),
                stdout=subprocess.PIPE,
                stderr=stderr,
            )


@contextmanager
def serving(data: Path, broker: Cluster, prefix: str) -> Iterator[tuple[Replica, str]]:
    """A replica that listens; at the end it is stopped in good order."""
    replica = Replica(data, broker, prefix)
    try:
        yield replica, replica.url()
        assert replica.stop() == 0, replica.log.read_text()
    finally:
        replica.close()


@pytest.fixture
def topics(broker: Cluster, prefix: str, tmp_path: Path) -> str:
    """The test's topics are there; their prefix."""
    made = run(["topics", "create", *options(broker, prefix)], tmp_path)
    assert made.returncode == 0, made.stderr
    return prefix


def fold(broker: Cluster, prefix: str, folder: Path) -> int:
    """Fold all that is in the log, as a worker would; how many records."""

    async def folded() -> int:
        log = KafkaLog(
            Connection(bootstrap_servers=(broker.bootstrap_servers,)),
            client_id="test",
            prefix=prefix,
        )
        await log.start()
        plan = marketplace.plan
        store = TableStore(folder, state_id=plan.state_id, partitions=PARTITIONS)
        try:
            bulk = Bulk(log, store, plan, app_id=APP_ID, windows=Windows(log), clock=now_ms)
            return await bulk.catch_up()
        finally:
            store.close()
            await log.stop()

    return asyncio.run(folded())


def answered(url: str, body: Any) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a POST, whatever it is."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=SOON) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def eventually_taken(url: str, event: dict[str, Any]) -> str:
    """Send ``event`` until the log takes it; the token."""
    deadline = time.monotonic() + SOON
    while True:
        status, answer = answered(f"{url}/v1/events", [event])
        if status == 200:
            token: str = answer["token"]
            return token
        assert status == 503
        assert time.monotonic() < deadline


def test_it_ranks_while_the_broker_is_down(broker: Cluster, topics: str, tmp_path: Path) -> None:
    """Rankings are answered throughout and say how old their measurement is; events are refused
    with their indexes, within the time-out, and taken again once the broker is back."""
    with serving(tmp_path / "api", broker, topics) as (replica, url):
        replica.ready(url)
        token = post(f"{url}/v1/events", [{**VIEW, "id": "e1"}])["token"]
        fold(broker, topics, tmp_path / "tables")
        answer = post(f"{url}/v1/rank", {**RANK, "token": token, "wait": "all"})
        assert answer["freshness"]["caught_up"] is True
        assert answer["freshness"]["measured_ms_ago"] < 2_000

        broker.kill()
        began = time.monotonic()
        status, refused = answered(f"{url}/v1/events", [VIEW, VIEW])
        assert time.monotonic() - began < 2 * APPEND_TIMEOUT
        assert (status, refused["not_appended"]) == (503, [0, 1])
        ages = []
        while time.monotonic() - began < 2.5 * APPEND_TIMEOUT:
            answer = post(f"{url}/v1/rank", RANK)
            assert [item["item"] for item in answer["items"]] == ["i1", "i2"]
            ages.append(answer["freshness"]["measured_ms_ago"])
        assert ages == sorted(ages)
        assert ages[-1] > 1_000 * APPEND_TIMEOUT
        assert get(f"{url}/v1/visitors/v1")["counts"]["view"] == 1
        assert get(f"{url}/readyz")["ready"] is True

        broker.heal()
        token = eventually_taken(url, {**VIEW, "visitor": "v2", "id": "e2"})
        fold(broker, topics, tmp_path / "tables")
        answer = post(f"{url}/v1/rank", {**RANK, "visitor": "v2", "token": token, "wait": "all"})
        assert answer["freshness"]["caught_up"] is True
        assert answer["freshness"]["measured_ms_ago"] < 2_000
    said = replica.log.read_text().splitlines()
    assert len(said) < 60, "a broker that is down is news once"


def test_a_restart_keeps_its_rows_and_catches_up(
    broker: Cluster, topics: str, tmp_path: Path
) -> None:
    """Stopped in good order it reads only what is new; killed, at most a little more; without its
    folder everything. What it knows is the same."""
    data, tables = tmp_path / "api", tmp_path / "tables"
    with serving(data, broker, topics) as (replica, url):
        replica.ready(url)
        views = [{**VIEW, "visitor": f"v{number}"} for number in range(300)]
        token = post(f"{url}/v1/events", views)["token"]
        fold(broker, topics, tables)
        known = {**RANK, "token": token, "wait": "all"}
        assert post(f"{url}/v1/rank", known)["freshness"]["caught_up"] is True
        token = post(f"{url}/v1/events", [VIEW])["token"]
    fold(broker, topics, tables)

    read = []
    for ending in ("stopped", "killed", "wiped"):
        if ending == "wiped":
            for path in sorted(data.rglob("*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()
        with serving(data, broker, topics) as (replica, url):
            replica.ready(url)
            answer = post(f"{url}/v1/rank", {**RANK, "token": token, "wait": "all"})
            assert answer["freshness"]["caught_up"] is True
            assert get(f"{url}/v1/visitors/v1")["counts"]["view"] == 2
            assert get(f"{url}/v1/items/i1")["counts"]["view"] == 301
            (stage,) = get(f"{url}/readyz")["recovering"]
            read.append(stage["done"])
    assert read[0] < read[2]


def test_it_waits_for_a_cluster_that_is_down(broker: Cluster, topics: str, tmp_path: Path) -> None:
    """HTTP is there, /readyz and /v1 say what is waited for; it is ready once the broker is."""
    broker.kill()
    with serving(tmp_path / "api", broker, topics) as (replica, url):
        assert get(f"{url}/healthz") == {"status": "ok"}
        deadline = time.monotonic() + SOON
        while not (waiting := get(f"{url}/readyz")["waiting"]):
            assert time.monotonic() < deadline
        assert broker.bootstrap_servers in waiting
        status, problem = answered(f"{url}/v1/rank", RANK)
        assert status == 503
        assert waiting in problem["detail"]
        broker.heal()
        replica.ready(url)
        assert get(f"{url}/readyz")["waiting"] is None
        assert post(f"{url}/v1/rank", RANK)["items"]
    assert replica.log.read_text().count("waiting for the cluster") == 1


def test_a_signal_ends_the_wait_for_a_cluster(tmp_path: Path) -> None:
    """It stops in good order, although nothing ever answered."""
    replica = Replica(tmp_path / "api", Nowhere(), "")  # type: ignore[arg-type]
    try:
        url = replica.url()
        assert get(f"{url}/readyz")["ready"] is False
        assert replica.stop(signal.SIGINT) == 0, replica.log.read_text()
    finally:
        replica.close()


class Nowhere:
    """A cluster that is not there."""

    bootstrap_servers = "127.0.0.1:9"


def test_it_refuses_topics_that_are_missing_or_cut_otherwise(
    broker: Cluster, prefix: str, tmp_path: Path
) -> None:
    """The message says what to run, or what differs; nothing is made."""
    command = ["api", *options(broker, prefix), "--port", "0", "--data", "d"]
    refused = run(command, tmp_path)
    assert refused.returncode == 1
    assert "topics are missing" in refused.stderr
    assert "run freshet topics create" in refused.stderr.splitlines()[-1]
    other = [*options(broker, prefix)[:-1], "2"]
    assert run(["topics", "create", *other], tmp_path).returncode == 0
    refused = run(command, tmp_path)
    assert refused.returncode == 1
    assert "visitor-events has 2 partitions, not 4" in refused.stderr.splitlines()[-1]


def test_a_data_folder_has_one_replica(broker: Cluster, topics: str, tmp_path: Path) -> None:
    """The second is refused in one line, and the first goes on."""
    with serving(tmp_path / "api", broker, topics) as (replica, url):
        replica.ready(url)
        second = ["api", *options(broker, topics), "--port", "0", "--data", "api"]
        refused = run(second, tmp_path)
        assert refused.returncode == 1
        assert "replicas cannot be used" in refused.stderr.splitlines()[-1]
        assert post(f"{url}/v1/rank", RANK)["items"]


def test_rows_of_another_cluster_are_not_served(
    broker: Cluster, topics: str, tmp_path: Path
) -> None:
    """A folder that came from elsewhere is refused, with what to do; nothing of it is deleted."""
    with serving(tmp_path / "api", broker, topics) as (replica, url):
        replica.ready(url)
    (tmp_path / "api" / "cluster").write_text("another\n")
    command = ["api", *options(broker, topics), "--port", "0", "--data", "api"]
    refused = run(command, tmp_path)
    assert refused.returncode == 1
    assert "holds the rows of cluster another, not of" in refused.stderr.splitlines()[-1]
    assert (tmp_path / "api" / "replicas").is_dir()


def test_a_wrong_password_ends_it_with_the_reason(scram_broker: Cluster, tmp_path: Path) -> None:
    """No retries and no traceback: another try would not help."""
    (tmp_path / "freshet.toml").write_text(
        'security_protocol = "SASL_PLAINTEXT"\nsasl_username = "api"\nsasl_password = "no-secret"\n'
    )
    for command in (["api", "--port", "0"], ["topics", "check"]):
        refused = run([*command, "--bootstrap-servers", scram_broker.bootstrap_servers], tmp_path)
        assert refused.returncode == 1
        last = refused.stderr.splitlines()[-1]
        assert last.startswith("Error: ")
        assert "refused user 'api'" in last
        assert "no-secret" not in refused.stderr + refused.stdout
