"""One evaluation by several processes: each replays everything, and predicts for its visitors."""

import os
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier, BrokenBarrierError, Thread
from typing import Any

from freshet.evaluation.one_pass import Passed, Report, Task, run_pass
from freshet.evaluation.share import Share
from freshet.garbage import look_rarely
from personalization.evaluation.results import Results

_barrier: Any = None


def run_several(task: Task, report: Report, processes: int) -> Passed:
    """What one pass would find. This process is one of them, and reports for all.

    An exception of any of them is raised here.
    """
    context = get_context("spawn")
    barrier: Any = context.Barrier(processes)

    def ended(future: "Future[Passed]") -> None:
        if future.exception() is not None:
            barrier.abort()

    with (
        TemporaryDirectory(prefix="freshet-evaluate-") as folder,
        ProcessPoolExecutor(processes - 1, context, _begin, (barrier,)) as pool,
    ):
        others = []
        for number in range(1, processes):
            others.append(pool.submit(_other, task, number, processes, Path(folder)))
            others[-1].add_done_callback(ended)
        try:
            passed = run_pass(task, report, Share(0, processes, Path(folder), barrier))
            for future in others:
                merge(passed, future.result())
        except BrokenBarrierError:
            for future in others:
                future.result()
            raise
        finally:
            barrier.abort()  # who still waits for this process waits for nothing
        return passed


def merge(passed: Passed, other: Passed) -> None:
    """Add what ``other`` found to ``passed``."""
    if not isinstance(passed.results, Results) or not isinstance(other.results, Results):
        raise TypeError("results of exposures cannot be merged")
    passed.results.merge(other.results)
    passed.cost.merge(other.cost)


def _begin(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier
    look_rarely()
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
    os._exit(1)


def _other(task: Task, number: int, of: int, folder: Path) -> Passed:
    return run_pass(task, lambda *_: None, Share(number, of, folder, _barrier))
