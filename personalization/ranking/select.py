"""The draw, position by position."""

from dataclasses import dataclass

import numpy as np

from personalization.decay import decay_factor, kernel
from personalization.features.view import F64, I64
from personalization.guarantee import BAND

LOG2_E = 1.4426950408889634
DRAWN = 1.0  # the temperature at the guarantee's places: in proportion to the odds
SETTLED = 2  # the rank of what is dropped, set aside or shown
NO_CAP = 2**62


@dataclass(frozen=True, slots=True)
class Ballot:
    """What is drawn from, and by which rules: n candidates, g groupings.

    ``logits`` [n] are finite. ``rank`` [n]: 0 comes before 1; 2 is not eligible. ``groups``
    [g, n] are codes (-1: in no group); ``caps`` [g] how many of one code a page may have, and
    ``penalties`` [g] what a logit loses for each one above with its code. ``pins`` [limit] are
    the candidates set aside for a position, or -1; their rank is 2. ``late`` [n] is how far
    behind the guarantee candidates are (-inf: nothing is due to them now), and one position in
    ``every``, the last of each, is for those.
    """

    logits: F64
    rank: I64
    groups: I64
    caps: I64
    penalties: F64
    pins: I64
    late: F64 | None = None
    every: int = NO_CAP


def select(ballot: Ballot, temperature: float, seed: int) -> tuple[I64, F64]:
    """The page: candidates in the order shown, and the probability with which each was drawn.

    At each position those are eligible that come first by rank and whose caps have room, the
    pinned ones counted from the start. One is drawn by softmax of ``logit / temperature``; at
    temperature 0 it is the one with the greatest logit, of equals the first in the order of
    candidates, with probability 1. At a position of the guarantee's, unless a pinned one has it,
    only those are eligible that are late, and no more than ``BAND`` less than the latest of them;
    the temperature is ``DRAWN``. Where there are none, it is a position as any other. A
    probability is conditional on what was drawn above. Where nothing else is left, the pinned
    ones move up.

    The draws are ``PCG64(seed).random_raw``, a stream that NumPy keeps for good.
    """
    limit = len(ballot.pins)
    late = np.empty(0) if ballot.late is None else ballot.late
    if temperature > 0.0 or len(late):
        raw = np.random.PCG64(seed).random_raw(limit)
        uniforms = (np.asarray(raw, np.uint64) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    else:
        uniforms = np.zeros(limit)
    order = np.empty(limit, np.int64)
    propensities = np.empty(limit)
    shown = _draw(
        ballot.logits,
        ballot.rank.copy(),
        ballot.groups,
        ballot.caps,
        ballot.penalties,
        ballot.pins.copy(),
        late,
        ballot.every,
        uniforms,
        float(temperature),
        order,
        propensities,
    )
    return order[:shown], propensities[:shown]


@kernel(
    "int64(float64[::1], int64[::1], int64[:, ::1], int64[::1], float64[::1], int64[::1],"
    " float64[::1], int64, float64[::1], float64, int64[::1], float64[::1])"
)
def _draw(
    logits: F64,
    rank: I64,
    groups: I64,
    caps: I64,
    penalties: F64,
    pins: I64,
    late: F64,
    every: int,
    uniforms: F64,
    temperature: float,
    order: I64,
    propensities: F64,
) -> int:
    n = len(logits)
    several = len(caps)
    counted = np.zeros((several, n), np.int64)  # with a candidate's code: shown or pinned
    above = np.zeros((several, n), np.int64)  # with a candidate's code: shown
    eligible = np.empty(n, np.int64)
    weights = np.empty(n)
    for position in range(len(pins)):
        if pins[position] >= 0:
            for g in range(several):
                code = groups[g, pins[position]]
                for c in range(n):
                    if code >= 0 and groups[g, c] == code:
                        counted[g, c] += 1
    for position in range(len(pins)):
        chosen = pins[position]
        probability = 1.0
        if chosen < 0:
            found = 0
            first = SETTLED
            best = 0.0
            heat = temperature
            latest = -np.inf
            if len(late) > 0 and (position + 1) % every == 0:
                for c in range(n):
                    if rank[c] < SETTLED and late[c] > latest:
                        room = True
                        for g in range(several):
                            if counted[g, c] >= caps[g]:
                                room = False
                        if room:
                            latest = late[c]
            guaranteed = latest > -np.inf
            if guaranteed:
                heat = DRAWN
            for c in range(n):
                if rank[c] >= SETTLED or rank[c] > first:
                    continue
                if guaranteed and late[c] < latest - BAND:
                    continue
                room = True
                logit = logits[c]
                for g in range(several):
                    if counted[g, c] >= caps[g]:
                        room = False
                    logit -= penalties[g] * above[g, c]
                if not room:
                    continue
                if rank[c] < first:
                    first = rank[c]
                    found = 0
                if found == 0 or logit > best:
                    best = logit
                    chosen = c
                eligible[found] = c
                weights[found] = logit
                found += 1
            if found > 0 and heat > 0.0:
                total = 0.0
                for e in range(found):
                    weights[e] = decay_factor((best - weights[e]) * LOG2_E, heat)
                    total += weights[e]
                target = uniforms[position] * total
                passed = 0.0
                for e in range(found):
                    if weights[e] > 0.0:
                        chosen = eligible[e]
                        probability = weights[e] / total
                        passed += weights[e]
                        if passed > target:
                            break
        if chosen < 0:
            for later in range(position + 1, len(pins)):
                if chosen < 0 and pins[later] >= 0:
                    chosen = pins[later]
                    pins[later] = -1
            if chosen < 0:
                return position
        if rank[chosen] < SETTLED:
            for g in range(several):
                code = groups[g, chosen]
                for c in range(n):
                    if code >= 0 and groups[g, c] == code:
                        counted[g, c] += 1
        for g in range(several):
            code = groups[g, chosen]
            for c in range(n):
                if code >= 0 and groups[g, c] == code:
                    above[g, c] += 1
        rank[chosen] = SETTLED
        order[position] = chosen
        propensities[position] = probability
    return len(pins)
