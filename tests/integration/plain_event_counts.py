"""Counts what was sent, knowing nothing of Freshet: each id once.

Reads what recorded_loadtest.py wrote, and prints how many interactions of each type visitors and
items had: {"visitors": {id: {type: count}}, "items": {id: {type: count}}}. Usage:
plain_event_counts.py FILE
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

visitors: dict[str, Counter[str]] = defaultdict(Counter)
items: dict[str, Counter[str]] = defaultdict(Counter)
seen = set()
with Path(sys.argv[1]).open() as file:
    for line in file:
        sent = json.loads(line)["sent"]
        for event in sent if isinstance(sent, list) else [sent]:
            if event["id"] in seen:
                continue
            seen.add(event["id"])
            touched = event.get("items") or [event["item"]]
            visitors[event["visitor"]][event["type"]] += len(touched)
            for item in touched:
                items[item][event["type"]] += 1
print(json.dumps({"visitors": visitors, "items": items}))
