"""Properties of the rows: whatever comes, however often, in whatever order."""

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalization.codec import Codec
from personalization.decay import decay_factor
from personalization.duplicates import DuplicateWindow
from personalization.events import CatalogueRecord, Dimension, Signal, Stamp, StampedEvent
from personalization.plan import AffinityPlan, StatePlan
from personalization.signals import signals_of
from personalization.state import counters, topk
from personalization.state.bounds import worst_visitor_row
from personalization.state.catalogue import fold_catalogue
from personalization.state.item import fold_item
from personalization.state.rows import (
    CatalogueRow,
    ItemRow,
    SegmentRow,
    TopK,
    UserRow,
    VisitorRow,
)
from personalization.state.segment import fold_segment
from personalization.state.user import fold_user
from personalization.state.visitor import fold_visitor
from personalization.state.visitors import merge_visitors

HOUR, DAY = 3_600_000, 86_400_000
START = 1_795_428_000_000
MAPS = [("category", False), ("brand", False), ("seller", False), ("tags", False)]

PLAN = StatePlan(
    events=("impression", "view", "click", "cart", "purchase", "dislike"),
    weights=(0.0, 1.0, 2.0, 3.0, 8.0, -4.0),
    half_lives=(HOUR, DAY, 30 * DAY),
    categories=("category", "brand"),
    numbers=("price",),
    flags=("in_stock",),
    tags=("tags",),
    segments=("global", "category", "brand", "seller*category", "seller*brand"),
    affinities=(
        *(AffinityPlan(name, by, 30 * DAY, 16) for name, by in MAPS),
        AffinityPlan("category", True, 30 * DAY, 32),
    ),
)
SMALL = StatePlan(
    events=("view", "dislike"),
    weights=(1.0, -4.0),
    half_lives=(HOUR, DAY),
    categories=("category",),
    numbers=("price",),
    flags=(),
    tags=("tags",),
    segments=("global", "seller*category"),
    affinities=(
        AffinityPlan("category", False, DAY, 2),
        AffinityPlan("tags", True, HOUR, 3),
    ),
    last_items=4,
    covisits=3,
    session_size=2,
    linked_visitors=3,
)
VISITORS = Codec(VisitorRow)

names = st.sampled_from(["a", "b", "c", "d", "e", "é|", "x" * 128])
times = st.integers(START, START + 3 * DAY)


@st.composite
def stamps(draw: st.DrawFn) -> Stamp:
    attributes: dict[str, Dimension] = {}
    if draw(st.booleans()):
        attributes["category"] = draw(names)
        attributes["price"] = draw(st.floats(0, 1e9))
        attributes["tags"] = list(dict.fromkeys(draw(st.lists(names, max_size=3))))
    return Stamp(draw(names), draw(st.none() | names), attributes)


@st.composite
def interactions(draw: st.DrawFn, plan: StatePlan = SMALL) -> StampedEvent:
    items = draw(st.lists(stamps(), max_size=3, unique_by=lambda stamp: stamp.item))
    return StampedEvent(
        draw(st.sampled_from(plan.events)),
        "v1",
        draw(times),
        items,
        session=draw(st.none() | st.sampled_from(["s1", "s2"])),
        utc_offset=draw(st.sampled_from([-300, 0, 330])),
    )


links = st.builds(
    StampedEvent,
    st.sampled_from(["identify", "unlink", "served"]),
    st.just("v1"),
    times,
    user=st.sampled_from(["u1", "u2"]),
)
streams = st.lists(interactions() | links, min_size=1, max_size=12)


def folded(events: Sequence[StampedEvent], first: int = 0) -> VisitorRow:
    row: VisitorRow | None = None
    for offset, event in enumerate(events, first):
        row = fold_visitor(row, event, offset, SMALL)
    assert row is not None
    return row


