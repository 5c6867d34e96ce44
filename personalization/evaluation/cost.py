"""What ranking on request costs, against precomputing for everybody every night."""

from personalization.evaluation.distinct import Distinct, count
from personalization.evaluation.query import Asker
from personalization.evaluation.split import DAY

_WEEK = 7


class Cost:
    """Counts decisions and scored pairs of the test, and who a nightly job would have served.
    Where not all decisions are made, those that are stand for all."""

    def __init__(self) -> None:
        self.decisions = 0
        self._made = 0
        self._pairs = 0
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

    def asked(self) -> None:
        """An event of the test: a decision, whether or not it is made here."""
        self.decisions += 1

    def made(self, pairs: int) -> None:
        """One of the decisions, which scored ``pairs`` candidates."""
        self._made += 1
        self._pairs += pairs

    def merge(self, other: "Cost") -> None:
        """Take in what another pass over the same stream made of the same decisions."""
        self._made += other._made
        self._pairs += other._pairs

    def report(self, items: int) -> dict[str, float]:
        """Everything, for a catalogue of ``items`` at the end. A nightly job scores every item
        for each visitor it serves, on every night of the test."""
        if not self._nights:
            self._night(self._today)
        visitors = sum(everybody for everybody, _ in self._nights)
        actives = sum(active for _, active in self._nights)
        everybody = count([self._visitors])
        pairs = round(self._pairs * self.decisions / max(self._made, 1))
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
