"""Every family of features against plain Python that reads the rows themselves."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

from personalization.features.matrix import feature_matrix
from personalization.features.view import Moment
from personalization.plan import ShownPlan
from personalization.state import keys, sessions
from personalization.state.rows import VisitorRow
from tests.feature_shop import DAY, HOUR, NOW, Shop, random_shop, wide_spec

pytestmark = pytest.mark.kernel

SPEC = wide_spec()
IDS = [f"i{i}" for i in range(12)]
AGREEMENT = [name for name in SPEC.columns if name.startswith("agreement_view")]
YEAR_S = 365 * 24 * 3600


@dataclass
class Asked:
    """One candidate of one request."""

    shop: Shop
    moment: Moment
    scores: dict[str, float]
    id: str

    @property
    def visitor(self) -> VisitorRow:
        assert self.shop.visitor is not None
        return self.shop.visitor

    def decay(self, at: int, half_life: int) -> float:
        return math.exp2(-max(self.moment.now - at, 0) / half_life)

    def attribute(self, name: str):  # type: ignore[no-untyped-def]
        row = self.shop.catalogue.get(self.id)
        return None if row is None else row.attributes.get(name)

    @property
    def seller(self) -> str | None:
        row = self.shop.catalogue.get(self.id)
        return None if row is None else row.seller

    def count(self, entity: str, event: str, half_life: int) -> float:
        row = self._row(entity)
        if row is None:
            return 0.0
        column = SPEC.plan.counter(event, half_life)
        counted: float = row.counters[column] * self.decay(row.at, half_life)
        return counted

    def _row(self, entity: str):  # type: ignore[no-untyped-def]
        if entity == "item":
            return self.shop.items.get(self.id)
        if entity == "seller":
            return self.shop.sellers.get(self.seller or "")
        if entity == "visitor":
            return self.visitor
        if entity == "global":
            return self.shop.segments.get("global")
        within_seller, dimension = keys.segment_level(entity)
        value = self.attribute(dimension)
        if value is None or (within_seller and self.seller is None):
            return None
        key = keys.segment_key(entity, self.seller if within_seller else None, value)
        return self.shop.segments.get(key.removeprefix("g:"))

    def values(self, dimension: str) -> list[str]:
        value = self.seller if dimension == "seller" else self.attribute(dimension)
        return [] if value is None else [value] if isinstance(value, str) else value


def signed_log(weight: float) -> float:
    return math.copysign(math.log1p(abs(weight)), weight)


def decayed(entity: str, event: str, half_life: int) -> Callable[[Asked], float]:
    return lambda asked: math.log1p(asked.count(entity, event, half_life))


def rate(asked: Asked, levels: tuple[str, ...], event: str, half_life: int, strength, prior):  # type: ignore[no-untyped-def]
    for level in levels:
        events = asked.count(level, event, half_life)
        shown = max(events, asked.count(level, "impression", half_life))
        prior = (events + strength * prior) / (shown + strength)
    return prior


def popularity(asked: Asked, weights: dict[str, float], half_life: int) -> float:
    def of(entity: str) -> float:
        return sum(w * asked.count(entity, event, half_life) for event, w in weights.items())

    return math.log1p(1000 * of("item") / (of("global") + 100))


def kept(asked: Asked, dimension: str, part: str) -> tuple[dict[str, float], float]:
    """The weights kept of a dimension, in this part of the day, and their decay."""
    for affinity, topk in zip(SPEC.plan.affinities, asked.visitor.affinities, strict=True):
        if affinity.dimension == dimension and affinity.by_daypart == bool(part):
            weights = {k: w for k, (w, _) in topk.entries.items() if k.startswith(part)}
            weights = {k.removeprefix(part): w for k, w in weights.items()}
            return weights, asked.decay(topk.at, affinity.half_life)
    raise LookupError(dimension)


def share(asked: Asked, weights: dict[str, float], dimension: str) -> float:
    own = sum(weights.get(value, 0.0) for value in asked.values(dimension))
    return max(-1.0, min(1.0, own / sum(abs(weight) for weight in weights.values())))


def affinity(dimension: str, part: str = "") -> Callable[[Asked], float]:
    return lambda asked: share(asked, kept(asked, dimension, part)[0], dimension)


def affinity_weight(dimension: str, part: str = "") -> Callable[[Asked], float]:
    def weight(asked: Asked) -> float:
        weights, factor = kept(asked, dimension, part)
        return signed_log(factor * sum(weights.get(v, 0.0) for v in asked.values(dimension)))

    return weight


def affinity_count(dimension: str) -> Callable[[Asked], float]:
    index = SPEC.plan.affinity_index[dimension, False]

    def count(asked: Asked) -> float:
        entries = asked.visitor.affinities[index].entries
        return math.log1p(sum(entries.get(v, (0.0, 0))[1] for v in asked.values(dimension)))

    return count


def session_share(dimension: str) -> Callable[[Asked], float]:
    plain = [a.dimension for a in SPEC.plan.affinities if not a.by_daypart]

    def of(asked: Asked) -> float:
        assert asked.visitor.session is not None
        weights = asked.visitor.session.affinities[plain.index(dimension)]
        return share(asked, weights, dimension)

    return of


def session_shown(asked: Asked, dimension: str) -> tuple[float, float]:
    """How many items with the candidate's values the session was shown, and the interest in them
    per exposure."""
    session, plan = asked.visitor.session, SPEC.plan
    assert session is not None
    shown = session.shown[plan.shown.index(ShownPlan("impression", dimension))]
    wanted = session.affinities[plan.session_index[dimension]]
    exposures = sum(shown.get(value, 0.0) for value in asked.values(dimension))
    interest = sum(wanted.get(value, 0.0) for value in asked.values(dimension))
    return math.log1p(exposures), interest / (exposures + 5.0)


def session_count(asked: Asked, *events: str) -> float:
    assert asked.visitor.session is not None
    counts = asked.visitor.session.counts
    return math.log1p(sum(counts[SPEC.plan.event_index[event]] for event in events))


def visitor_rate(asked: Asked) -> float:
    view, seen = (SPEC.plan.event_index[event] for event in ("view", "impression"))
    everybody = asked.shop.segments["global"].counts
    rate = min(everybody[view] / (everybody[seen] + 10), 1.0)
    own = asked.visitor.counts
    return min((own[view] + 10 * rate) / (own[seen] + 10), 1.0)


def since_item(asked: Asked) -> float:
    times = [i.at for i in asked.visitor.last if i.item == asked.id]
    return math.log1p((NOW - max(times)) / 1000 if times else YEAR_S)


def age(asked: Asked, entity: str) -> float:
    id = asked.id if entity == "item" else asked.seller or ""
    listed = (asked.shop.catalogue if entity == "item" else asked.shop.seller_catalogue).get(id)
    counted = asked.shop.items.get(id) if entity == "item" else asked.shop.sellers.get(id)
    if listed is None and counted is None:
        return -1.0
    since = listed.created_at if listed is not None else counted.first_at  # type: ignore[union-attr]
    return math.log1p((NOW - since) / HOUR)


def gap(asked: Asked) -> float:
    weight, total = asked.visitor.numbers[0]
    price = asked.attribute("price")
    return 0.0 if price is None else math.log1p(price) - total / weight


def met(asked: Asked) -> list[tuple[str, float, float]]:
    """For each of the last items of interest, newest first: the weight met, and the divisor."""
    half_life = SPEC.plan.covisit_half_life

    def weights(id: str) -> dict[str, float]:
        row = asked.shop.items.get(id)
        if row is None:
            return {}
        factor = asked.decay(row.covisited.at, half_life)
        return {other: weight * factor for other, (weight, _) in row.covisited.entries.items()}

    liked = [i.item for i in asked.visitor.last[::-1] if SPEC.plan.weights[i.event] > 0]
    own = weights(asked.id)
    pairs = []
    for last in dict.fromkeys(liked):
        theirs = weights(last)
        size = math.sqrt((1 + sum(own.values())) * (1 + sum(theirs.values())))
        pairs.append((last, own.get(last, 0.0) + theirs.get(asked.id, 0.0), size))
    return pairs


def covisits(asked: Asked) -> list[tuple[float, float]]:
    return [(weight, size) for _, weight, size in met(asked)[:3]]


def session_covisits(asked: Asked) -> list[tuple[float, float, float, float]]:
    """For each item of the session: weight met, divisor, and both items' interest and 1."""
    session, plan = asked.visitor.session, SPEC.plan
    assert session is not None
    there = {i.item for i in asked.visitor.last if i.at >= session.start}

    def interest(id: str) -> float:
        asked_of = Asked(asked.shop, asked.moment, {}, id)
        told = zip(plan.events, plan.weights, strict=True)
        return 1 + sum(w * asked_of.count("item", e, 30 * DAY) for e, w in told if w > 0)

    own = interest(asked.id)
    return [(w, size, own, interest(last)) for last, w, size in met(asked) if last in there]


