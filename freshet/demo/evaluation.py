"""Was it better? Pages compared on the same candidates, and how sure that is.

**The true click rate** of a policy is the mean, over the evaluated page views, of the mean true
click probability of the ``PAGE`` items it would show (a slot left empty counts as 0). It needs no
draws, so no luck is in it, and no position: the order within the page does not matter. Every policy
gets the same page views: same person, same session, same candidates, same instant.

**The drawn click rate** is the same with clicks instead of probabilities. Each (page view, item)
has one uniform number, shared by all policies; the item is clicked where it is below the
probability. In the null world the true rates are equal by construction, so it is the drawn ones
that can catch an evaluation that favours someone.

**Intervals** are percentile bootstrap intervals at 95 % over *people*, since the page views of one
person are alike. Lifts are paired: each resample compares two policies on the same people.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freshet.demo.policies import PAGE, POLICIES
from freshet.demo.world import Floats, Ints

Interval = tuple[float, float, float]
RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class PageView:
    """One evaluated page view; ``true`` and ``drawn`` are rates in the order of ``POLICIES``."""

    person: int
    returning: bool
    logged_in: bool
    second: float
    true: tuple[float, ...]
    drawn: tuple[float, ...]


def page_rates(pages: dict[str, Ints], values: Floats) -> tuple[float, ...]:
    """The mean of ``values`` (by candidate) on each policy's page, in the order of ``POLICIES``."""
    return tuple(float(values[pages[name][:PAGE]].sum()) / PAGE for name in POLICIES)


def resample(people: Ints, values: Floats, seed: int) -> Floats:
    """Means of ``values`` (pages by k) over bootstrap resamples of people: (RESAMPLES by k)."""
    _, group = np.unique(people, return_inverse=True)
    n = int(group.max()) + 1
    pages = np.bincount(group, minlength=n).astype(np.float64)
    sums = np.zeros((n, values.shape[1]))
    np.add.at(sums, group, values)
    rng = np.random.default_rng([seed, 3])
    weights = rng.multinomial(n, np.full(n, 1.0 / n), RESAMPLES).astype(np.float64)
    return np.asarray((weights @ sums) / (weights @ pages)[:, None], np.float64)


def interval(value: float, draws: Floats) -> Interval:
    """``value`` with the ends of the central 95 % of ``draws``."""
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    return (round(value, 6), round(float(low), 6), round(float(high), 6))


def click_rates(views: list[PageView], seed: int, *, drawn: bool = False) -> dict[str, Interval]:
    """Each policy's click rate, with its interval. Empty if there are no page views."""
    if not views:
        return {}
    people, values = _arrays(views, drawn)
    draws, means = resample(people, values, seed), values.mean(axis=0)
    return {name: interval(float(means[i]), draws[:, i]) for i, name in enumerate(POLICIES)}


def lifts(
    views: list[PageView], seed: int, *, drawn: bool = False, over: str = "popularity"
) -> dict[str, Interval]:
    """Each policy's click rate over that of ``over``, minus 1 (0.2 is 20 % more), paired."""
    if not views:
        return {}
    people, values = _arrays(views, drawn)
    draws, means = resample(people, values, seed), values.mean(axis=0)
    against = POLICIES.index(over)
    found = {}
    for i, name in enumerate(POLICIES):
        if i != against and means[against] > 0.0 and np.all(draws[:, against] > 0.0):
            ratio = float(means[i] / means[against]) - 1.0
            found[name] = interval(ratio, draws[:, i] / draws[:, against] - 1.0)
    return found


def by_cohort(views: list[PageView], seed: int) -> dict[str, dict[str, Interval]]:
    """True click rates of first-time, returning, logged-out and logged-in visitors."""
    cohorts = {
        "first_time": [view for view in views if not view.returning],
        "returning": [view for view in views if view.returning],
        "logged_out": [view for view in views if not view.logged_in],
        "logged_in": [view for view in views if view.logged_in],
    }
    return {name: click_rates(some, seed) for name, some in cohorts.items() if some}


def waiting_time(durations: Floats, ended: npt.NDArray[np.bool_], quantile: float) -> float | None:
    """The time by which a share ``quantile`` has ended, if those still waiting are not left out.

    Kaplan and Meier's estimate: what never ended counts as waiting until the run's end. None if
    the share was not reached within the run.
    """
    order = np.lexsort((~ended, durations))
    at_risk = len(durations)
    surviving = 1.0
    for index in order:
        if ended[index]:
            surviving *= 1.0 - 1.0 / at_risk
            if 1.0 - surviving >= quantile - 1e-12:
                return round(float(durations[index]), 3)
        at_risk -= 1
    return None


def _arrays(views: list[PageView], drawn: bool) -> tuple[Ints, Floats]:
    people = np.array([view.person for view in views], np.int64)
    return people, np.array([view.drawn if drawn else view.true for view in views], np.float64)
