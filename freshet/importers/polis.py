"""Polis: statements shown one at a time to visitors of public deliberations, and their answers.

Each vote is an impression with its outcome: agree is a click, disagree a dislike, pass neither.
A statement is an item, its author the seller, its conversation the category. Ids are prefixed by
the conversation. Final totals of votes, and what was moderated later, are left out: they leak.

Source: Polis (compdemocracy.org), CC BY 4.0, The Computational Democracy Project.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from freshet.importers.source import Read, SourceError, content_of, open_text
from personalization.wire import Line

COMMENTS, VOTES = ".comments.csv", ".votes.csv"
_ENDINGS = ("", ".gz")
_OUTCOMES = {"1": "click", "-1": "dislike", "0": None}


class Conversation(NamedTuple):
    """The two files of a conversation."""

    name: str
    comments: Path
    votes: Path


class Polis:
    """One conversation (either of its files), or all of a folder, one after another.

    Raises ``SourceError`` where a file is missing or has other columns.
    """

    def __init__(self, path: Path) -> None:
        self._conversations = _conversations(path)
        self._digests = {
            file: content_of(file).digest
            for conversation in self._conversations
            for file in (conversation.comments, conversation.votes)
        }
        self.digest, self.size = content_of(*self._digests)

    def __iter__(self) -> Iterator[Read]:
        for conversation in self._conversations:
            yield from self._statements_and_votes(conversation)

    def _statements_and_votes(self, conversation: Conversation) -> Iterator[Read]:
        """In the order of time: a statement comes before the votes on it."""
        ordered: list[tuple[int, int, Read]] = []
        for rank, (file, read) in enumerate(
            ((conversation.comments, _statement), (conversation.votes, _vote))
        ):
            digest = self._digests[file]
            for number, row in enumerate(_rows(file), start=2):
                try:
                    at = int(row["timestamp"])
                    made = read(conversation.name, row, at, f"{digest}:{number}")
                except (KeyError, TypeError, ValueError):
                    at, made = 0, Read([], "malformed")
                ordered.append((at, rank, made))
        ordered.sort(key=lambda entry: entry[:2])
        return (made for _, _, made in ordered)


def _statement(conversation: str, row: dict[str, str], at: int, id: str) -> Read:
    line = Line(
        "item",
        item=f"{conversation}:{row['comment-id']}",
        seller=f"{conversation}:{row['author-id']}",
        at=at,
        id=id,
        attributes={"category": conversation, "text": row["comment-body"]},
    )
    return Read([line])


def _vote(conversation: str, row: dict[str, str], at: int, id: str) -> Read:
    visitor = f"{conversation}:{row['voter-id']}"
    item = f"{conversation}:{row['comment-id']}"
    outcome = _OUTCOMES[row["vote"]]
    lines = [Line("impression", visitor=visitor, items=[item], at=at, id=id)]
    if outcome is not None:
        lines.append(Line(outcome, visitor=visitor, item=item, at=at, id=f"{id}:{outcome}"))
    return Read(lines)


def _conversations(path: Path) -> list[Conversation]:
    if path.is_dir():
        found = sorted(file for end in _ENDINGS for file in path.glob(f"*{VOTES}{end}"))
        if not found:
            raise SourceError(f"{path} has no *{VOTES} or *{VOTES}.gz")
    else:
        found = [path]
    return [_conversation(file) for file in found]


def _conversation(file: Path) -> Conversation:
    for own, other in ((VOTES, COMMENTS), (COMMENTS, VOTES)):
        name, ending, rest = file.name.partition(own)
        if not ending or rest not in _ENDINGS:
            continue
        for end in _ENDINGS:
            beside = file.with_name(f"{name}{other}{end}")
            if beside.is_file():
                pair = {own: file, other: beside}
                return Conversation(name, pair[COMMENTS], pair[VOTES])
        raise SourceError(f"{file} has no {name}{other} or {name}{other}.gz beside it")
    raise SourceError(f"{file} is called neither *{VOTES} nor *{COMMENTS}, nor is it a folder")


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with open_text(file) as opened:
        yield from csv.DictReader(opened)
