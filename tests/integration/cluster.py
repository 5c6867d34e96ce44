"""A deployment on Kafka as tests start, disturb and inspect it: workers and replicas as processes.

async with Deployment(folder, broker, prefix) as deployment:
    one = deployment.worker("one")
    one.ready()
    await deployment.send(events)
    await deployment.folded()
    await deployment.check()
"""

import asyncio
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eventlog.kafka import Connection, KafkaLog, TopicOptions
from eventlog.partitioner import partition_for
from eventlog.protocol import Entry, LogUnavailable, TopicPartition
from freshet.settings import Settings
from freshet.state import now_ms, tables_folder
from personalization.events import Stamp, StampedEvent
from personalization.presets.marketplace import marketplace
from tables.recovery import recover
from tables.row_head import ROW_HEAD
from tables.store import TableStore
from tables.topics import ROWS, TABLES, VISITOR_EVENT, VISITOR_EVENTS, changelog_topic, topics
from tests.kafka_broker import Cluster
from tests.logs import delete_topics, records_of
from tests.one_pass import Tables, differing, one_pass, tables_of
from tests.processes import FRESHET, clean_environ, free_port, get

SOON = 60.0
APP_ID = Settings().app_id
PLAN = marketplace.plan
KILLED = (sys.executable, str(Path(__file__).parent / "killed_worker.py"))

_KINDS = ("impression", "view", "click", "cart", "purchase")
_DAY_MS = 24 * 3_600_000


