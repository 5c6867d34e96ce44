"""One ranking: hydrate, find, filter, score, select, decide."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from personalization.candidates.find import find_candidates
from personalization.candidates.index import CatalogueIndex, empty_index
from personalization.candidates.profiles import Near
from personalization.candidates.similar import find_similar
from personalization.candidates.source import Inputs
from personalization.columns import view_of
from personalization.columns.views import last_items
from personalization.decisions import Decision, Freshness, Offsets, Shown, digest_of
from personalization.features.matrix import feature_matrix
from personalization.features.view import F32, F64, I64, OFFSET, View
from personalization.guarantee import NOT_OWED, Owed, UnderWay
from personalization.plan import StatePlan
from personalization.ranking.choose import UNKNOWN, Choice, Terms, choose
from personalization.ranking.filters import compile_predicate
from personalization.ranking.hydrate import Hydrated, StateReader, hydrate
from personalization.ranking.request import (
    RankRequest,
    callers_candidates,
    check_ids,
    moment_of,
)
from personalization.ranking.scorer import Scorer
from personalization.ranking.similar import bringing, looking_at
from personalization.ranking.surface import Surface, compile_rules
from personalization.ranking.values import attribute_kinds, record, values_of
from personalization.spec import Spec
from personalization.state import opinions
from personalization.state.rows import VisitorRow

CALLER = "caller"
REASONS = 3


class UnfitScorer(ValueError):
    """A scorer for another feature set, or whose scores are not finite numbers."""


def rank(
    request: RankRequest,
    state: StateReader,
    spec: Spec,
    surface: Surface,
    scorer: Scorer,
    index: CatalogueIndex | None,
    *,
    now: int,
    seed: int,
    decision_id: str,
    who: Hydrated | None = None,
    near: Near | None = None,
    shown_before: Sequence[str] = (),
    under_way: UnderWay | None = None,
    freshness: Freshness | None = None,
    arms: Mapping[str, str] | None = None,
    process: str = "",
    sequence: int = 0,
    keep: Literal["all", "shown"] = "all",
) -> Decision:
    """Decide what ``request`` is shown at ``now`` (ms), and record why.

    ``who`` asks, if their rows were read already; ``near`` are the users like the one that
    ``request.similar_to`` names, found for them. ``shown_before`` are the items of the pages that
    ``request.after`` continues. ``under_way`` knows what this process showed lately of what a
    guarantee owes, and is told of this page. ``keep`` says whose vectors are recorded. Raises
    ``Rejected`` (``FilterError`` among them) for a request that cannot be, ``UnfitScorer`` for a
    scorer that cannot score it.
    """
    if scorer.feature_set != spec.feature_set_id:
        raise UnfitScorer(f"{scorer.name} scores {scorer.feature_set}, not {spec.feature_set_id}")
    check_ids(request)
    plan, columns, moment = spec.plan, state.columns, moment_of(request, now)
    kinds = attribute_kinds(plan)
    caller = request.filters
    predicate = None if caller is None else compile_predicate(caller, kinds, "filters")
    rules = compile_rules(surface.rules, kinds)

    if who is None:
        who = hydrate(request.visitor, request.user, state, plan)
    viewer = who.visitor
    features: Mapping[str, F64] = {}
    guarantee = surface.guarantee
    owed = None if guarantee is None else Owed(columns, guarantee, under_way, now)
    inputs = Inputs(columns, index or empty_index(), viewer, now, owed)
    if near is not None:
        ids, sources = near.ids, near.sources
        request, features = bringing(request, near)
    elif request.candidates is not None:
        ids, features = callers_candidates(request.candidates)
        sources = [[CALLER]] * len(ids)
    elif request.similar_to is not None:
        ids, sources = find_similar(request.similar_to, inputs)
    else:
        ids, sources = find_candidates([(s.name, s.count) for s in surface.sources], inputs)
    if request.similar_to is not None:
        viewer = looking_at(viewer, request.similar_to, now, plan)

    view = view_of(columns, moment, ids, viewer, features, None if near is None else near.slots)
    matrix = feature_matrix(spec, view)
    scores = scorer.score(matrix)
    if not np.isfinite(scores).all():
        raise UnfitScorer(f"{scorer.name} gave a score that is not a finite number")

    seen, disliked = _last(who.visitor, surface, plan)
    terms = Terms(
        surface,
        rules,
        predicate,
        frozenset(seen),
        frozenset(disliked),
        frozenset(shown_before),
        request.limit,
        seed,
    )
    slots = view.candidates.codes + (view.candidates.codes < 0)
    values = values_of(view.candidates, view.code, None if owed is None else owed.lateness(slots))
    choice = choose(values, scores, terms)
    if owed is not None and (values.lateness[:, choice.order] > NOT_OWED).any():
        owed.shown(slots[choice.order])
    vectors, scored = _vectors(matrix, choice.order, keep)
    return Decision(
        id=decision_id,
        at=now,
        process=process,
        sequence=sequence,
        visitor=request.visitor,
        user=who.user,
        request=request,
        surface=surface,
        shown_before=list(shown_before),
        arms={} if arms is None else dict(arms),
        seed=seed,
        model=scorer.name,
        feature_set=spec.feature_set_id,
        state_id=plan.state_id,
        freshness=freshness or Freshness(),
        rows=who.read,
        seen=seen,
        disliked=disliked,
        candidates=ids,
        sources=sources,
        values=record(values, terms.reads(), columns.texts.text),
        offsets=_offsets(view, state, plan),
        scores=scores.tobytes(),
        scored=scored,
        columns=matrix.shape[1],
        vectors=vectors,
        packed=False,
        digest=digest_of(vectors),
        dropped=choice.dropped,
        shown=_shown(choice, matrix, scorer, request.explain),
    )


def _last(
    visitor: VisitorRow | None, surface: Surface, plan: StatePlan
) -> tuple[list[str], list[str]]:
    """The visitor's items that the surface does not show again, and those disliked; sorted."""
    if visitor is None:
        return [], []
    disliked = {i.item for i in visitor.last if plan.weights[i.event] < 0.0}
    if surface.seen is None:
        return [], sorted(disliked)
    events = {plan.event_index[name] for name in surface.seen.events if name in plan.event_index}
    last = visitor.last[-surface.seen.last :]
    return sorted({i.item for i in last if i.event in events}), sorted(disliked)


