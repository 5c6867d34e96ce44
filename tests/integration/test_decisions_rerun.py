"""Decisions that a server made: run again elsewhere, and held against the log, bit for bit."""

import asyncio
import json
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from eventlog.embedded import EmbeddedLog
from personalization.decisions import DECISIONS as DECISION
from personalization.decisions import Decision
from personalization.presets.marketplace import marketplace
from personalization.ranking.parity import audit
from tables.decision_rows import rows_of
from tables.topics import DECISIONS
from tests.integration.decision_traffic import Served, drive
from tests.logs import topic_records
from tests.processes import clean_environ, serving

ALONE = Path(__file__).parent / "rerun_decisions.py"
ROOT = ALONE.parent.parent.parent
SURFACES = "tests.integration.decision_traffic:SURFACES"


@pytest.mark.parametrize(
    "rankings", [1_200, pytest.param(5_000, marks=pytest.mark.long)], ids=["some", "many"]
)
async def test_decisions_run_again_to_the_same_bits(tmp_path: Path, rankings: int) -> None:
    """A server decides among events, new items and sign-ups, and is stopped.

    A process that has only the records runs each again: the same page. The rows that they read,
    folded again from the log at their offsets, give the same vectors.
    """
    served = await asyncio.to_thread(_serve, tmp_path, rankings)
    log = EmbeddedLog(tmp_path / "data" / "log")
    try:
        found = [record.value or b"" for record in await topic_records(log, DECISIONS)]
        decisions = [DECISION.decode(record) for record in found]
        _are_those_served(decisions, served)

        report = _alone(tmp_path, found)
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
    finally:
        await log.stop()


def _serve(folder: Path, rankings: int) -> Served:
    (folder / "freshet.toml").write_text(f'surfaces = "{SURFACES}"\n')
    with serving(folder / "data") as (_, url):
        return asyncio.run(drive(url, rankings, seed=7))


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


def _alone(folder: Path, found: list[bytes]) -> dict[str, Any]:
    """What a process says that is given the records, in a folder of its own."""
    alone = folder / "alone"
    alone.mkdir()
    file = alone / "decisions"
    file.write_bytes(b"".join(struct.pack("<I", len(record)) + record for record in found))
    done = subprocess.run(
        [sys.executable, str(ALONE), file.name],
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
    pages = sum(bool(decision.shown_before) for decision in decisions)
    assert dropped.keys() >= {
        *("blocked", "capped", "deleted", "disliked", "filtered"),
        *("out_of_stock", "rule:no c1", "seen", "shown_before"),
    }
    assert min(surfaces.values()) > 100
    assert min(merged, drawn, pages, served.caught_up) > 50
    return {
        "decisions_rerun": {
            "decisions": len(decisions),
            "candidates": sum(len(decision.candidates) for decision in decisions),
            "rerun_the_same": report["records"],
            "bits_flipped": report["flips"],
            "bits_noticed": report["noticed"],
            "vectors_folded_again_the_same": len(decisions),
            "drawn_by_softmax": drawn,
            "of_linked_visitors": merged,
            "later_pages": pages,
            "dropped": dict(sorted(dropped.items())),
        }
    }