@given(streams, st.data())
def test_redelivery_and_restarts_change_no_byte_of_a_visitor(
    events: list[StampedEvent], data: st.DataObject
) -> None:
    """A stream cut anywhere, continued from the stored bytes and from any earlier record, ends in
    the row and the signals of one clean pass."""
    clean: VisitorRow | None = None
    expected = []
    for offset, event in enumerate(events):
        expected.append(signals_of(clean, event, offset, SMALL))
        clean = fold_visitor(clean, event, offset, SMALL)
    assert clean is not None
    row: VisitorRow | None = None
    reached = 0
    while reached < len(events):
        again = data.draw(st.integers(0, reached))
        end = data.draw(st.integers(reached + 1, len(events)))
        for offset in range(again, end):
            signals = signals_of(row, events[offset], offset, SMALL)
            assert signals == (expected[offset] if offset >= reached else [])
            row = fold_visitor(row, events[offset], offset, SMALL)
        assert row is not None
        row = VISITORS.decode(VISITORS.encode(row))
        reached = end
    assert row is not None
    assert VISITORS.encode(row) == VISITORS.encode(clean)


records = st.builds(
    CatalogueRecord,
    st.sampled_from(["put", "patch", "delete"]),
    st.just("item"),
    st.just("i1"),
    times,
    st.none() | names,
    st.dictionaries(names, st.none() | st.floats(0, 9) | st.lists(names), max_size=4),
)


@given(st.lists(records, min_size=1, max_size=8), st.data())
def test_redelivery_and_restarts_change_no_byte_of_the_catalogue(
    told: list[CatalogueRecord], data: st.DataObject
) -> None:
    """The same, for attributes: the order of the log decides, however often it is read."""
    codec = Codec(CatalogueRow)
    clean: CatalogueRow | None = None
    row: CatalogueRow | None = None
    for offset, record in enumerate(told):
        clean = fold_catalogue(clean, record, offset)
        row = fold_catalogue(row, record, offset)
        for again in data.draw(st.lists(st.integers(0, offset), max_size=2)):
            row = fold_catalogue(codec.decode(codec.encode(row)), told[again], again)
    assert row is not None
    assert clean is not None
    assert codec.encode(row) == codec.encode(clean)


def close(left: Sequence[float], right: Sequence[float]) -> bool:
    return left == pytest.approx(right, rel=1e-9, abs=1e-9)


@given(st.lists(interactions(), min_size=1, max_size=10), st.randoms(use_true_random=False))
def test_late_events_count_as_timely_ones(events: list[StampedEvent], rng: random.Random) -> None:
    """In whatever order a visitor's events come, counters and sums agree to 1e-9, counts and
    times exactly."""
    timely = folded(sorted(events, key=lambda event: event.at))
    rng.shuffle(events)
    late = folded(events)
    assert close(late.counters, timely.counters)
    for left, right in zip(late.numbers, timely.numbers, strict=True):
        assert left == pytest.approx(right, rel=1e-9, abs=1e-9)
    assert (late.counts, late.at, late.first_at, late.last_at) == (
        timely.counts,
        timely.at,
        timely.first_at,
        timely.last_at,
    )


facts = st.builds(
    Signal,
    st.just(0),
    st.sampled_from(SMALL.events),
    times,
    st.fixed_dictionaries({"g:global": st.integers(1, 9)}),
)


def segment(signals: Sequence[Signal]) -> SegmentRow:
    row: SegmentRow | None = None
    for offset, signal in enumerate(signals):
        row = fold_segment(row, "g:global", signal, offset, SMALL)
    assert row is not None
    return row


