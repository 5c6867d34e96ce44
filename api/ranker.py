"""From a ranking request to its decision: wait for the token, decide, queue."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

from api.catalogue_index import IndexKeeper
from api.decision_queue import DecisionQueue, shown_so_far
from api.metrics import Metrics
from api.problems import Problem, invalid
from api.settings import ApiSettings
from personalization.candidates.profiles import Near, ProfileSearch
from personalization.decisions import DECISIONS, Decision, Freshness, scores_of
from personalization.guarantee import UnderWay
from personalization.ranking.hydrate import Hydrated, hydrate
from personalization.ranking.pipeline import rank
from personalization.ranking.request import RankRequest, check_ids
from personalization.ranking.score import (
    PairScore,
    ScoreAnswer,
    ScoreRequest,
    probability,
    rankings_of,
    score_surface,
)
from personalization.ranking.scorer import Scorer
from personalization.ranking.surface import Surface
from personalization.ranking.ulid import decision_id
from personalization.spec import Spec
from personalization.state.keys import USER_VISITOR, subject_of
from tables.replicas import Replicas
from tables.replicas.models import ModelReplica
from tables.tokens import Token, TokenError

_PROCESS_BYTES = 6


class Ranker:
    """Decides. ``clock`` is in ms; ``entropy`` gives n random bytes."""

    def __init__(
        self,
        replicas: Replicas,
        spec: Spec,
        surfaces: Mapping[str, Surface],
        models: ModelReplica,
        index: IndexKeeper,
        queue: DecisionQueue,
        metrics: Metrics,
        settings: ApiSettings,
        partitions: int,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._replicas = replicas
        self._spec = spec
        self._surfaces = surfaces
        self._models = models
        self._index = index
        self._queue = queue
        self._metrics = metrics
        self._settings = settings
        self._partitions = partitions
        self._clock = clock
        self._entropy = entropy
        self._waiting = metrics.rank_stage.labels("wait")
        self._deciding = metrics.rank_stage.labels("decide")
        self._process = entropy(_PROCESS_BYTES).hex()
        self._sequence = 0
        self._under_way = UnderWay()

    async def decide(self, request: RankRequest) -> Decision:
        """The decision, which is queued for the log.

        Raises ``Problem`` (404 for an unknown ``after`` or ``similar_to``, 422 for an unknown
        surface or a wrong token) and ``Rejected``.
        """
        surface = self._surfaces.get(request.surface)
        if surface is None:
            known = ", ".join(sorted(self._surfaces))
            raise invalid("surface", f"{request.surface!r} is none of {known}")
        before = [] if request.after is None else await self._pages_before(request.after)
        caught_up = await self._wait(request)
        began = perf_counter()
        who, near = await self._near(request)
        scorer = self._models.scorer
        decision = self._decide(request, surface, scorer, caught_up, before, who, near)
        self._deciding.observe(perf_counter() - began)
        return decision

    async def score(self, request: ScoreRequest) -> ScoreAnswer:
        """The probability of each pair; each visitor's pairs are a decision, which is queued.

        Raises ``Problem`` (422 for a wrong token) and ``Rejected``.
        """
        caught_up = await self._wait(request)
        scorer, surface = self._models.scorer, score_surface()
        scores: dict[int, PairScore] = {}
        freshness = self._freshness(self._clock(), caught_up)
        for places, asked in rankings_of(request, self._clock()):
            began = perf_counter()
            decision = self._decide(asked, surface, scorer, caught_up)
            for place, score in zip(places, scores_of(decision).tolist(), strict=True):
                pair = request.pairs[place]
                scores[place] = PairScore(
                    pair.visitor, pair.user, pair.item, probability(score), decision.id
                )
            self._deciding.observe(perf_counter() - began)
            await asyncio.sleep(0)
        return ScoreAnswer(
            [scores[place] for place in range(len(request.pairs))],
            freshness,
            scorer.name,
            self._models.gives_probabilities(scorer),
            scorer.feature_set,
        )

    async def record(self, id: str) -> Decision | None:
        """The record of a decision."""
        data = self._queue.recent(id) or await self._replicas.decision(id)
        return None if data is None else DECISIONS.decode(data)

    def _decide(
        self,
        request: RankRequest,
        surface: Surface,
        scorer: Scorer,
        caught_up: bool | None,
        before: Sequence[str] = (),
        who: Hydrated | None = None,
        near: Near | None = None,
    ) -> Decision:
        now = self._clock()
        decision = rank(
            request,
            self._replicas,
            self._spec,
            surface,
            scorer,
            self._index.index,
            now=now,
            who=who,
            near=near,
            seed=int.from_bytes(self._entropy(8), "big"),
            decision_id=decision_id(now, self._sequence % self._partitions, self._entropy(8)),
            shown_before=before,
            under_way=self._under_way,
            freshness=self._freshness(now, caught_up),
            process=self._process,
            sequence=self._sequence,
            keep=self._settings.keep,
        )
        self._sequence += 1
        self._queue.put(decision)
        return decision

    async def _near(self, request: RankRequest) -> tuple[Hydrated | None, Near | None]:
        """Who asks and who is like the user that the request names, if it names one: both as they
        were when the search began.

        Raises ``Problem`` for an item or a user that nothing is known of.
        """
        subject, columns = request.similar_to, self._replicas.columns
        if subject is None or request.candidates is not None:
            return None, None
        if subject not in columns.profiles.slots and not columns.slot(subject):
            kind, id = subject_of(subject)
            raise Problem(404, f"nothing is known of {kind} {id!r}")
        if not subject.startswith(USER_VISITOR):
            return None, None
        check_ids(request)
        who = hydrate(request.visitor, request.user, self._replicas, self._spec.plan)
        own = frozenset(() if who.user is None else (USER_VISITOR + who.user,))
        search = ProfileSearch(subject, columns, who.visitor, own)
        for _ in search:
            await asyncio.sleep(0)
        return who, search.found()

    async def _pages_before(self, after: str) -> list[str]:
        shown = self._queue.pages(after)
        if shown is None:
            decision = await self.record(after)
            if decision is None:
                raise Problem(404, f"there is no decision {after!r} to go on after")
            shown = shown_so_far(decision)
        return shown

    async def _wait(self, request: RankRequest | ScoreRequest) -> bool | None:
        began = perf_counter()
        if request.token is None:
            return None
        timeout = self._settings.wait_timeout_ms / 1000
        try:
            token = Token.parse(request.token)
            return await self._replicas.wait(token, request.wait, timeout)
        except TokenError as error:
            raise invalid("token", str(error)) from error
        finally:
            self._waiting.observe(perf_counter() - began)

    def _freshness(self, now: int, caught_up: bool | None) -> Freshness:
        newest = self._replicas.newest_event_at
        age = max(0, now - newest) if newest else None
        if age is not None:
            self._metrics.newest_event.set(age / 1000)
        replicas = self._replicas
        return Freshness(age, dict(replicas.behind()), replicas.measured_ms_ago(), caught_up)
