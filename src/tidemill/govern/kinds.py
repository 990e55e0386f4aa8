"""`kind: policy`: what it protects, by which doors, and what it requires."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field

from tidemill.core.bodies import parse_body
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import Door, Files
from tidemill.core.json import JsonObject
from tidemill.core.records import Parsed, Version
from tidemill.core.refs import KINDS
from tidemill.core.suggest import did_you_mean
from tidemill.govern.facts import sample_values
from tidemill.govern.rules import Rule

DOORS: tuple[Door, ...] = get_args(Door)
_USUAL = ("deploy", "rollout", "promote", "alias")
_PATTERN = re.compile(r"(?P<kind>[a-z]+)/[a-z0-9._*-]{1,128}(?:@(?P<alias>[a-z0-9._*-]{1,128}))?")
_MISTAKES = (KeyError, TypeError, RuntimeError)


class _PolicySpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    protects: Annotated[tuple[str, ...], Field(min_length=1, max_length=100)]
    doors: Annotated[tuple[Literal["deploy", "rollback", "rollout", "promote", "alias"], ...], Field(min_length=1)] = _USUAL
    require: Annotated[tuple[str, ...], Field(max_length=50)] = ()
    enabled: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """A policy as it is kept. `protects` are patterns (`endpoint/x`, `chain/*@production`), `require` rules in CEL."""

    version: Version
    protects: tuple[str, ...]
    doors: frozenset[Door]
    require: tuple[str, ...]
    enabled: bool

    @classmethod
    def of(cls, version: Version) -> Policy:
        """From its version's spec."""
        spec = cast("Mapping[str, Sequence[str]]", version.spec)
        return cls(
            version=version,
            protects=tuple(spec["protects"]),
            doors=frozenset(cast("Sequence[Door]", spec["doors"])),
            require=tuple(spec["require"]),
            enabled=bool(spec["enabled"]),
        )

    def guards(self, target: str) -> bool:
        """Whether it is on and protects this target."""
        return self.enabled and any(fnmatchcase(target, pattern) for pattern in self.protects)


class PolicyKind:
    """What must hold before a release may answer at a protected address or under a protected alias."""

    name = "policy"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:  # noqa: ARG002  (the Protocol's argument)
        """Canonical form: lists without repetition. Each gate that a rule names is a reference, so the policy locks it."""
        spec = parse_body(_PolicySpec, body, what="policy")
        problems = [each for place, text in enumerate(spec.protects) for each in _pattern_problems(text, f"protects.{place}")]
        references: dict[str, str] = {}
        for place, text in enumerate(spec.require):
            where = f"require.{place}"
            try:
                rule = Rule(text)
                _try(rule)
            except Invalid as error:
                found = error.problems or [Problem(message=error.message, hint=error.hint)]
                problems += [Problem(message=each.message, hint=each.hint, where=where) for each in found]
            else:
                references |= {f"{where}.{number}": gate for number, gate in enumerate(sorted(rule.gates))}
        if problems:
            raise Invalid(problems[0].message, where=problems[0].where, hint=problems[0].hint, problems=problems)
        return Parsed(
            spec={
                "protects": sorted(set(spec.protects)),
                "doors": sorted(set(spec.doors)),
                "require": list(dict.fromkeys(spec.require)),
                "enabled": spec.enabled,
            },
            references=references,
        )

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:  # noqa: ARG002  (the Protocol's)
        """What it refers to is there; whether somebody measures its metrics is asked of the project, see `Policies`."""
        return ()

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """A line for each thing that is protected or required now, or no more."""
        lines: list[str] = []
        for key in ("protects", "doors", "require"):
            before, after = (cast("Sequence[str]", each.get(key, ())) for each in (old, new))
            lines += [f"{key}: no longer {each}" for each in before if each not in after]
            lines += [f"{key}: now also {each}" for each in after if each not in before]
        if old.get("enabled") != new.get("enabled"):
            lines.append("turned on" if new.get("enabled") else "turned off")
        return lines


def _pattern_problems(text: str, where: str) -> list[Problem]:
    match = _PATTERN.fullmatch(text)
    if match is None:
        hint = 'Write endpoint/NAME, or kind/NAME@ALIAS; * stands for anything, as in "chain/*@production".'
        return [Problem(message=f"{text[:100]!r} is nothing that can be protected", where=where, hint=hint)]
    kind, alias = match["kind"], match["alias"]
    if kind not in KINDS:
        return [Problem(message=f"{kind!r} is not a known kind", where=where, hint=did_you_mean(kind, KINDS))]
    if (kind == "endpoint") == (alias is not None):
        message = f"{text} has an alias, and endpoints have none" if alias else f"{text} names no alias"
        hint = f"Write {text.partition('@')[0]}." if alias else f"Write {text}@production, say."
        return [Problem(message=message, where=where, hint=hint)]
    if alias == "latest":
        hint = "Protect the alias that is deployed, as in @production."
        return [Problem(message="latest moves with every apply and cannot be protected", where=where, hint=hint)]
    return []


def _try(rule: Rule) -> None:
    """Find what no release could satisfy or fail: a part that is not there, a comparison of text with a number."""
    values, gate = sample_values(rule.metrics)
    try:
        rule.holds(values, gate=lambda _name: gate)
    except Invalid as error:
        if error.__cause__ is None or isinstance(error.__cause__, _MISTAKES):
            raise
