"""Models as records: what was trained, and which of them serves.

The log's topic ``models`` has every model, once, and every promotion. Folded in order it says
which model is in service for each feature set. Promoting an earlier one again is the rollback.
"""

import zlib
from hashlib import blake2b
from typing import Annotated, Any, Literal

import msgspec

from personalization.codec import Codec
from personalization.ranking.ulid import decision_id

FORMULA = "formula"
"""Names what ranks before there is a model; promoting it takes the model out of service."""

MAX_MODEL_BYTES = 32 << 20
"""Of one record."""

MAX_TEXT_BYTES = 256 << 20


class Model(msgspec.Struct, frozen=True):
    """A model that was trained.

    ``columns`` are those of the feature set, in order. ``at`` is when it was trained and
    ``window`` the time of its examples, from and until, all in ms. ``metrics`` are the figures
    that the gate compared, ``card`` the whole model card as JSON has it. ``text`` is LightGBM's
    model text, compressed by zlib.
    """

    id: str
    feature_set: str
    columns: list[str]
    kind: Literal["lightgbm"]
    objective: str
    at: Annotated[int, msgspec.Meta(ge=0, lt=1 << 48)]
    window: tuple[int, int]
    metrics: dict[str, float]
    card: dict[str, Any]
    text: bytes


class Registered(msgspec.Struct, frozen=True, tag="registered"):
    """A model can be promoted from now on."""

    model: Model


class Promoted(msgspec.Struct, frozen=True, tag="promoted"):
    """From ``at`` (ms) on a feature set is served by ``model``; ``by`` whom, and ``why``."""

    model: str
    feature_set: str
    at: int
    by: str
    why: str


class ModelRecord(msgspec.Struct, frozen=True):
    """One record of the topic."""

    said: Registered | Promoted


MODEL_RECORD = Codec(ModelRecord)


class Shelved(msgspec.Struct, frozen=True):
    """A model without its text, which the record at ``offset`` has."""

    model: Model
    offset: int


def model_id(at: int, text: bytes) -> str:
    """The id of a model trained at ``at`` (ms): a ULID, the same for the same ``text``."""
    return decision_id(at, 0, blake2b(text, digest_size=8).digest())


def pack_text(text: str) -> bytes:
    """A model's text as its record keeps it."""
    return zlib.compress(text.encode())


def unpack_text(packed: bytes) -> str:
    """The text of a model. Raises ``ValueError`` where it is damaged or far too long."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(packed, MAX_TEXT_BYTES)
    except zlib.error as error:
        raise ValueError(f"the model's text is damaged: {error}") from error
    if not stream.eof:
        raise ValueError(f"the model's text is cut short, or over {MAX_TEXT_BYTES} bytes")
    return plain.decode()


class Registry:
    """All models, and which one serves each feature set: the fold of the topic.

    What names an unknown model, or one for another feature set, changes nothing.
    """

    def __init__(self) -> None:
        self._models: dict[str, Shelved] = {}
        self._promotions: dict[str, list[Promoted]] = {}

    def fold(self, record: ModelRecord, offset: int) -> None:
        """Take in the record at ``offset``, the next."""
        said = record.said
        if isinstance(said, Registered):
            bare = msgspec.structs.replace(said.model, text=b"")
            if said.model.id != FORMULA:
                self._models.setdefault(said.model.id, Shelved(bare, offset))
        elif said.model == FORMULA or self.fits(said.model, said.feature_set):
            self._promotions.setdefault(said.feature_set, []).append(said)

    def fits(self, id: str, feature_set: str) -> bool:
        """Whether there is a model ``id`` that scores ``feature_set``."""
        shelved = self._models.get(id)
        return shelved is not None and shelved.model.feature_set == feature_set

    def models(self) -> list[Shelved]:
        """All, in the order of their registration."""
        return list(self._models.values())

    def shelved(self, id: str) -> Shelved:
        """One of them. Raises ``KeyError``."""
        return self._models[id]

    def in_service(self, feature_set: str) -> str:
        """The id of the model promoted last, ``FORMULA`` where none was."""
        promotions = self._promotions.get(feature_set)
        return promotions[-1].model if promotions else FORMULA

    def promotions(self, feature_set: str) -> list[Promoted]:
        """All for a feature set, in order: the last one holds."""
        return list(self._promotions.get(feature_set, ()))
