"""Entity tags: nothing is sent twice, and nothing is overwritten that the caller did not see."""

from __future__ import annotations

import pytest

from api.house import FILES, House, Project
from tidemill.api.control import ROUTES
from tidemill.api.etags import Precondition, tag
from tidemill.core.errors import PreconditionFailed

OTHER = "kind: prompt\nname: ask\nmessages: [{role: user, content: 'Answer: {{question}}'}]"


def etag(project: Project, path: str) -> str:
    return project.raw("GET", path).headers["etag"]


@pytest.mark.parametrize(
    "path",
    [
        "/artifacts/prompt/ask", "/artifacts/prompt/ask/versions/v1", "/artifacts/prompt/ask/aliases/latest",
        "/artifacts", "/artifacts/prompt/ask/versions", "/jobs", "/keys", "/audit", "/policies",
    ],
)  # fmt: skip
def test_what_the_caller_has_is_not_sent_again(filled: Project, path: str) -> None:
    first = filled.raw("GET", path)
    known = first.headers["etag"]
    again = filled.raw("GET", path, headers={"if-none-match": f'"other", {known}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", known)
    assert filled.raw("GET", path, headers={"if-none-match": "*"}).status_code == 304
    assert filled.raw("GET", path, headers={"if-none-match": '"other"'}).status_code == 200
    assert "private" in first.headers["cache-control"]


def test_a_version_is_tagged_by_its_digest_and_stays(filled: Project) -> None:
    version = filled.raw("GET", "/artifacts/prompt/ask/versions/v1")
    assert version.headers["etag"].startswith('"' + version.json()["digest"])
    assert version.headers["cache-control"].startswith("private, max-age=")
    filled.apply(a=OTHER)
    assert etag(filled, "/artifacts/prompt/ask/versions/v1") == version.headers["etag"]
    by_alias = filled.raw("GET", "/artifacts/prompt/ask/versions/latest")
    assert by_alias.headers["etag"] != version.headers["etag"]
    assert "max-age" not in by_alias.headers["cache-control"]
    release = filled.post("/releases", {"root": "chain/tide"})["digest"]
    assert filled.raw("GET", f"/releases/{release}").headers["etag"].startswith(f'"{release}')


def test_a_description_outside_of_the_digest_changes_the_tag(project: Project) -> None:
    project.apply(a="kind: prompt\nname: ask\ntext: hello")
    before = etag(project, "/artifacts/prompt/ask/versions/v1")
    project.apply(a="kind: prompt\nname: ask\ndescription: greets\ntext: hello")
    assert etag(project, "/artifacts/prompt/ask/versions/v1") != before


def test_an_alias_is_moved_by_who_saw_it(filled: Project) -> None:
    path = "/artifacts/prompt/ask/aliases/good"
    made = filled.raw("PUT", path, json={"version": "v1"}, headers={"if-none-match": "*"})
    assert made.status_code == 200, made.text
    seen = etag(filled, path)
    assert made.headers["etag"] == seen
    filled.apply(a=OTHER)
    moved = filled.raw("PUT", path, json={"version": "v2"}, headers={"if-match": seen})
    assert moved.status_code == 200
    late = filled.raw("PUT", path, json={"version": "v1"}, headers={"if-match": seen})
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
    assert filled.get(path)["version"] == "v2"
    assert filled.raw("PUT", path, json={"version": "v1"}, headers={"if-none-match": "*"}).status_code == 412
    packed = moved.headers["etag"][:-1] + '-gzip"'
    assert filled.raw("PUT", path, json={"version": "v1"}, headers={"if-match": packed}).status_code == 200
    assert filled.raw("PUT", path, json={"version": "v2"}, headers={"if-match": "*"}).status_code == 200
    weak = "W/" + etag(filled, path)
    assert filled.raw("PUT", path, json={"version": "v1"}, headers={"if-match": weak}).status_code == 412


def test_an_endpoint_is_deployed_and_rolled_back_by_who_saw_it(filled: Project) -> None:
    path = "/endpoints/tide"
    absent = filled.raw("POST", f"{path}:deploy", json={"app": "chain/tide"}, headers={"if-match": '"any"'})
    assert absent.status_code == 412
    first = filled.raw("POST", f"{path}:deploy", json={"app": "chain/tide"}).headers["etag"]
    assert etag(filled, path) == first
    filled.apply(a=OTHER)
    filled.apply(
        b="kind: chain\nname: tide\ninputs: {question: string}\n"
        "steps: [{id: again, prompt: prompt/ask, model: model/said, with: {question: x}}]"
    )
    second = filled.raw("PUT", path, json={"app": "chain/tide"}, headers={"if-match": first})
    assert second.status_code == 200, second.text
    assert second.headers["etag"] != first
    for method, address, body in (("PUT", path, {"app": "chain/tide"}), ("POST", f"{path}:rollback", None)):
        late = filled.raw(method, address, json=body, headers={"if-match": first})
        assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
    back = filled.raw("POST", f"{path}:rollback", headers={"if-match": second.headers["etag"]})
    assert back.status_code == 200, back.text


def test_a_condition_that_no_route_keeps_is_refused(filled: Project) -> None:
    answer = filled.raw("POST", "/releases", json={"root": "chain/tide"}, headers={"if-match": '"x"'})
    assert answer.status_code == 400
    assert "If-Match" in answer.json()["detail"]


@pytest.mark.parametrize(("given", "holds"), [(['"a"'], True), (["*"], True), (['"b"'], False), (["W/x"], False)])
def test_conditions(given: list[str], holds: bool) -> None:
    if holds:
        Precondition(given).check('"a"')
    else:
        with pytest.raises(PreconditionFailed):
            Precondition(given).check('"a"')
    with pytest.raises(PreconditionFailed):
        Precondition(given).check(None)
    Precondition().check(None)


def test_a_tag_tells_states_apart() -> None:
    assert tag("a", 1) == tag("a", 1) != tag("a", 2) != tag("a1")


def test_nothing_is_deleted_or_relabelled_that_changed_meanwhile(project: Project) -> None:
    project.apply(a="{kind: prompt, name: gone, text: one}")
    artifact, version = "/artifacts/prompt/gone", "/artifacts/prompt/gone/versions/v1"
    seen = {path: etag(project, path) for path in (artifact, version)}
    changed = project.raw("PATCH", artifact, json={"tags": {"team": "tide"}}, headers={"if-match": seen[artifact]})
    assert changed.status_code == 200, changed.text
    assert project.raw("PATCH", artifact, json={"tags": {}}, headers={"if-match": seen[artifact]}).status_code == 412
    for path in (artifact, version):
        assert project.raw("DELETE", path, headers={"if-match": seen[path]}).status_code == 412
    project("PUT", f"{artifact}/aliases/good", json={"version": "v1"})
    alias = etag(project, f"{artifact}/aliases/good")
    assert project.raw("DELETE", f"{artifact}/aliases/good", headers={"if-match": '"other"'}).status_code == 412
    assert project.raw("DELETE", f"{artifact}/aliases/good", headers={"if-match": alias}).status_code == 200
    assert project.raw("DELETE", artifact, headers={"if-match": etag(project, artifact)}).status_code == 200


def test_a_key_is_revoked_and_rotated_by_who_saw_it(project: Project) -> None:
    path = f"/keys/{project.post('/keys', {'role': 'viewer', 'expires': '30d'})['id']}"
    seen = etag(project, path)
    project.post(f"{path}:rotate", {"overlap": "1h"}, headers={"if-match": seen})
    for method, at in (("POST", f"{path}:rotate"), ("DELETE", path)):
        assert project.raw(method, at, headers={"if-match": seen}).status_code == 412
    assert project.get(path)["state"] == "valid"
    assert project.raw("DELETE", path, headers={"if-match": etag(project, path)}).status_code == 204
    assert project.raw("DELETE", path, headers={"if-match": etag(project, path)}).status_code == 204
    assert project.raw("DELETE", "/keys/none", headers={"if-match": '"x"'}).status_code == 412


def test_a_rollout_is_ended_by_who_saw_it(filled: Project) -> None:
    filled.post("/endpoints/tide:deploy", {"app": "chain/tide"})
    filled.apply(a=FILES["a.yaml"].replace('reply: "the moon"', "reply: the sun"))
    rollout = filled.post("/rollouts", {"endpoint": "tide", "app": "chain/tide", "share": 10})["id"]
    seen, whole = etag(filled, f"/rollouts/{rollout}"), etag(filled, "/rollouts/tide")
    assert seen == whole
    assert filled.raw("POST", f"/rollouts/{rollout}:abort", headers={"if-match": '"other"'}).status_code == 412
    assert filled.raw("POST", f"/rollouts/{rollout}:abort", headers={"if-match": seen}).status_code == 200
    late = filled.raw("POST", f"/rollouts/{rollout}:promote", headers={"if-match": seen})
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")


def test_a_project_is_described_by_who_saw_it_however_much_is_put_into_it(project: Project) -> None:
    project.apply(a="kind: prompt\nname: ask\ntext: hello")
    seen = etag(project, "")
    project.apply(b="kind: prompt\nname: more\ntext: hello")
    assert project.raw("GET", "", headers={"if-none-match": seen}).status_code == 200, "its counts are others now"
    assert project.raw("PATCH", "", json={"description": "a"}, headers={"if-match": seen}).status_code == 200
    assert project.raw("PATCH", "", json={"description": "b"}, headers={"if-match": seen}).status_code == 412
    assert project.get("")["description"] == "a"


def test_a_person_is_changed_by_who_saw_them(house: House) -> None:
    path = "/api/v1/people/mia"
    house.http.post("/api/v1/people", json={"name": "mia"}).raise_for_status()
    seen = {"if-match": house.http.get(path).headers["etag"]}
    assert house.http.patch(path, json={"email": "mia@example.org"}, headers=seen).status_code == 200
    assert house.http.patch(path, json={"disabled": True}, headers=seen).status_code == 412
    assert house.http.get(path).json()["disabled"] is False


def test_what_has_a_strong_tag_and_can_be_changed_takes_the_condition() -> None:
    """A weak tag (`W/`) is of the bytes of an answer, for `If-None-Match` alone."""
    single = {each.below for each in ROUTES.known if "GET" in each.methods and each.takes_condition}
    assert single == set()
    changed = {each.below for each in ROUTES.known if each.takes_condition}
    assert changed >= {
        "", "/keys/{key_id}", "/keys/{key_id}:rotate", "/rollouts/{rollout}:promote", "/rollouts/{rollout}:abort",
        "/approvals/{approval}", "/api/v1/people/{name}", "/artifacts/{kind}/{name}", "/endpoints/{name}",
        "/artifacts/{kind}/{name}/aliases/{alias}", "/artifacts/{kind}/{name}/versions/{version}",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["", "/artifacts", "/artifacts/prompt/ask", "/keys", "/export", "/artifacts/prompt/none"])
def test_head_answers_as_get_without_a_body(filled: Project, path: str) -> None:
    whole, head = filled.raw("GET", path), filled.raw("HEAD", path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    named = ["content-type", "etag", "cache-control", "content-encoding", *(["content-length"] if path != "/export" else [])]
    assert {each: head.headers.get(each) for each in named} == {each: whole.headers.get(each) for each in named}
    if "etag" in whole.headers:
        assert filled.raw("HEAD", path, headers={"if-none-match": whole.headers["etag"]}).status_code == 304


def test_head_of_a_stream_ends_and_that_of_what_has_no_get_is_refused(filled: Project) -> None:
    job = filled.post("/evaluations", {"app": "chain/tide", "data": "dataset/questions"})["job"]
    head = filled.raw("HEAD", f"/jobs/{job}/events")
    assert (head.status_code, head.content) == (200, b"")
    filled.finish(job)
    refused = filled.raw("HEAD", "/runs")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert filled.raw("PUT", "/keys", json={}).headers["allow"] == "GET, POST, HEAD"
    assert filled.house.http.head("/").status_code == 200
    with filled.house.client(None) as nobody:
        assert nobody.head(f"{filled.base}/keys").status_code == 401
