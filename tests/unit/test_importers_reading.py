"""Importers: what each line of the real sets and of the wire format becomes."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from freshet.importers.jsonl import MAX_LINE_BYTES, Jsonl
from freshet.importers.online_retail import COLUMNS, OnlineRetail
from freshet.importers.polis import Polis
from freshet.importers.source import Read, Source, SourceError
from personalization.wire import Line

HOUR_MS = 3_600_000
MIDNIGHT = 1_291_161_600_000  # 2010-12-01T00:00:00Z


def retail(path: Path, *rows: str) -> OnlineRetail:
    path.write_text("\n".join([",".join(COLUMNS), *rows, ""]))
    return OnlineRetail(path)


def reasons(source: Source) -> Counter[str | None]:
    return Counter(read.skipped for read in source)


def test_an_invoice_line_is_a_purchase(tmp_path: Path) -> None:
    """Customer, code, invoice, time and amount of a line become one event."""
    source = retail(
        tmp_path / "r.csv", "536365,21730,A GLASS STAR,6,2010-12-01 08:30:00,4.25,17850,UK"
    )
    ((lines, skipped),) = source
    assert skipped is None
    listed, bought = lines
    at = MIDNIGHT + 8 * HOUR_MS + HOUR_MS // 2
    assert listed == Line(
        "item",
        item="21730",
        at=at,
        id=f"{source.digest}:2:item",
        attributes={"price": 4.25, "description": "A GLASS STAR"},
    )
    assert bought == Line(
        "purchase",
        visitor="17850",
        item="21730",
        at=at,
        id=f"{source.digest}:2",
        session="536365",
        value=25.5,
    )


def test_a_line_without_customer_belongs_to_its_invoice(tmp_path: Path) -> None:
    """Logged-out baskets are visitors of their own; an item is listed once."""
    source = retail(
        tmp_path / "r.csv",
        "536544,21773,,1,2010-12-01 14:32:00,2.51,,UK",
        "536544,21773,,1,2010-12-01 14:32:00,2.51,,UK",
    )
    first, second = source
    assert [line.type for line in first.lines] == ["item", "purchase"]
    assert first.lines[0].attributes == {"price": 2.51}
    assert [line.type for line in second.lines] == ["purchase"]
    assert second.lines[0].visitor == "536544"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("C536379,D,Discount,-1,2010-12-01 09:41:00,27.5,14527,UK", "cancellation"),
        ("A563185,B,Adjust bad debt,1,2011-08-12 14:50:00,11062.06,,UK", "adjustment"),
        ("536370,POST,POSTAGE,3,2010-12-01 08:45:00,18,12583,France", "not goods"),
        ("536370,M,Manual,3,2010-12-01 08:45:00,18,12583,France", "not goods"),
        ("536370,gift_0001_20,Voucher,1,2010-12-01 08:45:00,18,,UK", "gift voucher"),
        ("536589,21777,,-10,2010-12-01 16:50:00,0,,UK", "quantity not above 0"),
        ("536589,21777,,0,2010-12-01 16:50:00,0,,UK", "quantity not above 0"),
        ("536589,21777,,ten,2010-12-01 16:50:00,0,,UK", "malformed"),
        ("536589,21777,,1,yesterday,0,,UK", "malformed"),
        ("536589,21777,,1", "malformed"),
    ],
)
def test_what_is_no_purchase_of_goods_is_skipped_with_its_reason(
    tmp_path: Path, row: str, reason: str
) -> None:
    """Each kind of line that is left out is counted under a name."""
    assert list(retail(tmp_path / "r.csv", row)) == [Read([], reason)]


def test_other_csv_files_are_refused(tmp_path: Path) -> None:
    """The message says what the columns are."""
    (tmp_path / "r.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match="its columns are a, b"):
        OnlineRetail(tmp_path / "r.csv")


@pytest.mark.long
def test_the_whole_of_online_retail(shared_data: Path) -> None:
    """541,909 lines: what is taken, and what is skipped and why."""
    source = OnlineRetail(shared_data / "online_retail.csv.gz")
    assert reasons(source) == {
        None: 528_919,
        "cancellation": 9_288,
        "not goods": 2_329,
        "quantity not above 0": 1_336,
        "gift voucher": 34,
        "adjustment": 3,
    }


def conversation(folder: Path, name: str = "talk") -> None:
    (folder / f"{name}.comments.csv").write_text(
        "timestamp,comment-id,author-id,agrees,disagrees,moderated,comment-body\n"
        '1435654192077,0,7,502,187,1,"Yes,\nor no"\n'
        "1435654233176,1,8,2,25,-1,Perhaps\n"
    )
    with gzip.open(folder / f"{name}.votes.csv.gz", "wt") as file:
        file.write(
            "timestamp,comment-id,voter-id,vote\n"
            "1435654300000,1,5,-1\n"
            "1435654192085,0,4,1\n"
            "1435654200000,0,5,0\n"
            "1435654400000,1,4,2\n"
        )


def test_a_vote_is_an_impression_with_its_outcome(tmp_path: Path) -> None:
    """Agree is a click, disagree a dislike, pass neither; all in the order of time."""
    conversation(tmp_path)
    told = [
        (line.type, line.visitor, line.item or "".join(line.items or []))
        for read in Polis(tmp_path / "talk.votes.csv.gz")
        for line in read.lines
    ]
    assert told == [
        ("item", None, "talk:0"),
        ("impression", "talk:4", "talk:0"),
        ("click", "talk:4", "talk:0"),
        ("impression", "talk:5", "talk:0"),
        ("item", None, "talk:1"),
        ("impression", "talk:5", "talk:1"),
        ("dislike", "talk:5", "talk:1"),
    ]
    assert reasons(Polis(tmp_path)) == {None: 5, "malformed": 1}


def test_a_statement_is_an_item_of_its_author(tmp_path: Path) -> None:
    """Final totals and later moderation are not told: they would leak the future."""
    conversation(tmp_path)
    lines = [line for read in Polis(tmp_path) for line in read.lines]
    item = next(line for line in lines if line.type == "item")
    assert (item.seller, item.at) == ("talk:7", 1_435_654_192_077)
    assert item.attributes == {"category": "talk", "text": "Yes,\nor no"}


def test_ids_say_file_and_line_and_never_repeat(tmp_path: Path) -> None:
    """Several conversations have ids of their own; reading again gives the same ones."""
    conversation(tmp_path, "one")
    conversation(tmp_path, "two")
    (tmp_path / "two.comments.csv").write_text(
        (tmp_path / "two.comments.csv").read_text().replace("Perhaps", "Maybe")
    )
    ids = [line.id for read in Polis(tmp_path) for line in read.lines if line.type == "item"]
    assert len(set(ids)) == len(ids) == 4
    assert [read.lines for read in Polis(tmp_path)] == [read.lines for read in Polis(tmp_path)]


def test_a_conversation_needs_both_files(tmp_path: Path) -> None:
    """What is missing is named."""
    conversation(tmp_path)
    (tmp_path / "talk.comments.csv").unlink()
    with pytest.raises(SourceError, match=r"no talk\.comments\.csv"):
        Polis(tmp_path)
    with pytest.raises(SourceError, match="has no"):
        Polis(tmp_path / "..")


@pytest.mark.long
def test_all_of_polis(shared_data: Path) -> None:
    """150,349 votes and 1,449 statements of eight conversations, none skipped."""
    source = Polis(shared_data / "polis")
    lines = Counter(line.type for read in source for line in read.lines)
    assert (lines["impression"], lines["item"]) == (150_349, 1_449)
    assert reasons(source) == {None: 151_798}


def test_lines_of_the_wire_format(tmp_path: Path) -> None:
    """One event a line; one without an id gets the file's and the line's."""
    path = tmp_path / "e.jsonl"
    path.write_text(
        '{"type": "view", "visitor": "v1", "item": "i1"}\n'
        "\n"
        '{"type": "view", "visitor": "v1", "item": "i1", "id": "mine"}\n'
        '{"type": "item", "item": "i1", "attributes": {"price": 1.5}}'
    )
    source = Jsonl(path)
    ids = [line.id for read in source for line in read.lines]
    assert ids == [f"{source.digest}:1", "mine", f"{source.digest}:4"]
    assert reasons(source) == {None: 3, "empty line": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("\N{SNOWMAN}", "not JSON"),
        ('{"type": "view", "value": NaN}', "not JSON"),
        ('{"type": 7}', "not an event: Expected `str`, got `int` - at `$.type`"),
        ('{"type": "view", "colour": "red"}', "not an event: Object contains unknown field"),
        ("[]", "not an event: Expected `object`, got `array`"),
        (json.dumps({"type": "x" * MAX_LINE_BYTES}), f"line over {MAX_LINE_BYTES} bytes"),
    ],
)
def test_lines_that_are_no_events_are_skipped_with_their_reason(
    tmp_path: Path, text: str, reason: str
) -> None:
    """One bad line costs that line only."""
    path = tmp_path / "e.jsonl"
    path.write_text(f'{text}\n{{"type": "view", "visitor": "v", "item": "i"}}\n')
    bad, good = Jsonl(path)
    assert bad.lines == []
    assert bad.skipped is not None
    assert bad.skipped.startswith(reason)
    assert good.skipped is None


def test_packed_or_plain_is_the_same_source(tmp_path: Path) -> None:
    """An import that was begun with one may go on with the other."""
    text = b'{"type": "view", "visitor": "v", "item": "i"}\n'
    (tmp_path / "e.jsonl").write_bytes(text)
    (tmp_path / "e.jsonl.gz").write_bytes(gzip.compress(text))
    plain, packed = Jsonl(tmp_path / "e.jsonl"), Jsonl(tmp_path / "e.jsonl.gz")
    assert plain.digest == packed.digest
    assert list(plain) == list(packed)


def test_a_damaged_file_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    """Not after half of it."""
    path = tmp_path / "e.jsonl.gz"
    path.write_bytes(gzip.compress(b"{}\n" * 1000)[:-8])
    with pytest.raises(SourceError, match="cannot be unpacked"):
        Jsonl(path)
    with pytest.raises(SourceError, match="cannot be read"):
        Jsonl(tmp_path / "no such file")
