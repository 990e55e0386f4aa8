"""Numbers of what ran, as calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tidemill.client.calls import Calls
from tidemill.client.number_shapes import ComparedNumbersJson, NumbersJson
from tidemill.core.json import Json, JsonObject


class NumberCalls(Calls):
    """Series, quantiles and totals of spans, and what differs between two times or releases."""

    async def query_numbers(  # noqa: PLR0913  (each is a part of the question)
        self,
        measures: Sequence[str],
        *,
        by: Sequence[str] = (),
        of: str | None = None,
        interval: str = "none",
        from_: str | None = None,
        to: str | None = None,
        zone: str = "UTC",
        filter: str | None = None,  # noqa: A002  (the API's name)
        order: str | None = None,
        limit: int = 100,
    ) -> NumbersJson:
        """A series a group of `by`, the largest first by `order` (default: the first measure).

        `measures` are `count`, `requests`, `errors`, `error_rate`, `cost`, `cost_per_request`, `tokens` and each class of them,
        `latency.mean` and `first_token.mean` (ms), quantiles as `latency.p95`, `users`, `sessions`, `traces`, `score.NAME`;
        or, of points of metrics, `metric.NAME.sum`, `.count`, `.mean`, `.p95`.
        `interval` is `minute`, `hour`, `day` (of `zone`), `auto` or `none`; `from_` is a time or so long ago (default `24h`).
        """
        body = _question(
            measures, by=by, of=of, interval=interval, from_=from_, to=to, zone=zone, filter=filter, order=order, limit=limit
        )
        return cast("NumbersJson", await self._line.send("POST", "/query", body=body))

    async def compare_numbers(  # noqa: PLR0913  (as above)
        self,
        measures: Sequence[str],
        *,
        releases: tuple[str, str] | None = None,
        before: tuple[str, str] | None = None,
        by: Sequence[str] = (),
        of: str | None = None,
        from_: str | None = None,
        to: str | None = None,
        filter: str | None = None,  # noqa: A002  (the API's name)
        order: str | None = None,
        limit: int = 100,
    ) -> ComparedNumbersJson:
        """What differs: between two `releases`, or from the time `before` (from, to) to the time from `from_` to `to`."""
        body = _question(measures, by=by, of=of, from_=from_, to=to, filter=filter, order=order, limit=limit)
        compared: JsonObject = (
            {"releases": list(releases)}
            if releases is not None
            else {}
            if before is None
            else {"from": before[0], "to": before[1]}
        )
        return cast("ComparedNumbersJson", await self._line.send("POST", "/query", body={**body, "compare": compared}))

    async def reprice(
        self, model: str, *, from_: str, to: str | None = None, overrule: bool = False, dry_run: bool = False
    ) -> str:
        """Make the costs of stored calls of a model (`*` stands for anything) anew; the job's id, see `finish`.

        Costs that the sender gave stay unless `overrule`; `dry_run` only counts. The job's result has `spans`, `changed`,
        `kept`, `unpriced`, and the cost `before`, `after` and their `difference` in US dollars.
        """
        body: JsonObject = {"model": model, "from": from_, "to": to, "overrule": overrule, "dry_run": dry_run}
        return cast("dict[str, str]", await self._line.send("POST", "/spans:reprice", body=body))["job"]


def _question(measures: Sequence[str], **options: Json | Sequence[str]) -> JsonObject:
    """The body, without what was not said."""
    said = {name.rstrip("_"): list(each) if isinstance(each, tuple) else each for name, each in options.items()}
    kept = {name: cast("Json", each) for name, each in said.items() if each is not None}
    return {"measures": list(measures), **kept}