def neighbours(asked: Asked) -> tuple[float, float, float, float]:
    """Sessions that the candidate shares with the last items, but for the current one."""
    session = asked.visitor.session
    assert session is not None

    def kept(id: str) -> dict[int, int]:
        row = asked.shop.items.get(id)
        told = [] if row is None else np.frombuffer(row.sessions, "<u4").tolist()
        return {session >> 8: session & 255 for session in told}

    own = kept(asked.id)
    here = {i.item for i in asked.visitor.last if i.at >= session.start}
    liked = {i.item for i in asked.visitor.last if SPEC.plan.weights[i.event] > 0}
    cosine, most, alike, before = 0.0, 0.0, 0.0, 0.0
    for mark in own.keys() - {sessions.mark(session.opened, session.start)}:
        there = [id for id in liked if mark in kept(id)]
        long = max([own[mark], *(kept(id)[mark] for id in there)])
        now = [id for id in there if id in here]
        cosine += sum(1 / math.sqrt(len(kept(id)) + 1) for id in now) / long**0.75
        most = max(most, len(now) / math.sqrt(long))
        alike += len(now) ** 2 / long
        before += (len(there) - len(now)) / math.sqrt(long)
    return cosine / math.sqrt(len(own) + 1), most, alike, before


def own_kept(asked: Asked) -> tuple[float, int]:
    """The decayed weight and the count of the visitor's own events with the item."""
    index = SPEC.plan.affinity_index["item", False]
    topk = asked.visitor.affinities[index]
    weight, count = topk.entries.get(asked.id, (0.0, 0))
    return weight * asked.decay(topk.at, SPEC.plan.affinities[index].half_life), count


