"""What a protocol is: which events it predicts, and what it makes of what happens next."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from personalization.evaluation.learning import Collected
from personalization.evaluation.query import Asker
from personalization.evaluation.results import Cell
from personalization.training.labels import Objective
from personalization.wire import Line


class Purpose(NamedTuple):
    """What an event is asked about for: results, examples to learn from, the choice of variants."""

    test: bool = False
    study: bool = False
    tune: bool = False


class AnyResults(Protocol):
    """Results of whatever kind."""

    @property
    def tested(self) -> int:
        """How many there are."""
        ...

    def cells(self) -> Iterable[Cell]:
        """Everything there is, arm by arm."""
        ...


class EvaluationProtocol(Protocol):
    """Predicts before an event, and learns after it."""

    @property
    def name(self) -> str:
        """As reports call it."""
        ...

    @property
    def collected(self) -> Collected:
        """Examples of events that have been predicted and have happened."""
        ...

    @property
    def objective(self) -> Objective:
        """What a model is fitted for: ``lambdarank`` or ``binary``."""
        ...

    @property
    def results(self) -> AnyResults:
        """What came of the tests so far."""
        ...

    def predicts(self, asker: Asker, line: Line) -> bool:
        """Whether the protocol asks anything before ``line``."""
        ...

    def before(self, asker: Asker, line: Line, purpose: Purpose) -> None:
        """``line``, which is predicted, comes next."""
        ...

    def after(self, asker: Asker, line: Line) -> None:
        """``line``, an event of a visitor, happened, and the world has it."""
        ...

    def settle(self) -> None:
        """The test begins: what was tuned stays as it is."""
        ...

    def finish(self) -> None:
        """The test is over: what was still open is closed."""
        ...
