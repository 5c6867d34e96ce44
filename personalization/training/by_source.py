"""What each source of candidates gave, and what it earned."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from personalization.decisions import Decision
from personalization.training.exposures import Exposures

Sources = tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """Counts of candidates: brought, on a page, seen by the visitor, followed by an outcome; and
    the sum of these outcomes' labels."""

    brought: int = 0
    shown: int = 0
    seen: int = 0
    outcomes: int = 0
    worth: float = 0.0

    def add(self, other: "Tally") -> None:
        """Count what ``other`` counts, too."""
        self.brought += other.brought
        self.shown += other.shown
        self.seen += other.seen
        self.outcomes += other.outcomes
        self.worth += other.worth


@dataclass(slots=True)
class OnSurface:
    """The rankings of one surface.

    ``together`` counts the candidates that exactly these sources brought, so that they add up;
    ``asked`` the rankings to which a source brought anything.
    """

    rankings: int = 0
    together: dict[Sources, Tally] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    def all(self) -> Tally:
        """Every candidate once."""
        return self._sum(lambda _: True)

    def of(self, source: str) -> Tally:
        """What ``source`` brought, alone or with others."""
        return self._sum(lambda sources: source in sources)

    def alone(self, source: str) -> Tally:
        """What nobody but ``source`` brought: what there would not have been without it."""
        return self._sum(lambda sources: sources == (source,))

    def _sum(self, counts: Callable[[Sources], bool]) -> Tally:
        total = Tally()
        for sources, tally in self.together.items():
            if counts(sources):
                total.add(tally)
        return total


class BySource:
    """Takes decisions in any order, and finds in ``exposures`` what came of their pages.

    A place on a page is seen if an impression, or an outcome, says so; its outcome is the best
    that followed in time (``Exposures``). Decisions at or before ``exposures.forgotten`` are left
    out: what came of them is not known any more.
    """

    def __init__(self, exposures: Exposures) -> None:
        self.surfaces: dict[str, OnSurface] = {}
        """By the surface's name."""
        self.since = 0
        self.until = 0
        """When the first and the last of the decisions were (ms); 0: there are none."""
        self._exposures = exposures

    def take(self, decision: Decision) -> None:
        """The next decision."""
        if decision.at <= self._exposures.forgotten:
            return
        self.since = min(self.since or decision.at, decision.at)
        self.until = max(self.until, decision.at)
        surface = self.surfaces.setdefault(decision.surface.name, OnSurface())
        surface.rankings += 1
        brought = [tuple(sorted(set(sources))) for sources in decision.sources]
        found = Counter(brought)
        surface.asked.update({name for sources in found for name in sources})
        for sources, count in found.items():
            surface.together.setdefault(sources, Tally()).brought += count
        page = self._exposures.decided.get(decision.id)
        for shown in decision.shown:
            tally = surface.together[brought[shown.candidate]]
            tally.shown += 1
            item = decision.candidates[shown.candidate]
            if page is not None and item in page.positions:
                label = page.labels.get(item, 0.0)
                tally.seen += 1
                tally.outcomes += label > 0.0
                tally.worth += label