def nearness(asked: Asked) -> tuple[float, float]:
    """Cosines with the faded mean of the last items' directions, and the largest with any."""

    def unit(id: str) -> list[float] | None:
        vector = Asked(asked.shop, asked.moment, {}, id).attribute("embedding")
        return None if vector is None else [part / math.hypot(*vector) for part in vector]

    def cosine(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*other)

    liked = [i.item for i in asked.visitor.last[::-1] if SPEC.plan.weights[i.event] > 0]
    last = [there for id in dict.fromkeys(liked) if (there := unit(id)) is not None]
    own = unit(asked.id)
    if own is None or not last:
        return 0.0, 0.0
    mean = [sum(0.8**n * each[d] for n, each in enumerate(last)) for d in range(len(own))]
    return cosine(own, mean), max(cosine(own, each) for each in last)


def amount(asked: Asked) -> float:
    price = asked.attribute("price")
    return -1.0 if price is None else math.log1p(price)


def spent(asked: Asked, by: str, half_life: str) -> tuple[float, float]:
    """The decayed sum of amounts, and how often, by weight."""
    plan = SPEC.plan
    values = asked.values(by) if by != "visitor" else [""]

    def kept_of(dimension: str) -> float:
        index = plan.affinity_index[dimension, False]
        topk = asked.visitor.affinities[index]
        weights = [max(topk.entries.get(value, (0.0, 0))[0], 0.0) for value in values]
        return sum(weights) * asked.decay(topk.at, plan.affinities[index].half_life)

    if by != "visitor":
        return kept_of(f"amount:{by}:{half_life}"), kept_of(by)
    told = zip(plan.events, plan.weights, strict=True)
    often = sum(w * asked.count("visitor", event, HOUR) for event, w in told if w > 0.0)
    return kept_of(f"amount:{by}:{half_life}"), often


def spent_gap(asked: Asked, by: str, half_life: str) -> float:
    amount, often = spent(asked, by, half_life)
    index = SPEC.plan.affinity_index[f"amount:{by}:{half_life}", False]
    known = [*asked.values(by), ""] if by != "visitor" else [""]
    there = asked.visitor.affinities[index].entries.keys() & set(known)
    if by != "visitor" and not there:
        return 0.0
    return math.log1p(30.0) - math.log1p(amount / often) if often > 1e-9 else 0.0


def dearer(asked: Asked) -> float:
    weight, total = asked.visitor.numbers[0]
    price = asked.attribute("price")
    if price is None:
        return 0.0
    return math.log(price) - math.log(math.expm1(total / weight)) + gap(asked)


CONTEXT = {"device": "desktop", "amount": 30.0}

# NOW is 2027-01-15, a Friday, 08:00 UTC; the visitor's clock says 12:30.


