"""How often Python looks for garbage: reference counts free nearly all of ours at once."""

import asyncio
import gc

_THRESHOLDS = (20_000, 50, 1_000)
_LOOK_SECONDS = 0.01


def look_rarely() -> None:
    """Leave alone what is there now, and look at what comes less often.

    A collection of everything holds the process for tens of ms; the usual thresholds cost what
    folds in bulk (an import, an evaluation) a sixth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


async def look_often() -> None:
    """Look at what is new a hundred times a second, for a fraction of a millisecond.

    Python would let it grow first, and hold the event loop for up to 25 ms; what has lived longer
    it would look at again and again, for up to 90 ms, though nearly all of it is rows that stay.
    So that is left alone: requests make no cycles that could wait there for a collection (nine
    objects of them in half a minute of 600 requests per second).
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            gc.collect(0)
            gc.freeze()
    finally:
        gc.enable()
