"""Getting more than one was given: by keys, grants and files that somebody makes with what they have."""

from __future__ import annotations

import pytest

from access.house import House, Visitor

BELOW = "/api/v1/projects/shop"


@pytest.fixture(scope="module")
def filled(running: House) -> House:
    running.fill("shop")
    return running


@pytest.fixture(scope="module")
def eve(filled: House) -> Visitor:
    """An admin of every project who may not deploy to production."""
    filled.admin("POST", "/api/v1/people", {"name": "eve"})
    filled.admin("POST", "/api/v1/access", {"person": "eve", "role": "admin"})
    filled.admin("POST", f"{BELOW}/access", {"person": "eve", "effect": "deny", "may": ["deploy"], "on": "endpoint/prod-*"})
    return filled.key("shop", role="admin", person="eve")


def denials(house):
    return [each for each in house.admin("GET", f"{BELOW}/access?person=eve")["items"] if each["effect"] == "deny"]


def test_nobody_takes_back_what_is_denied_to_themselves(filled, eve):
    (rule,) = denials(filled)
    for visitor in (eve, filled.browser("eve")):
        assert "is about you" in visitor("DELETE", f"{BELOW}/access/{rule['id']}", status=403)["detail"]
    everywhere = filled.admin("POST", "/api/v1/access", {"person": "eve", "effect": "deny", "may": ["attest"]})
    filled.browser("eve")("DELETE", f"/api/v1/access/{everywhere['id']}", status=403)
    filled.admin("DELETE", f"/api/v1/access/{everywhere['id']}")
    assert denials(filled) == [rule]


def test_what_is_denied_somewhere_is_handed_on_to_nobody(filled, eve):
    """A key that names nobody has no denials: with one of those she would deploy to production."""
    filled.admin("POST", "/api/v1/people", {"name": "pal"})
    for body in ({"role": "admin"}, {"role": "admin", "may": ["deploy"]}, {"role": "developer", "person": "pal"}):
        eve("POST", f"{BELOW}/keys", body, status=403)
    eve("POST", f"{BELOW}/access", {"person": "pal", "role": "developer"}, status=403)
    strong = filled.admin("POST", f"{BELOW}/keys", {"role": "developer"})
    eve("POST", f"{BELOW}/keys/{strong['id']}:rotate", {}, status=403)
    eve("POST", f"{BELOW}/keys", {"role": "admin", "may": ["read", "develop"]})
    own = Visitor(filled, eve("POST", f"{BELOW}/keys", {"role": "admin", "person": "eve"})["key"])
    own("POST", f"{BELOW}/endpoints/prod-1:deploy", {"app": "chain/help"}, status=403)
    own("POST", f"{BELOW}/endpoints/staging:deploy", {"app": "chain/help"})


ENDPOINT = "{kind: endpoint, name: prod-1, release: chain/help@production}"
BY_ITSELF = """
kind: pipeline
name: nightly
on: {schedule: "* * * * *"}
steps: [{id: out, deploy: {app: chain/help, endpoint: endpoint/prod-1}}]
"""


@pytest.mark.parametrize("document", [ENDPOINT, BY_ITSELF])
def test_a_file_does_not_change_what_is_served_without_the_right(filled, document):
    """What an endpoint follows, and a pipeline that acts for its writer whenever it starts by itself."""
    files = {"files": {"tidemill/side.yaml": document}}
    writer = filled.key("shop", role="developer", may=["read", "develop"])
    said = writer("POST", f"{BELOW}/apply", files, status=403)
    assert "is for read, develop only" in said["detail"]
    filled.key("shop", role="developer", may=["read", "develop", "deploy"])("POST", f"{BELOW}/apply", files)


def test_a_denial_holds_for_the_document_of_an_endpoint(filled, eve):
    eve("POST", f"{BELOW}/apply", {"files": {"tidemill/e.yaml": ENDPOINT.replace("prod-1", "prod-2")}}, status=403)
    eve("POST", f"{BELOW}/apply", {"files": {"tidemill/e.yaml": ENDPOINT.replace("prod-1", "stage-2")}})
