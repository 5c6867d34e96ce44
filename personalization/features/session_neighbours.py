"""What sessions like the visitor's say of the candidate."""

from typing import TYPE_CHECKING

import numpy as np

from personalization.decay import kernel
from personalization.features.family import Feature
from personalization.features.session import current_session
from personalization.features.session_covisited import session_length
from personalization.features.view import F32, I32, I64, U32, View
from personalization.state import sessions
from personalization.state.sessions import LENGTH_BITS, LONGEST

if TYPE_CHECKING:
    from personalization.spec import Spec

MOST_KEPT = 1024
_SPARSE = 8  # of most marks that are looked for nothing is known, which an empty place says at once


class SessionNeighbours(Feature, frozen=True):
    """In how many sessions like the visitor's the candidate was wanted, and how like they are.

    Four float32[n]. A session s that both the candidate and some of the visitor's last items were
    in has h(s) of the items of the current session, b(s) of the last items before it, and is l(s)
    events long, as far as these items tell. ``session_neighbours`` is the sum over s of
    g(s) l(s)^-3/4, over sqrt(n + 1), where n is how many sessions the candidate keeps, and g(s)
    counts each of the h(s) items as one over the same root of its own: a cosine, in which long
    sessions count less. ``session_neighbours_most`` is the largest h(s) / sqrt(l(s)), that of the
    session which is most like this one; ``session_neighbours_alike`` the sum of h(s)^2 / l(s), to
    which the nearest give most; ``session_neighbours_before`` the sum of b(s) / sqrt(l(s)).
    0 without such sessions; the current one is none of them.

    Session neighbours as in VS-kNN (Ludewig & Jannach, UMUAI 2018), by whole sessions rather than
    pairs of items, from the last ``keep`` sessions that an item's row keeps.
    """

    keep: int = 128

    def columns(self, spec: "Spec") -> tuple[str, ...]:
        if not 1 <= self.keep <= MOST_KEPT:
            raise ValueError(f"keep={self.keep} is not from 1 to {MOST_KEPT}")
        name = "session_neighbours"
        return (name, f"{name}_most", f"{name}_alike", f"{name}_before")

    def sessions(self) -> int:
        return self.keep

    def compute(self, view: View, out: F32) -> None:
        if view.visitor is None or not len(view.last_codes):
            return
        session = current_session(view)
        own, several = 0, 0
        if session is not None:
            own = sessions.mark(session.opened, session.start)
            several = session_length(view.visitor, session, view.plan.weights)
        neighbours(view.sessions, view.last_sessions, several, own, out)


@kernel("int64(int32[::1], int64[::1], int64)")
def _place(entries: I32, marks: I64, mark: int) -> int:
    """Where ``mark``, whose bits are mixed, is in a hash table of ``marks``, or would be."""
    place = mark & (len(entries) - 1)
    while entries[place] != 0 and marks[entries[place]] != mark:
        place = (place + 1) & (len(entries) - 1)
    return place


@kernel("void(uint32[:, :], uint32[:, :], int64, int64, float32[:, :])")
def neighbours(theirs: U32, last: U32, several: int, own: int, out: F32) -> None:
    """The four columns from the sessions of candidates ``theirs`` [n, R] and of last items [m, R],
    the first ``several`` of them of the current session, whose mark is ``own`` (0: none), into
    ``out`` [n, 4]."""
    size = 64
    while size < _SPARSE * last.size:
        size *= 2
    entries = np.zeros(size, np.int32)  # a hash table of marks; 0: none
    marks = np.empty(last.size + 1, np.int64)
    longest = np.zeros(last.size + 1, np.int64)
    hits = np.zeros(last.size + 1)
    share = np.zeros(last.size + 1)
    before = np.zeros(last.size + 1)
    known = 0
    for j in range(len(last)):
        kept = 0
        while kept < last.shape[1] and last[j, kept] != 0:
            kept += 1
        weight = 1.0 / np.sqrt(kept + 1.0)
        for k in range(kept):
            mark = int(last[j, k]) >> LENGTH_BITS
            if mark == own:
                continue
            place = _place(entries, marks, mark)
            if entries[place] == 0:
                known += 1
                entries[place] = known
                marks[known] = mark
            entry = entries[place]
            longest[entry] = max(longest[entry], int(last[j, k]) & LONGEST)
            if j < several:
                hits[entry] += 1.0
                share[entry] += weight
            else:
                before[entry] += 1.0
    for i in range(len(theirs)):
        cosine = 0.0
        most = 0.0
        alike = 0.0
        earlier = 0.0
        kept = 0
        for k in range(theirs.shape[1]):
            if theirs[i, k] == 0:
                break
            kept += 1
            entry = entries[_place(entries, marks, int(theirs[i, k]) >> LENGTH_BITS)]
            if entry == 0:
                continue
            length = float(max(longest[entry], int(theirs[i, k]) & LONGEST))
            root = np.sqrt(length)
            cosine += share[entry] / (root * np.sqrt(root))
            most = max(most, hits[entry] / root)
            alike += hits[entry] * hits[entry] / length
            earlier += before[entry] / root
        out[i, 0] = cosine / np.sqrt(kept + 1.0)
        out[i, 1] = most
        out[i, 2] = alike
        out[i, 3] = earlier
