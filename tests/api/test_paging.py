"""Every list of the API: a page at a time, while rows come in, each row that was there is seen exactly once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from api.described import document
from api.house import House, Project
from tidemill.core.records import Job
from tidemill.store import alerts, jobs, monitors
from tidemill.store.database import Database

PREFIX = "/api/v1/projects/{project}"
LISTS = sorted(
    path.removeprefix(PREFIX)
    for path, item in document()["paths"].items()
    if "get" in item and "cursor" in {each["name"] for each in item["get"].get("parameters", ())}
)
Add = Callable[[int], None]


class Filler:
    """Adds the `n`th row of a list: later ones come in front where the newest is first, and anywhere in a list by name."""

    def __init__(self, house: House, project: Project) -> None:
        self.house = house
        self.project = project

    def apply(self, text: str) -> Add:
        names = itertools.cycle("mbzq")
        return lambda n: self.project.apply(x=text.replace("NAME", f"{next(names)}{n}").replace("N", str(n)))

    def post(self, path: str, body: Callable[[int], Any]) -> Add:
        return lambda n: self.project.post(path, body(n))

    def store(self, work: Callable[[Any, int], Any]) -> Add:
        def add(n: int) -> None:
            database = Database.open(self.house.data / "meta.db", migrate=False)
            try:
                database.write_sync(lambda db: work(db, n))
            finally:
                database.close()

        return add


def job(project: Project, kind: str, n: int) -> Job:
    return Job(
        id=f"{n:04d}-{project.name}-{kind}",
        project=project.name,
        kind=kind,
        status="done",
        payload={},
        created_ns=n,
        updated_ns=n,
    )


def monitor_run(project: Project, n: int) -> monitors.MonitorRun:
    config = {"spec": {}, "from_ns": 0, "to_ns": 1}
    return monitors.MonitorRun(
        id=f"{n:04d}-{project.name}",
        project=project.name,
        monitor="m",
        target="endpoint/x",
        config=config,
        created_ns=n,
        updated_ns=n,
    )


def alert(project: Project, n: int) -> alerts.Alert:
    return alerts.Alert(
        id=f"{n:04d}-{project.name}", project=project.name, monitor="m", run="r", name="a", condition="c", message="m", rule=n,
        target="endpoint/x", release="sha256:" + "0" * 64, values={}, created_ns=n, actions=(),
    )  # fmt: skip


PROMPT = "{kind: prompt, name: NAME, text: hello}"


def prepared(house: House, project: Project, path: str) -> tuple[str, Add | None]:  # noqa: C901, PLR0912  (a table)
    """The list's address, and how a row is added to it; None for one that is read only here."""
    fill = Filler(house, project)
    versions = fill.apply("{kind: prompt, name: one, text: 'hello N'}")
    match path:
        case "/artifacts" | "/prompts":
            return path, fill.apply(PROMPT)
        case "/datasets":
            return path, fill.apply("{kind: dataset, name: NAME, rows: [{question: x}], roles: {input: question}}")
        case "/indexes":
            return path, lambda n: _index(project, n)
        case "/policies":
            return path, fill.apply(
                "{kind: policy, name: NAME, protects: ['endpoint/NAME'], require: ['approvals.size() > 0']}"
            )
        case "/pipelines":
            return path, fill.apply("{kind: pipeline, name: NAME, steps: [{id: release, release: chain/tide}]}")
        case "/monitors":
            return path, fill.apply(
                "{kind: monitor, name: NAME, endpoint: endpoint/x, window: 1d, reference: dataset/questions}"
            )
        case "/routes":
            fill.apply("{kind: model, name: m, provider: test}")(0)
            return path, fill.apply("{kind: route, name: NAME, targets: [model/m]}")
        case "/environments":
            return path, fill.apply("{kind: environment, name: NAME}")
        case "/artifacts/{kind}/{name}/versions" | "/artifacts/{kind}/{name}/history" | "/artifacts/{kind}/{name}/moves":
            return path.replace("{kind}/{name}", "prompt/one"), versions
        case "/artifacts/{kind}/{name}/aliases":
            versions(0)
            return "/artifacts/prompt/one/aliases", lambda n: project(
                "PUT", f"/artifacts/prompt/one/aliases/{'mbzq'[n % 4]}{n}", json={"version": "v1"}
            )
        case "/datasets/{name}/samples":
            return "/datasets/questions/samples", fill.post(
                "/datasets/questions/samples", lambda n: {"rows": [{"question": f"q{n}"}]}
            )
        case "/evaluations":
            return path, fill.post(path, lambda _: {"app": "chain/tide", "data": "dataset/questions"})
        case "/evaluations/{evaluation}/samples":
            started = project.post("/evaluations", {"app": "chain/tide", "data": "dataset/questions"})
            project.finish(started["job"])
            return f"/evaluations/{started['evaluation']}/samples", None
        case "/releases":
            return path, lambda n: (fill.apply(PROMPT)(n), project.post(path, {"root": f"prompt/m{n}"}))[0]
        case "/endpoints":
            return path, lambda n: project.post(f"/endpoints/{'mbzq'[n % 4]}{n}:deploy", {"app": "chain/tide"})
        case "/rollouts":
            return path, lambda n: _rollout(project, n)
        case "/keys":
            return path, fill.post(path, lambda _: {"role": "viewer"})
        case "/jobs":
            return path, fill.store(lambda db, n: jobs.create_job(db, job(project, "index.build", n)))
        case "/tunes":
            return path, fill.store(lambda db, n: jobs.create_job(db, job(project, "tune", n)))
        case "/monitor-runs":
            return path, fill.store(lambda db, n: monitors.create_run(db, monitor_run(project, n)))
        case "/alerts":
            return path, fill.store(lambda db, n: alerts.create_alert(db, alert(project, n)))
        case "/pipeline-runs" | "/pipeline-runs/{run}/logs":
            project.apply(x="{kind: pipeline, name: ship, steps: [{id: release, release: chain/tide}]}")
            run = project.post("/pipelines/ship:run", {})["id"]
            if path != "/pipeline-runs":
                _ended(project, run)
                return f"/pipeline-runs/{run}/logs", None
            return path, fill.post("/pipelines/ship:run", lambda _: {})
        case "/traces":
            return path, fill.post("/runs", lambda n: {"app": "chain/tide", "inputs": {"question": str(n)}})
        case "/saved-queries":
            return path, lambda n: project("PUT", f"/saved-queries/{'mbzq'[n % 4]}{n}", json={"filter": "status = ok"})
        case "/sessions" | "/sessions/{session}" | "/trace-users":
            project.post("/endpoints/tide:deploy", {"app": "chain/tide"})
            return path.replace("{session}", "s"), lambda n: _ask(house, project, n, one=path.endswith("}"))
        case "/feedback":
            trace = project.post("/runs", {"app": "chain/tide", "inputs": {"question": "x"}})["trace"]
            return path, fill.post(
                path, lambda n: {"trace": trace, "kind": "event", "name": "seen", "value": n, "id": f"event-{n}"}
            )
        case "/approvals":
            project.post("/releases", {"root": "chain/tide"})
            key = project.post("/keys", {"role": "reviewer", "person": "ana"})["key"]
            return path, lambda n: _approve(house, key, project, n)
        case "/audit":
            return path, versions
        case "/lineage/openlineage":
            return path, lambda n: _evaluate(project)
        case "/access":
            return path, fill.post(path, lambda n: _grant(house, n))
        case "/promotions" | "/lineage":
            return path, None
        case _:
            raise AssertionError(f"say here how a row is added to the list {path}")


