"""What ranking on request costs, against precomputing for everybody every night."""

from personalization.evaluation.distinct import Distinct, count
from personalization.evaluation.query import Asker
from personalization.evaluation.split import DAY

_WEEK = 7


class Cost:
    """Counts decisions and scored pairs of the test, and who a nightly job would have served."""

    def __init__(self) -> None:
        self.decisions = 0
        self.scored_pairs = 0
        self._visitors = Distinct()
        self._by_day: dict[int, Distinct] = {}
        self._nights: list[tuple[int, int]] = []
        self._today = -1

    def saw(self, asker: Asker) -> None:
        """Somebody did something."""
        day = asker.at // DAY
        self._visitors.add(asker.key)
        if day not in self._by_day:
            self._by_day[day] = Distinct()
            for past in [past for past in self._by_day if past <= day - _WEEK]:
                del self._by_day[past]
        self._by_day[day].add(asker.key)
        if self.decisions and day > self._today:
            self._night(day)

    def asked(self, pairs: int) -> None:
        """A tested event: one ranking, of ``pairs`` candidates (0: another pass counts them)."""
        self.decisions += 1
        self.scored_pairs += pairs

    def merge(self, other: "Cost") -> None:
        """Take in the pairs of another pass over the same stream: decisions are all in both."""
        self.scored_pairs += other.scored_pairs

    def report(self, items: int) -> dict[str, float]:
        """Everything, for a catalogue of ``items`` at the end. A nightly job scores every item
        for each visitor it serves, on every night of the test."""
        if not self._nights:
            self._night(self._today)
        visitors = sum(everybody for everybody, _ in self._nights)
        actives = sum(active for _, active in self._nights)
        everybody = count([self._visitors])
        pairs = self.scored_pairs
        return {
            "decisions": self.decisions,
            "scored_pairs": pairs,
            "pairs_per_decision": round(pairs / max(self.decisions, 1), 1),
            "nights": len(self._nights),
            "visitors": everybody,
            "items": items,
            "nightly_all_visitors_pairs": visitors * items,
            "nightly_weekly_actives_pairs": actives * items,
            "nightly_similar_profiles_pairs": everybody * everybody * len(self._nights),
            "all_visitors_per_realtime_pair": round(visitors * items / max(pairs, 1), 2),
            "weekly_actives_per_realtime_pair": round(actives * items / max(pairs, 1), 2),
        }

    def _night(self, day: int) -> None:
        self._today = day
        self._nights.append((count([self._visitors]), count(self._by_day.values())))
