"""Ending tasks, whatever they are in the middle of."""

import asyncio
from collections.abc import Iterable

_TIMES = 6


async def cancelled(tasks: Iterable[asyncio.Task[None]], every: float = 10.0) -> None:
    """Cancel ``tasks`` and return once all have ended, however they did.

    Cancelled again after ``every`` seconds: a cancellation that comes in the same turn as what a
    task waits for can be lost (``asyncio.wait_for`` before Python 3.12), and closing a connection
    can take for ever. Raises ``RuntimeError`` that names what has not ended all the same.

    >>> async def both():
    ...     task = asyncio.create_task(asyncio.sleep(60))
    ...     await cancelled([task])
    ...     return task.cancelled()
    >>> asyncio.run(both())
    True
    """
    waiting = set(tasks)
    for _ in range(_TIMES):
        if not waiting:
            return
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=every)
    if waiting:
        names = ", ".join(sorted(task.get_name() for task in waiting))
        raise RuntimeError(f"cancelled {_TIMES} times, and still running: {names}")
