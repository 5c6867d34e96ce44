"""Ids of decisions: ULIDs that also say the partition the decision is kept in.

48 bits of time (ms), 16 of partition, 64 of randomness, in Crockford's base 32: 26 characters
that sort by time.
"""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_DIGITS = {character: value for value, character in enumerate(_ALPHABET)}
_LENGTH = 26


def decision_id(now: int, partition: int, entropy: bytes) -> str:
    """The id of a decision made at ``now`` (ms), kept in ``partition``; ``entropy`` is 8 bytes.

    >>> decision_id(1_795_428_000_123, 3, bytes(8))
    '01M83XJ8BV001G000000000000'
    """
    if len(entropy) != 8:
        raise ValueError(f"entropy is {len(entropy)} bytes, not 8")
    number = now << 80 | partition << 64 | int.from_bytes(entropy, "big")
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def partition_of(id: str) -> int:
    """The partition named in a decision's id. Raises ``ValueError`` where it is not one.

    >>> partition_of("01M83XJ8BV001G000000000000")
    3
    """
    return _number(id) >> 64 & 0xFFFF


def time_of(id: str) -> int:
    """When the decision was made, in ms. Raises ``ValueError`` where ``id`` is not one.

    >>> time_of("01M83XJ8BV001G000000000000")
    1795428000123
    """
    return _number(id) >> 80


def _number(id: str) -> int:
    number = 0
    for character in id:
        digit = _DIGITS.get(character)
        if digit is None:
            raise ValueError(f"{id!r} is not the id of a decision")
        number = number << 5 | digit
    if len(id) != _LENGTH or number >> 128:
        raise ValueError(f"{id!r} is not the id of a decision")
    return number
