"""What only we add to an answer, in every dialect, and what its parts say of the dialect itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.core.json import JsonObject
from tidemill.core.parts import Part, Text
from tidemill.serve.chat_response import Answer
from tidemill.serve.dialects.dialect import Head


def extension_of(head: Head, answer: Answer) -> JsonObject:
    """The release, the trace, the cost in US dollars, the citations, what guardrails did."""
    shown = {"release": head.release, "trace": head.trace, "cost": answer.cost, "citations": list(answer.citations)}
    return {**shown, "guardrails": dict(answer.guardrails)} if answer.guardrails else shown


def said_of(extra: JsonObject, dialect: str) -> JsonObject:
    """What `extra` keeps for one dialect."""
    found = extra.get(dialect)
    return found if isinstance(found, Mapping) else {}


def parts_of(answer: Answer) -> Sequence[Part]:
    """The parts of an answer; what an application gave besides a message is text."""
    return answer.parts or ((Text(text=answer.text),) if answer.text else ())
