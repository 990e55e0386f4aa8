"""The gate before the spool, over a real database and real files: rules are followed, and nothing of a secret is left."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tidemill.core.clock import SystemClock
from tidemill.core.errors import NotFound, Unavailable
from tidemill.core.records import SpanRecord
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.files import FilesFolder
from tidemill.store.project_keys import ProjectKeys
from tidemill.store.projects import ensure_project
from tidemill.store.registry import add_version
from tidemill.telemetry.intake import Intake
from tidemill.telemetry.kinds import TelemetryKind
from tidemill.telemetry.privacy.gate import Gate
from tidemill.telemetry.privacy.marks import Marks
from tidemill.telemetry.privacy.payloads import LARGEST_INLINE, Payloads, place_of
from tidemill.telemetry.privacy.retention import sweep_payloads, thin_out
from tidemill.telemetry.rules.book import RuleBook
from tidemill.telemetry.rules.patterns import BUILT_IN
from tidemill.telemetry.store import Telemetry

pytestmark = pytest.mark.anyio
SECRET = "ada.zqx@example.com"
DAY_NS = 86400 * 10**9
NOW_NS = 1_763_700_000 * 10**9


class Place:
    """A data folder with its telemetry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = Database.open(folder / "meta.db")
        self.keys = ProjectKeys(self.database, folder)
        self.book = RuleBook(self.database, self.keys)
        self.payloads = Payloads(folder / "payloads", self.keys.get)
        self.gate = Gate(book=self.book, payloads=self.payloads, marks=Marks(self.database, self.keys))
        self.telemetry = Telemetry(folder, gate=self.gate)

    def apply(self, **body: Any) -> None:
        parsed = TelemetryKind().parse(body, files=FilesFolder({}, Blobs(self.folder, "p")))

        def work(db: Any) -> None:
            ensure_project(db, "p", now_ns=1)
            add_version(db, project="p", kind="telemetry", name="default", parsed_spec=parsed.spec, refs={}, blobs={}, now_ns=1)

        self.database.write_sync(work)

    def holds(self, word: str) -> bool:
        return not subprocess.run(["grep", "-raqF", word, str(self.folder)], check=False).returncode


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    async with made.telemetry:
        yield made
    made.database.close()


def span(number: int = 1, **fields: Any) -> SpanRecord:
    base: dict[str, Any] = {
        "trace_id": f"{number:032x}", "span_id": f"{number:016x}", "parent_id": None, "name": "ask", "kind": "llm",
        "start_ns": NOW_NS, "end_ns": NOW_NS + 10**9, "project": "p",
    }  # fmt: skip
    return SpanRecord(**{**base, **fields})


async def stored(place: Place, number: int = 1) -> Any:
    trace: Any = await place.telemetry.get_trace("p", f"{number:032x}")
    return trace["spans"][0]


@pytest.mark.parametrize("door", ["sink", "append"])
async def test_no_secret_reaches_the_disk_by_any_door(place: Place, door: str) -> None:
    place.apply(redact=[{"pattern": each} for each in BUILT_IN])
    record = span(input=f"I am {SECRET}", error=SECRET, attributes={"k": SECRET}, events=({"name": SECRET},), user=SECRET)
    large = span(2, input=f"I am {SECRET} " * 9000, output={"text": SECRET})
    if door == "sink":
        place.telemetry.sink(record)
        place.telemetry.sink(large)
    else:
        await place.telemetry.append([record, large])
    await place.telemetry.sync()
    assert not place.holds("ada.zqx")
    await place.telemetry.flush()
    assert not place.holds("ada.zqx")
    assert (await stored(place))["input"] == "I am [email]"


async def test_rules_are_followed_within_a_moment(place: Place) -> None:
    place.telemetry.sink(span(1, input=SECRET))
    await place.telemetry.sync()
    place.apply(redact=[{"pattern": "email"}])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tidemill.telemetry.rules.book.FRESH_SECONDS", 0.0)
        place.telemetry.sink(span(2, input=SECRET))
        await place.telemetry.flush()
    assert (await stored(place, 1))["input"] == SECRET
    assert (await stored(place, 2))["input"] == "[email]"


