"""Tokens: what a client carries back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.protocol import TopicPartition
from tables.tokens import Token, TokenError

_POSITIONS = st.dictionaries(st.integers(0, 63), st.integers(0, 2**50), max_size=16)
_TOKENS = st.builds(Token, events=_POSITIONS, catalogue=_POSITIONS)


@given(_TOKENS)
def test_a_token_survives_its_text(token: Token) -> None:
    """Text is safe in a URL and gives the same token back."""
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token.text())
    assert Token.parse(token.text()) == token


@given(_TOKENS, _TOKENS)
def test_a_merged_token_stands_for_both(one: Token, other: Token) -> None:
    """Merging takes the later offset of every partition, in whichever order."""
    merged = one.merged(other)
    assert merged == other.merged(one)
    for part in (one, other):
        assert all(merged.events[p] >= offset for p, offset in part.events.items())
        assert all(merged.catalogue[p] >= offset for p, offset in part.catalogue.items())
    assert merged.merged(one) == merged


def test_a_token_of_an_append_has_entity_topics_only() -> None:
    """What the log acknowledged for events and catalogue is in it; other topics are not."""
    appended = {
        TopicPartition("visitor-events", 3): 9,
        TopicPartition("catalogue", 1): 2,
        TopicPartition("decisions", 0): 5,
    }
    assert Token.of(appended) == Token(events={3: 9}, catalogue={1: 2})


def test_tokens_are_short() -> None:
    """One event's token fits on a line."""
    assert len(Token(events={11: 1_234_567}).text()) <= 16


@pytest.mark.parametrize(
    "text",
    ["", "x", "hello there", "AAAA", "é", "%%%%", "A" * 10_000, Token().text()[:-1]],
)
def test_garbage_is_refused(text: str) -> None:
    """Anything that is no token is a ``TokenError``, never another exception."""
    with pytest.raises(TokenError):
        Token.parse(text)


def test_negative_offsets_are_refused() -> None:
    """A forged token cannot name what no log has."""
    with pytest.raises(TokenError):
        Token.parse(Token(events={-1: 5}).text())


@given(st.text(max_size=40))
def test_no_text_breaks_the_parser(text: str) -> None:
    """Parsing gives a token or a ``TokenError``."""
    try:
        Token.parse(text)
    except TokenError:
        return
