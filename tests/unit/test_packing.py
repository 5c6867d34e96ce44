"""Packed words: every shape comes back, whatever its columns hold; damage is noticed."""

import numpy as np
import pytest

from personalization.packing import Damaged, pack_words, unpack_words

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("distinct", [1, 2, 3, 4, 5, 16, 17, 150, 2**32])
@pytest.mark.parametrize("rows", [0, 1, 2, 3, 7, 8, 100, 255, 256, 600])
def test_words_come_back(rows: int, distinct: int) -> None:
    """Columns of few values and of many, so few rows that packing them gains nothing."""
    words = np.random.default_rng(rows).integers(0, distinct, (rows, 5)).astype(np.uint32)
    packed = pack_words(words)
    assert len(packed) <= 5 * (1 + 4 * rows)
    np.testing.assert_array_equal(unpack_words(packed, rows, 5), words)


def test_few_values_take_few_bits() -> None:
    """A hundred rows: of one value 5 bytes, of two 9 and a bit each, of forty a byte each."""
    rows = np.arange(100, dtype=np.uint32)
    sizes = [len(pack_words((rows % distinct).reshape(-1, 1))) for distinct in (1, 2, 40, 100)]
    assert sizes == [5, 9 + 13, 161 + 100, 401]


def test_damage_is_noticed() -> None:
    """Bytes missing, bytes too many, a code without a value."""
    packed = pack_words((np.arange(30, dtype=np.uint32) % 3).reshape(-1, 1))
    for damaged in (b"", packed[:-1], packed + b"\x00", packed[:-1] + b"\xff"):
        with pytest.raises(Damaged):
            unpack_words(damaged, 30, 1)
