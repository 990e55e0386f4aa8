"""References: the one grammar by which anything is named.

ref = [project ":"] kind "/" name ["@" (vN | alias | sha256:HEX64)]
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace

from tidemill.core.errors import Invalid

KINDS = frozenset(
    "prompt model embedder adapter connection dataset document index chain agent tool function guardrail scorer judge gate"
    " endpoint pipeline policy monitor tune release evaluation environment telemetry route".split()
)  # fmt: skip
_NAME = r"[a-z0-9][a-z0-9._-]{0,127}"
_GRAMMAR = re.compile(rf"(?:(?P<project>{_NAME}):)?(?P<kind>[a-z]+)/(?P<name>{_NAME})(?:@(?P<version>[a-z0-9][a-z0-9._:-]*))?")
_NAME_ONLY = re.compile(_NAME)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NUMBER = re.compile(r"v[1-9][0-9]{0,9}")
_FORM = "Write kind/name, or kind/name@v3, kind/name@production, kind/name@sha256:…"


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Ref:
    """A parsed reference. `version` is `vN`, an alias, a digest, or None for "of this same apply, else latest"."""

    kind: str
    name: str
    version: str | None = None
    project: str | None = None

    def __str__(self) -> str:
        project = f"{self.project}:" if self.project else ""
        version = f"@{self.version}" if self.version else ""
        return f"{project}{self.kind}/{self.name}{version}"

    @property
    def bare(self) -> str:
        """`kind/name`, without project and version."""
        return f"{self.kind}/{self.name}"

    @property
    def number(self) -> int | None:
        """N of `@vN`, else None."""
        return int(self.version[1:]) if self.version and _NUMBER.fullmatch(self.version) else None

    @property
    def digest(self) -> str | None:
        """The digest of `@sha256:…`, else None."""
        return self.version if self.version and is_digest(self.version) else None

    @property
    def alias(self) -> str | None:
        """The alias of `@alias`, else None."""
        return self.version if self.version and self.number is None and self.digest is None else None

    def at(self, version: str | None) -> Ref:
        """The same artifact at another version."""
        return replace(self, version=version)


@functools.lru_cache(maxsize=4096)  # what is no reference, of whatever length, is not kept
def parse_ref(text: str, *, kind: str | None = None) -> Ref:
    """Parse a reference; with `kind`, a bare name gets that kind and any other kind is refused.

    Raises `Invalid`, naming the text and the form.
    """
    candidate = f"{kind}/{text}" if kind and "/" not in text else text
    match = _GRAMMAR.fullmatch(candidate)
    if match is None:
        raise Invalid(f"{text!r} is not a reference", hint=_FORM)
    ref = Ref(kind=match["kind"], name=match["name"], version=match["version"], project=match["project"])
    if ref.version and ref.version.startswith("sha256:") and ref.digest is None:
        raise Invalid(f"{text!r} has a digest that is not 64 hexadecimal digits", hint=_FORM)
    if ref.version and ":" in ref.version and ref.digest is None:
        raise Invalid(f"{text!r} is not a reference", hint=_FORM)
    if kind and ref.kind != kind:
        raise Invalid(f"{text!r} is a {ref.kind}, but a {kind} is needed here", hint=f"Write {kind}/NAME.")
    return ref


def is_ref(text: str) -> bool:
    """Whether `text` has the form of a reference to a known kind."""
    try:
        return parse_ref(text).kind in KINDS
    except Invalid:
        return False


def is_digest(text: str) -> bool:
    """Whether `text` is `sha256:` and 64 hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


def check_name(name: str, *, what: str = "name") -> str:
    """Return `name` when it has the form of an artifact's name; raise `Invalid` otherwise."""
    if _NAME_ONLY.fullmatch(name) is None:
        raise Invalid(
            f"{what} {name[:140]!r} is not allowed",
            hint="Use 1 to 128 of a-z 0-9 . _ - and begin with a letter or a digit.",
        )
    return name


def check_alias(alias: str) -> str:
    """Return `alias` when it can be one: a name that is neither `vN` nor a digest."""
    check_name(alias, what="alias")
    if _NUMBER.fullmatch(alias):
        raise Invalid(f"alias {alias!r} looks like a version number", hint="Choose a word, as in production.")
    return alias
