"""Who may approve what, and what an approval is worth."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from govern.conftest import APP
from places import execute

POLICY = """
kind: policy
name: production
protects: [endpoint/support, "dataset/*@golden"]
require: ['approvals.exists(a, a.role == "reviewer")']
"""


@pytest.fixture
def shop(project):
    project.dev = project.person("dev", "developer")
    project.rita = project.person("rita", "reviewer")
    project.olga = project.person("olga", "operator")
    project.dev.apply(APP, POLICY)
    project.release = project.dev.post("/releases", {"root": "chain/help"})["digest"]
    return project


def deploy(shop):
    return shop.olga.ask("POST", "/endpoints/support:deploy", {"app": "chain/help"})


def give(who, release, **more):
    return who.post("/approvals", {"release": release, "reason": "read it"} | more)


def test_an_approval_lets_it_through_and_is_shown(shop):
    given = give(shop.rita, "chain/help", expires="30d", **{"for": "endpoint/support"})
    assert (given["release"], given["who"], given["role"]) == (shop.release, "person/rita", "reviewer")
    assert (given["for"], given["state"], given["app"]) == ("endpoint/support", "valid", "chain/help@v1")
    assert deploy(shop).is_success
    assert shop.dev.get("/approvals", release=shop.release)["items"] == [given]
    assert shop.dev.get("/approvals", release="endpoint/support")["items"] == [given]
    assert shop.dev.get("/approvals", who="person/olga")["items"] == []
    line = shop.audit("approval.given")[0]
    assert (line["who"], line["target"], line["detail"]["reason"]) == ("person/rita", shop.release, "read it")


def test_nobody_approves_their_own_work(shop):
    dev_too = shop.person("dev", "reviewer")  # another key of the same person
    told = dev_too.refused("POST", "/approvals", {"release": shop.release, "reason": "I wrote it well"})
    assert "person/dev wrote chain/help@v1 or a part of it" in told["detail"]
    assert shop.dev.get("/approvals")["items"] == []


def test_whoever_wrote_a_part_counts_as_an_author(shop):
    max_ = shop.person("max", "admin")
    max_.apply(APP.replace('name: ask\ntext: "{{question}}"', 'name: ask\ntext: "Please: {{question}}"'))
    release = shop.dev.post("/releases", {"root": "chain/help"})["digest"]
    assert release != shop.release
    told = max_.refused("POST", "/approvals", {"release": release, "role": "reviewer", "reason": "mine"})
    assert "nobody approves their own work" in told["detail"]


def test_whoever_wrote_the_pipeline_that_made_it_counts_as_an_author(shop):
    ada = shop.person("ada", "admin")
    ada.apply("{kind: pipeline, name: improve, steps: [{id: a, release: {app: chain/help}}]}")
    made = "UPDATE versions SET created_by = 'pipeline/improve' WHERE project = :project AND digest = :digest"
    execute(shop.house.data, made, project=shop.name, digest=shop.release)  # as a run that nobody started leaves it
    told = ada.refused("POST", "/approvals", {"release": shop.release, "role": "reviewer", "reason": "mine"})
    assert "nobody approves their own work" in told["detail"]
    give(shop.rita, shop.release)


def test_whoever_deploys_is_not_one_of_the_four_eyes(shop):
    both = shop.person("ada", "admin")
    give(both, shop.release)
    told = both.refused("POST", "/endpoints/support:deploy", {"app": "chain/help"})
    assert "person/ada cannot both approve it and put it there" in told["detail"]
    assert deploy(shop).is_success


def test_an_approval_of_another_digest_is_worth_nothing(shop):
    give(shop.rita, shop.release)
    shop.dev.apply(APP.replace('name: ask\ntext: "{{question}}"', 'name: ask\ntext: "Please: {{question}}"'))
    answer = deploy(shop)
    assert answer.status_code == 403
    assert "nobody approved" in answer.json()["detail"]
    assert shop.olga.ask("POST", "/endpoints/support:deploy", {"app": shop.release}).is_success


def test_an_approval_ends(shop):
    give(shop.rita, shop.release, expires="1ms")
    answer = deploy(shop)
    assert "of person/rita as reviewer does not count: it has expired" in answer.json()["detail"]
    given = give(shop.rita, shop.release)  # the old one holds no more, so this is no second one
    shop.rita.delete(f"/approvals/{given['id'][:13]}")
    assert "it was revoked by person/rita" in deploy(shop).json()["detail"]
    assert [each["state"] for each in shop.rita.get("/approvals")["items"]] == ["revoked", "expired"]
    assert shop.audit("approval.revoked")[0]["detail"]["approval"] == given["id"]


def test_an_approval_for_elsewhere_does_not_count(shop):
    give(shop.rita, shop.release, **{"for": "endpoint/sandbox"})
    assert "it is for endpoint/sandbox" in deploy(shop).json()["detail"]
    give(shop.rita, shop.release, **{"for": "endpoint/support"})
    assert deploy(shop).is_success


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"release": "sha256:" + "0" * 64}, 404, "has the digest"),
        ({"release": "chain/nothing"}, 404, "there is no chain/nothing"),
        ({"reason": "  "}, 400, "needs a reason"),
        ({"reason": "x" * 2001}, 400, "2,001 characters"),
        ({"reason": "fine\x1b[2J"}, 400, "U+001B"),
        ({"reason": "fine\u202e"}, 400, "U+202E"),
        ({"reason": "fine\x00"}, 400, "U+0000"),
        ({"role": "operator"}, 403, "acts as reviewer, and cannot approve as operator"),
        ({"role": "king"}, 400, "'king' is not a role"),
        ({"expires": "soon"}, 400, "not a length of time"),
        ({"expires": "0s"}, 400, "expired already"),
        ({"for": "chain/help"}, 400, "nowhere that a release goes"),
        ({"for": "chain/help@latest"}, 400, "latest moves"),
        ({"for": "endpoint/x@y"}, 400, "nowhere that a release goes"),
        ({"by": "boss"}, 400, "by"),
    ],
)
def test_a_bad_approval_is_refused_and_nothing_is_kept(shop, body, status, said):
    told = shop.rita.refused("POST", "/approvals", {"release": shop.release, "reason": "read it"} | body, status=status)
    assert said in told["detail"] + str(told.get("where"))
    assert shop.rita.get("/approvals")["items"] == []


def test_a_reason_with_a_lone_surrogate_is_refused(shop):
    raw = f'{{"release": "{shop.release}", "reason": "fine\\ud800"}}'
    answer = shop.rita.send_raw("POST", "/approvals", raw.encode())
    assert answer.status_code == 400, answer.text
    assert shop.rita.get("/approvals")["items"] == []


def test_a_reason_of_any_language_is_kept_as_it_is(shop):
    reason = "Geprüft — 問題なし\n<script>alert(1)</script> '; DROP TABLE approvals; --"
    assert give(shop.rita, shop.release, reason=reason)["reason"] == reason
    assert shop.audit("approval.given")[0]["detail"]["reason"] == reason
    assert shop.admin.get("/audit/verify")["ok"]


def test_a_key_that_names_nobody_cannot_approve(shop):
    for who in (shop.admin, shop.person(None, "reviewer")):
        told = who.refused("POST", "/approvals", {"release": shop.release, "reason": "ok"})
        assert "an approval is signed by a person" in told["detail"]


def test_an_app_without_a_release_has_nothing_to_approve(project):
    project.person("dev", "developer").apply(APP)
    told = project.person("rita", "reviewer").refused(
        "POST", "/approvals", {"release": "chain/help", "reason": "ok"}, status=404
    )
    assert "has no release yet" in told["detail"]
    assert "tidemill release chain/help@v1" in told["hint"]


def test_of_two_approvals_at_once_by_two_people_both_are_kept_and_by_one_person_one_is(shop):
    rudi = shop.person("rudi", "reviewer")
    body = {"release": shop.release, "reason": "ok"}
    with ThreadPoolExecutor(8) as pool:
        asked = [shop.rita, rudi] * 4
        answers = list(pool.map(lambda who: who.ask("POST", "/approvals", body), asked))
    assert sorted(each.status_code for each in answers) == [201] * 2 + [409] * 6
    assert {each["who"] for each in shop.dev.get("/approvals")["items"]} == {"person/rita", "person/rudi"}
    told = next(each for each in answers if each.status_code == 409).json()
    assert "tidemill approvals revoke" in told["hint"]
    assert shop.admin.get("/audit/verify")["ok"]


def test_two_people_can_be_asked_for(shop):
    shop.admin.apply("{kind: policy, name: two, protects: [endpoint/support], require: ['size(approvals) >= 2']}")
    rudi = shop.person("rudi", "reviewer")
    give(shop.rita, shop.release)
    assert "approved by person/rita as reviewer" in deploy(shop).json()["detail"]
    give(rudi, shop.release)
    assert deploy(shop).is_success


def test_an_alias_of_what_is_no_application_is_approved_by_its_own_digest(shop):
    golden = "/artifacts/dataset/questions/aliases/golden"
    told = shop.olga.refused("PUT", golden, {"version": "v1"})
    assert "tidemill approve dataset/questions@v1 --role reviewer --for dataset/questions@golden" in told["hint"]
    give(shop.rita, "dataset/questions@v1", **{"for": "dataset/questions@golden"})
    assert shop.olga.put(golden, {"version": "v1"})["alias"] == "golden"
    assert shop.audit("alias")[0]["target"] == "dataset/questions@golden"


def test_approvals_of_another_project_are_not_seen(shop, house):
    given = give(shop.rita, shop.release)
    other = house.project()
    other.admin.refused("GET", f"/approvals/{given['id']}", status=404)
    other.admin.refused("DELETE", f"/approvals/{given['id']}", status=404)
    shop.rita.refused("GET", "/approvals/0000", status=404)
