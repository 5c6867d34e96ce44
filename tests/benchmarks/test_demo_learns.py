"""In the demo's marketplace a model of 60 s of traffic beats the formula; nonsense is refused.

All seeds in one command: ``make bench ARGS="-k demo_learns" SEEDS=20`` (``JOBS``: how many at
once, ``BEFORE`` and ``AFTER``: seconds of traffic).
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.demo_learning import run
from tests.benchmarks.measuring import show

FIRST = 1_000
"""Seeds that nothing was tuned on."""


def test_demo_learns(tmp_path: Path) -> None:
    """Every seed's outcome, and over seeds the mean difference with its interval."""
    count, jobs = (int(os.environ.get(name, "1")) for name in ("SEEDS", "JOBS"))
    before, after = (float(os.environ.get(name, "60")) for name in ("BEFORE", "AFTER"))

    def one(seed: int) -> dict[str, Any]:
        folder = tmp_path / str(seed)
        folder.mkdir()
        outcome = run(folder, seed, before, after)
        print(outcome, flush=True)
        return outcome

    with ThreadPoolExecutor(jobs) as pool:
        outcomes = list(pool.map(one, range(FIRST, FIRST + count)))
    show("demo_learns", {"seeds": outcomes, **_over_seeds(outcomes)})


def _over_seeds(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    lifts = [one["difference"][0] / one["formula"][0] for one in outcomes if one.get("difference")]
    over = {
        "promoted": sum(one["promoted"] for one in outcomes),
        "shuffled_refused": sum(one["shuffled_refused"] for one in outcomes),
        "better": sum(one["difference"][1] > 0.0 for one in outcomes if one.get("difference")),
        "worse": sum(one["difference"][2] < 0.0 for one in outcomes if one.get("difference")),
    }
    if len(lifts) > 1:
        draws = np.random.default_rng(1).choice(lifts, (10_000, len(lifts))).mean(axis=1)
        low, high = np.quantile(draws, [0.025, 0.975])
        over["mean_lift"] = [round(float(x), 4) for x in (np.mean(lifts), low, high)]
    return over
