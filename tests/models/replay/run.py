"""Replaying one recording: what is asked of the server is what was recorded, and the answer says what was recorded."""

from __future__ import annotations

import asyncio
import os
from urllib.parse import unquote

import orjson
import pytest

from models.replay.cases import Case
from models.replay.said import Said
from tidemill.core.chat import Connection, Secret
from tidemill.core.errors import TidemillError
from tidemill.core.extend import load_extension
from tidemill.models.http_chat import EventFramer, StreamedAnswer
from tidemill.models.providers.openai import OpenAIChat
from tidemill.models.providers.openai_answers import StreamReader
from tidemill.testing.replay import ReplayServer, check_recording, first_difference, replay

KEY = "TIDEMILL_REPLAY_KEY"
os.environ.setdefault(KEY, "ey-not-a-real-key")
_PLAIN = {"openai-compatible": "openai"}


def connection(case: Case, provider: str, server: ReplayServer) -> Connection:
    name = _PLAIN.get(provider, provider)
    return Connection(
        name=name,
        provider=name,
        base_url=server.url + case.base,
        api_key=Secret(reference=f"env:{KEY}"),
        allow_private=True,
        timeout=20.0,
        options=case.options,
    )


async def run(case: Case, provider: str, server: ReplayServer) -> None:
    """Raise `AssertionError` when something is not as it was recorded."""
    at = connection(case, provider, server)
    group = "embed_providers" if case.kind == "embed" else "chat_providers"
    made = load_extension(group, at.provider)()
    try:
        await _DO[case.kind](made, case, at, server)
    finally:
        await made.close()


async def _chat(made, case: Case, at: Connection, server: ReplayServer) -> None:
    request = case.conversation(case.row["request"], case.model)
    if case.recorded.status >= 300 or is_refusal(case):
        asking = made.stream if case.row["request"].get("stream") else made.chat
        await _refused(_whole(asking(request, connection=at)), case, server)
        return
    response = await check_recording(
        made, case.recorded, request, server=server, connection=at, same=case.same, streamed=_streamed(made, at)
    )
    if case.says is not None:
        found, wanted = Said.of(response), case.says(case.row)
        assert found == wanted, f"{case.row['id']}: read {found}, recorded {wanted}"


def _streamed(made, at: Connection):
    """What reads a stream of a provider that does not say so itself."""
    return (lambda: StreamedAnswer(EventFramer(), StreamReader(at))) if isinstance(made, OpenAIChat) else None


async def _whole(asking):
    """An answer, or a stream to its end."""
    return [each async for each in asking] if hasattr(asking, "__aiter__") else await asking


def is_refusal(case: Case) -> bool:
    """Whether an answer with a status of 200 says that there is none."""
    response = case.row["response"]
    if isinstance(response, str):
        return '"Token limit reached' in response
    return bool(response and not isinstance(response, list) and (response.get("error") or _is_blocked(response)))


def _is_blocked(response: dict) -> bool:
    return bool(response.get("promptFeedback", {}).get("blockReason"))


async def _refused(asking, case: Case, server: ReplayServer) -> None:
    server.recorded = case.recorded
    begun = len(server.requests)
    with pytest.raises(TidemillError) as caught:
        await asking
    assert caught.value.kind, f"{case.row['id']}: the refusal does not say of which kind it is"
    if case.recorded.request is not None:
        asked, wanted = case.same(server.requests[begun]), case.same(case.recorded.request)
        assert asked == wanted, f"{case.row['id']}: {first_difference(asked, wanted)}"


_DIMENSIONS = ("dimensions", "output_dimension", "outputDimensionality", "embeddingDimension")


async def _embed(made, case: Case, at: Connection, server: ReplayServer) -> None:
    server.recorded = case.recorded
    begun = len(server.requests)
    texts, params = _texts(case.row["request"])
    case.same = _same
    asking = made.embed(texts, model=case.model, params=params, connection=at)
    if case.recorded.status >= 300:
        await _refused(asking, case, server)
        return
    response = await asking
    assert response.vectors.count == len(texts), f"{case.row['id']}: {response.vectors.count} vectors for {len(texts)} texts"
    asked, wanted = _same(server.requests[begun]), _same(case.recorded.request)
    assert asked == wanted, f"{case.row['id']}: {first_difference(asked, wanted)}"
    assert _path(server.paths[begun]) == _path(case.recorded.path), case.row["id"]


def _path(path: str) -> str:
    return unquote(path)