def _rollout(project: Project, n: int) -> None:
    project.post(f"/endpoints/e{n}:deploy", {"app": "chain/tide"})
    project.apply(x=f"kind: prompt\nname: ask\nmessages: [{{role: user, content: 'Answer {n}: {{{{question}}}}'}}]")
    project.apply(
        y="kind: chain\nname: tide\ninputs: {question: string}\noutput: '{{answer.text}}'\n"
        "steps: [{id: answer, prompt: prompt/ask, model: model/said, with: {question: '{{question}}'}}]"
    )
    project.post("/rollouts", {"endpoint": f"endpoint/e{n}", "app": "chain/tide", "share": 10})


def _approve(house: House, key: str, project: Project, n: int) -> None:
    body = {"release": "chain/tide", "reason": f"read {n}", "for": f"endpoint/e{n}"}
    with house.client(key) as ana:
        answer = ana.post(project.base + "/approvals", json=body)
    assert answer.status_code == 201, answer.text


def _grant(house: House, n: int) -> dict[str, str]:
    name = f"p{n}-{len(house.http.get('/api/v1/people', params={'limit': 1000}).json()['items'])}"
    made = house.http.post("/api/v1/people", json={"name": name})
    assert made.status_code == 201, made.text
    return {"person": name, "role": "viewer"}


def _index(project: Project, n: int) -> None:
    text = f"{{kind: index, name: {'mbzq'[n % 4]}{n}, source: docs, search: {{mode: fulltext}}}}"
    project.post("/apply", {"files": {"tidemill/x.yaml": text, "docs/a.md": "The moon."}})


