"""Errors as people read them: what, where, the line itself, and what to do next. On standard error."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tidemill.cli.screen import clean, cut, note, paint, wrapped
from tidemill.core.errors import EXIT_CODE, Problem, TidemillError
from tidemill.core.settings import find_root

_MOST = 20
_COMMAND = " tidemill "  # to be pasted, so never cut into lines
_LONGEST_SOURCE = 64
_MAY_HOLD_A_SECRET = re.compile(r"key\b|auth|token|password|cookie|headers|://[^/\s]*@", re.IGNORECASE)


def report(error: TidemillError) -> int:
    """Print the error, each of its problems with its place, and return the exit code."""
    root = find_root(Path.cwd())
    problems = error.problems or (Problem(message=error.message, where=error.where, hint=error.hint),)
    for each in problems[:_MOST]:
        _report_one(each, root)
    if len(problems) > _MOST:
        note(f"and {len(problems) - _MOST} more")
    return EXIT_CODE.get(error.code, EXIT_CODE["internal"])


def _report_one(problem: Problem, root: Path) -> None:
    first, *rest = clean(problem.message).splitlines() or [""]
    note(f"{paint('error:', 'bad', stream=sys.stderr)} {first}")
    for line in rest:
        note(f"  {line}")
    if problem.where:
        note(f"  {with_source(clean(problem.where), root)}")
    if problem.hint:
        for hint in clean(problem.hint).splitlines():
            for line in [f"  {hint}"] if _COMMAND in hint else wrapped(hint, indent="  "):
                note(line)


def with_source(where: str, root: Path) -> str:
    """`file:line` with what stands there, when the file is in the project folder and the line cannot hold a secret."""
    path, _, number = where.rpartition(":")
    file = root / path
    if not path or not number.isdigit() or Path(path).is_absolute() or not file.resolve().is_relative_to(root.resolve()):
        return where
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return where
    if not 0 < int(number) <= len(lines):
        return where
    line = lines[int(number) - 1].strip()
    return where if _MAY_HOLD_A_SECRET.search(line) else f"{where}    {cut(clean(line), _LONGEST_SOURCE)}".rstrip()
