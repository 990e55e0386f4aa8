"""Which recording is of which of a provider's doors, and how it is replayed; and why some are of none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, unquote

from models.replay import chat, cohere, converse, gemini, messages, ollama, texts
from models.replay.rows import exchange, path_of, rows
from models.replay.said import Said
from tidemill.core.chat import ChatRequest
from tidemill.testing.replay import Recorded

FILES = {
    "anthropic": "anthropic", "azure": "azure", "bedrock": "bedrock", "cerebras": "cerebras", "cohere": "cohere",
    "deepseek": "deepseek", "gemini": "google", "groq": "groq", "huggingface": "huggingface", "mistral": "mistral",
    "ollama": "ollama", "openai": "openai", "openai-compatible": "openai-compatible", "openrouter": "openrouter",
    "portkey": "portkey", "replicate": "replicate", "sagemaker": "sagemaker", "snowflake": "snowflake",
    "together": "together", "vertex": "vertex", "voyage": "voyage", "watsonx": "watsonx", "writer": "writer", "zai": "zai",
}  # fmt: skip
"""Provider to the file of its recordings; `openai-compatible` are other servers, asked by `provider: openai`."""


@dataclass(kw_only=True)
class Case:
    row: dict
    recorded: Recorded
    kind: str
    model: str = ""
    base: str = ""
    dialect: str = ""
    options: dict[str, str] = field(default_factory=dict)
    conversation: Callable[[dict, str], ChatRequest] | None = None
    same: Callable[[object], object] = lambda body: body
    says: Callable[[dict], Said] | None = None


_CHAT = {"conversation": chat.conversation, "same": chat.same, "says": chat.says}
_MESSAGES = {"conversation": messages.conversation, "same": messages.same, "says": messages.says}
_GEMINI = {"conversation": gemini.conversation, "same": gemini.same, "says": gemini.says}


def cases(provider: str) -> tuple[list[Case], dict[str, int]]:
    """The recordings that are replayed, and how many are not, by reason."""
    found: list[Case] = []
    left: dict[str, int] = {}
    for row in rows(FILES[provider]):
        made = _case(provider, row)
        if isinstance(made, Case):
            found.append(made)
        else:
            left[made] = left.get(made, 0) + 1
    return found, left


def _case(provider: str, row: dict) -> Case | str:
    path, query = path_of(row).partition("?")[::2]
    if row["method"].upper() == "GET":
        return "a list"
    if row["request"] is None or isinstance(row["request"], str):
        return "the request was not kept, or is no JSON"
    if any(each.get("role") == "invalid_role" for each in row["request"].get("contents", ())):
        return "a role that there is not, to see it refused"
    if row["response"] is None:
        return "the answer was not kept"
    recorded = replace(exchange(row), path=path)
    return _OF.get(provider, _openai)(Case(row=row, recorded=recorded, kind="chat"), path, query)


def _openai(case: Case, path: str, _query: str) -> Case | str:
    body = case.row["request"]
    for message in body.get("messages", ()):
        if message["role"] == "tool" and "tool_call_id" not in message:
            return "a tool's answer to no call, which our door refuses"
        if '"file_data": "http' in json.dumps(message):
            return "a document by its address, which our door refuses"
    for suffix in ("/chat/completions", "/v1/chat"):
        if path.endswith(suffix):
            base = path.removesuffix("/chat/completions").removesuffix("/chat")
            return replace(case, base=base, model=body.get("model") or "", **_CHAT)
    if path.endswith("/embeddings"):
        return replace(case, kind="embed", base=path.removesuffix("/embeddings"), model=body["model"])
    for suffix, dialect in (("/responses", "openai.responses"), ("/completions", "openai.completions")):
        if path.endswith(suffix) and "/prompts/" not in path:
            return replace(case, kind="passed", base=path.removesuffix(suffix), dialect=dialect, model=body.get("model") or "")
    return f"`{_door(path)}`: not offered"


def _door(path: str) -> str:
    return re.sub(r"/(thread|run|vs|pp|conv)[-_][A-Za-z0-9-_]+", "/…", re.sub(r"[0-9a-f-]{20,}", "…", path))


def _azure(case: Case, path: str, query: str) -> Case | str:
    version = parse_qs(query).get("api-version", [""])[0]
    options = {"api_version": version} if version else {}
    made = _openai(case, path, query)
    if isinstance(made, str):
        return made
    base, _, deployment = made.base.partition("/openai/deployments/")
    recorded = replace(made.recorded, path=f"{path}?{query}" if options else path)
    return replace(made, base=base, options={**options, "deployment": deployment}, recorded=recorded)


def _anthropic(case: Case, path: str, _query: str) -> Case | str:
    body = case.row["request"]
    if path == "/v1/messages":
        return replace(case, base="/v1", model=body["model"], **_MESSAGES)
    if path == "/v1/messages/count_tokens":
        return replace(case, kind="passed", base="/v1", dialect="anthropic.count_tokens", model=body["model"])
    return f"`{path}`: not offered"


def _gemini(case: Case, path: str, query: str) -> Case | str:
    base, _, rest = path.partition("/models/")
    model, _, action = rest.partition(":")
    if action in {"generateContent", "streamGenerateContent"}:
        recorded = replace(case.recorded, path=f"{path}?{query}" if "alt=sse" in query else path)
        return replace(case, base=base, model=model, recorded=recorded, **_GEMINI)
    if action == "batchEmbedContents":
        if any(len(each["content"]["parts"]) > 1 for each in case.row["request"]["requests"]):
            return "several parts make one vector: not offered"
        return replace(case, kind="embed", base=base, model=model)
    return f"`{action or _door(path)}`: not offered"


def _vertex(case: Case, path: str, query: str) -> Case | str:
    found = re.fullmatch(r"(/v1(?:beta1)?)/projects/([^/]+)/locations/([^/]+)/publishers/google/models/([^:]+):(\w+)", path)
    options = {"project": found[2], "location": found[3]}
    if found[5] in {"generateContent", "streamGenerateContent"}:
        recorded = replace(case.recorded, path=f"{path}?{query}" if "alt=sse" in query else path)
        return replace(case, base=found[1], model=found[4], options=options, recorded=recorded, **_GEMINI)
    if found[5] == "predict":
        return replace(case, kind="embed", base=found[1], model=found[4], options=options)
    return f"`{found[5]}`: not offered"


def _bedrock(case: Case, path: str, _query: str) -> Case | str:
    found = re.fullmatch(r"/model/([^/]+)/([a-z-]+)", path)
    if found is None:
        return "`apply-guardrail`: not offered"
    model, action = unquote(found[1]), found[2]
    if action in {"converse", "converse-stream"}:
        return replace(case, model=model, conversation=converse.conversation, same=converse.same, says=converse.says)
    if "embed" in model:
        return replace(case, kind="embed", model=model)
    if action.startswith("invoke") and "messages" in case.row["request"] and "anthropic." in model:
        return replace(case, model=model, options={"api": "invoke"}, **_MESSAGES)
    return f"`{action}`: not offered" if action == "count-tokens" else "`invoke` in a model's own words: Converse says the same"


def _cohere(case: Case, path: str, _query: str) -> Case | str:
    body = case.row["request"]
    if path == "/v2/chat":
        made = {"conversation": cohere.conversation, "same": cohere.same, "says": cohere.says}
        return replace(case, model=body["model"], **made)
    if path in {"/v2/embed", "/v2/rerank"}:
        return replace(case, kind=path[4:], model=body["model"])
    return f"`{path}`: the API before `/v2`"


def _ollama(case: Case, path: str, _query: str) -> Case | str:
    if path != "/api/chat":
        return f"`{path}`: not offered"
    made = {"conversation": ollama.conversation, "same": ollama.same, "says": ollama.says}
    return replace(case, model=case.row["request"]["model"], **made)


def _voyage(case: Case, path: str, _query: str) -> Case | str:
    kind = "embed" if path.endswith("/embeddings") else "rerank"
    return replace(case, kind=kind, base="/v1", model=case.row["request"]["model"])


def _watsonx(case: Case, path: str, query: str) -> Case | str:
    body = case.row["request"]
    recorded = replace(case.recorded, path=f"{path}?{query}")
    options = {
        "api": "generation", "path": path.rpartition("/")[0], "version": parse_qs(query)["version"][0],
        "project_id": body["project_id"],
    }  # fmt: skip
    made = {"conversation": texts.watsonx, "says": texts.watsonx_says}
    return replace(case, model=body["model_id"], options=options, recorded=recorded, **made)


def _sagemaker(case: Case, path: str, _query: str) -> Case | str:
    made = {"conversation": texts.sagemaker, "says": texts.sagemaker_says}
    return replace(case, model=path.split("/")[2], **made)


def _writer(case: Case, path: str, query: str) -> Case | str:
    return "`/v1/completions`: a form of its own: not offered" if path.endswith("/completions") else _openai(case, path, query)


def _replicate(case: Case, _path: str, _query: str) -> Case | str:
    body = case.row["request"]

    def conversation(body: dict, model: str) -> ChatRequest:
        from tidemill.core.parts import Message

        return ChatRequest(model=model, messages=(Message.of("user", body["input"]["prompt"]),))

    return replace(case, kind="begun", base="/v1", model=body["version"], conversation=conversation)


def _portkey(_case_: Case, _path: str, _query: str) -> Case | str:
    return "`/prompts`: prompts that the seller keeps: not offered"


_OF = {
    "anthropic": _anthropic, "azure": _azure, "bedrock": _bedrock, "cohere": _cohere, "gemini": _gemini, "ollama": _ollama,
    "portkey": _portkey, "replicate": _replicate, "sagemaker": _sagemaker, "vertex": _vertex, "voyage": _voyage,
    "watsonx": _watsonx, "writer": _writer,
}  # fmt: skip
