"""Made-up baskets in the format of Online Retail."""

import gzip
import random
from pathlib import Path

from freshet.importers.online_retail import COLUMNS


def some_retail(path: Path, lines: int, seed: int) -> None:
    """Baskets in the format of Online Retail, with lines that are not goods, and cancellations."""
    drawn = random.Random(seed)
    written = [",".join(COLUMNS)]
    invoice = 536_365
    while len(written) <= lines:
        invoice += 1
        customer = str(drawn.randrange(12_346, 12_646)) if drawn.random() < 0.75 else ""
        minute = f"2010-12-{1 + invoice % 28:02} {8 + invoice % 12:02}:{invoice % 60:02}:00"
        cancelled = drawn.random() < 0.05
        for _ in range(drawn.randrange(1, 30)):
            item = "POST" if drawn.random() < 0.01 else f"{20_000 + int(drawn.paretovariate(0.5))}"
            written.append(
                f"{'C' * cancelled}{invoice},{item[:20]},A THING,{-1 if cancelled else 2},"
                f"{minute},{1 + len(item)}.25,{customer},United Kingdom"
            )
    with gzip.open(path, "wt") as file:
        file.write("\n".join(written[: lines + 1]) + "\n")
