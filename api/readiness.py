"""Whether the process can serve, and what it is still doing if not."""

import msgspec


class Stage(msgspec.Struct):
    """One thing that is recovered: ``done`` of ``total`` (an estimate) rows or records."""

    name: str
    done: int = 0
    total: int = 0


class Readiness:
    """Written by who starts and stops the process, read by the routes.

    >>> readiness = Readiness()
    >>> readiness.progress("tables", 50, 200)
    >>> readiness.ready, readiness.stages
    (False, [Stage(name='tables', done=50, total=200)])
    >>> readiness.set_ready()
    >>> readiness.ready
    True
    """

    def __init__(self) -> None:
        self.waiting: str | None = None
        """What keeps recovery from going on, in words: no broker answers, say."""
        self._stages: dict[str, Stage] = {}
        self._started = False
        self._stopping = False

    @property
    def started(self) -> bool:
        """Everything is recovered: requests are served."""
        return self._started

    @property
    def ready(self) -> bool:
        """Requests are served, and the process is not about to stop."""
        return self._started and not self._stopping

    @property
    def stages(self) -> list[Stage]:
        """What was or is recovered, in order of its start."""
        return list(self._stages.values())

    def progress(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` of ``stage``."""
        self._stages[stage] = Stage(stage, done, total)

    def set_ready(self) -> None:
        """From now on requests are served."""
        self._started = True

    def set_stopping(self) -> None:
        """From now on balancers should send requests elsewhere; those that come are served."""
        self._stopping = True
