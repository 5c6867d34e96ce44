"""What came of an evaluation: as JSON for programs, as tables in a terminal."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from freshet.evaluation.run import Evaluation
from personalization.evaluation.bootstrap import Interval
from personalization.evaluation.results import Cell

REALTIME = "realtime"
ARMS = {
    "popularity": "what most people chose in the last seven days, the same for everybody",
    "recent": "the same with decay: what was chosen last counts most",
    "frequent": "what the visitor chose most often before, then what is recent",
    "knn": "what people with similar sessions chose",
    "nightly": "Freshet's model and features as of last midnight, as a nightly job has them",
    "nightly_live": "the same, but items listed since midnight are scored too",
    REALTIME: "Freshet: the same model, with everything that happened up to now",
}
METRICS = {
    "hr@10": "how often what came next was among the first ten",
    "ndcg@10": "the same, but a higher place counts more",
    "mrr": "1 divided by the place of what came next, on average",
    "ndcg": "how high in the list what came next stood",
    "auc": "how often of two exposures the one that was liked had the higher score",
    "log_loss": "how far the predicted probabilities were from what happened: lower is better",
    "calibration": "predicted likes for each that happened: 1 is right",
}


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """``{"protocol", "arms": {arm: {cohort: {"n", metric: [value, low, high]}}}, "cost"}``, and
    ``differences`` of the same shape: by how much ``realtime`` is ahead of each other arm."""
    arms: dict[str, Any] = {}
    differences: dict[str, Any] = {}
    for cell in evaluation.cells:
        _put(arms, cell, cell.value)
        if cell.ahead is not None:
            _put(differences, cell, cell.ahead)
    return {
        "protocol": evaluation.protocol,
        "arms": arms,
        "cost": evaluation.cost,
        "differences": differences,
    }


def _put(into: dict[str, Any], cell: Cell, interval: Interval) -> None:
    cohort = into.setdefault(cell.arm, {}).setdefault(cell.cohort, {"n": cell.n})
    cohort[cell.metric] = [round(part, 6) for part in interval]


def print_tables(evaluation: Evaluation, console: Console) -> None:
    """Arms against each other, then realtime against nightly by cohort, then what it costs."""
    metrics = metrics_of(evaluation)
    console.print(f"\n[b]{sentence(evaluation)}[/b]", highlight=False)
    console.print(
        f"{tested(evaluation):,} predictions of {', '.join(evaluation.positives)}, protocol"
        f" {evaluation.protocol}; {evaluation.events:,} events in {evaluation.seconds:.0f} s,"
        f" {evaluation.fits} models fitted",
        highlight=False,
    )
    table = Table("arm", *metrics, f"realtime ahead ({metrics[0]})", box=box.SIMPLE, padding=0)
    for arm in arms_of(evaluation):
        cells = {cell.metric: cell for cell in evaluation.cells if _is(cell, arm, "all")}
        ahead = cells[metrics[0]].ahead
        table.add_row(
            arm,
            *[written(cells[metric].value) for metric in metrics],
            "" if ahead is None else signed(ahead),
        )
    console.print(table)
    metric = metrics[0]
    table = Table(title=f"{metric} by cohort", box=box.SIMPLE, padding=0)
    for heading in ("", "n", *arms_of(evaluation)):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for cohort in cohorts_of(evaluation):
        row = {c.arm: c for c in evaluation.cells if c.cohort == cohort and c.metric == metric}
        n = next(iter(row.values())).n
        values = [f"{row[arm].value[0]:.3f}" for arm in arms_of(evaluation)]
        table.add_row(cohort.replace("_", " "), f"{n:,}", *values)
    console.print(table)
    for line in cost_lines(evaluation):
        console.print(line, highlight=False)


def sentence(evaluation: Evaluation) -> str:
    """Who is ahead, in one sentence."""
    metric = metrics_of(evaluation)[0]
    for cell in evaluation.cells:
        if _is(cell, "nightly", "all") and cell.metric == metric and cell.ahead is not None:
            low, high = cell.ahead[1:]
            if low > 0.0:
                return f"Realtime beats nightly: {metric} is {signed(cell.ahead)} higher."
            if high < 0.0:
                return f"Nightly beats realtime: {metric} differs by {signed(cell.ahead)}."
            return f"Realtime and nightly do not differ for sure: {metric} by {signed(cell.ahead)}."
    return "There is no nightly arm to compare with."


def cost_lines(evaluation: Evaluation) -> list[str]:
    """What realtime scored, and what a nightly job would have."""
    cost = evaluation.cost
    return [
        f"Realtime made {cost['decisions']:,.0f} decisions and scored"
        f" {cost['scored_pairs']:,.0f} pairs of visitor and item.",
        f"A nightly job for all {cost['visitors']:,.0f} visitors and {cost['items']:,.0f} items"
        f" would have scored {cost['nightly_all_visitors_pairs']:,.0f} in"
        f" {cost['nights']:,.0f} nights: {cost['all_visitors_per_realtime_pair']:,.1f} times as"
        " many.",
        f"For those active in the last week only: {cost['nightly_weekly_actives_pairs']:,.0f}"
        f" ({cost['weekly_actives_per_realtime_pair']:,.1f} times as many).",
        "Similar profiles for every viewer, precomputed:"
        f" {cost['nightly_similar_profiles_pairs']:,.0f} pairs of visitors.",
    ]


def metrics_of(evaluation: Evaluation) -> list[str]:
    """The metrics, in their order."""
    return list(dict.fromkeys(cell.metric for cell in evaluation.cells))


def arms_of(evaluation: Evaluation) -> list[str]:
    """The arms, in their order."""
    return list(dict.fromkeys(cell.arm for cell in evaluation.cells))


def cohorts_of(evaluation: Evaluation) -> list[str]:
    """The cohorts with results, in their order."""
    return list(dict.fromkeys(cell.cohort for cell in evaluation.cells))


def tested(evaluation: Evaluation) -> int:
    """How many predictions were held against what happened."""
    return next(cell.n for cell in evaluation.cells if cell.cohort == "all")


def written(interval: Interval) -> str:
    """A value with its interval."""
    return f"{interval[0]:.3f} [{interval[1]:.3f}, {interval[2]:.3f}]"


def signed(interval: Interval) -> str:
    """A difference with its interval."""
    return f"{interval[0]:+.3f} [{interval[1]:+.3f}, {interval[2]:+.3f}]"


def _is(cell: Cell, arm: str, cohort: str) -> bool:
    return cell.arm == arm and cell.cohort == cohort