def agreement(asked: Asked) -> list[float]:
    """Of each last item: how those answered the candidate who had answered it like the visitor."""
    impression, view, dislike = (
        SPEC.plan.event_index[name] for name in ("impression", "view", "dislike")
    )

    def logit(share: float) -> float:
        return math.log(share / (1 - share))

    def counts(id: str) -> list[int]:
        row = asked.shop.items.get(id)
        return [0] * 4 if row is None else row.counts

    def told(of: str, opinion: str) -> list[int]:
        row = asked.shop.items.get(of)
        return [0] * 4 if row is None else row.opinions.get(opinion, [0] * 4)

    opinions: dict[str, str] = {}
    for interaction in asked.visitor.last[::-1]:
        sign = "+" if SPEC.plan.weights[interaction.event] > 0 else "-"
        opinions.setdefault(interaction.item, sign)
    everybody = asked._row("category")
    parent = [0] * 4 if everybody is None else everybody.counts
    likes, shown = counts(asked.id)[view], max(counts(asked.id)[impression], counts(asked.id)[view])
    prior = (parent[view] + 1) / (max(parent[impression], parent[view]) + 2)
    rate = (likes + 5 * prior) / (shown + 5)
    answering = min(1.0, (likes + counts(asked.id)[dislike] + 4) / (shown + 4))
    raised, evidence = [], 0.0
    for other, sign in opinions.items():
        kind = view if sign == "+" else dislike
        after = [told(other, like + asked.id)[kind] for like in "-+"]
        own = told(asked.id, sign + other)
        happened = own[view] + after[1]
        exposed = max(own[impression] + sum(after) / answering, happened)
        raised.append(logit((happened + 10 * rate) / (exposed + 10)) - logit(rate))
        evidence += exposed / (exposed + 10)
    root = math.sqrt(len(opinions) + 1)
    own = asked.visitor.counts
    seen = max(own[impression], own[view])
    generosity = logit((own[view] + 5 * prior) / (seen + 5)) - logit(prior)
    liked = [r for r, sign in zip(raised, opinions.values(), strict=True) if sign == "+"]
    return [
        sum(raised) / root,
        sum(liked) / root,
        (sum(raised) - sum(liked)) / root,
        sum(raised) / (evidence + 1),
        evidence,
        max([0.0, *raised]),
        min([0.0, *raised]),
        generosity,
        logit(rate) + generosity + sum(raised) / root,
    ]


def agreement_part(place: int, asked: Asked) -> float:
    return agreement(asked)[place]


