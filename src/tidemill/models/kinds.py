# ruff: noqa: ARG002  (arguments that the Protocol prescribes)
"""The kinds `model`, `embedder` and `connection`: what a document may say, and its canonical form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tidemill.core.bodies import parse_body
from tidemill.core.chat import Secret
from tidemill.core.difference import spec_difference
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import Files, extension_names, load_extension
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Parsed, Version
from tidemill.core.refs import parse_ref
from tidemill.core.suggest import did_you_mean, nearest
from tidemill.models.cache.policy import parse_cache, semantic_reference
from tidemill.models.checks.named import read_guardrails, unfit_guardrails
from tidemill.models.connections import credential_problems, url_problem
from tidemill.models.gguf_file import model_file
from tidemill.models.onnx_file import embedder_files
from tidemill.models.script import read_script
from tidemill.models.watermark import read_watermark

_PARAMS = frozenset(
    "temperature top_p top_k min_p max_tokens max_completion_tokens stop seed logprobs top_logprobs presence_penalty"
    " frequency_penalty logit_bias reasoning_effort verbosity service_tier user metadata parallel_tool_calls thinking"
    " repeat_penalty repetition_penalty typical_p mirostat grammar cache_prompt keep_alive num_ctx chat_template_kwargs"
    " watermark".split()
)  # fmt: skip
_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2), "top_p": (0, 1), "max_tokens": (1, 2**31), "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2),
    "top_logprobs": (0, 20),
}  # fmt: skip
_WHOLE = frozenset({"max_tokens", "seed", "top_logprobs"})
_CONNECTED = ("chat_providers", "embed_providers")
_TEST_ONLY = ("reply", "script", "first_token_ms", "tokens_per_second", "fail_rate", "seed")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class _ModelBody(_Body):
    provider: str
    model: Annotated[str, Field(min_length=1)] | None = None
    params: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    connection: str | None = None
    file: str | None = None
    adapter: str | None = None
    cache: JsonValue = None
    guardrails: JsonValue = None
    prompt_cache: bool = True
    unsupported: Literal["refuse", "drop"] | None = None
    reply: JsonValue = None
    script: JsonValue = None
    first_token_ms: Annotated[float, Field(ge=0)] | None = None
    tokens_per_second: Annotated[float, Field(gt=0)] | None = None
    fail_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: int | None = None


class _EmbedderBody(_Body):
    provider: str
    model: Annotated[str, Field(min_length=1)] | None = None
    params: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    connection: str | None = None
    file: str | None = None
    tokenizer: str | None = None
    dimensions: Annotated[int, Field(gt=0, le=65536)] | None = None
    cache: JsonValue = None


class _ConnectionBody(_Body):
    provider: str
    base_url: str | None = None
    api_key: str | None = None
    timeout: Annotated[float, Field(gt=0, le=86400)] = 60.0
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    allow_private: bool = False
    environment: str | None = None
    options: dict[str, str] = Field(default_factory=dict[str, str])


class ModelKind:
    """`kind: model`: what answers, with its parameters. Where it is reached is a connection's business."""

    name = "model"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:
        """Check the body; a script named by path is read and becomes part of the spec, a model file becomes a blob."""
        given = parse_body(_ModelBody, body, what="the model is not valid")
        spec, problems = _called(given, "chat_providers")
        spec.update({name: body[name] for name in _TEST_ONLY if body.get(name) is not None})
        if given.provider != "test":
            problems += [
                Problem(message=f"only the provider test takes {name}", where=name) for name in _TEST_ONLY if name in spec
            ]
        elif given.script is not None:
            rows, mistakes = read_script(given.script, files=files)
            spec["script"] = rows
            problems += mistakes
        problems += _range_problems(given.params) + _watermark_problems(given)
        file, mistakes = model_file(given.file, provider=given.provider, files=files)
        problems += mistakes
        references, mistakes = _adapter(given.adapter)
        problems += mistakes
        kept, mistakes = parse_cache(given.cache)
        problems += mistakes
        guarding: dict[str, str] = {}
        guardrails = [] if given.guardrails is None else read_guardrails(given.guardrails, guarding, problems)
        _refuse(problems)
        if file is not None:
            spec["file"] = file
        if given.unsupported is not None:
            spec["unsupported"] = given.unsupported
        spec.update(references)
        if kept is not None:
            spec["cache"] = kept
            references.update(semantic_reference(kept))
        if guardrails:
            spec["guardrails"] = guardrails
            references.update(guarding)
        if not given.prompt_cache:
            spec["prompt_cache"] = False
        blobs = {} if file is None else {"file": file}
        return Parsed(spec=spec, references=references, blobs=blobs, notes=tuple(_unknown_params(given.params)))

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:
        """Guardrails that cannot stand there."""
        return unfit_guardrails(spec, resolved)

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """One line a changed value."""
        return spec_difference(old, new).lines


class EmbedderKind:
    """`kind: embedder`: what turns text into vectors."""

    name = "embedder"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:
        """Check the body; a model file and its tokenizer become blobs."""
        given = parse_body(_EmbedderBody, body, what="the embedder is not valid")
        spec, problems = _called(given, "embed_providers")
        if given.dimensions is not None:
            spec["dimensions"] = given.dimensions
        blobs, mistakes = embedder_files(given.file, given.tokenizer, provider=given.provider, files=files)
        problems += mistakes
        kept, mistakes = parse_cache(given.cache, semantic=False)
        problems += mistakes
        _refuse(problems)
        spec.update(blobs)
        if kept is not None:
            spec["cache"] = kept
        return Parsed(spec=spec, blobs=blobs)

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:
        """An embedder references nothing."""
        return ()

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """One line a changed value."""
        return spec_difference(old, new).lines


