"""Guardrails at work: a text goes in; it comes out as it was, with places replaced, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import ROLES
from tidemill.core.records import SpanKind, Version
from tidemill.flows.guardrail_kind import make_check
from tidemill.flows.results import Blocked
from tidemill.flows.step import Call, Outcome, Run
from tidemill.models.checks.guardrail import CHARACTERS, SECONDS, TIMEOUT, Action, Guardrail, OnError, Point
from tidemill.models.checks.look import look
from tidemill.models.checks.screen import ACTION, GUARDRAIL
from tidemill.prompts.text import is_passages, text_of
from tidemill.telemetry import Span


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
        spec = self._spec = version.spec
        self._digest = version.digest
        self.ref = version.bare
        self.point = str(spec["on"])
        self.message = str(spec["message"]) if "message" in spec else None
        self._action = str(spec["action"])
        self._replacement = str(spec.get("replacement", "[{label}]"))
        checks = spec["checks"]
        assert isinstance(checks, Sequence)
        assert not isinstance(checks, str)
        self._checks = [make_check(*_made(each)) for each in checks]
        self._standing = self.standing()

    def standing(self) -> Guardrail:
        """The same as a call of a model meets it."""
        spec, hold = self._spec, cast("JsonObject", self._spec.get("hold", {}))
        roles = cast("Sequence[str] | None", spec.get("roles"))
        return Guardrail(
            ref=self.ref,
            digest=self._digest,
            point=cast("Point", self.point),
            action=cast("Action", self._action),
            find=self.find,
            replacement=self._replacement,
            message=self.message,
            on_error=cast("OnError", spec.get("on_error", "closed")),
            timeout=cast("float", spec.get("timeout", TIMEOUT)),
            characters=cast("int", hold.get("characters", CHARACTERS)),
            seconds=cast("float", hold.get("time", SECONDS)),
            roles=frozenset(ROLES if roles is None else roles),
            reads_all=any(getattr(each, "reads_all", False) for each in self._checks),
        )

    async def find(self, text: str) -> Sequence[tuple[int, int, str]]:
        """What every check finds, in order."""
        findings: list[tuple[int, int, str]] = []
        for check in self._checks:
            findings.extend(await check.check(text))
        return sorted(findings)

    async def judge(self, text: str) -> Verdict:
        """Run every check on a text. A block is a verdict.

        Raises `Unavailable` where a check cannot look, or takes too long, unless the guardrail says `on_error: open`.
        """
        (looked,) = await look((self._standing,), text)
        if not looked.findings:
            return Verdict(text=text, action="allow")
        found = tuple(looked.findings)
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
        return self._standing.refusal(list(dict.fromkeys(label for _, _, label in verdict.findings)))


def standing_guardrail(version: Version) -> Guardrail:
    """A `kind: guardrail` as calls of models meet it."""
    return Guard(version).standing()


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
