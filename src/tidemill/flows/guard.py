"""Guardrails at work: a text goes in; it comes out as it was, with places replaced, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tidemill.core.json import Json, JsonObject
from tidemill.core.records import SpanKind, Version
from tidemill.flows.guardrail_kind import make_check
from tidemill.flows.results import Blocked
from tidemill.flows.step import Call, Outcome, Run
from tidemill.prompts.text import is_passages, text_of
from tidemill.telemetry import Span

GUARDRAIL: Final = "tidemill.guardrail"
ACTION: Final = "tidemill.guardrail.action"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a guardrail says of a text. `action` is `allow` when nothing was found; `text` is what may go on."""

    text: str
    action: str
    findings: tuple[tuple[int, int, str], ...] = ()

    def as_json(self, value: Json) -> JsonObject:
        """A guardrail step's output."""
        return {
            "text": self.text,
            "value": value,
            "action": self.action,
            "passed": not self.findings,
            "findings": [{"start": start, "end": end, "label": label} for start, end, label in self.findings],
        }


class Guard:
    """A guardrail, compiled."""

    def __init__(self, version: Version) -> None:
        spec = version.spec
        self.ref = version.bare
        self.point = str(spec["on"])
        self.message = str(spec["message"]) if "message" in spec else None
        self._action = str(spec["action"])
        self._replacement = str(spec.get("replacement", "[{label}]"))
        checks = spec["checks"]
        assert isinstance(checks, Sequence)
        assert not isinstance(checks, str)
        self._checks = [make_check(*_made(each)) for each in checks]

    async def judge(self, text: str) -> Verdict:
        """Run every check on a text. Raises nothing: a block is a verdict."""
        findings: list[tuple[int, int, str]] = []
        for check in self._checks:
            findings.extend(await check.check(text))
        if not findings:
            return Verdict(text=text, action="allow")
        found = tuple(sorted(findings))
        redacted = _redacted(text, found, self._replacement) if self._action == "redact" else text
        return Verdict(text=redacted, action=self._action, findings=found)

    async def pass_text(self, text: str, *, span: Span) -> str:
        """The text that may go on, with a span for it. Raises `Blocked`."""
        with span.child(self.ref.partition("/")[2], kind="guardrail", input=text, attributes={GUARDRAIL: self.ref}) as child:
            verdict = await self.judge(text)
            child.set(output=verdict.as_json(verdict.text), attributes={ACTION: verdict.action})
        if verdict.action == "block":
            raise self.refusal(verdict)
        return verdict.text

    def refusal(self, verdict: Verdict) -> Blocked:
        """The error that says which guardrail refused, and what it found (by label, never the text itself)."""
        labels = ", ".join(dict.fromkeys(label for _, _, label in verdict.findings))
        what = {"input": "the input", "output": "the answer", "context": "the retrieved text", "tool": "what a tool gave"}
        refusal = Blocked(f"{self.ref} blocked {what[self.point]}: {labels}", hint=_HINT, where=self.ref)
        refusal.answer = self.message
        return refusal


_HINT: Final = "Change what it found, or ask whoever owns the guardrail."


async def guard_passages(guard: Guard, passages: Json, *, span: Span) -> Json:
    """Retrieved passages that may go on: a blocked one is left out, the others have their text as the guardrail gives it."""
    if not is_passages(passages):
        return passages
    name = guard.ref.partition("/")[2]
    kept: list[Json] = []
    actions: list[Json] = []
    with span.child(name, kind="guardrail", input=passages, attributes={GUARDRAIL: guard.ref}) as child:
        for each in passages:
            verdict = await guard.judge(str(each["text"]))
            actions.append(verdict.action)
            if verdict.action != "block":
                kept.append({**each, "text": verdict.text})
        child.set(output=kept, attributes={ACTION: actions})
    return kept


class GuardWork:
    """A guardrail step: its `text` may be a text or retrieved passages."""

    span_kind: SpanKind = "guardrail"
    digest: str | None = None

    def __init__(self, version: Version) -> None:
        self._guard = Guard(version)

    async def variation(self, run: Run) -> Sequence[Json]:  # noqa: ARG002  (the Protocol's argument)
        """Nothing: it is quick and never cached."""
        return ()

    async def work(self, inputs: JsonObject, call: Call) -> Outcome:
        """The verdict. Raises `Blocked` when the guardrail blocks a text."""
        value = inputs.get("text")
        call.span.set(attributes={GUARDRAIL: self._guard.ref})
        if is_passages(value):
            kept = await guard_passages(self._guard, value, span=call.span)
            changed = kept != value
            verdict = Verdict(text=text_of(kept), action="redact" if changed else "allow")
            return Outcome(value={**verdict.as_json(kept), "passed": not changed})
        verdict = await self._guard.judge(text_of(value))
        call.span.set(attributes={ACTION: verdict.action})
        if verdict.action == "block":
            raise self._guard.refusal(verdict)
        return Outcome(value=verdict.as_json(verdict.text))


def _made(check: Json) -> tuple[str, JsonObject]:
    assert isinstance(check, Mapping)
    options = check["options"]
    assert isinstance(options, Mapping)
    return str(check["check"]), options


def _redacted(text: str, findings: Sequence[tuple[int, int, str]], replacement: str) -> str:
    pieces: list[str] = []
    end = 0
    for start, stop, label in findings:
        if stop <= end:
            continue
        pieces += [text[end : max(start, end)], replacement.replace("{label}", label)]
        end = stop
    return "".join([*pieces, text[end:]])
