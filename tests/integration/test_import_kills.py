"""An import through the live server, with both killed again and again, counts every line once."""

import asyncio
import gzip
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from eventlog.embedded import EmbeddedLog
from freshet.settings import Settings
from freshet.state import LOG, tables_folder
from personalization.presets.marketplace import marketplace
from personalization.state.rows import ItemRow, VisitorRow
from tables.store import TableStore
from tables.topics import ITEMS, ROWS, VISITORS, WATERMARK_KEY
from tests.baskets import some_retail
from tests.one_pass import Tables, one_pass, tables_of
from tests.processes import FRESHET, KILLED, Server, clean_environ, free_port

STEPS = ("events", "folded", "signals", "changelog", "tables", "committed")
"""In the order in which they come; a kill after each is a kill between each pair."""

PLAIN_COUNTS = Path(__file__).parent / "plain_counts.py"
PURCHASE = marketplace.plan.event_index["purchase"]


def kill_plan(
    seed: int, kills: int, most: int, steps: Sequence[str] = STEPS
) -> list[tuple[str, int]]:
    """Every step in turn, each at a drawn one of its first ``most`` times."""
    drawn = random.Random(seed)
    chosen = [steps[number % len(steps)] for number in range(kills)]
    drawn.shuffle(chosen)
    # The first commit is made at the start: the agents' own come after it, once a second.
    return [(step, 2 if step == "committed" else drawn.randint(1, most)) for step in chosen]


