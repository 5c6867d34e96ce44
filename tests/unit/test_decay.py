"""Decay: right to the last bits, and the same bits however it is called."""

import math
import random
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from personalization.decay import decay_columns, decay_factor, decay_vector, log1p

pytestmark = pytest.mark.kernel

HOUR, DAY, MONTH = 3_600_000, 86_400_000, 30 * 86_400_000


def ulps(value: float, exact: float) -> float:
    return abs(value - exact) / math.ulp(exact)


def test_decay_is_a_power_of_two_within_two_ulp() -> None:
    """Against libm, for elapsed times from a millisecond to beyond the smallest float."""
    rng = random.Random(1)
    for _ in range(3_000):
        half_life = rng.choice((HOUR, DAY, MONTH, rng.uniform(1, 1e12)))
        elapsed = half_life * rng.choice((rng.random(), rng.uniform(0, 30), rng.uniform(0, 1_080)))
        assert ulps(decay_factor(elapsed, half_life), math.exp2(-(elapsed / half_life))) <= 2


def test_whole_half_lives_are_exact() -> None:
    """After n half-lives exactly 2**-n is left, down to the smallest number, then nothing."""
    for n in range(1_074):
        assert decay_factor(float(n * HOUR), HOUR) == math.ldexp(1.0, -n)
    assert decay_factor(1_074.5, 1.0) == 0.0
    assert decay_factor(1e300, 1.0) == 0.0
    assert decay_factor(math.inf, 1.0) == 0.0


def test_decay_never_grows() -> None:
    """More time never leaves more, also where one power of two meets the next."""
    factors = [decay_factor(x / 997, 1.0) for x in range(20_000)]
    assert factors[0] == 1.0
    assert all(later <= earlier for earlier, later in pairwise(factors))


def test_log1p_is_right_within_two_ulp() -> None:
    """Against libm, from tiny to huge, and below zero down to -1."""
    rng = random.Random(2)
    for _ in range(3_000):
        for x in (10 ** rng.uniform(-20, 300), -rng.random(), -(10 ** rng.uniform(-20, -1))):
            assert ulps(log1p(x), math.log1p(x)) <= 2
    assert log1p(0.0) == 0.0
    assert log1p(math.inf) == math.inf
    assert log1p(-1.0) == -math.inf
    assert math.isnan(log1p(-1.5))
    assert math.isnan(log1p(math.nan))


def columns_and_times() -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    rng = np.random.default_rng(3)
    now = 1_795_428_000_000
    at = now - rng.integers(-DAY, 100 * DAY, 257)
    return rng.random((257, 18)) * 100, at, np.array([HOUR, DAY, MONTH]), now


def test_columns_decay_to_the_same_bits_as_single_values() -> None:
    """The vectorised kernels against the scalar; a row newer than now stays as it is."""
    counters, at, half_lives, now = columns_and_times()
    decayed = decay_columns(counters, at, now, half_lives)
    for row, column in np.ndindex(*counters.shape):
        factor = decay_factor(max(float(now - at[row]), 0.0), float(half_lives[column % 3]))
        assert decayed[row, column] == counters[row, column] * factor
    weights = np.ascontiguousarray(counters[:, 0])
    vector = decay_vector(weights, at, now, float(HOUR))
    assert vector.tobytes() == np.ascontiguousarray(decayed[:, 0]).tobytes()
    assert decayed[at > now].tobytes() == counters[at > now].tobytes()


def test_another_process_decays_to_the_same_bits() -> None:
    """Nothing depends on what a process compiled, loaded or ran before."""
    code = (
        "from personalization.decay import decay_factor, log1p\n"
        "print([(decay_factor(i * 1e7, 86.4e6).hex(), log1p(i / 7).hex()) for i in range(200)])"
    )
    command = [sys.executable, "-c", code]
    other = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    here = [
        (float(decay_factor(i * 1e7, 86.4e6)).hex(), float(log1p(i / 7)).hex()) for i in range(200)
    ]
    assert other.stdout.strip() == str(here)
