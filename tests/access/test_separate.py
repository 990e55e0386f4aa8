"""What one project holds is not to be learnt from another: no route tells a thing that is there from one that is not."""

from __future__ import annotations

import hashlib
import itertools
import re
import secrets
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from access.house import House, Visitor, open_house
from access.test_matrix import BELOW
from tidemill.api.rights import PREFIX

HOLDER, ASKER = "holder", "asker"
OWN = {"ask", "mine", "echo", "help", "questions", "release", "support"}
ROWS = b'{"q": "my number is 0049 30 1234567", "a": "noted"}\n'
DIGEST = f"sha256:{hashlib.sha256(ROWS).hexdigest()}"


TRIAL = """
kind: chain
name: trial
inputs: {question: string}
steps: [{id: answer, prompt: prompt/ask, model: model/echo, with: {question: "{{question}}"}}]
output: "{{answer.text}}"
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("separate")) as house:
        for project in (HOLDER, ASKER):
            house.fill(project)
        yield house


@pytest.fixture(scope="module")
def held(world: House) -> list[str]:
    """Names, digests and ids of everything that the first project has and the second has not."""
    below = f"/api/v1/projects/{HOLDER}"
    ask = world.admin
    put(world, HOLDER, DIGEST, ROWS)
    spec = "{kind: dataset, name: patients, path: ../rows.jsonl, roles: {input: q, reference: a}}"
    prompt = "{kind: prompt, name: hidden, text: 'a secret {{q}}'}\n---\n" + TRIAL
    files = {"tidemill/a.yaml": f"{spec}\n---\n{prompt}", "rows.jsonl": {"blob": DIGEST}}
    made = ask("POST", f"{below}/apply", {"files": files})
    run = ask("POST", f"{below}/runs", {"app": "chain/help", "inputs": {"question": "hello"}})
    body = {"app": "chain/help", "data": "dataset/questions", "scorers": ["exact_match"]}
    evaluation = ask("POST", f"{below}/evaluations", body)
    finish(world, evaluation["job"])
    release = ask("POST", f"{below}/releases", {"root": "chain/help"})["digest"]
    rollout = ask("POST", f"{below}/rollouts", {"endpoint": "support", "app": "chain/trial", "share": 10})
    ana = world.key(HOLDER, role="reviewer", person="ana")
    approval = ana("POST", f"{below}/approvals", {"release": release, "reason": "read it", "role": "reviewer"})
    ask("POST", "/api/v1/people", {"name": "bea"})
    rule = ask("POST", f"{below}/access", {"person": "bea", "role": "viewer"})
    digests = [each["digest"] for each in made["versions"]]
    ids = [run["id"], run["trace"], evaluation["evaluation"], evaluation["job"], rollout["id"], approval["id"], rule["id"]]
    ids += [each["id"] for each in ask("GET", f"{below}/keys")["items"]]
    own = {each["digest"] for each in ask("GET", f"/api/v1/projects/{ASKER}/artifacts")["items"]}
    found = dict.fromkeys([*ids, *digests, DIGEST, "patients", "hidden"])
    return [each for each in found if each not in own]


@pytest.fixture(scope="module")
def asker(world: House) -> Visitor:
    return world.key(ASKER, role="admin", person="eve")


def put(world: House, project: str, digest: str, content: bytes) -> None:
    async def send() -> httpx.Response:
        headers = {"authorization": f"Bearer {world.admin.token}"}
        return await world.http.put(f"/api/v1/projects/{project}/blobs/{digest}", content=content, headers=headers)

    assert world.portal.call(send).is_success


def finish(world: House, job: str) -> None:
    async def send() -> bytes:
        headers = {"authorization": f"Bearer {world.admin.token}"}
        return (await world.http.get(f"/api/v1/projects/{HOLDER}/jobs/{job}/events", headers=headers)).content

    assert b'"done"' in world.portal.call(send)


def decoy(value: str) -> str:
    """Something of the same form that is nowhere."""
    if value.startswith("sha256:"):
        return f"sha256:{secrets.token_hex(32)}"
    if re.fullmatch(r"[0-9a-f]{8}-[0-9a-f-]{27}", value):
        return str(uuid.uuid4())
    if re.fullmatch(r"g?[0-9a-f]{8,}", value):
        size = len(value.removeprefix("g")) // 2
        return value[: len(value) - 2 * size] + secrets.token_hex(size)
    return "".join(reversed(value))


def said(answer: httpx.Response, value: str) -> tuple[int, str]:
    text = re.sub(r'"instance":"[^"]*"', "", answer.text).replace(value, "X").replace(value[:12], "X")
    nearest = re.search(r"Did you mean (\S+)\?", text)  # what is alike of the project's own, which depends on the spelling
    assert nearest is None or nearest[1].rpartition("/")[2] in OWN
    return answer.status_code, re.sub(r'"hint":"(Did you mean|List what exists)[^"]*"', "", text)


@pytest.mark.parametrize(("method", "path"), [each for each in BELOW if "{" in each[1].removeprefix(PREFIX)], ids=str)
def test_an_address_in_another_project_tells_nothing(held, asker, method, path):
    places = re.findall(r"\{(\w+)\}", path.removeprefix(PREFIX))
    fixed = {"kind": "prompt", "version": "v1", "alias": "latest"}
    for value in held:
        answers = []
        for given in (value, decoy(value)):
            filled = path
            for place in places:
                filled = filled.replace(f"{{{place}}}", fixed.get(place, given))
            filled = filled.replace("{project}", ASKER)
            answers.append(said(asker.ask(method, filled, None if method == "GET" else {}), given))
        assert answers[0] == answers[1], (value, answers)


_BODIES = {
    "POST /blobs:missing": lambda value: {"digests": [value]},
    "POST /releases": lambda value: {"root": value},
    "POST /runs": lambda value: {"app": value, "inputs": {}},
    "POST /evaluations": lambda value: {"app": value, "data": f"dataset/{value}"},
    "POST /comparisons": lambda value: {"a": value, "b": value},
    "POST /feedback": lambda value: {"trace": value, "thumbs": "down"},
    "POST /approvals": lambda value: {"release": value, "reason": "fine", "role": "admin"},
    "POST /rollouts": lambda value: {"endpoint": "support", "app": value, "share": 10},
    "POST /endpoints/support:deploy": lambda value: {"app": value},
    "POST /gates/release:check": lambda value: {"evaluation": value},
    "POST /policies:check": lambda value: {"app": value, "target": "endpoint/support"},
    "POST /access:check": lambda value: {"person": f"key/{value}", "right": "read"},
    "POST /plan": lambda value: {
        "files": {
            "tidemill/a.yaml": "{kind: dataset, name: mine, path: ../rows.jsonl, roles: {input: q}}",
            "rows.jsonl": {"blob": value},
        }
    },
    "POST /apply": lambda value: {
        "files": {
            "tidemill/a.yaml": f"{{kind: chain, name: mine, inputs: {{q: string}}, steps: [{{id: s, chain: '{value}'}}]}}"
        }
    },
    "POST /datasets/mine:from-traces": lambda value: {"traces": [value]},
}


@pytest.mark.parametrize("named", _BODIES)
def test_a_body_that_names_what_another_project_has_tells_nothing(held, asker, named):
    method, _, path = named.partition(" ")
    for value in held:
        answers = [
            said(asker.ask(method, f"/api/v1/projects/{ASKER}{path}", _BODIES[named](given)), given)
            for given in (value, decoy(value))
        ]
        assert answers[0] == answers[1], (value, answers)


def test_the_same_rows_are_kept_and_asked_for_by_each_project_alone(world, held, asker):
    below = f"/api/v1/projects/{ASKER}"
    missing = asker("POST", f"{below}/blobs:missing", {"digests": [DIGEST]})
    assert DIGEST in str(missing)
    put(world, ASKER, DIGEST, ROWS)
    name = DIGEST.removeprefix("sha256:")
    kept = [world.data / "blobs" / project / name[:2] / name[2:] for project in (HOLDER, ASKER)]
    assert all(Path(each).read_bytes() == ROWS for each in kept)
    assert kept[0].stat().st_ino != kept[1].stat().st_ino
    assert DIGEST not in str(asker("POST", f"{below}/blobs:missing", {"digests": [DIGEST]}))


def test_what_was_computed_in_one_project_is_computed_again_in_another(world, held):
    """The steps that the first project ran are not taken from its memory for the second: that would tell that it asked."""
    body = {"app": "chain/help", "data": "dataset/questions", "scorers": ["exact_match"]}
    below = f"/api/v1/projects/{ASKER}"
    started = world.admin("POST", f"{below}/evaluations", body)

    async def wait() -> bytes:
        headers = {"authorization": f"Bearer {world.admin.token}"}
        return (await world.http.get(f"{below}/jobs/{started['job']}/events", headers=headers)).content

    assert b'"done"' in world.portal.call(wait)
    found = world.admin("GET", f"{below}/evaluations/{started['evaluation']}")
    assert found["reused"]["outputs"] == 0


def test_two_requests_that_name_another_project_in_a_reference_are_alike(asker):
    below = f"/api/v1/projects/{ASKER}/runs"
    for there, nowhere in itertools.product([f"{HOLDER}:chain/help"], ["nobody:chain/help", f"{HOLDER}:chain/nope"]):
        one, other = (asker.ask("POST", below, {"app": each, "inputs": {}}) for each in (there, nowhere))
        assert said(one, there) == said(other, nowhere)
