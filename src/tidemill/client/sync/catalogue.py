# Made by scripts/sync_client.py from src/tidemill/client/catalogue.py; change that file and run the script.
"""Calls about models: the project's own and the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tidemill.client.catalogue import Added, ModelsJson
from tidemill.client.sync.waiting import Waiting
from tidemill.core.json import JsonObject


class CatalogueCalls(Waiting):
    """Models: look for one, read its card, compare several, take one in."""

    def models(  # noqa: PLR0913  (each is a facet)
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
        return self._wait(
            lambda: self._client.models(
                q,
                provider=provider,
                maker=maker,
                type=type,
                modality=modality,
                feature=feature,
                licence=licence,
                max_price=max_price,
                min_context=min_context,
                configured=configured,
                limit=limit,
                cursor=cursor,
            )
        )

    def model_card(self, name: str, *, provider: str | None = None) -> JsonObject:
        """All that is known of a model, with sources and dates; `provider` is whom to show the use from."""
        return self._wait(lambda: self._client.model_card(name, provider=provider))

    def compare_models(  # noqa: PLR0913  (what a comparison may say)
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
        return self._wait(
            lambda: self._client.compare_models(
                data=data,
                models=models,
                embedders=embedders,
                index=index,
                app=app,
                scorers=scorers,
                metric=metric,
                n=n,
                limit=limit,
                load=load,
                at_once=at_once,
                estimate=estimate,
            )
        )

    def add_model_file(
        self,
        path: Path,
        *,
        name: str,
        licence: str | None = None,
        tokenizer: Path | None = None,
        sha256: str | None = None,
        source: str = "",
    ) -> Added:
        """Register a GGUF file as a `model`, or an ONNX file with its `tokenizer.json` as an `embedder`.

        `licence` is an SPDX identifier; without one, the file must name one that is known. `sha256` is checked when given.
        Raises `Invalid` for pickles, files that are cut off or claim too much, and another digest; nothing is kept then.
        """
        return self._wait(
            lambda: self._client.add_model_file(
                path, name=name, licence=licence, tokenizer=tokenizer, sha256=sha256, source=source
            )
        )

    def add_model_url(
        self, url: str, *, name: str, sha256: str, licence: str | None = None, tokenizer: Path | None = None
    ) -> Added:
        """Fetch a GGUF or ONNX file, check its digest, and register it as `add_model_file` does."""
        return self._wait(
            lambda: self._client.add_model_url(url, name=name, sha256=sha256, licence=licence, tokenizer=tokenizer)
        )

    def add_model_endpoint(
        self,
        url: str,
        *,
        name: str,
        licence: str,
        model: str | None = None,
        embedder: bool = False,
        api_key: str | None = None,
        allow_private: bool = False,
    ) -> Added:
        """Register what an OpenAI-compatible server at `url` serves as `model`, with a connection of the same name.

        `api_key` is a reference, `env:NAME` or `file:PATH`; `allow_private` lets calls go to a private network. Nothing is
        asked of the server. Raises `Conflict` when there is a connection of that name to somewhere else.
        """
        return self._wait(
            lambda: self._client.add_model_endpoint(
                url, name=name, licence=licence, model=model, embedder=embedder, api_key=api_key, allow_private=allow_private
            )
        )