@given(st.lists(facts, min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_late_signals_count_as_timely_ones(signals: list[Signal], rng: random.Random) -> None:
    """The same for the counters of items, sellers and segments, which share one addition."""
    timely = segment(sorted(signals, key=lambda signal: signal.at))
    rng.shuffle(signals)
    late = segment(signals)
    assert close(late.counters, timely.counters)
    assert (late.counts, late.first_at, late.at) == (timely.counts, timely.first_at, timely.at)


parts = st.lists(facts, min_size=1, max_size=6).map(
    lambda signals: (lambda row: (row.at, row.counters, row.counts))(segment(signals))
)


@given(parts, parts, parts)
def test_counters_merge_in_any_order_and_grouping(
    a: counters.Counters, b: counters.Counters, c: counters.Counters
) -> None:
    """Merging is commutative and associative: times and counts exactly, counters to 1e-9."""
    left = counters.merge([counters.merge([a, b], SMALL), c], SMALL)
    for other in (
        counters.merge([a, counters.merge([b, c], SMALL)], SMALL),
        counters.merge([c, b, a], SMALL),
        counters.merge([counters.merge([c, a], SMALL), b], SMALL),
    ):
        assert (left[0], left[2]) == (other[0], other[2])
        assert close(left[1], other[1])
    nothing = (0, *counters.new(SMALL))
    assert counters.merge([a, nothing], SMALL) == a


weights = st.floats(0.01, 8)
additions = st.lists(st.tuples(st.sampled_from("abcdefgh"), times, weights), max_size=40)
HALF_LIFE, K, END = 4 * HOUR, 3, START + 3 * DAY


def bounded(added: Sequence[tuple[str, int, float]]) -> TopK:
    kept = TopK()
    for key, at, weight in added:
        topk.add(kept, key, weight, at, HALF_LIFE, K)
    return kept


def at_the_end(kept: TopK) -> TopK:
    """The same, decayed to when all was added."""
    factor = decay_factor(float(END - kept.at), HALF_LIFE)
    entries = {key: (weight * factor, count) for key, (weight, count) in kept.entries.items()}
    return TopK(END, kept.lost * factor, entries)


def unbounded(added: Sequence[tuple[str, int, float]], now: int) -> dict[str, float]:
    """The oracle: every key, from the definition."""
    exact: dict[str, float] = {}
    for key, at, weight in added:
        exact[key] = exact.get(key, 0.0) + weight * decay_factor(float(now - at), HALF_LIFE)
    return exact


@given(additions)
def test_top_k_stays_within_its_stated_error(added: list[tuple[str, int, float]]) -> None:
    """With positive weights, no kept weight is too high or more than ``lost`` too low; no key
    that is missing weighs more than ``lost``; nothing lost means exact."""
    kept = at_the_end(bounded(added))
    exact = unbounded(added, kept.at)
    assert len(kept.entries) <= K
    for key, weight in exact.items():
        found = kept.entries.get(key, (0.0, 0))[0]
        assert -1e-9 <= weight - found <= kept.lost + 1e-9
    if len(exact) <= K:
        assert kept.lost == 0.0
        assert kept.entries.keys() == exact.keys()
    if added:
        assert added[-1][0] in kept.entries


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), times, st.floats(-8, 8)), max_size=40))
def test_top_k_with_dislikes_stays_within_its_stated_error(
    added: list[tuple[str, int, float]],
) -> None:
    """With weights of both signs the error is at most ``lost``, either way."""
    kept = at_the_end(bounded(added))
    for key, weight in unbounded(added, kept.at).items():
        found = kept.entries.get(key, (0.0, 0))[0]
        assert abs(weight - found) <= kept.lost + 1e-9


@given(st.lists(additions, min_size=1, max_size=3))
def test_merged_top_k_stays_within_its_stated_error(
    added: list[list[tuple[str, int, float]]],
) -> None:
    """Maps merge to the same bits in any order, and the error is still what they say."""
    maps = [bounded(part) for part in added]
    merged = topk.merge(maps, HALF_LIFE, K)
    for other in itertools.permutations(maps):
        assert repr(topk.merge(other, HALF_LIFE, K)) == repr(merged)
    merged = at_the_end(merged)
    exact = unbounded([entry for part in added for entry in part], merged.at)
    for key, weight in exact.items():
        found = merged.entries.get(key, (0.0, 0))[0]
        assert -1e-9 <= weight - found <= merged.lost + 1e-9


long_keys = st.sampled_from(["a", "bb", "ccc", "dddd", "e" * 8, "é" * 8, "g" * 40])
long_additions = st.lists(st.tuples(long_keys, times, weights), max_size=30)


