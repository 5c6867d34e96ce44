"""How often Python looks for garbage: reference counts free nearly all of ours at once."""

import gc

_THRESHOLDS = (20_000, 50, 1_000)


def look_rarely() -> None:
    """Leave alone what is there now, and look at what comes less often.

    A collection of everything holds the process for tens of ms; the usual thresholds cost a bulk
    import a sixth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
