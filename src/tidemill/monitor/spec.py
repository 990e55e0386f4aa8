"""What a monitor is asked to do: a document's body, checked, with every mistake at its place."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from tidemill.core.bodies import parse_body
from tidemill.core.chat import Secret
from tidemill.core.durations import parse_duration
from tidemill.core.errors import Invalid, Problem, TidemillError
from tidemill.core.json import JsonObject
from tidemill.core.refs import is_digest, parse_ref
from tidemill.jobs.cron import parse_cron
from tidemill.monitor.rules import check_rule

TestName: TypeAlias = Literal["tokens", "vocabulary", "language", "topics", "embeddings"]
TESTS: Final[tuple[TestName, ...]] = ("tokens", "vocabulary", "language", "topics", "embeddings")
Duration: TypeAlias = str | int | float
_FORM: Final = "Write dataset/NAME, a length of time such as 7d for what came before the window, or FROM/TO in ISO 8601."


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Webhook(_Strict):
    """A signed POST. `secret` is where the signing key is found; `timeout` in seconds for the whole exchange."""

    url: str
    secret: str
    timeout: Annotated[float, Field(gt=0, le=300)] = 10.0
    allow_private: bool = False

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"{url!r} is not a URL: {error}") from error
        if parts.scheme not in {"http", "https"} or not host:
            raise ValueError(f"{url!r} is not an HTTP URL")
        if parts.username or parts.password:
            raise ValueError("the URL holds a user name or password; the body is signed instead")
        return url

    @field_validator("secret")
    @classmethod
    def _is_reference(cls, secret: str) -> str:
        return _secret(secret)


class Email(_Strict):
    """A message by SMTP. `server` is smtp://HOST:PORT (STARTTLS unless `starttls` is false) or smtps://HOST:PORT."""

    server: str
    to: Annotated[tuple[str, ...], Field(min_length=1)]
    sender: Annotated[str, Field(alias="from", min_length=3)]
    user: str | None = None
    password: str | None = None
    starttls: bool = True
    timeout: Annotated[float, Field(gt=0, le=300)] = 20.0
    allow_private: bool = False

    @field_validator("server")
    @classmethod
    def _is_smtp(cls, server: str) -> str:
        try:
            parts = urlsplit(server)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"{server!r} is not a server's address: {error}") from error
        if parts.scheme not in {"smtp", "smtps"} or not host or parts.username or parts.path:
            raise ValueError(f"{server!r} is not smtp://HOST:PORT or smtps://HOST:PORT")
        return server

    @field_validator("to")
    @classmethod
    def _are_addresses(cls, to: tuple[str, ...]) -> tuple[str, ...]:
        for each in to:
            if "@" not in each or any(sign in each for sign in "\r\n"):
                raise ValueError(f"{each!r} is not an e-mail address")
        return to

    @field_validator("password")
    @classmethod
    def _is_reference(cls, password: str | None) -> str | None:
        return None if password is None else _secret(password)

    @model_validator(mode="after")
    def _has_both(self) -> Email:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        return self


class Step(_Strict):
    """One thing that an alert sets off besides being listed: exactly one of its keys. `rollback` alone is a word."""

    webhook: Webhook | None = None
    email: Email | None = None
    rollback: bool = False

    @model_validator(mode="after")
    def _one(self) -> Step:
        if (self.webhook is not None) + (self.email is not None) + self.rollback != 1:
            raise ValueError("a step is webhook: {…}, email: {…} or the word rollback")
        return self


def _as_step(value: object) -> object:
    return {value: True} if isinstance(value, str) else value


class Rule(_Strict):
    """A condition over what a run found, and what follows when it holds."""

    name: Annotated[str, Field(max_length=128)] = ""
    when: Annotated[str, Field(min_length=1)]
    then: tuple[Annotated[Step, BeforeValidator(_as_step)], ...] = ()


