"""An import through Kafka, with importer, replica and workers killed, counts every line once."""

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tests.baskets import some_retail
from tests.integration.cluster import Deployment, Process
from tests.integration.importing import (
    LINES,
    STEPS,
    Importer,
    check_counts,
    kill_plan,
    wait_for_line,
)
from tests.kafka_broker import Cluster
from tests.processes import free_port
from tests.seeds import seeds

pytestmark = pytest.mark.kafka

PATIENCE = 120.0
SMALL_BATCHES = """
from freshet.cli import main
from freshet.importers.to_server import ToServer

ToServer.batch = 400
main()
"""
OF_WORKERS = (*(step for step in STEPS if step != "events"), "piece")


@pytest.fixture
async def deployment(tmp_path: Path, broker: Cluster, prefix: str) -> AsyncIterator[Deployment]:
    """Topics of its own, and no process yet."""
    async with Deployment(tmp_path, broker, prefix, session_timeout="6s") as made:
        yield made


class Killed:
    """Processes that die as their plans say, all at once; ``count`` is how often that was."""

    def __init__(self, deployment: Deployment, port: int) -> None:
        self._deployment = deployment
        self._port = str(port)
        self.count = 0

    async def worker(self, name: str, plan: Sequence[tuple[str, int]]) -> Process:
        """Dies after each step of ``plan``; then runs on."""
        for step, k in plan:
            # Its first commit is one of its own, and pieces are many.
            after = ("KILL", step, {"committed": 1, "piece": 5 * k}.get(step, k))
            await self._dies(self._deployment.worker(name, after=after))
        return self._deployment.worker(name)

    async def api(self, times: Sequence[int]) -> Process:
        """Dies when it has appended events so many times; then runs on."""
        for k in times:
            await self._dies(
                self._deployment.api("api", after=("KILL", "events", k), port=self._port)
            )
        return self._deployment.api("api", port=self._port)

    async def _dies(self, process: Process) -> None:
        status = await asyncio.to_thread(process.wait, PATIENCE)
        assert status == -signal.SIGKILL, process.log.read_text()
        self.count += 1


@pytest.mark.parametrize("seed", seeds(6))
async def test_twenty_kills_count_every_line_once(
    deployment: Deployment, tmp_path: Path, seed: int
) -> None:
    """20,000 lines; two workers die seven times each, after every step of the write order, the
    replica six times, the importer twice."""
    source = tmp_path / "retail.csv.gz"
    some_retail(source, lines=20_000, seed=seed)
    drawn = random.Random(seed)
    port = free_port()
    killed = Killed(deployment, port)
    dying = [
        killed.worker(name, kill_plan(drawn.randrange(1000), 7, 3, OF_WORKERS))
        for name in ("one", "two")
    ]
    dying.append(killed.api([drawn.randint(2, 6) for _ in range(6)]))
    lives = asyncio.gather(*dying)
    start = (sys.executable, "-c", SMALL_BATCHES)
    importer = Importer(source, f"http://127.0.0.1:{port}", tmp_path, start)
    try:
        for moment in sorted(drawn.sample(range(1_000, 8_000), 2)):
            await asyncio.to_thread(wait_for_line, tmp_path / "checkpoint.json", moment)
            importer.kill()
            importer.start()
        await lives
        summary = await asyncio.to_thread(importer.summary, PATIENCE)
    finally:
        importer.kill()
        lives.cancel()
    assert killed.count == 20
    assert summary["lines"] == 20_000
    await deployment.folded()
    await deployment.stop()
    check_counts(source, await deployment.check())


@pytest.mark.long
async def test_the_whole_file_with_two_kills_each(
    deployment: Deployment, tmp_path: Path, shared_data: Path
) -> None:
    """All of Online Retail: importer, replica and a worker each killed twice in the middle."""
    source, port = shared_data / "online_retail.csv.gz", free_port()
    running = {name: deployment.worker(name) for name in ("one", "two")}
    running["api"] = deployment.api("api", port=str(port))
    drawn = random.Random(3)
    victims = ["importer", "importer", "api", "api", *drawn.choices(["one", "two"], k=2)]
    drawn.shuffle(victims)
    moments = sorted(drawn.sample(range(30_000, 500_000), len(victims)))
    importer = Importer(source, f"http://127.0.0.1:{port}", tmp_path)
    try:
        for moment, victim in zip(moments, victims, strict=True):
            await asyncio.to_thread(wait_for_line, tmp_path / "checkpoint.json", moment)
            if victim == "importer":
                importer.kill()
                importer.start()
                continue
            running[victim].kill()
            if victim == "api":
                running[victim] = deployment.api("api", port=str(port))
            else:
                running[victim] = deployment.worker(victim)
        summary = await asyncio.to_thread(importer.summary, 1_800)
    finally:
        importer.kill()
    assert summary["lines"] == LINES
    print(summary)
    await deployment.folded(300)
    await deployment.stop()
    check_counts(source, await deployment.check())
