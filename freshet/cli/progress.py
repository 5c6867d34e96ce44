"""Progress of long work, on stderr: bars in a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

_LINE_SECONDS = 5.0


class Bars:
    """A bar for every stage. Use as a context manager.

    Outside a terminal ``line`` is told (stage, done, total) now and then, else it is printed.
    """

    def __init__(
        self, console: Console, line: Callable[[str, int, int], None] | None = None
    ) -> None:
        self._console = console
        self._line = line or self._print
        self._tasks: dict[str, TaskID] = {}
        self._said = 0.0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Show nothing any more."""
        self._progress.stop()

    def report(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` of ``stage``."""
        if not self._console.is_terminal:
            now = time.monotonic()
            if done >= total or now - self._said >= _LINE_SECONDS:
                self._said = now
                self._line(stage, done, total)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage)
        self._progress.update(self._tasks[stage], completed=done, total=total)

    def _print(self, stage: str, done: int, total: int) -> None:
        self._console.print(f"{stage}: {done:,} of {total:,}", highlight=False)
