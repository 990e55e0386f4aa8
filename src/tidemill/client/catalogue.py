"""Calls about models: the project's own and the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.core.json import Json, JsonObject


class ModelsJson(TypedDict, total=False):
    """Models found. `total` counts all of them, `facets` the catalogue's by each facet's values."""

    items: Sequence[Mapping[str, Json]]
    next: str | None
    total: int
    facets: Mapping[str, Mapping[str, int]]
    sources: Sequence[Mapping[str, Json]]


class CatalogueCalls(Calls):
    """Models: look for one, read its card."""

    async def models(  # noqa: PLR0913  (each is a facet)
        self,
        q: str = "",
        *,
        provider: Sequence[str] = (),
        maker: Sequence[str] = (),
        type: Sequence[str] = (),  # noqa: A002  (the facet's name)
        modality: Sequence[str] = (),
        feature: Sequence[str] = (),
        licence: Sequence[str] = (),
        max_price: float | None = None,
        min_context: int | None = None,
        configured: bool = False,
        limit: int = 100,
        cursor: str | None = None,
    ) -> ModelsJson:
        """The project's models and embedders, then those of the catalogue, that have all that is asked for.

        `modality` is `image` for what goes in and `to-image` for what comes out; `licence` a verdict (`permissive`) or an SPDX
        identifier; `max_price` in US dollars for a million input tokens; `min_context` in tokens. With `configured` only the
        project's own.
        """
        params: dict[str, Any] = {
            "q": q or None, "provider": list(provider), "maker": list(maker), "type": list(type), "modality": list(modality),
            "feature": list(feature), "licence": list(licence), "max_price": max_price, "min_context": min_context,
            "configured": configured or None, "limit": limit, "cursor": cursor,
        }  # fmt: skip
        return cast("ModelsJson", await self._line.send("GET", "/models", params=params))

    async def model_card(self, name: str, *, provider: str | None = None) -> JsonObject:
        """All that is known of a model, with sources and dates; `provider` is whom to show the use from."""
        return cast("JsonObject", await self._line.send("GET", f"/models/{segment(name)}", params={"provider": provider}))

    async def compare_models(  # noqa: PLR0913  (what a comparison may say)
        self,
        *,
        data: str,
        models: Sequence[str] = (),
        embedders: Sequence[str] = (),
        index: str | None = None,
        app: str | None = None,
        scorers: Sequence[str] = (),
        metric: str | None = None,
        n: int = 1,
        limit: int | None = None,
        load: int = 100_000,
        at_once: int = 4,
        estimate: bool = False,
    ) -> JsonObject:
        """Start to compare models on a dataset's answers, or embedders under an index on its gold documents.

        Answers `estimate`, a row a candidate, and `job`, whose `result` will be the comparison; with `estimate` nothing is
        started. `app` is run with each model in its place; `load` is in requests a month; `at_once` samples run side by side.
        """
        body: JsonObject = {
            "data": data, "models": list(models), "embedders": list(embedders), "index": index, "app": app,
            "scorers": list(scorers), "metric": metric, "n": n, "limit": limit, "load": load, "at_once": at_once,
            "estimate": estimate,
        }  # fmt: skip
        return cast("JsonObject", await self._line.send("POST", "/models:compare", body=body))
