"""The body of `POST /v1/completions`, the older way of asking: one text in, one text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import Message
from tidemill.serve.chat_request import ChatCall
from tidemill.serve.dialects.fields import (
    flag,
    inputs_of,
    needed_text,
    optional_number,
    optional_object,
    optional_text,
    texts,
    whole_number,
)

NAME: Final = "openai.completions"
_NAMED: Final = frozenset(
    "model prompt stream stream_options max_tokens n temperature top_p stop logprobs echo suffix best_of user metadata".split()
)
_MOST_LOGPROBS: Final = 20


def read_completions_call(body: JsonObject) -> ChatCall:
    """Parse a body. Raises `Invalid`; its `where` is the place in the body."""
    model = needed_text(body, "model")
    options = optional_object(body, "stream_options") or {}
    problems: list[Problem] = []
    prompt = _prompt(body.get("prompt"), problems)
    for name, said in (("echo", flag(body, "echo")), ("suffix", optional_text(body, "suffix"))):
        if said:
            hint = "Leave it out, or name a model whose server answers /v1/completions itself."
            problems.append(Problem(message=f"{name} cannot be said to a chat model", where=name, hint=hint))
    if (whole_number(body, "best_of", least=1) or 1) > (whole_number(body, "n", least=1) or 1):
        problems.append(Problem(message="best_of cannot be said to a chat model", where="best_of", hint="Send n, and choose."))
    return ChatCall(
        model=model,
        messages=(Message.of("user", prompt),),
        stream=flag(body, "stream"),
        include_usage=flag(options, "include_usage", where="stream_options"),
        params=_params(body),
        tools=(),
        tool_choice=None,
        output_schema=None,
        inputs=inputs_of(optional_object(body, "metadata")),
        user=optional_text(body, "user"),
        unsayable=tuple(problems),
    )


def _prompt(prompt: Json, problems: list[Problem]) -> str:
    """The one text. Tokens, and several texts at once, only a server of this dialect itself can take."""
    if isinstance(prompt, Sequence) and not isinstance(prompt, str):
        if prompt and not isinstance(prompt[0], str):
            hint = "Send the text itself."
            problems.append(Problem(message="a prompt of tokens cannot be said to a chat model", where="prompt", hint=hint))
            return ""
        if len(prompt) > 1:
            hint = "Send one request a prompt."
            problems.append(
                Problem(
                    message=f"{len(prompt)} prompts in one request cannot be said to a chat model", where="prompt", hint=hint
                )
            )
    if not prompt:
        raise Invalid("there is no prompt", where="prompt", hint="Send it as text.")
    return texts(prompt, where="prompt")[0]


def _params(body: JsonObject) -> JsonObject:
    params: dict[str, Json] = {name: value for name, value in body.items() if name not in _NAMED and value is not None}
    for name in ("temperature", "top_p"):
        if (number := optional_number(body, name)) is not None:
            params[name] = number
    if (most := whole_number(body, "max_tokens", least=0)) is not None:
        params["max_tokens"] = max(1, most)
    if (several := whole_number(body, "n", least=1) or 1) > 1:
        params["n"] = several
    if body.get("stop") is not None:
        params["stop"] = texts(body["stop"], where="stop")
    top = whole_number(body, "logprobs", least=0)
    if top is not None:
        params |= {"logprobs": True, "top_logprobs": min(top, _MOST_LOGPROBS)}
    return params
