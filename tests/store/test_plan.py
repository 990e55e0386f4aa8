from __future__ import annotations

import threading

import pytest

from store.project import HANDBOOK, apply, files_of, plan
from tidemill.core.errors import Invalid
from tidemill.store.config import get_config, list_configs
from tidemill.store.endpoints import deploy
from tidemill.store.registry import get_version, list_artifacts, list_versions
from tidemill.store.release import make_release
from tidemill.testing.policies import LetAll


def test_a_plan_writes_nothing_and_an_apply_does_what_it_said(database, blobs):
    planned = plan(database, blobs, HANDBOOK)
    assert {each.ref: (each.action, each.after) for each in planned.changes} == {
        "prompt/answer": ("create", "v1"),
        "model/local": ("create", "v1"),
        "chain/handbook": ("create", "v1"),
    }
    assert database.read_sync(lambda db: list_artifacts(db, "p")).items == ()
    applied = apply(database, blobs, HANDBOOK)
    assert {each.ref: each.digest for each in planned.changes} == {each.bare: each.digest for each in applied.versions}
    chain = database.read_sync(lambda db: get_version(db, "p", "chain/handbook"))
    assert chain.refs.keys() == {"prompt/answer", "model/local"}


def test_the_same_files_again_change_nothing(database, blobs):
    apply(database, blobs, HANDBOOK)
    again = apply(database, blobs, HANDBOOK)
    assert again.plan.changes == ()
    assert again.plan.as_json() == {"changes": [], "notes": [], "affects": [], "digest": again.plan.digest}
    assert [each.number for each in again.versions] == [1, 1, 1]


def test_a_changed_prompt_changes_what_needs_it_and_says_which_endpoint_serves_the_old_one(database, blobs):
    apply(database, blobs, HANDBOOK)
    release = database.write_sync(lambda db: make_release(db, "p", "chain/handbook", now_ns=1))
    database.write_sync(
        lambda db: deploy(
            db, "p", "handbook", release=release.digest, root="chain/handbook@v1", policies=LetAll(), by="ann", now_ns=1
        )
    )
    planned = plan(database, blobs, HANDBOOK.replace("context only", "context"))
    by_ref = {each.ref: each for each in planned.changes}
    assert by_ref.keys() == {"prompt/answer", "chain/handbook"}
    assert (by_ref["prompt/answer"].before, by_ref["prompt/answer"].after) == ("v1", "v2")
    assert by_ref["prompt/answer"].details == ("Answer from the context only. -> Answer from the context.",)
    assert by_ref["chain/handbook"].details == ("prompt/answer v1 -> v2",)
    assert planned.affects == (f"release handbook (endpoint/handbook serves {release.digest[:11]}… with the old prompt)",)


def test_older_content_moves_latest_back_under_its_old_number(database, blobs):
    apply(database, blobs, HANDBOOK)
    apply(database, blobs, HANDBOOK.replace("context only", "context"), now_ns=2)
    back = apply(database, blobs, HANDBOOK, now_ns=3)
    assert {each.ref: (each.before, each.after) for each in back.plan.changes} == {
        "prompt/answer": ("v2", "v1"),
        "chain/handbook": ("v2", "v1"),
    }
    assert database.read_sync(lambda db: get_version(db, "p", "prompt/answer")).number == 1
    assert len(database.read_sync(lambda db: list_versions(db, "p", "prompt/answer")).items) == 2


def test_a_description_is_outside_the_digest_and_still_updated(database, blobs):
    apply(database, blobs, HANDBOOK)
    described = HANDBOOK.replace("name: answer\n", "name: answer\ndescription: How to answer\nowner: ann\n")
    applied = apply(database, blobs, described)
    (change,) = applied.plan.changes
    assert (change.ref, change.before, change.after) == ("prompt/answer", "v1", "v1")
    assert change.details == ("description changed", "owner changed")
    assert database.read_sync(lambda db: get_version(db, "p", "prompt/answer")).description == "How to answer"


def test_an_unknown_reference_names_its_line_and_the_nearest_name(database, blobs):
    with pytest.raises(Invalid) as caught:
        plan(database, blobs, HANDBOOK.replace("uses: [prompt/answer", "uses: [prompt/anwser"))
    assert caught.value.where == "tidemill/handbook.yaml:3"
    assert caught.value.message == "chain/handbook: uses.0 refers to prompt/anwser, which does not exist"
    assert caught.value.hint == "Did you mean prompt/answer?"


def test_an_unknown_version_says_which_there_are(database, blobs):
    apply(database, blobs, HANDBOOK)
    with pytest.raises(Invalid, match="prompt/answer has no version v7") as caught:
        plan(database, blobs, HANDBOOK.replace("prompt/answer,", "prompt/answer@v7,"))
    assert caught.value.hint == "Versions go from v1 to v1."


