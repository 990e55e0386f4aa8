"""Recorded answers of which the request was not kept: one event a line, or a whole body."""

from __future__ import annotations

import base64
import functools
import gzip
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from models.replay import chat, cohere, converse, gemini, messages
from models.replay.rows import FOLDER
from models.replay.said import Said
from tidemill.core.chat import Connection
from tidemill.core.extend import load_extension
from tidemill.models.http_chat import EventFramer, StreamedAnswer, Streaming
from tidemill.models.providers import openai_answers
from tidemill.models.providers.aws_events import write_frame
from tidemill.models.providers.openai import OpenAIChat

FILE = FOLDER.parent / "sdk_stream_fixtures" / "rows.jsonl.gz"
_SAYS: dict[str, Callable[[dict], Said]] = {
    "anthropic": messages.says, "bedrock": converse.says, "cohere": cohere.says, "gemini": gemini.says,
}  # fmt: skip
_OF = {
    "amazon-bedrock": "bedrock", "google": "gemini", "alibaba": "openai-compatible", "openai-compatible": "openai-compatible",
}  # fmt: skip
_APIS = {"", "chat"}


@dataclass
class Fixture:
    row: dict
    content: bytes
    is_stream: bool
    says: Callable[[dict], Said]


@functools.cache
def fixtures(provider: str) -> tuple[Fixture, ...]:
    """The answers of a provider's chat."""
    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    found = [row for row in rows if _OF.get(row["provider"], row["provider"]) == provider and row["api"] in _APIS]
    return tuple(made for row in found if (made := _fixture(provider, row)) is not None)


def _fixture(provider: str, row: dict) -> Fixture | None:
    says = _SAYS.get(provider, chat.says)
    if row["kind"] == "body":
        body = row["body"]
        known = any(name in body for name in ("choices", "content", "candidates", "message", "output"))
        if not known or body.get("object") == "response" or "error" in body:
            return None
        return Fixture(
            row={"id": row["id"], "response": body, "response_encoding": "json"}, content=b"", is_stream=False, says=says
        )
    lines = row["lines"]
    if '"response.created"' in lines[0] or '"setupComplete"' in lines[0]:
        return None
    if provider == "bedrock":
        if not any('"messageStop"' in line for line in lines):
            return None
        return _frames(row, says)
    ends = [index for index, line in enumerate(lines) if '"message_stop"' in line]
    text = "".join(f"data: {line}\r\n\r\n" for line in lines[: ends[0] + 1 if ends else None])
    made = {"id": row["id"], "response": text, "response_encoding": "text"}
    return Fixture(row=made, content=text.encode(), is_stream=True, says=says)


def _frames(row: dict, says) -> Fixture:
    """The frames that these events came in; a total where the list left it out."""
    content = b""
    for line in row["lines"]:
        ((name, event),) = json.loads(line).items()
        if "usage" in event:
            used = event["usage"]
            used.setdefault("totalTokens", used["inputTokens"] + used["outputTokens"])
        content += write_frame({":event-type": name, ":message-type": "event"}, json.dumps(event).encode())
    made = {"id": row["id"], "response": base64.b64encode(content).decode(), "response_encoding": "base64"}
    return Fixture(row=made, content=content, is_stream=True, says=says)


def at(provider: str) -> Connection:
    name = "openai" if provider == "openai-compatible" else provider
    return Connection(name=name, provider=name)


def reads(provider: str) -> tuple[Callable[[dict], object], Callable[[], Streaming]]:
    """What reads a whole answer of a provider, and what makes a reader of its streams."""
    connection = at(provider)
    made = load_extension("chat_providers", connection.provider)
    if issubclass(made, OpenAIChat):
        return (
            lambda body: openai_answers.read_answer(body, connection),
            lambda: StreamedAnswer(EventFramer(), openai_answers.StreamReader(connection)),
        )
    provider = made()
    return lambda body: provider.read_answer(body, connection), lambda: provider.streamed(connection, "")


PROVIDERS = (
    "anthropic", "azure", "bedrock", "cohere", "deepseek", "gemini", "groq", "mistral", "moonshotai", "openai",
    "openai-compatible", "perplexity", "xai",
)  # fmt: skip
_PARTIAL = re.compile(r'"partialArgs"|"willContinue"')


def is_partial(fixture: Fixture) -> bool:
    """Whether a call's arguments come in pieces, which the shortest way does not read."""
    return bool(_PARTIAL.search(str(fixture.row["response"])))
