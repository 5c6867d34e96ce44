"""The ledger of a guarantee: who got what was owed, when, and what it cost."""

import math
from bisect import insort
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from personalization.decisions import Decision, scores_of
from personalization.events import IMPRESSION, CatalogueRecord, StampedEvent
from personalization.guarantee import NEW, Guarantee
from personalization.plan import StatePlan
from personalization.ranking.choose import GUARANTEED, choose
from personalization.ranking.filters import FilterError
from personalization.ranking.replay import terms_of
from personalization.ranking.values import IN_STOCK, ITEM, SELLER, recall
from personalization.state.catalogue import fold_catalogue
from personalization.state.errors import FoldError
from personalization.state.rows import CatalogueRow

State = Literal["kept", "late", "waiting", "given_up", "withdrawn"]


class Entry(msgspec.Struct, frozen=True):
    """What became of one new ``item`` or ``seller``.

    Times in ms. ``enough_at`` is when the last impression that was owed was seen, ``waited`` the
    time until then, or until now. ``places`` were given to it by the guarantee, at a ``cost`` in
    expected clicks. ``state``: ``kept`` in time or ``late``; ``waiting`` still, or ``given_up`` as
    it is not new any more; ``withdrawn`` if it was deleted or sold out before.
    """

    kind: str
    id: str
    listed_at: int
    state: State
    impressions: int
    enough_at: int | None
    waited: int
    places: int
    cost: float


@dataclass(slots=True)
class _Account:
    """Impressions of one item or seller: all, and when the first that are owed were seen."""

    impressions: int
    first: list[int]
    places: int
    cost: float


class Ledger:
    """Of ``guarantee``, as surface ``name`` has it, for what was listed after ``since`` (ms).

    Takes the catalogue's records first, then events and decisions in any order.
    """

    def __init__(self, name: str, guarantee: Guarantee, plan: StatePlan, since: int = 0) -> None:
        self.guarantee = guarantee
        self.unexplained = 0
        """Decisions whose page cannot be chosen again."""
        self._name = name
        self._plan = plan
        self._since = since
        self._rows: dict[tuple[str, str], CatalogueRow] = {}
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._first_event = math.inf

    def listed(self, record: CatalogueRecord, offset: int) -> None:
        """The next record of its key, at ``offset`` of its partition."""
        if record.kind in (ITEM, SELLER):
            key = (record.kind, record.id)
            try:
                self._rows[key] = fold_catalogue(self._rows.get(key), record, offset)
            except FoldError:
                return  # the fold, too, leaves it out

    def happened(self, event: StampedEvent) -> None:
        """The next event of a visitor."""
        if event.type not in self._plan.event_index or not event.items:
            return
        self._first_event = min(self._first_event, event.at)
        if event.type != IMPRESSION:
            return
        for stamp in event.items:
            for key in ((ITEM, stamp.item), (SELLER, stamp.seller or "")):
                account = self._account(key)
                if account is not None:
                    account.impressions += 1
                    insort(account.first, event.at)
                    del account.first[self.guarantee.impressions :]

    def decided(self, decision: Decision) -> None:
        """A decision of any surface."""
        if decision.surface.name != self._name or decision.surface.guarantee is None:
            return
        try:
            costs = cost_of(decision)
        except FilterError:
            self.unexplained += 1
            return
        for candidate, (kind, cost) in costs.items():
            id: str | None = decision.candidates[candidate]
            if kind == SELLER:
                id = decision.values.texts[SELLER][candidate]
            account = self._account((kind, id or ""))
            if account is not None:
                account.places += 1
                account.cost += cost

    def entries(self, now: int) -> list[Entry]:
        """All that was new, as of ``now`` (ms), in the order in which it was listed."""
        found = [self._entry(key, account, now) for key, account in self._accounts.items()]
        waiting = self._rows.keys() - self._accounts.keys()
        for key in sorted(waiting):
            account = self._account(key)
            found.append(None if account is None else self._entry(key, account, now))
        entries = [entry for entry in found if entry is not None]
        return sorted(entries, key=lambda entry: (entry.listed_at, entry.kind, entry.id))

    def _account(self, key: tuple[str, str]) -> _Account | None:
        account = self._accounts.get(key)
        if account is None:
            row = self._rows.get(key)
            if row is None or row.created_at <= self._since:
                return None
            account = self._accounts[key] = _Account(0, [], 0, 0.0)
        return account

    def _entry(self, key: tuple[str, str], account: _Account, now: int) -> Entry | None:
        row, owed = self._rows[key], self.guarantee.impressions
        if row.created_at <= self._first_event:
            return None
        enough_at = account.first[owed - 1] if len(account.first) == owed else None
        if enough_at is not None and enough_at <= row.created_at:
            return None  # listed once more, and well known
        waited = (now if enough_at is None else enough_at) - row.created_at
        return Entry(
            *key,
            row.created_at,
            self._state(row, enough_at, waited),
            account.impressions,
            enough_at,
            waited,
            account.places,
            account.cost,
        )

    def _state(self, row: CatalogueRow, enough_at: int | None, waited: int) -> State:
        within = self.guarantee.within_ms
        if enough_at is not None:
            return "kept" if waited <= within else "late"
        if row.deleted or row.attributes.get(IN_STOCK) is False:
            return "withdrawn"
        return "waiting" if waited < NEW * within else "given_up"


def cost_of(decision: Decision) -> dict[int, tuple[str, float]]:
    """Of each candidate that is shown by the guarantee: as ``item`` or as ``seller``, and what it
    cost in expected clicks.

    The page is chosen once more without the guarantee, with the same draws. What is then missing
    from it was displaced, the best by the first: the cost is its probability less that of what
    was shown, by the logistic of their scores (clicks, where scores are log-odds of clicks); 0 for
    what is there anyway. Raises ``FilterError`` for a record of filters that are not known here.
    """
    page = [one.candidate for one in decision.shown]
    kinds = {
        one.candidate: (ITEM, SELLER)[GUARANTEED.index(reason)]
        for one in decision.shown
        for reason in one.reasons
        if reason in GUARANTEED
    }
    if not kinds:
        return {}
    terms = terms_of(decision)
    surface = msgspec.structs.replace(terms.surface, guarantee=None)
    scores = scores_of(decision)
    values = recall(decision.values, decision.candidates)
    without = choose(values, scores, replace(terms, surface=surface)).order.tolist()
    displaced = [candidate for candidate in without if candidate not in page]
    costs = {}
    for candidate, kind in kinds.items():
        cost = 0.0
        if candidate not in without:
            lost = _probability(scores[displaced.pop(0)]) if displaced else 0.0
            cost = lost - _probability(scores[candidate])
        costs[candidate] = (kind, cost)
    return costs


def _probability(score: float) -> float:
    return 0.5 * (1.0 + math.tanh(0.5 * score))
