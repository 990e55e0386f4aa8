"""docs/reference/providers.md: who can be asked, in which dialects, for what, and on how many real recordings it was tried.

    python scripts/provider_table.py

The recordings are in a folder of their own (`TIDEMILL_SHARED_DATA`); without it the page stays as it is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from models.replay.cases import FILES, Case, cases  # noqa: E402  (beside the package)
from models.replay.fixtures import PROVIDERS, fixtures  # noqa: E402
from models.replay.rows import FOLDER  # noqa: E402
from models.replay.run import run  # noqa: E402
from tidemill.core.extend import extension_names, load_extension  # noqa: E402
from tidemill.models.providers import (  # noqa: E402
    anthropic_requests,
    bedrock_requests,
    cohere_requests,
    gemini_requests,
    ollama_requests,
    replicate,
)
from tidemill.models.providers.compatible import ROWS  # noqa: E402
from tidemill.testing.replay import replay_server  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "providers.md"
_ALIKE = {row.name for row in ROWS} | {"openai", "azure"}
_TEXT = {"replicate", "sagemaker", "voyage", "local"}
_HERE = {"local", "test"}
_ORDER = "temperature top_p top_k max_tokens stop seed n presence_penalty frequency_penalty logprobs reasoning_effort".split()
_PARAMS: Mapping[str, Mapping[str, str]] = {
    "anthropic": anthropic_requests.PARAMS, "bedrock": bedrock_requests.PARAMS, "cohere": cohere_requests.PARAMS,
    "gemini": gemini_requests.PARAMS, "ollama": ollama_requests.PARAMS, "replicate": replicate.PARAMS,
}  # fmt: skip


async def replayed(provider: str) -> tuple[int, int]:
    """How many recordings were replayed, and how many of them streams."""
    found, _ = cases(provider)
    async with replay_server() as server:
        for case in found:
            await run(case, provider, server)
    return len(found), sum(case.recorded.is_stream for case in found)


def capabilities() -> str:
    """A line a provider."""
    lines = [
        "| `provider:` | chat | stream | tools | embed | rerank | dialects passed on as written | own key in | options |\n"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|\n")
    chats, embeds = set(extension_names("chat_providers")), set(extension_names("embed_providers"))
    for name in sorted(chats | embeds):
        made: Any = load_extension("chat_providers" if name in chats else "embed_providers", name)
        dialects: frozenset[str] = getattr(made, "dialects", frozenset())
        speaks = name in chats and name != "voyage"
        cells = [
            _mark(speaks),
            _mark(speaks and name != "sagemaker"),
            _mark(speaks and name not in _TEXT),
            _mark(name in embeds),
            _mark("cohere.rerank" in dialects),
            ", ".join(f"`{each}`" for each in sorted(dialects)) or "–",
            _key(made, name),
            ", ".join(f"`{each}`" for each in getattr(made, "connection_options", {})) or "–",
        ]
        lines.append(f"| `{name}` | {' | '.join(cells)} |\n")
    return "".join(lines)


def _mark(is_so: object) -> str:
    return "yes" if is_so else "–"


_KEYS = {
    "anthropic": "ANTHROPIC_API_KEY", "bedrock": "AWS_BEARER_TOKEN_BEDROCK, AWS_ACCESS_KEY_ID", "cohere": "COHERE_API_KEY",
    "gemini": "GEMINI_API_KEY", "replicate": "REPLICATE_API_TOKEN", "sagemaker": "AWS_ACCESS_KEY_ID",
    "vertex": "GOOGLE_APPLICATION_CREDENTIALS", "voyage": "VOYAGE_API_KEY", "watsonx": "WATSONX_API_KEY",
}  # fmt: skip


def _key(made: Any, name: str) -> str:
    reference = getattr(getattr(made, "key", None), "reference", "")
    found = reference.removeprefix("env:") or _KEYS.get(name, "")
    return ", ".join(f"`{each}`" for each in found.split(", ")) if found else "–"


def options() -> str:
    """What each option of a connection means."""
    lines = ["| provider | option | meaning |\n|---|---|---|\n"]
    for name in sorted(extension_names("chat_providers")):
        made: Any = load_extension("chat_providers", name)
        said: Mapping[str, str] = getattr(made, "connection_options", {})
        lines += [f"| `{name}` | `{option}` | {text} |\n" for option, text in said.items()]
    return "".join(lines)


def parameters() -> str:
    """Which parameters, by OpenAI's names, each of the other dialects has a word for."""
    lines = [f"| provider | {' | '.join(f'`{each}`' for each in _ORDER)} |\n", "|---" * (len(_ORDER) + 1) + "|\n"]
    for name, words in sorted(_PARAMS.items()):
        lines.append(f"| `{name}` | {' | '.join(_mark(each in words) for each in _ORDER)} |\n")
    return "".join(lines)


def recordings(counts: Mapping[str, tuple[int, int]]) -> str:
    """How far each was tried on real recordings."""
    lines = ["| provider | recordings replayed | of them streams | answers alone, read | not replayed, and why | state |\n"]
    lines.append("|---|---|---|---|---|---|\n")
    names = (set(extension_names("chat_providers")) | set(extension_names("embed_providers")) | set(FILES)) - _HERE
    for name in sorted(names):
        count, streams = counts.get(name, (0, 0))
        left = cases(name)[1] if name in FILES else {}
        why = "; ".join(f"{number}: {reason}" for reason, number in sorted(left.items())) or "–"
        shown = "`openai` with `base_url`" if name == "openai-compatible" else f"`{name}`"
        alone = len(fixtures(name)) if name in PROVIDERS else 0
        lines.append(f"| {shown} | {count} | {streams} | {alone} | {why} | {_state(name, count, alone)} |\n")
    return "".join(lines)


def _state(name: str, count: int, alone: int) -> str:
    if count and all(case.kind == "begun" for case in cases(name)[0]):
        return "what is asked is proven, its answers are not"
    if count:
        return "proven"
    if alone:
        return "its answers are proven, what is asked is not"
    return "unproven: the dialect is, this server is not" if name in _ALIKE else "unproven"


async def _counts() -> dict[str, tuple[int, int]]:
    return {name: await replayed(name) for name in FILES}


def with_part(page: str, name: str, table: str) -> str:
    """The page with a table in its place, between two comments."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}{table}{match[2]}", page)


def page() -> str:
    """The page as it should be; without the recordings, the part that needs them as it is."""
    text = PAGE.read_text("utf-8")
    for name, table in (("capabilities", capabilities()), ("options", options()), ("parameters", parameters())):
        text = with_part(text, name, table)
    return with_part(text, "recordings", recordings(anyio.run(_counts))) if FOLDER.is_dir() else text


__all__ = ["Case", "page"]

if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} is current\n")
