"""`[gateway]` of `tidemill.toml`."""

from __future__ import annotations

import pytest

from tidemill.core.errors import Invalid
from tidemill.core.gateway import Gateway, counters_url, read_gateway
from tidemill.core.settings import load_settings


def test_without_a_table_the_defaults_hold(tmp_path):
    (tmp_path / "tidemill.toml").touch()
    assert load_settings(tmp_path, {}).gateway == Gateway() == read_gateway(None)


def test_what_is_written_holds_and_the_environment_wins(tmp_path):
    table = '[gateway]\nmax_calls = 7\nmax_wait = "500ms"\ncounters = "env:HERE"\nwithout_counters = "closed"\n'
    (tmp_path / "tidemill.toml").write_text(table)
    wanted = Gateway(max_calls=7, max_wait=0.5, counters="env:HERE", without_counters="closed")
    assert load_settings(tmp_path, {}).gateway == wanted
    assert load_settings(tmp_path, {"TIDEMILL_COUNTERS": "valkey://h"}).gateway.counters == "valkey://h"


@pytest.mark.parametrize(
    "table",
    [
        7,
        {"max_call": 1},
        {"max_calls": 0},
        {"max_waiting": True},
        {"max_wait": "soon"},
        {"without_counters": "maybe"},
        {"counters": "valkey://user:secret@host"},
    ],
)
def test_what_is_wrong_is_refused(table):
    with pytest.raises(Invalid) as wrong:
        read_gateway(table)
    assert "secret" not in f"{wrong.value} {wrong.value.hint}"


def test_an_address_is_written_or_named(tmp_path):
    (tmp_path / "url").write_text("valkeys://h:1/0\n")
    assert counters_url("valkey://h:1/0") == "valkey://h:1/0"
    assert counters_url("env:HERE", {"HERE": "redis://h"}) == "redis://h"
    assert counters_url(f"file:{tmp_path / 'url'}") == "valkeys://h:1/0"
    for wrong in ("http://user:secret@h", "env:NOWHERE", f"file:{tmp_path / 'none'}"):
        with pytest.raises(Invalid) as refused:
            counters_url(wrong, {})
        assert "secret" not in f"{refused.value} {refused.value.hint}"