ORACLES: dict[str, Callable[[Asked], float]] = {
    "device_phone": lambda asked: 0.0,
    "device_desktop": lambda asked: 1.0,
    "hour": lambda asked: 12.0,
    "weekday": lambda asked: 4.0,
    "item_view_1h": decayed("item", "view", HOUR),
    "seller_view_30d": decayed("seller", "view", 30 * DAY),
    "seller_brand_purchase_30d": decayed("seller*brand", "purchase", 30 * DAY),
    "global_view_1h": decayed("global", "view", HOUR),
    "visitor_view_30d": decayed("visitor", "view", 30 * DAY),
    "item_purchase_per_impression": lambda asked: rate(
        asked, ("global", "seller*category", "item"), "purchase", 30 * DAY, 20.0, 0.02
    ),
    "category_view_per_impression_1h": lambda asked: rate(
        asked, ("category",), "view", HOUR, 3.0, 0.1
    ),
    "popularity_30d": lambda asked: popularity(asked, {"view": 1.0, "purchase": 8.0}, 30 * DAY),
    "popularity_view_1h": lambda asked: popularity(asked, {"view": 1.0}, HOUR),
    "affinity_category": affinity("category"),
    "affinity_category_weight": affinity_weight("category"),
    "affinity_seller": affinity("seller"),
    "affinity_seller_weight": affinity_weight("seller"),
    "affinity_tags": affinity("tags"),
    "affinity_tags_weight": affinity_weight("tags"),
    "affinity_category_daypart": affinity("category", "2|"),
    "affinity_category_daypart_weight": affinity_weight("category", "2|"),
    "affinity_tags_daypart": affinity("tags", "2|"),
    "affinity_tags_daypart_weight": affinity_weight("tags", "2|"),
    "affinity_seller_count": affinity_count("seller"),
    "affinity_tags_count": affinity_count("tags"),
    "session_category": session_share("category"),
    "session_tags": session_share("tags"),
    "session_category_impression": lambda asked: session_shown(asked, "category")[0],
    "session_category_per_impression": lambda asked: session_shown(asked, "category")[1],
    "session_tags_impression": lambda asked: session_shown(asked, "tags")[0],
    "session_tags_per_impression": lambda asked: session_shown(asked, "tags")[1],
    "session_count": lambda asked: session_count(asked, "view", "purchase", "dislike"),
    "session_count_view": lambda asked: session_count(asked, "view"),
    "visitor_count_purchase": lambda asked: math.log1p(
        asked.visitor.counts[SPEC.plan.event_index["purchase"]]
    ),
    "visitor_view_per_impression": visitor_rate,
    "since_last_item": since_item,
    "since_last_visit": lambda asked: math.log1p((NOW - asked.visitor.last_at) / 1000),
    "item_age": lambda asked: age(asked, "item"),
    "seller_age": lambda asked: age(asked, "seller"),
    "price_gap": gap,
    "price_distance": lambda asked: abs(gap(asked)),
    "covisited": lambda asked: sum(weight / size for weight, size in covisits(asked)),
    "covisited_weight": lambda asked: math.log1p(sum(weight for weight, _ in covisits(asked))),
    "session_covisited": lambda asked: sum(w / size for w, size, _, _ in session_covisits(asked)),
    "session_covisited_max": lambda asked: max(
        (w / math.sqrt(own * last) for w, _, own, last in session_covisits(asked)), default=0.0
    ),
    "session_covisited_share": lambda asked: sum(
        w / last for w, _, _, last in session_covisits(asked)
    ),
    "session_covisited_squared": lambda asked: sum(
        w * w / (own * last) for w, _, own, last in session_covisits(asked)
    ),
    "session_neighbours": lambda asked: neighbours(asked)[0],
    "session_neighbours_most": lambda asked: neighbours(asked)[1],
    "session_neighbours_alike": lambda asked: neighbours(asked)[2],
    "session_neighbours_before": lambda asked: neighbours(asked)[3],
    **{name: partial(agreement_part, place) for place, name in enumerate(AGREEMENT)},
    "own_weight": lambda asked: signed_log(own_kept(asked)[0]),
    "own_count": lambda asked: math.log1p(own_kept(asked)[1]),
    "own_rate": lambda asked: own_kept(asked)[1] / 3,
    "embedding_near": lambda asked: nearness(asked)[0],
    "embedding_nearest": lambda asked: nearness(asked)[1],
    "amount_price": amount,
    "amount_now": lambda asked: math.log1p(30.0),
    "spent_seller_30d": lambda asked: math.log1p(spent(asked, "seller", "30d")[0]),
    "spent_seller_30d_gap": lambda asked: spent_gap(asked, "seller", "30d"),
    "spent_visitor_1h": lambda asked: math.log1p(spent(asked, "visitor", "1h")[0]),
    "spent_visitor_1h_gap": lambda asked: spent_gap(asked, "visitor", "1h"),
    "candidate_score": lambda asked: asked.scores.get(asked.id, 0.0),
    "dearer": dearer,
}


def test_every_column_has_an_oracle() -> None:
    """A column without plain Python beside it is not tested here, so there is none."""
    assert set(ORACLES) == set(SPEC.columns)


@pytest.mark.parametrize("seed", range(8))
def test_columns_equal_plain_python(seed: int) -> None:
    """Every column of every candidate is what the rows say, as far as float32 goes."""
    shop = random_shop(seed, SPEC.plan)
    moment = Moment(
        NOW, utc_offset=270, session="now", context={"device": "desktop", "amount": 30.0}
    )
    scores = {"i1": 0.25, "i11": -3.5}
    matrix = feature_matrix(SPEC, shop.view(IDS, moment, scores))
    for column, name in enumerate(SPEC.columns):
        expected = [ORACLES[name](Asked(shop, moment, scores, id)) for id in IDS]
        np.testing.assert_allclose(matrix[:, column], expected, rtol=1e-6, atol=1e-6, err_msg=name)


def test_the_shops_are_worth_testing() -> None:
    """Over the seeds, every column that depends on the candidate takes several values."""
    constant = {"device_phone", "device_desktop", "hour", "weekday"}
    constant |= {"candidate_score", "since_last_visit", "amount_now"}
    moment = Moment(
        NOW, utc_offset=270, session="now", context={"device": "desktop", "amount": 30.0}
    )
    rows = [
        feature_matrix(SPEC, random_shop(seed, SPEC.plan).view(IDS, moment)) for seed in range(8)
    ]
    spread = np.ptp(np.vstack(rows), axis=0)
    assert {name for name, width in zip(SPEC.columns, spread, strict=True) if width == 0} == (
        constant
    )
