"""The simulated users: they ask the endpoint with the stock client, and say what they think of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import anyio
import openai

from examples.loop.traffic import Utterance
from tidemill.core.json import JsonObject

_AT_ONCE = 2
USERS = 40


@dataclass(frozen=True)
class Answer:
    """What a user got, from which release; `trace` is where to say something of it."""

    said: Utterance
    user: str
    text: str
    trace: str
    release: str

    @property
    def is_right(self) -> bool:
        """Whether it is the intent that the user had."""
        return self.text.strip() == self.said.intent


async def use(url: str, token: str, said: Sequence[Utterance], *, first_user: int = 0) -> list[Answer]:
    """Ask everything, two at a time, by forty users in turn; the answers in the order of the questions."""
    answers: dict[int, Answer] = {}
    left = iter(enumerate(said))

    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0) as stock:

        async def one_after_another() -> None:
            for number, each in left:
                user = f"user-{first_user + number % USERS}"
                raw = await stock.chat.completions.with_raw_response.create(
                    model="endpoint/router", messages=[{"role": "user", "content": each.text}], user=user
                )
                text = raw.parse().choices[0].message.content or ""
                headers = raw.headers
                answers[number] = Answer(
                    said=each, user=user, text=text, trace=headers["x-tidemill-trace"], release=headers["x-tidemill-release"]
                )

        async with anyio.create_task_group() as group:
            for _ in range(_AT_ONCE):
                group.start_soon(one_after_another)
    return [answers[number] for number in range(len(said))]


def reactions(answers: Sequence[Answer]) -> list[JsonObject]:
    """A thumb up for what is right; for what is wrong a thumb down and what it should have been."""
    said: list[JsonObject] = []
    for each in answers:
        up = each.is_right
        said.append({"trace": each.trace, "kind": "thumbs", "value": "up" if up else "down", "user": each.user})
        if not up:
            said.append({"trace": each.trace, "kind": "correction", "value": each.said.intent, "user": each.user})
    return said
