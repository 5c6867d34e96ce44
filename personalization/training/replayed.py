"""Pages that no decision served, by replay: the features as of each event.

The log goes through the server's own folds once more, in the order of receipt, and the features
of a page's items are computed before the page itself is taken in. So a log without decisions can
be learned from (an imported history), and so can pages that were ranked elsewhere.

A page is an impression's items. In a log without impressions an outcome makes one: its item and
``NEGATIVES`` others, drawn from what the surface's sources would have found at that moment
(sampled negatives: what was not chosen counts as not wanted, which is not always so).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from personalization.events import CatalogueRecord, Scalar, StampedEvent
from personalization.features.view import Moment
from personalization.replaying.world import World
from personalization.state.keys import USER_VISITOR
from personalization.state.rows import VisitorRow
from personalization.training.cohorts import cohorts_of
from personalization.training.exposures import Exposures, Page
from personalization.training.lists import NO_POSITION, Lists, rows_of

NEGATIVES = 30


class Replayed:
    """Folds records into ``world``, and takes rows for ``lists`` on the way.

    ``exposures`` sees the same events. ``labels`` are the events that make a page in a log without
    impressions (none: impressions do), with candidates of ``wanted``, sources with how many each
    may bring. Pages before ``since`` (ms) are left out.
    """

    def __init__(
        self,
        world: World,
        exposures: Exposures,
        lists: Lists,
        *,
        since: int,
        labels: Mapping[str, float],
        wanted: Sequence[tuple[str, int]],
        seed: int,
    ) -> None:
        self.rows = 0
        self.missed = 0
        """Outcomes whose item no source had found."""
        self._world = world
        self._exposures = exposures
        self._lists = lists
        self._since = since
        self._labels = labels
        self._wanted = wanted
        self._random = np.random.default_rng(seed)

    def take(self, record: StampedEvent | CatalogueRecord) -> None:
        """The next record, in the order of receipt."""
        if isinstance(record, StampedEvent):
            page = self._exposures.add(record)
            if record.at >= self._since:
                if page is not None:
                    self._add(page, record)
                elif record.type in self._labels:
                    self._chosen(record)
        self._world.fold(record)

    def _chosen(self, event: StampedEvent) -> None:
        """Pages made of an outcome: one for each of its items."""
        visitor, user = _who(event)
        row = self._world.who(visitor, user)
        found = self._world.candidates(row, event.at, self._wanted).ids
        chosen = {item.item for item in event.items}
        others = [item for item in found if item not in chosen]
        for item in event.items:
            if item.item not in found:
                self.missed += 1
                continue
            negatives = min(NEGATIVES, len(others))
            drawn = self._random.choice(len(others), negatives, replace=False).tolist()
            page = Page(event.visitor, None, event.at)
            page.positions = dict.fromkeys(
                [item.item, *(others[place] for place in sorted(drawn))], NO_POSITION
            )
            page.labels[item.item] = self._labels[event.type]
            self._add(page, event, row)

    def _add(self, page: Page, event: StampedEvent, row: VisitorRow | None = None) -> None:
        visitor, user = _who(event)
        if row is None:
            row = self._world.who(visitor, user)
        context: Mapping[str, Scalar] = event.properties
        moment = Moment(event.at, event.utc_offset, event.session, context)
        items = list(page.positions)
        rows = rows_of(items, self._world.matrix(row, items, moment), event.at)
        prior = 0 if row is None else sum(row.counts)
        known = user if user is not None or row is None else row.user
        self._lists.add(page, rows, cohorts_of(prior, known))
        self.rows += len(items)


def _who(event: StampedEvent) -> tuple[str | None, str | None]:
    """Visitor and user, as a request for this page would have named them."""
    if event.user is not None and event.visitor == USER_VISITOR + event.user:
        return None, event.user
    return event.visitor, event.user
