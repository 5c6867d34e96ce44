"""Parts of the API by themselves."""

import msgspec
import pytest

from api.overlay import RecentItems
from api.problems import Problem, undecodable
from api.settings import BindRefused, check_bind
from eventlog.protocol import TopicPartition
from personalization.events import CatalogueRecord, Stamp
from personalization.presets.marketplace import marketplace
from personalization.state.rows import CatalogueRow
from tables.topics import CATALOGUE

TP = TopicPartition(CATALOGUE, 2)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    """What only this machine can reach is open by default."""
    check_bind(host, ())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.2", "example.org", "127.0.0.1.x"])
def test_elsewhere_needs_keys(host: str) -> None:
    """The refusal says what to do; with a key any address is fine."""
    with pytest.raises(BindRefused, match="set API keys"):
        check_bind(host, ())
    check_bind(host, ("key",))


class Replica:
    """What is under the overlay: one row at most, applied up to an offset."""

    def __init__(self) -> None:
        self.rows: dict[str, CatalogueRow] = {}
        self.applied = -1
        self.stamped = 0

    def row(self, item: str) -> CatalogueRow | None:
        return self.rows.get(item)

    def stamp(self, item: str) -> Stamp:
        self.stamped += 1
        return Stamp(item)


def patch(at: int, **attributes: float | None) -> CatalogueRecord:
    return CatalogueRecord("patch", "item", "i1", at, None, dict(attributes))


def test_an_overlay_gives_way_to_the_replica() -> None:
    """Records count from their append until the replica has applied them, in their order."""
    replica = Replica()
    items = RecentItems(replica, marketplace.plan, applied=lambda partition: replica.applied)
    items.appended([(patch(1, price=1.0), TP), (patch(2, price=2.0), TP)], {TP: 8})
    items.appended([(CatalogueRecord("put", "seller", "i1", 1), TP)], {TP: 9})
    items.appended([(patch(3, price=3.0), TP)], {TP: 10})
    assert items.stamp("i1").attributes == {"price": 3.0}
    assert items.stamp("i2") == Stamp("i2")
    replica.applied = 9
    replica.rows["i1"] = CatalogueRow(8, 1, 2, "s1", {"price": 2.0})
    items.forget_applied()
    assert items.stamp("i1") == Stamp("i1", "s1", {"price": 3.0})
    replica.applied = 10
    items.forget_applied()
    assert items.stamp("i1") == Stamp("i1")
    assert replica.stamped == 2


def test_an_overlay_leaves_out_what_no_row_can_take() -> None:
    """As the agent does: a patch that makes the attributes too large changes nothing."""
    replica = Replica()
    items = RecentItems(replica, marketplace.plan, applied=lambda partition: -1)
    large = {f"a{n}": "x" * 2000 for n in range(2)}
    for name, text in large.items():
        record = CatalogueRecord("patch", "item", "i1", 1, None, {name: text})
        items.appended([(record, TP)], {TP: 1})
    more = CatalogueRecord("patch", "item", "i1", 1, None, {"b": "x" * 2000})
    items.appended([(more, TP), (patch(2, price=4.0), TP)], {TP: 2})
    row = items.row("i1")
    assert row is not None
    assert row.attributes == {**large, "price": 4.0}


def problem_of(body: bytes, place: str = "") -> Problem:
    with pytest.raises(msgspec.DecodeError) as error:
        msgspec.json.decode(body, type=list[dict[str, float]])
    return undecodable(error.value, body, place)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b'[{"a": 1}, {"b": "x"}]', 422, "[1][...]"),
        (b'[{"a": NaN}]', 400, "a"),
        (b'[{"a": -Infinity}]', 400, "a"),
        (b'[{"a": 1e400}]', 422, "[0][...]"),
    ],
)
def test_a_problem_names_the_field(body: bytes, status: int, field: str) -> None:
    """From what the decoder says, wherever in the request the body is."""
    problem = problem_of(body)
    assert (problem.status, problem.body.errors[0].field) == (status, field)
    within = problem_of(body, "[7]").body.errors[0].field
    assert within == (f"[7]{field}" if field.startswith("[") else f"[7].{field}")


def test_a_problem_without_a_field_has_none() -> None:
    """Where the body just ends, only that is said."""
    problem = problem_of(b'[{"a": ')
    assert problem.body.errors == []
    assert "not JSON" in problem.body.detail
