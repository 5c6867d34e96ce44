"""Running an import: batches in order, a checkpoint after each, a summary of everything."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from freshet.importers.checkpoint import (
    Checkpoint,
    CheckpointError,
    Done,
    beside_data,
    of_server,
)
from freshet.importers.run import MOST_REASONS, OTHER, ImportStopped, Summary, run
from freshet.importers.source import Read
from personalization.wire import Line


class Numbers:
    """A source of ``size`` lines; every tenth is skipped."""

    digest = "0123456789ab"

    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Iterator[Read]:
        for number in range(self.size):
            if number % 10 == 9:
                yield Read([], "tenth")
            else:
                yield Read([Line("view", visitor="v", item=str(number))])


class Kept:
    """A sink that keeps what it is sent, refuses some, and stops where it is told to."""

    batch = 7

    def __init__(self, stop_at: int | None = None, refuse: str | None = None) -> None:
        self.items: list[str] = []
        self.resumed: list[str | None] = []
        self.stop_at = stop_at
        self._refuse = refuse

    async def resume(self, token: str | None) -> None:
        self.resumed.append(token)

    async def send(self, lines: Sequence[Line]) -> tuple[list[str | None], str | None]:
        if self.stop_at is not None and len(self.items) >= self.stop_at:
            raise ImportStopped("told to")
        items = [line.item or "" for line in lines]
        self.items += items
        return [self._refuse if item.endswith("3") else None for item in items], "token"


def nobody(done: int, total: int) -> None:
    pass


def checkpoint(tmp_path: Path) -> Checkpoint:
    return Checkpoint(tmp_path / "state" / "c.json", Numbers.digest)


async def test_everything_is_sent_once_and_in_order(tmp_path: Path) -> None:
    """The summary says how many lines there were, and what became of them."""
    sink, reports = Kept(refuse="item: odd"), []
    summary = await run(
        Numbers(100), sink, checkpoint(tmp_path), lambda *told: reports.append(told)
    )
    assert sink.items == [str(n) for n in range(100) if n % 10 != 9]
    assert isinstance(summary, Summary)
    assert (summary.lines, summary.taken) == (100, 80)
    assert summary.skipped == {"item: odd": 10, "tenth": 10}
    assert summary.events_per_s > 0
    assert reports[0] == (0, 100)
    assert reports[-1] == (100, 100)


async def test_an_import_that_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    """What is acknowledged is not sent again; counts go on."""
    sink = Kept(stop_at=40)
    with pytest.raises(ImportStopped):
        await run(Numbers(100), sink, checkpoint(tmp_path), nobody)
    sink.stop_at = None
    summary = await run(Numbers(100), sink, checkpoint(tmp_path), nobody)
    assert sink.items == [str(n) for n in range(100) if n % 10 != 9]
    assert (summary.lines, summary.taken, summary.skipped) == (100, 90, {"tenth": 10})
    assert sink.resumed == ["token"]


async def test_an_import_that_ended_sends_nothing_again(tmp_path: Path) -> None:
    """Running it twice says what the first run did."""
    sink = Kept()
    await run(Numbers(30), sink, checkpoint(tmp_path), nobody)
    sent = list(sink.items)
    summary = await run(Numbers(30), sink, checkpoint(tmp_path), nobody)
    assert sink.items == sent
    assert (summary.lines, summary.taken, summary.events_per_s) == (30, 27, 0)


async def test_reasons_are_bounded(tmp_path: Path) -> None:
    """A file of nonsense does not make a summary of a million lines."""

    class Nonsense:
        digest, size, batch = Numbers.digest, 200, 50

        def __iter__(self) -> Iterator[Read]:
            return (Read([], f"reason {number}") for number in range(200))

    summary = await run(Nonsense(), Kept(), checkpoint(tmp_path), nobody)
    assert len(summary.skipped) == MOST_REASONS + 1
    assert summary.skipped[OTHER] == 200 - MOST_REASONS


def test_a_checkpoint_is_its_inputs_own(tmp_path: Path) -> None:
    """Another file's, or a damaged one, is refused and not overwritten."""
    mine = checkpoint(tmp_path)
    assert mine.load() == Done(Numbers.digest)
    mine.save(Done(Numbers.digest, 5, 4, {"tenth": 1}, "token"))
    assert mine.load() == Done(Numbers.digest, 5, 4, {"tenth": 1}, "token")
    with pytest.raises(CheckpointError, match="another input"):
        Checkpoint(mine.path, "ba9876543210").load()
    mine.path.write_text("{")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        mine.load()
    mine.forget()
    mine.forget()
    assert mine.load() == Done(Numbers.digest)


def test_checkpoints_lie_with_the_data_or_in_the_users_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleting the data forgets imports into it; two servers do not share one."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert beside_data(tmp_path / "data", "d").parent == tmp_path / "data" / "imports"
    one, two = of_server("http://a", "d"), of_server("http://b", "d")
    assert one != two
    assert one.parent == tmp_path / "freshet" / "imports"
