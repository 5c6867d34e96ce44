"""A view of one request, from columns and a visitor's row."""

from collections.abc import Mapping, Sequence
from math import inf

import numpy as np

from personalization.columns.columns import Columns
from personalization.columns.opinions import opinions_in_common
from personalization.columns.together import add_kept, table_of
from personalization.decay import decay_columns
from personalization.features.view import AT, F64, I64, Moment, Neighbours, Opinions, View
from personalization.plan import StatePlan
from personalization.state import opinions
from personalization.state.rows import VisitorRow


def view_of(
    columns: Columns,
    moment: Moment,
    ids: Sequence[str],
    visitor: VisitorRow | None,
    caller: Mapping[str, F64] | None = None,
    people: I64 | None = None,
) -> View:
    """What features read, to rank ``ids`` for ``visitor`` at ``moment``.

    ``visitor`` is merged already; without one, or if it is deleted, there is only context.
    ``caller`` are the caller's own features of the candidates, float64[n] each, NaN where missing.
    ``people`` are the slots of ``ids`` among profiles, where all are known to have one.
    """
    if visitor is not None and visitor.deleted:
        visitor = None
    plan = columns.plan
    candidates = columns.candidates(ids, caller, people)
    layers, n, width = candidates.counters.shape
    decayed = decay_columns(
        candidates.counters.reshape(layers * n, width),
        np.ascontiguousarray(candidates.stats[:, :, AT]).reshape(layers * n),
        moment.now,
        columns.half_lives,
    )
    last = [] if visitor is None else last_items(visitor, plan)
    slots = columns.slots(last)
    together, degrees, last_degrees = met_together(
        columns,
        candidates.codes + (candidates.codes < 0),
        candidates.covisited,
        slots,
        moment.now,
    )
    return View(
        plan=plan,
        moment=moment,
        candidates=candidates,
        visitor=visitor,
        last_codes=slots - (slots == 0),
        last_decayed=columns.decayed(slots, moment.now),
        together=together,
        degrees=degrees,
        last_degrees=last_degrees,
        sessions=columns.sessions_at(candidates.codes + (candidates.codes < 0)),
        last_sessions=columns.sessions_at(slots),
        code=columns.texts.codes,
        decayed=decayed.reshape(layers, n, width),
        visitor_decayed=_decayed_visitor(visitor, moment.now, columns),
        opinions=_opinions(visitor, candidates.codes, moment.now, columns),
        last_vectors=columns.vectors_at(slots),
    )


def last_items(visitor: VisitorRow, plan: StatePlan) -> list[str]:
    """The visitor's last distinct items of interest (a weight above 0), newest first: as many as
    the plan's ``covisit_window``, and all of their last session that the row keeps."""
    start = inf if visitor.session is None else visitor.session.start
    items: dict[str, None] = {}
    for interaction in reversed(visitor.last):
        if len(items) >= plan.covisit_window and interaction.at < start:
            break
        if plan.weights[interaction.event] > 0.0:
            items[interaction.item] = None
    return list(items)


def met_together(
    columns: Columns, slots: I64, near: Neighbours, last: I64, now: int
) -> tuple[F64, F64, F64]:
    """How often items of ``slots`` [n], whose neighbours are ``near``, and of ``last`` [m] were met
    together (slot 0: none): ``together``, ``degrees`` and ``last_degrees`` of a view."""
    n, m, half_life = len(slots), len(last), float(columns.plan.covisit_half_life)
    far = columns.neighbours_at(last)
    together, degrees, last_degrees = np.zeros((n, m)), np.zeros(n), np.zeros(m)
    codes, last = slots - (slots == 0), last - (last == 0)
    for from_, kept, to, out, sums in (
        (codes, near, last, together, degrees),
        (last, far, codes, together.T, last_degrees),
    ):
        add_kept(from_, kept.codes, kept.weights, kept.at, table_of(to), now, half_life, out, sums)
    return together, degrees, last_degrees


def _opinions(
    visitor: VisitorRow | None, codes: I64, now: int, columns: Columns
) -> Opinions | None:
    if visitor is None or not columns.plan.opinions:
        return None
    held = opinions.held(visitor, now, columns.plan)
    return opinions_in_common(columns, codes + (codes < 0), list(held), list(held.values()))


def _decayed_visitor(visitor: VisitorRow | None, now: int, columns: Columns) -> F64:
    if visitor is None:
        return np.zeros(len(columns.plan.events) * len(columns.half_lives))
    decayed: F64 = decay_columns(
        np.array([visitor.counters]), np.array([visitor.at], np.int64), now, columns.half_lives
    )[0]
    return decayed