async def test_two_servers_on_one_database_hash_alike(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_MASTER_KEY", "ab" * 32)
    place.apply(users="hash")
    other = RuleBook(place.database, ProjectKeys(place.database, tmp_path / "other"))
    assert place.book.load("p").user("ada") == other.load("p").user("ada")
    monkeypatch.setenv("TIDEMILL_MASTER_KEY", "cd" * 32)
    with pytest.raises(Unavailable, match="another master key"):
        ProjectKeys(place.database, tmp_path / "third").get("p", "x")


async def test_the_master_key_is_its_owners_alone(place: Place) -> None:
    place.keys.get("p", "x")
    key = place.folder / "keys" / "master.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert not place.holds(place.keys.get("p", "x").hex())


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("presidio_analyzer") is None, reason="needs the extra safety")
async def test_the_detector_works_beside_the_request(place: Place) -> None:
    place.apply(redact=[{"detector": "pii", "entities": ["PERSON"], "within": ["input"]}])
    place.telemetry.sink(span(input="My name is Margaret Hamilton and I live here."))
    await place.telemetry.flush(timeout=60)
    assert "Margaret" not in (await stored(place))["input"]


class Refusing(RuleBook):
    def load(self, project: str) -> Any:
        raise Unavailable(f"no database for {project}")


async def test_a_span_whose_rules_cannot_be_read_keeps_no_content(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "meta.db")
    gate = Gate(book=Refusing(database, ProjectKeys(database, tmp_path)))
    async with Telemetry(tmp_path, gate=gate) as telemetry:
        telemetry.sink(span(input=SECRET))
        await telemetry.flush()
        trace: Any = await telemetry.get_trace("p", f"{1:032x}")
    database.close()
    assert trace["spans"][0]["input"] is None


async def test_a_large_value_is_whole_in_its_file_and_short_in_its_row(place: Place) -> None:
    value = {"messages": [{"role": "user", "content": "é tide " * 20000}]}
    await place.telemetry.append([span(input=value, output="x" * (LARGEST_INLINE - 10))])
    await place.telemetry.append([span(input=value, output="x" * (LARGEST_INLINE - 10))])  # the same again: the same file
    names = list(place.payloads.names("p"))
    assert len(names) == 1
    await place.telemetry.flush()
    row, at = await place_of(place.telemetry.engine, "p", f"{1:032x}", f"{1:016x}", "input")
    assert at == names[0]
    assert len(row) < 5000
    assert orjson.loads(place.payloads.get("p", at)) == value
    assert not place.holds("tide tide tide")
    assert len((await stored(place))["output"]) == LARGEST_INLINE - 10


@pytest.mark.parametrize("harm", ["cut", "flipped", "missing", "another"])
async def test_a_damaged_payload_is_said_and_the_row_stays(place: Place, harm: str) -> None:
    await place.telemetry.append([span(1, input="a" * 100_000), span(2, input="b" * 100_000)])
    first, second = (place.payloads.name("p", f"{n:032x}", f"{n:016x}", "input") for n in (1, 2))
    path, other = (place.payloads.folder / "p" / each[:2] / each[2:] for each in (first, second))
    content = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        changed = {"cut": content[:-1], "flipped": content[:-1] + bytes([content[-1] ^ 1]), "another": other.read_bytes()}
        path.write_bytes(changed[harm])
    with pytest.raises(NotFound if harm == "missing" else Unavailable):
        place.payloads.get("p", first)
    await place.telemetry.flush()
    assert str((await stored(place))["input"]).startswith("aaaa")


