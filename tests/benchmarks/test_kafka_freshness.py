"""How soon a ranking knows what was just written, with two workers and two replicas on Kafka.

``freshet loadtest`` asks both replicas in turn: a write goes to one of them, the rankings that
carry its token to either.
"""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.measuring import cpu_seconds, show, waited_seconds
from tests.integration.cluster import Deployment
from tests.kafka_broker import Cluster
from tests.processes import run

pytestmark = pytest.mark.kafka

SECONDS = 30
OWN_MS, ALL_MS = 50.0, 100.0
WANTED = {
    "own_event": OWN_MS,
    "new_item": OWN_MS,
    "out_of_stock": OWN_MS,
    "all_counters": ALL_MS,
}
LOAD = ("--events", "500", "--ranks", "100", "--probes", "20", "--warm-up", "5", "--json")


@pytest.mark.parametrize("impressions", [0.0, 0.3], ids=str)
async def test_freshness_with_two_workers_and_two_replicas(
    tmp_path: Path, broker: Cluster, prefix: str, impressions: float
) -> None:
    """Beside 500 events/s (a share of them impressions of 10 items) and 100 rankings/s: from the
    acknowledgement of a write to a ranking that knows it."""
    async with Deployment(tmp_path, broker, prefix) as deployment:
        workers = [deployment.worker(name) for name in ("one", "two")]
        replicas = [deployment.api(name) for name in ("left", "right")]
        processes = [*workers, *replicas]
        for process in processes:
            await asyncio.to_thread(process.ready)
        for worker in workers:
            async with asyncio.timeout(30):
                while not worker.metrics()["freshet_worker_partitions"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        servers = [option for each in replicas for option in ("--server", each.url)]
        pids = {each.data.name: each.process.pid for each in processes}
        pids["broker"] = broker.brokers[0].pid
        command = ["loadtest", *servers, *LOAD, "--seconds", str(SECONDS)]
        began = time.perf_counter()
        used = {name: -cpu_seconds(pid) for name, pid in pids.items()}
        waited = {name: -waited_seconds(pid) for name, pid in pids.items()}
        done = await asyncio.to_thread(
            run, [*command, "--impressions", str(impressions)], tmp_path, SECONDS + 60
        )
        took = time.perf_counter() - began
        assert done.returncode == 0, done.stderr
        used = {name: used[name] + cpu_seconds(pid) for name, pid in pids.items()}
        waited = {name: waited[name] + waited_seconds(pid) for name, pid in pids.items()}
    result = json.loads(done.stdout)
    fresh = result["freshness"]
    met = {
        kind: fresh[kind]["from_acknowledged_ms"]["p99"] < limit for kind, limit in WANTED.items()
    }
    figures: dict[str, Any] = {
        "impressions": impressions,
        "from_acknowledged_ms": {kind: fresh[kind]["from_acknowledged_ms"] for kind in WANTED},
        "from_due_ms": {kind: fresh[kind]["from_due_ms"] for kind in WANTED},
        "wanted_p99": WANTED,
        "met": met,
        "events_ms": result["events"]["latency_ms"]["from_sending"],
        "ranks_ms": result["ranks"]["latency_ms"]["from_sending"],
        "cpu_percent": {name: round(100 * seconds / took) for name, seconds in used.items()},
        "waited_for_cpu_percent": {
            name: round(100 * seconds / took, 1) for name, seconds in waited.items()
        },
        "generator": result["generator"],
    }
    show("kafka_freshness", figures)
    assert result["events"]["acknowledged"] == result["events"]["sent"]
    assert not result["ranks"]["other_than_200"]
    for kind in WANTED:
        assert fresh[kind]["known"] == fresh[kind]["sent"], kind
        assert fresh[kind]["wrong"] == 0, kind
