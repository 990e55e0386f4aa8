"""Every bad upstream at once, about 100 requests a second, while routes and keys change: nobody fails who need not.

Whom a healthy target could have served: every request. Each route that is ever applied has, beside what misbehaves, at least
one target without a condition whose upstream always answers well (`chaos.GOOD`). So every request must get its whole answer,
with one exception: a stream which another target had begun, with a token of it gone out, and broke off. That target must be one
that does so, and the stream must say so (`chaos.is_told`).

That the good upstreams did answer is not taken on trust: one that stands beside the gateway asks them straight, all the while.
A request counts as failed without need unless, in its own time, one of them did not answer within what the route allows.
"""

from __future__ import annotations

import random

import pytest

from serve.chaos import BAD, Found, Storm, world

pytestmark = pytest.mark.anyio


async def blown(folder, *, seconds: float, seed: int) -> Found:
    async with world(folder) as made:
        found = await Storm(made, random.Random(seed)).blow(seconds=seconds)
    print(f"seed {seed}: {found}")  # noqa: T201  (with `-rP` it is seen)
    assert not found.needless, f"{found}: {found.needless[:5]}"
    assert len(found.failures) <= found.requests / 100, f"the machine is too busy to tell: {found}"
    assert sum(found.ends.values()) + len(found.failures) == found.requests
    asked = made.asked
    assert sum(asked[name] > 0 for name in BAD) > min(seconds, 20), asked
    return found


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_nobody_fails_whom_a_healthy_target_could_have_served(tmp_path):
    found = await blown(tmp_path, seconds=4, seed=1)
    assert found.ends["whole"] > 150
    assert found.ends["stream"] > 50
    assert found.routes > 3
    assert found.keys > 3


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
async def test_the_same_for_two_minutes(tmp_path, seed):
    found = await blown(tmp_path, seconds=120, seed=seed)
    assert found.ends["whole"] > 5000
    assert found.routes > 100
    assert found.keys > 100
