"""Scoring results by the declared fields, with every score that is known already taken from the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tidemill.core.clock import Clock
from tidemill.core.digests import digest_json
from tidemill.core.errors import TidemillError
from tidemill.core.json import JsonObject
from tidemill.core.records import Score
from tidemill.core.rows import encode_value
from tidemill.evaluation.results import SampleResult
from tidemill.evaluation.scorers.choose import Chosen
from tidemill.store import cache
from tidemill.store.cache import CachedScore
from tidemill.store.database import Database

Scored = tuple[SampleResult, JsonObject]


class Scoring:
    """Scores samples; a score is keyed by its scorer's digest and every field that the scorer reads."""

    def __init__(self, *, database: Database, project: str, scorers: Sequence[Chosen], clock: Clock) -> None:
        self._database = database
        self._project = project
        self._scorers = scorers
        self._clock = clock

    async def score_all(self, made: Sequence[Scored]) -> list[SampleResult]:
        """The results with their scores."""
        if not made:
            return []
        keyed = [[(each, self._key(each, fields), fields) for each in self._scorers] for _, fields in made]
        keys = list({key for row in keyed for _, key, _ in row})
        known = await self._database.read(lambda db: cache.get_scores(db, self._project, keys))
        fresh: dict[str, CachedScore] = {}
        scored: list[SampleResult] = []
        for (result, _), row in zip(made, keyed, strict=True):
            scores: list[Score] = []
            for chosen, key, fields in row:
                found = known.get(key) or fresh.get(key)
                if found is None:
                    found = CachedScore(score=await _score(chosen, fields), created_ns=self._clock.now_ns())
                    fresh[key] = found
                scores.append(found.score)
            scored.append(_with_scores(result, scores, reused=sum(key in known for _, key, _ in row)))
        if fresh:
            await self._database.write(lambda db: cache.put_scores(db, self._project, fresh))
        return scored

    def _key(self, chosen: Chosen, fields: JsonObject) -> str:
        read = {name: encode_value(fields.get(name)) for name in sorted(chosen.scorer.reads)}
        return digest_json({"scorer": chosen.digest, "fields": read})


async def _score(chosen: Chosen, fields: JsonObject) -> Score:
    given = {name: fields.get(name) for name in chosen.scorer.reads}
    try:
        score = await chosen.scorer.score(given)
    except TidemillError as error:
        return Score(metric=chosen.metric, value=None, error=str(error))
    return replace(score, metric=chosen.metric)


def _with_scores(result: SampleResult, scores: Sequence[Score], *, reused: int) -> SampleResult:
    return replace(
        result,
        scores={each.metric: each.value for each in scores},
        score_errors={each.metric: each.error for each in scores if each.error},
        reasons={each.metric: each.reason for each in scores if each.reason},
        reused_scores=reused,
    )
