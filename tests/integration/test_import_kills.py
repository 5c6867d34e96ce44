"""An import through the live server, with both killed again and again, counts every line once."""

import asyncio
import json
import random
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from eventlog.embedded import EmbeddedLog
from freshet.settings import Settings
from freshet.state import LOG, tables_folder
from personalization.presets.marketplace import marketplace
from tables.store import TableStore
from tests.baskets import some_retail
from tests.integration.importing import (
    LINES,
    STEPS,
    Importer,
    check_counts,
    kill_plan,
    slice_of,
    wait_for_line,
)
from tests.one_pass import Tables, one_pass, tables_of
from tests.processes import FRESHET, KILLED, Server, clean_environ, free_port


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


def check(source: Path, data: Path) -> None:
    """Rows and watermarks are those of one clean pass; counts are those of the plain script."""
    tables, clean = read_back(data)
    assert tables.keys() == clean.keys()
    for part, rows in clean.items():
        assert tables[part] == rows, part
    check_counts(source, tables)


@pytest.mark.parametrize(
    "steps", [("signals", "tables"), pytest.param(STEPS, marks=pytest.mark.long)], ids=len
)
def test_kills_between_steps_count_every_line_once(tmp_path: Path, steps: Sequence[str]) -> None:
    """The server dies after each of ``steps`` of the write order, the importer at times with it;
    all steps are between each pair of them."""
    source = tmp_path / "retail.csv.gz"
    some_retail(source, lines=7_000, seed=5)
    kills = kill_plan(seed=11, kills=len(steps), most=4, steps=steps)
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
    assert summary["lines"] == LINES
    check(source, data)