@given(st.lists(long_additions, min_size=1, max_size=3))
def test_long_keys_leave_room_for_fewer(added: list[list[tuple[str, int, float]]]) -> None:
    """Of eight keys up to four bytes long: they take as many bytes at most, or are one, the error
    is what they say, and merging has one outcome in any order."""
    size, key_bytes = 8, 4
    maps = [TopK() for _ in added]
    for kept, part in zip(maps, added, strict=True):
        for key, at, weight in part:
            topk.add_all(kept, (key,), weight, at, HALF_LIFE, size, key_bytes)
            assert key in kept.entries
    merged = topk.merge(maps, HALF_LIFE, size, key_bytes)
    for other in itertools.permutations(maps):
        assert repr(topk.merge(other, HALF_LIFE, size, key_bytes)) == repr(merged)
    for kept in (*maps, merged):
        taken = sum(len(key.encode()) for key in kept.entries)
        assert taken <= size * key_bytes or len(kept.entries) == 1
    merged = at_the_end(merged)
    exact = unbounded([entry for part in added for entry in part], merged.at)
    for key, weight in exact.items():
        found = merged.entries.get(key, (0.0, 0))[0]
        assert -1e-9 <= weight - found <= merged.lost + 1e-9


@given(st.lists(st.lists(interactions(), min_size=1, max_size=6), min_size=2, max_size=4))
def test_linked_visitors_merge_to_the_same_bits_in_any_order(
    histories: list[list[StampedEvent]],
) -> None:
    """The merged view does not depend on which row was read first, and changes none of them."""
    rows = [(number % 2, folded(events, 100 * number)) for number, events in enumerate(histories)]
    before = [VISITORS.encode(row) for _, row in rows]
    merged = VISITORS.encode(merge_visitors(rows, SMALL))
    for order in itertools.permutations(rows):
        assert VISITORS.encode(merge_visitors(order, SMALL)) == merged
    assert [VISITORS.encode(row) for _, row in rows] == before


@given(st.lists(interactions(), min_size=2, max_size=10), st.data())
def test_merged_counters_are_those_of_one_visitor(
    events: list[StampedEvent], data: st.DataObject
) -> None:
    """Two devices of one user count, merged, what a single one would have counted."""
    cut = data.draw(st.integers(1, len(events) - 1))
    merged = merge_visitors([(0, folded(events[:cut])), (1, folded(events[cut:]))], SMALL)
    whole = folded(events)
    assert close(merged.counters, whole.counters)
    assert (merged.counts, merged.at, merged.first_at, merged.last_at) == (
        whole.counts,
        whole.at,
        whole.first_at,
        whole.last_at,
    )


@given(
    st.lists(interactions(), min_size=1, max_size=5),
    st.lists(interactions(), min_size=1, max_size=5),
    times,
)
def test_unlinking_undoes_a_link_exactly(
    known: list[StampedEvent], anonymous: list[StampedEvent], at: int
) -> None:
    """A sign-up that is undone leaves the user's visitors, each row, and the merged view of the
    user as they were, but for the offsets."""
    first = fold_visitor(folded(known), StampedEvent("identify", "v0", START, user="u1"), 90, SMALL)
    user = fold_user(None, Signal(90, "identify", START, {"u:u1": 1}, visitor="v0"), 1, SMALL)
    row = folded(anonymous)
    visitors, view = list(user.visitors), VISITORS.encode(merge_visitors([(0, first)], SMALL))
    untouched = VISITORS.encode(row)
    for offset, event in enumerate(
        (
            StampedEvent("identify", "v1", at, user="u1"),
            StampedEvent("unlink", "v1", at + 1, user="u1"),
        ),
        start=91,
    ):
        for signal in signals_of(row, event, offset, SMALL):
            user = fold_user(user, signal, offset, SMALL)
        row = fold_visitor(row, event, offset, SMALL)
        both = merge_visitors([(0, first), (1, row)], SMALL)
        assert sum(both.counts) == sum(first.counts) + sum(row.counts)
    row.offset = len(anonymous) - 1
    assert VISITORS.encode(row) == untouched
    assert user.visitors == visitors
    assert VISITORS.encode(merge_visitors([(0, first)], SMALL)) == view


