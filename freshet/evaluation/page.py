"""The report: one HTML page that needs nothing else."""

from datetime import UTC, datetime
from html import escape

from freshet.evaluation import output
from freshet.evaluation.output import ARMS, METRICS, REALTIME, signed, written
from freshet.evaluation.run import Evaluation
from freshet.evaluation.svg import Mark, Row, bars, dots
from personalization.evaluation.cohorts import WORDS
from personalization.evaluation.results import Cell

_KINDS = {REALTIME: "realtime", "nightly": "nightly", "popularity": "popularity"}
_FEW = 500
_STYLE = """
:root{--ink:#1c2430;--soft:#5b6675;--line:#dde2e8;--paper:#fff;--realtime:#0b7a75;
--nightly:#b3541e;--popularity:#7a869a;--other:#9aa8ba}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa6b5;--line:#323b47;
--paper:#151a21;--realtime:#35b8ae;--nightly:#e08a52;--popularity:#8d99ab;--other:#5f6d80}}
body{font:16px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--paper);
max-width:74rem;margin:2.5rem auto;padding:0 1.2rem}
h1{font-size:1.7rem;line-height:1.25}h2{font-size:1.2rem;margin-top:2.4rem}
p.lead{font-size:1.15rem}small,.soft{color:var(--soft)}
table{border-collapse:collapse;width:100%;font-size:.9rem;display:block;overflow-x:auto}
th,td{text-align:right;padding:.32rem .6rem;border-bottom:1px solid var(--line);
font-variant-numeric:tabular-nums;white-space:nowrap}
th:first-child,td:first-child{text-align:left;white-space:normal;min-width:11rem}
tr.best td{font-weight:600}svg{width:100%;height:auto;font:12px system-ui,sans-serif}
svg text{fill:var(--ink)}.label{text-anchor:end}.tick{text-anchor:middle}
svg .tick{fill:var(--soft)}.grid{stroke:var(--line)}
rect.realtime,circle.realtime{fill:var(--realtime)}rect.nightly,circle.nightly{fill:var(--nightly)}
rect.popularity,circle.popularity{fill:var(--popularity)}rect.other,circle.other{fill:var(--other)}
.whisker{stroke:var(--ink);stroke-width:1.5}circle~.whisker{opacity:.6}
.key span{display:inline-block;margin-right:1.4rem}.key i{display:inline-block;width:.8rem;
height:.8rem;border-radius:50%;margin-right:.4rem}
"""


def page(evaluation: Evaluation, source: str) -> str:
    """The page, for a log called ``source``."""
    metric = output.metrics_of(evaluation)[0]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name="viewport" content="width=device-width">',
        f"<title>Freshet: {escape(source)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(output.sentence(evaluation))}</h1>",
        f'<p class="lead">{escape(_in_hundred(evaluation))}</p>',
        f"<p>{_lead(evaluation, source)}</p>",
        f"<h2>All arms</h2><p>{escape(METRICS[metric].capitalize())}. Lines show 95 % intervals,"
        " bootstrapped by visitor.</p>",
        bars(_arm_rows(evaluation, metric), f"{metric} of all arms"),
        _arm_table(evaluation),
        "<h2>Who gains</h2>",
        _cohort_words(evaluation, metric),
        dots(_cohort_rows(evaluation, metric), f"{metric} by cohort"),
        _cohort_table(evaluation, metric),
        "<h2>What it costs</h2>",
        *[f"<p>{escape(line)}</p>" for line in output.cost_lines(evaluation)],
        "<h2>How to read this</h2><dl>",
        *[
            f"<dt><b>{escape(name)}</b></dt><dd>{escape(ARMS[name])}</dd>"
            for name in output.arms_of(evaluation)
            if name in ARMS
        ],
        *[
            f"<dt><b>{escape(name)}</b></dt><dd>{escape(METRICS[name])}</dd>"
            for name in output.metrics_of(evaluation)
        ],
        "</dl><p class=soft>Every prediction was made before its event was taken in, and models"
        " learned only from events that had been predicted before. Differences are paired: all"
        " arms were asked the same questions.</p></html>",
    ]
    return "\n".join(parts)


def _lead(evaluation: Evaluation, source: str) -> str:
    first, last = (
        datetime.fromtimestamp(at / 1000, UTC).date().isoformat()
        for at in (evaluation.first, evaluation.last)
    )
    return (
        f"{output.tested(evaluation):,} times, before a visitor's next"
        f" {escape(' or '.join(evaluation.positives))} in {escape(source)} ({first} to {last}),"
        f" every arm had to say what it would be. {evaluation.events:,} events were replayed in"
        f" {evaluation.seconds:,.0f} seconds."
    )


