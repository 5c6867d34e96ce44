"""The chances at one place of a page, from a decision's record: one candidate at a time."""

import math
from collections.abc import Sequence

from personalization.ranking.surface import Surface
from personalization.ranking.values import RecordedValues

PATIENCE, BAND = 0.5, 0.1


def chances(
    values: RecordedValues,
    scores: Sequence[float],
    surface: Surface,
    dropped: set[int],
    above: Sequence[int],
) -> dict[int, float]:
    """The probability of each candidate that may come after ``above``; empty if none may.

    For surfaces without rules, on what the record says of them: who is eligible, and the softmax.
    """
    texts, left = values.texts, [c for c in range(len(scores)) if c not in dropped]
    fits = [
        c
        for c in left
        if c not in above
        and all(
            texts[name][c] is None or sum(texts[name][o] == texts[name][c] for o in above) < cap
            for name, cap in surface.caps.items()
        )
    ]
    temperature = surface.temperature
    fits = [c for c in fits if values.known[c]] or fits
    guarantee = surface.guarantee
    if guarantee is not None and (len(above) + 1) % guarantee.every == 0:
        late = {c: _late(values, c) for c in fits if values.known[c]}
        better = {c: sum(scores[o] > scores[c] for o in left) / len(left) for c in late}
        late = {c: by for c, by in late.items() if by >= PATIENCE * better[c]}
        if late:
            fits = [c for c, by in late.items() if by >= max(late.values()) - BAND]
            temperature = 1.0
    if not fits:
        return {}
    logits = {
        c: scores[c]
        - sum(
            penalty * sum(texts[name][o] == texts[name][c] is not None for o in above)
            for name, penalty in surface.diversity.items()
        )
        for c in fits
    }
    best = max(logits.values())
    if temperature == 0.0:
        first = next(c for c in fits if logits[c] == best)
        return {c: float(c == first) for c in fits}
    weights = {c: math.exp((logit - best) / temperature) for c, logit in logits.items()}
    total = sum(weights.values())
    return {c: weight / total for c, weight in weights.items()}


def _late(values: RecordedValues, candidate: int) -> float:
    return max(kind.get(candidate, -math.inf) for kind in values.lateness)
