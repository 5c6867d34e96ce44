"""Models as records, and which of them serves."""

import msgspec
import pytest

from personalization.models import (
    FORMULA,
    MODEL_RECORD,
    ModelRecord,
    Promoted,
    Registered,
    Registry,
    model_id,
    pack_text,
    unpack_text,
)
from tests.boosters import made, record

MODEL = record(made(1, trees=1))


def promoted(model: str, feature_set: str = "f1", at: int = 5) -> ModelRecord:
    """A promotion."""
    return ModelRecord(Promoted(model, feature_set, at, "test", "better"))


def registered(id: str, feature_set: str = "f1") -> ModelRecord:
    """A registration."""
    return ModelRecord(Registered(msgspec.structs.replace(MODEL, id=id, feature_set=feature_set)))


def folded(*records: ModelRecord) -> Registry:
    """What records say."""
    registry = Registry()
    for offset, each in enumerate(records):
        registry.fold(each, offset)
    return registry


def test_a_record_comes_back_as_it_was() -> None:
    """Both kinds, in one topic."""
    for each in (registered("m1"), promoted("m1")):
        assert MODEL_RECORD.decode(MODEL_RECORD.encode(each)) == each
    assert pack_text(unpack_text(MODEL.text)) == MODEL.text


def test_the_model_promoted_last_serves_its_feature_set() -> None:
    """Others have their own; before any promotion it is the formula."""
    registry = folded(registered("m1"), registered("m2"), registered("n1", "f2"), promoted("m1"))
    assert registry.in_service("f1") == "m1"
    assert registry.in_service("f2") == FORMULA
    registry.fold(promoted("m2"), 4)
    registry.fold(promoted("n1", "f2"), 5)
    assert (registry.in_service("f1"), registry.in_service("f2")) == ("m2", "n1")


def test_promoting_the_one_before_is_the_rollback() -> None:
    """To a model or to the formula; the log keeps who did what and why."""
    registry = folded(registered("m1"), promoted("m1"), promoted(FORMULA), promoted("m1", at=9))
    assert registry.in_service("f1") == "m1"
    assert [each.model for each in registry.promotions("f1")] == ["m1", FORMULA, "m1"]
    assert registry.promotions("f1")[-1] == Promoted("m1", "f1", 9, "test", "better")


def test_what_cannot_be_is_passed_over() -> None:
    """A promotion of what is not there, or of what scores another feature set; a model that calls
    itself the formula; a second one of the same id."""
    registry = folded(
        registered("m1"),
        promoted("m2"),
        promoted("m1", "f2"),
        registered(FORMULA),
        registered("m1", "f2"),
    )
    assert registry.in_service("f1") == registry.in_service("f2") == FORMULA
    assert [each.model.id for each in registry.models()] == ["m1"]
    shelved = registry.shelved("m1")
    assert (shelved.offset, shelved.model.feature_set, shelved.model.text) == (0, "f1", b"")
    with pytest.raises(KeyError):
        registry.shelved("m2")


def test_the_same_model_has_the_same_id() -> None:
    """Registering once more what was registered makes no second one; ids sort by time."""
    assert model_id(5, b"a") == model_id(5, b"a") != model_id(5, b"b")
    assert model_id(5, b"b") < model_id(6, b"a")
