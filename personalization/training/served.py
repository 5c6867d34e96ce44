"""Pages with the vectors that were served: the second half of the join, over decisions.

Nothing is computed again: a row's features are the very floats that were scored, before what was
shown could have had any effect, so nothing of the outcome can be in them.
"""

from personalization.codec import Codec
from personalization.decisions import Decision, scored_of, vectors_of
from personalization.state.rows import VisitorRow
from personalization.training.cohorts import cohorts_of
from personalization.training.exposures import Exposures, Page
from personalization.training.lists import Lists, rows_of

JOIN_MS = 10 * 60_000

_VISITORS = Codec(VisitorRow)


class Served:
    """Takes rows of ``feature_set`` for ``lists`` from decisions, in any order.

    A page joins its decision by id. One that no decision served joins, item by item, the newest
    decision that scored the item for the same visitor, at most ``window`` ms before the page
    (0: it does not).
    """

    def __init__(
        self, exposures: Exposures, lists: Lists, feature_set: str, *, window: int = JOIN_MS
    ) -> None:
        self.decisions = 0
        """How many were of this feature set."""
        self.by_id = 0
        self.by_window = 0
        """Rows found one way and the other."""
        self._decided = exposures.decided
        self._lists = lists
        self._feature_set = feature_set
        self._window = window
        self._others: dict[str, list[Page]] = {}
        for page in exposures.others if window > 0 else ():
            self._others.setdefault(page.visitor, []).append(page)

    def take(self, decision: Decision) -> None:
        """The next decision. Raises ``Damaged``."""
        if decision.feature_set != self._feature_set:
            return
        self.decisions += 1
        page = self._decided.get(decision.id)
        others = [
            other
            for other in self._others.get(decision.visitor or "", ())
            if 0 <= other.at - decision.at <= self._window
        ]
        if page is None and not others:
            return
        vectors = vectors_of(decision)
        places = {decision.candidates[c]: row for row, c in enumerate(scored_of(decision))}
        prior = sum(sum(_VISITORS.decode(one.row).counts) for one in decision.rows if one.merged)
        cohorts = cohorts_of(prior, decision.user)
        drawn = {decision.candidates[one.candidate]: one.propensity for one in decision.shown}
        for one in [*others, *([] if page is None else [page])]:
            items = [item for item in self._lists.missing(one, decision.at) if item in places]
            if not items:
                continue
            matrix = vectors[[places[item] for item in items]]
            rows = rows_of(items, matrix, decision.at, drawn if one is page else None)
            self._lists.add(one, rows, cohorts)
            if one is page:
                self.by_id += len(items)
            else:
                self.by_window += len(items)
