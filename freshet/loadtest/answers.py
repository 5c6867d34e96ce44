"""What the server answers, as far as the load test reads it."""

import msgspec


class FieldError(msgspec.Struct):
    """What is wrong with one field."""

    field: str
    reason: str


class Result(msgspec.Struct):
    """What became of one event; ``errors`` is empty if it was taken."""

    errors: list[FieldError] = []


class Written(msgspec.Struct):
    """The answer to a write."""

    token: str
    results: list[Result] = []


class Freshness(msgspec.Struct):
    """What a ranking knew: ``behind`` in changelog records by table."""

    behind: dict[str, int] = {}
    caught_up: bool | None = None


class Ranked(msgspec.Struct):
    """The part of a ranking that says how fresh it is."""

    freshness: Freshness


class Place(msgspec.Struct):
    """An item shown."""

    item: str
    reasons: list[str]


class Ranking(msgspec.Struct):
    """A whole ranking."""

    decision: str
    items: list[Place]
    freshness: Freshness


class Candidate(msgspec.Struct):
    """A candidate of a decision with the columns it was scored by."""

    item: str
    features: dict[str, float] | None = None


class Decision(msgspec.Struct):
    """A decision, opened."""

    candidates: list[Candidate]


class Problem(msgspec.Struct):
    """What an error says."""

    detail: str = ""


WRITTEN = msgspec.json.Decoder(Written)
RANKED = msgspec.json.Decoder(Ranked)
RANKING = msgspec.json.Decoder(Ranking)
DECISION = msgspec.json.Decoder(Decision)
PROBLEM = msgspec.json.Decoder(Problem)