def _vectors(matrix: F32, order: I64, keep: str) -> tuple[bytes, list[int] | None]:
    if keep == "all":
        return matrix.tobytes(), None
    return matrix[order].tobytes(), order.tolist()


def _offsets(view: View, state: StateReader, plan: StatePlan) -> Offsets:
    candidates = view.candidates
    last = [] if view.visitor is None else last_items(view.visitor, plan)
    listed = state.columns.listed_offsets(last).tolist() if plan.vectors else []
    last_listed = dict(zip(last, listed, strict=False))
    if view.visitor is not None and plan.opinions:
        last = list(dict.fromkeys([*last, *opinions.held(view.visitor, view.moment.now, plan)]))
    offsets = np.empty((2 + len(candidates.levels), len(candidates.ids)), np.int64)
    offsets[0] = candidates.catalogue_offset
    offsets[1] = candidates.seller_catalogue_offset
    offsets[2:] = candidates.stats[:, :, OFFSET]
    return Offsets(
        list(candidates.levels),
        offsets.tobytes(),
        dict(zip(last, state.columns.item_offsets(last).tolist(), strict=True)),
        last_listed,
    )


def _shown(choice: Choice, matrix: F32, scorer: Scorer, explain: bool) -> list[Shown]:
    order = choice.order.tolist()
    reasons = choice.reasons
    if explain:
        lifts = scorer.reasons(matrix, order, REASONS)
        reasons = [
            own if UNKNOWN in own else [*own, *lift]
            for own, lift in zip(reasons, lifts, strict=True)
        ]
    return [
        Shown(candidate, propensity, why)
        for candidate, propensity, why in zip(
            order, choice.propensities.tolist(), reasons, strict=True
        )
    ]
