"""Nothing that came later is in an example."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalization.decisions import scored_of, vectors_of
from personalization.replaying.world import World
from personalization.training.examples import Examples, forward
from personalization.training.exposures import Exposures
from personalization.training.labels import outcomes
from personalization.training.lists import Lists
from personalization.training.replayed import Replayed
from personalization.training.served import Served
from tests.training_shop import SPEC, START, Traffic, traffic

TOLD = traffic(1, 120)


def joined(told: Traffic, *, replay: bool) -> Examples:
    """Examples of ``told``, as ``freshet train`` makes them."""
    labels = outcomes(SPEC, "pointwise")
    exposures, lists = Exposures(labels), Lists()
    if replay:
        replayed = Replayed(World(SPEC), exposures, lists, since=0, labels={}, wanted=[], seed=1)
        for record in told.records:
            replayed.take(record)
    else:
        for event in told.events:
            exposures.add(event)
    served = Served(exposures, lists, SPEC.feature_set_id, window=0 if replay else 600_000)
    for decision in told.decisions:
        served.take(decision)
    return lists.examples()


@pytest.mark.parametrize("replay", [True, False])
@given(page=st.integers(20, 110), seed=st.integers(0, 9))
@settings(max_examples=8, deadline=None)
def test_what_comes_later_changes_no_example(replay: bool, page: int, seed: int) -> None:
    """With all that happens after a moment shuffled, or gone, examples before it have the same
    bits."""
    cut = START + 1_000 * page
    random = np.random.default_rng(seed)
    before = [one for one in TOLD.records if one.at < cut]
    after = [one for one in TOLD.records if one.at >= cut]
    decided = [one for one in TOLD.decisions if one.at < cut]
    whole = joined(TOLD, replay=replay)
    kept = int(np.searchsorted(whole.at, cut))
    whole = whole.part(0, kept)
    for later in ([], [after[place] for place in random.permutation(len(after))]):
        others = [one for one in TOLD.decisions if one.at >= cut] if later else []
        told = Traffic([*before, *later], [*others, *decided])
        part = joined(told, replay=replay)
        part = part.part(0, int(np.searchsorted(part.at, cut)))
        assert part.matrix.tobytes() == whole.matrix.tobytes()
        # Shuffled, a later click may follow an earlier page: that is its label, not a feature.
        assert later or part.labels.tolist() == whole.labels.tolist()
        assert part.at.tolist() == whole.at.tolist()


def test_a_served_page_has_the_very_vectors_that_were_scored() -> None:
    """Row by row the bits of the decision, whatever was folded since."""
    examples = joined(Traffic([*TOLD.events], TOLD.decisions), replay=False)
    known = {
        vector.tobytes()
        for decision in TOLD.decisions
        for vector in vectors_of(decision)[list(scored_of(decision))]
    }
    assert all(row.tobytes() in known for row in examples.matrix)


def test_parts_follow_each_other_in_time() -> None:
    """No fit sees a page as new as the oldest that it is stopped by or judged on."""
    examples = joined(TOLD, replay=True)
    splits = forward(examples)
    assert len(splits) == 3
    reported = 0
    for split in splits:
        assert split.train.at[-1] < split.stop.at[0]
        if len(split.report):
            assert split.stop.at[-1] < split.report.at[0]
        reported += len(split.report)
    assert len(splits[-1].report) == 0
    assert reported >= 0.45 * len(examples)
