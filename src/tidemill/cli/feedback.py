"""`tidemill feedback`: say how an answer was, and see what was said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from tidemill.cli.figures import as_text, moment
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, one_line, say, say_json
from tidemill.cli.table import Cell, Column, table
from tidemill.core.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.client.shapes import FeedbackJson
    from tidemill.core.json import JsonObject

Kind = Literal["thumbs", "score", "correction", "comment", "event"]
_LONGEST = 48
_SHORT_TRACE = 12


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class Opinion:
    """What is said."""

    thumbs: Literal["up", "down"] | None = None
    """up or down."""

    score: Annotated[tuple[str, ...], Parameter(name="--score")] = ()
    """A number under a name, as in helpful=0.8; give it again for more."""

    correction: str | None = None
    """What the answer should have been."""

    comment: str | None = None
    """Anything else, in words."""

    event: Annotated[tuple[str, ...], Parameter(name="--event")] = ()
    """What happened, as in copied; give it again for more."""

    def items(self) -> list[JsonObject]:
        """Each thing that is said, as the API takes it."""
        texts = (("thumbs", self.thumbs), ("correction", self.correction), ("comment", self.comment))
        said: list[JsonObject] = [{"kind": kind, "value": value} for kind, value in texts if value is not None]
        said += [_scored(each) for each in self.score]
        return [*said, *({"kind": "event", "name": each} for each in self.event)]


NOTHING_SAID = Opinion()


async def add(
    trace: str,
    /,
    *,
    opinion: Opinion = NOTHING_SAID,
    span: str | None = None,
    user: str = "",
    id: Annotated[str | None, Parameter(name="--id")] = None,  # noqa: A002  (the option's name)
    options: Options = DEFAULTS,
) -> None:
    """Say how an answer was. What the same user says again replaces what they said before.

    :param trace: The trace's id, or its beginning.
    :param span: Of one span of the trace, by its id or name. Default: of the whole trace.
    :param user: Whose opinion it is.
    :param id: An id of your own: sending it again changes nothing.
    """
    said = opinion.items()
    if not said:
        raise Invalid(
            "nothing is said", hint="Give --thumbs up, --score NAME=0.8, --correction TEXT, --comment TEXT or --event NAME."
        )
    if id is not None and len(said) > 1:
        raise Invalid("--id is for one thing at a time", hint="Say each in a command of its own, with its own id.")
    async with open_client(options) as client:
        kept = await client.add_feedback_batch(
            [{"trace": trace, "span": span, "user": user, "id": id, **each} for each in said]
        )
    if options.json:
        say_json({"items": kept})
        return
    for each in kept:
        say(f"{each.get('id')}  {describe(each)}")


async def list_feedback(
    *,
    trace: str | None = None,
    kind: Kind | None = None,
    name: str | None = None,
    user: str | None = None,
    since: str | None = None,
    limit: int = 20,
    options: Options = DEFAULTS,
) -> None:
    """List feedback, the newest first.

    :param trace: Only of this trace, by its id or the beginning of it.
    :param kind: Only thumbs, score, correction, comment or event.
    :param name: Only scores or events of this name.
    :param user: Only of this user.
    :param since: Only from this time on, as in 2026-01-31T12:00:00Z.
    :param limit: At most N.
    """
    async with open_client(options) as client:
        found = await client.feedback(trace=trace, kind=kind, name=name, user=user, since=since, limit=limit)
    if options.json:
        say_json({"items": found})
        return
    for line in _lines(found) if found else ["no feedback yet: tidemill feedback add TRACE --thumbs up"]:
        say(line)


def describe(found: FeedbackJson) -> str:
    """`thumbs down`, `helpful 0.8`, `correction "…"`, on one line."""
    kind, value = found.get("kind", ""), found.get("value")
    if kind == "score":
        return f"{clean(found.get('name', ''))} {as_text(value)}"
    if kind == "event":
        return f"event {clean(found.get('name', ''))}" + (
            "" if value is None else f" {one_line(as_text(value), longest=_LONGEST)}"
        )
    if kind == "thumbs":
        return f"thumbs {as_text(value)}"
    return f'{kind} "{one_line(as_text(value), longest=_LONGEST)}"'


def _said(found: FeedbackJson) -> Cell:
    if found.get("kind") != "thumbs":
        return Cell(describe(found))
    return Cell(describe(found), "good" if found.get("value") == "up" else "bad")


def _scored(text: str) -> JsonObject:
    name, _, number = text.partition("=")
    try:
        return {"kind": "score", "name": name, "value": float(number)}
    except ValueError as error:
        raise Invalid(f"--score {text!r} is not NAME=NUMBER", hint="Write --score helpful=0.8.") from error


def _lines(found: Sequence[FeedbackJson]) -> list[str]:
    rows = [
        [
            moment(each, "created"),
            each.get("trace", "")[:_SHORT_TRACE],
            _said(each),
            one_line(each.get("user", ""), longest=20) or "-",
            each.get("source", ""),
        ]
        for each in found
    ]
    return table([Column("at"), Column("trace"), Column("said"), Column("user"), Column("from")], rows)


COMMANDS = {"add": add, "list": list_feedback}
