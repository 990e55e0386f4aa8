"""Scoring results by the declared fields, with every score that is known already taken from the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import anyio
import orjson

from tidemill.core.clock import Clock
from tidemill.core.digests import canonical
from tidemill.core.errors import TidemillError
from tidemill.core.json import JsonObject
from tidemill.core.records import Score
from tidemill.core.rows import encode_value
from tidemill.evaluation.results import SampleResult
from tidemill.evaluation.scorers.choose import Chosen
from tidemill.store import cache
from tidemill.store.cache import CachedScore
from tidemill.store.database import Database

_CONCURRENCY: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What makes a result when its scores are given; `fields` is None for a run that failed, which gets none."""

    make: Callable[..., SampleResult]
    fields: JsonObject | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """Results with their scores, and the scores that were not known before, by key."""

    results: Sequence[SampleResult]
    fresh: Mapping[str, CachedScore]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Missing:
    key: str
    chosen: Chosen
    fields: JsonObject


class Scoring:
    """Scores samples; a score is keyed by its scorer's digest and every field that the scorer reads.

    A score that could not be given is not kept: what failed once may not fail again. Only scores from before this evaluation
    count as re-used, however its samples happen to be grouped.
    """

    def __init__(self, *, database: Database, project: str, scorers: Sequence[Chosen], clock: Clock) -> None:
        self._database = database
        self._project = project
        self._scorers = [(each, tuple(sorted(each.scorer.reads))) for each in scorers]
        self._clock = clock
        self._given_here: set[str] = set()

    async def score_all(self, finished: Sequence[Finished]) -> Scored:
        """Score them all, the unknown ones side by side."""
        keyed = [self._keys(each.fields) if each.fields else [] for each in finished]
        keys = list({key for row in keyed for key in row})
        known = await self._database.read(lambda db: cache.get_scores(db, self._project, keys)) if keys else {}
        given = {key: each.score for key, each in known.items()} | await self._give(self._missing(finished, keyed, known))
        now_ns = self._clock.now_ns()
        fresh = {
            key: CachedScore(score=score, created_ns=now_ns)
            for key, score in given.items()
            if key not in known and score.error is None
        }
        before = known.keys() - self._given_here
        self._given_here.update(fresh)
        metrics = [chosen.metric for chosen, _ in self._scorers]
        results = [
            _with_scores(each.make, metrics, [given[key] for key in row], reused=sum(key in before for key in row))
            for each, row in zip(finished, keyed, strict=True)
        ]
        return Scored(results=results, fresh=fresh)

    def _keys(self, fields: JsonObject) -> list[str]:
        """One a scorer. Scorers that read the same fields share the work."""
        contents: dict[tuple[str, ...], bytes] = {}
        keys: list[str] = []
        for chosen, reads in self._scorers:
            content = contents.get(reads)
            if content is None:
                content = contents[reads] = _content({name: fields.get(name) for name in reads})
            keys.append("sha256:" + hashlib.sha256(chosen.digest.encode() + content).hexdigest())
        return keys

    def _missing(
        self, finished: Sequence[Finished], keyed: Sequence[Sequence[str]], known: Mapping[str, object]
    ) -> Iterator[_Missing]:
        seen = set(known)
        for each, row in zip(finished, keyed, strict=True):
            for (chosen, _), key in zip(self._scorers, row, strict=bool(row)):
                if key not in seen and each.fields is not None:
                    seen.add(key)
                    yield _Missing(key=key, chosen=chosen, fields=each.fields)

    async def _give(self, missing: Iterator[_Missing]) -> dict[str, Score]:
        given: dict[str, Score] = {}

        async def worker() -> None:
            for each in missing:
                given[each.key] = await _score(each.chosen, each.fields)

        async with anyio.create_task_group() as group:
            for _ in range(_CONCURRENCY):
                group.start_soon(worker)
        return given


def _content(read: JsonObject) -> bytes:
    try:
        return orjson.dumps(read, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # an integer that JSON cannot carry
        return canonical(encode_value(read))


async def _score(chosen: Chosen, fields: JsonObject) -> Score:
    given = {name: fields.get(name) for name in chosen.scorer.reads}
    try:
        return await chosen.scorer.score(given)
    except TidemillError as error:
        return Score(metric=chosen.metric, value=None, error=str(error))
    except Exception as error:  # noqa: BLE001  (a scorer may be anybody's code; the sample keeps what it raised)
        return Score(metric=chosen.metric, value=None, error=f"{type(error).__name__}: {error}")


def _with_scores(
    make: Callable[..., SampleResult], metrics: Sequence[str], scores: Sequence[Score], *, reused: int
) -> SampleResult:
    if not scores:
        return make()
    named = list(zip(metrics, scores, strict=True))
    return make(
        scores={metric: each.value for metric, each in named},
        score_errors={metric: each.error for metric, each in named if each.error},
        reasons={metric: each.reason for metric, each in named if each.reason},
        reused_scores=reused,
    )
