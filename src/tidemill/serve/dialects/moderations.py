"""`/v1/moderations`: whether a text holds what it should not, said by a guardrail of the project or by a provider.

https://platform.openai.com/docs/api-reference/moderations
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.flows.guard import Guard
from tidemill.models.calls import RawRequest
from tidemill.serve.body import read_body
from tidemill.serve.dialects.fields import needed_text
from tidemill.serve.dialects.task import JSON_HEADERS, Asked, Headers, Task, TaskCall

_CATEGORIES: Final = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
_MOST: Final = 1000  # texts in one request
_REMEMBERED: Final = 64


def _read(content: bytes, _headers: Headers) -> TaskCall:
    body = read_body(content)
    if not body.get("input"):
        raise Invalid("there is no input", where="input", hint="Send text, or a list of it.")
    raw = RawRequest(dialect="openai.moderations", body=content, fields=body, headers=JSON_HEADERS)
    return TaskCall(model=needed_text(body, "model"), raw=raw, shown=body["input"])


class _Judging:
    """Guardrails, each made once."""

    def __init__(self) -> None:
        self._guards: dict[str, Guard] = {}

    async def __call__(self, asked: Asked) -> JsonObject:
        """What the guardrail finds in each text; its labels are categories beside the dialect's own."""
        guard = self._guard(asked.model)
        results: list[Json] = [await self._result(guard, each) for each in _texts(asked.call.fields["input"])]
        asked.span.set(output=results)
        return {"id": f"modr-{asked.head.id}", "model": asked.head.model, "results": results}

    def _guard(self, version: Version) -> Guard:
        found = self._guards.get(version.digest)
        if found is None:
            if len(self._guards) >= _REMEMBERED:
                self._guards.clear()
            found = self._guards[version.digest] = Guard(version)
        return found

    async def _result(self, guard: Guard, text: str) -> JsonObject:
        verdict = await guard.judge(text)
        labels = dict.fromkeys(label for _, _, label in verdict.findings)
        names = (*_CATEGORIES, *(each for each in labels if each not in _CATEGORIES))
        return {
            "flagged": bool(labels),
            "categories": {name: name in labels for name in names},
            "category_scores": {name: float(name in labels) for name in names},
            "category_applied_input_types": {name: ["text"] for name in names},
        }


def _texts(given: Json) -> list[str]:
    each_of = [given] if isinstance(given, str) else given
    if not isinstance(each_of, Sequence) or len(each_of) > _MOST:
        raise Invalid("input is neither text nor a list of it", where="input", hint=f"Send {_MOST:,} texts at most.")
    found: list[str] = []
    for index, each in enumerate(each_of):
        text = each.get("text") if isinstance(each, Mapping) else each
        if not isinstance(text, str):
            raise Invalid("a guardrail reads text", where=f"input[{index}]", hint="Send text, or name a provider's model.")
        found.append(text)
    return found


MODERATIONS: Final = Task(
    operation="moderations", dialect="openai.moderations", span="guardrail", read=_read, here={"guardrail": _Judging()}
)