class Process:
    """``freshet COMMAND`` in a process of its own, with a data folder that outlives it."""

    def __init__(
        self, command: str, data: Path, environ: dict[str, str], start: Sequence[str] = FRESHET
    ) -> None:
        self.command, self.environ, self.start = command, environ, start
        self.data = data
        self.log = data.parent / f"{data.name}.log"
        self.port = int(environ["FRESHET_PORT"])
        self.url = f"http://127.0.0.1:{self.port}"
        self.began = time.monotonic()
        with self.log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [*start, command, "--data", str(data)],
                cwd=data.parent,
                env={**clean_environ(), **environ},
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    def ready(self, within: float = SOON) -> None:
        """Waits until it is ready."""
        deadline = time.monotonic() + within
        while not self.is_ready():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def is_ready(self) -> bool:
        """Whether it says that it is."""
        try:
            return get(f"{self.url}/readyz").get("ready") is True
        except OSError:
            return False

    def metrics(self) -> Counter[str]:
        """What /metrics says, by name (with labels, where it has some)."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=SOON) as response:
            lines = response.read().decode().splitlines()
        found: Counter[str] = Counter()
        for line in lines:
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)  # type: ignore[assignment]
        return found

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        self.process.terminate()
        return self.wait()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(SOON)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def wait(self, timeout: float = SOON) -> int:
        """Waits until it has ended; its exit status."""
        return self.process.wait(timeout)

    def frozen(self) -> bool:
        """Whether it is stopped by a signal."""
        status = Path(f"/proc/{self.process.pid}/stat").read_text()
        return status.rpartition(")")[2].split()[0] == "T"

    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None


class Deployment:
    """Topics under ``prefix`` on ``broker``, and the processes that were started on them.

    ``settings`` are further FRESHET_ variables of all processes, without that prefix.
    """

    def __init__(
        self,
        folder: Path,
        broker: Cluster,
        prefix: str,
        *,
        partitions: int = 4,
        **settings: str,
    ) -> None:
        self.folder = folder
        self.partitions = partitions
        self._prefix = prefix
        self.processes: list[Process] = []
        self._environ = {
            "FRESHET_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "FRESHET_TOPIC_PREFIX": prefix,
            "FRESHET_PARTITIONS": str(partitions),
            **{f"FRESHET_{name.upper()}": value for name, value in settings.items()},
        }
        servers = tuple(broker.bootstrap_servers.split(","))
        self.connection = Connection(bootstrap_servers=servers)
        self.log = KafkaLog(
            self.connection,
            client_id="test",
            prefix=prefix,
            options=TopicOptions(
                replication=len(servers), min_insync_replicas=min(2, len(servers))
            ),
        )

    async def __aenter__(self) -> "Deployment":
        await self.log.start()
        await self.log.create_topics(topics(APP_ID, PLAN.state_id, self.partitions, _DAY_MS))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for process in self.processes:
            if process.runs():
                process.thaw()
                process.kill()
        await self.log.stop()
        if kind is None:
            await delete_topics(self.connection, self._prefix)

    def worker(
        self,
        name: str,
        *,
        data: Path | None = None,
        after: tuple[str, str, int] | None = None,
        start: Sequence[str] = FRESHET,
        **settings: str,
    ) -> Process:
        """``freshet worker`` called ``name``; started again it has the data it had.

        ``after`` is a signal, KILL or STOP, that it gets after a step's k-th time, as
        killed_worker.py says. ``start`` is what to run instead of ``freshet``.
        """
        if after is not None:
            start = (*KILLED, *map(str, after))
        return self._start("worker", data or self.folder / name, start, worker_id=name, **settings)

    def api(
        self,
        name: str,
        *,
        after: tuple[str, str, int] | None = None,
        start: Sequence[str] = FRESHET,
        **settings: str,
    ) -> Process:
        """``freshet api``; started again it has the data it had. The rest as of a worker."""
        if after is not None:
            start = (*KILLED, *map(str, after))
        return self._start("api", self.folder / name, start, **settings)

    def again(self, process: Process) -> Process:
        """``process`` started again as it was, with its data, at its address."""
        made = Process(process.command, process.data, process.environ, process.start)
        self.processes.append(made)
        return made

    def freshet(self, *command: str) -> str:
        """Run another command of Freshet to its end; what it printed."""
        done = subprocess.run(
            [*FRESHET, *command],
            cwd=self.folder,
            env={**clean_environ(), **self._environ},
            capture_output=True,
            text=True,
            timeout=SOON,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _start(self, command: str, data: Path, start: Sequence[str], **settings: str) -> Process:
        environ = {
            **self._environ,
            "FRESHET_PORT": str(free_port()),
            **{f"FRESHET_{name.upper()}": value for name, value in settings.items()},
        }
        process = Process(command, data, environ, start)
        self.processes.append(process)
        return process

    async def send(self, events: Sequence[StampedEvent], batch: int = 100) -> None:
        """Append ``events`` as an API does, each batch again until it is taken."""
        for first in range(0, len(events), batch):
            left: dict[TopicPartition, list[Entry]] = {}
            for event in events[first : first + batch]:
                key = event.visitor.encode()
                tp = TopicPartition(VISITOR_EVENTS, partition_for(key, self.partitions))
                entry = Entry(key, VISITOR_EVENT.encode(event), now_ms())
                left.setdefault(tp, []).append(entry)
            while left:
                try:
                    await self.log.append(left)
                    break
                except LogUnavailable as error:
                    left = {tp: left[tp] for tp in error.partitions}
                    await asyncio.sleep(0.1)

    async def folded(self, within: float = SOON) -> None:
        """Waits until every record of every topic is in the changelogs, by their watermarks."""
        deadline = time.monotonic() + within
        while not await self._all_folded():
            logs = "\n".join(process.log.read_text()[-4000:] for process in self.processes)
            assert time.monotonic() < deadline, logs
            await asyncio.sleep(0.2)

    async def stop(self) -> None:
        """Stops every process that runs, in good order."""
        running = [process for process in self.processes if process.runs()]
        for process in running:
            process.process.terminate()
        for process in running:
            status = await asyncio.to_thread(process.wait)
            assert status == 0, process.log.read_text()

    async def check(self, sent: Sequence[StampedEvent] = ()) -> Tables:
        """Rows and watermarks are those of one clean pass: in the changelogs, by their newest row
        and by their last; and in the tables of whoever is up to date with a changelog, who must be
        somebody. Of the events ``sent`` each id counts once. No process may run. Returns the clean
        tables."""
        clean = await one_pass(self.log, PLAN)
        newest, last = await self._changelogs()
        shutil.rmtree(self.folder / "recovered", ignore_errors=True)
        store = TableStore(
            self.folder / "recovered", state_id=PLAN.state_id, partitions=self.partitions
        )
        try:
            await recover(self.log, store, app_id=APP_ID)
            recovered = tables_of(store)
        finally:
            store.close()
        for tables, which in ((newest, "newest"), (last, "last"), (recovered, "recovered")):
            assert tables.keys() == clean.keys(), which
            for part, rows in clean.items():
                assert not differing(tables[part], rows), (which, part)
        await self._check_stores(clean)
        if sent:
            counts: Counter[str] = Counter()
            for event in {event.id: event for event in sent}.values():
                counts[event.visitor] += len(event.items)
            assert visits(clean) == counts
        return clean

    async def _check_stores(self, clean: Tables) -> None:
        ends = await self.log.end_offsets(self.changelogs())
        owned: Counter[tuple[str, int]] = Counter()
        folders = {process.data for process in self.processes}
        for folder in sorted(folders):
            tables = tables_folder(folder, PLAN)
            if not tables.exists():
                continue
            store = TableStore(tables, state_id=PLAN.state_id, partitions=self.partitions)
            try:
                held = tables_of(store)
                for table in TABLES:
                    name = changelog_topic(APP_ID, table, PLAN.state_id)
                    for partition in range(self.partitions):
                        part = table.name, partition
                        end = ends[TopicPartition(name, partition)]
                        if end and store.persisted_offset(*part) == end - 1:
                            assert not differing(held.get(part, {}), clean.get(part, {})), (
                                folder,
                                part,
                            )
                            owned[part] += 1
            finally:
                store.close()
        assert owned.keys() >= clean.keys(), "tables that nobody is up to date with"

    async def _changelogs(self) -> tuple[Tables, Tables]:
        """Of every key the row with the highest offset, and the one that compaction leaves."""
        newest: Tables = {}
        last: Tables = {}
        names = {changelog_topic(APP_ID, table, PLAN.state_id): table.name for table in TABLES}
        positions = dict.fromkeys(self.changelogs(), 0)
        for tp, found in (await records_of(self.log, positions)).items():
            part = names[tp.topic], tp.partition
            for record in found:
                assert record.key is not None
                assert record.value is not None
                last.setdefault(part, {})[record.key] = record.value
                rows = newest.setdefault(part, {})
                known = rows.get(record.key)
                if known is None or _offset(record.value) >= _offset(known):
                    rows[record.key] = record.value
        return newest, last

    async def _all_folded(self) -> bool:
        newest, _ = await self._changelogs()
        sources = {
            TopicPartition(table.source, p) for table in TABLES for p in range(self.partitions)
        }
        ends = await self.log.end_offsets(sources)
        for table in TABLES:
            for partition in range(self.partitions):
                end = ends[TopicPartition(table.source, partition)]
                watermark = newest.get((table.name, partition), {}).get(b"\x00")
                if end and (watermark is None or _offset(watermark) < end - 1):
                    return False
        return True

    def changelogs(self) -> list[TopicPartition]:
        """The partitions of all changelogs."""
        return [
            TopicPartition(changelog_topic(APP_ID, table, PLAN.state_id), partition)
            for table in TABLES
            for partition in range(self.partitions)
        ]


def shop_events(seed: int, count: int) -> list[StampedEvent]:
    """Events of a small shop, each with an id of its own: three in five are impressions."""
    drawn = random.Random(seed)
    shelf = [
        Stamp(f"i{number}", f"s{number % 9}", {"category": f"c{number % 7}", "price": 1.0 + number})
        for number in range(300)
    ]
    events = []
    for number in range(count):
        kind = drawn.choices(_KINDS, (12, 3, 2, 2, 1))[0]
        items = drawn.sample(shelf, drawn.randint(2, 8) if kind == "impression" else 1)
        visitor = f"v{drawn.randrange(count // 8 + 1)}"
        events.append(StampedEvent(kind, visitor, now_ms(), items, id=f"{seed}-{number}"))
    return events


def visits(tables: Tables) -> dict[str, int]:
    """How many items, of events of all kinds, each visitor's row has counted."""
    counts = {}
    for (name, _), rows in tables.items():
        for key, encoded in rows.items():
            if name == "visitors" and key != b"\x00":
                row: Any = ROWS[name].decode(encoded)
                counts[key.decode()] = sum(row.counts)
    return counts


def _offset(row: bytes) -> int:
    return ROW_HEAD.decode(row).offset