def _same(body):
    """Without nulls, what is said by default, and how the numbers are written."""
    if isinstance(body, list):
        return [_same(each) for each in body]
    if not isinstance(body, dict):
        return body
    found = {name: _same(each) for name, each in body.items() if each is not None}
    if isinstance(found.get("content"), dict):
        found["content"].pop("role", None)
    for name in ("encoding_format", "embedding_types"):
        found.pop(name, None)
    if isinstance(found.get("input"), str):
        found["input"] = [found["input"]]
    return found


def _texts(body: dict) -> tuple[list[str], dict]:
    """What is embedded, and the parameters, in whichever form they were recorded."""
    rest = {name: value for name, value in body.items() if value is not None and name not in {"model", "encoding_format"}}
    rest.pop("embedding_types", None)
    if "requests" in rest:
        one = rest["requests"][0]
        return [each["content"]["parts"][0]["text"] for each in rest["requests"]], _renamed(
            {name: value for name, value in one.items() if name not in {"model", "content"}}
        )
    if "instances" in rest:
        one = rest["instances"][0]
        return [each["content"] for each in rest["instances"]], {
            name: value for name, value in one.items() if name != "content"
        } | _renamed(rest.get("parameters", {}))
    if "inputText" in rest:
        return [rest.pop("inputText")], rest
    if "singleEmbeddingParams" in rest:
        return [rest["singleEmbeddingParams"]["text"]["value"]], _renamed(
            {name: value for name, value in rest["singleEmbeddingParams"].items() if name == "embeddingDimension"}
        )
    texts = rest.pop("texts", None) or rest.pop("input")
    return [texts] if isinstance(texts, str) else texts, _renamed(rest)


def _renamed(params: dict) -> dict:
    return {"dimensions" if name in _DIMENSIONS else name: value for name, value in params.items()}


async def _rerank(made, case: Case, at: Connection, server: ReplayServer) -> None:
    server.recorded = case.recorded
    begun = len(server.requests)
    body = {name: value for name, value in case.row["request"].items() if value is not None}
    if "top_k" in body:
        body["top_n"] = body.pop("top_k")
    answer = await made.forward("cohere.rerank", orjson.dumps(body), model=case.model, connection=at, stream=False, headers={})
    content = b"".join([piece async for piece in answer.chunks])
    found = [(each["index"], each["relevance_score"]) for each in orjson.loads(content)["results"]]
    recorded = case.row["response"].get("results") or case.row["response"]["data"]
    assert found == [(each["index"], each["relevance_score"]) for each in recorded], case.row["id"]
    asked, wanted = _same(server.requests[begun]), _same(case.recorded.request)
    assert asked == wanted, f"{case.row['id']}: {first_difference(asked, wanted)}"
    assert server.paths[begun] == case.recorded.path, case.row["id"]


async def _begun(made, case: Case, at: Connection, server: ReplayServer) -> None:
    """A prediction that was only begun: what asks for it is as recorded, and its answer is waited for."""
    request = case.conversation(case.row["request"], case.model)
    server.asked.clear()
    begun = len(server.requests)
    task = asyncio.create_task(replay(made, case.recorded, request, server=server, connection=at))
    await server.asked.wait()
    task.cancel()
    await asyncio.wait([task])
    assert server.requests[begun] == case.recorded.request, first_difference(server.requests[begun], case.recorded.request)
    assert server.paths[begun] == case.recorded.path


async def _passed(made, case: Case, at: Connection, server: ReplayServer) -> None:
    """What is passed on as it is written: not a byte of it differs, on the way there and on the way back."""
    server.recorded = case.recorded
    begun = len(server.requests)
    body = orjson.dumps(case.row["request"])
    asking = made.forward(case.dialect, body, model=case.model, connection=at, stream=case.recorded.is_stream, headers={})
    if case.recorded.status >= 300:
        await _refused(asking, case, server)
        return
    answer = await asking
    pieces = []
    async for piece in answer.chunks:
        pieces.append(piece)
        answer.reader.feed(piece)
    answer.reader.end()
    assert answer.reader.error is None, f"{case.row['id']}: {answer.reader.error}"
    assert answer.reader.ended, f"{case.row['id']}: its end was not seen"
    assert b"".join(pieces) == case.recorded.content, f"{case.row['id']}: bytes differ"
    assert server.requests[begun] == case.recorded.request, case.row["id"]
    assert server.paths[begun] == case.recorded.path, f"{server.paths[begun]}, recorded {case.recorded.path}"


_DO = {"passed": _passed, "chat": _chat, "embed": _embed, "rerank": _rerank, "begun": _begun}
