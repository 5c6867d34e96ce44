"""How long ``freshet evaluate`` takes, and how much memory: all of Online Retail, two cores."""

import json
import os
import resource
import subprocess
import time
from pathlib import Path

from tests.benchmarks.measuring import show
from tests.processes import FRESHET, clean_environ

SECONDS, CORES = 360, 2


def test_half_a_million_events_within_six_minutes(tmp_path: Path, shared_data: Path) -> None:
    """530,000 events, 3,900 items, models fitted, seven arms, the last 30 days tested."""
    file = str(shared_data / "online_retail.csv.gz")
    command = [*FRESHET, "evaluate", file, "--format", "online-retail", "--test", "30d", "--json"]
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        ["taskset", "-c", ",".join(map(str, cores)), *command],
        cwd=tmp_path,
        env=clean_environ(),
        stdout=subprocess.PIPE,
        check=True,
    )
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(done.stdout)
    show(
        "evaluate",
        {
            "seconds": round(seconds, 1),
            "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
            "peak_mb": after.ru_maxrss // 1024,
            "wanted_seconds": SECONDS,
            "met": seconds < SECONDS,
            "all": {arm: cohorts["all"] for arm, cohorts in found["arms"].items()},
        },
    )
