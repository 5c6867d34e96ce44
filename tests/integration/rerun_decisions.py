"""Runs recorded decisions again, knowing their records and those of models: nothing else.

Prints {"records", "different", "flips", "noticed", "foreign"}: how many came out differently, of
how many damaged copies (one bit of one vector, well packed) that was noticed, and which of the
packages that read tables or a log, or that train models, were loaded. Usage:
rerun_decisions.py DECISIONS MODELS

The files have records as bytes, each after its length (uint32, little-endian).
"""

import json
import random
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from personalization.decisions import DECISIONS, Decision, vector_bytes
from personalization.models import MODEL_RECORD, Registered
from personalization.packing import pack_words
from personalization.presets.marketplace import marketplace
from personalization.ranking.formula import Formula
from personalization.ranking.model_scorer import scorer_of
from personalization.ranking.replay import replay
from personalization.ranking.scorer import Scorer

FOREIGN = (
    "agents",
    "api",
    "eventlog",
    "freshet",
    "tables",
    "aiohttp",
    "faust",
    "lightgbm",
    "rocksdict",
)


def records(data: bytes) -> Iterator[bytes]:
    """Every record of a file's bytes."""
    start = 0
    while start < len(data):
        (size,) = struct.unpack_from("<I", data, start)
        yield data[start + 4 : start + 4 + size]
        start += 4 + size


def with_one_bit_flipped(decision: Decision, drawn: random.Random) -> Decision:
    """A copy in which one bit of one vector is another; it unpacks as well as before."""
    plain = bytearray(vector_bytes(decision))
    bit = drawn.randrange(8 * len(plain))
    plain[bit // 8] ^= 1 << bit % 8
    words = np.frombuffer(plain, np.uint32).reshape(-1, decision.columns)
    return msgspec.structs.replace(decision, vectors=pack_words(words), packed=True)


def scorers(path: str) -> dict[str, Scorer]:
    """The formula, and every model of the file at ``path``, by name."""
    formula = Formula(marketplace.columns, marketplace.feature_set_id)
    found: dict[str, Scorer] = {formula.name: formula}
    for record in records(Path(path).read_bytes()):
        said = MODEL_RECORD.decode(record).said
        if isinstance(said, Registered):
            found[said.model.id] = scorer_of(said.model)
    return found


def main(path: str, models_path: str) -> None:
    """Runs again all decisions of the file at ``path``."""
    models = scorers(models_path)
    drawn = random.Random(1)
    count, different, flips, noticed = 0, [], 0, 0
    for record in records(Path(path).read_bytes()):
        decision = DECISIONS.decode(record)
        model = models[decision.model]
        count += 1
        mismatch = replay(decision, model)
        if mismatch is not None:
            different.append([decision.id, mismatch.part, mismatch.detail])
        if vector_bytes(decision):
            flips += 1
            noticed += replay(with_one_bit_flipped(decision, drawn), model) is not None
    loaded = {name.partition(".")[0] for name in sys.modules}
    report = {
        "records": count,
        "different": different,
        "flips": flips,
        "noticed": noticed,
        "foreign": sorted(loaded.intersection(FOREIGN)),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
