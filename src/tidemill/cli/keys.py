"""`tidemill keys`: who may call what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, cast

from cyclopts import Parameter

from tidemill.cli.figures import count, counted, moment, money
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import Tone, clean, note, say, say_json
from tidemill.cli.table import Cell, Column, table
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject

if TYPE_CHECKING:
    from tidemill.client.shapes import KeyJson
    from tidemill.client.usage_shapes import LimitJson, UsedJson

Role = Literal["viewer", "annotator", "developer", "reviewer", "operator", "admin"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class KeyLimits:
    """What a key may use."""

    rpm: int | None = None
    """Requests a minute."""

    tpm: int | None = None
    """Tokens a minute, of input and output."""

    rpd: int | None = None
    """Requests a day (UTC)."""

    tpd: int | None = None
    """Tokens a day (UTC)."""

    concurrency: int | None = None
    """Calls at a time."""

    budget: str | None = None
    """US dollars, as in 10/month, 2.50/day or 100/total: then it stops."""

    warn: str | None = None
    """Where a warning is due, as in 80% of the budget or 8/month."""

    def given(self) -> JsonObject:
        """What was given, as a document has it."""
        numbers = {name: getattr(self, name) for name in ("rpm", "tpm", "rpd", "tpd", "concurrency")}
        found: dict[str, Json] = {name: value for name, value in numbers.items() if value is not None}
        if self.warn is not None:
            found["budget"] = {**({"hard": self.budget} if self.budget is not None else {}), "soft": self.warn}
        elif self.budget is not None:
            found["budget"] = self.budget
        return found


_NO_LIMITS = KeyLimits()
_TONES: Mapping[str, Tone] = {"valid": "good", "expired": "unsure", "revoked": "bad"}


async def list_keys(*, options: Options = DEFAULTS) -> None:
    """List API keys, without their secrets."""
    async with open_client(options) as client:
        keys = await client.keys()
    if options.json:
        say_json({"items": keys})
        return
    rows = [
        [
            each.get("id", ""),
            each.get("role", ""),
            each.get("person") or "-",
            Cell(each.get("state", ""), _TONES.get(each.get("state", ""), "plain")),
            moment(each, "expires") if each.get("expires") else "never",
            moment(each, "used") if each.get("used") else "never",
            ", ".join(each.get("may") or ()) or "all",
            _only(each),
            _limits(each.get("limits") or {}),
            _month(each),
        ]
        for each in keys
    ]
    titles = ("id", "role", "person", "state", "expires", "used", "may", "for", "limits", "this month")
    for line in table([Column(each) for each in titles], rows) if rows else ["no key yet: tidemill keys create"]:
        say(line)


async def create_key(  # noqa: PLR0913  (what a key is)
    *,
    endpoint: Annotated[tuple[str, ...], Parameter(name="--endpoint")] = (),
    role: Role = "developer",
    person: str | None = None,
    may: str | None = None,
    expires: str | None = None,
    models: str | None = None,
    team: str | None = None,
    limits: KeyLimits = _NO_LIMITS,
    options: Options = DEFAULTS,
) -> None:
    """Make an API key. It is shown once: keep it now.

    :param endpoint: The key may call only this endpoint; give it again for more. Default: all.
    :param role: What the key may do.
    :param person: Whose key it is, as in ana. What they do stands under their name; only a person can approve.
    :param may: Only these of what the role may do, as in read,annotate.
    :param expires: How long it works, as in 30d. Default: until it is revoked.
    :param models: It may call only these models by name, as in gpt,route/fast. Default: all, unless it is for endpoints.
    :param team: The team whose limits hold for it, too.
    """
    async with open_client(options) as client:
        names = [each.removeprefix("endpoint/") for each in endpoint]
        made = await client.create_key(
            endpoints=names,
            role=role,
            person=person,
            may=None if may is None else split(may),
            expires=expires,
            models=split(models or ""),
            limits=limits.given() or None,
            team=team,
        )
    if options.json:
        say_json(made)
        return
    say(made.get("key", ""))
    until = f"works until {moment(made, 'expires')}; " if made.get("expires") else ""
    note(f"shown once; {until}revoke it with: tidemill keys revoke {made.get('id')}")


async def limit_key(key: str, /, *, none: bool = False, limits: KeyLimits = _NO_LIMITS, options: Options = DEFAULTS) -> None:
    """Give a key other limits, in place of those it has; what it used counts on.

    :param key: The key's id.
    :param none: Take its limits away.
    """
    given = limits.given()
    if none == bool(given):
        raise Invalid("say which limits, or --none", hint="Type: tidemill keys limit KEY --rpm 60 --budget 10/month")
    async with open_client(options) as client:
        changed = await client.limit_key(key, given or None)
    if options.json:
        say_json(changed)
        return
    say(f"key {key}: {_limits(changed.get('limits') or {}) or 'no limits of its own'}")


async def usage(
    key: str | None = None,
    /,
    *,
    by: Literal["key", "user", "team", "endpoint", "model"] = "key",
    days: int = 30,
    options: Options = DEFAULTS,
) -> None:
    """Show what was used: of one key day by day, else of each, the most expensive first.

    :param key: A key's id.
    :param by: Whose use is added up, when no key is named.
    :param days: How many days back, today included (UTC).
    """
    async with open_client(options) as client:
        found = await client.usage(by=by, days=days) if key is None else None
        one = None if key is None else await client.key_usage(key, days=days)
    if options.json:
        say_json({"items": found} if found is not None else one)
        return
    if one is None:
        _say_usage(by, [(str(each.get("subject")).partition("/")[2], each) for each in found or ()])
        return
    _say_usage("day", [*((str(each.get("day")), each) for each in one["days"]), ("total", one["total"])])
    for each in one["limits"]:
        say(_standing(each))


async def rotate_key(key: str, /, *, overlap: str = "0s", options: Options = DEFAULTS) -> None:
    """Make a key that may the same, and end this one. The new one is shown once: keep it now.

    :param key: The old key's id.
    :param overlap: How long the old key works beside the new one, as in 1h.
    """
    async with open_client(options) as client:
        made = await client.rotate_key(key, overlap=overlap)
    if options.json:
        say_json(made)
        return
    say(made.get("key", ""))
    note(f"shown once; key {key} works for {overlap} more")


async def revoke_key(key: str, /, *, options: Options = DEFAULTS) -> None:
    """Revoke an API key; it stops working at once.

    :param key: The key's id.
    """
    async with open_client(options) as client:
        await client.revoke_key(key)
    if options.json:
        say_json({"id": key, "revoked": True})
    else:
        say(f"revoked {key}")


def split(words: str) -> list[str]:
    """Words as they are typed, with commas in between."""
    return [each.strip() for each in words.split(",") if each.strip()]


def _only(key: KeyJson) -> str:
    names = [*key.get("endpoints", ()), *(each if "/" in each else f"model/{each}" for each in key.get("models", ()))]
    return " ".join(names) or "all"


def _limits(limits: JsonObject) -> str:
    """A key's limits on one line: `60 requests/minute, $10.00/month`."""
    found: list[str] = []
    for unit in ("requests", "tokens"):
        spans = cast("Mapping[str, int]", limits.get(unit) or {})
        found += [f"{count(limit)} {unit}/{span}" for span, limit in spans.items()]
    if limits.get("concurrency") is not None:
        found.append(f"{count(cast('int', limits['concurrency']))} at a time")
    for each in cast("Sequence[Mapping[str, float | str]]", limits.get("budget") or ()):
        stop = f"${cast('float', each['hard']):,.2f}" if "hard" in each else "no stop"
        warns = f" (warns at ${cast('float', each['soft']):,.2f})" if "soft" in each else ""
        found.append(f"{stop}/{each['per']}{warns}")
    return ", ".join(found)


