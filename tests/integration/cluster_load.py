"""A load on a deployment of several processes, and what of it must be in the tables afterwards."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tables.replicas.store import RowStore, identity
from tables.topics import ROWS, TABLES, WATERMARK_KEY
from tests.integration.cluster import APP_ID, PLAN, SOON, Deployment, Process
from tests.one_pass import Tables
from tests.processes import clean_environ, post

HERE = Path(__file__).parent
# What two slow cores can do beside a broker, two workers and two servers: a system that is behind
# before anything fails shows nothing.
RATES = {"events": 40, "ranks": 15, "probes": 6, "items": 200, "visitors": 100, "candidates": 20}
# As many as there are requests while no broker takes an event: rankings do not wait behind these.
CONNECTIONS = 2_000

Counts = dict[str, dict[str, dict[str, int]]]


class Load:
    """``freshet loadtest`` against ``servers``, in a process of its own that notes what it sends.

    It goes on for ``seconds``, or until ``stop``. ``options`` are further ones, or other rates.
    """

    def __init__(
        self,
        folder: Path,
        servers: Sequence[Process],
        *,
        seconds: float = 600,
        **options: float,
    ) -> None:
        self.sent = folder / "sent.jsonl"
        self._errors = folder / "load.log"
        command = [sys.executable, str(HERE / "recorded_loadtest.py"), str(self.sent), "loadtest"]
        for server in servers:
            command += ["--server", server.url]
        numbers = {**RATES, "seconds": seconds, "warm_up": 0, "connections": CONNECTIONS, **options}
        for name, value in numbers.items():
            command += [f"--{name.replace('_', '-')}", f"{value:g}"]
        with self._errors.open("wb") as stderr:
            self._process = subprocess.Popen(
                [*command, "--json"],
                cwd=folder,
                env=clean_environ(),
                stdout=subprocess.PIPE,
                stderr=stderr,
            )

    async def began(self) -> None:
        """Waits until the first event was sent."""
        async with asyncio.timeout(SOON):
            while not (self.sent.exists() and self.sent.stat().st_size):
                assert self._process.poll() is None, self._errors.read_text()
                await asyncio.sleep(0.02)

    def now(self) -> float:
        """Seconds since the first event was sent: ``by_second`` goes by it."""
        with self.sent.open() as file:
            return time.monotonic() - float(json.loads(file.readline())["at"])

    async def result(self) -> dict[str, Any]:
        """What it measured, once it has ended."""
        out, _ = await asyncio.to_thread(self._process.communicate, timeout=2 * SOON)
        assert self._process.returncode == 0, self._errors.read_text()
        measured: dict[str, Any] = json.loads(out)
        return measured

    async def stop(self) -> dict[str, Any]:
        """Ends the sending; what was measured."""
        self._process.send_signal(signal.SIGINT)
        return await self.result()

    def close(self) -> None:
        """Makes sure that it is gone."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate(timeout=SOON)


def none_lost(result: dict[str, Any]) -> None:
    """Every event was taken in the end, and every ranking was answered, with 200."""
    events, ranks = result["events"], result["ranks"]
    assert events["acknowledged"] == events["sent"] > 0, result
    assert ranks["other_than_200"] == ranks["unanswered"] == {}, result
    assert ranks["answered"] == ranks["sent"] > 0, result
    for probe in result["freshness"].values():
        assert probe["never"] == probe["wrong"] == probe["unanswered"] == 0, result


def stalls(result: dict[str, Any]) -> dict[str, float]:
    """The longest waits, in seconds: for an event to be taken, and for a ranking."""
    seconds = result["by_second"]
    return {
        name: round(max(second[f"{name}_max_ms"] for second in seconds) / 1000, 3)
        for name in ("event", "rank")
    }


async def check_all(deployment: Deployment, load: Load, replicas: Sequence[Process]) -> None:
    """Waits until all is folded and in ``replicas``, stops all processes in good order, and holds
    tables, changelogs and replicas against one clean pass, counts against those of a plain script.
    """
    await deployment.folded()
    for replica in replicas:
        await _caught_up(replica)
    await deployment.stop()
    clean = await deployment.check()
    for replica in replicas:
        _check_replica(replica, clean, deployment.partitions)
    assert counted(clean) == await asyncio.to_thread(sent_counts, load)


def counted(tables: Tables) -> Counts:
    """The plain counts in the rows of visitors and items, by id and type; no zeros."""
    counts: Counts = {"visitors": {}, "items": {}}
    for (table, _), rows in tables.items():
        for key, encoded in rows.items():
            if table in counts and key != WATERMARK_KEY:
                row: Any = ROWS[table].decode(encoded)
                found = {
                    kind: row.counts[number]
                    for kind, number in PLAN.event_index.items()
                    if row.counts[number]
                }
                if found:
                    counts[table][key.decode()] = found
    return counts


def sent_counts(load: Load) -> Counts:
    """The same, of what ``load`` sent, by a script of its own."""
    script = [sys.executable, str(HERE / "plain_event_counts.py"), str(load.sent)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=SOON, check=True)
    counts: Counts = json.loads(done.stdout)
    return counts


async def _caught_up(replica: Process) -> None:
    """Waits until ``replica`` has measured, after now, that it is behind by nothing."""
    began = time.monotonic()
    async with asyncio.timeout(SOON):
        while True:
            asked = time.monotonic()
            freshness = (
                await asyncio.to_thread(post, f"{replica.url}/v1/rank", {"candidates": ["-"]})
            )["freshness"]
            age = freshness["measured_ms_ago"] / 1000
            if not any(freshness["behind"].values()) and asked - age > began:
                return
            await asyncio.sleep(0.1)


def rows_of(replica: Process, partitions: int) -> RowStore:
    """What ``replica``, which does not run, has on disk."""
    rows = replica.data / "replicas" / "rows"
    return RowStore(rows, identity(APP_ID, PLAN.state_id, partitions))


def _check_replica(replica: Process, clean: Tables, partitions: int) -> None:
    store = rows_of(replica, partitions)
    try:
        for table in TABLES:
            expected = {
                key: row
                for (name, _), found in clean.items()
                for key, row in found.items()
                if name == table.name and key != WATERMARK_KEY
            }
            assert dict(store.rows(table.name)) == expected, (replica.data.name, table.name)
    finally:
        store.close()
