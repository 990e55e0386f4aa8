"""A trace whole: values that are kept apart in their places, and what is said of one that is not there any more."""

from __future__ import annotations

import time

from api.house import House, Project
from api.test_traces_erase import otlp, send
from tidemill.api.traces_payload import MOST

WORD = "gardenword "


def test_values_kept_apart_stand_whole(house: House, project: Project) -> None:
    project.apply()
    now = time.time_ns() - 60 * 10**9
    send(
        project,
        otlp("7" * 32, "1" * 16, start_ns=now, text=WORD * 10_000),
        otlp("7" * 32, "2" * 16, start_ns=now + 10, parent="1" * 16, text="short"),
        otlp("7" * 32, "3" * 16, start_ns=now + 20, parent="1" * 16, text=WORD * 9_000),
    )
    short = project.get(f"/traces/{'7' * 32}")
    assert [each["apart"] for each in short["spans"]] == [["input"], [], ["input"]]
    assert str(short["spans"][0]["input"]).count(WORD) < 1000

    first, second, third = project.get(f"/traces/{'7' * 32}?full=true")["spans"]
    assert str(first["input"]).count(WORD) == 10_000
    assert str(third["input"]).count(WORD) == 9_000
    assert (first["apart"], second["apart"], third["apart"]) == ([], [], [])
    assert "notes" not in first

    files = (house.data / "payloads" / project.name).glob("??/*")
    largest, other = sorted(files, key=lambda each: -each.stat().st_size)
    largest.unlink()
    other.write_bytes(b"damaged" * 20)
    first, _, third = project.get(f"/traces/{'7' * 32}?full=true")["spans"]
    assert first["apart"] == ["input"]
    assert "not kept any more" in first["notes"][0]
    assert "cannot be read" in third["notes"][0]
    assert WORD.strip() in str(first["input"]), "the beginning stays"


def test_no_more_than_fits(project: Project) -> None:
    project.apply()
    now = time.time_ns() - 60 * 10**9
    part = "x" * (MOST // 2)
    for number in range(1, 4):
        send(project, otlp("8" * 32, str(number) * 16, start_ns=now + number, text=part))
    spans = project.get(f"/traces/{'8' * 32}?full=true")["spans"]
    assert [bool(each["apart"]) for each in spans] == [False, True, True]
    assert "payload?field=input" in spans[1]["notes"][0]
