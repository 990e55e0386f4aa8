"""A request that was carried out before: its answer is given again, once its sender was found to have the rights still.

`Idempotency` leaves the answer in the request's scope; the dependency that says who is calling raises `Replay` when it has
asked for all that was asked at first. So nothing of a route is run, and nobody gets an answer that they may not have any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from fastapi import FastAPI, Request, Response

from tidemill.api.problems import problem_response
from tidemill.core.errors import Conflict
from tidemill.store.idempotency import Answer

KNOWN: Final = "tidemill.known"
"""Where a request's scope has the `Answer` that it got before."""
ASKED: Final = "tidemill.asked"
"""Where it has the list of rights that are asked on its way, each with its target."""
Asked: TypeAlias = list[tuple[str, str]]


class Replay(Exception):
    """The answer of before is to be given."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


def replay_known(request: Request, check: Callable[[str, str], None] | None = None) -> None:
    """Raise `Replay` for a request that was carried out before. `check` asks for a right, and raises `Denied`."""
    answer = request.scope.get(KNOWN)
    if isinstance(answer, Answer):
        if check is not None:
            for right, target in answer.asked:
                check(right, target)
        raise Replay(answer)


def install_replays(app: FastAPI) -> None:
    """Answer `Replay` as before."""
    app.add_exception_handler(Replay, _again)


async def _again(_request: Request, replay: Exception) -> Response:
    assert isinstance(replay, Replay)
    answer = replay.answer
    if answer.body is None:
        response = problem_response(
            Conflict(
                "this request was carried out already, and its answer is not kept, for it held a secret or was too large",
                hint="Look what it made; what shows a secret once is revoked and made again under a new Idempotency-Key.",
            )
        )
    else:
        named = {"content-type": answer.content_type, "location": answer.location, "etag": answer.etag}
        response = Response(
            answer.body, status_code=answer.status, headers={name: each for name, each in named.items() if each}
        )
    response.headers["idempotency-replayed"] = "true"
    return response
