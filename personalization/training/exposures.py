"""What was seen, and what came of it: the first half of the join, over visitor-events."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from personalization.events import SERVED, StampedEvent
from personalization.training.labels import IMPRESSION

OUTCOME_MS = 24 * 3_600_000


@dataclass(slots=True)
class Page:
    """Items that ``visitor`` saw together from ``at`` (ms) on: of each its position, from 0, and
    the best label of what followed. ``decision`` served them, if one did."""

    visitor: str
    decision: str | None
    at: int
    positions: dict[str, int] = field(default_factory=dict)
    labels: dict[str, float] = field(default_factory=dict)


class Exposures:
    """Pages, from events in each visitor's order.

    An outcome belongs to the page of the decision that it names, else to the page on which its
    visitor saw the item last; only if it came at most ``window`` ms later, and not before. A
    decision of which no impression was ever sent counts as seen when an outcome names it. Kept
    are the newest pages, about ``most``.
    """

    def __init__(
        self, labels: Mapping[str, float], *, window: int = OUTCOME_MS, most: int = 200_000
    ) -> None:
        self.decided: dict[str, Page] = {}
        """Pages by the id of their decision."""
        self.others: list[Page] = []
        """Pages that no decision served, as far as is known."""
        self.events = 0
        self.forgotten = 0
        """When the newest decided page was (ms) that is not kept any more."""
        self._labels = labels
        self._window = window
        self._most = most
        self._served: dict[str, Page] = {}
        self._seen: dict[tuple[str, str], Page] = {}

    def add(self, event: StampedEvent) -> Page | None:
        """Take in the next event of its visitor; the page it opens, if no decision served that."""
        self.events += 1
        if event.type == SERVED and event.decision is not None:
            self._served[event.decision] = self._page(event)
            self._bound(self._served)
        elif event.type == IMPRESSION:
            return self._impression(event)
        elif event.type in self._labels:
            self._outcome(event)
        return None

    def _impression(self, event: StampedEvent) -> Page | None:
        opened = None
        if event.decision is None:
            page = opened = self._page(event)
            self.others.append(page)
            if len(self.others) > self._most:
                del self.others[: self._most // 10]
        else:
            page = self._of_decision(event.decision, event)
            for item in event.items:
                page.positions.setdefault(item.item, self._place(page, item.item))
        for item in event.items:
            self._seen[event.visitor, item.item] = page
        while len(self._seen) > 20 * self._most:
            del self._seen[next(iter(self._seen))]
        return opened

    def _of_decision(self, decision: str, event: StampedEvent) -> Page:
        page = self.decided.get(decision)
        if page is None:
            page = self.decided[decision] = Page(event.visitor, decision, event.at)
            self._bound(self.decided)
        return page

    def _place(self, page: Page, item: str) -> int:
        """Where the decision put the item, or else where the impression did."""
        served = self._served.get(page.decision or "")
        if served is not None and item in served.positions:
            return served.positions[item]
        return len(page.positions)

    def _outcome(self, event: StampedEvent) -> None:
        label = self._labels[event.type]
        for item in event.items:
            page = self._blamed(event, item.item)
            if page is not None and 0 <= event.at - page.at <= self._window:
                page.labels[item.item] = max(label, page.labels.get(item.item, 0.0))

    def _blamed(self, event: StampedEvent, item: str) -> Page | None:
        if event.decision is None:
            return self._seen.get((event.visitor, item))
        page = self.decided.get(event.decision)
        if page is None:
            page = self._served.get(event.decision)
            if page is None:
                return None
            self.decided[event.decision] = page
        return page if item in page.positions else None

    @staticmethod
    def _page(event: StampedEvent) -> Page:
        positions = {item.item: place for place, item in enumerate(event.items)}
        return Page(event.visitor, event.decision, event.at, positions)

    def _bound(self, pages: dict[str, Page]) -> None:
        """Forget the oldest."""
        while len(pages) > self._most:
            forgotten = pages.pop(next(iter(pages)))
            self.forgotten = max(self.forgotten, forgotten.at)
