"""Answers of real providers, read the same however they are cut."""

from __future__ import annotations

import pytest

from models.replay.fixtures import FILE, PROVIDERS, fixtures, is_partial, reads
from models.replay.said import Said
from tidemill.testing.replay import check_cuts, cut, read_all

pytestmark = pytest.mark.skipif(
    not FILE.is_file(), reason=f"no recordings at {FILE}; set TIDEMILL_SHARED_DATA to the folder that holds them"
)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_recorded_answer_is_read(provider):
    read, stream = reads(provider)
    found = fixtures(provider)
    assert found
    wrong = []
    for fixture in found:
        response = read_all(stream(), cut(fixture.content, 37)) if fixture.is_stream else read(fixture.row["response"])
        said = Said.of(response)
        if is_partial(fixture):
            assert said.calls
            assert said.finish == "tool_calls"
        elif said != (wanted := fixture.says(fixture.row)):
            wrong.append(f"{fixture.row['id']}: read {said}, recorded {wanted}"[:900])
        if fixture.is_stream:
            check_cuts(stream, fixture.content, name=fixture.row["id"])
    assert not wrong, "\n".join(wrong)


def test_arguments_that_come_in_pieces_are_put_together():
    calls = [
        Said.of(read_all(reads("gemini")[1](), [fixture.content])).calls
        for fixture in fixtures("gemini")
        if is_partial(fixture)
    ]
    assert [("getWeather", {"location": "Boston"}), ("getWeather", {"location": "San Francisco"})] in calls
    assert any(
        name == "writeItems" and arguments["operations"][1]["price"] == 0.3 for each in calls for name, arguments in each
    )
