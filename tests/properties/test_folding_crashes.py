"""Crashes between any two steps of the write order, and cuts anywhere: the same rows."""

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tables.recovery import recover
from tables.topics import CATALOGUE, SIGNALS, VISITOR_EVENTS
from tests.kafka_broker import Cluster
from tests.logs import EmbeddedHome, Home, KafkaHome
from tests.seeds import seeds
from tests.streams import (
    APP_ID,
    LiveRun,
    appended,
    clean_pass,
    count_naively,
    counted,
    everything,
    new_bulk,
    open_log,
    open_store,
    random_catalogue,
    random_events,
)

TOPICS = (VISITOR_EVENTS, SIGNALS, CATALOGUE)


class Crash(Exception):
    """The process is gone."""


class Fuse:
    """Burns down a step at a time; every write step is counted before and after it."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def burn(self) -> None:
        self.steps -= 1
        if self.steps == 0:
            raise Crash


class Fragile:
    """A log or a store, whose ``append`` and ``write`` burn the fuse.

    With ``chance`` an append may also end in its middle, as where a log cuts what is large.
    """

    whole_bytes = 0

    def __init__(self, inner: Any, fuse: Fuse, chance: random.Random | None = None) -> None:
        self._inner = inner
        self._fuse = fuse
        self._chance = chance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def append(self, batches: Any) -> Any:
        try:
            self._fuse.burn()
        except Crash:
            if self._chance is not None:
                await self._inner.append(
                    {
                        tp: entries[: self._chance.randrange(len(entries))]
                        for tp, entries in batches.items()
                    }
                )
            raise
        lasts = await self._inner.append(batches)
        self._fuse.burn()
        return lasts

    async def write(self, writes: Any) -> None:
        self._fuse.burn()
        await self._inner.write(writes)
        self._fuse.burn()


async def live_with_crashes(
    seed: int, crashes: list[int], cuts: list[int], home: Home | None = None
) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        log = await open_log(home or EmbeddedHome(path), "clean")
        store = open_store(path / "tables")
        committed: dict[Any, int] = {}
        events = random_events(chance, 60)
        left = list(crashes)
        for first in (0, 30):
            await log.append(appended(events[first : first + 30], random_catalogue(chance, 5)))
            finished = False
            while not finished:
                fuse = Fuse(left.pop()) if left else Fuse(-1)
                await recover(log, store, app_id=APP_ID)
                run = LiveRun(Fragile(log, fuse, chance), Fragile(store, fuse), committed)
                idle = 0
                try:
                    while idle < 20:
                        took = await run.step(chance.choice(TOPICS), chance.choice(cuts))
                        idle = 0 if took else idle + 1
                    finished = True
                except Crash:
                    continue
        for topic in TOPICS:  # what chance left over
            run = LiveRun(log, store, committed)
            while await run.step(topic, 50):
                pass
        clean = await clean_pass(log, path / "clean", "clean")
        assert everything(store) == everything(clean)
        recovered = open_store(path / "recovered")
        await recover(log, recovered, app_id=APP_ID)
        assert everything(recovered) == everything(clean)
        recovered.close()
        assert counted(store, "items") == count_naively(events, "items")
        assert counted(store, "visitors") == count_naively(events, "visitors")
        store.close()
        clean.close()
        await log.stop()


@settings(max_examples=30)
@given(
    st.integers(0, 1 << 32),
    st.lists(st.integers(1, 14), max_size=6),
    st.lists(st.integers(1, 20), min_size=1, max_size=4),
)
def test_crashes_between_any_steps_change_no_row(
    seed: int, crashes: list[int], cuts: list[int]
) -> None:
    """Live folding, killed before, within or after any write and resumed, equals one clean pass
    over the log byte for byte, watermarks too; so do the changelogs. It counts what a naive count
    counts."""
    asyncio.run(live_with_crashes(seed, crashes, cuts))


async def bulk_with_crashes(seed: int, crashes: list[int], home: Home | None = None) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        log = await open_log(home or EmbeddedHome(path), "clean")
        store = open_store(path / "tables")
        events = random_events(chance, 60)
        left = list(crashes)
        for first in (0, 30):
            await log.append(appended(events[first : first + 30], random_catalogue(chance, 5)))
            while True:
                fuse = Fuse(left.pop()) if left else Fuse(-1)
                await recover(log, store, app_id=APP_ID)
                try:
                    fragile = Fragile(log, fuse, chance)
                    await new_bulk(fragile, Fragile(store, fuse)).catch_up()
                    break
                except Crash:
                    continue
        clean = await clean_pass(log, path / "clean", "clean")
        assert everything(store) == everything(clean)
        assert counted(store, "items") == count_naively(events, "items")
        store.close()
        clean.close()
        await log.stop()


@settings(max_examples=20)
@given(st.integers(0, 1 << 32), st.lists(st.integers(1, 12), max_size=6))
def test_bulk_folding_goes_on_where_it_was_killed(seed: int, crashes: list[int]) -> None:
    """Bulk folding, killed before, within or after any write, ends with a clean pass's rows."""
    asyncio.run(bulk_with_crashes(seed, crashes))


@pytest.mark.kafka
@pytest.mark.parametrize("seed", seeds(12))
async def test_crashes_on_kafka_change_no_row(
    tmp_path: Path, broker: Cluster, prefix: str, seed: int
) -> None:
    """The same of folding there, live for every other seed and in bulk for the rest; it is too slow
    there for as many examples."""
    home, drawn = KafkaHome(tmp_path, broker, prefix), random.Random(seed)
    if seed % 2:
        await bulk_with_crashes(seed, drawn.choices(range(1, 13), k=6), home)
    else:
        cuts = drawn.choices(range(1, 21), k=4)
        await live_with_crashes(seed, drawn.choices(range(1, 15), k=6), cuts, home)
    await home.close()
