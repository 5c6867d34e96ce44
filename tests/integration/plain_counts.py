"""Counts purchases per item and per visitor in Online Retail, knowing nothing of Freshet.

Prints {"items": {code: count}, "visitors": {id: count}}. Usage: plain_counts.py FILE
"""

import csv
import gzip
import json
import sys
from collections import Counter

NOT_GOODS = {"POST", "D", "M", "m", "AMAZONFEE", "DOT", "CRUK", "S", "PADS", "C2", "B"}
NOT_GOODS.add("BANK CHARGES")

items: Counter[str] = Counter()
visitors: Counter[str] = Counter()
with gzip.open(sys.argv[1], "rt", encoding="utf-8", newline="") as file:
    for line in csv.DictReader(file):
        invoice, item = line["InvoiceNo"], line["StockCode"]
        if invoice[0].isalpha() or int(line["Quantity"]) <= 0:
            continue
        if item in NOT_GOODS or item.startswith("gift"):
            continue
        items[item] += 1
        visitors[line["CustomerID"] or invoice] += 1
print(json.dumps({"items": items, "visitors": visitors}))
