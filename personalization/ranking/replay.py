"""A decision run again, from its record and the model it names, and nothing else."""

import struct

import msgspec
import numpy as np

from personalization.decisions import (
    Decision,
    digest_of,
    scored_of,
    scores_of,
    vector_bytes,
    vectors_of,
)
from personalization.packing import Damaged
from personalization.ranking.choose import Terms, choose
from personalization.ranking.filters import FilterError, compile_predicate
from personalization.ranking.scorer import Scorer
from personalization.ranking.surface import compile_rules
from personalization.ranking.values import recall, recorded_kinds


class Mismatch(msgspec.Struct, frozen=True):
    """The first thing that came out differently: ``part`` is ``model``, ``vectors``, ``scores``,
    ``dropped``, ``shown`` or ``propensities``."""

    part: str
    detail: str


def replay(decision: Decision, scorer: Scorer) -> Mismatch | None:
    """Score the recorded vectors, filter and draw again; ``None`` where every bit is the same."""
    if (scorer.name, scorer.feature_set) != (decision.model, decision.feature_set):
        found = f"{scorer.name} for {scorer.feature_set}"
        return Mismatch("model", f"{decision.model} for {decision.feature_set}, not {found}")
    return _vectors(decision) or _scores(decision, scorer) or _choice(decision)


def _vectors(decision: Decision) -> Mismatch | None:
    try:
        plain = vector_bytes(decision)
    except Damaged as error:
        return Mismatch("vectors", str(error))
    rows = len(scored_of(decision))
    if len(plain) != 4 * rows * decision.columns:
        return Mismatch("vectors", f"{len(plain)} bytes for {rows} x {decision.columns} floats")
    if digest_of(plain) != decision.digest:
        return Mismatch("vectors", "not the bits that were scored")
    return None


def _scores(decision: Decision, scorer: Scorer) -> Mismatch | None:
    if len(decision.scores) != 8 * len(decision.candidates):
        return Mismatch("scores", f"{len(decision.scores)} bytes")
    scored = list(scored_of(decision))
    again = scorer.score(vectors_of(decision))
    recorded = scores_of(decision)[scored]
    differs = np.flatnonzero(again.view(np.uint64) != recorded.view(np.uint64))
    if len(differs):
        row = int(differs[0])
        item = decision.candidates[scored[row]]
        return Mismatch("scores", f"{item}: {again[row]!r}, not {recorded[row]!r}")
    return None


def terms_of(decision: Decision) -> Terms:
    """What its page had to keep to. Raises ``FilterError``: a filter that is not known here."""
    kinds = recorded_kinds(decision.values)
    filters = decision.request.filters
    return Terms(
        decision.surface,
        compile_rules(decision.surface.rules, kinds),
        None if filters is None else compile_predicate(filters, kinds, "filters"),
        frozenset(decision.seen),
        frozenset(decision.disliked),
        frozenset(decision.shown_before),
        decision.request.limit,
        decision.seed,
    )


def _choice(decision: Decision) -> Mismatch | None:
    try:
        terms = terms_of(decision)
    except FilterError as error:
        return Mismatch("dropped", str(error))
    values = recall(decision.values, decision.candidates)
    choice = choose(values, scores_of(decision), terms)
    if choice.dropped != decision.dropped:
        differing = sorted(set(choice.dropped.items()) ^ set(decision.dropped.items()))
        return Mismatch("dropped", ", ".join(f"{item}: {why}" for item, why in differing[:4]))
    order = [shown.candidate for shown in decision.shown]
    if choice.order.tolist() != order:
        return Mismatch("shown", f"{choice.order.tolist()}, not {order}")
    again = choice.propensities.tolist()
    recorded = [shown.propensity for shown in decision.shown]
    if struct.pack(f"<{len(again)}d", *again) != struct.pack(f"<{len(again)}d", *recorded):
        return Mismatch("propensities", f"{again}, not {recorded}")
    return None
