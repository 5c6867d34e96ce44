"""Topics and tables: their names, what feeds them, what they keep."""

from typing import NamedTuple

from eventlog.protocol import Topic
from personalization.codec import Codec
from personalization.events import CatalogueRecord, SignalBatch, StampedEvent
from personalization.models import MAX_MODEL_BYTES
from personalization.state.rows import (
    CatalogueRow,
    ItemRow,
    SegmentRow,
    SellerRow,
    UserRow,
    VisitorRow,
    Watermark,
)

VISITOR_EVENTS = "visitor-events"
SIGNALS = "signals"
CATALOGUE = "catalogue"
DECISIONS = "decisions"
MODELS = "models"
DEAD_LETTERS = "dead-letters"

MAX_DECISION_BYTES = 8 << 20

# No id may hold control characters, so no row can have this key.
WATERMARK_KEY = b"\x00"


class Table(NamedTuple):
    """A table: the topic it is the fold of, and the struct of its rows."""

    name: str
    source: str
    row: type


VISITORS = Table("visitors", VISITOR_EVENTS, VisitorRow)
USERS = Table("users", SIGNALS, UserRow)
ITEMS = Table("items", SIGNALS, ItemRow)
SELLERS = Table("sellers", SIGNALS, SellerRow)
SEGMENTS = Table("segments", SIGNALS, SegmentRow)
CATALOGUE_ROWS = Table("catalogue", CATALOGUE, CatalogueRow)

TABLES = (VISITORS, USERS, CATALOGUE_ROWS, ITEMS, SELLERS, SEGMENTS)

_BY_NAME = {table.name: table for table in TABLES}

VISITOR_EVENT = Codec(StampedEvent)
SIGNAL_BATCH = Codec(SignalBatch)
CATALOGUE_RECORD = Codec(CatalogueRecord)
WATERMARK = Codec(Watermark)
ROWS: dict[str, Codec[object]] = {table.name: Codec(table.row) for table in TABLES}


def table_name(table: Table, state_id: str) -> str:
    """The table's name in Faust: another state layout is another table beside it."""
    return f"{table.name}-{state_id}"


def table_of(name: str) -> Table:
    """The table that ``table_name`` named. Raises ``KeyError``."""
    return _BY_NAME[name.rpartition("-")[0]]


def changelog_topic(app_id: str, table: Table, state_id: str) -> str:
    """The table's changelog, as Faust names it."""
    return f"{app_id}-{table_name(table, state_id)}-changelog"


def topics(
    app_id: str,
    state_id: str,
    partitions: int,
    decisions_retention_ms: int,
    events_retention_ms: int | None = None,
) -> list[Topic]:
    """All topics of a deployment. Entity topics are kept for good unless that is given."""
    kept = events_retention_ms
    return [
        Topic(VISITOR_EVENTS, partitions, retention_ms=kept),
        Topic(SIGNALS, partitions, retention_ms=kept, max_record_bytes=8 << 20),
        Topic(CATALOGUE, partitions, retention_ms=kept),
        Topic(
            DECISIONS,
            partitions,
            retention_ms=decisions_retention_ms,
            max_record_bytes=MAX_DECISION_BYTES,
        ),
        # One partition: which promotion is the last must be one answer.
        Topic(MODELS, 1, max_record_bytes=MAX_MODEL_BYTES),
        Topic(DEAD_LETTERS, partitions, max_record_bytes=16 << 20),
        *(
            Topic(changelog_topic(app_id, table, state_id), partitions, compacted=True)
            for table in TABLES
        ),
    ]
