"""An evaluation by several processes finds what one would, and fails if one of them does."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import parent_process
from pathlib import Path

import pytest

from freshet.evaluation import run
from freshet.evaluation.feed import Feed
from freshet.evaluation.run import Evaluation, Request, evaluate
from freshet.evaluation.survey import ProtocolName
from personalization.evaluation.prequential import Turn
from personalization.ranking.surface import default_surface
from tests.replays import shop_log, write_file


class Failing(Feed):
    """A file that another process than the first cannot read to its end."""

    def __iter__(self) -> Iterator[Turn]:
        for number, turn in enumerate(super().__iter__()):
            if number == 100 and parent_process() is not None:
                raise OSError("the disk is gone")
            yield turn


class Killing(Feed):
    """A file whose reading ends another process than the first."""

    def __iter__(self) -> Iterator[Turn]:
        for number, turn in enumerate(super().__iter__()):
            if number == 100 and parent_process() is not None:
                os.kill(os.getpid(), signal.SIGKILL)
            yield turn


@pytest.fixture
def shop_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixty days of a small shop; several processes are thought worth it."""
    monkeypatch.setattr(run, "_WORTH_IT", 0)
    return write_file(tmp_path, shop_log(60, visitors=16))


MARKETPLACE = "personalization.presets.marketplace:marketplace"
NESTED = """
from personalization.features.age import Age
from personalization.spec import Event, Spec


def declared():
    events = [Event("impression"), Event("click", weight=1.0), Event("purchase", weight=5.0)]
    spec = Spec(events=events, item=[], features=[Age("item")])

    @spec.feature
    def twice(item_age):
        return 2 * item_age

    return spec


spec = declared()
"""


def evaluated(
    feed: Feed, name: ProtocolName, processes: int, *, learn: bool = False, spec: str = MARKETPLACE
) -> Evaluation:
    request = Request(name, "20d", learn=learn, resamples=50, processes=processes)
    return evaluate(feed, spec, default_surface(), request, lambda *_: None)


@pytest.mark.parametrize("name", ["next_item", "basket", "list"])
def test_two_find_what_one_would(shop_file: Path, name: ProtocolName) -> None:
    """Every arm, cohort and metric, with its interval; and what it cost."""
    one, two = (evaluated(Feed("jsonl", shop_file, 1), name, several) for several in (1, 2))
    assert len(one.cells) > 30
    for alone, merged in zip(one.cells, two.cells, strict=True):
        assert alone[:4] == merged[:4]
        assert merged.value == pytest.approx(alone.value)
        assert merged.ahead == (None if alone.ahead is None else pytest.approx(alone.ahead))
    assert (two.cost, two.events, two.rejected) == (one.cost, one.events, one.rejected)


def test_they_learn_from_the_examples_of_all(shop_file: Path) -> None:
    """As often as one does, and from as much: the rankings are about as good."""
    one, two = (
        evaluated(Feed("jsonl", shop_file, 1), "list", several, learn=True) for several in (1, 2)
    )
    assert two.fits == one.fits > 0
    for alone, merged in zip(one.cells, two.cells, strict=True):
        assert alone[:4] == merged[:4]
        if alone.arm in ("popularity", "recent", "frequent", "knn"):
            assert merged.value == pytest.approx(alone.value)
        elif alone[:4] == ("realtime", "all", alone.n, "mrr"):
            assert merged.value[0] == pytest.approx(alone.value[0], abs=0.1)


def test_a_spec_may_hold_what_cannot_be_sent(
    shop_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Functions within functions: every process imports the spec by its name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nested_spec.py").write_text(NESTED)
    spec = "nested_spec:spec"
    one, two = (evaluated(Feed("jsonl", shop_file, 1), "list", n, spec=spec) for n in (1, 2))
    assert two.cells[-1].value == pytest.approx(one.cells[-1].value)


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize(
    ("kind", "error"), [(Failing, OSError), (Killing, BrokenProcessPool)], ids=["fails", "dies"]
)
def test_a_process_that_ends_early_ends_all(
    shop_file: Path, kind: type[Feed], error: type[Exception], learn: bool
) -> None:
    """With its own error, whether or not the others wait for it to learn."""
    with pytest.raises(error):
        evaluated(kind("jsonl", shop_file, 1), "list", 2, learn=learn)
