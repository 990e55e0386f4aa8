"""A conversation as tokens, and whether the trainer writes it as the engine does that will serve the result."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from tidemill.core.errors import Invalid
from tidemill.tune.packing import Tokens

Render: TypeAlias = Callable[[Sequence[Mapping[str, Any]], bool], str]
"""Messages, and whether the assistant is to speak next, to the prompt's text."""
Tokenize: TypeAlias = Callable[[str], list[int]]


def check_template(checks: Sequence[Mapping[str, Any]], *, render: Render, tokenize: Tokenize) -> None:
    """Compare with what the engine made of some prompts: `messages`, its `text`, and its `tokens`.

    Raises `Invalid` with the first difference: a model trained on another form than it is asked in has learnt something else.
    """
    for check in checks:
        ours, engines = render(check["messages"], True), str(check["text"])
        if ours != engines:
            at = _first_difference(ours, engines)
            raise Invalid(
                f"the trainer writes {ours[max(0, at - 20) : at + 20]!r} where the engine writes "
                f"{engines[max(0, at - 20) : at + 20]!r}",
                where="base",
                hint="The base's chat template is read differently by the two: it cannot be tuned here.",
            )
        if list(check["tokens"]) != tokenize(ours):
            raise Invalid(
                f"the trainer and the engine cut the same prompt into other tokens: {ours[:60]!r}",
                where="base",
                hint="The base's tokenizer is read differently by the two: it cannot be tuned here.",
            )


def conversation_tokens(
    prompt: Sequence[Mapping[str, Any]], answer: str, *, render: Render, tokenize: Tokenize, end: str, longest: int
) -> Tokens:
    """A conversation as it would be asked, then the answer with the mark that ends it; the answer alone is learnt.

    What is beyond `longest` tokens is cut off at the end. Raises `Invalid` when nothing of the answer would be left.
    """
    asked = render(prompt, True)
    whole = render([*prompt, {"role": "assistant", "content": answer}], False)
    if not whole.startswith(asked):
        raise Invalid("the chat template writes an answered prompt otherwise than one that is asked", where="base")
    said = whole[len(asked) :]
    said = said[: said.rindex(end) + len(end)] if end in said else said + end
    before, after = tokenize(asked), tokenize(said)
    ids = (*before, *after)[:longest]
    if len(ids) <= len(before):
        raise Invalid(f"the prompt alone has {len(before)} tokens, and a row may have {longest}", hint="Raise max_tokens.")
    return Tokens(ids=ids, learnt=tuple(at >= len(before) for at in range(len(ids))))


def _first_difference(a: str, b: str) -> int:
    return next((at for at, (x, y) in enumerate(itertools.zip_longest(a, b)) if x != y), 0)
