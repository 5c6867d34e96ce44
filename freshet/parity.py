"""The parity audit of a data folder: are the vectors that were served those of its log?"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eventlog.embedded import EmbeddedLog
from eventlog.protocol import Record, TopicPartition
from freshet.state import LOG, CannotOpen
from personalization.codec import CodecError
from personalization.decisions import DECISION_HEAD, Decision, scored_of
from personalization.decisions import DECISIONS as DECISION
from personalization.folding import SignalGap
from personalization.packing import Damaged
from personalization.ranking.parity import Difference, audit
from personalization.spec import Spec
from tables.decision_rows import FoldedRows, NotInLog, rows_of
from tables.rows_at import HistoryMissing
from tables.topics import DECISIONS

StageProgress = Callable[[str, int, int], None]

_READ_RECORDS = 1_000
_SHOWN = 20  # of what cannot be checked, how many are named


@dataclass(slots=True)
class Sample:
    """Decisions drawn from a log, in the order of their ids; of all ``recorded``, those of another
    spec (``other_spec``) and those that cannot be read (``unreadable``) are left out."""

    decisions: list[Decision] = field(default_factory=list)
    recorded: int = 0
    other_spec: int = 0
    unreadable: int = 0


@dataclass(slots=True)
class Parity:
    """What came of an audit.

    ``features`` counts the vectors that differ by column, ``examples`` has one of each; ``rows``
    the visitors' and users' rows that are others in the log; ``unchecked`` says of decisions why
    their vectors could not be computed again.
    """

    sample: Sample
    columns: int
    vectors: int = 0
    different_decisions: int = 0
    different_vectors: int = 0
    features: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)
    unchecked: dict[str, str] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether every decision was checked and no bit differs."""
        return not (self.different_decisions or self.unchecked)

    def add(self, decision: Decision, difference: Difference | None) -> None:
        """Count a decision that was computed again."""
        self.vectors += len(scored_of(decision))
        if difference is None:
            return
        self.different_decisions += 1
        self.different_vectors += difference.vectors
        self.features.update(difference.features)
        self.rows.update(difference.rows)
        for name, text in difference.example.items():
            self.examples.setdefault(name, f"decision {decision.id}, {text}")

    def as_json(self) -> dict[str, Any]:
        """For programs; ``holds`` is the answer."""
        return {
            "holds": self.holds,
            "decisions": len(self.sample.decisions),
            "vectors": self.vectors,
            "columns": self.columns,
            "different": {
                "decisions": self.different_decisions,
                "vectors": self.different_vectors,
                "features": dict(self.features.most_common()),
                "rows": dict(self.rows.most_common(_SHOWN)),
                "examples": self.examples,
            },
            "unchecked": len(self.unchecked),
            "why_unchecked": dict(list(self.unchecked.items())[:_SHOWN]),
            "recorded": self.sample.recorded,
            "other_spec": self.sample.other_spec,
            "unreadable": self.sample.unreadable,
        }


async def audit_folder(
    folder: Path, spec: Spec, sample: int, seed: int, progress: StageProgress
) -> Parity:
    """Compare what at most ``sample`` decisions were served with what the log gives.

    A server may have ``folder`` open: what it appends meanwhile is not looked at. Raises
    ``CannotOpen``, which says what to do.
    """
    try:
        log = EmbeddedLog(folder / LOG, read_only=True)
    except FileNotFoundError as error:
        raise CannotOpen(f"{folder} holds no log") from error
    except Exception as error:  # RocksDB's: rocksdict raises nothing narrower
        raise CannotOpen(f"{folder} cannot be read: {error}") from error
    try:
        drawn = draw(log, spec, sample, random.Random(seed), progress)
        if not drawn.decisions:
            raise CannotOpen(_nothing(folder, drawn))
        rows = await rows_of(log, spec, drawn.decisions, progress)
    except HistoryMissing as error:
        raise CannotOpen(
            f"{folder}: {error}: rows cannot be folded from their beginning"
        ) from error
    except SignalGap as error:
        raise CannotOpen(f"{folder} cannot be folded again: {error}") from error
    finally:
        await log.stop()
    return _compare(drawn, rows, spec, progress)


def draw(
    log: EmbeddedLog, spec: Spec, size: int, chance: random.Random, progress: StageProgress
) -> Sample:
    """``size`` decisions of ``spec``, each as likely as any other; all if there are fewer."""
    found = Sample()
    kept: list[Record] = []
    eligible = 0
    for record in _decisions(log, progress):
        found.recorded += 1
        try:
            head = DECISION_HEAD.decode(record.value or b"")
        except CodecError:
            found.unreadable += 1
            continue
        if (head.feature_set, head.state_id) != (spec.feature_set_id, spec.plan.state_id):
            found.other_spec += 1
            continue
        eligible += 1
        if len(kept) < size:
            kept.append(record)
        elif (place := chance.randrange(eligible)) < size:
            kept[place] = record
    for record in kept:
        try:
            found.decisions.append(DECISION.decode(record.value or b""))
        except CodecError:
            found.unreadable += 1
    found.decisions.sort(key=lambda decision: decision.id)
    return found


def _decisions(log: EmbeddedLog, progress: StageProgress) -> Iterator[Record]:
    partitions = [TopicPartition(DECISIONS, number) for number in range(log.partitions(DECISIONS))]
    total = sum(log.end_offset(tp) - log.start_offset(tp) for tp in partitions)
    done = 0
    for tp in partitions:
        first, end = log.start_offset(tp), log.end_offset(tp)
        offset = first
        while offset < end and (records := log.read(tp, offset, _READ_RECORDS)):
            yield from records
            offset = records[-1].offset + 1
            progress("decisions", done + offset - first, total)
        done += end - first


def _nothing(folder: Path, drawn: Sample) -> str:
    if drawn.other_spec:
        return (
            f"{folder}: none of {drawn.recorded:,} decisions was made with this spec: "
            "say with --spec which one to check"
        )
    return f"{folder} has no decisions to check"


def _compare(drawn: Sample, rows: FoldedRows, spec: Spec, progress: StageProgress) -> Parity:
    parity = Parity(drawn, len(spec.columns))
    for number, decision in enumerate(drawn.decisions, 1):
        try:
            parity.add(decision, audit(decision, rows, spec))
        except (NotInLog, Damaged) as error:
            parity.unchecked[decision.id] = str(error)
        progress("vectors", number, len(drawn.decisions))
    return parity
