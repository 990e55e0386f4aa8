"""What an answer says, by the shortest way from what was recorded."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from tidemill.core.chat import ChatResponse
from tidemill.core.parts import Reasoning


@dataclass
class Said:
    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, object]] = field(default_factory=list)
    input: int = 0
    output: int = 0
    finish: str | None = None

    @classmethod
    def of(cls, response: ChatResponse) -> Said:
        message = response.message
        return cls(
            text=message.text,
            reasoning="".join(each.text for each in message.parts if isinstance(each, Reasoning)),
            calls=[(each.name, loaded(each.arguments)) for each in message.tool_calls],
            input=response.usage.input_tokens,
            output=response.usage.output_tokens,
            finish=response.finish_reason,
        )


def loaded(arguments: str) -> object:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def chunks(response: object) -> list[dict]:
    """The JSON of a stream's events or lines; of a whole answer, itself."""
    if not isinstance(response, str):
        return [response]
    lines = re.findall(r"^(?:data: ?)?(\{.*?)\r?$", response, re.MULTILINE)
    return [json.loads(line) for line in lines]
