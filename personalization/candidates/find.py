"""Candidates from several sources, each once, with the names of all that found it."""

from collections.abc import Sequence

from personalization.candidates.affinity import Affinity
from personalization.candidates.cold import ColdItems, ColdSellers
from personalization.candidates.covisited import CoVisited
from personalization.candidates.fresh import Fresh
from personalization.candidates.near import Near
from personalization.candidates.own import Own
from personalization.candidates.popular import Popular
from personalization.candidates.rising import Rising
from personalization.candidates.session import SessionNeighbours
from personalization.candidates.source import Inputs, Source
from personalization.candidates.trending import Trending

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Fresh(),
        Trending(),
        Popular(),
        CoVisited(),
        Near(),
        SessionNeighbours(),
        Affinity(),
        Rising(),
        Own(),
        ColdItems(),
        ColdSellers(),
    )
}


def find_candidates(
    wanted: Sequence[tuple[str, int]], inputs: Inputs
) -> tuple[list[str], list[list[str]]]:
    """Ids in the order of discovery, and for each the sources that found it.

    ``wanted`` names sources and how many each may bring. Raises ``KeyError`` for a name that
    is none.
    """
    found: dict[int, list[str]] = {}
    for name, count in wanted:
        for slot in SOURCES[name].draw(inputs, count).tolist():
            found.setdefault(slot, []).append(name)
    ids = inputs.columns.item_ids
    return [ids[slot] for slot in found], list(found.values())
