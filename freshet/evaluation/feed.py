"""The stream of a file: in the order of its lines, what has one time in random order."""

import heapq
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

from freshet.importers.jsonl import Jsonl
from freshet.importers.online_retail import OnlineRetail
from freshet.importers.polis import VOTES, Polis
from freshet.importers.source import Read
from personalization.evaluation.prequential import Turn
from personalization.wire import KINDS, Line, parse_at

FORMATS = ("jsonl", "online-retail", "polis")
_EVER = 1 << 60


class Feed:
    """A file of events, to be read several times. ``size`` is about how many lines it has.

    Lines of one visitor or session that have the same time (as retail invoices have) come in an
    order drawn with ``seed``. ``answered`` says that an exposure is logged when it is answered.
    Several conversations of Polis come merged by time, each a part.
    Raises ``SourceError`` for a file that cannot be read.
    """

    def __init__(self, kind: str, path: Path, seed: int) -> None:
        self.path = path
        self.answered = kind == "polis"
        self._seed = seed
        self._sources: dict[str, Iterable[Read]]
        if kind == "polis":
            files = sorted(path.glob(f"*{VOTES}*")) if path.is_dir() else [path]
            polis = {file.name.partition(VOTES)[0]: Polis(file) for file in files}
            self.size = sum(source.size for source in polis.values())
            self._sources = dict(polis)
        else:
            source = OnlineRetail(path) if kind == "online-retail" else Jsonl(path)
            self.size = source.size
            self._sources = {"": source}

    def __iter__(self) -> Iterator[Turn]:
        if len(self._sources) == 1:
            ((part, source),) = self._sources.items()
            return self._shuffled(_turns(part, source))
        parts = [_timed(_turns(part, source)) for part, source in self._sources.items()]
        merged = heapq.merge(*parts, key=lambda timed: timed[0])
        return self._shuffled(turn for _, turn in merged)

    def _shuffled(self, turns: Iterable[Turn]) -> Iterator[Turn]:
        tied: dict[str, list[Turn]] = {}
        at = None
        for turn in turns:
            event = next((line for line in turn.lines if line.type not in KINDS), None)
            if event is None:
                yield turn
                continue
            now = _time(event)
            if now != at:
                yield from self._drawn(tied)
                tied, at = {}, now
            who = event.session or event.visitor or event.user or ""
            tied.setdefault(who, []).append(turn)
        yield from self._drawn(tied)

    def _drawn(self, tied: dict[str, list[Turn]]) -> Iterator[Turn]:
        for turns in tied.values():
            if len(turns) > 1:
                turns.sort(key=self._draw)
            yield from turns

    def _draw(self, turn: Turn) -> bytes:
        name = f"{self._seed}:{turn.lines[-1].id}"
        return blake2b(name.encode(), digest_size=8).digest()


def _turns(part: str, source: Iterable[Read]) -> Iterator[Turn]:
    return (Turn(read.lines, part) for read in source if read.lines)


def _timed(turns: Iterable[Turn]) -> Iterator[tuple[int, Turn]]:
    return ((_time(turn.lines[0]) or 0, turn) for turn in turns)


def _time(line: Line) -> int | None:
    try:
        return None if line.at is None else parse_at(line.at, _EVER)
    except ValueError:
        return None
