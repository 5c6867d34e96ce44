"""What one of several processes does of an evaluation, and how it learns with the others."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any

from personalization.evaluation.bootstrap import visitor_number
from personalization.evaluation.query import Asker
from personalization.ranking.scorer import Scorer
from personalization.training.examples import Examples, joined

Fit = Callable[[Examples | None], Scorer | None]

_WAIT_SECONDS = 3600.0


@dataclass
class Share:
    """Predictions for every ``of``-th visitor. All processes take in the whole stream, so all come
    to each fit, and learn from the examples of all: number 0 fits, from files in ``folder``."""

    number: int
    of: int
    folder: Path
    barrier: Barrier
    fits: int = 0

    def mine(self, asker: Asker) -> bool:
        """Whether this process predicts for ``asker``."""
        return visitor_number(asker.key) % self.of == self.number

    def fit(self, fit: Fit, examples: Examples | None) -> Scorer | None:
        """What ``fit`` makes of the examples of all.

        Raises ``BrokenBarrierError`` if another process failed, or did not come for an hour.
        """
        self.fits += 1
        if self.number:
            self._write(self.number, examples)
        self.barrier.wait(_WAIT_SECONDS)
        if self.number == 0:
            theirs = [self._taken(number) for number in range(1, self.of)]
            parts = [part for part in (examples, *theirs) if part is not None]
            self._write(0, fit(joined(parts) if parts else None))
        self.barrier.wait(_WAIT_SECONDS)
        with self._file(0).open("rb") as file:
            scorer: Scorer | None = pickle.load(file)
        return scorer

    def _write(self, number: int, what: Examples | Scorer | None) -> None:
        with self._file(number).open("wb") as file:
            pickle.dump(what, file, pickle.HIGHEST_PROTOCOL)

    def _taken(self, number: int) -> Any:
        with self._file(number).open("rb") as file:
            examples = pickle.load(file)
        self._file(number).unlink()
        return examples

    def _file(self, number: int) -> Path:
        return self.folder / f"{self.fits}-{number}"
