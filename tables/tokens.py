"""Tokens: how far the log had taken a client's writes, as short text to carry back."""

import base64
import binascii
from collections.abc import Mapping

import msgspec

from eventlog.protocol import TopicPartition
from personalization.codec import Codec, CodecError
from tables.topics import CATALOGUE, VISITOR_EVENTS

_MAX_TEXT = 4096


class TokenError(ValueError):
    """Text that is not a token, or one that this log cannot have given."""


class Token(msgspec.Struct, array_like=True, frozen=True):
    """The last offset of a client's records in each partition of the topics it wrote to.

    >>> token = Token(events={3: 41}).merged(Token(events={3: 40}, catalogue={0: 7}))
    >>> Token.parse(token.text()) == token == Token(events={3: 41}, catalogue={0: 7})
    True
    """

    events: dict[int, int] = {}
    catalogue: dict[int, int] = {}

    @classmethod
    def of(cls, appended: Mapping[TopicPartition, int]) -> "Token":
        """The token of what ``EventLog.append`` returned; other topics are left out."""
        return cls(
            events=_of_topic(appended, VISITOR_EVENTS), catalogue=_of_topic(appended, CATALOGUE)
        )

    @classmethod
    def parse(cls, text: str) -> "Token":
        """The token written as ``text``. Raises ``TokenError``."""
        if len(text) > _MAX_TEXT:
            raise TokenError(f"a token has at most {_MAX_TEXT} characters, not {len(text)}")
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            token = _CODEC.decode(data)
        except (binascii.Error, ValueError, CodecError) as error:
            raise TokenError(f"not a token: {error}") from error
        for positions in (token.events, token.catalogue):
            if any(partition < 0 or offset < 0 for partition, offset in positions.items()):
                raise TokenError("not a token: partitions and offsets are never negative")
        return token

    def text(self) -> str:
        """URL-safe text: base64 of MessagePack after a version byte."""
        return base64.urlsafe_b64encode(_CODEC.encode(self)).rstrip(b"=").decode()

    def merged(self, other: "Token") -> "Token":
        """The token that is reached once both are."""
        return Token(
            events=_later(self.events, other.events),
            catalogue=_later(self.catalogue, other.catalogue),
        )


_CODEC = Codec(Token)


def _of_topic(appended: Mapping[TopicPartition, int], topic: str) -> dict[int, int]:
    return {tp.partition: offset for tp, offset in sorted(appended.items()) if tp.topic == topic}


def _later(one: dict[int, int], other: dict[int, int]) -> dict[int, int]:
    return {
        partition: max(one.get(partition, -1), other.get(partition, -1))
        for partition in sorted(one.keys() | other.keys())
    }
