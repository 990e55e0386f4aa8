"""Where a model is reached: by which provider, over which connection, and with what of its document."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeAlias, TypeVar, cast

from msgspec.structs import replace

from tidemill.core.chat import ChatRequest, Connection
from tidemill.core.errors import Invalid, NotFound
from tidemill.core.extend import ChatProvider, EmbedProvider, load_extension
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.models.media import ReadBlob, inline_media
from tidemill.models.retry import RetryBudget

ConnectionFor: TypeAlias = Callable[[str, str, str], Awaitable[Connection | None]]
"""(project, name, environment) to the connection of that name there."""

PathOf: TypeAlias = Callable[[str, str], Path]
"""(project, digest) to the file that holds the blob."""

P = TypeVar("P", ChatProvider, EmbedProvider)
_SPEC_KEYS: Final = frozenset({"provider", "model", "params", "connection", "adapter", "cache"})


class Reach:
    """Every provider that was asked for, and what they are told. Belongs to one event loop; `close` it there."""

    def __init__(self, *, connection_for: ConnectionFor, read_blob: ReadBlob | None, path_of: PathOf | None) -> None:
        self._connection_for = connection_for
        self._read_blob = read_blob
        self._path_of = path_of
        self._chat: dict[str, ChatProvider] = {}
        self._embed: dict[str, EmbedProvider] = {}
        self._budgets: dict[tuple[str, str], RetryBudget] = {}

    def chat_provider(self, model: Version) -> ChatProvider:
        """Who answers for a model. Raises `Invalid` for one that is not known, and for an embedder."""
        if model.kind == "embedder":
            said = f"{model.bare} makes vectors, and no answers"
            raise Invalid(said, where="model", hint="Name a model, or a route of models.", kind="invalid")
        return _provider("chat_providers", model, self._chat)

    def embed_provider(self, embedder: Version) -> EmbedProvider:
        """Who embeds. Raises `Invalid` for one that is not known, and for a model."""
        if embedder.kind != "embedder":
            said = f"{embedder.bare} makes no vectors"
            raise Invalid(said, where="model", hint="Name an embedder, or a route of embedders.", kind="invalid")
        return _provider("embed_providers", embedder, self._embed)

    async def connection(
        self, provider: ChatProvider | EmbedProvider, version: Version, *, project: str, environment: str
    ) -> Connection:
        """The connection that a model or embedder names, else that of its provider's name, else the provider's own default."""
        named = version.spec.get("connection")
        if named is None and not getattr(provider, "connects", True):
            return _by_default(provider, environment)
        name = provider.name if named is None else str(named)
        connection = await self._connection_for(project, name, environment)
        if connection is None and named is not None:
            raise NotFound(
                f"connection/{name} does not exist in the environment {environment!r}",
                where=version.ref,
                hint=f"Write a document of kind connection named {name}, with provider: {provider.name}.",
            )
        if connection is not None and connection.provider != provider.name:
            raise Invalid(
                f"connection/{name} is for {connection.provider}, but the {version.kind} is for {provider.name}",
                where=version.ref,
                hint=f"Name a connection of {provider.name}, or change the {version.kind}'s provider.",
            )
        return connection or _by_default(provider, environment)

    async def request(self, model: Version, request: ChatRequest, *, project: str) -> ChatRequest:
        """The request as the provider gets it: the model's own parameters below those given, and every blob in place."""
        params: dict[str, Json] = {**cast("JsonObject", model.spec.get("params") or {}), **request.params}
        if options := self.options(model, project=project):
            params["provider_options"] = options
        messages = await inline_media(request.messages, project=project, read_blob=self._read_blob)
        return replace(request, model=model_name(model), messages=messages, params=params)

    def budget(self, project: str, version: Version) -> RetryBudget:
        """How often what goes over one connection may be tried again."""
        providers = self._chat if version.kind == "model" else self._embed
        name = str(version.spec.get("provider"))
        if not getattr(providers.get(name), "connects", True):
            return RetryBudget(most=math.inf, left=math.inf)
        return self._budgets.setdefault((project, str(version.spec.get("connection") or name)), RetryBudget())

    def options(self, model: Version, *, project: str) -> JsonObject:
        """What the provider is told of the document besides its parameters."""
        options = {name: value for name, value in model.spec.items() if name not in _SPEC_KEYS}
        if "file" in options:
            options["path"] = self.file_of(model, project=project)
        if "tokenizer" in options:
            options["tokenizer_path"] = self.file_of(model, project=project, role="tokenizer")
        return options

    def file_of(self, model: Version, *, project: str, role: str = "file") -> str:
        """The path of a file that a model names by digest. Raises `NotFound` when it is not kept here."""
        digest = str(model.spec[role])
        path = None if self._path_of is None else self._path_of(project, digest)
        if path is None or not path.exists():
            raise NotFound(
                f"the model's file {digest} is not kept here", where=model.ref, hint="Add it: tidemill models add FILE"
            )
        return str(path)

    async def close(self) -> None:
        """Release every connection and child process."""
        providers = (*self._chat.values(), *self._embed.values())
        self._chat.clear()
        self._embed.clear()
        for provider in providers:
            await provider.close()


def model_name(version: Version) -> str:
    """The model as its provider knows it."""
    return str(version.spec.get("model") or version.name)


def _by_default(provider: ChatProvider | EmbedProvider, environment: str) -> Connection:
    return Connection(name=provider.name, provider=provider.name, environment=environment)


def _provider(group: str, version: Version, loaded: dict[str, P]) -> P:
    name = str(version.spec.get("provider"))
    provider = loaded.get(name)
    if provider is None:
        provider = cast("Callable[[], P]", load_extension(group, name))()
        loaded[name] = provider
    return provider
