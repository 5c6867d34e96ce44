"""The record of a decision: it runs again to the same bits, and says when a bit is another."""

import random
from typing import Any

import msgspec
import numpy as np
import pytest

from personalization.codec import Codec
from personalization.decisions import (
    DECISIONS,
    Decision,
    Shown,
    digest_of,
    pack,
    scored_of,
    scores_of,
    vectors_of,
)
from personalization.presets import deliberation
from personalization.ranking.formula import Formula
from personalization.ranking.parity import audit
from personalization.ranking.replay import Mismatch, replay
from personalization.ranking.surface import Blocked, Rule, Seen, Surface
from personalization.state.rows import (
    CatalogueRow,
    ItemRow,
    SegmentRow,
    SellerRow,
    UserRow,
    VisitorRow,
)
from tests.vector_spec import SPEC, drawn

pytestmark = pytest.mark.kernel

SURFACE = Surface(
    rules=(
        Rule("dear", "exclude", {"price": {"gt": 70}}),
        Rule("red", "boost", {"tags": {"eq": "red"}}, amount=0.3),
        Rule("second", "pin", {"category": {"eq": "bags"}}, position=2),
    ),
    caps={"seller": 3},
    diversity={"category": 0.2},
    temperature=0.7,
    seen=Seen(("purchase",)),
    blocked=Blocked(sellers=("s3",)),
)


class LogRows:
    """The rows of a shop as they were."""

    def __init__(self, shop: Any) -> None:
        self._then = shop.then

    def item(self, id: str, offset: int) -> ItemRow:
        return self._then("i", id, offset, ItemRow)  # type: ignore[no-any-return]

    def seller(self, id: str, offset: int) -> SellerRow:
        return self._then("s", id, offset, SellerRow)  # type: ignore[no-any-return]

    def segment(self, key: str, offset: int) -> SegmentRow:
        return self._then("g", key, offset, SegmentRow)  # type: ignore[no-any-return]

    def catalogue(self, kind: str, id: str, offset: int) -> CatalogueRow:
        return self._then(kind, id, offset, CatalogueRow)  # type: ignore[no-any-return]

    def visitor(self, id: str, offset: int) -> VisitorRow:
        return self._then("visitor", id, offset, VisitorRow)  # type: ignore[no-any-return]

    def user(self, id: str, offset: int) -> UserRow:
        return self._then("u", id, offset, UserRow)  # type: ignore[no-any-return]


@pytest.fixture
def busy(shop: Any) -> Any:
    """Thirty items of four sellers, and three visitors, two of them one user."""
    rng = np.random.default_rng(1)
    for seller in range(3):
        shop.tell("seller", seller=f"s{seller}")
    for number in range(30):
        attributes = {
            "category": str(rng.choice(["shoes", "bags", "toys"])),
            "brand": f"b{number % 5}",
            "price": float(number * 3),
            "tags": ["red"] if number % 3 else ["blue", "new"],
            "in_stock": number != 4,
        }
        shop.tell("item", item=f"i{number}", seller=f"s{number % 4}", attributes=attributes)
    shop.tell("identify", visitor="v1", user="u1")
    shop.tell("identify", visitor="v2", user="u1")
    for _ in range(120):
        visitor, item = f"v{rng.integers(3)}", f"i{rng.integers(28)}"
        shop.tell("impression", visitor=visitor, items=[item, "i1", "i2"])
        shop.tell(str(rng.choice(["click", "view", "cart"])), visitor=visitor, item=item)
    shop.tell("purchase", visitor="v2", item="i9")
    shop.tell("dislike", visitor="v1", item="i10")
    return shop


def decide(busy: Any, **more: Any) -> Decision:
    asked: dict[str, Any] = {
        "surface": SURFACE,
        "visitor": "v1",
        "filters": {"not": [{"brand": {"eq": "b4"}}]},
        "before": ("i11",),
        "context": {"utc_offset": 60, "device": "phone"},
        "limit": 8,
        "explain": True,
    }
    ids = [*(f"i{number}" for number in range(30)), "ghost"]
    return busy.rank(*ids, **{**asked, **more})  # type: ignore[no-any-return]


