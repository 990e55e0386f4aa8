"""One process that asks for as much as it can get of counters that others share; it prints how often it was let through."""

from __future__ import annotations

import asyncio
import sys

from tidemill.core.clock import SystemClock
from tidemill.models.limits.counting import Grant
from tidemill.models.limits.providers.valkey import ValkeyCounters
from tidemill.testing.limits import claim_of


async def main(url: str, name: str, tries: int) -> None:
    counters = ValkeyCounters(url, clock=SystemClock(), timeout=30)
    minute = claim_of(f"{name}:minute", 1, limit=150)
    money = claim_of(f"{name}:money", 7, limit=1000, shape="period", unit="money", period="month")
    level = claim_of(f"{name}:level", 1, limit=5, shape="level", unit="calls")
    got = {"minute": 0, "money": 0, "most": 0}
    going = 0

    async def ask() -> None:
        nonlocal going
        found = await counters.reserve([minute])
        got["minute"] += isinstance(found, Grant)
        found = await counters.reserve([money, level])
        if not isinstance(found, Grant):
            return
        going += 1
        got["most"] = max(got["most"], going)
        await asyncio.sleep(0)
        going -= 1
        got["money"] += 5
        await counters.settle(found, [5, 0])

    await counters.seed({money.key: 0})
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    for _ in range(tries):
        await asyncio.gather(*(ask() for _ in range(10)))
    sys.stdout.write(f"{got['minute']} {got['money']} {got['most']}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    await counters.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
