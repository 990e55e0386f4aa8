"""Calls about models: the project's own and the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypedDict, cast

import anyio.to_thread

from tidemill.client import adding
from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.client.upload import send_blob
from tidemill.core.digests import digest_file
from tidemill.core.errors import Conflict, Invalid, NotFound
from tidemill.core.json import Json, JsonObject
from tidemill.core.refs import check_name
from tidemill.models.connections import url_problem
from tidemill.models.licences import judge


class ModelsJson(TypedDict, total=False):
    """Models found. `total` counts all of them, `facets` the catalogue's by each facet's values."""

    items: Sequence[Mapping[str, Json]]
    next: str | None
    total: int
    facets: Mapping[str, Mapping[str, int]]
    sources: Sequence[Mapping[str, Json]]


class Added(TypedDict, total=False):
    """What was registered: its reference and digest, the documents that say so, and what one should know."""

    ref: str
    digest: str
    sha256: str | None
    licence: str
    facts: Mapping[str, Json]
    document: str
    notes: Sequence[str]


class CatalogueCalls(Calls):
    """Models: look for one, read its card, compare several, take one in."""

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

    async def add_model_file(
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
        check_name(name)
        facts = await adding.look_into(path)
        stated = adding.licence_for(licence, facts)
        if sha256 is not None:
            await adding.check_digest(path, digest=adding.parse_sha256(sha256), shown=path.name)
        files = {"file": path} if facts.format == "gguf" else {"file": path, "tokenizer": _tokenizer(path, tokenizer)}
        digests = {role: await anyio.to_thread.run_sync(digest_file, each) for role, each in files.items()}
        await self._send_missing({digest: files[role] for role, digest in digests.items()})
        kind = "model" if facts.format == "gguf" else "embedder"
        tags = adding.tags_of(facts, licence=stated, source=source or path.name)
        text = adding.document(kind, name, {"provider": "local", "model": name, **digests}, tags=tags)
        return {
            **await self._apply_document(f"{kind}/{name}", text),
            "sha256": digests["file"].removeprefix("sha256:"),
            "licence": stated,
            "facts": {each.name: getattr(facts, each.name) for each in fields(facts)},
            "notes": adding.notes_on(facts, stated),
        }

    async def add_model_url(
        self, url: str, *, name: str, sha256: str, licence: str | None = None, tokenizer: Path | None = None
    ) -> Added:
        """Fetch a GGUF or ONNX file, check its digest, and register it as `add_model_file` does."""
        digest = adding.parse_sha256(sha256)
        check_name(name)
        async with adding.fetched(url, digest=digest) as path:
            return await self.add_model_file(path, name=name, licence=licence, tokenizer=tokenizer, source=url)

    async def add_model_endpoint(
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
        check_name(name)
        stated = adding.licence_for(licence, None)
        problems = url_problem(url)
        if problems:
            raise Invalid(problems[0].message, where="URL", hint=problems[0].hint)
        await self._check_connection(name, url)
        kind = "embedder" if embedder else "model"
        body = {"provider": "openai", "model": model or name, "connection": name}
        text = adding.document(kind, name, body, tags={"licence": stated, "source": url})
        reached = {"provider": "openai", "base_url": url, **({"api_key": api_key} if api_key else {})}
        text += "---\n" + adding.document("connection", name, reached, tags={})
        text += "allow_private: true\n" if allow_private else ""
        verdict = judge(stated)
        notes = [] if verdict.word == "permissive" else [f"{stated}: {verdict.reason}"]
        applied = await self._apply_document(f"{kind}/{name}", text)
        return {**applied, "sha256": None, "licence": stated, "facts": {}, "notes": notes}

    async def _check_connection(self, name: str, url: str) -> None:
        try:
            known = cast("Mapping[str, Mapping[str, Json]]", await self._line.send("GET", f"/artifacts/connection/{name}"))
        except NotFound:
            return
        if known["spec"].get("base_url") != url:
            raise Conflict(
                f"connection/{name} leads to {known['spec'].get('base_url')}", hint="Choose another --name, or change that one."
            )

    async def _send_missing(self, files: Mapping[str, Path]) -> None:
        answer = await self._line.send("POST", "/blobs:missing", body={"digests": list(files)})
        for digest in cast("Mapping[str, Sequence[str]]", answer)["missing"]:
            await send_blob(self._line, files[digest], digest=digest, shown=files[digest].name)

    async def _apply_document(self, ref: str, text: str) -> Added:
        body: JsonObject = {"files": {f"models/{ref.replace('/', '-')}.yaml": text}, "whole": False}
        applied = cast("Mapping[str, Sequence[Mapping[str, str]]]", await self._line.send("POST", "/apply", body=body))
        made = next(each for each in applied["versions"] if each["ref"].partition("@")[0] == ref)
        return {"ref": made["ref"], "digest": made["digest"], "document": text}


def _tokenizer(path: Path, given: Path | None) -> Path:
    """The tokenizer of an ONNX file: the one named, else the one beside it."""
    found = given or path.with_name("tokenizer.json")
    if not found.is_file():
        raise Invalid(
            f"an ONNX embedder needs its tokenizer, and there is no {str(found)!r}",
            where="--tokenizer",
            hint="Name its tokenizer.json: --tokenizer PATH",
        )
    return found
