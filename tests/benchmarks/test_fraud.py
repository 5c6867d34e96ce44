"""What it is worth that a fraud scorer knows the payments of today, by what it knew before."""

import time
from functools import partial
from typing import Any

from personalization.evaluation.cost import Cost
from personalization.evaluation.exposures import Probable
from personalization.evaluation.history import History
from personalization.evaluation.learning import fit
from personalization.evaluation.neighbours import Neighbours
from personalization.evaluation.pipeline import Frozen, Nightly, Realtime
from personalization.evaluation.pointwise import Pointwise
from personalization.evaluation.prequential import Prequential, Schedule
from personalization.evaluation.query import Asker
from personalization.evaluation.split import Split
from personalization.evaluation.stage import Stage
from personalization.features.view import Moment
from personalization.presets.fraud import fraud
from personalization.ranking.formula import Formula
from personalization.replaying.world import World
from tests.benchmarks.cards import DAY, REPORTED, START, Cards
from tests.benchmarks.measuring import show

SEED, CARDS, DAYS, TRAINED = 1, 600, 40, 20
SHOWN = ("all", "seller_events_0", "seller_events_1_3", "seller_events_4_plus")


class LastNight(Frozen):
    """Rows as of midnight, but asked with what the payment says: its time and its amount."""

    def moment(self, asker: Asker) -> Moment:
        """As the live arm is asked."""
        return asker.moment


def test_fraud() -> None:
    """AUC of the fraud preset live, and of the same model on rows as of last midnight, by how
    many payments the card had with the vendor before."""
    began = time.monotonic()
    show("fraud_auc", {**evaluated(), "seconds": round(time.monotonic() - began)})


def evaluated() -> dict[str, Any]:
    """One pass: learns from twenty days, and every week again; tests twenty."""
    world, formula = World(fraud), Formula(fraud.columns, fraud.feature_set_id)
    frozen, realtime = LastNight(world, {}, [], formula), Realtime(world, [], formula)
    stage = Stage(world, [], realtime, Neighbours(), History())
    arms = [Probable(Nightly(frozen, live=False)), Probable(realtime)]
    protocol = Pointwise(stage, arms, [REPORTED], seed=SEED, accounts=True, answered=False)
    run = Prequential(
        world,
        frozen,
        realtime,
        protocol,
        Split(START + TRAINED * DAY, START + (DAYS + 1) * DAY),
        Schedule(1.0),
        partial(
            fit,
            feature_set=fraud.feature_set_id,
            columns=fraud.columns,
            objective=protocol.objective,
        ),
        Cost(),
        seed=SEED,
    )
    for turn in Cards(SEED, CARDS, DAYS):
        run.take(turn)
    protocol.finish()
    figures: dict[str, Any] = {}
    for cell in protocol.results.cells():
        if cell.cohort in SHOWN and cell.metric == "auc":
            cohort = figures.setdefault(cell.cohort, {"n": cell.n})
            cohort[cell.arm] = [round(part, 4) for part in cell.value]
            if cell.ahead is not None:
                cohort["live_ahead"] = [round(part, 4) for part in cell.ahead]
        elif cell.metric == "calibration" and cell.cohort == "all":
            figures.setdefault("calibration", {})[cell.arm] = round(cell.value[0], 3)
    return {"cohorts": figures, "events": run.events, "fits": run.fits}
