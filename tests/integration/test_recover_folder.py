"""What is derived may be lost: tables come back from changelogs, both from the entity topics."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from freshet.importers.checkpoint import Checkpoint
from freshet.importers.online_retail import OnlineRetail
from freshet.importers.run import run
from freshet.importers.to_data import ToData
from freshet.settings import Settings
from freshet.state import APP_ID, REPLICAS, TABLES_FOLDER, State, drop_tables
from personalization.presets.marketplace import marketplace
from tables.topics import TABLES, changelog_topic
from tests.baskets import some_retail
from tests.one_pass import Tables, one_pass, tables_of

SETTINGS = Settings(partitions=4)
LINES = 800


class Seen:
    """The progress that was shown, by stage: (done, total) of each report."""

    def __init__(self) -> None:
        self.stages: dict[str, list[tuple[int, int]]] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.stages.setdefault(stage, []).append((done, total))


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    """A data folder with an import in it."""
    settings = Settings(partitions=4, data=tmp_path / "data")
    source = tmp_path / "retail.csv.gz"
    some_retail(source, LINES, seed=1)
    retail = OnlineRetail(source)
    state = await State.open(settings)
    try:
        await state.recover(Seen())
        checkpoint = Checkpoint(tmp_path / "checkpoint", retail.digest)
        summary = await run(retail, ToData(state), checkpoint, lambda done, total: None)
    finally:
        await state.close()
    assert summary.lines == LINES
    return settings


async def recovered(settings: Settings, seen: Seen) -> Tables:
    """The tables after a start."""
    state = await State.open(settings)
    try:
        await state.recover(seen)
        tables = tables_of(state.store)
        assert tables == await one_pass(state.log, state.plan)
        return tables
    finally:
        await state.close()


async def without_changelogs(settings: Settings, tables: int = len(TABLES)) -> None:
    """Delete the tables' folder and the changelogs of the first ``tables``."""
    shutil.rmtree(settings.data / TABLES_FOLDER)
    state = await State.open(settings)
    for table in TABLES[:tables]:
        await state.log.delete_topic(changelog_topic(APP_ID, table, state.plan.state_id))
    await state.close()
    shutil.rmtree(settings.data / TABLES_FOLDER)


async def test_tables_come_back_from_their_changelogs(settings: Settings) -> None:
    """Delete the tables' folder: the same rows, with progress shown, and nothing folded."""
    before = await recovered(settings, Seen())
    shutil.rmtree(settings.data / TABLES_FOLDER)
    seen = Seen()
    assert await recovered(settings, seen) == before
    assert list(seen.stages) == ["changelogs"]
    done, total = seen.stages["changelogs"][-1]
    assert done == total > 0


@pytest.mark.parametrize("lost", [1, 3, len(TABLES)])
async def test_tables_come_back_from_the_entity_topics(settings: Settings, lost: int) -> None:
    """Delete the tables and some or all of the changelogs: the same rows, with progress shown."""
    before = await recovered(settings, Seen())
    await without_changelogs(settings, lost)
    seen = Seen()
    assert await recovered(settings, seen) == before
    done, total = seen.stages["entity topics"][-1]
    assert done == total > 0


async def test_a_second_start_has_nothing_to_do(settings: Settings) -> None:
    """What is recovered stays recovered."""
    await without_changelogs(settings)
    await recovered(settings, Seen())
    seen = Seen()
    await recovered(settings, seen)
    assert seen.stages == {}


async def test_the_agents_go_on_behind_what_is_recovered(settings: Settings) -> None:
    """Their group has committed exactly what the tables have read."""
    state = await State.open(settings)
    try:
        await state.recover(Seen())
        committed = state.log.committed(APP_ID)
        for tp, offset in state.bulk.read_offsets().items():
            assert committed[tp] == offset == state.log.end_offset(tp)
    finally:
        await state.close()


class Killed(Exception):
    """Stands for kill -9."""


async def test_a_rebuild_killed_anywhere_goes_on_at_the_next_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables are dropped, changelogs are dropped one by one, rows are made: no moment loses any."""
    before = await recovered(settings, Seen())
    (settings.data / REPLICAS).mkdir()
    dropped = 0
    while dropped < len(TABLES):
        _die_after(monkeypatch, dropped)
        with pytest.raises(Killed):
            await drop_tables(settings)
        monkeypatch.undo()
        assert await recovered(settings, Seen()) == before
        dropped += 1
    await drop_tables(settings)
    assert not (settings.data / REPLICAS).exists()
    assert await recovered(settings, Seen()) == before


def _die_after(monkeypatch: pytest.MonkeyPatch, topics: int) -> None:
    from eventlog.embedded import EmbeddedLog

    delete: Callable[..., object] = EmbeddedLog.delete_topic
    left = topics

    async def delete_topic(self: EmbeddedLog, topic: str) -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        await delete(self, topic)  # type: ignore[misc]

    monkeypatch.setattr(EmbeddedLog, "delete_topic", delete_topic)


async def test_another_spec_has_tables_of_its_own(settings: Settings, tmp_path: Path) -> None:
    """A new spec's tables are made from the same log beside the old ones, which stay."""
    before = await recovered(settings, Seen())
    module = tmp_path / "another_spec_of_this_test.py"
    module.write_text(
        "from personalization.features.popularity import Popularity\n"
        "from personalization.spec import Event, Spec\n"
        "spec = Spec(events=[Event('purchase', weight=1)], item=[],"
        " features=[Popularity()])\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.syspath_prepend(str(tmp_path))
        other = await State.open(
            Settings(partitions=4, data=settings.data, spec=f"{module.stem}:spec")
        )
    try:
        assert other.plan.state_id != marketplace.plan.state_id
        await other.recover(Seen())
        assert tables_of(other.store) == await one_pass(other.log, other.plan)
    finally:
        await other.close()
    seen = Seen()
    assert await recovered(settings, seen) == before
    assert seen.stages == {}
