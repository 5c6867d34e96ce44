"""Freshet's own arms: the server's candidates, features and scorer, live and as of midnight."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from personalization.evaluation.arm import Listed, Ranking
from personalization.evaluation.history import OpenSession
from personalization.evaluation.query import Asker, Query
from personalization.features.view import F32, F64, I64, Moment
from personalization.ranking.scorer import Scorer
from personalization.replaying.lagging import Lagging
from personalization.replaying.reader import Found
from personalization.replaying.visitor_rows import Rest
from personalization.replaying.world import World

DAY = 86_400_000
NEW = 500

Wanted = Sequence[tuple[str, int]]


class Considered(NamedTuple):
    """The candidates of a ranking, and their slots in the live world."""

    ids: list[str]
    slots: I64


class Realtime:
    """What the server would answer: rows as they are now. ``scorer`` may be replaced; ``pairs``
    is how many candidates were ranked last."""

    name = "realtime"

    def __init__(self, world: World, wanted: Wanted, scorer: Scorer) -> None:
        self.scorer = scorer
        self.pairs = 0
        self._last: tuple[Query, Listed, F32] | None = None
        self._considered: tuple[Query, Considered] | None = None
        self._features: tuple[Query, F32] | None = None
        self._world = world
        self._wanted = wanted

    def consider(self, query: Query) -> Considered:
        """The candidates, before anything is computed of them."""
        if self._considered is None or self._considered[0] is not query:
            ids = self._world.candidates(query.row, query.asker.at, self._wanted).ids
            self._considered = (query, Considered(ids, self._world.columns.slots(ids)))
        self.pairs = len(self._considered[1].slots)
        return self._considered[1]

    def features(self, query: Query, rows: I64 | None = None) -> F32:
        """Those of the candidates; of the ``rows`` among them, if only those are wanted."""
        ids = self.consider(query).ids
        if self._features is None or self._features[0] is not query:
            if rows is not None:
                ids = [ids[row] for row in rows.tolist()]
                return self._world.matrix(query.row, ids, query.asker.moment)
            self._features = (query, self._world.matrix(query.row, ids, query.asker.moment))
        return self._features[1] if rows is None else self._features[1][rows]

    def rank(self, query: Query, size: int) -> Ranking:
        """By score; what no source found is not there."""
        scorer = self.scorer
        return Ranking(self.consider(query).slots, lambda: scorer.score(self.features(query)))

    def matrix(self, query: Query, listed: Listed) -> F32:
        """The features of ``listed``, before they are scored."""
        if self._last is None or self._last[0] is not query or self._last[1] is not listed:
            matrix = self._world.matrix(query.row, listed.ids, query.asker.moment)
            self._last = (query, listed, matrix)
        self.pairs = len(listed.ids)
        return self._last[2]

    def score(self, query: Query, listed: Listed, size: int) -> F64:
        """As a server that is given its candidates."""
        return self.scorer.score(self.matrix(query, listed))

    def learn(self, asker: Asker, session: OpenSession, slot: int) -> None:
        """The world learns by itself."""


class Nightly:
    """The same, with all rows as they were at the last midnight (UTC): what a nightly job would
    have precomputed for the visitor. ``live`` says whether items listed since are scored too."""

    def __init__(self, frozen: "Frozen", live: bool) -> None:
        self.name = "nightly_live" if live else "nightly"
        self._frozen = frozen
        self._live = live

    def rank(self, query: Query, size: int) -> Ranking:
        """The visitor's list of this day."""
        return self._frozen.ranking(query.asker, self._live)

    def score(self, query: Query, listed: Listed, size: int) -> F64:
        """From the state at midnight."""
        return self._frozen.scores(query.asker, listed, self._live)

    def learn(self, asker: Asker, session: OpenSession, slot: int) -> None:
        """Nothing before midnight."""


class Frozen:
    """The live world as it was at the last midnight, but for the catalogue, which is live.

    Lists are made when a visitor first asks on a day, as a nightly job would have made them for
    everybody: from that state, at that moment, outside any session. Nobody asks before ``since``
    (ms), the beginning of the test: who asks as of an earlier time gets a list of that day.
    ``rest`` keeps rows of visitors and users that have changed since midnight.
    """

    def __init__(
        self, live: World, rest: Rest, wanted: Wanted, scorer: Scorer, since: int = 0
    ) -> None:
        self._scorer = scorer
        self._live = live
        self._world = live.lagging = Lagging(live, rest)
        self._wanted = wanted
        self._since = since
        self._day = -1
        self._known = 0
        self._lists: dict[str, Ranking] = {}
        self._new: dict[str, Ranking] = {}
        self._last: tuple[Asker, Listed, F64] | None = None

    def moment(self, asker: Asker) -> Moment:
        """When and where lists are made: at midnight, and nobody has asked."""
        return Moment(self._day * DAY, asker.utc_offset)

    def use(self, scorer: Scorer) -> None:
        """Score with ``scorer`` from now on: lists of this day are made anew."""
        self._scorer = scorer
        self._lists.clear()
        self._new.clear()

    def advance(self, at: int) -> None:
        """It is ``at`` (ms) now; what the live world has folded came before."""
        day = at // DAY
        if day <= self._day or day < self._since // DAY:
            return
        self._day = day
        self._live.catch_up()
        self._world.follow()
        self._lists.clear()
        self._new.clear()
        self._known = self._world.columns.size

    def ranking(self, asker: Asker, live: bool) -> Ranking:
        """The list of ``asker`` for this day, with the items listed since if ``live``."""
        self.advance(max(asker.at, self._since))
        listed = self._lists.get(asker.key)
        if listed is None:
            listed = self._lists[asker.key] = self._make(asker)
        columns = self._world.columns
        if not live or columns.size == self._known:
            return listed
        new = self._new.get(asker.key)
        since = range(max(self._known, columns.size - NEW), columns.size)
        if new is None or len(new.slots) < len(since):
            ids = [columns.item_ids[slot] for slot in since]
            new = self._new[asker.key] = self._scored(asker, Found(ids, []))
        return Ranking(
            np.concatenate([listed.slots, new.slots]), np.concatenate([listed.scores, new.scores])
        )

    def scores(self, asker: Asker, listed: Listed, live: bool) -> F64:
        """The scores of ``listed``; of what came since midnight only if ``live``."""
        self.advance(max(asker.at, self._since))
        if self._last is None or self._last[0] is not asker or self._last[1] is not listed:
            self._last = (asker, listed, self._scored(asker, Found(listed.ids, [])).scores)
        found = self._last[2]
        if not live:
            found = found.copy()
            found[self._world.columns.slots(listed.ids) >= self._known] = -np.inf
        return found

    def _make(self, asker: Asker) -> Ranking:
        world, midnight = self._world, self._day * DAY
        row = world.who(asker.visitor, asker.user)
        found = world.candidates(row, midnight, self._wanted)
        known = world.columns.slots(found.ids) < self._known
        ids = [id for id, old in zip(found.ids, known.tolist(), strict=True) if old]
        return self._scored(asker, Found(ids, []))

    def _scored(self, asker: Asker, found: Found) -> Ranking:
        world = self._world
        row = world.who(asker.visitor, asker.user)
        scores: F64 = self._scorer.score(world.matrix(row, found.ids, self.moment(asker)))
        return Ranking(self._live.columns.slots(found.ids), scores)
