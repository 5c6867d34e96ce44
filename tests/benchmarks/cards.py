"""A made-up stream of card payments: cards with habits, and thieves without them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from typing import Any

import msgspec
import numpy as np

from personalization.evaluation.prequential import Turn
from personalization.wire import Line

DAY, HOUR, MINUTE = 86_400_000, 3_600_000, 60_000
START = 1_767_225_600_000  # 2026-01-01
VENDORS, TRADES = 200, 12
REPORTED = "reported"
"""Says at once that the payment before was a fraud: to whoever evaluates. No spec knows it, so
that no row learns it."""


@dataclass
class Card:
    """Where its owner pays, how much (as a factor) and when."""

    name: str
    factor: float
    daily: float
    hour: float
    habits: dict[int, float] = field(default_factory=dict)


class Cards:
    """``count`` cards over ``days`` days, the same for the same ``seed``.

    Owners pay at three to six vendors of theirs, each time about what they always pay there, in
    their hours; in a fifth of the payments elsewhere, which may become a habit; sometimes
    several within an hour. A card is stolen about once in 60 days, by somebody who pays one to
    eight times, a few minutes apart, at any time of the day, where anybody might or where the thief
    already has, at first little and then about twice what is usual there.
    """

    def __init__(self, seed: int, count: int, days: int) -> None:
        self._random = np.random.default_rng(seed)
        self._days = days
        weights = 1.0 / np.arange(1, VENDORS + 1) ** 0.8
        self._popular = weights / weights.sum()
        self._prices = self._random.lognormal(3.0, 0.9, VENDORS)
        self._cards = [self._card(number) for number in range(count)]

    def __iter__(self) -> Iterator[Turn]:
        yield Turn([_line(type="item", item=f"shop{v}", seller=f"vendor{v}", at=START,
                          attributes={"category": f"trade{v % TRADES}"})
                    for v in range(VENDORS)])  # fmt: skip
        payments = merge(*(self._life(card) for card in self._cards), key=lambda paid: paid[0])
        for at, card, vendor, amount, stolen in payments:
            about = {"visitor": card, "item": f"shop{vendor}"}
            amount = round(amount, 2)
            yield Turn([_line(type="impression", at=at, properties={"amount": amount}, **about)])
            yield Turn([_line(type="payment", at=at + 1, value=amount, **about)])
            if stolen:
                yield Turn([_line(type=REPORTED, at=at + 2, **about)])

    def _card(self, number: int) -> Card:
        drawn = self._random
        card = Card(
            f"card{number}",
            float(drawn.lognormal(0.0, 0.4)),
            float(drawn.uniform(0.7, 3.0)),
            float(drawn.normal(14.0, 3.0)),
        )
        for _ in range(int(drawn.integers(3, 7))):
            self._take_up(card, self._any())
        return card

    def _any(self) -> int:
        return int(self._random.choice(VENDORS, p=self._popular))

    def _take_up(self, card: Card, vendor: int) -> None:
        card.habits[vendor] = self._usual(card, vendor) * float(self._random.lognormal(0.0, 0.3))

    def _usual(self, card: Card, vendor: int) -> float:
        return float(self._prices[vendor]) * card.factor

    def _life(self, card: Card) -> Iterator[tuple[int, str, int, float, bool]]:
        paid: list[tuple[int, str, int, float, bool]] = []
        for day in range(self._days):
            midnight = START + day * DAY
            for _ in range(int(self._random.poisson(card.daily))):
                hour = float(np.clip(self._random.normal(card.hour, 3.0), 0.0, 23.0))
                paid += self._round(card, midnight + int(hour * HOUR))
            if self._random.random() < 1 / 60:
                paid += self._theft(card, midnight + int(self._random.integers(0, 22 * HOUR)))
        return iter(sorted(paid))

    def _round(self, card: Card, at: int) -> Iterator[tuple[int, str, int, float, bool]]:
        """One payment, or several shops one after another."""
        drawn = self._random
        several = int(drawn.integers(2, 5)) if drawn.random() < 0.15 else 1
        for _ in range(several):
            if drawn.random() < 0.2:
                vendor = self._any()
                usual = card.habits.get(vendor, self._usual(card, vendor))
                if drawn.random() < 0.3:
                    self._take_up(card, vendor)
            else:
                vendor = int(drawn.choice(list(card.habits)))
                usual = card.habits[vendor]
            yield at, card.name, vendor, usual * float(drawn.lognormal(0.0, 0.35)), False
            at += int(drawn.uniform(2, 25) * MINUTE)

    def _theft(self, card: Card, at: int) -> Iterator[tuple[int, str, int, float, bool]]:
        drawn = self._random
        visited: list[int] = []
        for payment in range(int(drawn.integers(1, 9))):
            again = visited and drawn.random() < 0.5
            vendor = int(drawn.choice(visited)) if again else self._any()
            visited.append(vendor)
            times = drawn.lognormal(-0.5, 0.5) if payment == 0 else drawn.lognormal(0.7, 0.6)
            yield at, card.name, vendor, self._usual(card, vendor) * float(times), True
            at += int(drawn.uniform(1, 7) * MINUTE)


def _line(**fields: Any) -> Line:
    return msgspec.convert(fields, Line)
