"""What is counted while the demo runs. The live view reads it, the result is made of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from freshet.demo.evaluation import PageView


def quantile_ms(seconds: Sequence[float], quantile: float) -> float | None:
    """A quantile of durations given in seconds, in milliseconds; None if there are none."""
    return round(1000.0 * float(np.quantile(seconds, quantile)), 3) if seconds else None


@dataclass
class FirstClicks:
    """Second of the run at which what is new was listed, and at which it was first clicked."""

    listed: dict[int, float] = field(default_factory=dict)
    clicked: dict[int, float] = field(default_factory=dict)

    def click(self, number: int, second: float) -> None:
        """Count a click, if ``number`` was listed during the run and never clicked before."""
        if number in self.listed:
            self.clicked.setdefault(number, second)


@dataclass
class Measurements:
    """Counts and durations (in seconds) of one run; ``last_click`` is (visitor, item)."""

    events: int = 0
    catalogue_lines: int = 0
    pages: int = 0
    shed_sessions: int = 0
    never_caught_up: int = 0
    last_click: tuple[str, str] | None = None
    rank_s: list[float] = field(default_factory=list)
    freshness_s: list[float] = field(default_factory=list)
    views: list[PageView] = field(default_factory=list)
    items: FirstClicks = field(default_factory=FirstClicks)
    sellers: FirstClicks = field(default_factory=FirstClicks)