class ConnectionKind:
    """`kind: connection`: where a provider is reached in an environment; outside every digest."""

    name = "connection"
    versioned = False

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:
        """Check the body. Its spec has every field of `core.chat.Connection` but name and environment; `api_key` as written."""
        given = parse_body(_ConnectionBody, body, what="the connection is not valid")
        problems = [
            *_provider_problems(given.provider, *_CONNECTED),
            *credential_problems(given.headers),
        ]
        if not problems:
            problems = _needed_problems(given)
        if given.base_url is not None:
            problems += url_problem(given.base_url)
        if given.api_key is not None:
            try:
                Secret(reference=given.api_key)
            except Invalid as error:
                problems.append(Problem(message=error.message, where="api_key", hint=error.hint))
        _refuse(problems)
        spec: dict[str, Json] = {"provider": given.provider, "timeout": given.timeout, "allow_private": given.allow_private}
        for name in ("base_url", "api_key", "headers", "options"):
            if getattr(given, name):
                spec[name] = getattr(given, name)
        return Parsed(spec=spec)

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:
        """A connection references nothing."""
        return ()

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """One line a changed value."""
        return spec_difference(old, new).lines


def _called(given: _ModelBody | _EmbedderBody, group: str) -> tuple[dict[str, Json], list[Problem]]:
    """The part of the spec that models and embedders share, and what is wrong with it."""
    problems = _provider_problems(given.provider, group)
    spec: dict[str, Json] = {"provider": given.provider}
    model = given.model
    if model is None and not problems and getattr(given, "file", None) is None:
        model = cast("str | None", getattr(load_extension(group, given.provider), "default_model", None))
        if model is None:
            problems.append(Problem(message="'model' is missing", where="model", hint=f"{given.provider} serves many."))
    if model:
        spec["model"] = model
    if given.params:
        spec["params"] = given.params
    if given.connection is not None:
        try:
            spec["connection"] = parse_ref(given.connection, kind="connection").name
        except Invalid as error:
            problems.append(Problem(message=error.message, where="connection", hint=error.hint))
    return spec, problems


def _provider_problems(provider: str, *groups: str) -> list[Problem]:
    known = {name for group in groups for name in extension_names(group)}
    if provider in known:
        return []
    hint = did_you_mean(provider, known)
    if nearest(provider, known) is None:
        hint += " Anything that speaks OpenAI's dialect is provider: openai with a connection's base_url."
    return [Problem(message=f"the provider {provider!r} is not known here", where="provider", hint=hint)]


def _needed_problems(given: _ConnectionBody) -> list[Problem]:
    """What the provider itself says of a connection: the options that it reads, and an address where it has none of its own."""
    groups = [group for group in _CONNECTED if given.provider in extension_names(group)]
    made = [load_extension(group, given.provider) for group in groups]
    known = {name: text for each in made for name, text in getattr(each, "connection_options", {}).items()}
    problems = [
        Problem(
            message=f"{given.provider} reads no option {name!r}",
            where=f"options.{name}",
            hint=did_you_mean(name, known) if known else f"A connection of {given.provider} has no options.",
        )
        for name in given.options
        if name not in known
    ]
    example = next((text for each in made if (text := getattr(each, "needs_base_url", ""))), "")
    if example and given.base_url is None:
        message = f"a connection of {given.provider} needs base_url"
        problems.append(Problem(message=message, where="base_url", hint=f"Write it as in {example}."))
    return problems


def _adapter(given: str | None) -> tuple[dict[str, str], list[Problem]]:
    """The adapter that a model's file was made with, as a reference."""
    if given is None:
        return {}, []
    try:
        return {"adapter": str(parse_ref(given, kind="adapter"))}, []
    except Invalid as error:
        return {}, [Problem(message=error.message, where="adapter", hint=error.hint)]


def _range_problems(params: JsonObject) -> list[Problem]:
    problems: list[Problem] = []
    for name, value in params.items():
        low, high = _RANGES.get(name, (None, None))
        if name not in _RANGES and name not in _WHOLE:
            continue
        numeric = isinstance(value, int if name in _WHOLE else int | float) and not isinstance(value, bool)
        if not numeric:
            what = "a whole number" if name in _WHOLE else "a number"
            problems.append(Problem(message=f"{name} is {value!r}, but should be {what}", where=f"params.{name}"))
        elif low is not None and high is not None and not low <= cast("float", value) <= high:
            problems.append(
                Problem(message=f"{name} is {value}, but should be from {low:g} to {high:g}", where=f"params.{name}")
            )
    return problems


def _watermark_problems(given: _ModelBody) -> list[Problem]:
    try:
        asked = read_watermark(given.params)
    except Invalid as error:
        return [Problem(message=error.message, where=error.where, hint=error.hint)]
    if asked is None or given.provider == "local":
        return []
    hint = "A watermark is made while tokens are chosen: write provider: local."
    return [Problem(message=f"the provider {given.provider} cannot mark its answers", where="params.watermark", hint=hint)]


def _unknown_params(params: JsonObject) -> list[Problem]:
    """Parameters that are passed on as written, though they look like a slip of the pen."""
    return [
        Problem(
            message=f"{name} is not a parameter known here; it is passed on as written",
            where=f"params.{name}",
            hint=f"Did you mean {near}?",
        )
        for name in params
        if name not in _PARAMS and (near := nearest(name, _PARAMS))
    ]


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        first = problems[0]
        raise Invalid(first.message, where=first.where, hint=first.hint, problems=problems)
