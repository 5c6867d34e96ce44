"""Imports of Online Retail that are killed: what the tests of both modes share."""

import gzip
import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from personalization.presets.marketplace import marketplace
from personalization.state.rows import ItemRow, VisitorRow
from tables.topics import ITEMS, ROWS, VISITORS, WATERMARK_KEY
from tests.one_pass import Tables
from tests.processes import FRESHET, clean_environ

PLAIN_COUNTS = Path(__file__).parent / "plain_counts.py"
PURCHASE = marketplace.plan.event_index["purchase"]
STEPS = ("events", "folded", "signals", "changelog", "tables", "committed")
"""In the order in which they come; a kill after each is a kill between each pair."""

LINES = 541_909
"""Of the whole file."""


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


def check_counts(source: Path, tables: Tables) -> None:
    """Purchases of every item and visitor are those of a script that knows nothing of Freshet."""
    script = subprocess.run(
        [sys.executable, PLAIN_COUNTS, source], capture_output=True, check=True, timeout=600
    )
    plain = json.loads(script.stdout)
    assert purchases(tables, ITEMS.name) == plain["items"]
    assert purchases(tables, VISITORS.name) == plain["visitors"]


def slice_of(whole: Path, lines: int, to: Path) -> None:
    """Write the first ``lines`` of the file ``whole``."""
    with gzip.open(whole, "rt", newline="") as file, gzip.open(to, "wt", newline="") as out:
        for _ in range(lines + 1):
            out.write(file.readline())


def wait_for_line(checkpoint: Path, line: int) -> None:
    """Wait until the import has come so far."""
    deadline = time.monotonic() + 600
    while not (checkpoint.exists() and json.loads(checkpoint.read_text())["lines"] >= line):
        assert time.monotonic() < deadline
        time.sleep(0.05)
