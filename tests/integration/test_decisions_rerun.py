"""Decisions that a server made: run again elsewhere, and held against the log, bit for bit."""

import asyncio
import json
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from eventlog.embedded import EmbeddedLog
from eventlog.protocol import EventLog
from personalization.decisions import DECISIONS as DECISION
from personalization.decisions import Decision
from personalization.presets.marketplace import marketplace
from personalization.ranking.parity import audit
from tables.decision_rows import rows_of
from tables.topics import DECISIONS, MODELS
from tests.boosters import model_for
from tests.integration.cluster import Deployment
from tests.integration.decision_traffic import Served, drive
from tests.logs import topic_records
from tests.processes import clean_environ, serving

ALONE = Path(__file__).parent / "rerun_decisions.py"
ROOT = ALONE.parent.parent.parent
SURFACES = "tests.integration.decision_traffic:SURFACES"


@pytest.mark.parametrize(
    "rankings",
    [200, *(pytest.param(many, marks=pytest.mark.long) for many in (1_000, 5_000))],
)
@pytest.mark.parametrize("mode", ["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
async def test_decisions_run_again_to_the_same_bits(
    request: pytest.FixtureRequest, tmp_path: Path, prefix: str, mode: str, rankings: int
) -> None:
    """A server decides among events, new items and sign-ups, by the formula and then by a model
    that is promoted meanwhile, and is stopped.

    A process that has only the records, of models too, runs each again: the same page. The rows
    that they read, folded again from the log at their offsets, give the same vectors.
    """
    decided: AbstractAsyncContextManager[tuple[EventLog, Served]]
    if mode == "kafka":
        broker = request.getfixturevalue("broker")
        decided = _on_kafka(Deployment(tmp_path, broker, prefix, surfaces=SURFACES), rankings)
    else:
        decided = _embedded(tmp_path, rankings)
    async with decided as (log, served):
        found = [record.value or b"" for record in await topic_records(log, DECISIONS)]
        decisions = [DECISION.decode(record) for record in found]
        _are_those_served(decisions, served)

        models = [record.value or b"" for record in await topic_records(log, MODELS)]
        assert Counter(decision.model for decision in decisions).keys() > {"formula"}

        report = _alone(tmp_path, found, models)
        assert report["records"] == len(decisions) >= rankings
        assert report["different"] == []
        assert report["noticed"] == report["flips"] > 0.9 * rankings
        assert report["foreign"] == []

        rows = await rows_of(log, marketplace, decisions)
        differing = {
            decision.id: mismatch
            for decision in decisions
            if (mismatch := audit(decision, rows, marketplace)) is not None
        }
        assert differing == {}
        print(json.dumps(_summary(decisions, served, report)))


@asynccontextmanager
async def _embedded(folder: Path, rankings: int) -> AsyncIterator[tuple[EventLog, Served]]:
    served = await asyncio.to_thread(_serve, folder, rankings)
    log = EmbeddedLog(folder / "data" / "log")
    try:
        yield log, served
    finally:
        await log.stop()


@asynccontextmanager
async def _on_kafka(
    deployment: Deployment, rankings: int
) -> AsyncIterator[tuple[EventLog, Served]]:
    """A replica decides, two workers fold."""
    async with deployment:
        api, *workers = deployment.api("api"), deployment.worker("one"), deployment.worker("two")
        for process in (api, *workers):
            await asyncio.to_thread(process.ready)
        served = await _drive(api.url, rankings)
        await deployment.stop()
        yield deployment.log, served


def _serve(folder: Path, rankings: int) -> Served:
    (folder / "freshet.toml").write_text(f'surfaces = "{SURFACES}"\n')
    with serving(folder / "data") as (_, url):
        return asyncio.run(_drive(url, rankings))


async def _drive(url: str, rankings: int) -> Served:
    """Half of the traffic before a model is promoted, half after that."""
    served = await drive(url, rankings // 2, seed=7)
    async with aiohttp.ClientSession(url, raise_for_status=True) as http:
        model = model_for(marketplace, 1)
        body = msgspec.json.encode(model)
        await http.post("/v1/models", data=body)
        promotion = {"by": "a test", "why": "to be run again"}
        await http.post(f"/v1/models/{model.id}/promote", json=promotion)
    more = await drive(url, rankings // 2, seed=8)
    served.shown |= more.shown
    served.caught_up += more.caught_up
    return served


def _are_those_served(decisions: list[Decision], served: Served) -> None:
    """Stopped in good order, the log has every page, in sequence, as it was answered."""
    shown = {
        decision.id: [decision.candidates[place.candidate] for place in decision.shown]
        for decision in decisions
    }
    assert shown == served.shown
    assert len({decision.process for decision in decisions}) == 1
    sequence = sorted(decision.sequence for decision in decisions)
    assert sequence == list(range(len(decisions)))


def _alone(folder: Path, found: list[bytes], models: list[bytes]) -> dict[str, Any]:
    """What a process says that is given the records, in a folder of its own."""
    alone = folder / "alone"
    alone.mkdir()
    for name, kept in (("decisions", found), ("models", models)):
        sized = [struct.pack("<I", len(record)) + record for record in kept]
        (alone / name).write_bytes(b"".join(sized))
    done = subprocess.run(
        [sys.executable, str(ALONE), "decisions", "models"],
        cwd=alone,
        env={**clean_environ(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _summary(decisions: list[Decision], served: Served, report: dict[str, Any]) -> dict[str, Any]:
    """What was shown: it has every kind of ranking and of drop in it."""
    dropped = Counter(reason for decision in decisions for reason in decision.dropped.values())
    surfaces = Counter(decision.surface.name for decision in decisions)
    merged = sum(any(read.merged for read in decision.rows) for decision in decisions)
    drawn = sum(decision.surface.temperature > 0 for decision in decisions)
    guaranteed = sum(
        reason.startswith("guarantee:")
        for decision in decisions
        for one in decision.shown
        for reason in one.reasons
    )
    pages = sum(bool(decision.shown_before) for decision in decisions)
    assert dropped.keys() >= {
        *("blocked", "capped", "deleted", "disliked", "filtered"),
        *("out_of_stock", "rule:no c1", "seen", "shown_before"),
    }
    assert min(surfaces.values()) > len(decisions) // 12
    assert min(merged, drawn, pages, served.caught_up) > len(decisions) // 24
    assert guaranteed
    return {
        "decisions_rerun": {
            "decisions": len(decisions),
            "candidates": sum(len(decision.candidates) for decision in decisions),
            "rerun_the_same": report["records"],
            "bits_flipped": report["flips"],
            "bits_noticed": report["noticed"],
            "vectors_folded_again_the_same": len(decisions),
            "drawn_by_softmax": drawn,
            "places_guaranteed": guaranteed,
            "of_linked_visitors": merged,
            "later_pages": pages,
            "dropped": dict(sorted(dropped.items())),
        }
    }
