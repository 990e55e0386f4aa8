"""Everybody who speaks OpenAI's dialect and has nothing of their own: a row each.

Any other such server is `provider: openai` with a connection's `base_url`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, SimpleNamespace
from typing import Final

from tidemill.core.chat import ChatRequest, Connection, Dialect, Secret
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.models.params import unsupported
from tidemill.models.providers.openai import OpenAIChat, OpenAIEmbed
from tidemill.models.reading import child

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_CHAT: Final[Dialect] = "openai.chat"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One seller or server.

    `key` is the environment variable of its key, read when a connection has no `base_url`. `needs` is an example of a
    `base_url` where everybody has their own. `renamed`: parameters under other names; `lacks`: those that it refuses, which are
    left out when they are hints and refused when they change the answer; `choices`: other words for `tool_choice`; `schemas`
    False: an answer may be JSON, but of no given schema. `header` and `word` are how it wants its key.
    """

    name: str
    base_url: str = ""
    key: str = ""
    needs: str = ""
    dialects: frozenset[Dialect] = frozenset({"openai.chat"})
    embeds: bool = False
    renamed: Mapping[str, str] = field(default_factory=lambda: _NONE)
    lacks: frozenset[str] = frozenset()
    choices: Mapping[str, str] = field(default_factory=lambda: _NONE)
    paths: Mapping[str, str] = field(default_factory=lambda: _NONE)
    schemas: bool = True
    header: str = "authorization"
    word: str = "Bearer "


_ALL: Final[frozenset[Dialect]] = frozenset({"openai.chat", "openai.completions", "openai.embeddings"})
_TEXT: Final[frozenset[Dialect]] = frozenset({"openai.chat", "openai.completions"})
_RESPONSES: Final[frozenset[Dialect]] = frozenset({"openai.responses"})
_VECTORS: Final[frozenset[Dialect]] = frozenset({"openai.chat", "openai.embeddings"})

ROWS: Final = (
    Row(name="cerebras", base_url="https://api.cerebras.ai/v1", key="CEREBRAS_API_KEY", dialects=_TEXT,
        lacks=frozenset({"frequency_penalty", "presence_penalty", "logit_bias"})),
    Row(name="databricks", needs="https://WORKSPACE.cloud.databricks.com/serving-endpoints", dialects=_ALL, embeds=True,
        lacks=frozenset({"store", "metadata", "service_tier"})),
    Row(name="deepinfra", base_url="https://api.deepinfra.com/v1/openai", key="DEEPINFRA_API_KEY", dialects=_ALL,
        embeds=True),
    Row(name="deepseek", base_url="https://api.deepseek.com", key="DEEPSEEK_API_KEY",
        dialects=frozenset({_CHAT, "openai.responses"}),
        schemas=False,
        lacks=frozenset({"n", "seed", "logit_bias", "parallel_tool_calls", "store", "metadata", "service_tier"})),
    Row(name="fireworks", base_url="https://api.fireworks.ai/inference/v1", key="FIREWORKS_API_KEY", dialects=_ALL,
        embeds=True),
    Row(name="groq", base_url="https://api.groq.com/openai/v1", key="GROQ_API_KEY",
        dialects=frozenset({_CHAT, "openai.transcriptions", "openai.speech"}),
        lacks=frozenset({"logit_bias", "logprobs", "top_logprobs", "store", "metadata"})),
    Row(name="huggingface", base_url="https://router.huggingface.co/v1", key="HF_TOKEN",
        lacks=frozenset({"store", "metadata", "service_tier"})),
    Row(name="llamacpp", base_url="http://localhost:8080/v1", dialects=_ALL, embeds=True),
    Row(name="lmstudio", base_url="http://localhost:1234/v1", dialects=_ALL, embeds=True),
    Row(name="mistral", base_url="https://api.mistral.ai/v1", key="MISTRAL_API_KEY", dialects=_VECTORS, embeds=True,
        renamed=MappingProxyType({"seed": "random_seed", "max_completion_tokens": "max_tokens"}),
        lacks=frozenset({"logprobs", "top_logprobs", "logit_bias", "user", "store", "service_tier", "stream_options"})),
    Row(name="moonshotai", base_url="https://api.moonshot.ai/v1", key="MOONSHOT_API_KEY", lacks=frozenset({"logit_bias"})),
    Row(name="nvidia", base_url="https://integrate.api.nvidia.com/v1", key="NVIDIA_API_KEY", dialects=_ALL, embeds=True),
    Row(name="ollama-v1", base_url="http://localhost:11434/v1", dialects=_ALL, embeds=True),
    Row(name="openrouter", base_url="https://openrouter.ai/api/v1", key="OPENROUTER_API_KEY",
        dialects=_ALL | _RESPONSES, embeds=True),
    Row(name="perplexity", base_url="https://api.perplexity.ai", key="PERPLEXITY_API_KEY",
        lacks=frozenset({"logit_bias", "logprobs", "top_logprobs", "seed", "n", "store", "metadata", "service_tier"})),
    Row(name="portkey", base_url="https://api.portkey.ai/v1", key="PORTKEY_API_KEY", header="x-portkey-api-key", word="",
        dialects=_ALL, embeds=True),
    Row(name="sglang", base_url="http://localhost:30000/v1", dialects=_ALL, embeds=True),
    Row(name="snowflake", needs="https://ORGANISATION-ACCOUNT.snowflakecomputing.com/api/v2/cortex/v1",
        lacks=frozenset({"logit_bias", "logprobs", "top_logprobs", "n", "store", "metadata", "service_tier"})),
    Row(name="tgi", base_url="http://localhost:8080/v1", dialects=_TEXT, lacks=frozenset({"n"})),
    Row(name="together", base_url="https://api.together.xyz/v1", key="TOGETHER_API_KEY", dialects=_ALL, embeds=True,
        lacks=frozenset({"store", "metadata", "service_tier", "user"})),
    Row(name="vllm", base_url="http://localhost:8000/v1", dialects=_ALL | _RESPONSES, embeds=True),
    Row(name="writer", base_url="https://api.writer.com/v1", key="WRITER_API_KEY",
        paths=MappingProxyType({"/chat/completions": "/chat"}),
        lacks=frozenset({"seed", "logit_bias", "presence_penalty", "frequency_penalty", "store", "metadata", "service_tier"})),
    Row(name="xai", base_url="https://api.x.ai/v1", key="XAI_API_KEY", dialects=_TEXT | _RESPONSES,
        lacks=frozenset({"logit_bias"})),
    Row(name="zai", base_url="https://api.z.ai/api/paas/v4", key="ZAI_API_KEY",
        lacks=frozenset({"n", "logprobs", "top_logprobs", "logit_bias", "presence_penalty", "frequency_penalty", "seed",
                         "store", "service_tier"})),
)  # fmt: skip