async def test_a_value_beyond_the_largest_is_cut(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.telemetry.privacy.gate.LARGEST", 1_000_000)
    await place.telemetry.append([span(input="x" * 2_000_000)])
    (name,) = place.payloads.names("p")
    assert b"cut short" in place.payloads.get("p", name)


async def test_retention_by_kind_and_payloads(place: Place) -> None:
    old = NOW_NS - 40 * DAY_NS
    await place.telemetry.append([
        span(1, start_ns=old, end_ns=old + 1), span(2, start_ns=old, end_ns=old + 1, kind="tool", input="y" * 100_000),
        span(3), span(4, start_ns=old, end_ns=old + 1, input="z" * 100_000),
    ])  # fmt: skip
    await place.telemetry.flush()
    gone = await thin_out(place.telemetry, "p", {"spans": 90 * 86400.0, "tool": 86400.0}, now_ns=NOW_NS)
    assert gone == {"spans": 1}
    assert len(list(place.payloads.names("p"))) == 1
    found: Any = await place.telemetry.list_traces("p", from_ns=0)
    assert {each["id"] for each in found["items"]} == {f"{n:032x}" for n in (1, 3, 4)}
    assert (await thin_out(place.telemetry, "p", {"payloads": 0.0}, now_ns=2**62))["payloads"] == 1
    assert str((await stored(place, 4))["input"]).startswith("zzzz")
    assert await thin_out(place.telemetry, "p", {"spans": None}, now_ns=NOW_NS) == {}


async def test_orphans_are_swept(place: Place) -> None:
    await place.telemetry.append([span(1, input="y" * 100_000)])
    place.payloads.put("p", "ab" * 32, b"left by a kill")
    assert await sweep_payloads(place.telemetry, "p", before_s=2e9 * 2) == 1
    assert len(list(place.payloads.names("p"))) == 1


async def test_many_records_pass_in_order(place: Place) -> None:
    place.apply(redact=[{"pattern": "email"}])
    records = [span(number, input=f"{number} {SECRET}") for number in range(1, 300)]
    passed = await place.gate.pass_all(records)
    assert [each.input for each in passed] == [f"{number} [email]" for number in range(1, 300)]
    assert records[0].input == f"1 {SECRET}"


class Broken(Payloads):
    def put(self, project: str, name: str, content: bytes) -> None:
        raise RuntimeError(f"a fault with {len(content)} bytes")


async def test_a_fault_at_one_span_holds_up_no_other(place: Place) -> None:
    place.gate.payloads = Broken(place.folder / "payloads", place.keys.get)
    place.telemetry.sink(span(1, input="x" * 100_000))
    place.telemetry.sink(span(2, input="y" * (LARGEST_INLINE // 2)))
    await place.telemetry.flush()
    assert (await stored(place, 1))["name"] == "(dropped)"
    assert (await stored(place, 2))["input"].startswith("yyy")


async def test_users_in_points_of_metrics_are_hashed_as_in_spans(place: Place) -> None:
    place.apply(users="hash")
    row = {"project": "p", "attributes": {"user.id": '"ada"', "n": "1"}, "resource": {"enduser.id": '"ada"'}}
    cleaned = orjson.loads((await place.gate.clean_rows("p", [orjson.dumps(row)], part="attributes"))[0])
    hidden = orjson.dumps(place.book.load("p").user("ada")).decode()
    assert cleaned == {"project": "p", "attributes": {"user.id": hidden, "n": "1"}, "resource": {"enduser.id": hidden}}


async def test_scores_of_an_export_are_kept_once_and_without_what_the_rules_hide(tmp_path):
    place = Place(tmp_path)
    place.apply(redact=[{"pattern": "email"}])
    when = "2026-11-20T09:30:00Z"
    score = {"name": "tone", "dataType": "NUMERIC", "value": 0.5, "comment": f"write {SECRET}", "timestamp": when}
    document = {
        "id": "t-1", "timestamp": when, "userId": "ada", "scores": [score],
        "observations": [{"id": "o", "traceId": "t-1", "type": "SPAN", "name": "n", "startTime": when}],
    }  # fmt: skip
    async with place.telemetry as telemetry:
        intake = Intake(telemetry, clock=SystemClock())
        for _ in range(2):
            taken = await intake.file("p", orjson.dumps(document), name="a.json")
            assert (taken.form, taken.spans, taken.scores) == ("langfuse", 1, 1)
            await telemetry.flush()
        after_ns = SystemClock().now_ns()
        (found,) = (await telemetry.list_traces("p", filter="score.tone <= 0.5", from_ns=0, now_ns=after_ns))["items"]
        ((score,),) = (await telemetry.scores_of("p", [found["id"]])).values()
        assert (score["value"], score["by"]) == (0.5, "langfuse:api")
        assert str(score["text"]).startswith("write ")
    assert not place.holds(SECRET)
