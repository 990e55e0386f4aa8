"""The form of requests and answers: ids, problems and their pages, limits, compression."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import httpx
import pytest
from backports import zstd

from api.house import House, Project, open_house
from tidemill.api.error_pages import error_page, errors_markdown
from tidemill.core.errors import BY_CODE, HTTP_STATUS
from tidemill.core.limits import Limits

ROOT = Path(__file__).parents[2]


def test_a_problem_has_a_page_on_the_same_server(house: House, project: Project) -> None:
    answer = project.raw("GET", "/artifacts/chain/none", headers={"x-request-id": "my-id.1"})
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["code"], problem["instance"]) == (404, "not_found", "my-id.1")
    assert answer.headers["x-request-id"] == "my-id.1"
    with house.client(None) as stranger:
        page = stranger.get(problem["type"])
    assert page.status_code == 200
    assert "What to do" in page.text


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "é".encode().decode("latin-1"), '<script>"'])
def test_an_unsafe_request_id_is_replaced(project: Project, given: str) -> None:
    answer = project.raw("GET", "/jobs", headers={"x-request-id": given.encode("latin-1")})
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_code_has_a_page_and_a_place_in_the_documentation(code: str) -> None:
    page = error_page(f"/docs/errors/{code}")
    assert page is not None
    assert f"HTTP {HTTP_STATUS[code]}" in page
    assert f"## `{code}`" in errors_markdown()


def test_the_documentation_is_what_the_server_says() -> None:
    assert (ROOT / "docs/reference/errors.md").read_text("utf-8") == errors_markdown()


def test_a_page_for_no_code_is_not_found(house: House) -> None:
    assert house.http.get("/docs/errors/nothing").status_code == 404
    assert "precondition_failed" in house.http.get("/docs/errors/").text


def test_without_a_token_the_answer_says_how_to_authenticate(house: House) -> None:
    with house.client(None) as stranger:
        answer = stranger.get("/api/v1/projects/default/jobs")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["code"] == "unauthenticated"


def test_another_method_is_told_those_that_there_are(project: Project) -> None:
    for method in ("PATCH", "TRACE", "OPTIONS", "PUT"):
        answer = project.raw(method, "/keys")
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
        assert {"GET", "POST"} <= set(answer.headers["allow"].split(", "))


def test_an_address_or_headers_too_long_are_refused(project: Project) -> None:
    answer = project.raw("GET", "/artifacts", params={"q": "x" * 20_000})
    assert (answer.status_code, answer.json()["code"]) == (414, "uri_too_long")
    answer = project.raw("GET", "/jobs", headers={"x-long": "y" * 40_000})
    assert (answer.status_code, answer.json()["code"]) == (431, "headers_too_large")
    answer = project.raw("GET", "/jobs", headers={f"x-{number}": "" for number in range(120)})
    assert answer.status_code == 431


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_bodies_and_answers_are_packed_both_ways(project: Project, encoding: str) -> None:
    packed = {"gzip": gzip.compress, "zstd": zstd.compress}[encoding]
    body = packed(json.dumps({"files": {"tidemill/p.yaml": "kind: prompt\nname: long\ntext: " + "tide " * 1000}}).encode())
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    assert project.raw("POST", "/apply", content=body, headers=headers).status_code == 200
    with project.house.client(project.house.token) as bare:
        bare.event_hooks = {}  # the bytes as they come
        with bare.stream("GET", f"{project.base}/artifacts/prompt/long", headers={"accept-encoding": encoding}) as got:
            raw = b"".join(got.iter_raw())
    assert (got.headers["content-encoding"], got.headers["vary"]) == (encoding, "accept-encoding")
    unpacked = {"gzip": gzip.decompress, "zstd": zstd.decompress}[encoding](raw)
    assert len(raw) < len(unpacked) / 4
    assert json.loads(unpacked)["name"] == "long"
    assert got.headers["etag"].removeprefix("W/").startswith('"')


def test_small_answers_and_unwanted_packing_are_left(project: Project) -> None:
    assert "content-encoding" not in project.raw("GET", "/jobs", headers={"accept-encoding": "gzip, zstd"}).headers
    project.apply(p="kind: prompt\nname: long\ntext: " + "tide " * 1000)
    for accepted in ("identity", "gzip;q=0, zstd;q=0.0", "br", "gzip;q=x"):
        answer = project.raw("GET", "/artifacts/prompt/long", headers={"accept-encoding": accepted})
        assert "content-encoding" not in answer.headers, accepted


def test_a_bomb_is_stopped_before_it_is_unpacked(tmp_path: Path) -> None:
    with open_house(tmp_path, Limits(body_bytes=1_000_000)) as house:
        project = house.project()
        for encoding, packed in {"gzip": gzip.compress(b" " * 50_000_000), "zstd": zstd.compress(b" " * 50_000_000)}.items():
            headers = {"content-encoding": encoding, "content-type": "application/json"}
            answer = project.raw("POST", "/plan", content=packed, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large"), encoding
        answer = project.raw("POST", "/plan", content=b" " * 1_000_001, headers={"content-type": "application/json"})
        assert answer.status_code == 413
        chunked = project.raw("POST", "/plan", content=iter([b" " * 600_000] * 3), headers={"content-type": "application/json"})
        assert chunked.status_code == 413


@pytest.mark.parametrize(("encoding", "body"), [("gzip", b"no"), ("zstd", b"no"), ("gzip", gzip.compress(b"{}", mtime=0)[:-9])])
def test_what_is_not_packed_as_it_says_is_refused(project: Project, encoding: str, body: bytes) -> None:
    answer = project.raw(
        "POST", "/plan", content=body, headers={"content-encoding": encoding, "content-type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert encoding in answer.json()["detail"]


def test_other_types_and_packings_are_unsupported(project: Project) -> None:
    for headers in ({"content-type": "text/plain"}, {}, {"content-type": "application/json", "content-encoding": "br"}):
        answer = project.raw("POST", "/releases", content=b'{"root": "chain/x"}', headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media"), headers
    assert "zstd" in answer.headers["accept-encoding"]


def test_deep_and_wide_bodies_are_refused(project: Project) -> None:
    deep = b'{"files": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    wide = json.dumps({"files": {str(number): "" for number in range(60_000)}}).encode()
    keys = b'{"a":{' + b",".join(b'"%d":{}' % number for number in range(1_000_001)) + b"}}"
    for body in (deep, keys):
        answer = project.raw("POST", "/plan", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large"), answer.text[:300]
    answer = project.raw("POST", "/plan", content=wide, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    brackets = json.dumps({"files": {"tidemill/a.yaml": "kind: prompt\nname: a\ntext: '" + "[{" * 5000 + "'"}})
    assert project.raw("POST", "/plan", content=brackets, headers={"content-type": "application/json"}).status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    with open_house(tmp_path, Limits(body_seconds=1)) as house, house.socket() as line:
        head = f"POST /api/v1/projects/p/plan HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {house.token}\r\n"
        line.sendall(f"{head}content-type: application/json\r\ncontent-length: 100\r\n\r\n{{".encode())
        answer = line.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"body_timeout" in answer or b"body_timeout" in line.recv(65536)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b"null", b'"x"', b'{"root": 1}', b'{"root": "\\ud800"}', b"\xff\xfe", b'{"root": NaN}']
)
def test_bodies_that_are_not_what_is_asked_for(project: Project, body: bytes) -> None:
    answer = project.raw("POST", "/releases", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 404}, answer.text
    assert answer.json()["detail"]


def test_blobs_are_larger_than_a_body_may_be(tmp_path: Path) -> None:
    import hashlib

    with open_house(tmp_path, Limits(body_bytes=1000)) as house:
        project = house.project()
        content = b"x" * 3_000_000
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        assert project.raw("PUT", f"/blobs/{digest}", content=content).status_code == 204
        other = b"y" * 3_000_000
        digest = "sha256:" + hashlib.sha256(other).hexdigest()
        packed = project.raw("PUT", f"/blobs/{digest}", content=zstd.compress(other), headers={"content-encoding": "zstd"})
        assert packed.status_code == 204, packed.text
        assert project.post("/blobs:missing", {"digests": [digest]}) == {"missing": []}


def test_an_unreadable_project_is_one_clear_answer(house: House) -> None:
    for name in ("%00", "%ff", "..", "A", "x" * 300, "%ed%a0%80"):
        answer = house.http.get(f"/api/v1/projects/{name}/jobs")
        assert answer.status_code in {400, 404}, (name, answer.text)
        assert isinstance(answer, httpx.Response)
        assert answer.json()["code"] in {"invalid", "not_found"}


def test_the_list_of_errors_is_found_with_and_without_its_slash(house: House) -> None:
    pages = {house.http.get(path).text for path in ("/docs/errors", "/docs/errors/")}
    assert len(pages) == 1
    assert "precondition_failed" in pages.pop()
    assert house.http.get("/docs/errors/nope").status_code == 404
