"""Several processes over one server of counters: together they never get more than one alone, also when one of them dies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill.core.clock import FixedClock, SystemClock
from tidemill.core.errors import Unavailable
from tidemill.models.limits.away import Guarded
from tidemill.models.limits.counting import Grant, Shortage, Unseeded
from tidemill.models.limits.providers.valkey import ValkeyCounters
from tidemill.testing.limits import claim_of, granted

pytestmark = pytest.mark.anyio
SPENDER = Path(__file__).with_name("spender.py")


def spenders(url, name, *, processes, tries):
    found = [
        subprocess.Popen(
            [sys.executable, str(SPENDER), url, name, str(tries)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONWARNINGS": "error"},
        )
        for _ in range(processes)
    ]  # fmt: skip
    for each in found:
        assert each.stdout.readline() == "ready\n"
    for each in found:
        each.stdin.write("go\n")
        each.stdin.flush()
    return found


def end(process):
    process.stdin.write("end\n")
    process.stdin.flush()
    process.communicate(timeout=30)


def test_two_processes_never_get_more_than_the_limit(own_valkey):
    found = spenders(own_valkey.url, "two", processes=2, tries=60)
    got = [[int(each) for each in process.stdout.readline().split()] for process in found]
    for each in found:
        end(each)
        assert each.returncode == 0
    minute, money, most = (sum(each) for each in zip(*got, strict=True))
    assert minute == 150, "all of it, and no more"
    assert 995 <= money <= 1000
    assert most <= 5 * 2, "each sees at most what both may"
    assert all(each[2] <= 5 for each in got)


async def test_what_a_dead_process_held_is_free_again(own_valkey):
    clock = SystemClock()
    claim = claim_of("level", 1, limit=2, shape="level", unit="calls")
    dead = ValkeyCounters(own_valkey.url, clock=clock, process="dead", timeout=10)
    alive = ValkeyCounters(own_valkey.url, clock=clock, process="alive", timeout=10)
    await granted(dead, claim)
    await granted(dead, claim)
    assert isinstance(await alive.reserve([claim]), Shortage)
    await dead.close()
    assert isinstance(await alive.reserve([claim]), Grant)
    await alive.close()


async def test_a_server_that_comes_back_empty_is_told_what_was_spent(own_valkey):
    clock = FixedClock()
    counters = ValkeyCounters(own_valkey.url, clock=clock, time=clock, timeout=10)
    claim = claim_of("money", 10, limit=100, shape="period", unit="money", period="month")
    grant = await granted(counters, claim)
    await counters.settle(grant, [10])
    own_valkey.stop()
    with pytest.raises(Unavailable, match="does not answer"):
        await counters.reserve([claim])
    own_valkey.start()
    clock.advance(seconds=60)
    assert isinstance(await counters.reserve([claim]), Unseeded)
    await counters.seed({claim.key: 95})
    assert isinstance(await counters.reserve([claim]), Shortage)
    await counters.close()


async def test_open_counts_here_until_the_server_is_back_and_closed_lets_nothing_through(own_valkey, caplog):
    clock = FixedClock()
    claim = claim_of("minute", 1, limit=2)
    doors = {
        policy: Guarded(ValkeyCounters(own_valkey.url, clock=clock, time=clock, timeout=10), clock=clock, policy=policy)
        for policy in ("open", "closed")
    }
    for each in doors.values():
        await granted(each, claim)
    own_valkey.stop()
    clock.advance(seconds=2)
    with pytest.raises(Unavailable, match="cannot be looked at now") as refused:
        await doors["closed"].reserve([claim])
    assert refused.value.retry_after == 1.0
    await granted(doors["open"], claim)
    await granted(doors["open"], claim)
    assert isinstance(await doors["open"].reserve([claim]), Shortage)
    assert doors["open"].is_away
    own_valkey.start()
    clock.advance(seconds=2)
    await granted(doors["open"], claim)
    await granted(doors["closed"], claim)
    assert not doors["open"].is_away
    assert "counts by itself" in caplog.text
    assert "is back" in caplog.text
    for each in doors.values():
        await each.close()


async def test_what_was_counted_alone_is_seeded_when_the_server_is_back(own_valkey):
    clock = FixedClock()
    server = ValkeyCounters(own_valkey.url, clock=clock, time=clock, timeout=0.2)
    counters = Guarded(server, clock=clock, policy="open")
    claim = claim_of("money", 10, limit=100, shape="period", unit="money", period="month")
    before = await granted(counters, claim)
    own_valkey.pause()
    alone = await granted(counters, claim)
    await counters.settle(alone, [10])
    await counters.settle(before, [10])
    own_valkey.go_on()
    clock.advance(seconds=2)
    found = await counters.reserve([claim])
    assert isinstance(found, Unseeded), "what this process counted alone is to be told to the server"
    await counters.seed({claim.key: 20})
    found = await granted(counters, claim)
    assert found.standings[0].used >= 30
    await counters.close()
