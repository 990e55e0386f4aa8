"""How a conversation becomes the inputs of an application.

The last user message fills the first declared string input; `metadata.inputs` fills the others, and wins.
"""

from __future__ import annotations

from tidemill.core.errors import Invalid
from tidemill.core.json import JsonObject
from tidemill.core.parts import Message, Text
from tidemill.core.records import Version
from tidemill.flows.shape import first_text_input
from tidemill.serve.chat_request import ChatCall


def inputs_for(root: Version, call: ChatCall) -> JsonObject:
    """The inputs of one run of `root`. Raises `Invalid` when the input has to be text and the message is not, or is missing."""
    name = first_text_input(root)
    if name is None or name in call.inputs:
        return call.inputs
    if root.kind == "agent":  # it is given the whole conversation
        return {name: call.question.text, **call.inputs} if call.question and call.question.text else call.inputs
    if call.question is None:
        raise Invalid(
            f"no message of the user fills the input {name!r}",
            where="messages",
            hint="Send a message of role user, or metadata.inputs.",
        )
    return {name: _text(call.question, root), **call.inputs}


def _text(message: Message, root: Version) -> str:
    for part in message.parts:
        if not isinstance(part, Text):
            raise Invalid(
                f"{root.bare} reads text, and the last user message has a part of type {part.type}",
                where="messages",
                hint="Send text only, or call a model by its name.",
            )
    return message.text