def _evaluate(project: Project) -> None:
    project.finish(project.post("/evaluations", {"app": "chain/tide", "data": "dataset/questions"})["job"])


def _ask(house: House, project: Project, n: int, *, one: bool) -> None:
    """A request of a session and a user of its own, or of one session."""
    headers = {"x-tidemill-session": "s" if one else f"s{n}", "x-tidemill-user": f"u{n}", "x-tidemill-project": project.name}
    body = {"model": "endpoint/tide", "messages": [{"role": "user", "content": str(n)}]}
    headers["authorization"] = f"Bearer {house.token}"
    answer = httpx.post(f"{house.url}/v1/chat/completions", json=body, headers=headers, timeout=60, trust_env=False)
    assert answer.is_success


def _ended(project: Project, run: str) -> None:
    while project.get(f"/pipeline-runs/{run}")["status"] not in {"done", "failed"}:
        pass


def pages(house: House, address: str, query: dict[str, Any]) -> Iterator[list[Any]]:
    cursor: str | None = None
    while True:
        params = {**query, "limit": 1, **({"cursor": cursor} if cursor else {})}
        answer = house.http.get(address, params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= (2 if address.endswith("/openlineage") else 1)  # a run has a start and an end
        yield page["items"]
        cursor = page["next"]
        if cursor is None:
            return


def names(items: list[Any]) -> list[str]:
    """Rows by what does not change of them."""
    keys = ("id", "alias", "ref", "number", "name", "cursor", "sample")
    return [next((f"{key} {each[key]}" for key in keys if key in each), str(each)) for each in items]


@pytest.mark.parametrize(
    "path", [each for each in LISTS if not each.startswith("/api/v1") and each not in {"/models", "/lineage"}]
)
def test_pages_hold_while_rows_come_in(house: House, filled: Project, path: str) -> None:
    address, add = prepared(house, filled, path)
    if add is not None:
        for n in range(1, 4):
            add(n)
    whole = house.http.get(filled.base + address).json()["items"]
    before = names(whole)
    seen: list[str] = []
    for place, page in enumerate(pages(house, filled.base + address, {})):
        seen += names(page)
        if place < 2 and add is not None:
            add(place + 4)
        assert place < 300
    old = [each for each in seen if each in set(before)]
    assert sorted(old) == sorted(before), (before, seen)
    assert len(before) > 1 or add is None


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_of_another_list_is_refused(house: House, filled: Project, path: str) -> None:
    for n in range(2):
        filled.apply(**{f"p{n}": f"{{kind: prompt, name: p{n}, text: x}}"})
    other = filled.get("/prompts", params={"limit": 1})["next"]
    places = {"kind": "prompt", "name": "p1", "evaluation": "x", "run": "x", "session": "x", "project": filled.name}
    address = (path if path.startswith("/api/v1") else PREFIX + path).format(**places)
    for cursor in (other, "abc", other[:-2], "", other + "A", "%00", "9" * 400):
        if path == "/prompts" and cursor == other:
            continue
        answer = house.http.get(address, params={"cursor": cursor})
        assert answer.status_code == 400, (cursor, answer.text)
        assert "cursor" in answer.json()["detail"] or "cursor" in answer.json()["hint"], answer.text


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", ["0", "-1", "1001", "1e3", "", "9" * 30, "ten"])
def test_limits_have_bounds(house: House, project: Project, path: str, limit: str) -> None:
    places = {"kind": "prompt", "name": "p1", "evaluation": "x", "run": "x", "session": "x", "project": project.name}
    address = (path if path.startswith("/api/v1") else PREFIX + path).format(**places)
    assert house.http.get(address, params={"limit": limit}).status_code == 400


def test_a_cursor_holds_to_its_filters(filled: Project) -> None:
    cursor = filled.get("/artifacts", params={"limit": 1})["next"]
    assert filled.get("/artifacts", params={"limit": 7, "cursor": cursor})["items"]
    assert filled.raw("GET", "/artifacts", params={"kind": "prompt", "cursor": cursor}).status_code == 400
    assert filled.raw("GET", "/artifacts", params=[("cursor", cursor), ("cursor", cursor)]).status_code == 400


def test_every_list_takes_a_cursor() -> None:
    """A route that answers `items` and `next` goes on."""
    for path, item in document()["paths"].items():
        schema = (
            item.get("get", {})
            .get("responses", {})
            .get("200", {})
            .get("content", {})
            .get("application/json", {})
            .get("schema", {})
        )
        if {"items", "next"} <= schema.get("properties", {}).keys():
            assert path.removeprefix(PREFIX) in LISTS, path
