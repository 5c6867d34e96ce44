"""In the demo's marketplace learned priors foretell clicks on what is new better than declared.

``make bench ARGS="-k demo_priors" SEEDS=5``: of each seed the log of 60 simulated seconds, ranked
by the formula, is what ``freshet priors`` learns from (its earlier half) and is scored on.
"""

import asyncio
import os
from pathlib import Path

import numpy as np

from eventlog.embedded import EmbeddedLog
from freshet.demo.market import list_catalogue, trade
from freshet.demo.measurements import Measurements
from freshet.demo.traffic import Traffic
from freshet.demo.world import World
from freshet.priors import as_json, priors_of_log
from personalization.presets.marketplace import marketplace
from personalization.ranking.formula import Formula
from tests.benchmarks.demo_in_process import Backend, InProcess, simulated
from tests.benchmarks.measuring import show

FIRST = 2_000
SECONDS = 60.0


def test_demo_priors(tmp_path: Path) -> None:
    """What the command says of each seed."""
    for seed in range(FIRST, FIRST + int(os.environ.get("SEEDS", "1"))):
        simulated(_trade(tmp_path / str(seed), seed))
        log = EmbeddedLog(tmp_path / str(seed), read_only=True)
        report = asyncio.run(priors_of_log(log, marketplace, lambda *_: None))
        log.close()
        show("demo_priors", {"seed": seed, **as_json(report)})


async def _trade(folder: Path, seed: int) -> None:
    """A log of the demo's traffic in ``folder``."""
    backend = Backend(folder, Formula(marketplace.columns, marketplace.feature_set_id))
    world, client, measured = World(seed, "tastes"), InProcess(backend), Measurements()
    rng = np.random.default_rng([seed, 5])
    await backend.open()
    await list_catalogue(world, client, measured, rng)
    await asyncio.gather(
        trade(world, client, measured, rng, 0.0, SECONDS),
        Traffic(world, client, measured, 0.0, SECONDS).run(),
    )
    await backend.log.stop()
    assert not client.errors, client.errors
