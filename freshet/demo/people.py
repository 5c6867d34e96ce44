"""Who comes: people never seen before, people who return, with or without an account.

Most are never signed in and come once or twice. Someone with an account signs in at some session
and stays so; later they may come on another device, which is another visitor until they sign in
there too (at the beginning of that session).
"""

import time
from dataclasses import dataclass

import numpy as np

from freshet.demo.behaviour import Visit
from freshet.demo.world import Person, World

RETURNING_SHARE, AWAY_S = 0.35, 1.5
LONGEST_AWAY = 32
SIGN_IN, NEW_DEVICE = 0.5, 0.2


@dataclass
class Customer:
    """A person, and what the run has seen of them."""

    person: Person
    sessions: int = 0
    devices: int = 1
    signed_in: bool = False


class People:
    """Everyone who came so far. Seconds are those of the run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = np.random.default_rng([world.seed, 2])
        self._known = 0
        self._away: list[tuple[float, Customer]] = []
        # The same seed twice against one server: the same people, but not the same events.
        self._run = f"{int(time.time() * 1000):x}"

    def arrive(self, second: float) -> Customer:
        """Someone who has been away for a while, or someone new."""
        longest = self._away[:LONGEST_AWAY]
        settled = sum(1 for left, _ in longest if left + AWAY_S < second)
        if settled and self._rng.random() < RETURNING_SHARE:
            return self._away.pop(int(self._rng.integers(settled)))[1]
        self._known += 1
        return Customer(self._world.person(self._known - 1))

    def leave(self, customer: Customer, second: float) -> None:
        """The session is over; ``customer`` may return."""
        self._away.append((second, customer))

    def begin(self, customer: Customer, at: float, rng: np.random.Generator) -> tuple[Visit, bool]:
        """A new session at unix second ``at``, and whether it begins with signing in."""
        signs_in = False
        if customer.signed_in:
            if rng.random() < NEW_DEVICE:
                customer.devices += 1
                signs_in = True
        elif customer.person.has_account and rng.random() < SIGN_IN:
            customer.signed_in = signs_in = True
        name = f"{self._world.seed}-{customer.person.number}"
        visit = Visit(
            person=customer.person,
            intent=self._world.intent(customer.person, at, rng),
            visitor=f"v{name}-{customer.devices}",
            user=f"u{name}" if customer.signed_in else None,
            session=f"{self._run}-{name}-{customer.sessions}",
            returning=customer.sessions > 0,
        )
        customer.sessions += 1
        return visit, signs_in