def _in_hundred(evaluation: Evaluation) -> str:
    """The first metric of realtime and nightly, as a share of a hundred."""
    metric = output.metrics_of(evaluation)[0]
    shares = {
        arm: 100.0 * _cells(evaluation, arm, "all")[metric].value[0]
        for arm in (REALTIME, "nightly")
    }
    live, nightly = shares[REALTIME], shares["nightly"]
    more = f" ({live / nightly - 1.0:+.0%})" if nightly > 0.0 else ""
    question = {
        "hr@10": "Of a hundred times, what came next was among its first ten",
        "mrr": "Where 100 is always first place, what was chosen stood at",
        "auc": "Of a hundred pairs of something liked and something not, it put the first first",
    }[metric]
    return f"{question}: realtime {live:.1f}, the nightly job {nightly:.1f}{more}."


def _arm_rows(evaluation: Evaluation, metric: str) -> list[Row]:
    return [
        Row(cell.arm, [Mark(_KINDS.get(cell.arm, "other"), cell.value)])
        for cell in evaluation.cells
        if cell.cohort == "all" and cell.metric == metric
    ]


def _arm_table(evaluation: Evaluation) -> str:
    metrics = output.metrics_of(evaluation)
    head = "".join(f"<th>{escape(metric)}</th>" for metric in metrics)
    rows = []
    for arm in output.arms_of(evaluation):
        cells = _cells(evaluation, arm, "all")
        ahead = cells[metrics[0]].ahead
        rows.append(
            f"<tr{' class=best' if arm == REALTIME else ''}><td>{escape(arm)}</td>"
            + "".join(f"<td>{written(cells[metric].value)}</td>" for metric in metrics)
            + f"<td>{'' if ahead is None else signed(ahead)}</td></tr>"
        )
    return (
        f"<table><tr><th>arm</th>{head}<th>realtime is ahead by ({escape(metrics[0])})</th></tr>"
        + "".join(rows)
        + "</table>"
    )


def _cohort_words(evaluation: Evaluation, metric: str) -> str:
    sure, unsure, behind = 0, 0, 0
    for cell in evaluation.cells:
        if cell.arm == "nightly" and cell.metric == metric and cell.n >= _FEW and cell.ahead:
            sure += cell.ahead[1] > 0.0
            behind += cell.ahead[2] < 0.0
            unsure += cell.ahead[1] <= 0.0 <= cell.ahead[2]
    keys = "".join(
        f'<span><i style="background:var(--{kind})"></i>{escape(arm)}</span>'
        for arm, kind in _KINDS.items()
        if arm in output.arms_of(evaluation)
    )
    return (
        f"<p>Of the groups with {_FEW} predictions or more, realtime is ahead of nightly for sure"
        f" in {sure}, behind in {behind}, and within chance in {unsure}.</p>"
        f'<p class="key">{keys}</p>'
    )


def _cohort_rows(evaluation: Evaluation, metric: str) -> list[Row]:
    rows = []
    for cohort in output.cohorts_of(evaluation):
        marks = [
            Mark(_KINDS[cell.arm], cell.value)
            for cell in evaluation.cells
            if cell.cohort == cohort and cell.metric == metric and cell.arm in _KINDS
        ]
        rows.append(Row(cohort.replace("_", " "), marks))
    return rows


def _cohort_table(evaluation: Evaluation, metric: str) -> str:
    arms = output.arms_of(evaluation)
    head = "".join(f"<th>{escape(arm)}</th>" for arm in arms)
    rows = []
    for cohort in output.cohorts_of(evaluation):
        cells = {arm: _cells(evaluation, arm, cohort)[metric] for arm in arms}
        n = next(iter(cells.values())).n
        nightly = cells.get("nightly")
        ahead = "" if nightly is None or nightly.ahead is None else signed(nightly.ahead)
        values = "".join(f"<td>{cell.value[0]:.3f}</td>" for cell in cells.values())
        rows.append(
            f"<tr><td>{escape(WORDS[cohort])}</td><td>{n:,}</td>{values}<td>{ahead}</td></tr>"
        )
    return (
        f"<table><tr><th>{escape(metric)}</th><th>n</th>{head}<th>realtime − nightly</th></tr>"
        + "".join(rows)
        + "</table>"
    )


def _cells(evaluation: Evaluation, arm: str, cohort: str) -> dict[str, Cell]:
    return {
        cell.metric: cell for cell in evaluation.cells if cell.arm == arm and cell.cohort == cohort
    }
