"""A broker that is down is news once, not ten times a second."""

import logging
import time

_LOGGERS = (
    "aiokafka",  # its client; a filter is not inherited
    "aiokafka.admin.client",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.sender",
)
_SECONDS = 30.0


class OncePerWhile(logging.Filter):
    """Lets each kind of message through once in ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._last: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether ``record`` is news."""
        now = time.monotonic()
        if now - self._last.get(record.msg, -self._seconds) < self._seconds:
            return False
        self._last[record.msg] = now
        return True


def quieten() -> None:
    """Let aiokafka say the same thing once in 30 seconds, not at every retry."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, OncePerWhile) for each in logger.filters):
            logger.addFilter(OncePerWhile(_SECONDS))
