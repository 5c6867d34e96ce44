"""The four protocols on logs small enough to work out by hand."""

import pytest

from personalization.evaluation.prequential import Schedule
from personalization.evaluation.split import DAY, Split
from tests.replays import START, replay, shop_log, turn

HOUR = 3_600_000
ALWAYS = (START, START + 100 * DAY)


def bought(visitor: str, item: str, at: int, session: str | None = None) -> object:
    return turn(type="purchase", visitor=visitor, item=item, at=at, session=session)


def listing(count: int) -> list[object]:
    return [turn(type="item", item=f"i{n}", at=START - DAY) for n in range(count)]


def test_next_item_predicts_before_the_event_and_leaves_the_session_out() -> None:
    """Three bought i0; the fourth buys i0 (first by popularity), then i1, which nobody had: it is
    first among the others by its slot. A repeat within the session is not tested."""
    log = [*listing(3)]
    log += [bought(f"v{n}", "i0", START + n * HOUR, "s") for n in range(3)]
    at = START + DAY
    log += [
        bought("w", "i0", at, "s"),
        bought("w", "i1", at + 1, "s"),
        bought("w", "i0", at + 2, "s"),
    ]
    done = replay(log, "next_item", Split(at, at + DAY), positives=["purchase"])  # type: ignore[arg-type]
    assert done.protocol.results.tested == 2
    assert done.value("popularity", "mrr") == 1.0
    assert done.value("popularity", "hr@10", "first_time_visitors") == 1.0
    assert done.value("popularity", "mrr", "zero_prior_events") == 1.0


def test_a_new_item_cannot_be_known_before_its_first_event() -> None:
    """An item that exists from its first purchase on is a miss for every arm, then known."""
    log = [*listing(1), bought("v", "new", START, "s"), bought("w", "new", START + 1, "s")]
    done = replay(log, "next_item", Split(*ALWAYS), positives=["purchase"])  # type: ignore[arg-type]
    assert done.protocol.results.tested == 2
    assert done.value("popularity", "hr@10") == 0.5
    assert done.value("nightly", "hr@10") == 0.0


def test_nightly_knows_yesterday_and_nightly_live_new_items_too() -> None:
    """An item that is listed today is a miss for the one and a candidate for the other."""
    log = [*listing(2), bought("v", "i0", START + HOUR, "s")]
    at = START + DAY + HOUR
    log += [turn(type="item", item="new", at=at), bought("v", "new", at + 1, "t")]
    done = replay(log, "next_item", Split(at, at + DAY), positives=["purchase"])  # type: ignore[arg-type]
    assert done.value("nightly", "hr@10") == 0.0
    assert done.value("nightly_live", "hr@10") == 1.0
    assert done.value("realtime", "hr@10") == 1.0
    assert done.value("realtime", "hr@10", "items_under_1_day") == 1.0


def test_nightly_ranks_as_realtime_did_at_midnight() -> None:
    """Asked at midnight, before anything of the day, both give the same scores."""
    log = [one for one in shop_log(days=10) if one.lines[0].at < START + 9 * DAY]  # type: ignore[operator]
    log.append(turn(type="click", visitor="v3", item="i4", at=START + 9 * DAY))
    done = replay(log, "next_item", Split(START + 9 * DAY, START + 10 * DAY))
    last = {arm: scores for _, arm, scores in done.predictions}
    assert last["nightly"] == last["realtime"]
    assert last["nightly"] == last["nightly_live"]


def test_a_basket_is_what_a_session_brings() -> None:
    """The customer had i0 and i1; the next basket holds i1 and i2: own items hit one of two, and
    only i2 is new. Who comes for the first time is not asked about."""
    log = [*listing(4), bought("v", "i0", START, "a"), bought("v", "i1", START + 1, "a")]
    at = START + 2 * DAY
    log += [bought("v", "i1", at, "b"), bought("v", "i2", at + 1, "b"), bought("w", "i3", at, "c")]
    done = replay(log, "basket", Split(at, at + DAY), positives=["purchase"])  # type: ignore[arg-type]
    assert done.protocol.results.tested == 1
    assert done.value("frequent", "hr@10") == 1.0
    # i1 is first (bought last, so more recent), i2 third; the best is first and second.
    assert done.value("frequent", "ndcg@10") == pytest.approx((1 + 0.5) / (1 + 1 / 1.584962501))
    assert done.value("frequent", "ndcg@10", "new_to_visitor") == 1.0


def test_a_list_counts_when_one_of_it_was_chosen_in_time() -> None:
    """An impression without a choice is left out, as is one chosen from too late."""
    log = [*listing(3), bought("u", "i2", START - HOUR, "x")]
    log += [
        turn(type="impression", visitor="v", items=["i0", "i1", "i2"], at=START),
        turn(type="click", visitor="v", item="i2", at=START + 1000),
        turn(type="impression", visitor="w", items=["i0", "i1"], at=START + 2000),
        turn(type="click", visitor="w", item="i0", at=START + HOUR),
    ]
    done = replay(log, "list", Split(START, START + DAY))  # type: ignore[arg-type]
    assert done.protocol.results.tested == 1
    assert done.value("popularity", "mrr") == 1.0


def test_pointwise_learns_of_every_exposure_and_its_outcome() -> None:
    """What others liked before is more probable; who was shown both is asked twice."""
    log = [*listing(2)]
    for n in range(8):
        at = START + n * HOUR
        log += [
            turn(type="impression", visitor=f"v{n}", items=["i0", "i1"], at=at),
            turn(type="click", visitor=f"v{n}", item="i1", at=at),
        ]
    done = replay(log, "pointwise", Split(START + 4 * HOUR, START + DAY))  # type: ignore[arg-type]
    assert done.protocol.results.tested == 8
    assert done.value("popularity", "auc") == 1.0
    assert done.value("knn", "auc") == 1.0
    assert done.value("popularity", "calibration") == pytest.approx(1.0, abs=0.1)


def test_a_share_is_the_last_events_of_each_part() -> None:
    """By count: the first half of every part is not tested."""
    split = Split(0, 1 << 62, {"a": 1, "b": 2})
    phases = [split.phase(at, part) for at, part in enumerate("abbabba")]
    assert phases == ["train", "train", "train", "test", "test", "test", "test"]


def test_what_is_learned_beats_the_formula_where_there_is_something_to_learn() -> None:
    """Visitors like every third item: a model finds that out from lists and their outcomes."""
    turns, split = shop_log(days=60, visitors=16), (START + 40 * DAY, START + 61 * DAY)
    learned = replay(turns, "list", Split(*split), Schedule(1.0))
    formula = replay(turns, "list", Split(*split))
    assert learned.run.fits == 3
    assert formula.run.fits == 0
    assert learned.value("realtime", "mrr") > 0.75


def test_cost_counts_what_was_scored_and_what_a_night_would_take() -> None:
    """Twelve visitors, fourteen items: every night for all of them, every decision for one."""
    done = replay(shop_log(days=20), "next_item", Split(START + 15 * DAY, START + 21 * DAY))
    report = done.cost.report(14)
    assert report["decisions"] == done.protocol.results.tested
    assert report["scored_pairs"] <= report["decisions"] * 14
    assert report["visitors"] == 12
    assert report["nightly_all_visitors_pairs"] == 12 * 14 * report["nights"]
    assert report["nightly_similar_profiles_pairs"] == 144 * report["nights"]