class _Compatible(OpenAIChat):
    row: Row

    def url(self, connection: Connection, path: str) -> str:
        """Where a path of the dialect is at this seller's."""
        return super().url(connection, self.row.paths.get(path, path))

    def credentials(self, connection: Connection) -> tuple[dict[str, str], str | None]:
        """The headers that say who asks, as this seller wants them."""
        return _credentials(self.row, *super().credentials(connection))

    def write(self, request: ChatRequest, connection: Connection) -> dict[str, Json]:
        """The body in this seller's own variant of the dialect."""
        return adapted(super().write(request, connection), self.row)

    def finish(self, body: dict[str, Json]) -> dict[str, Json]:
        """A streamed request as this seller takes it."""
        return {name: value for name, value in body.items() if name not in self.row.lacks}

    def speaks(self, dialect: Dialect, connection: Connection) -> bool:  # noqa: ARG002  (the same everywhere)
        """Whether what is written in the dialect may pass as it is: not where this seller has other names for some of it."""
        return dialect in self.row.dialects and not (dialect == _CHAT and (self.row.renamed or self.row.choices))

    def raw_params(self, dialect: Dialect, params: JsonObject, *, connection: Connection) -> JsonObject:
        """A model's own parameters, without those that this seller refuses."""
        found = super().raw_params(dialect, params, connection=connection)
        return {self.row.renamed.get(name, name): value for name, value in found.items() if name not in self.row.lacks}


class _CompatibleEmbed(OpenAIEmbed):
    row: Row

    def credentials(self, connection: Connection) -> tuple[dict[str, str], str | None]:
        """The headers that say who asks, as this seller wants them."""
        return _credentials(self.row, *super().credentials(connection))


def _credentials(row: Row, headers: dict[str, str], secret: str | None) -> tuple[dict[str, str], str | None]:
    if secret is None or row.header == "authorization":
        return headers, secret
    rest = {name: value for name, value in headers.items() if name != "authorization"}
    return {row.header: f"{row.word}{secret}", **rest}, secret


def adapted(body: dict[str, Json], row: Row) -> dict[str, Json]:
    """A request of the dialect as one seller takes it. Raises `Invalid` for what it refuses and would change the answer."""
    for name in row.lacks & body.keys():
        value = body.pop(name)
        if name in _CHANGES and value and not (name == "n" and value == 1):
            raise unsupported(name, row.name)
    for name, other in row.renamed.items():
        if name in body:
            body[other] = body.pop(name)
    choice = body.get("tool_choice")
    if isinstance(choice, str) and choice in row.choices:
        body["tool_choice"] = row.choices[choice]
    if not row.schemas and child(body, "response_format").get("type") == "json_schema":
        hint = "Describe the answer in the prompt and ask for response_format json_object, or name another model."
        raise Invalid(f"{row.name} takes no schema for answers", where="response_format", hint=hint, kind="invalid")
    return body


_CHANGES: Final = frozenset({"logit_bias", "logprobs", "top_logprobs", "n", "presence_penalty", "frequency_penalty"})


def chat_of(row: Row) -> type[OpenAIChat]:
    """The provider of a row."""
    return type(f"{row.name.title().replace('-', '')}Chat", (_Compatible,), _fields(row) | {"dialects": row.dialects})


def embed_of(row: Row) -> type[OpenAIEmbed]:
    """The embedder of a row."""
    return type(f"{row.name.title().replace('-', '')}Embed", (_CompatibleEmbed,), _fields(row))


def _fields(row: Row) -> dict[str, object]:
    key = Secret(reference=f"env:{row.key}") if row.key else None
    return {
        "__doc__": f"{row.name}, which speaks OpenAI's dialect.",
        "name": row.name,
        "row": row,
        "base_url": row.base_url,
        "key": key,
        "needs_base_url": row.needs,
    }


CHAT: Final = SimpleNamespace(**{row.name.replace("-", "_"): chat_of(row) for row in ROWS})
"""By name, for the entry points of `tidemill.chat_providers`."""

EMBED: Final = SimpleNamespace(**{row.name.replace("-", "_"): embed_of(row) for row in ROWS if row.embeds})
"""By name, for those of `tidemill.embed_providers`."""
