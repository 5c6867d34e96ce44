"""What can be asked of a whole state in memory: who it is, what to show, what features say."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from personalization.candidates.find import find_candidates
from personalization.candidates.index import CatalogueIndex
from personalization.candidates.source import Inputs
from personalization.columns import Columns, view_of
from personalization.features.matrix import feature_matrix
from personalization.features.view import F32, F64, Moment, View
from personalization.ranking.hydrate import hydrate
from personalization.spec import Spec
from personalization.state.rows import VisitorRow


class Found(NamedTuple):
    """Candidates' ids, and for each the sources that found it."""

    ids: list[str]
    sources: list[list[str]]


class Reader:
    """A state that a ranking reads (``StateReader``), with what a server does with it."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    @property
    def columns(self) -> Columns:
        """Items, sellers, segments and the catalogue."""
        raise NotImplementedError

    def visitor(self, id: str) -> tuple[int, bytes] | None:
        """A visitor's encoded row; there is one partition."""
        raise NotImplementedError

    def user(self, id: str) -> tuple[int, bytes] | None:
        """A user's encoded row."""
        raise NotImplementedError

    def index(self, now: int) -> CatalogueIndex:
        """The lists that sources draw from."""
        raise NotImplementedError

    def who(self, visitor: str | None, user: str | None = None) -> VisitorRow | None:
        """The row of ``visitor`` merged with those linked to it; ``None`` if never seen."""
        return hydrate(visitor, user, self, self.spec.plan).visitor

    def candidates(
        self, visitor: VisitorRow | None, now: int, wanted: Sequence[tuple[str, int]]
    ) -> Found:
        """What the sources, each with how many it may bring, find for ``visitor`` at ``now``."""
        inputs = Inputs(self.columns, self.index(now), visitor, now)
        return Found(*find_candidates(wanted, inputs))

    def view(
        self,
        visitor: VisitorRow | None,
        ids: Sequence[str],
        moment: Moment,
        caller: Mapping[str, F64] | None = None,
    ) -> View:
        """What features read to rank ``ids`` for ``visitor``, a merged row, at ``moment``."""
        return view_of(self.columns, moment, ids, visitor, caller)

    def matrix(
        self,
        visitor: VisitorRow | None,
        ids: Sequence[str],
        moment: Moment,
        caller: Mapping[str, F64] | None = None,
    ) -> F32:
        """The features of ``ids``, float32[n, columns], as a server would compute them."""
        return feature_matrix(self.spec, self.view(visitor, ids, moment, caller))
