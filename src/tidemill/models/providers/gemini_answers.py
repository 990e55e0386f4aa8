"""Answers in Gemini's words, read as ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tidemill.core.chat import ChatDelta, ChatResponse, Choice, Connection, FinishReason, TokenLogprob, ToolCallDelta, Usage
from tidemill.core.errors import Invalid, TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Audio, File, Image, Media, Message, Other, Part, Reasoning, Text, ToolCall, Video
from tidemill.models.events import ServerEvent
from tidemill.models.http_chat import unit_object
from tidemill.models.providers.gemini_partial import PartialCall
from tidemill.models.providers.gemini_requests import NAME, SEAL, UNNAMED
from tidemill.models.reading import as_text, child, children, count, number, text
from tidemill.models.refusals import refusal

_FINISH: Final[Mapping[str, FinishReason]] = {
    "STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter", "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter", "PROHIBITED_CONTENT": "content_filter", "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter", "IMAGE_PROHIBITED_CONTENT": "content_filter", "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter", "LANGUAGE": "content_filter", "MALFORMED_FUNCTION_CALL": "error",
    "UNEXPECTED_TOOL_CALL": "error", "TOO_MANY_TOOL_CALLS": "error",
}  # fmt: skip
_NUMBERED: Final = (
    "", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII",
    "MALFORMED_FUNCTION_CALL",
)  # fmt: skip
_READ: Final = frozenset({"content", "finishReason", "index", "logprobsResult", "avgLogprobs"})


def read_answer(answer: JsonObject, connection: Connection) -> ChatResponse:
    """A whole answer. Raises what the provider says of a prompt that it blocked, and `Unavailable` when there is no answer."""
    raise_refusal(answer, connection)
    candidates = children(answer, "candidates")
    if not candidates:
        raise Unavailable("gemini answered without any candidate", where=f"connection/{connection.name}", kind="server")
    choices = [_choice(each, index, text(answer, "responseId")) for index, each in enumerate(candidates)]
    first = choices[0]
    return ChatResponse(
        message=first.message,
        finish_reason=first.finish_reason,
        usage=read_usage(child(answer, "usageMetadata")),
        model=text(answer, "modelVersion"),
        logprobs=first.logprobs,
        others=tuple(choices[1:]),
        extra=first.extra,
    )


def raise_refusal(answer: JsonObject, connection: Connection) -> None:
    """Raise the error that an answer holds, or what it says of a prompt that was blocked."""
    if answer.get("error"):
        raise _error(answer, connection)
    feedback = child(answer, "promptFeedback")
    reason = feedback.get("blockReason")
    if reason and not answer.get("candidates"):
        words = text(feedback, "blockReasonMessage") or f"the prompt was blocked: {reason}"
        raise Invalid(
            f"gemini: {words}",
            where=f"connection/{connection.name}",
            hint="The provider's safety settings refused the prompt.",
            kind="content_filter",
        )


def _error(answer: JsonObject, connection: Connection) -> TidemillError:
    status = count(child(answer, "error"), "code")
    return refusal(status if 400 <= status < 600 else 500, as_text(answer), provider="gemini", connection=connection.name)


def _choice(candidate: JsonObject, index: int, answer_id: str) -> Choice:
    parts: list[Part] = []
    calls = 0
    for written in children(child(candidate, "content"), "parts"):
        seal = text(written, "thoughtSignature")
        if seal:
            _seal(parts, SEAL + seal)
        part = _part(written, call_id=f"{UNNAMED}{answer_id}_{index}_{calls}")
        calls += isinstance(part, ToolCall)
        if part is not None:
            _add(parts, part)
    return Choice(
        index=index,
        message=Message(role="assistant", parts=tuple(parts) or (Text(text=""),)),
        finish_reason=_finish(candidate, has_calls=calls > 0),
        logprobs=_logprobs(child(candidate, "logprobsResult")),
        extra=_said(candidate),
    )


def _seal(parts: list[Part], seal: str) -> None:
    """A signature closes the thought before it, or stands alone where there was none to see."""
    last = parts[-1] if parts else None
    if isinstance(last, Reasoning) and last.signature is None:
        parts[-1] = Reasoning(text=last.text, signature=seal)
    else:
        parts.append(Reasoning(signature=seal))


def _add(parts: list[Part], part: Part) -> None:
    """Add a part; texts that follow each other are one, and so are thoughts."""
    last = parts[-1] if parts else None
    if isinstance(part, Text) and isinstance(last, Text):
        parts[-1] = Text(text=last.text + part.text)
    elif isinstance(part, Reasoning) and isinstance(last, Reasoning) and last.signature is None:
        parts[-1] = Reasoning(text=last.text + part.text)
    else:
        parts.append(part)


def _part(written: JsonObject, *, call_id: str) -> Part | None:
    if isinstance(said := written.get("text"), str):
        if written.get("thought") is True:
            return Reasoning(text=said)
        return Text(text=said) if said else None
    if call := child(written, "functionCall"):
        arguments = as_text(child(call, "args"))
        return ToolCall(id=text(call, "id") or call_id, name=text(call, "name"), arguments=arguments)
    if data := child(written, "inlineData"):
        return _media(text(data, "mimeType"))(media_type=text(data, "mimeType"), data=text(data, "data"))
    kept = {name: value for name, value in written.items() if name not in {"thoughtSignature", "thought"}}
    return Other(dialect=NAME, value=kept) if kept else None


def _media(media_type: str) -> type[Image | Audio | Video | File]:
    kinds: Mapping[str, type[Image | Audio | Video]] = {"image": Image, "audio": Audio, "video": Video}
    return kinds.get(media_type.partition("/")[0], File)


def _said(candidate: JsonObject) -> JsonObject:
    """What else is said of a candidate: where it found things, how safe it is."""
    rest: dict[str, Json] = {name: value for name, value in candidate.items() if name not in _READ and value}
    return {NAME: rest} if rest else {}


def _finish(candidate: JsonObject, *, has_calls: bool) -> FinishReason:
    reason = _reason(candidate)
    found = _FINISH.get(reason, "stop")
    return "tool_calls" if has_calls and found == "stop" else found


def _reason(candidate: JsonObject) -> str:
    """The finish reason's name; some clients of Vertex ask for numbers."""
    reason = candidate.get("finishReason")
    if isinstance(reason, int):
        return _NUMBERED[reason] if 0 <= reason < len(_NUMBERED) else "OTHER"
    return reason if isinstance(reason, str) else ""