class Quality(_Strict):
    """Live scores: a `share` of traces by their ids, `scorers` as in an evaluation, a trend by `bucket` of time."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    scorers: Annotated[tuple[str, ...], Field(min_length=1)]
    bucket: Duration = "1h"


class MonitorSpec(_Strict):
    """`kind: monitor`. One of `endpoint` and `release`; `reference`, `quality` or both."""

    endpoint: str | None = None
    release: str | None = None
    reference: str | None = None
    reads: Literal["input", "output"] = "input"
    window: Duration = "1d"
    limit: Annotated[int, Field(ge=20, le=5000)] = 1000
    embedder: str | None = None
    tests: Annotated[tuple[TestName, ...], Field(min_length=1)] = TESTS
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    permutations: Annotated[int, Field(ge=100, le=10_000)] = 999
    simulations: Annotated[int, Field(ge=0, le=10_000)] = 1000
    min_n: Annotated[int, Field(ge=10)] = 20
    propose: Annotated[int, Field(ge=0, le=500)] = 20
    quality: Quality | None = None
    schedule: str | None = None
    alerts: tuple[Rule, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """A window of traces as reference: `seconds` before the live one, or from `from_ns` to `to_ns` (not included)."""

    seconds: float | None = None
    from_ns: int = 0
    to_ns: int = 0

    def bounds(self, live_from_ns: int) -> tuple[int, int]:
        """From and to, in nanoseconds since the epoch."""
        if self.seconds is None:
            return self.from_ns, self.to_ns
        return live_from_ns - round(self.seconds * 1e9), live_from_ns


def parse_reference(text: str) -> Past | str:
    """A past window, or the reference to a dataset, as in `dataset/x@v2`. Raises `Invalid`."""
    if text[:1].isdigit():
        start, slash, end = text.partition("/")
        try:
            if slash:
                bounds = _moment(start), _moment(end)
                if bounds[0] >= bounds[1]:
                    raise Invalid(f"the reference {text!r} ends before it begins", where="reference", hint=_FORM)
                return Past(from_ns=bounds[0], to_ns=bounds[1])
            return Past(seconds=parse_duration(text, what="reference"))
        except (Invalid, ValueError) as error:
            if isinstance(error, Invalid):
                raise Invalid(error.message, where="reference", hint=_FORM) from error
            raise Invalid(f"the reference {text!r} is no window of time: {error}", where="reference", hint=_FORM) from error
    try:
        return str(parse_ref(text, kind="dataset"))
    except Invalid as error:
        raise Invalid(error.message, where="reference", hint=_FORM) from error


def _moment(text: str) -> int:
    time = dt.datetime.fromisoformat(text)
    return round((time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp() * 1e9)


def _secret(reference: str) -> str:
    try:
        return Secret(reference=reference).reference
    except Invalid as error:
        raise ValueError(f"{error.message}: {error.hint}") from error


def read_monitor(body: JsonObject) -> MonitorSpec:
    """The body as a `MonitorSpec`, with names in full. Raises `Invalid` with one problem a mistake."""
    spec = parse_body(MonitorSpec, body, what="the monitor is not valid")
    problems = [*_target_problems(spec), *_time_problems(spec), *_rule_problems(spec)]
    if problems:
        raise Invalid(problems[0].message, where=problems[0].where, hint=problems[0].hint, problems=problems)
    full: dict[str, Any] = {}
    if spec.endpoint is not None:
        full["endpoint"] = parse_ref(spec.endpoint, kind="endpoint").bare
    if spec.embedder is not None:
        full["embedder"] = str(parse_ref(spec.embedder, kind="embedder"))
    if spec.reference is not None and isinstance(found := parse_reference(spec.reference), str):
        full["reference"] = found
    return spec.model_copy(update=full)


def monitor_json(spec: MonitorSpec) -> JsonObject:
    """The canonical body, which `read_monitor` reads back."""
    return cast(
        "JsonObject", spec.model_dump(mode="json", exclude_none=True, by_alias=True, exclude={"alerts"}) | _rules_json(spec)
    )


def _rules_json(spec: MonitorSpec) -> dict[str, Any]:
    rules = [each.model_dump(mode="json", exclude_none=True, exclude_defaults=True, by_alias=True) for each in spec.alerts]
    return {"alerts": rules} if rules else {}


def _target_problems(spec: MonitorSpec) -> list[Problem]:
    problems: list[Problem] = []
    if (spec.endpoint is None) == (spec.release is None):
        problems.append(Problem(message="a monitor watches either an endpoint or a release", where="endpoint"))
    if spec.reference is None and spec.quality is None:
        hint = "Write reference: dataset/NAME, or quality: {scorers: […]}."
        problems.append(Problem(message="a monitor needs a reference, quality, or both", where="reference", hint=hint))
    if spec.release is not None and not is_digest(spec.release):
        problems.append(Problem(message=f"{spec.release!r} is not a release's digest", where="release"))
    for place, value, kind in (("endpoint", spec.endpoint, "endpoint"), ("embedder", spec.embedder, "embedder")):
        if value is not None:
            problems += _tried(place, lambda value=value, kind=kind: parse_ref(value, kind=kind))
    if spec.reference is not None:
        text = spec.reference
        problems += _tried("reference", lambda: parse_reference(text))
    for number, name in enumerate(spec.quality.scorers if spec.quality else ()):
        if "/" in name:
            problems += _tried(f"quality.scorers.{number}", lambda name=name: parse_ref(name, kind="scorer"))
    return problems


def _time_problems(spec: MonitorSpec) -> list[Problem]:
    problems = _tried("window", lambda: _positive(spec.window, what="window"))
    if spec.quality is not None:
        bucket = spec.quality.bucket
        problems += _tried("quality.bucket", lambda: _positive(bucket, what="bucket"))
    if spec.schedule is not None:
        schedule = spec.schedule
        problems += _tried("schedule", lambda: parse_cron(schedule))
    return problems


def _positive(value: Duration, *, what: str) -> None:
    if parse_duration(value, what=what) <= 0:
        raise Invalid(f"{what} is {value!r}, but must be longer than nothing")


def _rule_problems(spec: MonitorSpec) -> list[Problem]:
    problems: list[Problem] = []
    metrics = [each.rpartition("/")[2].partition("@")[0] for each in (spec.quality.scorers if spec.quality else ())]
    tests = spec.tests if spec.reference is not None else ()
    for number, rule in enumerate(spec.alerts):
        problems += _tried(f"alerts.{number}.when", lambda rule=rule: check_rule(rule.when, tests=tests, metrics=metrics))
        if any(each.rollback for each in rule.then) and spec.endpoint is None:
            where = f"alerts.{number}.then"
            problems.append(Problem(message="only an endpoint can be rolled back, and this monitor has none", where=where))
    return problems


def _tried(place: str, work: object) -> list[Problem]:
    try:
        cast("Any", work)()
    except TidemillError as error:
        return [Problem(message=error.message, where=place, hint=error.hint)]
    return []


def references_in(spec: MonitorSpec) -> Mapping[str, str]:
    """The artifacts that must exist, by their place in the body. An endpoint may be made later, by a deploy."""
    found: dict[str, str] = {}
    if spec.reference is not None and isinstance(parse_reference(spec.reference), str):
        found["reference"] = spec.reference
    if spec.embedder is not None:
        found["embedder"] = spec.embedder
    scorers: Sequence[str] = spec.quality.scorers if spec.quality else ()
    found.update({f"quality.scorers.{number}": name for number, name in enumerate(scorers) if "/" in name})
    return found
