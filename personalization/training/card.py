"""The model card: what a model learned from, how good it is for whom, what it looks at."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from personalization.evaluation.bootstrap import Interval
from personalization.training.examples import Examples, Split
from personalization.training.fit import Fitted
from personalization.training.gate import Verdict

SHOWN_COLUMNS = 20


def card(
    *,
    feature_set: str,
    objective: str,
    labels: Mapping[str, float],
    splits: Sequence[Split],
    fitted: Fitted,
    verdict: Verdict,
    in_service: str,
    sources: Mapping[str, int],
    seed: int,
) -> dict[str, Any]:
    """As JSON has it. ``splits`` are those judged, and last that of the model itself; ``sources``
    says where rows come from, and how many."""
    total = sum(fitted.importance.values()) or 1.0
    parts = {"train": splits[-1].train, "stop": splits[-1].stop}
    return {
        "feature_set": feature_set,
        "objective": objective,
        "labels": dict(labels),
        "parts": {name: _part(part) for name, part in parts.items()},
        "judged": [
            {
                "trained": _part(split.train),
                "stopped": _part(split.stop),
                "reported": _part(split.report),
            }
            for split in splits[:-1]
        ],
        "sources": dict(sources),
        "trees": fitted.trees,
        "seed": seed,
        "in_service": in_service,
        "gate": {"promote": verdict.promote, "why": verdict.why, "pages": verdict.lists},
        "ndcg": {cohort: _rounded(of) for cohort, of in verdict.ndcg.items()},
        "off_policy": _rounded(verdict.off_policy),
        "importance": {name: round(gain / total, 4) for name, gain in fitted.importance.items()},
        "columns": len(fitted.columns),
    }


def _part(part: Examples) -> dict[str, int]:
    return {
        "from": int(part.at[0]),
        "until": int(part.at[-1]),
        "pages": len(part),
        "rows": len(part.labels),
        "positive": int((part.labels > 0.0).sum()),
    }


def _rounded(of: Mapping[str, Interval]) -> dict[str, list[float]]:
    return {name: [round(number, 5) for number in interval] for name, interval in of.items()}


def markdown(id: str, card: Mapping[str, Any]) -> str:
    """The card for people."""
    shown = list(card["parts"].items())
    shown += [(f"judged {n}", each["reported"]) for n, each in enumerate(card["judged"], start=1)]
    lines = [
        f"# Model {id}",
        "",
        f"{card['objective']}, {card['trees']} trees, feature set `{card['feature_set']}`,"
        f" seed {card['seed']}.",
        "",
        f"Gate: **{'promote' if card['gate']['promote'] else 'refused'}**: {card['gate']['why']}"
        f" (in service: {card['in_service']}).",
        "",
        "| part | from | until | pages | rows | with an outcome |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {_time(part['from'])} | {_time(part['until'])} | {part['pages']:,} |"
        f" {part['rows']:,} | {part['positive']:,} |"
        for name, part in shown
    ]
    counted = ", ".join(f"{name} {weight:g}" for name, weight in card["labels"].items())
    taken = ", ".join(f"{name} {count:,}" for name, count in card["sources"].items())
    lines += ["", f"Outcomes: {counted}. Rows: {taken}.", ""]
    lines += ["| NDCG@10 | this model | in service | difference |", "|---|---|---|---|"]
    lines += [f"| {cohort} | {_cells(of)} |" for cohort, of in card["ndcg"].items()]
    if card["off_policy"]:
        lines.append(f"| first place, by draws | {_cells(card['off_policy'])} |")
    lines += ["", "| column | share of gain |", "|---|---|"]
    lines += [
        f"| {name} | {share:.1%} |" for name, share in [*card["importance"].items()][:SHOWN_COLUMNS]
    ]
    return "\n".join([*lines, ""])


def _cells(of: Mapping[str, list[float]]) -> str:
    return " | ".join(
        "{:.4f} [{:.4f}, {:.4f}]".format(*of[name])
        for name in ("candidate", "in_service", "difference")
    )


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
