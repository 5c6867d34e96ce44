"""A first look at a stream: what it holds, so that protocol, test and schedule can be chosen."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from personalization.evaluation.prequential import Schedule, Turn
from personalization.evaluation.query import asker_of
from personalization.evaluation.split import DAY, Split
from personalization.plan import duration_ms
from personalization.spec import Spec
from personalization.wire import KINDS

ProtocolName = Literal["next_item", "basket", "list", "pointwise"]
EXAMPLES = 40_000
EXPOSURES = 300_000
_LONG = 90 * DAY
_SEASONS = 180 * DAY
_REFITS = 12
_FEWEST = 200


class EvaluationError(ValueError):
    """An evaluation that cannot be made of this stream; the message says why."""


@dataclass(slots=True)
class Survey:
    """Counts of events by (type, part) and by (type, day); ``first`` and ``last`` in ms."""

    types: Counter[tuple[str, str]] = field(default_factory=Counter)
    days: Counter[tuple[str, int]] = field(default_factory=Counter)
    several: int = 0
    accounts: bool = False
    first: int = 1 << 62
    last: int = 0
    turns: int = 0

    def count(self, *types: str) -> int:
        """How many events of these types there are."""
        return sum(n for (kind, _), n in self.types.items() if kind in types)


def survey(turns: Iterable[Turn], progress: Callable[[int], None]) -> Survey:
    """Read everything once. ``progress`` is told how many turns there were."""
    found = Survey()
    for turn in turns:
        found.turns += 1
        if found.turns % 1000 == 0:
            progress(found.turns)
        for line in turn.lines:
            if line.type in KINDS or line.type == "delete":
                continue
            try:
                asker = asker_of(line)
            except ValueError:
                continue
            found.first, found.last = min(found.first, asker.at), max(found.last, asker.at)
            found.types[line.type, turn.part] += 1
            found.days[line.type, asker.at // DAY] += 1
            found.accounts |= line.user is not None
            found.several += line.type == "impression" and len(line.items or ()) > 1
    if not found.types:
        raise EvaluationError("there is no event with a time in it")
    return found


def positives_of(spec: Spec, found: Survey) -> tuple[str, ...]:
    """The events that are to be brought about: those with a label that occur, else all that
    occur and have a weight above 0. Raises ``EvaluationError`` where there are none."""
    labels = [event.name for event in spec.events if event.label and found.count(event.name)]
    liked = [event.name for event in spec.events if event.weight > 0 and found.count(event.name)]
    if not liked:
        raise EvaluationError("no event in it has a weight above 0: there is nothing to predict")
    return tuple(labels or liked)


def protocol_of(found: Survey) -> ProtocolName:
    """What the data is fit for: exposures with outcomes, lists of them, or events alone."""
    if not found.count("impression"):
        return "next_item"
    return "list" if 2 * found.several > found.count("impression") else "pointwise"


def split_of(
    test: str | None, found: Survey, name: ProtocolName, positives: Sequence[str]
) -> Split:
    """What ``test`` means: the last ``30d``, the last share ``0.5`` of the predicted events of
    each part (of the time, where sessions are predicted), or ``FROM..TO`` (days, the last one
    included). Raises ``EvaluationError``."""
    if test is None:
        test = "30d" if found.last - found.first >= _LONG else "0.5"
    try:
        if ".." in test:
            first, last = (_day(text) for text in test.split("..", 1))
            return Split(first, last + DAY)
        if test[-1:].isalpha():
            return Split(found.last - duration_ms(test), found.last + 1)
        share = float(test)
    except ValueError as error:
        raise EvaluationError(
            f"--test {test!r} is none of 30d, 0.5 and 2011-11-01..2011-11-30: {error}"
        ) from error
    if not 0.0 < share < 1.0:
        raise EvaluationError(f"--test {test!r}: a share is between 0 and 1")
    if name == "basket":
        return Split(round(found.last - share * (found.last - found.first)), found.last + 1)
    before: Counter[str] = Counter()
    for (kind, part), n in found.types.items():
        if kind in predicted_by(name, positives):
            before[part] += n
    return Split(0, 1 << 62, {part: round(n * (1.0 - share)) for part, n in before.items()})


def predicted_by(name: ProtocolName, positives: Sequence[str]) -> Sequence[str]:
    """The types of the events that a protocol predicts."""
    return positives if name in ("next_item", "basket") else ("impression",)


def schedule_of(
    split: Split, found: Survey, name: ProtocolName, positives: Sequence[str], *, learn: bool
) -> Schedule:
    """When to learn, and from how many: about 40,000 lists of the 60 days before the test."""
    if not learn:
        return Schedule(0.0)
    if name == "basket":
        return Schedule(1.0, window=_SEASONS)
    window = Schedule(0.0).window
    by_count = split.start == 0
    total = sum(
        n
        for (kind, day), n in found.days.items()
        if kind in predicted_by(name, positives)
        and (by_count or split.start - window <= day * DAY < split.start)
    )
    wanted = EXPOSURES if name == "pointwise" else EXAMPLES
    share = min(1.0, wanted / max(total, 1))
    if by_count:
        several = max(total // _REFITS, _FEWEST)
        return Schedule(share, window=1 << 60, refit=0, refit_events=several, tuning=1 << 60)
    return Schedule(share)


def _day(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