def heavy_event(rng: random.Random, plan: StatePlan) -> StampedEvent:
    """As much as one event can bring: new ids of 128 bytes everywhere."""

    def new() -> str:
        return f"{rng.getrandbits(512):0128x}"

    items = [
        Stamp(
            new(),
            new(),
            {
                "category": new(),
                "brand": new(),
                "price": rng.random() * 1e300,
                "tags": [new() for _ in range(8)],
            },
        )
        for _ in range(rng.randrange(1, 9))
    ]
    visitor = f"user:{'u' * 123}"
    return StampedEvent(
        rng.choice(plan.events),
        visitor,
        START + rng.randrange(100 * DAY),
        items,
        user=visitor[5:],
        session=new(),
        utc_offset=rng.randrange(-840, 841),
    )


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.sampled_from([PLAN, SMALL]))
def test_no_stream_makes_a_row_exceed_its_bound(seed: int, plan: StatePlan) -> None:
    """Streams of the heaviest events fill every map, and the row still keeps within what the
    spec was admitted for."""
    rng = random.Random(seed)
    bound = worst_visitor_row(plan)
    row: VisitorRow | None = None
    largest = 0
    for offset in range(60):
        row = fold_visitor(row, heavy_event(rng, plan), 2**60 + offset, plan)
        largest = max(largest, len(VISITORS.encode(row)))
    assert 0.8 * bound < largest <= bound


@given(st.lists(st.tuples(names, st.lists(names, max_size=5, unique=True), times), max_size=12))
def test_an_item_never_keeps_more_neighbours_than_it_may(
    seen: list[tuple[str, list[str], int]],
) -> None:
    """Whatever leads to an item, its co-visited items stay within their number."""
    row: ItemRow | None = None
    for offset, (_, previous, at) in enumerate(seen):
        signal = Signal(offset, "view", at, {"i:i1": 1}, previous={"i:i1": tuple(previous)})
        row = fold_item(row, "i:i1", signal, offset, SMALL)
        assert len(row.covisited.entries) <= max(SMALL.covisits, 1)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), times), max_size=20))
def test_a_user_never_keeps_more_visitors_than_it_may(
    told: list[tuple[str, bool, int]],
) -> None:
    """However many visitors are identified, the newest links stay, in order, each once."""
    row: UserRow | None = None
    for offset, (visitor, linked, at) in enumerate(told):
        kind = "identify" if linked else "unlink"
        signal = Signal(offset, kind, at, {"u:u1": 1}, visitor=visitor)
        row = fold_user(row, signal, offset, SMALL)
        kept = [link.visitor for link in row.visitors]
        assert len(set(kept)) == len(kept) <= SMALL.linked_visitors
        assert row.visitors == sorted(row.visitors, key=lambda link: (link.at, link.visitor))
        assert linked or visitor not in kept


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 6)), min_size=1, max_size=30),
    st.integers(1, 12),
    st.data(),
)
def test_duplicates_are_the_same_however_the_stream_is_cut(
    steps: list[tuple[str, int]], span: int, data: st.DataObject
) -> None:
    """Against the definition; asked again within the window, and rebuilt from the log."""
    offsets = list(itertools.accumulate(gap for _, gap in steps))
    log = [(id, offset) for (id, _), offset in zip(steps, offsets, strict=True)]
    expected = [
        any(other == id and 0 < offset - o <= span for other, o in log) for id, offset in log
    ]
    window = DuplicateWindow(span)
    for number, (id, offset) in enumerate(log):
        assert window.seen(id, offset) == expected[number]
        back = data.draw(st.integers(0, number))
        if offset - offsets[back] <= span:
            assert window.seen(*log[back]) == expected[back]
        assert window.end == offset
    start = data.draw(st.integers(0, len(log) - 1))
    rebuilt = DuplicateWindow(span)
    for number, (id, offset) in enumerate(log):
        if offset >= offsets[start] - span:
            answer = rebuilt.seen(id, offset)
            assert number < start or answer == expected[number]
