"""Taking out of values what should not be kept. Pure: JSON in, JSON out; what came in is never changed."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeGuard, cast

import orjson

from tidemill.core.json import Json
from tidemill.telemetry.rules.regex import Find, Place
from tidemill.telemetry.rules.spec import Action

_DEEPEST: Final = 60
_TOO_DEEP: Final = "(nested too deep to be kept)"
_LETTERS: Final = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_DIGITS_THAT_MATTER: Final = 6


class Dropped:
    """Stands for a value that goes with its key."""


DROPPED: Final = Dropped()


def keyed_hash(text: str, key: bytes) -> str:
    """HMAC-SHA-256, its first 96 bits, as 24 letters a to p: the same text and key give the same, and nothing leads back."""
    return hmac.digest(key, text.encode("utf-8", "replace"), hashlib.sha256).hex()[:24].translate(_LETTERS)


@dataclass(frozen=True, kw_only=True, slots=True)
class TextRule:
    """What to look for in every text. `within` are the parts of a span that it looks at, None all of them.

    `anchored`: whether it may look at where a text begins or ends, so that several texts cannot be searched as one.
    """

    name: str
    find: Find
    action: Action = "mask"
    replacement: str = ""
    within: frozenset[str] | None = None
    anchored: bool = False
    is_slow: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldRule:
    """A place by its path below a part of a span: every value whose path it matches."""

    part: str
    path: re.Pattern[str]
    action: Action = "mask"
    replacement: str = "[redacted]"


def field_path(glob: str) -> re.Pattern[str]:
    """A path with `*` for one name and `**` for any number of them, as a pattern for whole paths."""
    pieces = re.split(r"(\*\*|\*)", glob)
    forms = {"*": r"[^.]+", "**": r".+"}
    return re.compile("".join(forms.get(each, re.escape(each)) for each in pieces), re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cleaner:
    """Rules for texts and for places. `key` gives the project's key for hashes, and is asked only when one is made."""

    texts: tuple[TextRule, ...] = ()
    fields: tuple[FieldRule, ...] = ()
    key: Callable[[], bytes] = bytes

    def rules_for(self, part: str) -> tuple[TextRule, ...]:
        """The rules that look at a part of a span."""
        return tuple(each for each in self.texts if each.within is None or part in each.within)

    def text(self, value: str, rules: Sequence[TextRule]) -> str | Dropped:
        """A text without what the rules find; JSON inside of it, with its escapes, is read too."""
        inside = _json_inside(value)
        if inside is not None:
            cleaned = self.value(inside, rules)
            if isinstance(cleaned, Dropped):
                return DROPPED
            if cleaned != inside:
                value = orjson.dumps(cleaned).decode()
        for rule in rules:
            places = list(rule.find(value))
            if places and rule.action == "drop":
                return DROPPED
            if places:
                value = self._replace(value, places, rule)
        return value

    def value(self, value: Json, rules: Sequence[TextRule], *, depth: int = 0) -> Json | Dropped:
        """The same for every text, number and key within a value."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.text(value, rules)
        if isinstance(value, int | float):
            written = str(value)
            cleaned = self.text(written, rules) if len(written) >= _DIGITS_THAT_MATTER else written
            return value if cleaned == written else cleaned
        if depth > _DEEPEST:
            return _TOO_DEEP
        if isinstance(value, Mapping):
            return self._mapping(value, rules, depth)
        if _is_list(value):
            members = (self.value(each, rules, depth=depth + 1) for each in value)
            return [None if isinstance(each, Dropped) else each for each in members]
        return self.text(_as_text(value), rules)

    def at_fields(self, value: Json, part: str, path: str = "", depth: int = 0) -> Json | Dropped:
        """The value with the rules for places applied; `path` is where it stands below the span."""
        path = path or part
        for rule in self.fields:
            if rule.part == part and rule.path.fullmatch(path):
                return self._act(value, rule)
        if depth > _DEEPEST:
            return _TOO_DEEP
        if isinstance(value, Mapping):
            pairs = ((key, self.at_fields(each, part, f"{path}.{key}", depth + 1)) for key, each in value.items())
            return {key: each for key, each in pairs if not isinstance(each, Dropped)}
        if _is_list(value):
            members = (self.at_fields(each, part, f"{path}.{n}", depth + 1) for n, each in enumerate(value))
            return [each for each in members if not isinstance(each, Dropped)]
        return value

    def hashed(self, text: str) -> str:
        """A text's keyed hash."""
        return keyed_hash(text, self.key())

    def _mapping(self, value: Mapping[str, Json], rules: Sequence[TextRule], depth: int) -> Json:
        kept: dict[str, Json] = {}
        for key, each in value.items():
            name = self.text(str(key), rules)
            cleaned = self.value(each, rules, depth=depth + 1)
            if isinstance(name, Dropped) or isinstance(cleaned, Dropped):
                continue
            number = 2
            unique = name
            while unique in kept:
                unique = f"{name} {number}"
                number += 1
            kept[unique] = cleaned
        return kept

    def _replace(self, text: str, places: Sequence[Place], rule: TextRule) -> str:
        pieces: list[str] = []
        at = 0
        for start, end in places:
            new = f"[{rule.name}:{self.hashed(text[start:end])}]" if rule.action == "hash" else rule.replacement
            pieces += [text[at:start], new]
            at = end
        return "".join([*pieces, text[at:]])

    def _act(self, value: Json, rule: FieldRule) -> Json | Dropped:
        if rule.action == "drop":
            return DROPPED
        if value is None:
            return None
        if rule.action == "mask":
            return rule.replacement
        return f"[hash:{self.hashed(value if isinstance(value, str) else leaves_text(value))}]"


def leaves(value: Json, depth: int = 0) -> Iterator[str]:
    """Every text, number and key within a value, as `Cleaner.value` sees them."""
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        yield value
        inside = _json_inside(value)
        if inside is not None:
            yield from leaves(inside, depth + 1)
    elif isinstance(value, int | float):
        yield str(value)
    elif depth > _DEEPEST:
        return
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield str(key)
            yield from leaves(each, depth + 1)
    elif _is_list(value):
        for each in value:
            yield from leaves(each, depth + 1)
    else:
        yield _as_text(value)


def leaves_text(value: Json) -> str:
    """All of it as one text, for hashing what is no text."""
    return "\x00".join(leaves(value))


def _is_list(value: object) -> TypeGuard[Sequence[Json]]:
    return isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes | bytearray)


def _as_text(value: object) -> str:
    """What is no JSON, as it would be written."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001  (a user's object; recording it must not fail the request)
        return f"(a {type(value).__name__} that cannot be shown)"


def _json_inside(text: str) -> Json:
    """What a text is as JSON, where its escapes could hide something; else None."""
    if "\\" not in text or text[:1] not in '{["':
        return None
    try:
        found = cast("Json", orjson.loads(text))
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, str | list | dict) else None
