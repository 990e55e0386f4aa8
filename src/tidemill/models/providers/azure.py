"""OpenAI's models on Azure: by deployment and version of the API, or by its newer address below `/openai/v1`.

https://learn.microsoft.com/azure/ai-foundry/openai/reference
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from tidemill.core.chat import ChatDelta, ChatRequest, ChatResponse, Connection, Dialect, EmbedResponse
from tidemill.core.extend import RawAnswer
from tidemill.core.json import JsonObject
from tidemill.models.providers.openai import OpenAIChat, OpenAIEmbed

_OPTIONS: Final[Mapping[str, str]] = {
    "api_version": "The version of the API, as in `2024-10-21` (the default); not read where base_url ends with `/openai/v1`.",
    "deployment": "The deployment, where that is not the model's name.",
    "auth": "`key` (the default), or `entra`: `api_key` refers to a token of Entra ID, which somebody else renews.",
}
_EXAMPLE: Final = "https://RESOURCE.openai.azure.com"
_VERSION: Final = "2024-10-21"
_DEPLOYMENT: Final = "deployment"


def _address(connection: Connection, path: str) -> str:
    """Where a path is. The deployment is the model's name, which is part of the older addresses."""
    base = (connection.base_url or "").rstrip("/")
    if base.endswith("/openai/v1"):
        return base + path
    version = connection.options.get("api_version") or _VERSION
    if "/openai/deployments/" not in base:
        deployment = quote(connection.options.get(_DEPLOYMENT, ""), safe=".-_")
        base = f"{base.removesuffix('/openai')}/openai/deployments/{deployment}"
    return f"{base}{path}?api-version={quote(version, safe='-.')}"


def _headers(connection: Connection, headers: dict[str, str], secret: str | None) -> tuple[dict[str, str], str | None]:
    if secret is None or connection.options.get("auth") == "entra":
        return headers, secret
    rest = {name: value for name, value in headers.items() if name != "authorization"}
    return {"api-key": secret, **rest}, secret


def _at(connection: Connection, model: str) -> Connection:
    return replace(connection, options={_DEPLOYMENT: model, **connection.options})


class AzureChat(OpenAIChat):
    """`POST /openai/deployments/DEPLOYMENT/chat/completions`. The model's name is that of the deployment."""

    name = "azure"
    key = None
    connection_options = _OPTIONS
    needs_base_url = _EXAMPLE

    def is_official(self, connection: Connection) -> bool:
        """Whether fields have OpenAI's newer names: from the versions of 2025 on."""
        version = connection.options.get("api_version") or _VERSION
        return (connection.base_url or "").rstrip("/").endswith("/openai/v1") or version >= "2025"

    def url(self, connection: Connection, path: str) -> str:
        """Where a path of the dialect is."""
        return _address(connection, path)

    def credentials(self, connection: Connection) -> tuple[dict[str, str], str | None]:
        """The key in Azure's own header, or a token of Entra ID."""
        return _headers(connection, *super().credentials(connection))

    async def chat(self, request: ChatRequest, *, connection: Connection) -> ChatResponse:
        """Ask once and wait for the whole answer."""
        return await super().chat(request, connection=_at(connection, request.model))

    def stream(self, request: ChatRequest, *, connection: Connection) -> AsyncGenerator[ChatDelta]:
        """Yield the pieces as they arrive."""
        return super().stream(request, connection=_at(connection, request.model))

    def speaks(self, dialect: Dialect, connection: Connection) -> bool:
        """Responses stand only at the newer address."""
        return dialect != "openai.responses" or (connection.base_url or "").rstrip("/").endswith("/openai/v1")

    async def forward(
        self,
        dialect: Dialect,
        body: bytes,
        *,
        model: str,
        connection: Connection,
        stream: bool,
        headers: Mapping[str, str],
    ) -> RawAnswer:
        """Send a request as it is written."""
        at = _at(connection, model)
        return await super().forward(dialect, body, model=model, connection=at, stream=stream, headers=headers)


class AzureEmbed(OpenAIEmbed):
    """`POST /openai/deployments/DEPLOYMENT/embeddings`."""

    name = "azure"
    key = None
    connection_options = _OPTIONS
    needs_base_url = _EXAMPLE

    def url(self, connection: Connection, path: str) -> str:
        """Where a path of the dialect is."""
        return _address(connection, path)

    def credentials(self, connection: Connection) -> tuple[dict[str, str], str | None]:
        """The key in Azure's own header, or a token of Entra ID."""
        return _headers(connection, *super().credentials(connection))

    async def embed(self, texts: Sequence[str], *, model: str, params: JsonObject, connection: Connection) -> EmbedResponse:
        """Embed every text, in order."""
        return await super().embed(texts, model=model, params=params, connection=_at(connection, model))
