"""A log whose topics are known before it is reached."""

from collections.abc import Iterable

from eventlog.protocol import EventLog, Topic


class DeclaredLog:
    """``log``, which says of ``declared`` topics how many partitions they have at any time.

    So that an API can be put together while no broker answers. Whoever starts the log checks
    that it has its topics as declared.
    """

    def __init__(self, log: EventLog, declared: Iterable[Topic]) -> None:
        self._log = log
        self._partitions = {topic.name: topic.partitions for topic in declared}
        self.whole_bytes = log.whole_bytes
        self.start = log.start
        self.stop = log.stop
        self.append = log.append
        self.start_offsets = log.start_offsets
        self.end_offsets = log.end_offsets
        self.reader = log.reader
        self.create_topics = log.create_topics

    def partitions(self, topic: str) -> int:
        return self._partitions[topic]
