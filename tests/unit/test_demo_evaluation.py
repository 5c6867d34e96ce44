"""The demo's figures mean what they say."""

import numpy as np
import pytest

from freshet.demo.evaluation import (
    PageView,
    by_cohort,
    click_rates,
    lifts,
    page_rates,
    waiting_time,
)
from freshet.demo.policies import POLICIES


def view(person: int, rates: list[float], *, returning: bool = False) -> PageView:
    five = tuple(rates)
    return PageView(person, returning, False, 0.0, five, five)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """95 % intervals hold the true mean in most of 200 runs, with pages alike within people."""
    rng = np.random.default_rng(0)
    covered = 0
    for run in range(200):
        views = []
        for person in range(60):
            level = 0.2 + 0.05 * rng.normal()
            for _ in range(int(rng.integers(1, 6))):
                views.append(view(person, list(level + 0.02 * rng.normal(size=5))))
        _, low, high = click_rates(views, run)["freshet"]
        covered += low <= 0.2 <= high
    assert 178 <= covered <= 199


def test_equal_policies_have_no_lift() -> None:
    """The paired lift of equal pages is exactly 0, however much people differ."""
    rng = np.random.default_rng(1)
    views = [view(person, [float(rng.random())] * 5) for person in range(50)]
    assert lifts(views, 0)["freshet"] == (0.0, 0.0, 0.0)


def test_a_lift_is_relative_to_popularity() -> None:
    """Twice popularity's click rate on each page is a lift of 1, without doubt."""
    rng = np.random.default_rng(1)
    views = []
    for person in range(50):
        rate = float(rng.random()) / 4
        views.append(view(person, [2 * rate, rate, rate, rate, rate]))
    assert lifts(views, 0)["freshet"] == pytest.approx((1.0, 1.0, 1.0))


def test_a_lift_may_be_over_another_policy() -> None:
    """Half as many clicks again as category popularity, on each page."""
    views = [view(person, [0.3, 0.1, 0.2, 0.1, 0.4]) for person in range(9)]
    found = lifts(views, 0, over="category_popularity")
    assert found["freshet"] == pytest.approx((0.5, 0.5, 0.5))
    assert "category_popularity" not in found


def test_a_short_page_is_not_better_for_being_short() -> None:
    """A slot that a policy leaves empty counts as never clicked."""
    values = np.full(20, 0.5)
    pages = dict.fromkeys(POLICIES, np.arange(10)) | {"freshet": np.arange(4)}
    assert page_rates(pages, values) == pytest.approx((0.2, 0.5, 0.5, 0.5, 0.5))


def test_cohorts_are_split_by_who_came() -> None:
    """First-time and returning visitors have their own figures; empty cohorts are left out."""
    views = [view(1, [0.1] * 5), view(2, [0.3] * 5, returning=True)]
    cohorts = by_cohort(views, 0)
    assert cohorts["first_time"]["freshet"][0] == pytest.approx(0.1)
    assert cohorts["returning"]["freshet"][0] == pytest.approx(0.3)
    assert cohorts["logged_out"]["freshet"][0] == pytest.approx(0.2)
    assert "logged_in" not in cohorts


def test_those_never_clicked_count_as_waiting() -> None:
    """Leaving out what never ended would make the wait look shorter than it is."""
    durations = np.array([1.0, 2.0, 3.0, 10.0, 10.0, 10.0])
    ended = np.array([True, True, True, False, False, False])
    assert waiting_time(durations, ended, 0.5) == 3.0
    assert waiting_time(durations, ended, 0.9) is None
    assert waiting_time(durations[:3], ended[:3], 0.5) == 2.0
    assert waiting_time(np.array([]), np.array([], np.bool_), 0.5) is None