def _month(key: KeyJson) -> str:
    month = key.get("month")
    if month is None or not (month["requests"] or month.get("refused")):
        return "-"
    return f"{counted(month['requests'], 'request')}, {money(month['cost'])}"


def _say_usage(what: str, rows: Sequence[tuple[str, UsedJson]]) -> None:
    columns = [Column(what), *(Column(each, "right") for each in ("requests", "refused", "tokens in", "out", "cost"))]
    shown = [
        [
            clean(name),
            count(each["requests"]),
            count(each.get("refused", 0)),
            count(each.get("input_tokens", 0)),
            count(each.get("output_tokens", 0)),
            money(each["cost"]),
        ]
        for name, each in rows
    ]
    for line in table(columns, shown) if shown else ["nothing was used"]:
        say(line)


def _standing(limit: LimitJson) -> str:
    unit, per, most, used = limit["unit"], limit.get("per"), limit.get("limit"), limit.get("used")
    words = {"money": "", "calls": " calls at a time"}.get(unit, f" {unit}")
    span = f" a {per}" if per in {"minute", "day", "month"} else " in all" if per == "total" else ""
    line = f"{'no stop' if most is None else _amount(unit, most)}{words}{span}"
    if used is not None:
        share = f" ({used / most:.0%})" if most else ""
        line += f": {_amount(unit, used)} used{share}"
    return line + (f", warns at {_amount(unit, limit['soft'])}" if "soft" in limit else "")


def _amount(unit: str, value: float) -> str:
    return money(value) if unit == "money" else count(int(value))


COMMANDS = {
    "list": list_keys,
    "create": create_key,
    "limit": limit_key,
    "usage": usage,
    "rotate": rotate_key,
    "revoke": revoke_key,
}
