"""The load test's clock: requests are due at their rates, and keep that time whatever happens."""

import asyncio
import math
import random
import threading
from time import perf_counter

import pytest

from freshet.loadtest.histogram import Histogram
from freshet.loadtest.schedule import Due, keep_time, pace, schedule


class Clock:
    """A clock that only waiting and working move."""

    def __init__(self) -> None:
        self.now = 100.0
        self.stopped = False

    def read(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        assert seconds >= 0
        self.now += seconds
        return self.stopped


def test_rates_are_kept_without_drift() -> None:
    """After an hour the last of each is due when it should be, and all are in order."""
    dues = list(schedule({"events": 30.0, "rank": 7.0, "probe": 0.0}, 50.0, 3600.0))
    assert [due.at for due in dues] == sorted(due.at for due in dues)
    for what, rate in (("events", 30), ("rank", 7)):
        times = [due.at for due in dues if due.what == what]
        assert len(times) == 3600 * rate
        assert times[-1] == 50.0 + (3600 * rate - 1) / rate
    assert {due.what for due in dues} == {"events", "rank"}


def test_a_stall_moves_nothing() -> None:
    """What became due during a stall of a second starts at once, with the time it had; then all
    are in time again: none is left out, and none is put off."""
    clock, started = Clock(), []

    def start(due: Due) -> None:
        started.append((due.at, clock.now))
        if len(started) == 10:
            clock.now += 1.0

    keep_time(schedule({"rank": 10.0}, 100.0, 5.0), clock.read, clock.wait, start)
    assert [at for at, _ in started] == [100.0 + number / 10 for number in range(50)]
    late = [now - at for at, now in started]
    assert late[:10] == pytest.approx([0.0] * 10)
    assert late[10:20] == pytest.approx([0.9 - number / 10 for number in range(10)])
    assert late[20:] == pytest.approx([0.0] * 30)


def test_it_ends_when_told() -> None:
    """Nothing is started after that."""
    clock, started = Clock(), []

    def start(due: Due) -> None:
        started.append(due)
        clock.stopped = len(started) == 3

    keep_time(schedule({"rank": 10.0}, 100.0, 5.0), clock.read, clock.wait, start)
    assert len(started) == 3


async def test_the_thread_starts_things_in_the_loop() -> None:
    """Never before they are due, all of them, in the loop's own thread."""
    began, started = perf_counter(), []

    def start(due: Due) -> None:
        started.append((due.at, perf_counter(), asyncio.get_running_loop()))

    await pace(schedule({"rank": 100.0}, began, 0.2), start, threading.Event())
    await asyncio.sleep(0)  # what the thread handed over last
    assert len(started) == 20
    assert all(now >= at for at, now, _ in started)
    assert {loop for _, _, loop in started} == {asyncio.get_running_loop()}


@pytest.mark.parametrize("seed", range(5))
def test_quantiles_are_within_one_per_cent(seed: int) -> None:
    """Against all times sorted: never below, and at most 1 % above; the maximum is exact."""
    drawn = random.Random(seed)
    times = [drawn.lognormvariate(-6.0, 1.5) for _ in range(drawn.randrange(1, 2_000))]
    histogram = Histogram()
    for time in times:
        histogram.add(time)
    times.sort()
    for share in (0.01, 0.5, 0.9, 0.99, 1.0):
        exact = times[math.ceil(share * len(times)) - 1]
        assert exact * (1 - 1e-9) <= histogram.quantile(share) <= exact * 1.0101
    found = histogram.quantiles()
    assert found.n == len(times)
    assert found.max == round(1000 * times[-1], 2)


def test_nothing_measured_has_no_quantiles() -> None:
    """Rather than zeros that look like good ones."""
    found = Histogram().quantiles()
    assert (found.n, found.p50, found.max) == (0, None, None)