def test_a_record_survives_the_log(busy: Any) -> None:
    """Decoded, it encodes to the same bytes; packed it has the same vectors in fewer of them."""
    decision = decide(busy)
    packed = pack(decision)
    record = DECISIONS.encode(packed)
    assert DECISIONS.encode(DECISIONS.decode(record)) == record
    assert pack(packed) is packed
    assert len(packed.vectors) < len(decision.vectors)
    np.testing.assert_array_equal(vectors_of(packed), vectors_of(decision))


@pytest.mark.parametrize("keep", ["all", "shown"])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_decision_runs_again_from_its_record_alone(
    busy: Any, keep: str, temperature: float
) -> None:
    """Filter, scores and draw, from bytes, with a scorer that was made anew."""
    surface = msgspec.structs.replace(SURFACE, temperature=temperature)
    decision = decide(busy, keep=keep, surface=surface)
    assert decision.shown
    assert {"dear", "seen", "blocked"} & {
        r.removeprefix("rule:") for r in decision.dropped.values()
    }
    record = DECISIONS.decode(DECISIONS.encode(pack(decision)))
    assert replay(record, Formula(busy.spec.columns, busy.spec.feature_set_id)) is None
    assert len(vectors_of(record)) == len(scored_of(record))


def part(busy: Any, decision: Decision) -> str:
    found = replay(decision, busy.formula)
    assert isinstance(found, Mismatch)
    assert found.detail
    return found.part


