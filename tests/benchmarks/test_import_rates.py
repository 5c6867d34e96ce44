"""How fast Online Retail is imported: through a server, into a folder, and folded again."""

import gzip
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import median

from tests.benchmarks.measuring import JSON, cpu_seconds, show
from tests.processes import FRESHET, clean_environ, serving

RUNS = 3
LIVE_LINES = 60_000
LIVE_RATE, BULK_RATE = 3_000, 15_000
CORE = min(os.sched_getaffinity(0))


def test_import_through_a_server(tmp_path: Path, shared_data: Path) -> None:
    """Through the API, each batch folded with all signals before the next: 3,000 lines/s."""
    file = _slice(shared_data, tmp_path)
    runs = []
    for run in range(RUNS):
        folder = tmp_path / str(run)
        folder.mkdir()
        with serving(folder / "data") as (server, url):
            before = cpu_seconds(server.process.pid)
            options = ["--server", url, "--state", str(folder / "state")]
            summary = _import(file, options, folder)
            summary["server_cpu_s"] = round(cpu_seconds(server.process.pid) - before, 1)
        runs.append(summary)
    rates = [run["taken"] / run["seconds"] for run in runs]
    found = {**_spread(rates), "wanted": LIVE_RATE, "met": median(rates) >= LIVE_RATE}
    show("import_live", {**found, "lines": LIVE_LINES, "runs": runs})


def test_import_into_a_folder_and_rebuild(tmp_path: Path, shared_data: Path) -> None:
    """All 541,909 lines on one core, folded in bulk, then folded again: 15,000 events/s each."""
    file = shared_data / "online_retail.csv.gz"
    taken, imports, rebuilds = [], [], []
    for run in range(RUNS):
        folder = tmp_path / str(run)
        folder.mkdir()
        data = ["--data", str(folder / "data")]
        summary = _import(file, data, folder, pinned=True)
        taken.append(summary["taken"])
        imports.append(summary["taken"] / summary["seconds"])
        began = time.perf_counter()
        printed = _freshet(["rebuild", *data], folder, pinned=True)
        seconds = time.perf_counter() - began
        found = re.search(r"in ([\d.]+) s", printed)
        assert found, printed
        rebuilds.append((summary["taken"] / float(found[1]), summary["taken"] / seconds))
        shutil.rmtree(folder)
    folded = [rate for rate, _ in rebuilds]
    with_start = [rate for _, rate in rebuilds]
    imported = {**_spread(imports), "wanted": BULK_RATE, "met": median(imports) >= BULK_RATE}
    show("import_bulk", {**imported, "events": taken[0]})
    rebuilt = {**_spread(folded), "wanted": BULK_RATE, "met": median(folded) >= BULK_RATE}
    show("rebuild", {**rebuilt, "with_start": _spread(with_start), "events": taken[0]})
    assert len(set(taken)) == 1


def _slice(data: Path, folder: Path) -> Path:
    path = folder / "slice.csv.gz"
    with (
        gzip.open(data / "online_retail.csv.gz", "rt", encoding="utf-8", newline="") as whole,
        gzip.open(path, "wt", encoding="utf-8", newline="") as part,
    ):
        part.writelines(islice(whole, LIVE_LINES + 1))
    return path


def _import(file: Path, options: Sequence[str], folder: Path, *, pinned: bool = False) -> JSON:
    command = ["import", "online-retail", str(file), *options, "--json"]
    summary: JSON = json.loads(_freshet(command, folder, pinned=pinned))
    return summary


def _freshet(command: Sequence[str], folder: Path, *, pinned: bool) -> str:
    """What a command prints; if ``pinned``, all of its threads share one core."""
    core = ("taskset", "-c", str(CORE)) if pinned else ()
    done = subprocess.run(
        [*core, *FRESHET, *command],
        cwd=folder,
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _spread(rates: Sequence[float]) -> JSON:
    """The rate in the middle, the lowest and the highest, per second."""
    return {
        "events_per_s": round(median(rates)),
        "lowest": round(min(rates)),
        "highest": round(max(rates)),
    }
