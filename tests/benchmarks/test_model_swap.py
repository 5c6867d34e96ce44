"""What a change of the model does to rankings that are under way."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from personalization.presets.marketplace import marketplace
from tests.benchmarks.measuring import Connection, quantiles, show, waited_seconds
from tests.benchmarks.shop import Shop, fill
from tests.boosters import model_for
from tests.processes import serving

ROOT = Path(__file__).parents[2]
SECONDS, EVENTS, RANKINGS, IMPRESSIONS = 10.0, 200.0, 200.0, 0.1
EVERY = 0.5
WANTED_SWAP_MS = 1000.0


def test_models_are_swapped_without_a_slow_request(tmp_path: Path) -> None:
    """200 rankings of 100 candidates and 200 events per second, with a model of 200 trees; then
    the same while another is promoted twice a second."""
    with serving(tmp_path / "data") as (server, url):
        connection = Connection(url)
        fill(connection, Shop(seed=1))
        models = [model_for(marketplace, seed) for seed in (1, 2)]
        for model in models:
            connection.call("POST", "/v1/models", msgspec.to_builtins(model))
        figures: dict[str, Any] = {}
        for name, promotions in (("formula", 0), ("one model", 1), ("swaps", int(SECONDS / EVERY))):
            waited = -waited_seconds(server.process.pid)
            load = _load(url)
            swaps = []
            for number in range(promotions):
                time.sleep(EVERY)
                began = time.perf_counter()
                said = {"by": "a benchmark", "why": "to measure"}
                path = f"/v1/models/{models[number % 2].id}/promote"
                listed = connection.call("POST", path, said)
                assert listed["serving"] == models[number % 2].id
                swaps.append(time.perf_counter() - began)
            said_by_load, _ = load.communicate(timeout=10 * SECONDS)
            waited += waited_seconds(server.process.pid)
            figures[name] = {
                **json.loads(said_by_load),
                "server_waited_for_cpu_s": round(waited, 2),
            }
            assert not figures[name]["failures"]
            if swaps:
                figures[name]["swap_ms"] = quantiles(swaps)
        connection.close()
    met = figures["swaps"]["swap_ms"]["max"] < WANTED_SWAP_MS
    show("model_swap_ms", {**figures, "wanted_swap": WANTED_SWAP_MS, "met": met})


def _load(url: str) -> "subprocess.Popen[str]":
    rates = (url, SECONDS, EVENTS, 1, RANKINGS, IMPRESSIONS)
    load = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.load", *map(str, rates)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert load.stdout is not None
    assert load.stdout.readline().strip() == "sending"
    return load
