"""A policy's rules: conditions (CEL) over what the platform knows of a release; a mistake is found when a rule is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from tidemill.core.conditions import Condition
from tidemill.core.errors import Invalid, Problem
from tidemill.core.refs import parse_ref
from tidemill.core.suggest import did_you_mean
from tidemill.store.access import ROLES

VARIABLES: Final = ("approvals", "evaluation", "release", "who", "now", "door", "target")
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "evaluation": ("id", "dataset", "samples", "errors", "metrics", "at"),
    "release": ("digest", "root", "name", "hermetic", "artifacts", "authors", "tags", "owner"),
    "gate": ("result", "evaluation", "against", "version", "at"),
    "approvals": ("id", "who", "role", "reason", "target", "at", "expires"),
    "metrics": ("mean", "interval", "n"),
}
"""What each thing that a rule may read has; `metrics` is any one metric."""

_OWN = "gate"
_HINT = 'Write CEL, as in approvals.exists(a, a.role == "reviewer").'
_CEL = frozenset(
    "size contains startsWith endsWith matches string int uint double timestamp duration type dyn bytes"
    " getFullYear getMonth getDate getDayOfMonth getDayOfWeek getDayOfYear getHours getMinutes getSeconds".split()
)
_LONGEST = 1000
_MOST_LOOPS = 2
_TOKENS = re.compile(
    r"//[^\n]*|(?P<text>[rRbB]*(?:\"\"\"(?:\\.|(?!\"\"\").)*\"\"\"|'''(?:\\.|(?!''').)*'''|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'))",
    re.DOTALL,
)
_LOOPS = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|map|filter)\s*\(")
_TEXT = r"\s*§(\d+)§\s*"
_GATE = re.compile(r"(?<![\w.])gate\s*\((?:" + _TEXT + r"\))?(?:\s*\.\s*(\w+))?")
_FIELD = re.compile(r"(?<![\w.§])(evaluation|release)\s*\.\s*(\w+)")
_METRIC = re.compile(r"\.\s*metrics\s*(?:\.\s*(\w+)|\[" + _TEXT + r"\]|(\[))(?:\s*\.\s*(\w+))?")
_ROLE = re.compile(r"\.\s*role\s*==" + _TEXT)


class Rule:
    """A compiled rule; `gates` and `metrics` are those that it names, `roles` those that it asks of an approval."""

    def __init__(self, text: str) -> None:
        """Compile. Raises `Invalid` with a `Problem` for each mistake."""
        if len(text) > _LONGEST:
            raise Invalid(f"a rule is at most {_LONGEST} characters long, not {len(text)}", hint="Write several rules.")
        self.text = text
        try:
            self.condition = Condition(text)
        except Invalid as error:
            raise Invalid(error.message, hint=_HINT) from error
        self._texts: list[str] = []
        blank = _TOKENS.sub(self._keep_text, text)
        problems = [*self._unknown_names(blank), *self._unknown_fields(blank)]
        self.gates = frozenset(self._gates(blank, problems))
        self.metrics = frozenset(self._metrics(blank, problems))
        self.roles = tuple(sorted({self._texts[int(each)] for each in _ROLE.findall(blank)}))
        problems += [
            Problem(message=f"{each!r} is not a role", hint=_meant(each, ROLES)) for each in self.roles if each not in ROLES
        ]
        if problems:
            raise Invalid(problems[0].message, hint=problems[0].hint, problems=problems)

    def reads(self, name: str) -> bool:
        """Whether it reads this variable."""
        return name in self.condition.names

    def holds(self, values: Mapping[str, object], *, gate: Callable[[str], Mapping[str, object]]) -> bool:
        """Whether it holds. Raises `Invalid` when it cannot be decided, because something that it reads is not there."""
        try:
            return self.condition.holds(values, functions={_OWN: gate})
        except Invalid as error:
            cause = error.__cause__
            if isinstance(cause, KeyError):
                raise Invalid(f"there is no {cause.args[0]!r} in what it reads: {self.text}", hint=_HINT) from cause
            raise Invalid(error.message.replace("the condition", "the rule", 1), hint=_HINT) from cause

    def _keep_text(self, match: re.Match[str]) -> str:
        token = match["text"]
        if token is None:
            return " "
        body = token.lstrip("rRbB")
        quote = 3 if body[:3] in {'"""', "'''"} else 1
        self._texts.append(body[quote:-quote])
        return f" §{len(self._texts) - 1}§ "

    def _unknown_names(self, blank: str) -> Iterable[Problem]:
        for name in sorted(self.condition.names - set(VARIABLES)):
            yield Problem(message=f"nothing is called {name!r} in a policy", hint=_meant(name, VARIABLES))
        for name in sorted(self.condition.calls - _CEL - {_OWN}):
            yield Problem(message=f"{name!r} is not a function of a policy", hint=_meant(name, [_OWN, *_CEL]))
        if len(_LOOPS.findall(blank)) > _MOST_LOOPS:
            yield Problem(message=f"a rule goes over lists at most {_MOST_LOOPS} times", hint="Write several rules.")

    def _unknown_fields(self, blank: str) -> Iterable[Problem]:
        for of, name in _FIELD.findall(blank):
            if name not in FIELDS[of]:
                yield Problem(message=f"{of} has no {name!r}", hint=_meant(name, FIELDS[of]))

    def _gates(self, blank: str, problems: list[Problem]) -> Iterable[str]:
        for place, field in _GATE.findall(blank):
            if not place:
                problems.append(Problem(message="a gate is named by a text", hint='Write gate("gate/NAME").'))
                continue
            if field and field not in FIELDS["gate"]:
                problems.append(Problem(message=f"a gate has no {field!r}", hint=_meant(field, FIELDS["gate"])))
            try:
                yield str(parse_ref(self._texts[int(place)], kind="gate"))
            except Invalid as error:
                problems.append(Problem(message=error.message, hint=error.hint))

    def _metrics(self, blank: str, problems: list[Problem]) -> Iterable[str]:
        for plain, place, computed, field in _METRIC.findall(blank):
            if computed and not place:
                problems.append(Problem(message="a metric is named by a text", hint="Write evaluation.metrics.NAME.mean."))
                continue
            if field and field not in FIELDS["metrics"]:
                problems.append(Problem(message=f"a metric has no {field!r}", hint=_meant(field, FIELDS["metrics"])))
            yield plain or self._texts[int(place)]


def _meant(name: str, known: Iterable[str]) -> str:
    return did_you_mean(name, list(known))
