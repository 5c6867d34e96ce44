"""What is compared: an arm ranks the catalogue for whoever asks, then sees what happened."""

from typing import NamedTuple, Protocol

from personalization.evaluation.history import OpenSession
from personalization.evaluation.query import Asker, Query
from personalization.features.view import F64, I64


class Ranking(NamedTuple):
    """``scores`` [n] of the items in ``slots`` [n], in any order; other items come after them."""

    slots: I64
    scores: F64


class Arm(Protocol):
    """One way to rank, live: it knows every event before the one it is asked about."""

    @property
    def name(self) -> str:
        """As reports call it."""
        ...

    def rank(self, query: Query, size: int) -> Ranking:
        """The order for ``query`` of a catalogue with slots below ``size``."""
        ...

    def learn(self, asker: Asker, session: OpenSession, slot: int) -> None:
        """The asker had a positive event with ``slot``, in ``session``."""
        ...
