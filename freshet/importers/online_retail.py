"""Online Retail: the invoice lines of a UK gift shop, 2010-12-01 to 2011-12-09.

Each line is a purchase of one item; the customer is the visitor, the invoice the session. A line
without a customer belongs to a visitor named by its invoice: a logged-out basket. An item is
listed, with its price and description, when it is first bought.

Source: UCI Machine Learning Repository, "Online Retail" (D. Chen, 2015), CC BY 4.0.
"""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from freshet.importers.source import Read, SourceError, content_of, open_text
from personalization.events import Attribute
from personalization.wire import Line

COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
NOT_GOODS = frozenset(
    ("POST", "D", "M", "m", "BANK CHARGES", "AMAZONFEE", "DOT", "CRUK", "S", "PADS", "C2", "B")
)
VOUCHER = "gift"


class OnlineRetail:
    """The CSV file, plain or gzipped. Raises ``SourceError`` where its columns are others."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with open_text(path) as file:
            head = next(csv.reader(file), [])
        if tuple(head) != COLUMNS:
            raise SourceError(f"{path} is not Online Retail: its columns are {', '.join(head)}")
        self.digest, self.size = content_of(path)

    def __iter__(self) -> Iterator[Read]:
        listed: set[str] = set()
        with open_text(self._path) as file:
            rows = csv.reader(file)
            next(rows)
            for number, row in enumerate(rows, start=2):
                yield self._read(number, row, listed)

    def _read(self, number: int, row: list[str], listed: set[str]) -> Read:
        reason = _why_not(row)
        if reason is not None:
            return Read([], reason)
        invoice, item, description, quantity, date, price, customer, _ = row
        try:
            at, unit_price, units = _utc_ms(date), float(price), int(quantity)
        except ValueError:
            return Read([], "malformed")
        lines, id = [], f"{self.digest}:{number}"
        if item not in listed:
            listed.add(item)
            attributes: dict[str, Attribute] = {"price": unit_price}
            if description:
                attributes["description"] = description
            lines.append(Line("item", item=item, at=at, id=f"{id}:item", attributes=attributes))
        purchase = Line(
            "purchase",
            visitor=customer or invoice,
            item=item,
            at=at,
            id=id,
            session=invoice,
            value=round(units * unit_price, 2),
        )
        return Read([*lines, purchase])


def _why_not(row: list[str]) -> str | None:
    """Why a line is no purchase of goods, or ``None``."""
    if len(row) != len(COLUMNS):
        return "malformed"
    invoice, item, _, quantity = row[:4]
    if invoice.startswith("C"):
        return "cancellation"
    if not invoice[:1].isdigit():
        return "adjustment"
    if item in NOT_GOODS:
        return "not goods"
    if item.startswith(VOUCHER):
        return "gift voucher"
    if quantity.startswith("-") or quantity == "0":
        return "quantity not above 0"
    return None


@lru_cache(maxsize=64)
def _utc_ms(text: str) -> int:
    """The shop's local time is London's; taken as UTC, as no zone is given."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
