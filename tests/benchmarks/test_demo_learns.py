"""In the demo's marketplace a model of 60 s of traffic beats the formula; nonsense is refused.

All seeds in one command: ``make bench ARGS="-k demo_learns" SEEDS=20``. Seconds are simulated
(``BEFORE`` and ``AFTER`` the training), so the machine's load changes nothing; ``JOBS`` says how
many seeds are run at once. With ``KEEP=file`` each seed's outcome is a line there, and a seed that
has one is not run again.
"""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.demo_learning import run
from tests.benchmarks.measuring import show

FIRST = 2_000
"""Seeds that nothing was tuned on."""


def test_demo_learns(tmp_path: Path) -> None:
    """Every seed's outcome, and over seeds the mean difference with its interval."""
    count, jobs = (int(os.environ.get(name, "1")) for name in ("SEEDS", "JOBS"))
    before, after = (float(os.environ.get(*each)) for each in (("BEFORE", "60"), ("AFTER", "20")))
    kept = Path(os.environ.get("KEEP", tmp_path / "outcomes.jsonl"))
    outcomes = _read(kept)
    missing = [seed for seed in range(FIRST, FIRST + count) if seed not in outcomes]
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for outcome in pool.map(partial(run, tmp_path, before, after), missing):
            print(outcome, flush=True)
            with kept.open("a") as lines:
                lines.write(json.dumps(outcome) + "\n")
    ours = list(_read(kept).values())
    show("demo_learns", {"seeds": ours, **_over_seeds(ours)})


def _read(kept: Path) -> dict[int, dict[str, Any]]:
    lines = kept.read_text().splitlines() if kept.exists() else []
    return {outcome["seed"]: outcome for outcome in map(json.loads, lines)}


def _over_seeds(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    ran = [one for one in outcomes if one["promoted"]]
    over: dict[str, Any] = {
        "promoted": len(ran),
        "shuffled_refused": sum(one["shuffled_refused"] for one in outcomes),
        "better": sum(one["difference"][1] > 0.0 for one in ran),
        "worse": sum(one["difference"][2] < 0.0 for one in ran),
    }
    if len(ran) > 1:
        told = np.array([[one["difference"][0], one["formula"][0]] for one in ran])
        draws = np.random.default_rng(1).integers(0, len(ran), (10_000, len(ran)))
        for name, values in (
            ("mean_difference", told[:, 0]),
            ("mean_lift", told[:, 0] / told[:, 1]),
        ):
            low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
            over[name] = [round(float(x), 4) for x in (values.mean(), low, high)]
    return over