def read_usage(usage: JsonObject) -> Usage:
    """Gemini counts thoughts apart from the output, and what its tools read apart from the input; here they are part."""
    thoughts = count(usage, "thoughtsTokenCount")
    return Usage(
        input_tokens=count(usage, "promptTokenCount") + count(usage, "toolUsePromptTokenCount"),
        output_tokens=count(usage, "candidatesTokenCount") + thoughts,
        cached_tokens=count(usage, "cachedContentTokenCount"),
        reasoning_tokens=thoughts,
        audio_input_tokens=_heard(usage, "promptTokensDetails"),
        audio_output_tokens=_heard(usage, "candidatesTokensDetails"),
    )


def _heard(usage: JsonObject, details: str) -> int:
    return sum(count(each, "tokenCount") for each in children(usage, details) if each.get("modality") == "AUDIO")


def _logprobs(result: JsonObject) -> tuple[TokenLogprob, ...]:
    tops = [
        tuple((text(other, "token"), number(other, "logProbability")) for other in children(each, "candidates"))
        for each in children(result, "topCandidates")
    ]
    return tuple(
        TokenLogprob(
            token=text(each, "token"),
            logprob=number(each, "logProbability"),
            top=tops[index] if index < len(tops) else (),
        )
        for index, each in enumerate(children(result, "chosenCandidates"))
    )


