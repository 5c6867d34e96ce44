"""Records that could not be decoded or folded, kept as they came with the reason."""

import msgspec

from personalization.codec import Codec


class DeadLetter(msgspec.Struct, array_like=True, frozen=True):
    """A record of ``topic`` at ``offset`` that changed nothing (of signals: not all it should).

    ``key`` and ``value`` are its original bytes. A batch that is folded again after a crash may
    leave the same letter twice.
    """

    topic: str
    partition: int
    offset: int
    reason: str
    key: bytes | None
    value: bytes | None


DEAD_LETTER = Codec(DeadLetter)