def test_every_flipped_bit_of_a_vector_is_noticed(busy: Any) -> None:
    """Also in a column without a weight, where the score stays the same."""
    decision = decide(busy)
    rng = np.random.default_rng(2)
    for bit in rng.integers(0, 8 * len(decision.vectors), 300).tolist():
        vectors = bytearray(decision.vectors)
        vectors[bit // 8] ^= 1 << bit % 8
        assert part(busy, msgspec.structs.replace(decision, vectors=bytes(vectors))) == "vectors"


def test_a_flipped_bit_under_a_new_digest_changes_the_score(busy: Any) -> None:
    """Whoever changes both vector and digest still has to explain the score."""
    decision = decide(busy)
    vectors = vectors_of(decision)
    vectors[0, busy.spec.columns.index("popularity_1d")] += 0.5
    changed = vectors.tobytes()
    altered = msgspec.structs.replace(decision, vectors=changed, digest=digest_of(changed))
    assert part(busy, altered) == "scores"


def test_every_other_change_is_noticed(busy: Any) -> None:
    """A score, a reason, an order, a propensity, the seed, the model, damaged bytes."""
    decision = decide(busy)
    # Without caps another draw drops the same items, and so hot that it shows others.
    drawn = decide(busy, surface=msgspec.structs.replace(SURFACE, caps={}, temperature=9.0))
    scores = scores_of(decision)
    scores[0] = np.nextafter(scores[0], 9.0)
    first, second, *rest = decision.shown
    nudged = Shown(first.candidate, float(np.nextafter(first.propensity, 0.0)), [])
    values = msgspec.structs.replace(decision.values, texts={})
    expected: list[tuple[str, dict[str, Any]]] = [
        ("scores", {"scores": scores.tobytes()}),
        ("scores", {"scores": b""}),
        ("vectors", {"vectors": decision.vectors[:-4]}),
        ("vectors", {"vectors": b"not packed", "packed": True}),
        ("dropped", {"dropped": {}}),
        ("dropped", {"values": values}),
        ("shown", {"shown": [second, first, *rest]}),
        ("propensities", {"shown": [nudged, second, *rest]}),
        ("model", {"model": "other"}),
        ("model", {"feature_set": "other"}),
    ]
    for name, change in expected:
        assert part(busy, msgspec.structs.replace(decision, **change)) == name
    for seed in range(drawn.seed + 1, drawn.seed + 9):
        assert part(busy, msgspec.structs.replace(drawn, seed=seed)) == "shown"


def test_vectors_fold_again_from_the_log(busy: Any) -> None:
    """From rows at the recorded offsets, though the shop has moved on, bit for bit."""
    decision = decide(busy)
    for number in range(30):
        busy.tell("click", visitor="v2", item=f"i{number}")
        busy.tell("item", item=f"i{number}", seller="s9", attributes={"category": "toys"})
    busy.tell("seller", seller="s1", attributes={"name": "new"})
    assert audit(decision, LogRows(busy), busy.spec) is None
    assert audit(pack(decide(busy, keep="shown")), LogRows(busy), busy.spec) is None


def test_parity_without_a_visitor_and_without_a_catalogue(shop: Any) -> None:
    """Items known by their counters only, an unknown one, and the caller's features."""
    shop.tell("click", visitor="v1", item="x")
    decision = shop.rank("x", "ghost")
    assert audit(decision, LogRows(shop), shop.spec) is None


def test_the_audit_notices_another_row_or_vector(busy: Any) -> None:
    """A visitor's row that is not the log's, a vector that is not the rows'."""
    decision = decide(busy)
    read = next(row for row in decision.rows if row.id == "v1")
    other = next(row for row in decision.rows if row.id == "v2")
    swapped = [msgspec.structs.replace(read, row=other.row)]
    busy._history["visitor", "v1", _offset(other.row)] = read.row
    found = audit(msgspec.structs.replace(decision, rows=swapped), LogRows(busy), busy.spec)
    assert found is not None
    assert found.rows == ["visitor v1"]
    vectors = vectors_of(decision)
    vectors[3, 4] += 1.0
    altered = msgspec.structs.replace(decision, vectors=vectors.tobytes())
    found = audit(altered, LogRows(busy), busy.spec)
    assert found is not None
    assert (found.rows, found.features, found.vectors) == ([], {"weekday": 1}, 1)
    assert found.example["weekday"].startswith("i3: ")


def _offset(row: bytes) -> int:
    return Codec(VisitorRow).decode(row).offset


def test_vectors_can_be_audited(shop: Any) -> None:
    """Those of the visitor's last items as they were, though they have moved since."""
    shop, chance = type(shop)(SPEC), random.Random(5)
    for number in range(9):
        shop.tell("item", item=f"i{number}", attributes={"embedding": drawn(chance)})
    for number in range(4):
        shop.tell("click", visitor="v1", item=f"i{number}")
    shop.tell("delete", item="i1")
    decision = shop.rank("i4", "i5", "ghost", visitor="v1")
    similar = shop.rank(visitor="v1", similar_to="i7", surface=Surface("similar"), index=True)
    assert decision.offsets.last_listed.keys() == {"i0", "i1", "i2", "i3"}
    assert similar.offsets.last_listed.keys() == {"i0", "i1", "i2", "i3", "i7"}
    assert ["near"] in similar.sources
    for number in range(9):
        shop.tell("item", item=f"i{number}", attributes={"embedding": drawn(chance)})
    for one in (decision, similar):
        near = vectors_of(one)[:, SPEC.columns.index("embedding_near")]
        assert near.any()
        assert audit(one, LogRows(shop), SPEC) is None
        assert replay(one, shop.formula) is None
        offsets = msgspec.structs.replace(one.offsets, last_listed={"i2": 2})
        found = audit(msgspec.structs.replace(one, offsets=offsets), LogRows(shop), SPEC)
        assert found is not None
        assert "embedding_near" in found.features
        assert found.features.keys() <= {"embedding_near", "embedding_nearest"}


def test_opinions_can_be_audited(shop: Any) -> None:
    """Rows of items that the visitor disliked are noted too: what they say counts."""
    shop = type(shop)(deliberation)
    shop.stock(6, category="taxes")
    rng = np.random.default_rng(3)
    for _ in range(80):
        visitor, item = f"v{rng.integers(5)}", f"i{rng.integers(6)}"
        shop.tell("impression", visitor=visitor, items=[item])
        shop.tell(str(rng.choice(["click", "dislike"])), visitor=visitor, item=item)
    shop.tell("dislike", visitor="v1", item="i5")
    decision = shop.rank("i0", "i1", visitor="v1")
    assert "i5" in decision.offsets.last_items
    after = vectors_of(decision)[:, shop.spec.columns.index("agreement_click_disliked")]
    assert after.any()
    assert audit(decision, LogRows(shop), shop.spec) is None
    forgotten = {id: n for id, n in decision.offsets.last_items.items() if id != "i5"}
    offsets = msgspec.structs.replace(decision.offsets, last_items=forgotten)
    found = audit(msgspec.structs.replace(decision, offsets=offsets), LogRows(shop), shop.spec)
    assert found is not None
    assert "agreement_click" in found.features