class ChunkReader:
    """Reads the chunks of `:streamGenerateContent?alt=sse`: each is an answer with what is new. There is no end mark."""

    def __init__(self, connection: Connection) -> None:
        self.ended = False
        self._connection = connection
        self._finish: dict[int, FinishReason] = {}
        self._calls: dict[int, int] = {}
        self._open: dict[int, PartialCall] = {}
        self._usage = Usage()

    def read(self, unit: ServerEvent) -> Iterator[ChatDelta]:
        """The pieces of one chunk."""
        chunk = unit_object(unit.data, early=self._early())
        raise_refusal(chunk, self._connection)
        if usage := child(chunk, "usageMetadata"):
            self._usage = read_usage(usage)
        model = text(chunk, "modelVersion") or None
        for place, candidate in enumerate(children(chunk, "candidates")):
            choice = count(candidate, "index") or place
            for written in children(child(candidate, "content"), "parts"):
                yield from self._part(written, choice, model, text(chunk, "responseId"))
            logprobs, extra = _logprobs(child(candidate, "logprobsResult")), _said(candidate)
            if logprobs or extra:
                yield ChatDelta(choice=choice, logprobs=logprobs, extra=extra or None)
            if _reason(candidate):
                self._finish[choice] = _finish(candidate, has_calls=choice in self._calls)

    def _part(self, written: JsonObject, choice: int, model: str | None, answer_id: str) -> Iterator[ChatDelta]:
        if seal := text(written, "thoughtSignature"):
            yield ChatDelta(choice=choice, signature=SEAL + seal)
        index = self._calls.get(choice, 0)
        call = written.get("functionCall")
        if isinstance(call, Mapping) and (choice in self._open or call.get("willContinue") or "partialArgs" in call):
            yield from self._piece(call, choice, f"{UNNAMED}{answer_id}_{choice}_{index}")
            return
        part = _part(written, call_id=f"{UNNAMED}{answer_id}_{choice}_{index}")
        match part:
            case Text():
                yield ChatDelta(choice=choice, text=part.text, model=model)
            case Reasoning():
                yield ChatDelta(choice=choice, reasoning=part.text, model=model)
            case ToolCall():
                self._calls[choice] = index + 1
                call = ToolCallDelta(index=index, id=part.id, name=part.name, arguments=part.arguments)
                yield ChatDelta(choice=choice, tool_call=call, model=model)
            case Media() | Other():
                yield ChatDelta(choice=choice, part=part, model=model)
            case _:
                yield ChatDelta(choice=choice, model=model)

    def _piece(self, call: JsonObject, choice: int, call_id: str) -> Iterator[ChatDelta]:
        """A piece of a call whose arguments come one after another; they are handed on when they are whole."""
        if name := text(call, "name"):
            yield from self._whole(choice)
            opened = self._open[choice] = PartialCall(self._calls.get(choice, 0))
            self._calls[choice] = opened.index + 1
            made = ToolCallDelta(index=opened.index, id=text(call, "id") or call_id, name=name)
            yield ChatDelta(choice=choice, tool_call=made)
        if choice in self._open:
            self._open[choice].take(call)
        if not call.get("willContinue"):
            yield from self._whole(choice)

    def _whole(self, choice: int) -> Iterator[ChatDelta]:
        opened = self._open.pop(choice, None)
        if opened is not None:
            yield ChatDelta(choice=choice, tool_call=ToolCallDelta(index=opened.index, arguments=opened.arguments))

    def ending(self) -> Iterator[ChatDelta]:
        """A last piece for each answer; the usage comes with the last of them."""
        if not self._finish:
            raise self._early()
        for choice in tuple(self._open):
            yield from self._whole(choice)
        *others, last = sorted(self._finish)
        for choice in others:
            yield ChatDelta(choice=choice, finish_reason=self._finish[choice])
        yield ChatDelta(choice=last, finish_reason=self._finish[last], usage=self._usage)

    def _early(self) -> Unavailable:
        return Unavailable("gemini: the stream ended early", where=f"connection/{self._connection.name}", kind="connection")