class Importer:
    """``freshet import`` in a process of its own; it is started again where it was killed."""

    def __init__(
        self, source: Path, url: str, folder: Path, start: Sequence[str] = FRESHET
    ) -> None:
        self._command = [
            *start,
            *("import", "online-retail", str(source), "--server", url, "--json"),
            *("--state", str(folder / "checkpoint.json")),
        ]
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Go on with the import."""
        with (self._folder / "importer.log").open("ab") as stderr:
            self.process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=clean_environ(),
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def kill(self) -> None:
        """kill -9; nothing if it has ended."""
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.process.kill()
            self.process.communicate(timeout=60)

    def summary(self, timeout: float) -> dict[str, object]:
        """Wait for its end, and what it printed."""
        out, _ = self.process.communicate(timeout=timeout)
        assert self.process.returncode == 0, (self._folder / "importer.log").read_text()
        summary: dict[str, object] = json.loads(out)
        return summary


def import_with_kills(
    source: Path,
    folder: Path,
    kills: Sequence[tuple[str, int]],
    importer_dies: Sequence[bool],
    patience: float,
) -> dict[str, object]:
    """Import ``source`` with a server that dies as ``kills`` say, and an importer that may too."""
    data, port, log = folder / "data", free_port(), folder / "server.log"
    importer = Importer(source, f"http://127.0.0.1:{port}", folder, (*KILLED, "never", "1"))
    server: Server | None = None
    try:
        for kill, importer_too in zip(kills, importer_dies, strict=True):
            server = Server(data, log, port=port, kill=kill)
            assert server.wait(patience) == -signal.SIGKILL, (kill, log.read_text())
            if importer_too:
                importer.kill()
                importer.start()
        server = Server(data, log, port=port)
        server.ready(server.url())
        summary = importer.summary(patience)
        assert server.stop() == 0, log.read_text()
    finally:
        importer.kill()
        if server is not None:
            server.close()
    return summary


def read_back(data: Path) -> tuple[Tables, Tables]:
    """The tables as they are, and as one clean pass over the log makes them."""
    plan = marketplace.plan
    log = EmbeddedLog(data / LOG)
    store = TableStore(
        tables_folder(data, plan), state_id=plan.state_id, partitions=Settings().partitions
    )
    try:
        return tables_of(store), asyncio.run(one_pass(log, plan))
    finally:
        store.close()
        log.close()


def purchases(tables: Tables, table: str) -> dict[str, int]:
    """Plain counts of purchases, by id."""
    counts = {}
    for (name, _), rows in tables.items():
        for key, encoded in rows.items():
            if name == table and key != WATERMARK_KEY:
                row = ROWS[table].decode(encoded)
                assert isinstance(row, ItemRow | VisitorRow)
                counts[key.decode()] = row.counts[PURCHASE]
    return counts


def check(source: Path, data: Path) -> None:
    """Rows and watermarks are those of one clean pass; counts are those of the plain script."""
    tables, clean = read_back(data)
    assert tables.keys() == clean.keys()
    for part, rows in clean.items():
        assert tables[part] == rows, part
    script = subprocess.run(
        [sys.executable, PLAIN_COUNTS, source], capture_output=True, check=True, timeout=600
    )
    plain = json.loads(script.stdout)
    assert purchases(tables, ITEMS.name) == plain["items"]
    assert purchases(tables, VISITORS.name) == plain["visitors"]


def test_kills_between_all_steps_count_every_line_once(tmp_path: Path) -> None:
    """The server dies once between each pair of steps of the write order, the importer twice."""
    source = tmp_path / "retail.csv.gz"
    some_retail(source, lines=7_000, seed=5)
    kills = kill_plan(seed=11, kills=len(STEPS), most=4)
    importer_dies = [number in (1, 4) for number in range(len(kills))]
    summary = import_with_kills(source, tmp_path, kills, importer_dies, patience=60)
    assert summary["lines"] == 7_000
    check(source, tmp_path / "data")


def test_a_bulk_import_killed_between_all_steps_counts_every_line_once(tmp_path: Path) -> None:
    """``--data``: killed after each step, and resumed; no server is needed for that."""
    source, data = tmp_path / "retail.csv.gz", tmp_path / "data"
    some_retail(source, lines=5_000, seed=6)
    command = ("import", "online-retail", str(source), "--data", str(data), "--json")
    # Of commits there is one before the first line, and one after the last.
    for step, k in [*kill_plan(seed=12, kills=5, most=2, steps=STEPS[:-1]), ("committed", 2)]:
        killed = subprocess.run(
            [*KILLED, step, str(k), *command], cwd=tmp_path, env=clean_environ(), timeout=60
        )
        assert killed.returncode == -signal.SIGKILL, step
    ended = subprocess.run(
        [*FRESHET, *command],
        cwd=tmp_path,
        env=clean_environ(),
        timeout=60,
        check=True,
        capture_output=True,
    )
    assert json.loads(ended.stdout)["lines"] == 5_000
    check(source, data)


def slice_of(whole: Path, lines: int, to: Path) -> None:
    with gzip.open(whole, "rt", newline="") as file, gzip.open(to, "wt", newline="") as out:
        for _ in range(lines + 1):
            out.write(file.readline())


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_twenty_kills_on_real_baskets(tmp_path: Path, shared_data: Path, seed: int) -> None:
    """20,000 lines of Online Retail, 20 kills of the server, half of them of the importer too."""
    source = tmp_path / "retail.csv.gz"
    slice_of(shared_data / "online_retail.csv.gz", 20_000, source)
    kills = kill_plan(seed, kills=20, most=4)
    drawn = random.Random(seed)
    importer_dies = [drawn.random() < 0.5 for _ in kills]
    summary = import_with_kills(source, tmp_path, kills, importer_dies, patience=60)
    assert summary["lines"] == 20_000
    check(source, tmp_path / "data")


@pytest.mark.long
def test_the_whole_file_with_two_kills_each(tmp_path: Path, shared_data: Path) -> None:
    """All of Online Retail, server and importer each killed twice somewhere in the middle."""
    source, data = shared_data / "online_retail.csv.gz", tmp_path / "data"
    port, log = free_port(), tmp_path / "server.log"
    drawn = random.Random(3)
    moments = sorted(drawn.sample(range(50_000, 500_000), 4))
    victims = drawn.sample(["server", "server", "importer", "importer"], 4)
    server = Server(data, log, port=port)
    importer = Importer(source, f"http://127.0.0.1:{port}", tmp_path)
    try:
        for moment, victim in zip(moments, victims, strict=True):
            wait_for_line(tmp_path / "checkpoint.json", moment)
            if victim == "server":
                assert server.stop(signal.SIGKILL) == -signal.SIGKILL
                server = Server(data, log, port=port)
            else:
                importer.kill()
                importer.start()
        summary = importer.summary(timeout=900)
        assert server.stop() == 0, log.read_text()
    finally:
        importer.kill()
        server.close()
    assert summary["lines"] == 541_909
    check(source, data)


def wait_for_line(checkpoint: Path, line: int) -> None:
    deadline = time.monotonic() + 600
    while not (checkpoint.exists() and json.loads(checkpoint.read_text())["lines"] >= line):
        assert time.monotonic() < deadline
        time.sleep(0.05)
