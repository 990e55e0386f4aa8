from __future__ import annotations

import pytest

from tidemill.core import errors
from tidemill.core.errors import BY_CODE, EXIT_CODE, HTTP_STATUS, MissingExtra, Problem, TidemillError, error_from_code


def subclasses(kind):
    return {kind, *(each for sub in kind.__subclasses__() for each in subclasses(sub))}


def test_every_error_is_mapped_once_to_http_and_once_to_an_exit_code():
    own = {each for each in subclasses(TidemillError) if each.__module__ == errors.__name__}
    assert set(BY_CODE.values()) == own
    assert len({each.code for each in own}) == len(own)
    assert BY_CODE.keys() == HTTP_STATUS.keys() == EXIT_CODE.keys()


@pytest.mark.parametrize(
    ("code", "status", "exit_code"),
    [("invalid", 400, 2), ("not_found", 404, 3), ("denied", 403, 4), ("unavailable", 503, 5), ("conflict", 409, 6)],
)
def test_the_promised_codes(code, status, exit_code):
    assert (HTTP_STATUS[code], EXIT_CODE[code]) == (status, exit_code)


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_an_error_is_rebuilt_from_what_a_server_sent(code):
    problem = Problem(message="m", where="w", hint="h")
    error = error_from_code(code, "what", hint="do this", where="f:1", problems=[problem])
    assert type(error) is BY_CODE[code]
    assert (str(error), error.hint, error.problems) == ("f:1: what", "do this", (problem,))


def test_an_unknown_code_is_the_root_error():
    assert type(error_from_code("from_the_future", "x")) is TidemillError


def test_a_missing_extra_names_the_command():
    error = MissingExtra("rag", needed_for="reading PDF", also="pip install --no-deps x")
    assert error.hint == "Type: pip install 'tidemill[rag]' && pip install --no-deps x"


def test_a_problem_is_one_line():
    assert Problem(message="m", where="f:1", hint="Do.").as_line() == "f:1: m  Do."
    assert Problem(message="m").as_line() == "m"
