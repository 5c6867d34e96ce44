"""``freshet ledger``: what it says is what a recount of the log says."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from eventlog.embedded import EmbeddedLog
from eventlog.partitioner import partition_for
from eventlog.protocol import Entry, TopicPartition
from freshet.cli import main
from freshet.ledger import ledger_of, summary
from freshet.state import APP_ID, LOG
from personalization.decisions import DECISIONS as DECISION
from personalization.decisions import pack
from personalization.ledger import Ledger
from tables.topics import (
    CATALOGUE,
    CATALOGUE_RECORD,
    DECISIONS,
    VISITOR_EVENT,
    VISITOR_EVENTS,
    topics,
)
from tests.guarantee_simulation import MINUTE, PROMISE, SPEC, Run, Simulation
from tests.integration.plain_ledger import recount
from tests.logs import topic_records

PARTITIONS = 2
SIMULATED = "tests.guarantee_simulation:"


async def write(folder: Path, run: Run) -> None:
    """A data folder's log of all that happened; each tenth event was sent twice."""
    log = EmbeddedLog(folder / LOG)
    await log.create_topics(topics(APP_ID, SPEC.plan.state_id, PARTITIONS, 86_400_000))
    entries: list[tuple[str, str, bytes, int]] = []
    for record in run.catalogue:
        key = f"{record.kind}:{record.id}"
        entries.append((CATALOGUE, key, CATALOGUE_RECORD.encode(record), record.at))
    for number, event in enumerate(run.events):
        entry = (VISITOR_EVENTS, event.visitor, VISITOR_EVENT.encode(event), event.at)
        entries += [entry] * (2 if number % 10 == 0 else 1)
    for decision in run.decisions:
        value = DECISION.encode(pack(decision))
        entries.append((DECISIONS, decision.id, value, decision.at))
    for topic, key, value, at in entries:
        tp = TopicPartition(topic, partition_for(key.encode(), PARTITIONS))
        await log.append({tp: [Entry(key.encode(), value, at)]})
    await log.stop()


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """More than there are places for: some have all in time, some late, some wait."""
    folder = tmp_path_factory.mktemp("ledger")
    run = Simulation(1, 2.0, 5.0)()
    asyncio.run(write(folder, run))
    return folder, run


def command(folder: Path, *more: str) -> str:
    found = CliRunner().invoke(
        main,
        [
            *("ledger", "--data", str(folder), "--window", "36500d", *more),
            *("--spec", f"{SIMULATED}SPEC", "--surfaces", f"{SIMULATED}SURFACES"),
        ],
    )
    assert found.exit_code == 0, found.output
    return found.stdout


async def test_the_ledger_is_a_recount_of_the_log(simulated: tuple[Path, Run]) -> None:
    """Of each new item and seller: listed when, seen how often, the last that was owed when, in
    how many of the guarantee's places, at what cost; and who waits, for how long."""
    folder, run = simulated
    log = EmbeddedLog(folder / LOG, read_only=True)
    ledger = await ledger_of(log, "default", PROMISE, SPEC.plan, 0, lambda *_: None)
    raw = [
        [record.value or b"" for record in await topic_records(log, topic)]
        for topic in (CATALOGUE, VISITOR_EVENTS, DECISIONS)
    ]
    await log.stop()
    entries = ledger.entries(run.ended)
    plain = recount(raw[0], raw[1], raw[2], PROMISE.impressions)
    assert {(one.kind, one.id) for one in entries} == plain.keys()
    for one in entries:
        listed_at, impressions, enough_at, places, cost = plain[one.kind, one.id]
        assert (one.listed_at, one.impressions) == (listed_at, impressions)
        assert (one.enough_at, one.places) == (enough_at, places)
        assert one.cost == pytest.approx(cost, abs=1e-9)
        waited = (run.ended if enough_at is None else enough_at) - listed_at
        assert one.waited == waited
        if enough_at is None:
            assert one.state == "waiting"
        else:
            assert one.state == ("kept" if waited <= 2 * MINUTE else "late")
    told = summary(entries)
    assert ledger.unexplained == 0
    assert min(told["kept"], told["late"], told["waiting"]) > 0
    assert told["new"] == told["kept"] + told["late"] + told["waiting"]
    assert told["places"] > 100
    assert told["cost"] > 0.0


def test_the_command_prints_it(simulated: tuple[Path, Run]) -> None:
    """As JSON for programs, as a table for people."""
    told: dict[str, Any] = json.loads(command(simulated[0], "--json"))
    assert told["guarantee"] == {"impressions": 10, "within": "2m", "every": 5}
    assert told["items"]["new"] + told["sellers"]["new"] == len(told["entries"])
    assert "cost in expected clicks" in command(simulated[0])


def test_what_is_gone_does_not_wait(simulated: tuple[Path, Run]) -> None:
    """Deleted before it had all: withdrawn. Much too late: given up."""
    _, run = simulated
    ledger = Ledger("default", PROMISE, SPEC.plan)
    for offset, record in enumerate(run.catalogue):
        ledger.listed(record, offset)
    ledger.happened(run.events[0])
    new = ledger.entries(run.ended)
    assert {entry.state for entry in new} == {"waiting"}
    assert {entry.state for entry in ledger.entries(run.ended + 60 * MINUTE)} == {"given_up"}


def test_a_surface_without_a_guarantee_has_no_ledger(simulated: tuple[Path, Run]) -> None:
    """It says so."""
    found = CliRunner().invoke(
        main, ["ledger", "--data", str(simulated[0]), "--surface", "similar"]
    )
    assert found.exit_code != 0
    assert "no surface 'similar' has a guarantee" in found.output
