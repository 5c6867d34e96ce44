"""No prediction knows what comes after it."""

import msgspec
import numpy as np
import pytest

from freshet.evaluation.survey import ProtocolName
from personalization.evaluation.prequential import Schedule, Turn
from personalization.evaluation.split import DAY, Split
from tests.replays import START, replay, shop_log

TURNS = shop_log(days=24)
SPLIT = START + 14 * DAY, START + 25 * DAY
SCHEDULE = Schedule(1.0, refit=4 * DAY)


def shuffled(turns: list[Turn], seed: int) -> list[Turn]:
    order = np.random.default_rng(seed).permutation(len(turns)).tolist()
    return [turns[place] for place in order]


def deleted(turns: list[Turn], seed: int) -> list[Turn]:
    keep = np.random.default_rng(seed).random(len(turns)) < 0.3
    return [turn for turn, kept in zip(turns, keep.tolist(), strict=True) if kept]


@pytest.mark.parametrize("name", ["next_item", "basket", "list", "pointwise"])
def test_what_comes_later_changes_no_prediction(
    name: ProtocolName,
) -> None:
    """With the times of the split held fixed, all arms predict the same bits before ``t``,
    whether what follows is shuffled, or most of it deleted: models were fitted in between."""
    whole = replay(TURNS, name, Split(*SPLIT), SCHEDULE)
    assert whole.run.fits > 1
    cut = len(TURNS) - 70
    before = whole.told[cut - 1]
    assert before > 100
    for change in (shuffled, deleted):
        other = replay(TURNS[:cut] + change(TURNS[cut:], 1), name, Split(*SPLIT), SCHEDULE)
        assert other.predictions[:before] == whole.predictions[:before], change
        assert other.predictions != whole.predictions, change


def test_final_totals_never_reach_a_feature() -> None:
    """An item's attributes that no declaration names, such as totals of votes, change nothing."""
    told = shop_log(days=20)
    for turn in told:
        for line in turn.lines:
            if line.type == "item":
                line.attributes = {**line.attributes, "agrees": 99.0, "disagrees": 1.0}
    split = START + 10 * DAY, START + 21 * DAY
    plain = replay(shop_log(days=20), "pointwise", Split(*split))
    totals = replay(told, "pointwise", Split(*split))
    assert totals.predictions == plain.predictions


def test_the_time_an_answer_took_is_not_asked_about() -> None:
    """Where an exposure is logged with its answer, a later answer changes no prediction of it."""
    turns = shop_log(days=12)
    last = max(place for place, turn in enumerate(turns) if turn.lines[0].type == "impression")
    (line,) = turns[last].lines
    assert isinstance(line.at, int)
    late = Turn([msgspec.structs.replace(line, at=line.at + 20_000)])
    split = START + 6 * DAY, START + 13 * DAY
    told = [
        replay(some, "pointwise", Split(*split), answered=True).predictions
        for some in (turns, [*turns[:last], late, *turns[last + 1 :]])
    ]
    assert told[0] == told[1]
