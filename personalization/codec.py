"""Bytes: MessagePack of a struct after a version byte."""

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")

VERSION = b"\x01"


class CodecError(ValueError):
    """Bytes that are not a struct of this kind and version."""


class Codec(Generic[T]):
    """Encodes and decodes one type of struct.

    >>> from personalization.state.rows import Link
    >>> codec = Codec(Link)
    >>> codec.decode(codec.encode(Link("v1", 7)))
    Link(visitor='v1', at=7)
    """

    def __init__(self, kind: type[T], version: bytes = VERSION) -> None:
        self._kind = kind
        self._version = version
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(kind)

    def encode(self, value: T) -> bytes:
        """``value`` in bytes; equal values give equal bytes."""
        return self._version + self._encoder.encode(value)

    def decode(self, data: bytes) -> T:
        """The value. Raises ``CodecError``, which says what was expected."""
        if data[:1] != self._version:
            expected = f"version byte {data[:1]!r}, not {self._version!r}"
            raise CodecError(f"{self._kind.__name__}: {expected}")
        try:
            return self._decoder.decode(memoryview(data)[1:])
        except msgspec.MsgspecError as error:
            raise CodecError(f"{self._kind.__name__}: {error}") from error
