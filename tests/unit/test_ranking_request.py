"""What a ranking request may be, and ids of decisions."""

import math

import msgspec
import numpy as np
import pytest

from personalization.features.view import Moment
from personalization.ranking.request import (
    CandidateIn,
    RankRequest,
    callers_candidates,
    check_ids,
    moment_of,
)
from personalization.ranking.ulid import decision_id, partition_of, time_of
from personalization.wire import Rejected


def test_the_request_of_the_documentation_parses() -> None:
    """Every field of the wire format, and what the optional ones are if absent."""
    text = b"""{"visitor": "v1", "user": null, "surface": "home",
        "candidates": ["i1", {"item": "i2", "features": {"score": 0.3}}], "limit": 20,
        "context": {"device": "phone"}, "filters": {"all": [{"price": {"lte": 80}}]},
        "token": "t", "wait": "own", "after": null, "explain": false}"""
    request = msgspec.json.decode(text, type=RankRequest)
    assert request.candidates == ["i1", CandidateIn("i2", {"score": 0.3})]
    assert msgspec.json.decode(b"{}", type=RankRequest) == RankRequest(limit=20, wait="own")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ('{"limit": 0}', "$.limit"),
        ('{"limit": 501}', "$.limit"),
        ('{"visitor": ""}', "$.visitor"),
        ('{"wait": "never"}', "$.wait"),
        (
            '{"candidates": [{"item": "a", "features": {"x": "y"}}]}',
            "$.candidates[0].features[...]",
        ),
        ('{"candidates": [""]}', "$.candidates[0]"),
        ('{"candidates": [' + ",".join(['"a"'] * 2001) + "]}", "$.candidates"),
        ('{"colour": 1}', "colour"),
    ],
    ids=lambda case: case[:40],
)
def test_a_request_out_of_bounds_does_not_parse(body: str, where: str) -> None:
    """The error names the field."""
    with pytest.raises(msgspec.ValidationError, match=where.translate({36: "."}).replace("[", ".")):
        msgspec.json.decode(body, type=RankRequest)


def test_the_moment_takes_time_zone_and_session_from_the_context() -> None:
    """Both are optional; the rest stays for context features."""
    context: dict[str, str | float | bool | None] = {"utc_offset": 120, "session": "s", "x": 1.0}
    assert moment_of(RankRequest(context=context), 5) == Moment(5, 120, "s", context)
    assert moment_of(RankRequest(), 5) == Moment(5, 0, None, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [("utc_offset", "2h"), ("utc_offset", True), ("utc_offset", 841), ("session", 3.0)],
)
def test_a_context_that_cannot_be_is_rejected(name: str, value: str | float | bool) -> None:
    """The error names the entry."""
    with pytest.raises(Rejected, match=rf"context\.{name}"):
        moment_of(RankRequest(context={name: value}), 5)


@pytest.mark.parametrize("bad", [{"visitor": "a\nb"}, {"user": "ä" * 128}, {"visitor": "user:u"}])
def test_ids_that_cannot_be_are_rejected(bad: dict[str, str]) -> None:
    """The same ids that events may not have."""
    with pytest.raises(Rejected, match=next(iter(bad))):
        check_ids(RankRequest(**bad))  # type: ignore[arg-type]


def test_a_candidate_twice_is_one_candidate() -> None:
    """The first counts; a feature that is not given is not a number."""
    ids, features = callers_candidates(
        [
            "a",
            CandidateIn("b", {"x": 1.0}),
            CandidateIn("a", {"x": 9.0}),
            CandidateIn("c", {"y": 2}),
        ]
    )
    assert ids == ["a", "b", "c"]
    np.testing.assert_array_equal(features["x"], [math.nan, 1.0, math.nan])
    np.testing.assert_array_equal(features["y"], [math.nan, math.nan, 2.0])


def test_ids_of_decisions_sort_by_time_and_name_their_partition() -> None:
    """26 characters; both facts come back."""
    ids = [decision_id(1_795_428_000_000 + ms, 15, bytes([255] * 8)) for ms in range(3)]
    assert sorted(ids) == ids
    assert [len(id) for id in ids] == [26] * 3
    assert [(partition_of(id), time_of(id)) for id in ids] == [
        (15, 1_795_428_000_000 + ms) for ms in range(3)
    ]


@pytest.mark.parametrize("text", ["", "x", "0" * 25, "0" * 27, "O" * 26, "Z" * 26])
def test_another_text_is_not_the_id_of_a_decision(text: str) -> None:
    """Length, alphabet and range are checked."""
    with pytest.raises(ValueError, match="is not the id of a decision"):
        partition_of(text)


def test_entropy_is_eight_bytes() -> None:
    """Fewer would make ids meet."""
    with pytest.raises(ValueError, match="8"):
        decision_id(1, 0, b"1234")