def test_every_problem_of_every_document_is_told_at_once(database, blobs):
    text = (
        "kind: prompt\nname: a\ntxt: hi\n---\nkind: chian\nname: b\n---\nkind: chain\nname: c\nuses: [prompt/a, prompt/gone]\n"
    )
    with pytest.raises(Invalid) as caught:
        apply(database, blobs, text)
    assert [(each.where.rpartition(":")[2], each.message) for each in caught.value.problems] == [
        ("3", "prompt/a: unknown key 'txt'"),
        ("5", "'chian' is not a known kind"),
        ("10", "chain/c: uses.1 refers to prompt/gone, which does not exist"),
    ]
    assert caught.value.problems[1].hint == "Did you mean chain?"
    assert database.read_sync(lambda db: list_artifacts(db, "p")).items == ()


def test_cycles_are_told_with_their_way_and_place(database, blobs):
    first = "kind: chain\nname: a\nuses: [chain/b]\n---\nkind: chain\nname: b\nuses:\n  - chain/a\n"
    text = f"{first}---\nkind: chain\nname: c\nuses: [chain/c]\n"
    with pytest.raises(Invalid) as caught:
        plan(database, blobs, text)
    messages = {each.message for each in caught.value.problems}
    assert "chain/c: it needs itself: chain/c -> chain/c" in messages
    assert messages & {
        "chain/a: it needs itself: chain/a -> chain/b -> chain/a",
        "chain/b: it needs itself: chain/b -> chain/a -> chain/b",
    }
    assert len(messages) == 2


def test_a_kind_checks_beside_what_it_references(database, blobs):
    with pytest.raises(Invalid, match="prompt/answer says stop") as caught:
        plan(database, blobs, HANDBOOK.replace("Answer from the context only.", "stop"))
    assert caught.value.where == "tidemill/handbook.yaml:3"


def test_a_document_twice_is_refused_with_both_places(database, blobs):
    with pytest.raises(Invalid, match="twice; the first is at tidemill") as caught:
        plan(database, blobs, "kind: prompt\nname: a\n---\nkind: prompt\nname: a\n")
    assert caught.value.where == "tidemill/handbook.yaml:4"


def test_a_reference_into_another_project_is_refused(database, blobs):
    apply(database, blobs, "kind: prompt\nname: a\n", project="other")
    with pytest.raises(Invalid, match="another project"):
        plan(database, blobs, "kind: chain\nname: c\nuses: ['other:prompt/a']\n")


def test_a_file_is_part_of_the_digest(database, blobs):
    text = "kind: dataset\nname: d\npath: data/rows.csv\n"
    apply(database, blobs, text, files=files_of(blobs, **{"data__rows.csv": b"q\n1\n"}))
    changed = apply(database, blobs, text, files=files_of(blobs, **{"data__rows.csv": b"q\n2\n"}))
    assert changed.plan.changes[0].details == ("content changed",)
    with pytest.raises(Invalid) as caught:
        plan(database, blobs, text, files=files_of(blobs, **{"data__row.csv": b""}))
    assert caught.value.hint == "Did you mean data/row.csv?"
    assert "there is no file 'data/rows.csv'" in caught.value.message


def test_connections_are_kept_per_environment_outside_every_digest(database, blobs):
    text = HANDBOOK.replace("text: test", "uses: [connection/openai]\ntext: test")
    with pytest.raises(Invalid, match="connection/openai, which does not exist"):
        plan(database, blobs, text)
    connection = "---\nkind: connection\nname: openai\nenvironment: staging\nprovider: openai\nbase_url: {}\n"
    applied = apply(database, blobs, text + connection.format("http://a"))
    assert [each.message for each in applied.plan.notes] == [
        "model/local: connection/openai is not set for environment 'local'"
    ]
    again = apply(database, blobs, text + connection.format("http://b"))
    assert [each.ref for each in again.plan.changes] == ["connection/openai"]
    assert again.plan.changes[0].details[0] == "environment staging"
    config = database.read_sync(lambda db: get_config(db, "p", "connection", "openai", "staging"))
    assert config.spec["base_url"] == "http://b"
    assert len(database.read_sync(lambda db: list_configs(db, "p"))) == 1


def test_an_environment_on_a_versioned_kind_is_refused(database, blobs):
    with pytest.raises(Invalid, match="same in every environment"):
        plan(database, blobs, "kind: prompt\nname: a\nenvironment: staging\n")


def test_concurrent_applies_end_as_if_one_after_the_other(database, blobs):
    texts = [HANDBOOK.replace("context only", f"context {number}") for number in range(8)]
    failures = []

    def work(text):
        try:
            for _ in range(3):
                apply(database, blobs, text)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(text,)) for text in texts]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    prompts = database.read_sync(lambda db: list_versions(db, "p", "prompt/answer")).items
    assert sorted(each.number for each in prompts) == list(range(1, 9))
    assert len({each.digest for each in prompts}) == 8
    chain = database.read_sync(lambda db: get_version(db, "p", "chain/handbook"))
    latest = database.read_sync(lambda db: get_version(db, "p", "prompt/answer"))
    assert chain.refs["prompt/answer"] == latest.digest
